"""Extracting anew under a name: another set is refused, and any other change goes through and is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.cache.commit import commit_set
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError
from headstart.extraction.changes import check_changes
from headstart.extraction.samples import Samples, label_samples, samples_of
from headstart.progress import Silence
from tests.extraction.test_labels import Said, block_of
from tests.variants import examples


class Told(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class From(Said):
    """What a source says, its modality included."""

    modality = "text"


def samples(texts: list[str], labels: Any) -> Samples:
    column = labels if isinstance(labels, pa.Array) else pa.array(labels)
    return samples_of([block_of(texts, label=column)])


def a_set(root: Path, texts: list[str], labels: Any, kind: Any = "single") -> FeatureSet:
    labelled = label_samples(samples(texts, labels), From({"label": kind}), None, 0)  # type: ignore[arg-type]
    info = {
        "labels": labelled.labels,
        "label_kinds": {"label": kind},
        "split": labelled.split,
        "counts": labelled.counts(),
        "features": [],
        "source": {"modality": "text"},
    }
    made = commit_set(Cache(root), "some", labelled, info, [])
    assert made is not None
    return made


def said(made: FeatureSet, now: Samples, source: From) -> list[str]:
    told = Told()
    check_changes(made, source, now, told)  # type: ignore[arg-type]
    return told.lines


def test_changes_are_counted(tmp_path: Path) -> None:
    made = a_set(tmp_path, ["a", "b", "c", "d"], ["x", "y", "x", "y"])
    source = From({"label": "single"})
    assert said(made, samples(["a", "b", "c", "d"], ["x", "y", "x", "y"]), source) == []
    now = samples(["d", "b", "a", "e", "f"], ["y", "x", None, "x", "x"])
    assert said(made, now, source) == [
        "set some changes: of 4 samples 3 stay; 2 more, 1 gone, 2 relabelled",
    ]


def test_copies_with_labels_of_their_own_are_no_change(tmp_path: Path) -> None:
    texts, labels = ["a", "b", "a", "a"], ["x", "y", "y", None]
    made = a_set(tmp_path, texts, labels)
    source = From({"label": "single"})
    assert said(made, samples(texts, labels), source) == []
    assert said(made, samples(texts[::-1], labels[::-1]), source) == []
    assert "1 relabelled" in said(made, samples(texts, ["x", "y", "z", None]), source)[0]


ROWS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y", None])), min_size=1, max_size=9
)


def columns(rows: list[tuple[str, str | None]]) -> tuple[list[str], pa.Array]:
    return [text for text, _ in rows], pa.array([label for _, label in rows], pa.string())


@settings(max_examples=examples(40))
@given(before=ROWS, kept=st.integers(0, 9), more=ROWS)
def test_a_sample_is_relabelled_if_none_of_its_copies_had_its_label(
    before: list[tuple[str, str | None]],
    kept: int,
    more: list[tuple[str, str | None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """However many rows stay in their places, come, go and move."""
    now = before[:kept] + more
    there = {text for text, _ in before}
    if not there & {text for text, _ in now}:
        return  # another set, which is refused
    made = a_set(tmp_path_factory.mktemp("set"), *columns(before))
    n_relabelled = sum(text in there and (text, label) not in before for text, label in now)
    line = "".join(said(made, samples(*columns(now)), From({"label": "single"})))
    assert f"{n_relabelled} relabelled" in line if n_relabelled else "relabelled" not in line


def test_labels_of_several_a_sample_are_compared(tmp_path: Path) -> None:
    made = a_set(tmp_path, ["a", "b"], [["x"], ["x", "y"]], "multi")
    source = From({"label": "multi"})
    assert said(made, samples(["a", "b"], [["x"], ["x", "y"]]), source) == []
    assert "1 relabelled" in said(made, samples(["a", "b"], [["x"], ["x"]]), source)[0]


def test_another_set_is_refused_with_the_way_out(tmp_path: Path) -> None:
    made = a_set(tmp_path, ["a", "b"], ["x", "y"])
    source = From({"label": "single"})
    with pytest.raises(ConfigError, match="none of its 2 samples is in the data; pass --replace"):
        said(made, samples(["c", "d"], ["x", "y"]), source)
    with pytest.raises(
        ConfigError, match="'label' are of the kind single, and now regression; pass --replace"
    ):
        said(made, samples(["a", "b"], [1.5, 2.5]), replace(source, label_kinds={"label": "regression"}))
    source.modality = "image"
    with pytest.raises(ConfigError, match="it holds text samples, and the data image samples"):
        said(made, samples(["a", "b"], ["x", "y"]), source)
