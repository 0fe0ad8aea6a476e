"""A batch size that a run arrived at is where the next one starts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from headstart.extraction import batches, extractor
from headstart.extraction.batch_sizes import BatchSize, BatchSizes
from headstart.extraction.batches import SAMPLES, BatchTuner
from headstart.files import read_json
from headstart.places import machine_dir

from .computing import plan


@pytest.fixture
def sizes(tmp_path: Path) -> BatchSizes:
    return BatchSizes(tmp_path / "not there yet" / "model.json")


def test_nothing_is_known_at_first(sizes: BatchSizes) -> None:
    assert sizes.find(50) is None


def test_two_runs_that_agree_make_it_sure(sizes: BatchSizes) -> None:
    found = []
    for budget in (512, 1024, 1024):
        sizes.remember(50, budget)
        found.append(sizes.find(50))
    assert found == [BatchSize(512, False), BatchSize(1024, False), BatchSize(1024, True)]


def test_lengths_are_told_apart_by_powers_of_two(sizes: BatchSizes) -> None:
    sizes.remember(50, 512)
    sizes.remember(200, 2048)
    assert [sizes.find(length) for length in (60, 46, 256, 16)] == [
        BatchSize(512, False),
        BatchSize(512, False),
        BatchSize(2048, False),
        None,
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"64": 3}',
        b'{"64": []}',
        b'{"64": ["a"]}',
        b'{"64": [0]}',
        b'{"64": [1.5]}',
        b"\xff",
    ],
)
def test_a_damaged_file_is_as_good_as_none_and_is_written_anew(content: bytes, sizes: BatchSizes) -> None:
    sizes.path.parent.mkdir()
    sizes.path.write_bytes(content)
    assert sizes.find(50) is None
    sizes.remember(50, 512)
    assert sizes.find(50) == BatchSize(512, False)


def test_where_nothing_can_be_written_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    sizes = BatchSizes(tmp_path / "file" / "model.json")
    sizes.remember(50, 512)
    assert sizes.find(50) is None


def test_a_tuner_that_resumes_tries_on_from_there_unless_it_is_sure() -> None:
    sure, unsure = BatchTuner(8), BatchTuner(8)
    sure.resume(32, is_sure=True)
    unsure.resume(32, is_sure=False)
    assert {sure.next_budget() for _ in range(4)} == {32}
    assert {unsure.next_budget() for _ in range(4)} == {32, 64}
    assert (sure.is_settled, unsure.is_settled) == (True, False)
    assert sure.found is None  # it has learned nothing


def test_only_what_the_work_has_shown_is_worth_remembering() -> None:
    tuner = BatchTuner(8)
    assert tuner.found is None
    while not tuner.is_settled:
        budget = tuner.next_budget()
        tuner.took(budget, budget, 1.0 if budget == 16 else 2.0 * budget)
    assert tuner.found == 16
    fixed = BatchTuner(8, is_fixed=True)
    assert fixed.found is None
    for _ in range(2 * SAMPLES):
        fixed.took(8, 8, 1.0)
    assert fixed.found is None


def test_what_memory_allows_is_remembered() -> None:
    tuner = BatchTuner(8)
    tuner.resume(32, is_sure=True)
    tuner.out_of_memory(32)
    assert tuner.found == 16


def test_a_run_starts_where_an_earlier_one_of_such_texts_ended(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor, "WORTH_TRYING", -1.0)
    # No size wins: else a busy moment may have it climb until the texts are over.
    monkeypatch.setattr(batches, "BETTER", math.inf)
    resumed: list[tuple[int, bool]] = []
    monkeypatch.setattr(BatchTuner, "resume", lambda _, *known: resumed.append(known))

    def run(n: int, name: str) -> None:
        texts = [f"{name} {number}" for number in range(n)]
        plan(texts, "py:tiny_backbones:texts", cache_root / name, "text").run()

    run(4000, "first")
    [file] = (machine_dir() / "batches").iterdir()
    [[budget]] = read_json(file).values()
    assert not resumed
    run(10, "second")
    assert resumed == [(budget, False)]
