# Two commands do all the set-up: `make demo` and `make test`. Both reuse .venv when nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
REQUIREMENTS := pyproject.toml constraints.txt

.PHONY: demo test suite types test-slow trial bench bench-short lint style format docs lock clean

demo: $(VENV)/demo.stamp  ## the main job on real images and texts, with real pretrained weights
	$(BIN)/headstart demo

# Processes share the tests file by file, four where there are two cores: some tests wait for processes of their own, or
# for a disk. A thread each: threads that wait for each other over tiny products are slower.
FORKS ?= 4
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tests.forks --forks $(FORKS)

test: style  ## lint, types, layering and all tests but the slow ones: 10 to 15 minutes on two cores
	@$(MAKE) --no-print-directory --jobs=2 --keep-going types suite

suite: $(VENV)/dev.stamp
	$(PYTEST)

types: $(VENV)/dev.stamp
	$(BIN)/mypy

test-slow: $(VENV)/dev.stamp  ## the long trials, other kernels, every page of the docs
	HEADSTART_TEST_ALL_EXAMPLES=1 $(PYTEST) -m 'slow or property'

trial: $(VENV)/dev.stamp  ## two hundred random kills of extract, compact and gc
	$(BIN)/python tests/trials/kill_trial.py --kills 200 --seed 0

bench: $(VENV)/dev.stamp  ## side by side with other tools, two hours; writes docs/benchmarks.md (DATA=folder)
	$(BIN)/python -m benchmarks.run $(if $(DATA),--data '$(DATA)')

bench-short: $(VENV)/dev.stamp  ## the same in two minutes, with rough figures
	$(BIN)/python -m benchmarks.run --short $(if $(DATA),--data '$(DATA)')

lint: style types  ## ruff and mypy

style: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/dev.stamp  ## let ruff write the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev.stamp  ## the reference of the commands
	$(BIN)/python docs/make_reference.py

lock: $(VENV)/uv.stamp  ## pin the newest versions that fit
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --all-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --python-version 3.11 -o constraints.txt

clean:
	rm -rf $(VENV) demo

# uv installs in seconds what pip installs in minutes; where it cannot reach the index (it does not read
# pip's configuration) pip does it. Bytecode is compiled at installation: `headstart --help` is twice as
# slow without, and some shells export PYTHONDONTWRITEBYTECODE.
define install
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[$(1)]' \
		|| $(BIN)/python -m pip install --quiet --compile -c constraints.txt -e '.[$(1)]'
	$(BIN)/python -m compileall -q src
endef

$(VENV)/uv.stamp:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	touch $@

$(VENV)/dev.stamp: $(VENV)/uv.stamp $(REQUIREMENTS)
	$(call install,dev)
	touch $@ $(VENV)/demo.stamp

$(VENV)/demo.stamp: $(VENV)/uv.stamp $(REQUIREMENTS)
	$(call install,bundled)
	touch $@
