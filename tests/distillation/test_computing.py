"""A teacher whose features are not there yet, as commands and a program ask for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.cache.store import Cache
from headstart.errors import HeadstartError
from headstart.registry.run import Run

from ..end_to_end.conftest import Result, in_process
from ..end_to_end.conftest import in_a_fresh_folder as in_a_fresh_folder

LETTERS, WIDE = "py:tiny_backbones:texts", "py:wide_letters:make"
Runner = Callable[..., Result]


@pytest.fixture(autouse=True)
def wide_letters(in_a_fresh_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another backbone over letters, with other weights."""
    (in_a_fresh_folder / "wide_letters.py").write_text(
        "import torch\nfrom tiny_backbones import TinyTexts\n\n\nclass make(TinyTexts):\n    def __init__(self):\n"
        "        super().__init__()\n        self.module = torch.nn.Linear(64, 24)\n        with torch.no_grad():\n"
        "            g = torch.Generator().manual_seed(5)\n"
        "            for p in self.module.parameters():\n                p.copy_(torch.randn(p.shape, generator=g))\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(in_a_fresh_folder))


def rows_of(n: int, first: int = 0) -> list[str]:
    return [
        f"{'red car' if row % 2 else 'blue boat'} {'fizz ' * (row % 5 == 0)}number {row}"
        for row in range(first, first + n)
    ]


def labels_of(n: int, every: int = 1) -> list[str | None]:
    return [("warm" if row % 2 else "cold") if row % every == 0 or row < 10 else None for row in range(n)]


def table(path: Path, texts: list[str], labels: list[str | None]) -> Path:
    splits = ["train", "train", "train", "validation", "test"]
    lines = [
        f"{text},{label or ''},{'train' if label is None else splits[row // 2 % 5]}"
        for row, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    path.write_text("text,label,split\n" + "\n".join(lines), "utf-8")
    return path


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    data = table(tmp_path / "first.csv", rows_of(60, 500), labels_of(60))
    features = hs.extract(data, WIDE, set="first", quiet=True)
    hs.fit_head(features, "ridge", plots="none", out=tmp_path / "teacher")
    return tmp_path / "teacher"


@pytest.fixture
def pupil(tmp_path: Path) -> Any:
    data = table(tmp_path / "second.csv", rows_of(80), labels_of(80, every=3))
    return hs.extract(data, LETTERS, set="second", quiet=True)


def test_what_the_cache_lacks_is_computed_and_only_of_train_samples(teacher: Path, pupil: Any) -> None:
    run = hs.fit_head(pupil, "linear", teacher=teacher, plots="none")
    said = run.report["distillation"]
    n_train = pupil.info["counts"]["train"]
    assert said["n_train"] + said["n_unlabelled"] == n_train
    assert said["n_unlabelled"] > 20
    assert (said["n_overlap"], said["n_without_opinion"]) == (0, 0)
    cache = Cache(pupil.cache)
    features = Run.load(teacher).features["space"]
    assert len(cache.open_space(features)) == 60 + n_train
    assert len(cache.open_space(said["spaces"][0])) == n_train


def test_samples_that_the_teacher_cannot_read_have_their_label_alone(
    teacher: Path, pupil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_NAN", "some")  # of every text with a z
    whole = pupil.samples.filter(hs_in_train(pupil))
    n_odd = sum("z" in text for text in texts_of(pupil, whole))
    said = hs.fit_head(pupil, "linear", teacher=teacher, plots="none").report["distillation"]
    assert 0 < said["n_without_opinion"] < n_odd
    n_dropped = n_odd - said["n_without_opinion"]
    assert said["n_train"] + said["n_unlabelled"] + n_dropped == whole.num_rows


def hs_in_train(features: Any) -> Any:
    import pyarrow.compute as pc

    return pc.equal(features.samples.column("split"), "train")


def texts_of(features: Any, whole: Any) -> list[str]:
    texts = rows_of(80)
    numbers = [int(name.rpartition(":")[2]) for name in whole.column("id").to_pylist()]
    return [texts[number - 1] for number in numbers]


def test_data_that_is_gone_is_said(teacher: Path, pupil: Any, tmp_path: Path) -> None:
    (tmp_path / "second.csv").unlink()
    with pytest.raises(HeadstartError, match=r"the teacher reads py:wide_letters:make at .*second\.csv"):
        hs.fit_head(pupil, "linear", teacher=teacher, plots="none")


def test_a_set_of_samples_in_memory_says_what_to_give(teacher: Path) -> None:
    texts, labels = rows_of(40), labels_of(40)
    features = hs.extract(texts, LETTERS, labels=labels, quiet=True)
    with pytest.raises(HeadstartError, match=r"the teacher reads .* was made of data in memory"):
        hs.fit_head(features, "linear", teacher=teacher, plots="none")
    hs.extract(texts, WIDE, labels=labels, quiet=True)  # its features are there now
    assert (
        hs.fit_head(features, "linear", teacher=teacher, plots="none").report["distillation"]["n_overlap"]
        == 0
    )


def test_commands_teach(teacher: Path, pupil: Any) -> None:
    fitted = in_process(
        "fit-head", "second", "--head", "linear", "--teacher", teacher, "--distill-alpha", "0.7", "--param", "epochs=5",
        "--out", "student", "--plots", "none",
    )  # fmt: skip
    assert fitted.code == 0, fitted.err
    assert "taught by" in fitted.err
    said = in_process("predict", "teacher", "second.csv", "--out", "said.csv")
    assert said.code == 0, said.err
    by_table = in_process(
        "fit-head", "second", "--head", "linear", "--teacher", "said.csv", "--plots", "none", "--json"
    )
    assert by_table.code == 0, by_table.err
    assert by_table.json["distillation"]["method"] == "table"
    refused = in_process("fit-head", "second", "--teacher", teacher)
    assert refused.code == 2
    assert "a logistic head is fitted on labels alone" in refused.err
    leaking = in_process("fit-head", "first", "--backbone", WIDE, "--head", "linear", "--teacher", "nowhere")
    assert leaking.code == 1
    assert "neither a run directory nor a table" in leaking.err


def test_a_teacher_is_part_of_what_tells_runs_apart(teacher: Path, pupil: Any) -> None:
    first = in_process("fit-head", "second", "--head", "linear", "--plots", "none", "--json")
    second = in_process(
        "fit-head", "second", "--head", "linear", "--teacher", teacher, "--plots", "none", "--json"
    )
    assert (first.code, second.code) == (0, 0), second.err
    assert first.json["run"] != second.json["run"]
