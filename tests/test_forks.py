"""Tests in forks: every report arrives, and what a dead process leaves undone has failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = {
    "test_a.py": """
import os, warnings
import pytest

@pytest.fixture(scope="module")
def made(tmp_path_factory):
    yield tmp_path_factory.mktemp("made")
    assert os.getpid() == PROCESS

PROCESS = None

def test_passes(made):
    global PROCESS
    PROCESS = os.getpid()
    warnings.warn("look here")

@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail(made): assert False

def test_is_skipped(made): pytest.skip("not here")
""",
    "test_b.py": "def test_fails(tmp_path): assert [1, 2] == [1, 3]",
    "test_c.py": "import os\ndef test_dies(): os._exit(7)\ndef test_behind_it(): pass",
    "test_d.py": "def test_that_others_run(): pass",
}


def test_every_report_arrives(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.forks", "--forks", "3", "-c", "/dev/null", "-rfE",
         "--rootdir", tmp_path, tmp_path, "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    for said in (
        "3 failed, 2 passed, 1 skipped, 1 xfailed, 1 warning",
        "UserWarning: look here",
        "test_b.py::test_fails",
        "test_c.py::test_dies",
        "test_c.py::test_behind_it",
        "At index 1 diff: 2 != 3",
    ):
        assert said in done.stdout, done.stdout
    assert done.stdout.count("the process that ran test_c.py died") >= 2
    assert not done.stderr
