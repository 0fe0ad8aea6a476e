"""A cache that may not be written to can be read, listed, verified and exported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from caches import RECIPE, commit, keys_of, put, space_of

from headstart.cache.index import Index
from headstart.cache.store import Cache
from tests.variants import variants

# Root may write anywhere, so modes say nothing to it: an audit hook refuses as a read-only mount does.
READ_ONLY = """
import errno, os, runpy, sys
root = sys.argv.pop(1)
WRITES = {"os.rename": 0, "os.remove": 0, "os.mkdir": 0, "os.link": 1, "os.utime": 0, "os.rmdir": 0,
          "os.truncate": 0, "os.symlink": 1}
def refuse(event, arguments):
    path = None
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = arguments[0]
    elif event in WRITES:
        path = arguments[WRITES[event]]
    if isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(root):
        raise OSError(errno.EROFS, "Read-only file system", os.fsdecode(path))
sys.addaudithook(refuse)
sys.argv[0] = "headstart"
runpy.run_module("headstart", run_name="__main__")
"""


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    """A cache with an index that does not cover everything."""
    cache = Cache(cache_root)
    cache.prepare()
    put(cache, range(20))
    space = space_of(cache)
    space.refresh()
    space.save_index()
    put(cache, range(20, 30), format_name="parquet")
    commit(cache, range(30))
    return cache


def command(cache: Cache, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(cache.root), *arguments, "--cache", str(cache.root)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def files(cache: Cache) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in cache.root.rglob("*")}


@pytest.mark.parametrize(
    "arguments",
    variants(
        [
            ("cache", "ls"),
            ("cache", "show", RECIPE.id),
            ("cache", "verify"),
            ("cache", "gc", "--grace", "0"),
        ],
        [("cache", "ls"), ("cache", "verify")],
    ),
    ids=" ".join,
)
def test_it_is_read(cache: Cache, arguments: tuple[str, ...]) -> None:
    before = files(cache)
    done = command(cache, *arguments)
    assert done.returncode == 0, done.stderr
    assert files(cache) == before


def test_it_is_exported_although_its_index_lies(cache: Cache, tmp_path: Path) -> None:
    space = space_of(cache)
    true = space.refresh()
    Index(true.shards, true.hi, true.lo, true.shard, true.row[::-1].copy()).save(space.index_path)
    done = command(cache, "cache", "export", "some", str(tmp_path / "x.npz"))
    assert done.returncode == 0, done.stderr
    assert len(space_of(cache).gather(keys_of(range(30)))) == 30


@pytest.mark.parametrize(
    "arguments",
    variants(
        [("compact",), ("gc", "--apply", "--grace", "0"), ("verify", "--repair")],
        [("gc", "--apply", "--grace", "0")],
    ),
)
def test_what_must_write_says_that_it_may_not(cache: Cache, arguments: tuple[str, ...]) -> None:
    put(cache, range(40, 45))  # something for gc to take
    (cache.open_set("some").path.parent / "current").write_text("0" * 16)
    if arguments[0] == "gc":
        commit(cache, range(30))
    before = files(cache)
    done = command(cache, "cache", *arguments)
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") <= 2 or "verifying" in done.stderr
    assert "Traceback" not in done.stderr
    assert "permission" in done.stderr or "read-only" in done.stderr
    assert files(cache) == before
