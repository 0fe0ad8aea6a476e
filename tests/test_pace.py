"""Rate and time left: from the second part on, and what comes before the first is no work."""

from __future__ import annotations

import pytest

from headstart.pace import Pace
from headstart.progress import Lines


def test_loading_is_no_part_of_the_rate() -> None:
    pace = Pace(100)
    assert str(pace) == "0 of 100"
    pace.advance(10, now=30.0)  # half a minute of loading, and the first batch
    assert (str(pace), pace.rate, pace.left) == ("10 of 100", None, None)
    pace.advance(10, now=32.0)
    assert (str(pace), pace.left) == ("20 of 100, 5.0/s, 16 s left", 16.0)


def test_what_is_slow_says_how_long_one_takes() -> None:
    pace = Pace(None)
    pace.advance(1, now=0.0)
    pace.advance(1, now=40.0)
    assert (str(pace), pace.left) == ("2, 40 s each", None)


def test_nothing_left_and_nothing_done_are_said_as_they_are() -> None:
    pace = Pace(3)
    pace.advance(0, now=0.0)
    pace.advance(3, now=1.0)
    assert str(pace) == "3 of 3"
    pace.advance(0, now=2.0)
    assert (str(pace), pace.rate) == ("3 of 3", None)


def misses(batches: list[tuple[int, float, float]], total: int) -> list[float]:
    """What is said to be left over what is, from a tenth of the way on; of batches with samples, seconds and work."""
    pace, now, end = Pace(total), 0.0, sum(seconds for _, seconds, _ in batches)
    found = []
    for n, seconds, work in batches:
        now += seconds
        pace.advance(n, now, work)
        if pace.left is not None and 0.1 * end <= now < 0.95 * end:
            found.append(pace.left / (end - now))
    assert len(found) > 10
    return found


def test_what_is_left_is_told_from_the_work_and_not_from_the_number() -> None:
    lengths = [round(200 * 0.98**place) + 5 for place in range(200)]  # the longest texts come first
    mean = sum(lengths) / len(lengths)
    batches = [(10, length / 100, 10 * length / mean) for length in lengths]
    assert all(0.9 < ratio < 1.1 for ratio in misses(batches, 2000))
    by_number = misses([(n, seconds, float(n)) for n, seconds, _ in batches], 2000)
    assert max(by_number) > 2  # what was said before


def test_work_that_becomes_faster_is_soon_taken_as_such() -> None:
    batches = [(10, 2.0, 10.0)] * 40 + [(10, 1.0, 10.0)] * 160  # a conversion ended, say
    since_a_tenth = misses(batches, 2000)  # the first is of the 13th batch
    assert all(0.75 < ratio < 1.34 for ratio in since_a_tenth[28 + 25 :])
    assert all(1.5 < ratio < 2.1 for ratio in since_a_tenth[:28])  # nobody can know


def test_a_long_phase_is_remembered_in_few_numbers() -> None:
    pace = Pace(100_000)
    for now in range(50_000):
        pace.advance(1, float(now))
    assert pace.left == pytest.approx(50_000, rel=0.01)
    assert len(pace._marks) <= 64


def test_a_log_has_a_line_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 12.0, 14.0, 20.0])
    monkeypatch.setattr("headstart.progress.time.monotonic", lambda: next(clock))
    lines = Lines()
    lines.begin("extracting", 60)
    for _ in range(3):
        lines.advance(20)
    assert capsys.readouterr().err.splitlines() == [
        "extracting: 20 of 60",
        "extracting: 60 of 60, 5.0/s, 0 s left",
    ]
