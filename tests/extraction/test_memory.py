"""Memory that runs out costs a smaller batch, and never a feature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.errors import BackboneError
from headstart.extraction import extractor
from headstart.extraction.batches import ReadyItems
from headstart.memory import is_out_of_memory

from .computing import assert_close, compute, n_stored, plan, some_texts

TEXTS = some_texts(90)


@pytest.mark.parametrize("backbone", ["crowded", "one_lane"])
@pytest.mark.parametrize("options", [{}, {"batch_size": 64}, {"batch_size": 5}])
def test_batches_shrink_until_they_fit_and_all_features_are_right(
    cache_root: Path, tmp_path: Path, backbone: str, options: dict[str, Any]
) -> None:
    task = plan(TEXTS, f"py:odd_backbones:{backbone}", cache_root, **options)
    filled = task.run()
    assert (filled.n_computed, filled.failures, task.heard.n_advanced) == (90, [], 90)
    assert_close(task.features().values, compute(TEXTS, "py:odd_backbones:plain", tmp_path / "other"))
    assert n_stored(cache_root) == 90
    said = [line for line in task.heard.lines if "out of memory" in line]
    sizes = [int(line.split("batch of ")[1].split(";")[0]) for line in said]
    assert sizes, "the first batches are too large"
    # A batch that was made before another one failed may be as large as that one, and is not tried again.
    assert sizes == sorted(set(sizes), reverse=True), said
    assert filled.timings is not None
    assert 2 <= filled.timings.batch <= 3  # and not less than had to be


def test_one_sample_that_does_not_fit_ends_the_run_and_keeps_the_rest(cache_root: Path) -> None:
    compute(TEXTS[:50], "py:odd_backbones:crowded", cache_root)
    task = plan([*TEXTS[:50], "bang"], "py:odd_backbones:crowded", cache_root)
    with pytest.raises(
        BackboneError, match=r"out of memory with a batch of one sample.*is kept.*--device cpu"
    ):
        task.run()
    assert task.held() == [True] * 50 + [False]


def test_what_was_computed_before_memory_ran_out_is_committed(cache_root: Path) -> None:
    task = plan([*TEXTS, "bang"], "py:odd_backbones:crowded", cache_root, batch_size=1)
    with pytest.raises(BackboneError, match="out of memory"):
        task.run()
    n_held = sum(task.held())
    assert n_held == n_stored(cache_root)
    again = plan(TEXTS, "py:odd_backbones:crowded", cache_root)
    assert len(again.work.todo) == 90 - n_held
    assert again.run().n_computed == 90 - n_held


def test_a_batch_size_does_not_let_all_texts_be_read_at_once(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its budget bounds nothing: a million prepared texts lay in memory, 500 MB of them."""
    monkeypatch.setattr(extractor, "WINDOW", 64)
    waiting: list[int] = []
    sort = ReadyItems.sort

    def noting(ready: ReadyItems) -> None:
        sort(ready)
        waiting.append(len(ready))

    monkeypatch.setattr(ReadyItems, "sort", noting)
    task = plan(some_texts(1500), "py:odd_backbones:plain", cache_root, batch_size=4)
    assert task.run().n_computed == 1500
    assert max(waiting) < 400


def because(cause: Exception) -> BackboneError:
    """What a backbone of the user's own raises around an error of its code."""
    error = BackboneError("py:a:b failed on a batch of 4")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (MemoryError(), True),
        (because(MemoryError()), True),
        (because(ValueError("a bang")), False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (None, False),
    ],
)
def test_an_error_is_known_for_what_it_is(error: BaseException | None, ran_out: bool) -> None:
    assert is_out_of_memory(error) is ran_out
