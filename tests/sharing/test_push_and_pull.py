"""A set goes to a folder, a bucket or a repository and comes back elsewhere whole; only what is lacking travels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.cache.store import Cache

from ..made_sets import clouds, make_set


@pytest.fixture(params=["folder", "bucket", "hub"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where sets are pushed to: it does not exist yet."""
    if request.param == "folder":
        return str(tmp_path / "elsewhere")
    if request.param == "bucket":
        return f"{request.getfixturevalue('bucket')}/team/cache"
    request.getfixturevalue("hub")
    return "hf:team/photos"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A cache that holds the set ``made``, with features of two backbones."""
    root = tmp_path / "mine"
    Cache(root).prepare()
    X, y = clouds(60)
    make_set(root, {"py:b:one": X, "py:b:two": X[:, :4]}, {"kind": [f"c{i}" for i in y]})
    return root


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return tmp_path / "theirs"


def test_a_set_comes_back_whole_and_serves_at_once(place: str, mine: Path, theirs: Path) -> None:
    (sent,) = headstart.push("made", place, cache=mine)
    (came,) = headstart.pull(place, "made", cache=theirs)
    assert (sent.outcome, came.outcome) == ("in force", "in force")
    here, there = headstart.open_set("made", cache=theirs), headstart.open_set("made", cache=mine)
    assert here.digest == there.digest == sent.digest
    for backbone in ("py:b:one", "py:b:two"):
        np.testing.assert_array_equal(here.arrays(backbone=backbone)[0], there.arrays(backbone=backbone)[0])
    assert (
        headstart.fit_head(here, head="ridge", out=theirs / "run").report["metrics"]["test"]["accuracy"] > 0.5
    )
    assert headstart.search(here, like="s0", k=3).ids
    assert headstart.push("made", place, cache=mine)[0].n_bytes == 0
    assert headstart.pull(place, "made", cache=theirs)[0].n_bytes == 0


def test_a_cache_in_a_bucket_sends_and_receives_like_any_other(
    bucket: str, mine: Path, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, elsewhere = f"{bucket}/cache", str(tmp_path / "elsewhere")
    digest = headstart.push("made", elsewhere, cache=mine)[0].digest
    assert headstart.pull(elsewhere, "made", cache=shared)[0].outcome == "in force"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    assert headstart.open_set("made", cache=shared).digest == digest
    assert headstart.push("made", str(theirs), cache=shared)[0].outcome == "in force"
    np.testing.assert_array_equal(
        headstart.open_set("made", cache=theirs).arrays()[0],
        headstart.open_set("made", cache=mine).arrays()[0],
    )
    assert headstart.pull(f"{bucket}/cache", "made", cache=theirs)[0].n_files == 0


def test_what_is_pushed_to_a_bucket_is_a_cache_there(
    bucket: str, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headstart.push("made", f"{bucket}/cache", cache=mine)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    there = headstart.open_set("made", cache=f"{bucket}/cache")
    np.testing.assert_array_equal(there.arrays()[0], headstart.open_set("made", cache=mine).arrays()[0])
