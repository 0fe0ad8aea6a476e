"""Which state is in force after a copy: later ones replace earlier ones, others are merged or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError, MismatchError

from ..made_sets import clouds, make_set


def made(root: Path, *backbones: str, n: int = 30, name: str = "made", label: str = "c") -> str:
    """A set of so many samples in a cache; the digest of its state."""
    Cache(root).prepare()
    X, y = clouds(n)
    matrices = {backbone: X + float(number) for number, backbone in enumerate(backbones or ["py:b:one"])}
    return make_set(root, matrices, {"kind": [f"{label}{i}" for i in y]}, name=name).digest


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two caches, and a third where they meet."""
    return tmp_path / "one", tmp_path / "two", tmp_path / "shared"


def in_force(root: Path, name: str = "made") -> str:
    return headstart.open_set(name, cache=root).digest


def test_a_later_state_replaces_an_earlier_one_on_both_sides(roots: tuple[Path, Path, Path]) -> None:
    one, two, shared = roots
    made(one)
    headstart.push("made", shared, cache=one)
    headstart.pull(shared, "made", cache=two)
    later = made(one, n=40)
    (sent,) = headstart.push("made", shared, cache=one)
    assert (sent.outcome, in_force(shared)) == ("in force", later)
    (refused,) = headstart.push("made", shared, cache=two)
    assert (refused.outcome, refused.digest, in_force(shared)) == ("older", later, later)
    (came,) = headstart.pull(shared, "made", cache=two)
    assert (came.outcome, in_force(two)) == ("in force", later)


def test_features_that_were_made_apart_are_merged_by_a_pull(roots: tuple[Path, Path, Path]) -> None:
    one, two, shared = roots
    made(one, "py:b:one")
    made(two, "py:b:two", "py:b:three")
    headstart.push("made", shared, cache=one)
    with pytest.raises(MismatchError, match="pull it first"):
        headstart.push("made", shared, cache=two)
    assert headstart.pull(shared, "made", cache=two)[0].outcome == "merged"
    merged = headstart.open_set("made", cache=two)
    assert [ref.backbone for ref in merged.features] == ["py:b:one", "py:b:two", "py:b:three"]
    (sent,) = headstart.push("made", shared, cache=two)
    assert (sent.outcome, in_force(shared)) == ("in force", merged.digest)
    headstart.pull(shared, "made", cache=one)
    for backbone in ("py:b:one", "py:b:three"):
        np.testing.assert_array_equal(
            headstart.open_set("made", cache=one).arrays(backbone=backbone)[0],
            merged.arrays(backbone=backbone)[0],
        )


@pytest.mark.parametrize(("changed", "said"), [({"n": 31}, "samples"), ({"label": "d"}, "labels")])
def test_another_set_of_the_same_name_is_refused(
    roots: tuple[Path, Path, Path], changed: dict[str, object], said: str
) -> None:
    one, two, shared = roots
    theirs, mine = made(one), made(two, **changed)  # type: ignore[arg-type]
    headstart.push("made", shared, cache=one)
    with pytest.raises(MismatchError, match=f"other {said}.*--as.*--replace"):
        headstart.pull(shared, "made", cache=two)
    assert in_force(two) == mine
    assert Cache(two).space_paths() == [Cache(two).space_paths()[0]]
    (beside,) = headstart.pull(shared, "made", cache=two, new_name="theirs")
    assert (beside.set, in_force(two, "theirs"), in_force(two)) == ("theirs", theirs, mine)
    assert headstart.pull(shared, "made", cache=two, replace=True)[0].outcome == "in force"
    assert in_force(two) == theirs
    made(one, **changed)  # type: ignore[arg-type]
    headstart.push("made", shared, cache=one, new_name="other")
    assert in_force(shared, "other") == mine


def test_a_set_with_corrections_is_not_merged_with_one_without_them(roots: tuple[Path, Path, Path]) -> None:
    one, two, shared = roots
    made(one)
    headstart.push("made", shared, cache=one)
    headstart.pull(shared, "made", cache=two)
    row = headstart.open_set("made", cache=two).samples.slice(0, 1)
    (wrong,) = row.column("label:kind").to_pylist()
    at = headstart.open_set("made", cache=two)
    file = two / "corrections.csv"
    file.write_text(
        "key,id,label,old,new,action,note,digest\n"
        f"{row.column('key')[0].as_py().hex()},s0,kind,{wrong},c9,relabel,,{at.digest}\n"
    )
    corrected = headstart.correct("made", file, cache=two)
    made(one, "py:b:new")
    headstart.push("made", shared, cache=one)
    with pytest.raises(MismatchError, match="corrections"):
        headstart.pull(shared, "made", cache=two)
    assert in_force(two) == corrected.digest
    headstart.push("made", shared, cache=two, new_name="corrected")
    headstart.pull(shared, "corrected", cache=one)
    assert headstart.open_set("corrected", cache=one).corrections == corrected.corrections


def test_an_earlier_state_is_copied_by_its_digest_and_lies_beside(roots: tuple[Path, Path, Path]) -> None:
    one, two, shared = roots
    first = made(one)
    earlier = headstart.open_set("made", cache=one)
    later = made(one, n=40)
    (sent,) = headstart.push(earlier, shared)
    assert (sent.outcome, in_force(shared)) == ("in force", first)
    headstart.push("made", shared, cache=one)
    headstart.pull(shared, "made", cache=two)
    (came,) = headstart.pull(shared, "made", cache=two, digest=first)
    assert (came.outcome, in_force(two)) == ("beside", later)
    assert Cache(two).open_set("made", first).arrays()[0].shape[0] == 30


def test_all_sets_and_none(roots: tuple[Path, Path, Path]) -> None:
    one, two, shared = roots
    made(one)
    made(one, "py:b:two", name="other")
    dry = headstart.push(None, shared, all=True, cache=one, dry_run=True)
    assert not shared.exists()
    assert [(done.set, done.outcome) for done in dry] == [("made", "not done"), ("other", "not done")]
    done = headstart.push(["made", "other"], shared, cache=one)
    # The header of the cache is counted with the first.
    assert sum(d.n_bytes for d in dry) - sum(d.n_bytes for d in done) in range(30)
    assert [one.n_files for one in headstart.pull(shared, all=True, cache=two, dry_run=True)] == [
        3 + 1,
        3 + 1,
    ]
    assert not two.exists()
    headstart.pull(shared, all=True, cache=two)
    assert Cache(two).set_names() == ["made", "other"]
    for wrong in ({"sets": None}, {"sets": "made", "all": True}):
        with pytest.raises(ConfigError, match="--all"):
            headstart.push(place=shared, cache=one, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="of one set"):
        headstart.push(["made", "other"], shared, cache=one, new_name="x")
    with pytest.raises(DataError, match="did you mean 'made'"):
        headstart.pull(shared, "maed", cache=two)
    with pytest.raises(DataError, match="no set in"):
        headstart.push(None, shared, all=True, cache=two / "empty")
