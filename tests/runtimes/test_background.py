"""Converting beside the work: it waits for nothing, ends with it, and changes no feature."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.extraction.inference import lay_out
from headstart.extraction.runtime import TorchRuntime
from headstart.runtimes import background
from headstart.runtimes.background import WORTH, Conversion, ConversionTask
from headstart.runtimes.child import PARENT_GONE
from headstart.runtimes.kept import KeptModels
from headstart.runtimes.outputs import TOLERANCE, largest_error
from headstart.types import TrialWork

from ..extraction.computing import one_thread
from ..extraction.models import Opened, open_named

ENDS = "import sys; sys.stdin.buffer.read(1); sys.exit(1)"
HANGS = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return open_named("text:bert", tmp_path_factory.mktemp("bert"))


class Said:
    """Progress that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def conversion(bert: Opened, said: Any = None) -> Conversion:
    return Conversion(bert.spec, bert.options, bert.info, [bert.info.default_tap], 1000, said or Said())


def runtime(bert: Opened, converting: Conversion) -> TorchRuntime:
    return TorchRuntime(bert.model, converting.taps, lay_out("cpu", cores=1), converting)


def work(bert: Opened, seconds_left: float = 2 * WORTH) -> TrialWork:
    rows = bert.model.prepare(bert.samples)
    return TrialWork(lambda: bert.model.collate(rows), lambda: [bert.model.collate(rows[:1])], seconds_left)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[subprocess.Popen[bytes]]]]:
    """Starts other code in the place of the process that converts."""
    started: list[subprocess.Popen[bytes]] = []

    def use(code: str) -> list[subprocess.Popen[bytes]]:
        def start() -> subprocess.Popen[bytes]:
            started.append(subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE))
            return started[-1]

        monkeypatch.setattr(background, "_start", start)
        return started

    yield use
    for process in started:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[bytes]) -> None:
    process.wait(timeout=30)


def test_it_is_begun_only_where_work_and_memory_are_left(
    bert: Opened, child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = child(ENDS)
    runs = runtime(bert, conversion(bert))
    assert runs.trial(work(bert, seconds_left=WORTH - 1)) is None
    monkeypatch.setattr(background, "available_bytes", lambda: 10)
    assert runs.trial(work(bert)) is None
    assert started == []


def test_it_has_a_core_while_it_is_at_work(bert: Opened, child: Any) -> None:
    started = child(HANGS)
    runs = runtime(bert, conversion(bert))
    assert not runs.needs_a_core
    runs.trial(work(bert))
    assert runs.needs_a_core
    started[0].kill()
    wait_for(started[0])
    assert not runs.needs_a_core


def test_a_process_that_dies_leaves_the_work_to_torch(bert: Opened, child: Any) -> None:
    """Killed, out of memory, a full disk: no model is there in the end."""
    started, said = child(ENDS), Said()
    runs = runtime(bert, conversion(bert, said))
    assert runs.trial(work(bert)) is None
    assert said.lines == [f"converting {bert.spec} for openvino beside the work; the next run starts with it"]
    wait_for(started[0])
    trial = runs.trial(work(bert))
    assert trial is not None
    assert runs.adopt(trial()) == ""
    assert runs.name == "eager"
    runs.close()


def test_the_work_does_not_wait_and_its_end_is_the_end_of_the_process(bert: Opened, child: Any) -> None:
    started = child(HANGS)
    runs = runtime(bert, conversion(bert))
    runs.trial(work(bert))
    assert runs.trial(work(bert)) is None  # under way
    began = time.monotonic()
    runs.close()
    assert started[0].poll() is not None
    assert time.monotonic() - began < background.SECONDS_TO_STOP


def test_the_process_ends_when_its_parent_is_gone(bert: Opened) -> None:
    code = "import time, headstart.runtimes.child as c; c._convert = lambda task: time.sleep(600); c.main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert process.stdin is not None
    pickle.dump(ConversionTask(bert.spec, bert.options, bert.info, []), process.stdin)
    process.stdin.close()
    assert process.wait(timeout=60) == PARENT_GONE


def converted(bert: Opened) -> Conversion:
    """By the real process, on a batch of the work."""
    made = conversion(bert)
    made.begin(work(bert).examples())
    while made.is_under_way:
        time.sleep(0.1)
    return made


@pytest.mark.slow
def test_the_work_goes_on_with_what_was_converted_beside_it(
    bert: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.extraction.runtime.GAIN", 0.0)  # however slow it is here
    made = converted(bert)
    runs = runtime(bert, conversion(bert))
    runs._compiled, runs._conversion, runs.name = None, made, "eager"
    batch = bert.model.collate(bert.model.prepare(bert.samples))
    [(before, _)] = runs.run(batch)
    trial = runs.trial(work(bert))
    assert trial is not None
    assert "going on with openvino" in runs.adopt(trial())
    assert (runs.name, runs.works_in_lanes) == ("openvino", False)
    [(after, _)] = runs.run(batch)
    assert largest_error(after, before) <= TOLERANCE


@pytest.mark.slow
def test_two_processes_that_convert_the_same_leave_one_model(bert: Opened) -> None:
    both = [conversion(bert) for _ in range(2)]
    for each in both:
        each.begin(work(bert).examples())
    while any(each.is_under_way for each in both):
        time.sleep(0.1)
    for each in both:
        each.stop()
    found = KeptModels().find(bert.info)
    assert found is not None
    assert {path.name for path in KeptModels().root.iterdir()} == {found.path.name}
    assert found.read("model.bin")


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_is_used(bert: Opened) -> None:
    made = conversion(bert)
    made.begin(work(bert).examples())
    deadline = time.monotonic() + 120
    while made.is_under_way and not list(KeptModels().root.glob("*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    made.stop()
    if KeptModels().find(bert.info) is None:  # it was killed before it was done
        assert not list(Path(KeptModels().root).glob("*.partial"))
    assert torch.get_num_threads() == 1
