"""Whatever the number of samples, each is computed once, and each that fails is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import BackboneError, StorageError
from headstart.extraction.backbone import load_model
from headstart.extraction.claimed import ClaimedExtraction
from headstart.extraction.inference import NOT_FINITE
from headstart.extraction.writer import ShardWriter

from .computing import Heard, assert_close, compute, n_stored, open_model, plan, some_texts
from .computing import alone as computed_alone

PLAIN = "py:odd_backbones:plain"
TEXTS = "py:tiny_backbones:texts"


@pytest.mark.parametrize("n", [1, 2, 3, 17, 700])
def test_every_sample_is_computed_once_and_stored_under_its_key(cache_root: Path, n: int) -> None:
    texts = some_texts(n)
    task = plan(texts, PLAIN, cache_root)
    filled = task.run()
    assert (filled.n_computed, task.heard.n_advanced, n_stored(cache_root)) == (n, n, n)
    assert_close(task.features().values, computed_alone(open_model(PLAIN), texts, "pooler"))
    again = plan([*texts, *texts[:5]], PLAIN, cache_root)
    assert len(again.work.todo) == 0
    assert again.run().timings is None
    assert not again.opened.was_loaded or again.opened.info.code  # one of the user's is asked each time


def test_copies_are_computed_once(cache_root: Path) -> None:
    texts = some_texts(20)
    task = plan([*texts, *texts, texts[0]], PLAIN, cache_root)
    assert task.run().n_computed == n_stored(cache_root) == 20


def test_samples_that_give_nan_are_named_and_the_others_kept(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_NAN", "some")
    texts = [*some_texts(50), "zebra", "zoo"]
    task = plan(texts, TEXTS, cache_root)
    filled = task.run()
    assert task.held() == [True] * 50 + [False] * 2
    assert (filled.n_computed, task.heard.n_advanced) == (50, 52)
    assert {(failure.id, failure.reason, failure.kind) for failure in filled.failures} == {
        ("50", NOT_FINITE, "permanent"),
        ("51", NOT_FINITE, "permanent"),
    }
    assert {failure.space for failure in filled.failures} == {task.work.spaces[0].id}


def test_a_model_that_gives_nothing_but_nan_is_stopped_early(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_NAN", "all")
    task = plan(some_texts(2000), TEXTS, cache_root)
    with pytest.raises(BackboneError, match=r"NaN or infinity for all of the first .* --precision fp32"):
        task.run()
    assert task.heard.n_advanced < 1000
    assert n_stored(cache_root) == 0


def test_a_value_that_float16_cannot_hold_stops_the_first_batch(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_SCALE", "1e6")
    task = plan(some_texts(2000), TEXTS, cache_root, dtype="float16")
    with pytest.raises(StorageError, match=r"more than float16 can hold .*--dtype float32"):
        task.run()
    assert task.heard.n_advanced < 1000
    assert n_stored(cache_root) == 0


def test_taps_that_fail_for_a_sample_fail_by_themselves(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three taps lacks a sample that the other two have from before: only that one is computed."""
    texts = some_texts(30)
    compute(texts, PLAIN, cache_root, taps=["pooler"])
    task = plan(texts, PLAIN, cache_root, taps=["pooler", "last.mean", "last.max.l2"])
    assert len(task.work.todo) == 30
    assert task.run().n_computed == 30
    assert n_stored(cache_root) == 90
    for number in range(3):
        assert task.held(number) == [True] * 30


def test_a_stream_keeps_its_shards_open_from_block_to_block(cache_root: Path) -> None:
    """Of 12 blocks there is one shard in the end, whose writing counts once."""
    heard = Heard()
    tasks = [plan(some_texts(240)[start : start + 20], PLAIN, cache_root) for start in range(0, 240, 20)]
    spaces = tasks[0].work.spaces
    for space in spaces:
        space.prepare()
    model = load_model(tasks[0].opened, "cpu", "fp32")
    writer = ShardWriter(spaces, tasks[0].work.shard_format)
    engine = ClaimedExtraction(heard)
    writing = 0.0
    for task in tasks:
        assert list(engine.run(task.work, model, writer, keeps_open=True)) == []
        assert engine.timings is not None
        writing += engine.timings.write
    assert (engine.n_computed, heard.n_advanced, len(spaces[0])) == (240, 240, 0)
    assert [shard.n_rows for shard in writer.commit()] == [240]
    casting = writing - writer.stopwatch.seconds("write")
    assert writing <= casting + writer.stopwatch.seconds("write") + 1e-6
    np.testing.assert_array_equal(tasks[3].features().values, spaces[0].gather(tasks[3].samples.keys).values)
