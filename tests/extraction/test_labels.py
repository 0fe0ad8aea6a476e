"""Splits and label names of a set, and the memory that a table of samples takes until it is committed."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headstart.data.growing
from headstart.arrow import keys_to_arrow
from headstart.cache.commit import commit_set
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.data.splits import TEST, TRAIN
from headstart.extraction.samples import Labelled, Samples, label_samples, samples_of
from headstart.keys import key_of, pack
from headstart.types import SPLITS, Failure, Grouping, LabelKind, SampleBlock

from ..memory import measured
from ..variants import examples


@dataclass
class Said:
    """What a source says about its labels."""

    label_kinds: dict[str, LabelKind] = field(default_factory=dict)
    label_names: dict[str, list[str]] = field(default_factory=dict)
    grouping: Grouping | None = None


def block_of(texts: list[str], splits: list[str | None] | None = None, **labels: pa.Array) -> SampleBlock:
    keys = keys_to_arrow(pack([key_of("text", text) for text in texts]))
    columns = {
        "id": pa.array([f"row {text}" for text in texts], pa.string()),
        "key": keys,
        "split": pa.array(splits or [None] * len(texts), pa.string()),
        "origin": pa.array(texts, pa.string()),
        **{f"label:{name}": column for name, column in labels.items()},
    }
    return SampleBlock(pa.table(columns), [Failure("bad", "bad", "it is empty")] if len(texts) % 2 else [])


def committed(labelled: Labelled, root: Path) -> FeatureSet:
    info = {"labels": labelled.labels, "split": labelled.split, "counts": labelled.counts(), "features": []}
    made = commit_set(Cache(root), "some", labelled, info, [])
    assert made is not None
    return made


def test_samples_are_the_blocks_one_after_the_other_wherever_they_lie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = [block_of([f"{start + n}" for n in range(start % 7)]) for start in range(0, 300, 10)]
    expected = pa.concat_tables([block.table for block in blocks])
    for in_memory in (1 << 20, 500):
        monkeypatch.setattr(headstart.data.growing, "IN_MEMORY", in_memory)
        samples = samples_of(blocks)
        assert samples.table.equals(expected)
        assert samples.table.column_names == ["id", "key", "split", "origin"]
        assert pa.concat_tables(samples.groups(17)).equals(expected)
        assert samples.keys.tobytes() == b"".join(expected.column("key").to_pylist())
        assert len(samples.failures) == sum(len(block.failures) for block in blocks)


TEXTS = st.lists(st.sampled_from([f"text {number}" for number in range(12)]), min_size=1, max_size=15)


@settings(max_examples=examples(40))
@given(before=TEXTS, kept=st.integers(0, 15), more=TEXTS, draw=st.randoms())
def test_samples_keep_their_splits_whichever_come_go_and_move(
    before: list[str],
    kept: int,
    more: list[str],
    draw: random.Random,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Of copies in several splits, the first row counts."""
    splits = [draw.choice(SPLITS) for _ in before]
    first = label_samples(samples_of([block_of(before, splits)]), Said(), None, 0)  # type: ignore[arg-type]
    made = committed(first, tmp_path_factory.mktemp("set"))
    now = before[:kept] + more
    again = label_samples(samples_of([block_of(now)]), Said(), made, 0)  # type: ignore[arg-type]
    was = dict(zip(reversed(before), reversed(first.splits), strict=True))
    for text, code in zip(now, again.splits, strict=True):
        assert code == was.get(text, code)


def test_with_several_labels_the_rarest_decides_the_stratum(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever blocks the samples come: a label with two samples gets into test all the same."""
    rare = {40, 190}
    lists = [["often", *(["rare"] if row in rare else [])] if row % 9 else None for row in range(200)]
    texts = [str(row) for row in range(200)]
    said = Said({"tags": "multi"})
    found = []
    for size in (200, 30, 7):
        starts = range(0, 200, size)
        column = pa.list_(pa.string())
        blocks = [
            block_of(texts[at : at + size], tags=pa.array(lists[at : at + size], column)) for at in starts
        ]
        labelled = label_samples(samples_of(blocks), said, None, 0)  # type: ignore[arg-type]
        assert labelled.labels == {"tags": ["often", "rare"]}
        assert sorted(labelled.splits[sorted(rare)].tolist()) == [TRAIN, TEST]
        found.append(labelled.splits.tolist())
    assert found[0] == found[1] == found[2]


def test_numbers_that_were_taken_for_classes_get_a_test_split_once_they_are_numbers(tmp_path: Path) -> None:
    texts = [str(row) for row in range(40)]
    classes = samples_of([block_of(texts, label=pa.array(texts))])
    first = label_samples(classes, Said({"label": "single"}), None, 0)  # type: ignore[arg-type]
    assert first.counts()["test"] == 0
    numbers = samples_of([block_of(texts, label=pa.array(map(float, texts)))])
    said = Said({"label": "regression"})
    second = label_samples(numbers, said, committed(first, tmp_path), 0)  # type: ignore[arg-type]
    assert second.splits.tolist() == label_samples(numbers, said, None, 0).splits.tolist()  # type: ignore[arg-type]
    assert second.counts()["test"] == 8


@pytest.mark.parametrize("change", [lambda texts: texts, lambda texts: texts[::-1], lambda texts: texts[5:]])
def test_what_was_assigned_stays(change: Callable[[list[str]], list[str]], tmp_path: Path) -> None:
    """Whether the samples are the very same, in another order, or fewer; copies included."""
    texts = [str(row % 80) for row in range(100)]
    labelled = label_samples(samples_of([block_of(texts)]), Said(), None, 3)  # type: ignore[arg-type]
    before = dict(zip(texts, labelled.splits.tolist(), strict=True))
    made = committed(labelled, tmp_path / "cache")
    now = change(texts)
    again = label_samples(samples_of([block_of(now)]), Said(), made, 3)  # type: ignore[arg-type]
    assert again.splits.tolist() == [before[text] for text in now]
    assert np.bincount(again.splits, minlength=3).tolist() == list(again.counts().values())[1:]


def test_a_copy_follows_what_the_set_had_for_the_first_row_of_its_key(tmp_path: Path) -> None:
    first = samples_of([block_of(["a", "b", "c", "a"], ["test", "validation", "train", "train"])])
    made = committed(label_samples(first, Said(), None, 0), tmp_path / "cache")  # type: ignore[arg-type]
    assert made.samples.column("split").to_pylist() == ["test", "validation", "train", "train"]
    silent = samples_of([block_of(["a", "b", "c", "a"], [None, "validation", "test", None])])
    again = label_samples(silent, Said(), made, 0)  # type: ignore[arg-type]
    assert [again.splits[row] for row in (0, 3)] == [TEST, TEST]
    assert again.n_leaking == 0


def test_the_whole_table_is_its_groups_together(tmp_path: Path) -> None:
    samples: Samples = samples_of([block_of([str(row) for row in range(50)])])
    labelled = label_samples(samples, Said(), None, 0)  # type: ignore[arg-type]
    assert labelled.table.to_pydict() == pa.concat_tables(labelled.groups(7)).to_pydict()
    assert labelled.table.column("split").null_count == 0


MEMORY = """
import sys
import pyarrow as pa
import headstart.data.growing
pa.set_cpu_count(1)
headstart.data.growing.IN_MEMORY = 1 << 20  # so that tables of this size are large ones
from headstart.cache.commit import commit_set
from headstart.cache.index import empty_index
from headstart.cache.store import Cache
from headstart.extraction.samples import register
from headstart.keys import first_occurrences, search
from headstart.progress import open_progress
from headstart.data import open_source
from headstart.extraction.samples import label_samples

data, root = sys.argv[1:]
cache, source = Cache(root), open_source(data)
samples = register(source, cache.keys, open_progress(quiet=True))
index = empty_index()
for part in range(4):
    keys = samples.keys[part::4]
    index = index.extended({f"{part:02x}-{part:016x}.h5": keys[first_occurrences(keys)]})
assert search(index.hi, index.lo, samples.keys)[1].all()
for _ in range(2):  # a new set, and then the same again
    labelled = label_samples(samples, source, cache.find_set("s"), 0)
    info = {"labels": labelled.labels, "split": labelled.split, "features": [], "counts": labelled.counts()}
    commit_set(cache, "s", labelled, info, [])
"""


def peak_bytes(n: int, folder: Path) -> int:
    with open(folder / f"{n}.csv", "w", encoding="utf-8") as file:
        file.write("text,label\n")
        file.writelines(f"a text with the number {row},class {row % 10}\n" for row in range(n))
    command = [sys.executable, "-c", MEMORY, str(folder / f"{n}.csv"), str(folder / f"cache-{n}")]
    code, err, peak = measured(command)
    assert code == 0, err
    return peak


@pytest.mark.parametrize(
    ("fewer", "more", "most"),
    # Where samples are few, what takes memory are the blocks that they are read in.
    [(20_000, 80_000, 400), pytest.param(200_000, 800_000, 150, marks=pytest.mark.slow)],
)
def test_a_sample_more_takes_little_more_than_its_key_and_its_place_in_the_index(
    fewer: int, more: int, most: int, tmp_path: Path
) -> None:
    """16 and 24 bytes stay, as much again is there while keys are sorted. With names and labels it was 500."""
    grown = peak_bytes(more, tmp_path) - peak_bytes(fewer, tmp_path)
    assert grown / (more - fewer) < most
