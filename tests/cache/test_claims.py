"""Claims keep writers apart; they are hints, so nothing waits for the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headstart.cache.claims import SILENCE, ClaimBoard

OTHER_WRITER = """
import sys, time
from pathlib import Path
from headstart.cache.claims import ClaimBoard
with ClaimBoard(Path(sys.argv[1])) as board:
    taken = [bucket for bucket in map(int, sys.argv[2:]) if board.take(bucket)]
    print(*taken, flush=True)
    sys.stdin.readline()
"""


class Writer:
    """Another process with claims, until it is told to go or is killed."""

    def __init__(self, folder: Path, *buckets: int) -> None:
        command = [sys.executable, "-c", OTHER_WRITER, str(folder), *map(str, buckets)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.taken = [int(bucket) for bucket in self.process.stdout.readline().split()]

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        self.process.communicate(None if self.process.poll() is not None else "go\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "claims"


@pytest.fixture
def another(folder: Path) -> Iterator[Callable[..., Writer]]:
    writers = []

    def start(*buckets: int) -> Writer:
        writers.append(Writer(folder, *buckets))
        return writers[-1]

    yield start
    for writer in writers:
        if writer.process.returncode is None:
            writer.close()


def test_a_live_claim_is_respected_until_it_is_given_back(
    folder: Path, another: Callable[..., Writer]
) -> None:
    writer = another(3, 4)
    assert writer.taken == [3, 4]
    with ClaimBoard(folder) as board:
        assert not board.take(3)
        assert board.take(5)
        assert board.claimed() == {3, 4}
        assert not board.is_abandoned(3)
        assert board.owner(3) is not None
        assert str(writer.process.pid) in str(board.owner(3))
        writer.close()
        assert board.claimed() == set()
        assert board.take(3)
    assert list(folder.iterdir()) == []


def test_the_claims_of_a_killed_writer_are_taken_over_at_once(
    folder: Path, another: Callable[..., Writer]
) -> None:
    writer = another(3)
    writer.kill()
    assert (folder / "03").exists()
    with ClaimBoard(folder) as board:
        assert board.claimed() == {3}
        assert board.is_abandoned(3)
        assert board.take(3)
    assert list(folder.iterdir()) == []


def silence(folder: Path) -> None:
    """The writer has not been heard of for a little more than it may be silent."""
    past = time.time() - SILENCE - 5
    for path in folder.glob("*.live"):
        os.utime(path, (past, past))


def test_a_silent_writer_is_taken_for_dead(folder: Path, another: Callable[..., Writer]) -> None:
    writer = another(3)
    writer.process.send_signal(19)  # SIGSTOP: alive, and as silent as a machine that lost its network
    try:
        with ClaimBoard(folder) as board:
            assert not board.take(3)
            silence(folder)
            assert board.take(3)
            assert board.mine == {3}
    finally:
        writer.process.send_signal(18)
    writer.close()
    assert list(folder.iterdir()) == []


def test_a_writer_that_lost_its_claim_does_not_remove_the_new_one(folder: Path) -> None:
    with ClaimBoard(folder) as slow:
        assert slow.take(3)
        silence(folder)
        with ClaimBoard(folder) as quick:
            assert quick.take(3)
            slow.release([3])
            assert (folder / "03").exists()


def test_a_heartbeat_keeps_all_claims_fresh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.cache.claims.HEARTBEAT", 0.05)
    with ClaimBoard(folder) as board:
        assert board.take(1)
        assert board.take(2)
        silence(folder)
        time.sleep(0.3)
        for bucket in (1, 2):
            assert time.time() - (folder / f"{bucket:02x}").stat().st_mtime < SILENCE


def test_of_two_that_take_over_one_stale_claim_only_one_has_it(folder: Path) -> None:
    for bucket in range(20):
        folder.mkdir(exist_ok=True)
        (folder / f"{bucket:02x}").write_text("nobody")
        os.utime(folder / f"{bucket:02x}", (0, 0))
    writers = [Writer(folder, *range(20)) for _ in range(3)]
    taken = sorted(bucket for writer in writers for bucket in writer.taken)
    for writer in writers:
        writer.close()
    assert taken == list(range(20))


def test_a_fresh_claim_that_was_judged_by_its_stale_forerunner_is_put_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    (folder / "03").write_text("nobody")
    os.utime(folder / "03", (0, 0))
    with ClaimBoard(folder) as slow, ClaimBoard(folder) as quick:
        judge = slow.is_abandoned

        def judge_and_dawdle(bucket: int) -> bool:
            abandoned = judge(bucket)
            assert quick.take(bucket)  # in the moment between judging and taking over
            return abandoned

        monkeypatch.setattr(slow, "is_abandoned", judge_and_dawdle)
        assert not slow.take(3)
        assert (folder / "03").stat().st_ino == quick._live.stat().st_ino
        assert not list(folder.glob("*.stale"))


def test_without_hard_links_it_goes_without_claims(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    with ClaimBoard(folder) as board:
        assert board.take(3)
        assert board.take(4)
        assert not (folder / "03").exists()
    assert list(folder.iterdir()) == []


def test_claims_that_somebody_deleted_are_no_obstacle(folder: Path) -> None:
    with ClaimBoard(folder) as board:
        assert board.take(3)
        for path in folder.iterdir():
            path.unlink()
        assert board.take(4)
        board.release([3, 4])


def test_what_the_dead_left_behind_is_swept(folder: Path, another: Callable[..., Writer]) -> None:
    another(3).kill()
    assert len(list(folder.glob("*.live"))) == 1
    with ClaimBoard(folder):
        assert len(list(folder.glob("*.live"))) == 1
    assert not list(folder.glob("*.live"))
