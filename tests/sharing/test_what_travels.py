"""Only what the other side lacks travels, what is broken is named, and a kill costs little."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import headstart
from headstart.cache.maintenance.compact import compact
from headstart.cache.maintenance.verify import verify
from headstart.cache.store import Cache
from headstart.cli.app import app
from headstart.errors import ConfigError, CorruptShardError, DataError, FormatError, MismatchError
from headstart.progress import Silence
from headstart.remote.store import open_store
from headstart.sharing.folder import FolderPlace
from headstart.sharing.open import open_place

from ..made_sets import clouds, make_set
from ..processes import Process, start
from .hub_server import Hub
from .test_states import in_force

ONE = "py:b:one"


def put(root: Path, rows: range, name: str, width: int = 16) -> None:
    """A set of some texts in the same space as all others, with a shard of its own for those that are new."""
    Cache(root).prepare()
    X, y = clouds(rows.stop, width=width)
    texts = [f"text {row}" for row in rows]
    make_set(
        root, {ONE: X[rows.start :]}, {"kind": [f"c{i}" for i in y[rows.start :]]}, contents=texts, name=name
    )


def shards(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("shards/*") if ".partial" not in path.name)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Two sets that share a space, a shard each."""
    put(tmp_path / "mine", range(30), "first")
    put(tmp_path / "mine", range(30, 60), "second")
    return tmp_path / "mine"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return tmp_path / "theirs"


@pytest.fixture(
    params=[
        "folder",
        pytest.param("bucket", marks=pytest.mark.slow),
        pytest.param("hub", marks=pytest.mark.slow),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "elsewhere")
    if request.param == "bucket":
        return f"{request.getfixturevalue('bucket')}/cache"
    request.getfixturevalue("hub")
    return "hf:team/texts"


def test_of_a_space_that_sets_share_each_set_takes_its_own_shards(
    place: str, mine: Path, theirs: Path
) -> None:
    headstart.push(["first", "second"], place, cache=mine)
    assert len(shards(mine)) == 2
    headstart.pull(place, "second", cache=theirs)
    assert len(shards(theirs)) == 1
    np.testing.assert_array_equal(
        headstart.open_set("second", cache=theirs).arrays()[0],
        headstart.open_set("second", cache=mine).arrays()[0],
    )
    headstart.pull(place, "first", cache=theirs)
    assert [path.name for path in shards(theirs)] == [path.name for path in shards(mine)]


def test_what_was_compacted_on_one_side_does_not_travel_again(place: str, mine: Path, theirs: Path) -> None:
    headstart.push(["first", "second"], place, cache=mine)
    for format_name in ("hdf5", "parquet"):
        compact(Cache(mine), Silence(), format_name)  # type: ignore[arg-type]
        assert len(shards(mine)) == 1
        assert headstart.push("first", place, cache=mine)[0].n_files == 0
    put(mine, range(60, 70), "third")
    assert headstart.push("third", place, cache=mine)[0].n_files == 1 + 3
    (done,) = headstart.pull(place, "third", cache=mine, new_name="again")
    assert done.n_files == 3
    other = str(theirs / "parquet")
    headstart.push("first", other, cache=mine)
    headstart.pull(other, "first", cache=theirs)
    assert headstart.pull(place, "first", cache=theirs)[0].n_files == 0


def test_what_is_compacted_while_it_is_pulled_comes_all_the_same(
    mine: Path, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "elsewhere"
    headstart.push(["first", "second"], place, cache=mine)
    names = [path.name for path in shards(place)]
    fetch = FolderPlace.fetch

    def compacted_first(self: FolderPlace, path: str, *arguments: Any) -> None:
        if "/shards/" in path and [path.name for path in shards(place)] == names:
            compact(Cache(place), Silence())
        fetch(self, path, *arguments)

    monkeypatch.setattr(FolderPlace, "fetch", compacted_first)
    headstart.pull(place, "first", cache=theirs)
    assert len(shards(place)) < len(names)
    np.testing.assert_array_equal(
        headstart.open_set("first", cache=theirs).arrays()[0],
        headstart.open_set("first", cache=mine).arrays()[0],
    )


def test_offline_refuses_all_but_folders(mine: Path) -> None:
    for ask in (
        lambda: headstart.push("first", "s3://acme/cache", cache=mine, offline=True),
        lambda: headstart.pull("s3://acme/cache", "first", cache=mine, offline=True),
        lambda: headstart.push("first", str(mine), cache="s3://acme/cache", offline=True),
    ):
        with pytest.raises(ConfigError, match="--offline"):
            ask()
    headstart.push("first", mine / "copy", cache=mine, offline=True)


def test_a_set_that_grew_sends_what_is_new(place: str, mine: Path) -> None:
    headstart.push("first", place, cache=mine)
    size = sum(path.stat().st_size for path in shards(mine))
    put(mine, range(31, 61), "first")
    (done,) = headstart.push("first", place, cache=mine)
    assert done.n_files == 1 + 3
    assert done.n_bytes < size + 10_000


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_push_names_what_is_broken_or_missing(place: str, mine: Path) -> None:
    (one,) = (path for path in shards(mine) if path.name in _shards_of(mine, "first"))
    flip(one)
    with pytest.raises(CorruptShardError, match=f"'first' cannot be pushed: .*{one.name}"):
        headstart.push("first", place, cache=mine)
    one.unlink()
    with pytest.raises(MismatchError, match="'first' cannot be pushed: 30 of its samples have no feature"):
        headstart.push("first", place, cache=mine)
    headstart.push("second", place, cache=mine)
    state = headstart.open_set("second", cache=mine).path
    flip(state / "samples.parquet")
    with pytest.raises(CorruptShardError, match="'second', state"):
        headstart.push("second", place, cache=mine, new_name="broken")
    with pytest.raises(DataError, match="'thrid'"):
        headstart.push("thrid", place, cache=mine)


def _shards_of(root: Path, name: str) -> list[str]:
    features = headstart.open_set(name, cache=root)
    space = Cache(root).open_space(features.features[0].space)
    keys = {row.as_py() for row in features.samples.column("key")}
    held = {one: {row.tobytes() for row in space.reader(one).features().keys} for one in space.shard_names()}
    return [one for one, here in held.items() if here & keys]


@pytest.mark.parametrize("what", ["shard", "recipe.json", "samples.parquet"])
def test_what_arrives_broken_does_not_count(mine: Path, theirs: Path, tmp_path: Path, what: str) -> None:
    place = tmp_path / "elsewhere"
    headstart.push("first", place, cache=mine)
    (broken,) = place.rglob("shards/*") if what == "shard" else place.rglob(what)
    flip(broken) if what != "recipe.json" else broken.write_text("{}")
    with pytest.raises(CorruptShardError, match=broken.name if what != "samples.parquet" else "'first' of"):
        headstart.pull(place, "first", cache=theirs)
    assert shards(theirs) == []
    assert Cache(theirs).set_names() == []
    assert not list(theirs.rglob("*.partial*"))


def test_a_state_that_is_broken_here_is_named_and_pulled_again_once_it_is_out(
    mine: Path, theirs: Path, tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    headstart.push("first", place, cache=mine)
    headstart.pull(place, "first", cache=theirs)
    flip(headstart.open_set("first", cache=theirs).path / "samples.parquet")
    with pytest.raises(CorruptShardError, match=r"'first' of this cache.*verify --repair"):
        headstart.pull(place, "first", cache=theirs)
    verify(Cache(theirs), Silence(), repair=True)
    headstart.pull(place, "first", cache=theirs)
    assert len(headstart.open_set("first", cache=theirs).samples) == 30


def test_features_that_are_not_there_are_counted(mine: Path, theirs: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    headstart.push("first", place, cache=mine)
    for path in place.rglob("shards/*"):
        path.unlink()
    with pytest.raises(MismatchError, match="lacks the features of 30 samples of set 'first'"):
        headstart.pull(place, "first", cache=theirs)
    assert Cache(theirs).set_names() == []


def test_a_newer_cache_and_a_newer_shard_are_refused(mine: Path, theirs: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    headstart.push("first", place, cache=mine)
    (place / "headstart.json").write_text('{"format": 7}')
    for ask in (
        lambda: headstart.pull(place, "first", cache=theirs),
        lambda: headstart.push("second", place, cache=mine),
    ):
        with pytest.raises(FormatError, match=r"format 7.*upgrade"):
            ask()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_killed_copy_is_continued_by_the_same_command(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    place = tmp_path / "elsewhere" if kind == "folder" else f"{request.getfixturevalue('bucket')}/cache"
    for number in range(12):  # a megabyte each
        put(mine, range(number * 250, (number + 1) * 250), f"part-{number}", width=1024)
    for command, target in (
        (["cache", "push", "--all", place, "--cache", mine], place),
        (["cache", "pull", place, "--all", "--cache", theirs], theirs),
    ):
        running = start(*command)
        while len(came(target)) < 3 and running.poll() is None:
            time.sleep(0.005)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        before = came(target)
        done = start(*command, "--json")
        out, err = done.communicate()
        assert done.returncode == 0, err
        assert len(json.loads(out)) == 12
        assert sum(one["n_files"] for one in json.loads(out)) < 12 * 4 + 3
        after = came(target)
        assert {path: after[path] for path in before} == before
        there = open_place(str(target))
        assert there.set_names() == Cache(mine).set_names()
        for name in there.set_names():
            assert there.in_force(name) == in_force(mine, name)
    assert verify(Cache(theirs), Silence()).findings == ()


def came(place: Path | str) -> dict[str, object]:
    """The shards that lie at a place, each with what changes if it is written again."""
    if isinstance(place, Path):
        return {path.name: path.stat().st_ino for path in shards(place)}
    return {one.path: one.modified for one in open_store(place).listed("spaces") if "/shards/" in one.path}


FULL = """
import resource, sys
from headstart.cli import run
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run()
"""


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    mine, place, theirs = tmp_path / "mine", tmp_path / "elsewhere", tmp_path / "theirs"
    put(mine, range(250), "big", width=1024)
    headstart.push("big", place, cache=mine)
    for command, target in (
        (("cache", "push", "big", tmp_path / "full", "--cache", mine), tmp_path / "full"),
        (("cache", "pull", place, "big", "--cache", theirs), theirs),
    ):
        running = Process(FULL, *command)
        _, err = running.communicate()
        assert running.returncode == 1
        assert "no space left to write" in err
        assert len(err.strip().splitlines()) == 1
        assert shards(target) == []
        assert not [path for path in target.rglob("*") if ".partial" in path.name]


def typed(*words: object) -> tuple[int, str]:
    """What a command says, and its exit code."""
    done = CliRunner().invoke(app, ["cache", *map(str, words)], env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout + done.stderr


def test_as_a_user_types_it(hub: Hub, mine: Path, theirs: Path) -> None:
    here = "hf:team/texts"
    for words, code, said in (
        (("push", "first", here, "--cache", mine, "--dry-run"), 0, "first: 6 files, "),
        (("push", "first", here, "--cache", mine), 0, "is in force"),
        (("push", "second", here, "--cache", mine, "--json", "-q"), 0, '"outcome": "in force"'),
        (("pull", here, "first", "--cache", theirs), 0, "is in force"),
        (("pull", here, "--all", "--cache", theirs), 0, "was in force already"),
        (("pull", here, "--cache", theirs), 2, "--all"),
        (("push", "first", here, "--cache", mine, "--offline"), 2, "--offline"),
        (("push", "first", "https://example.org/x", "--cache", mine), 2, "web server"),
        (("push", "first", theirs, "--cache", mine, "--public"), 2, "hf:ORG/NAME"),
        (("push", "first", "", "--cache", mine), 2, "is empty"),
        (("push", "first", here, "--cache", mine, "--digest", "abc"), 2, "16 hex digits"),
        (("push", "first", here, "--cache", mine, "--as", "../x"), 2, "cannot be the name"),
        (("pull", here, "frist", "--cache", theirs), 1, "did you mean 'first'"),
        (("pull", "no-such-folder", "first", "--cache", theirs), 1, "no-such-folder"),
    ):
        found, out = typed(*words)
        assert (found, said in out) == (code, True), (words, out)
        lines = [line for line in out.splitlines() if not line.startswith(("pushing", "pulling", "checking"))]
        assert len(lines) <= 2, (words, out)
