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
