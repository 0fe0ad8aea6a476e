"""What a run gives is what a tracker's own reader finds; no library is imported unless it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from PIL import Image

from headstart.errors import ConfigError, MissingDependencyError
from headstart.tracking import KINDS, Several, open_tracker, open_trackers, place_of

CONFIG = {"set": "pets", "head": "mlp", "params": {"depth": 2, "lr": 0.1}, "tap": None}
REPORT = {
    "metrics": {"test": {"accuracy": 0.875, "intervals": {"accuracy": [0.8, 0.9]}, "per_class": {"cat": {}}}},
    "timings": {"fit": 1.5},
}
EPOCHS: list[dict[str, Any]] = [
    {"epoch": 1, "train_loss": 0.7, "validation_loss": None},
    {"epoch": 2, "train_loss": 0.5, "validation_loss": 0.6},
]


class Diary:
    """A tracker that keeps what it was told."""

    def __init__(self, breaks: bool = False) -> None:
        self.told: list[Any] = []
        self._breaks = breaks

    def start(self, config: Mapping[str, Any], name: str) -> None:
        if self._breaks:
            raise ConfigError("no such place")
        self.told.append(("start", config, name))

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        self.told.append((step, dict(values)))

    def finish(self, report: Mapping[str, Any] | None, files: Sequence[Path] = ()) -> None:
        self.told.append(("finish", report, list(files)))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "confusion.png")
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    return [tmp_path / "confusion.png", tmp_path / "report.json"]


def track(spec: str, files: list[Path], report: Mapping[str, Any] | None = REPORT) -> None:
    """A run as fit-head makes one."""
    tracker = open_tracker(spec)
    tracker.start(CONFIG, "pets-mlp")
    for record in EPOCHS:
        tracker.log(record["epoch"], {name: value for name, value in record.items() if name != "epoch"})
    tracker.finish(report, files)


def read_events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_reads_the_curves_the_figures_and_the_plots(tmp_path: Path, files: list[Path]) -> None:
    pytest.importorskip("tensorboard")
    track(f"tensorboard:{tmp_path}/events", files)
    events = read_events(tmp_path / "events" / "pets-mlp")

    def curve(name: str) -> list[tuple[int, float]]:
        return [
            (event.step, round(float(event.tensor_proto.float_val[0]), 6)) for event in events.Tensors(name)
        ]

    assert curve("train_loss") == [(1, 0.7), (2, 0.5)]
    assert curve("validation_loss") == [(2, 0.6)]
    assert curve("test/accuracy") == [(2, 0.875)]
    assert curve("seconds/fit") == [(2, 1.5)]
    (image,) = events.Images("confusion")
    assert (image.width, image.height) == (8, 6)
    assert image.encoded_image_string == files[0].read_bytes()
    metadata = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"params.depth" in metadata


def test_tensorboard_keeps_two_runs_of_one_name_apart(tmp_path: Path, files: list[Path]) -> None:
    pytest.importorskip("tensorboard")
    for _ in range(3):
        track(f"tensorboard:{tmp_path}/events", files)
    assert sorted(path.name for path in (tmp_path / "events").iterdir()) == [
        "pets-mlp", "pets-mlp-2", "pets-mlp-3",
    ]  # fmt: skip
    assert len(read_events(tmp_path / "events" / "pets-mlp").Tensors("train_loss")) == 2


def test_tensorboard_keeps_runs_apart_that_start_at_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    folder = tmp_path / "events"
    track(f"tensorboard:{folder}", [])  # imports, which threads would wait for
    n, names = 8, [f"run {number}" for number in range(20)]

    def start(together: Barrier, name: str) -> None:
        tracker = open_tracker(f"tensorboard:{folder}")
        together.wait()
        tracker.start(CONFIG, name)
        tracker.finish(REPORT)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(n) as pool:
            for name in names:
                together = Barrier(n)
                list(pool.map(start, [together] * n, [name] * n))
    finally:
        sys.setswitchinterval(interval)
    for name in names:
        assert len({*folder.glob(name), *folder.glob(f"{name}-*")}) == n, name
    assert all(len(list(path.iterdir())) == 1 for path in folder.iterdir())


def test_a_tracker_says_where_its_runs_are_seen(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    events = open_tracker(f"tensorboard:{tmp_path}/my events")
    assert place_of(events) == f"tensorboard --logdir '{tmp_path}/my events'"
    assert place_of(Diary()) == ""
    assert place_of(Several([Diary(), events])) == place_of(events)
    assert place_of(open_trackers(["tensorboard", f"tensorboard:{tmp_path}"])) == (
        f"tensorboard --logdir tensorboard, tensorboard --logdir {tmp_path}"
    )
    assert place_of(open_trackers([])) == ""


def test_tensorboard_of_a_failed_run_has_its_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    track(f"tensorboard:{tmp_path}/events", [], report=None)
    events = read_events(tmp_path / "events" / "pets-mlp")
    assert len(events.Tensors("train_loss")) == 2
    assert "test/accuracy" not in events.Tags()["tensors"]


def test_wandb_works_offline(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    track("wandb:pets", files)
    track("wandb:pets", files, report=None)
    assert capfd.readouterr().out == ""
    runs = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(runs) == 2
    content = b"".join(run.read_bytes() for run in runs)
    assert all(word in content for word in (b"train_loss", b"params.depth", b"test/accuracy", b"pets-mlp"))
    tracker = open_tracker("wandb:pets")
    assert place_of(tracker) == ""
    tracker.start(CONFIG, "third")
    (folder,) = set((tmp_path / "wandb").glob("offline-run-*")) - {run.parent for run in runs}
    assert place_of(tracker) == f"wandb sync {folder}"
    tracker.finish(REPORT)


def test_mlflow_finds_the_run_in_its_file(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/kept/mlflow.db"
    (tmp_path / "kept").mkdir()
    track(f"mlflow:{uri}", files)
    track(f"mlflow:{uri}", files, report=None)
    client = mlflow.MlflowClient(tracking_uri=uri)
    assert place_of(open_tracker(f"mlflow:{uri}")) == f"mlflow ui --backend-store-uri {uri}"
    experiment = client.get_experiment_by_name("headstart").experiment_id
    failed, good = client.search_runs([experiment])
    assert (failed.info.status, good.info.status) == ("FAILED", "FINISHED")
    assert good.info.run_name == "pets-mlp"
    assert good.data.params == {"set": "pets", "head": "mlp", "params.depth": "2", "params.lr": "0.1"}
    assert good.data.metrics["test/accuracy"] == 0.875
    history = client.get_metric_history(good.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.7), (2, 0.5)]
    assert {file.path for file in client.list_artifacts(good.info.run_id)} == {"confusion.png", "report.json"}
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"kept"}
    with pytest.raises(ConfigError, match="mlflow cannot write"):
        track("mlflow:nonsense://x", files)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_library_names_the_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == kind]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(MissingDependencyError, match=r"headstart\[tracking\]"):
        open_tracker(kind)


def test_one_of_ones_own_is_opened_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_tracker.py").write_text(
        "class Mine:\n"
        "    def start(self, config, name): print('start', name)\n"
        "    def log(self, step, values): print(step, values)\n"
        "    def finish(self, report, files=()): print('finish')\n"
        "class Half:\n    def start(self, config, name): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    open_tracker("py:my_tracker:Mine").log(1, {})
    with pytest.raises(ConfigError, match=r"no log\(\)"):
        open_tracker("py:my_tracker:Half")
    with pytest.raises(ConfigError, match="tensorboard, wandb, mlflow"):
        open_tracker("neptune")


def test_several_are_told_the_same_and_none_is_left_open() -> None:
    first, second = Diary(), Diary()
    both = Several([first, second])
    both.start(CONFIG, "a")
    both.log(1, {"x": 1})
    both.finish(REPORT)
    assert first.told == second.told == [("start", CONFIG, "a"), (1, {"x": 1}), ("finish", REPORT, [])]
    third = Diary()
    with pytest.raises(ConfigError):
        Several([third, Diary(breaks=True), first]).start(CONFIG, "b")
    assert third.told == [("start", CONFIG, "b"), ("finish", None, [])]
    nothing = open_trackers([])
    nothing.start(CONFIG, "c")
    nothing.finish(None)


def test_no_library_is_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys, headstart.tracking as t\n"
        "t.open_trackers([]).start({}, 'x')\n"
        "print(sorted({'tensorboard', 'wandb', 'mlflow', 'torch', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_tensorboard_is_written_without_torch_and_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    code = (
        "import sys\nfrom headstart.tracking import open_tracker\n"
        f"t = open_tracker('tensorboard:{tmp_path}')\n"
        "t.start({}, 'x')\nt.log(1, {'a': 1})\nt.finish({})\n"
        "print(sorted({'wandb', 'mlflow', 'torch', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_the_tracker_in_the_how_to_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text("utf-8")
    (tmp_path / "docs_tracker.py").write_text(page.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tracker = open_tracker("py:docs_tracker:Lines")
    tracker.start(CONFIG, "pets-mlp")
    tracker.log(1, {"train_loss": 0.5})
    tracker.finish(REPORT)
    assert place_of(tracker) == "pets-mlp.jsonl"
    assert json.loads((tmp_path / "pets-mlp.jsonl").read_text()) == {"step": 1, "train_loss": 0.5}
