"""A set without labels gets them from people: one decision after the other, and no split moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.errors import DataError

from ..made_sets import make_set
from .files import HEADER, labels_of, row, write

N = 40


@pytest.fixture
def bare(cache_root: Path) -> FeatureSet:
    """Forty samples of which nobody said anything, but who took them."""
    X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    return make_set(cache_root, X, {}, meta={"camera": ["one"] * N})


def named(features: FeatureSet, number: int, new: str, **more: Any) -> dict[str, str]:
    return row(features, number, "", new, **{"label": "label", "action": "", **more})


def test_a_set_without_labels_takes_them(bare: FeatureSet, tmp_path: Path) -> None:
    file = write(
        tmp_path / "new.csv", [named(bare, 3, "wasp"), named(bare, 1, "bee"), named(bare, 2, "wasp")]
    )
    new = bare.correct(file)
    assert new.label_names == {"label": ("bee", "wasp")}
    assert new.label_kinds == {"label": "single"}
    assert {id: label for id, label in labels_of(new, "label").items() if label} == {
        "s1": "bee", "s2": "wasp", "s3": "wasp",
    }  # fmt: skip
    for name in bare.samples.column_names:
        assert new.samples.column(name).equals(bare.samples.column(name))
    assert hs.open_set("made", cache=str(bare.cache)).digest == new.digest


def test_its_classes_stay_in_order_of_name_whichever_came_first(bare: FeatureSet, tmp_path: Path) -> None:
    first = bare.correct(write(tmp_path / "a.csv", [named(bare, 0, "wasp")]))
    second = first.correct(write(tmp_path / "b.csv", [named(first, 1, "ant")]))
    assert second.label_names == {"label": ("ant", "wasp")}
    other = write(tmp_path / "c.csv", [named(bare, 0, "wasp"), named(bare, 1, "ant")])
    fresh = make_set(tmp_path / "another", bare.arrays()[0], {}, meta={"camera": ["one"] * N}).correct(other)
    assert labels_of(fresh, "label") == labels_of(second, "label")
    assert fresh.label_names == second.label_names


def test_rows_that_nobody_filled_in_change_nothing_and_are_counted(
    bare: FeatureSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "half.csv", [named(bare, 0, "bee"), named(bare, 1, ""), named(bare, 2, "")])
    new = bare.correct(file, quiet=False)
    assert "half.csv: 2 of 3 rows are not filled in" in capsys.readouterr().err
    assert [one.id for one in new.corrections] == ["s0"]
    nothing = write(tmp_path / "none.csv", [named(bare, 1, "")])
    assert new.correct(nothing).digest == new.digest


def test_the_column_has_one_name(bare: FeatureSet, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [named(bare, 0, "bee", label="insect")])
    with pytest.raises(DataError, match="line 2: set 'made' has no label 'insect'"):
        bare.correct(file)


def test_a_sample_of_a_set_without_labels_is_dropped(bare: FeatureSet, tmp_path: Path) -> None:
    new = bare.correct(write(tmp_path / "a.csv", [named(bare, 0, "", action="drop")]))
    assert len(new) == N - 1


def test_a_head_is_fitted_on_what_was_filled_in(cache_root: Path, tmp_path: Path) -> None:
    X = np.repeat(np.eye(2, 4, dtype=np.float32), N // 2, axis=0)
    X += np.random.default_rng(0).normal(size=X.shape).astype(np.float32) / 10
    bare = make_set(cache_root, X, {})
    rows = [
        named(bare, number, "left" if number < N // 2 else "right") for number in (0, 1, 2, 3, 20, 21, 22, 23)
    ]
    run = hs.fit_head(bare, "ridge", corrections=write(tmp_path / "a.csv", rows, HEADER), plots="none")
    assert run.report["corrections"]["applied"]["relabel"] == 8
    assert "no labels" in run.report["corrections"]["no_comparison"]
    assert run.predictor.classes == ["left", "right"]


def test_labels_stay_when_the_data_is_extracted_again_and_no_split_moves(
    tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "end_to_end"))
    texts = pa.table({"text": [f"text {number} {'ox' * (number % 5)}" for number in range(60)]})
    options: dict[str, Any] = {"set": "texts", "cache": str(cache_root), "text_column": "text"}
    bare = hs.extract(texts, "py:tiny_backbones:texts", **options)
    assert not bare.label_names
    rows = [named(bare, number, f"class {number % 3}") for number in range(0, 60, 2)]
    labelled = bare.correct(write(tmp_path / "a.csv", rows))
    again = hs.extract(texts, "py:tiny_backbones:texts", normalize=True, **options)
    assert labels_of(again, "label") == labels_of(labelled, "label")
    assert again.label_names == labelled.label_names
    assert again.samples.column("split").equals(bare.samples.column("split"))
    ended = hs.extract(texts, "py:tiny_backbones:texts", drop_corrections=True, **options)
    assert not ended.label_names
    assert ended.samples.column("split").equals(bare.samples.column("split"))
