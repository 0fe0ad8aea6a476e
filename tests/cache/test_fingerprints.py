"""The memo remembers what it was told, and forgets rather than errs."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.cache.memos import MAX_FILES, FingerprintMemo
from headstart.testing.shard_format import Tripwire
from tests.variants import examples


def rows(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 16), dtype=np.uint8)


def test_it_remembers_across_processes(tmp_path: Path) -> None:
    FingerprintMemo(tmp_path / "memo").remember(rows(0, 50), rows(1, 50))
    values, known = FingerprintMemo(tmp_path / "memo").lookup(np.concatenate([rows(0, 50)[::-1], rows(2, 5)]))
    assert known.tolist() == [True] * 50 + [False] * 5
    assert np.array_equal(values[:50], rows(1, 50)[::-1])
    assert not values[50:].any()


@settings(max_examples=examples(20), deadline=None)
@given(batches=st.lists(st.integers(0, 20), max_size=3 * MAX_FILES), reopen=st.booleans())
def test_it_is_a_dictionary_in_few_files(
    batches: list[int], reopen: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("memo")
    memo = FingerprintMemo(folder)
    for number, n in enumerate(batches):
        memo = FingerprintMemo(folder) if reopen else memo
        memo.remember(rows(2 * number, n), rows(2 * number + 1, n))
    assert len(list(folder.glob("*.npy"))) <= MAX_FILES
    for number, n in enumerate(batches):
        values, known = FingerprintMemo(folder).lookup(rows(2 * number, n))
        assert known.all()
        assert np.array_equal(values, rows(2 * number + 1, n))


def test_an_empty_memo_knows_nothing_and_makes_nothing(tmp_path: Path) -> None:
    memo = FingerprintMemo(tmp_path / "memo")
    memo.remember(rows(0, 0), rows(0, 0))
    assert not memo.lookup(rows(0, 3))[1].any()
    assert memo.lookup(rows(0, 0))[0].shape == (0, 16)
    assert not (tmp_path / "memo").exists()


def test_broken_files_are_passed_over(tmp_path: Path) -> None:
    memo = FingerprintMemo(tmp_path)
    memo.remember(rows(0, 10), rows(1, 10))
    (good,) = tmp_path.glob("*.npy")
    content = good.read_bytes()
    np.save(tmp_path / "floats.npy", np.ones((3, 32)))
    np.save(tmp_path / "narrow.npy", np.ones((3, 31), np.uint8))
    with open(tmp_path / "zip.npy", "wb") as file:
        np.savez(file, a=np.ones(3))
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Tripwire(tmp_path / "sprung")))
    for cut in range(0, len(content), 37):
        (tmp_path / f"cut{cut}.npy").write_bytes(content[:cut])
    values, known = FingerprintMemo(tmp_path).lookup(rows(0, 10))
    assert known.all()
    assert np.array_equal(values, rows(1, 10))
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_header_costs_only_the_work_again(tmp_path: Path) -> None:
    FingerprintMemo(tmp_path).remember(rows(0, 10), rows(1, 10))
    (path,) = tmp_path.glob("*.npy")
    content = path.read_bytes()
    for position in range(128):
        for bit in (0, 3, 7):
            bad = bytearray(content)
            bad[position] ^= 1 << bit
            path.write_bytes(bad)
            values, known = FingerprintMemo(tmp_path).lookup(rows(0, 10))
            assert np.array_equal(values[known], rows(1, 10)[known])


def test_where_nothing_may_be_written_it_goes_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    memo = FingerprintMemo(tmp_path / "file" / "memo")
    memo.remember(rows(0, 3), rows(1, 3))
    assert not FingerprintMemo(tmp_path / "file" / "memo").lookup(rows(0, 3))[1].any()


def test_a_flipped_bit_is_forgotten_not_believed(tmp_path: Path) -> None:
    fingerprints = np.arange(32, dtype=np.uint8).reshape(2, 16)
    FingerprintMemo(tmp_path).remember(fingerprints, fingerprints[::-1])
    (path,) = tmp_path.glob("*.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert not FingerprintMemo(tmp_path).lookup(fingerprints)[1].any()
