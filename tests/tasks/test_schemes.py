"""Entities are what seqeval finds in tags, also in illegal ones; legal tags and entities are the same thing twice."""

from __future__ import annotations

import warnings
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval import scheme as oracle
from seqeval.metrics.sequence_labeling import get_entities

from headstart.errors import ConfigError, DataError
from headstart.tasks.schemes import NAMES, OUTSIDE, Entity, chunks, detect_scheme, open_scheme

each_scheme = pytest.mark.parametrize("name", NAMES)


def tags_of(name: str, types: str = "ab") -> list[str]:
    prefixes = open_scheme(name).prefixes.replace(OUTSIDE, "")
    return [OUTSIDE, *(f"{prefix}-{kind}" for prefix in prefixes for kind in types)]


def sequences(name: str) -> Any:
    return st.lists(st.sampled_from(tags_of(name)), max_size=12)


def strict(name: str, tags: list[str]) -> list[tuple[str, int, int]]:
    found = oracle.Tokens(tags, getattr(oracle, name.upper())).entities
    return [(one.tag, one.start, one.end) for one in found]


@each_scheme
@given(data=st.data())
def test_well_formed_entities_are_those_of_seqevals_strict_mode(name: str, data: Any) -> None:
    tags = data.draw(sequences(name))
    assert open_scheme(name).entities(tags) == strict(name, tags)


@each_scheme
def test_in_all_short_sequences_too(name: str) -> None:
    for tags in product(tags_of(name), repeat=4):
        assert open_scheme(name).entities(tags) == strict(name, list(tags)), tags


@pytest.mark.parametrize("name", ["iob1", "iob2", "iobes"])
@given(data=st.data())
def test_chunks_are_those_of_seqevals_default_mode(name: str, data: Any) -> None:
    tags = data.draw(sequences(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [(kind, first, last + 1) for kind, first, last in get_entities(tags)]
    assert chunks(tags) == expected


def test_chunks_read_bilou_as_the_same_tags_in_iobes() -> None:
    for tags in product(tags_of("bilou", "a"), repeat=4):
        renamed = [tag.replace("L-", "E-").replace("U-", "S-") for tag in tags]
        assert chunks(tags) == chunks(renamed)


@each_scheme
def test_tags_are_legal_where_their_entities_give_them_back(name: str) -> None:
    scheme = open_scheme(name)
    for length in range(5):
        for tags in product(tags_of(name), repeat=length):
            again = scheme.tags(scheme.entities(tags), length)
            assert scheme.is_legal(tags) == (again == list(tags)), tags


@each_scheme
def test_moves_say_the_same_as_is_legal(name: str) -> None:
    scheme, names = open_scheme(name), tags_of(name)
    moves = scheme.legal_moves(names)
    for places in product(range(len(names)), repeat=3):
        first, middle, last = places
        allowed = (
            moves.first[first] and moves.next[first, middle] and moves.next[middle, last] and moves.last[last]
        )
        assert scheme.is_legal([names[place] for place in places]) == allowed


@each_scheme
@given(data=st.data())
def test_entities_are_written_and_read_back(name: str, data: Any) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, 12), max_size=8)))
    kept = [
        Entity(data.draw(st.sampled_from(["a", "creative-work"])), start, end)
        for start, end in pairwise(cuts)
        if data.draw(st.booleans())
    ]
    scheme = open_scheme(name)
    tags = scheme.tags(kept, 12)
    assert scheme.entities(tags) == kept
    assert chunks(tags) == kept
    assert scheme.is_legal(tags)


@pytest.mark.parametrize(
    ("sequences", "name"),
    [
        ([["B-a", "I-a", "O"], ["O"]], "iob2"),
        ([["I-a", "I-a", "O"]], "iob1"),
        ([["I-a", "B-a", "O"]], "iob1"),
        ([["I-a", "B-b"]], "iob2"),  # legal nowhere
        ([["B-a", "E-a", "S-b"]], "iobes"),
        ([["S-b"]], "iobes"),
        ([["B-a", "L-a"], ["U-b"]], "bilou"),
        ([["B", "I", "O"]], "iob2"),
        ([["O", "O"]], None),
        ([["NN", "IN", "O"]], None),
        ([["X-a"]], None),
        ([], None),
    ],
)
def test_a_scheme_is_told_from_the_data(sequences: list[list[str]], name: str | None) -> None:
    assert detect_scheme(sequences) == name


def test_what_is_no_tag_or_no_scheme_is_named() -> None:
    with pytest.raises(DataError, match="'E-a' is not of IOB2, whose prefixes are BIO"):
        open_scheme("iob2").check(["O", "E-a"])
    with pytest.raises(DataError, match="'' is not of IOB2"):
        open_scheme("iob2").check([""])
    with pytest.raises(DataError, match="'Other' is not of BILOU"):
        open_scheme("bilou").check(["Other"])
    with pytest.raises(ConfigError, match="no tagging scheme 'bio'; there are iob2, iob1"):
        open_scheme("bio")
    with pytest.raises(DataError, match="overlaps"):
        open_scheme("iob2").tags([Entity("a", 0, 2), Entity("a", 1, 3)], 3)
    with pytest.raises(DataError, match="outside of 2 words"):
        open_scheme("iob2").tags([Entity("a", 0, 3)], 2)
