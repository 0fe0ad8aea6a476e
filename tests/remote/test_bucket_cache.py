"""A cache in a bucket: one machine extracts, another one fits and searches, and nothing is computed twice."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, MissingDependencyError
from headstart.remote.store import open_store

from ..end_to_end.conftest import HERE, TEXTS, Result, in_process, some_texts, write_texts
from ..processes import start
from .servers import SECRET


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    )


@pytest.fixture
def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def move(name: str) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    return move


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts.csv", some_texts(80))


def run(*arguments: object) -> Result:
    done = in_process(*arguments)
    assert done.code == 0, done.err
    return done


def extract(table: Path, cache: str, *options: object) -> Any:
    return run("extract", table, "--backbone", TEXTS, "--set", "s", "--cache", cache, *options, "--json").json


def test_what_one_machine_extracts_another_one_uses(
    bucket: str, table: Path, another_machine: Callable[[str], None], tmp_path: Path
) -> None:
    cache = f"{bucket}/team/cache"
    assert extract(table, cache)["computed"] == 80
    assert extract(table, "local")["computed"] == 80
    another_machine("second")
    assert extract(table, cache)["computed"] == 0
    fitted = run("fit-head", "s", "--head", "logistic", "--cache", f"{cache}/", "--out", "run", "--json").json
    alone = run("fit-head", "s", "--head", "logistic", "--cache", "local", "--out", "run2", "--json").json
    assert fitted["metrics"]["test"]["accuracy"] == alone["metrics"]["test"]["accuracy"]
    features = hs.open_set("s", cache=cache)
    assert features.cache == cache
    np.testing.assert_allclose(features.arrays()[0], hs.open_set("s", cache="local").arrays()[0], atol=1e-5)
    assert hs.Run.load("run").features["cache"] == cache
    another_machine("third")
    assert "loading" not in run("predict", "run", table, "--cache", "own", "--out", "said.csv").err
    found = hs.search("s", like=features.samples.column("id")[0].as_py(), cache=cache)
    assert len(found)
    listing = run("cache", "ls", "--cache", cache, "--json").json
    assert (listing["cache"], listing["spaces"][0]["rows"]) == (cache, 80)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_a_set_that_grows_is_one_set_on_all_machines(
    bucket: str, another_machine: Callable[[str], None], tmp_path: Path
) -> None:
    few = write_texts(tmp_path / "few.csv", some_texts(40))
    more = write_texts(tmp_path / "more.csv", some_texts(60))
    extract(few, bucket)
    first = hs.open_set("s", cache=bucket)
    another_machine("second")
    assert extract(more, bucket)["computed"] == 20
    another_machine("third")
    assert len(hs.open_set("s", cache=bucket)) == 60
    assert len(Cache(bucket).open_set("s", first.digest)) == 40
    with pytest.raises(DataError, match="there is no set 't' in s3://"):
        hs.open_set("t", cache=bucket)


def test_the_cache_of_the_environment_may_be_a_bucket(
    bucket: str, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", f"{bucket}/mine")
    run("extract", table, "--backbone", TEXTS, "--set", "s")
    assert [path for path in ("s3:", "mine") if Path(path).exists()] == []
    assert open_store(f"{bucket}/mine").look("sets/s/current") is not None


def test_offline_opens_no_socket(table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = in_process("extract", table, "--backbone", TEXTS, "--cache", "s3://bucket/x", "--offline")
    assert (done.code, "s3://bucket/x" in done.err, "--offline" in done.err) == (2, True, True)
    monkeypatch.setenv("HEADSTART_CACHE", "s3://bucket/x")
    assert in_process("extract", table, "--backbone", TEXTS, "--offline").code == 2


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://example.org/cache", "a cache lies in a folder or in a bucket"),
        ("s3://", "names no bucket"),
        ("s3://me:pw@bucket/x", "credentials come from the environment"),
        ("az://bucket/x?sig=pw", "ends with its path"),
    ],
)
def test_addresses_that_are_no_cache(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        Cache(address)
    assert "pw" not in str(error.value)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingDependencyError, match=r"headstart\[cloud\]"):
        Cache("s3://bucket/x")


def test_a_copy_that_rots_is_fetched_again(
    bucket: str, table: Path, another_machine: Callable[[str], None]
) -> None:
    extract(table, bucket)
    another_machine("second")
    expected = hs.open_set("s", cache=bucket).arrays()[0]
    for path in Cache(bucket).root.glob("spaces/*/shards/*"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 255
        path.write_bytes(content)
    np.testing.assert_array_equal(hs.open_set("s", cache=bucket).arrays()[0], expected)


def test_shards_that_are_not_used_leave_the_mirror(
    bucket: str, table: Path, another_machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(table, bucket)
    another_machine("second")
    monkeypatch.setenv("HEADSTART_MIRROR_GB", "0")
    expected = hs.open_set("s", cache=bucket).arrays()[0]
    cache = Cache(bucket)
    (shard,) = cache.root.glob("spaces/*/shards/*")
    os.utime(cache.root / "used" / shard.name, (0, 0))
    write_texts(table, some_texts(81))
    cache.home._looked = -1e9  # type: ignore[attr-defined]  # as half a minute later
    cache.home._make_room()  # type: ignore[attr-defined]
    assert not shard.exists()
    np.testing.assert_array_equal(hs.open_set("s", cache=bucket).arrays()[0], expected)


@pytest.mark.slow
def test_the_code_of_its_page_runs(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", f"{bucket}/headstart")
    page = (Path(__file__).parents[2] / "docs" / "buckets.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(code, {})


@pytest.mark.slow
def test_a_writer_that_is_killed_loses_no_more_than_it_had_not_committed(bucket: str, tmp_path: Path) -> None:
    table = write_texts(tmp_path / "texts.csv", some_texts(600))
    command = ["extract", table, "--backbone", TEXTS, "--set", "s", "--cache", bucket, "--batch-size", 4]
    killed = start(*command)
    deadline = time.monotonic() + 60
    while not list(open_store(bucket).listed("spaces")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert extract(table, bucket)["samples"] == 600
    assert len(hs.open_set("s", cache=bucket).arrays()[0]) == 600


@pytest.mark.slow
def test_two_writers_share_the_work(bucket: str, tmp_path: Path) -> None:
    table = write_texts(tmp_path / "texts.csv", some_texts(400))
    command = ["extract", table, "--backbone", TEXTS, "--set", "s", "--cache", bucket, "--json"]
    both = [start(*command, XDG_CACHE_HOME=str(tmp_path / f"machine-{n}")) for n in range(2)]
    for each in both:
        _, err = each.communicate()
        assert each.wait() == 0, err
    X = hs.open_set("s", cache=bucket).arrays()[0]
    extract(table, "local")
    np.testing.assert_allclose(X, hs.open_set("s", cache="local").arrays()[0], atol=1e-5)
