"""How a command ends: at once, with all that was to be done first."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAVES = "import atexit, sys, threading, time\nfrom headstart.cli import leave\n"


def left(script: str) -> tuple[int, str, str]:
    """The exit code of a script, and what it wrote."""
    done = subprocess.run([sys.executable, "-c", LEAVES + script], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("code", "found"), [("0", 0), ("None", 0), ("3", 3), ("130", 130)])
def test_the_code_is_the_command_s(code: str, found: int) -> None:
    assert left(f"leave(SystemExit({code}))") == (found, "", "")


def test_what_was_written_and_what_is_to_be_done_at_the_end_is_not_lost() -> None:
    code, out, err = left(
        "sys.stdout.write('x' * 100_000)\nsys.stderr.write('said')\n"
        "atexit.register(lambda: print('done'))\nleave(SystemExit(0))"
    )
    assert (code, out, err) == (0, "x" * 100_000 + "done\n", "said")


def test_modules_are_not_taken_apart() -> None:
    script = "class Held:\n    def __del__(self): print('taken apart', flush=True)\nheld = Held()\n"
    assert left(script) == (0, "taken apart\n", "")
    assert left(script + "leave(SystemExit(0))") == (0, "", "")


def test_a_thread_at_work_is_waited_for() -> None:
    script = "def work():\n    time.sleep(0.2)\n    print('worked')\nthreading.Thread(target=work).start()\n"
    assert left(script + "leave(SystemExit(4))") == (4, "worked\n", "")


def test_a_message_as_code_is_said_as_python_says_it() -> None:
    assert left("leave(SystemExit('no such thing'))") == (1, "", "no such thing\n")


def test_nobody_who_reads_is_no_error() -> None:
    script = LEAVES + "sys.stdout.close()\nleave(SystemExit(0))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
