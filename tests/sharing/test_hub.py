"""Repositories of the hub: who sees them, their page, what a broken connection leaves, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.cache.maintenance.verify import verify
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, FormatError, HeadstartError, StorageError
from headstart.progress import Silence

from .hub_server import TOKEN, Hub
from .test_states import in_force, made

HERE = "hf:team/photos"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    made(tmp_path / "mine", "py:b:one", "py:b:two")
    return tmp_path / "mine"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return tmp_path / "theirs"


def test_a_new_repository_is_private_unless_it_is_asked_to_be_public(hub: Hub, mine: Path) -> None:
    headstart.push("made", HERE, cache=mine)
    headstart.push("made", "hf:team/open", cache=mine, public=True)
    assert [hub.repositories[name].private for name in ("team/photos", "team/open")] == [True, False]
    made(mine, n=40)
    with pytest.raises(ConfigError, match=r"is public, and anybody would see.*--public"):
        headstart.push("made", "hf:team/open", cache=mine)
    assert len(hub.repositories["team/open"].trees) == 3


def test_a_dry_run_makes_no_repository(hub: Hub, mine: Path) -> None:
    (done,) = headstart.push("made", HERE, cache=mine, dry_run=True)
    assert (done.n_files, done.outcome) == (1 + 2 + 2 + 3, "not done")
    assert not hub.repositories


def test_its_page_says_what_is_in_it_and_how_to_pull_it(hub: Hub, mine: Path) -> None:
    headstart.push("made", HERE, cache=mine)
    page = hub.tree("team/photos")["README.md"].decode()
    assert page.startswith("---\ntags:\n- headstart\n")
    assert "headstart cache pull hf:team/photos made" in page
    assert "30 samples" in page
    assert "| `py:b:two` | last.mean |" in page
    hub.repositories["team/photos"].trees[hub.repositories["team/photos"].branches["main"]]["README.md"] = (
        page.replace("Features of frozen", "Words of the team. Features of frozen").encode()
    )
    made(mine, n=40)
    made(mine, "py:b:three", name="other")
    headstart.push(["made", "other"], HERE, cache=mine)
    page = hub.tree("team/photos")["README.md"].decode()
    assert "Words of the team." in page
    assert page.count("## made") == page.count("## other") == page.count("40 samples") == 1


def test_a_branch_is_pushed_to_and_a_commit_pulled_from(hub: Hub, mine: Path, theirs: Path) -> None:
    headstart.push("made", HERE, cache=mine)
    before = hub.repositories["team/photos"].branches["main"]
    first = in_force(mine)
    made(mine, n=40)
    headstart.push("made", HERE, cache=mine, revision="more")
    assert hub.repositories["team/photos"].branches["main"] == before
    headstart.pull(f"{HERE}@more", "made", cache=theirs)
    assert in_force(theirs) == in_force(mine)
    headstart.pull(HERE, "made", cache=theirs, revision=before, new_name="earlier")
    assert in_force(theirs, "earlier") == first
    with pytest.raises(DataError, match="no revision 'nowhere'"):
        headstart.pull(HERE, "made", cache=theirs, revision="nowhere")


def test_whoever_is_not_let_in_is_told_so_without_the_token(
    hub: Hub, mine: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    headstart.push("made", HERE, cache=mine)
    hub.repositories["team/open"] = hub.repositories["team/photos"]
    with pytest.raises(DataError, match=r"not on the hub, or not for you.*HF_TOKEN"):
        headstart.pull("hf:team/other", "made", cache=theirs)
    monkeypatch.setenv("HF_TOKEN", "hf_otherOtherOther")
    errors = []
    for ask in (
        lambda: headstart.pull(HERE, "made", cache=theirs),
        lambda: headstart.push("made", "hf:team/new", cache=mine),
    ):
        with pytest.raises(HeadstartError) as error:
            ask()
        errors.append(str(error.value))
    hub.repositories["team/photos"].private = False
    headstart.pull(HERE, "made", cache=theirs)
    made(mine, n=40)
    with pytest.raises(StorageError, match="access is denied") as error:
        headstart.push("made", HERE, cache=mine, public=True)
    said = " ".join([*errors, str(error.value), *capfd.readouterr()])
    assert TOKEN not in said
    assert "hf_other" not in said
    written = b"".join(path.read_bytes() for path in theirs.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written


def test_a_connection_that_breaks_is_taken_up_by_the_same_command(hub: Hub, mine: Path, theirs: Path) -> None:
    hub.fault = lambda method, path: 400 if method == "PUT" and len(hub.uploaded()) > 1 else None
    with pytest.raises(HeadstartError, match="run the same command again"):
        headstart.push("made", HERE, cache=mine)
    assert "sets/made/current" not in hub.tree("team/photos")
    hub.fault = lambda method, path: None
    before = list(hub.uploads)
    headstart.push("made", HERE, cache=mine)
    uploaded = [path.removeprefix("/lfs/") for path in hub.uploaded()]
    assert all(uploaded.count(oid) == 1 for oid in before)
    broken = sorted(path for path in hub.tree("team/photos") if "/shards/" in path)[-1]
    hub.fault = lambda method, path: 404 if broken in path else None
    with pytest.raises(HeadstartError, match=broken):
        headstart.pull(HERE, "made", cache=theirs)
    kept = [path for path in theirs.rglob("*.h5") if ".partial" not in str(path)]
    assert len(kept) == 1
    assert not (theirs / "sets" / "made").exists()
    hub.fault = lambda method, path: None
    hub.requests.clear()
    headstart.pull(HERE, "made", cache=theirs)
    assert not any(kept[0].name in path for _, path in hub.requests)
    assert in_force(theirs) == in_force(mine)


def test_content_that_arrives_cut_short_is_fetched_again(hub: Hub, mine: Path, theirs: Path) -> None:
    headstart.push("made", HERE, cache=mine)
    cut: list[str] = []

    def once(method: str, path: str) -> str | None:
        if method == "GET" and path.endswith(".h5") and path not in cut:
            cut.append(path)
            return "cut"
        return None

    hub.fault = once
    headstart.pull(HERE, "made", cache=theirs)
    assert len(cut) == 2
    assert in_force(theirs) == in_force(mine)


def test_two_who_push_at_once_both_find_their_set_there(hub: Hub, mine: Path, theirs: Path) -> None:
    made(theirs, "py:b:four", name="other")
    headstart.push("made", HERE, cache=mine, dry_run=True)
    hub.create("team/photos")
    asked: list[int] = []

    def between() -> None:
        if not asked:
            asked.append(1)
            headstart.push("other", HERE, cache=theirs)

    hub.before_commit = between
    headstart.push("made", HERE, cache=mine)
    assert {"sets/made/current", "sets/other/current"} <= set(hub.tree("team/photos"))
    page = hub.tree("team/photos")["README.md"].decode()
    assert "## made" in page
    assert "## other" in page


def test_a_state_that_somebody_else_puts_in_force_meanwhile_is_not_lost(
    hub: Hub, mine: Path, theirs: Path
) -> None:
    headstart.push("made", HERE, cache=mine)
    headstart.pull(HERE, "made", cache=theirs)
    made(mine, n=40)
    made(theirs, n=50)
    asked: list[int] = []

    def between() -> None:
        asked.append(1)
        if len(asked) == 2:  # the shards are there, the state is about to be
            headstart.push("made", HERE, cache=theirs)

    hub.before_commit = between
    with pytest.raises(HeadstartError, match="not known here; pull it first"):
        headstart.push("made", HERE, cache=mine)
    assert hub.tree("team/photos")["sets/made/current"].decode().strip() == in_force(theirs)


def test_what_is_no_cache_or_a_newer_one_is_refused(hub: Hub, mine: Path, theirs: Path) -> None:
    hub.create("team/texts", **{"train.csv": b"text,label\n"})
    for ask in (
        lambda: headstart.push("made", "hf:team/texts", cache=mine),
        lambda: headstart.pull("hf:team/texts", "made", cache=theirs),
    ):
        with pytest.raises(DataError, match=r"holds no cache, but other files \(train.csv"):
            ask()
    hub.create("team/newer", **{"headstart.json": b'{"format": 9}'})
    with pytest.raises(FormatError, match="upgrade"):
        headstart.pull("hf:team/newer", "made", cache=theirs)
    headstart.push("made", HERE, cache=mine)
    tree = hub.tree("team/photos")
    path = next(path for path in tree if path.endswith("set.json"))
    tree[path] = json.dumps({**json.loads(tree[path]), "format": 9}).encode()
    with pytest.raises(FormatError, match="upgrade"):
        headstart.pull(HERE, "made", cache=theirs)


def test_offline_opens_no_socket(hub: Hub, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--offline"):
        headstart.push("made", HERE, cache=mine, offline=True)
    with pytest.raises(ConfigError, match="--offline"):
        headstart.pull(HERE, "made", cache=mine, offline=True)
    assert hub.requests == []


@pytest.mark.parametrize("address", ["hf:photos", "hf:", "hf:a/b/c", "hf:../x", "hf:a/b c"])
def test_addresses_that_name_no_repository(hub: Hub, mine: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="hf:ORG/NAME"):
        headstart.push("made", address, cache=mine)
    with pytest.raises(ConfigError, match="another one"):
        headstart.pull(f"{HERE}@a", "made", cache=mine, revision="b")


@pytest.mark.slow
def test_a_hub_that_fails_at_every_tenth_request_is_asked_again(hub: Hub, mine: Path, theirs: Path) -> None:
    for number in range(5):
        made(mine, f"py:b:more{number}", name=f"set-{number}")
    kinds = itertools.cycle([500, 503, "cut"])

    def every_tenth(method: str, path: str) -> int | str | None:
        return next(kinds) if len(hub.requests) % 10 == 0 else None

    hub.fault = every_tenth
    assert len(headstart.push(None, HERE, all=True, cache=mine)) == 6
    assert len(headstart.pull(HERE, all=True, cache=theirs)) == 6
    hub.fault = lambda method, path: None
    for name in Cache(mine).set_names():
        assert in_force(theirs, name) == in_force(mine, name)
        arrays = [headstart.open_set(name, cache=root).arrays()[0] for root in (mine, theirs)]
        np.testing.assert_array_equal(*arrays)
    assert verify(Cache(theirs), Silence()).findings == ()
    assert {one.n_bytes for one in headstart.push(None, HERE, all=True, cache=mine)} == {0}
