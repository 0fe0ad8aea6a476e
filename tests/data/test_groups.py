"""Samples of one group stay on one side of every split that is made."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.splits import NOT_GIVEN, TEST, TRAIN, VALIDATION, complete_splits
from headstart.errors import ConfigError
from headstart.extraction.samples import label_samples, samples_of
from headstart.keys import key_of, pack, units_among
from headstart.types import Grouping
from tests.data.conftest import scan, write_image, write_table
from tests.data.tars import write_tar
from tests.extraction.test_labels import Said, block_of, committed

from ..variants import examples


@given(
    rows=st.lists(st.tuples(st.integers(0, 8), st.integers(-1, 8)), min_size=1, max_size=40),
    given_=st.lists(st.integers(-1, 2), min_size=40, max_size=40),
)
@settings(max_examples=examples(60), deadline=None)
def test_units_are_rows_that_share_a_key_or_a_group(rows: list[tuple[int, int]], given_: list[int]) -> None:
    keys = pack(key_of("text", str(key)) for key, _ in rows)
    groups = np.array([group for _, group in rows])
    units = units_among(keys, groups)
    unit = {row: -row - 1 for row in range(len(rows))}
    unit.update(zip(units.rows.tolist(), units.groups.tolist(), strict=True))
    for first, (key, group) in enumerate(rows):
        for second, (other_key, other_group) in enumerate(rows):
            if key == other_key or group == other_group >= 0:
                assert unit[first] == unit[second]
    assert units.n_groups == len({unit[row] for row in units.rows.tolist()})
    data = np.array(given_[: len(rows)], dtype=np.int8)
    nothing = np.full(len(rows), NOT_GIVEN, dtype=np.int8)
    split = complete_splits(
        keys, np.zeros(len(rows), np.int64), data, nothing, 0, units, lambda row: str(groups[row])
    )
    for code in (TEST, VALIDATION):
        if not (data == code).any():
            moved = {unit[row] for row in np.flatnonzero(split == code).tolist()}
            assert not moved & {unit[row] for row in np.flatnonzero(split != code).tolist()}


def test_the_rank_of_a_made_split_is_that_of_the_group() -> None:
    groups = [f"patient {row // 4}" for row in range(40)]
    keys = pack(key_of("text", str(row)) for row in range(40))
    nothing = np.full(40, NOT_GIVEN, dtype=np.int8)
    units = units_among(keys, np.arange(40) // 4)
    split = complete_splits(keys, np.zeros(40, np.int64), nothing, nothing, 7, units, lambda row: groups[row])
    salt = (7).to_bytes(8, "little", signed=True)
    ranked = sorted(set(groups), key=lambda name: blake2b(salt + name.encode(), digest_size=8).digest())
    assert {groups[row] for row in np.flatnonzero(split == TEST)} == set(ranked[:2])
    assert {groups[row] for row in np.flatnonzero(split == VALIDATION)} == {ranked[2]}


def table(path: Path, n: int = 40) -> Path:
    columns = {
        "text": [f"text number {row}" for row in range(n)],
        "label": [str(row % 2) for row in range(n)],
        "patient": [f"p{row // 4}" for row in range(n)],
    }
    return write_table(path, columns)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_column_of_groups_is_kept_and_said(tmp_path: Path, ending: str) -> None:
    found = scan(table(tmp_path / f"t{ending}"), group_column="patient")
    assert found.column("meta:group") == [f"p{row // 4}" for row in range(40)]
    assert "groups in 'patient'" in found.source.description
    assert found.source.grouping == Grouping("patient", is_asked=True)
    assert scan(tmp_path / f"t{ending}").source.grouping is None
    with pytest.raises(ConfigError, match=r"--group-column pateint: .*did you mean 'patient'"):
        scan(tmp_path / f"t{ending}", group_column="pateint")


def test_captions_of_one_image_are_a_group_by_default(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 1)
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    write_image(tmp_path / "b.png", 2)
    columns = {
        "image": ["a.png", "copy.png", "b.png"],
        "caption": ["a cat sits", "a cat sleeps", "a dog runs"],
    }
    found = scan(write_table(tmp_path / "t.csv", columns), modality="image-text")
    first, second, third = found.column("meta:group")
    assert first == second != third
    assert found.source.grouping == Grouping("image", is_asked=False)
    members = {"a.jpg": b"one", "a.txt": b"a cat sits", "b.jpg": b"one", "b.txt": b"it sleeps"}
    write_tar(tmp_path / "tars" / "t.tar", members)
    found = scan(tmp_path / "tars", modality="image-text")
    assert len(set(found.column("meta:group"))) == 1


class TestSets:
    """What becomes of the splits of a set."""

    def grouped(self, n: int, *, is_asked: bool = True) -> tuple[object, Said]:
        names = pa.array([f"p{row // 4}" for row in range(n)])
        block = block_of([str(row) for row in range(n)])
        samples = samples_of([type(block)(block.table.append_column("meta:group", names), [])])
        return samples, Said(grouping=Grouping("patient", is_asked))

    def sides(self, splits: np.ndarray) -> list[int]:
        return [len(set(splits[start : start + 4].tolist())) for start in range(0, len(splits), 4)]

    def test_a_group_is_on_one_side_and_stays_there(self, tmp_path: Path) -> None:
        samples, said = self.grouped(40)
        first = label_samples(samples, said, None, 0)  # type: ignore[arg-type]
        assert set(self.sides(first.splits)) == {1}
        assert first.split["group"] == "patient"
        more, said = self.grouped(80)
        second = label_samples(more, said, committed(first, tmp_path), 0)  # type: ignore[arg-type]
        assert second.splits[:40].tolist() == first.splits.tolist()
        assert set(self.sides(second.splits)) == {1}

    def test_a_set_that_exists_keeps_its_splits_unless_groups_are_asked_for(self, tmp_path: Path) -> None:
        plain = label_samples(samples_of([block_of([str(row) for row in range(40)])]), Said(), None, 0)  # type: ignore[arg-type]
        made = committed(plain, tmp_path)
        samples, said = self.grouped(40, is_asked=False)
        assert label_samples(samples, said, made, 0).splits.tolist() == plain.splits.tolist()  # type: ignore[arg-type]
        samples, said = self.grouped(40)
        assert set(self.sides(label_samples(samples, said, made, 0).splits)) == {1}  # type: ignore[arg-type]
        assert TRAIN in plain.splits
