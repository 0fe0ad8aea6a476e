"""Objects are read, listed and written under conditions, and errors say nothing of a request."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from headstart.errors import ConfigError, StorageError
from headstart.remote.addresses import checked, is_remote, shown
from headstart.remote.store import ConflictError, MissingObjectError, open_store

from .servers import SECRET

ONCE = {"max_retries": 0, "retry_timeout": timedelta(seconds=2)}


def test_what_is_written_is_read_whole_and_in_parts(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"{bucket}/some/place/")
    store.write("a/x", b"hello")
    (tmp_path / "y").write_bytes(b"file")
    store.write("a/b/y", tmp_path / "y")
    assert store.read("a/x") == b"hello"
    assert store.read_range("a/x", 1, 3) == b"ell"
    assert store.read_range("a/x", 1, 0) == b""
    assert store.read_ranges("a/x", [0, 3], [2, 2]) == [b"he", b"lo"]
    assert sorted((found.path, found.size) for found in store.listed("a")) == [("a/b/y", 4), ("a/x", 5)]
    folders, objects = store.folders("a")
    assert (folders, [found.path for found in objects]) == (["a/b"], ["a/x"])
    found = store.look("a/x")
    assert found is not None
    assert (found.size, found.tag) == (5, store.read_tagged("a/x")[1])
    assert pickle.loads(pickle.dumps(store)).read("a/x") == b"hello"  # noqa: S301


def test_what_is_not_there_is_named(bucket: str) -> None:
    store = open_store(bucket)
    assert store.look("no") is None
    assert list(store.listed("no")) == []
    with pytest.raises(MissingObjectError, match=f"{bucket}/no/such is not there"):
        store.read("no/such")
    store.write("here", b"")
    store.delete(["here", "no"])
    assert store.look("here") is None


def test_one_writer_wins(bucket: str) -> None:
    store = open_store(bucket)
    tag = store.create("x", b"first")
    assert tag
    with pytest.raises(ConflictError):
        store.create("x", b"second")
    newer = store.replace("x", b"second", tag)
    assert newer
    with pytest.raises(ConflictError):
        store.replace("x", b"third", tag)
    assert store.read_tagged("x") == (b"second", newer)


RACE = """
import sys
from headstart.remote.store import ConflictError, open_store
store, number = open_store(sys.argv[1]), int(sys.argv[2])
won = []
for turn in range(10):
    try:
        store.create(f"race/{turn}", bytes([number]))
        won.append(turn)
    except ConflictError:
        pass
    tag = store.read_tagged("counter")[1]
    try:
        store.replace("counter", store.read("counter") + b"x", tag)
        won.append("x")
    except ConflictError:
        pass
print(won)
"""


def test_the_test_server_gives_one_winner_to_racing_processes(bucket: str) -> None:
    store = open_store(bucket)
    store.write("counter", b"")
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, bucket, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    won = [name for racer in racers for name in eval(racer.communicate()[0])]  # noqa: S307
    assert sorted(name for name in won if name != "x") == list(range(10))
    assert len(store.read("counter")) == won.count("x")


def test_errors_say_nothing_of_a_request(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("headstart.remote.store.RETRIES", ONCE)
    with pytest.raises(StorageError) as error:
        open_store(bucket).read("x")
    assert str(error.value) == f"{bucket}/x: the server cannot be reached"
    assert SECRET not in repr(error.getrepr(chain=True))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://", "names no bucket"),
        ("https:///a.csv", "names no server"),
        ("s3://me:secret@bucket/x", "credentials come from the environment"),
    ],
)
def test_addresses_that_cannot_be_used(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        checked(address)
    assert "secret" not in str(error.value)


def test_offline_refuses_all_addresses() -> None:
    with pytest.raises(ConfigError, match="--offline"):
        open_store("s3://bucket/x", is_offline=True)


def test_what_is_shown_has_no_secrets() -> None:
    assert shown("az://me:pw@store/x?sig=1#top") == "az://store/x"
    assert not is_remote(b"s3://x")
    assert is_remote("HTTPS://example.org")
