"""fit-head as a user runs it: interrupted, short of memory, repeated, and told wrong things."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ..made_sets import clouds, make_set
from ..processes import start
from .conftest import Result, command, drawn, undrawn

Runner = Callable[..., Result]
CALLBACK = """
import os, signal, time
def die(record):
    time.sleep(0.3 if os.environ["DIE_IN"] != "99" else 0)
    if record["epoch"] == int(os.environ["DIE_IN"]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with a set ``made`` of three classes, which commands take without being told."""
    X, y = clouds(300, apart=3)
    make_set(tmp_path / "cache", X, {"kind": [f"class {c}" for c in y]})
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def weights(run: str) -> dict[str, np.ndarray]:
    return load_file(Path(run) / "model" / "head.safetensors")


@pytest.mark.usefixtures("cache")
def test_a_training_that_was_killed_is_taken_up_and_ends_the_same(tmp_path: Path) -> None:
    (tmp_path / "own_callback.py").write_text(CALLBACK, "utf-8")

    def fit(run: str, die_in: int) -> tuple[int, str]:
        words = (
            "--param",
            "epochs=14",
            "--param",
            "width=16",
            "--callback",
            "py:own_callback:die",
            "--out",
            run,
        )
        words = undrawn(["fit-head", "made", "--head", "mlp", *words])
        started = start(*words, PYTHONPATH=str(tmp_path), DIE_IN=str(die_in))
        _, err = started.communicate(timeout=300)
        return started.wait(), err

    assert fit("cut", 10)[0] == -signal.SIGKILL
    assert not Path("cut").exists()
    code, err = fit("cut", 99)
    assert code == 0, err
    assert "taking up a training that was interrupted after epoch" in err
    assert fit("whole", 99)[0] == 0
    for name, whole in weights("whole").items():
        assert np.array_equal(whole, weights("cut")[name]), name
    assert not list(Path().glob(".*.training"))
    history = [json.loads(line)["epoch"] for line in Path("cut/metrics.jsonl").read_text().splitlines()]
    assert history == list(range(1, len(history) + 1))


@pytest.mark.slow
def test_a_set_larger_than_the_memory_trains_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=60_000)
    X = rng.standard_normal(size=(60_000, 8000), dtype=np.float32)  # 1.9 GB; torch by itself takes 0.9
    X[np.arange(60_000), y] += 3
    splits = ["train"] * 56_000 + ["validation"] * 2000 + ["test"] * 2000
    make_set(tmp_path / "cache", X, {"kind": [f"class {c}" for c in y]}, splits)
    del X
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))

    def fit(run: str, *options: str, limit: int | None = None) -> Result:
        line = command(
            "fit-head", "made", "--head", "linear", "--param", "epochs=2", "--out", run, "--json", *options
        )

        def confine() -> None:
            if limit:
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

        done = subprocess.run(
            line, capture_output=True, text=True, timeout=500, preexec_fn=confine, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"},
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    whole = fit("whole", "--in-memory")
    assert whole.code == 0, whole.err
    assert fit("too-little", "--in-memory", limit=1400 << 20).code == 1
    confined = fit("confined", limit=1400 << 20)
    assert confined.code == 0, confined.err
    assert "stay on disk" in confined.err
    assert confined.json["metrics"]["test"]["accuracy"] == pytest.approx(
        whole.json["metrics"]["test"]["accuracy"], abs=2e-3
    )
    np.testing.assert_allclose(
        weights("confined")["output.weight"], weights("whole")["output.weight"], atol=2e-4
    )


@pytest.mark.usefixtures("cache")
def test_a_configuration_repeats_a_run_and_options_change_it(headstart: Runner) -> None:
    assert headstart("fit-head", "made", "--head", "ridge", "--prepare", "l2", "--out", "a").code == 0
    assert headstart("fit-head", "--config", "a/config.yaml", "--out", "b").code == 0
    reports = [json.loads(Path(run, "report.json").read_text()) for run in ("a", "b")]
    assert reports[0]["metrics"] == reports[1]["metrics"]
    changed = headstart(
        "fit-head",
        "--config",
        "a/config.yaml",
        "--head",
        "knn",
        "--param",
        "k=3",
        "--seed",
        "5",
        "--out",
        "c",
    )
    assert changed.code == 0, changed.err
    report = json.loads(Path("c/report.json").read_text())
    assert (report["head"]["name"], report["head"]["params"]["k"], report["seed"]) == ("knn", 3, 5)
    assert report["prepare"] == ["l2"]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--sweep", "lr"], "--sweep takes NAME=VALUE"),
        (["--sweep", "alpha=3..1:4"], "a range goes up"),
        (["--sweep", "depth=1"], "has no parameter 'depth'"),
        (["--shots", "1,x"], "--shots takes whole numbers"),
        (["--shots", "0"], "--shots takes numbers of samples in [1, "),
        (["--curve", "10%,x"], "--curve takes numbers of train samples and shares of them in percent"),
        (["--curve", "0%"], "--curve takes numbers of train samples and shares of them in percent"),
        (["--curve", "1000000"], "--curve takes sizes in [2, "),
        (["--sweep", "backbone=hf:none"], "has no feature of hf:none"),
        (["--param", "alpha=1", "--param", "alpha=2"], "alpha is given twice"),
        (["--folds", "999"], "--folds must be in"),
        (["--callback", "py:nowhere:at_all"], "--callback watches epochs"),
        (["--track", "paper"], "there is no tracker 'paper'"),
        (["--mapped"], "--mapped is for"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    headstart: Runner, options: list[str], says: str
) -> None:
    done = headstart("fit-head", "made", "--head", "ridge", *options, "--out", "run")
    assert done.code == 2, done.err
    assert says in done.err
    assert not Path("run").exists()


@pytest.mark.usefixtures("cache")
def test_folds_say_how_the_head_does_on_them(headstart: Runner) -> None:
    done = headstart("fit-head", "made", "--head", "ridge", "--folds", "3", "--out", "run")
    assert done.code == 0, done.err
    assert "3 folds: accuracy 0." in done.out
    assert "best of" not in done.out


@pytest.mark.usefixtures("cache")
def test_a_callback_that_fails_is_named(headstart: Runner, tmp_path: Path) -> None:
    (tmp_path / "failing_callback.py").write_text("def boom(record): return 1 / 0\n", "utf-8")
    done = headstart(
        "fit-head", "made", "--head", "linear", "--callback", "py:failing_callback:boom", "--out", "run"
    )
    assert done.code == 2
    assert "py:failing_callback:boom failed: ZeroDivisionError: division by zero" in done.err


@pytest.mark.usefixtures("cache")
def test_a_sweep_says_what_it_found(headstart: Runner) -> None:
    words = ("--sweep", "lr=1e-5..1e-2:3", "--param", "epochs=4", "--seeds", "2", "--out", "run")
    done = headstart(*drawn("fit-head", "made", "--head", "linear", *words))
    assert done.code == 0, done.err
    assert "best of 3 on validation: lr=0.01" in done.out
    assert "2 seeds, test: accuracy" in done.out
    assert Path("run/plots/sweep.png").stat().st_size > 1000


@pytest.mark.usefixtures("cache")
def test_a_sweep_over_heads_is_not_called_after_one_of_them(headstart: Runner) -> None:
    done = headstart("fit-head", "made", "--sweep", "head=ridge,centroid")
    assert done.code == 0, done.err
    assert "the run lies in runs/made-sweep" in done.out
