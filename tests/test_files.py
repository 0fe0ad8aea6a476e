"""A durable write gives all of a file or leaves what was there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.errors import StorageError
from headstart.files import (
    fingerprint,
    make_directory,
    read_json,
    storage_errors,
    write_durably,
    write_json,
)
from headstart.places import user_cache_dir

WRITE_UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
from headstart.errors import StorageError
from headstart.files import write_durably
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_durably(Path(sys.argv[1]), bytes(100_000))
except StorageError as error:
    print(error)
"""


def test_it_replaces_a_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"old", memoryview(b"new and longer"), b""):
        write_durably(path, content)
        assert path.read_bytes() == bytes(content)
    assert list(tmp_path.iterdir()) == [path]


def test_where_a_file_may_not_grow_the_old_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", WRITE_UNDER_A_LIMIT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"no space left to write {path}" in done.stdout
    assert "free some space" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_at_any_step_leaves_the_old_content(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(StorageError, match="no space left"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def as_nobody(path: Path) -> str:
    """What an unprivileged process is told that writes to a path."""
    reader, writer = os.pipe()
    if not os.fork():
        try:
            if os.geteuid() == 0:
                os.seteuid(65534)  # root may write anywhere
            write_durably(path, b"new")
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.wait()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return pipe.read()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_without_permission_it_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    (folder / "file").write_bytes(b"old")
    folder.chmod(0o555)
    try:
        said = as_nobody(folder / "file")
    finally:
        folder.chmod(0o755)
    assert said.startswith(f"StorageError: no permission to write {folder / 'file'}")
    assert (folder / "file").read_bytes() == b"old"


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        make_directory(tmp_path / "file" / "folder")
    with pytest.raises(StorageError, match="cannot write"):
        write_durably(tmp_path / "none" / "file", b"")
    with pytest.raises(StorageError, match="mounted read-only"), storage_errors(tmp_path):
        raise OSError(errno.EROFS, "Read-only file system")


def test_json_comes_back_and_what_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    value = {"b": [1, 2.5, None], "a": "naïve 東京"}
    write_json(path, value)
    assert read_json(path) == value
    assert "東京" in path.read_text("utf-8")
    for broken in (b"", b"{", b"\xff\xfe"):
        path.write_bytes(broken)
        with pytest.raises(StorageError, match=r"some\.json is not valid JSON"):
            read_json(path)
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


def test_a_fingerprint_tells_one_file_and_one_state_of_it_from_another(tmp_path: Path) -> None:
    path, other = tmp_path / "one", tmp_path / "other"
    path.write_text("content")
    other.write_text("content")
    before = fingerprint(path.stat())
    assert len(before) == 16
    assert fingerprint(path.stat()) == before != fingerprint(other.stat())
    stat = path.stat()
    time.sleep(0.02)
    path.write_text("CONTENT")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(path.stat()) != before
    path.rename(tmp_path / "moved")


def test_the_users_cache_is_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_dir() == tmp_path / "headstart"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache_dir().is_relative_to(tmp_path)


def test_only_old_partial_files_are_swept(tmp_path: Path) -> None:
    import os
    import time

    from headstart.files import EXPIRY, PARTIAL, sweep_partials

    old, young = tmp_path / f"old{PARTIAL}", tmp_path / f"young{PARTIAL}"
    whole = tmp_path / "shard.h5"
    for path in (old, young, whole):
        path.write_bytes(b"x")
    for path in (old, whole):
        os.utime(path, (time.time() - 2 * EXPIRY,) * 2)
    sweep_partials(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {young.name, whole.name}
