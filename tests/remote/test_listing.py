"""A listing answers as the folders of a disk would, and a spool gives back what it was given or nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.remote.listing import ALWAYS_NEW, CHANGED, Listing, stats_of
from headstart.remote.spool import Spool
from headstart.remote.store import Object

from ..variants import examples

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMES = st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "a0", "é", "~"]), min_size=1, max_size=3).map(
    "/".join
)


def object_at(path: str, size: int = 1, tag: str | None = '"t"', modified: datetime = NOW) -> Object:
    return Object(path, size, modified, tag)


@given(st.sets(NAMES, max_size=12), NAMES)
def test_a_listing_has_the_entries_of_its_folders(names: set[str], folder: str) -> None:
    found = Listing.of(
        (object_at(f"top/{name}") for name in sorted(names, reverse=True)), "top", "s3://b/top"
    )
    assert [found.name(place) for place in range(len(found))] == sorted(names, key=str.encode)
    for prefix in ("", f"{folder}/"):
        below = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        assert sorted(found.name(place) for place in found.within(prefix)) == sorted(
            prefix + name for name in below
        )
        assert set(found.entries(prefix)) == {(name.partition("/")[0], "/" in name) for name in below}
        assert len(list(found.entries(prefix))) == len(set(found.entries(prefix)))
    assert (found.find(folder) is not None) == (folder in names)


def test_what_marks_a_folder_is_no_object_of_it() -> None:
    there = [object_at("top/a", 0), object_at("top/a-b", 0), object_at("top/a/x"), object_at("top/c", 0)]
    found = Listing.of(there, "top", "s3://b/top")
    assert [found.name(place) for place in range(len(found))] == ["a-b", "a/x", "c"]


def test_what_an_object_is_known_by_changes_with_its_content() -> None:
    known = stats_of("s3://b/x", object_at("x"))
    later = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert known == stats_of("s3://b/x", object_at("x", modified=later))
    others = [
        stats_of("s3://b/y", object_at("x")),
        stats_of("s3://b/x", object_at("x", size=2)),
        stats_of("s3://b/x", object_at("x", tag='"u"')),
        stats_of("s3://b/x", object_at("x", tag=None)),
        stats_of("s3://b/x", object_at("x", tag=None, modified=later)),
        stats_of("s3://b/x", object_at("x", tag='W/"t"')),
        stats_of("s3://b/x", object_at("x", tag='W/"t"', modified=later)),
    ]
    assert len({known, *others}) == 8
    never = datetime.fromtimestamp(0, UTC)
    assert stats_of("s3://b/x", object_at("x", tag=None, modified=never))[CHANGED] == ALWAYS_NEW


@settings(max_examples=examples(100))
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=60))
def test_a_spool_gives_what_it_was_given_or_nothing(kept: list[tuple[int, int]]) -> None:
    spool, given_to_it = Spool(most=100), dict[tuple[str, int], bytes]()
    for turn, (name, length) in enumerate(kept):
        content = given_to_it.setdefault((f"{name}", length), bytes([turn]) * length)
        spool.keep((f"{name}", length), content)
        for known, was in given_to_it.items():
            assert spool.get(known) in (was, None)
            assert spool.get(known, 1, 3) in (was[1:3], None)
        if 0 < length <= 25:
            assert spool.get((f"{name}", length)) == content
            assert spool.has(spool.latest(f"{name}") or ())
