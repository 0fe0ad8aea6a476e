"""Keys: the same bytes are the same key, and looking keys up is what a dictionary does."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.keys import (
    contains,
    copies_among,
    encode,
    first_by_key,
    first_occurrences,
    key_of,
    pack,
    same_rows,
    search,
    words,
)

# Few different bytes, so that keys share their first half, and differ by a trailing NUL only.
HALVES = st.sampled_from([bytes(8), bytes(7) + b"\x01", b"\x80" + bytes(7), b"\xff" * 8, b"\x00\xff" * 4])
KEYS = st.one_of(st.builds(bytes.__add__, HALVES, HALVES), st.binary(min_size=16, max_size=16))
MANY = st.lists(KEYS, max_size=40)


@given(held=st.lists(KEYS, max_size=40, unique=True), asked=MANY)
def test_search_finds_what_a_dictionary_finds(held: list[bytes], asked: list[bytes]) -> None:
    held = sorted(held)
    positions, found = search(*words(pack(held)), pack(asked))
    where = {key: position for position, key in enumerate(held)}
    assert found.tolist() == [key in where for key in asked]
    for key, position, is_there in zip(asked, positions, found, strict=True):
        if is_there:
            assert position == where[key]


@given(keys=MANY)
def test_words_order_as_bytes_do(keys: list[bytes]) -> None:
    hi, lo = words(pack(keys))
    assert [keys[row] for row in np.lexsort((lo, hi))] == sorted(keys)
    assert [int(h) << 64 | int(low) for h, low in zip(hi, lo, strict=True)] == [
        int.from_bytes(key, "big") for key in keys
    ]


@given(keys=MANY)
def test_pack_keeps_every_byte_and_the_order(keys: list[bytes]) -> None:
    assert pack(keys).shape == (len(keys), 16)
    assert [row.tobytes() for row in pack(keys)] == keys


@given(keys=MANY)
def test_first_occurrences_are_the_first(keys: list[bytes]) -> None:
    assert first_occurrences(pack(keys)).tolist() == [keys.index(key) for key in dict.fromkeys(keys)]


@given(keys=MANY)
def test_each_key_is_named_once_in_the_order_of_the_keys(keys: list[bytes]) -> None:
    assert first_by_key(pack(keys)).tolist() == [keys.index(key) for key in sorted(set(keys))]


@given(keys=MANY, asked=MANY)
def test_contains_is_membership_whichever_side_is_longer(keys: list[bytes], asked: list[bytes]) -> None:
    assert contains(pack(keys), pack(asked)).tolist() == [key in keys for key in asked]


@given(keys=MANY)
def test_copies_are_the_rows_whose_key_is_there_more_than_once(keys: list[bytes]) -> None:
    copies = copies_among(pack(keys))
    expected = [row for row, key in enumerate(keys) if keys.count(key) > 1]
    assert sorted(copies.rows.tolist()) == expected
    assert copies.n_groups == len({keys[row] for row in expected})
    for row, group, is_first in zip(copies.rows, copies.groups, copies.is_first, strict=True):
        alike = [other for other, number in zip(copies.rows, copies.groups, strict=True) if number == group]
        assert alike == [other for other in range(len(keys)) if keys[other] == keys[row]]
        assert is_first == (row == alike[0])


@given(one=st.tuples(st.text(), st.text()), other=st.tuples(st.text(), st.text()))
def test_pairs_share_an_encoding_only_if_they_are_equal(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (encode(one) == encode(other)) == (one == other)
    whole = one[0] + one[1]
    for cut in range(len(whole) + 1):
        moved = (whole[:cut], whole[cut:])
        assert (key_of("text-pair", moved) == key_of("text-pair", one)) == (moved == one)


def test_a_key_is_the_modality_a_nul_and_the_bytes() -> None:
    assert key_of("image", b"\x89PNG") == blake2b(b"image\0\x89PNG", digest_size=16).digest()
    assert key_of("text", "é") == blake2b(b"text\0\xc3\xa9", digest_size=16).digest()
    assert len({key_of("image", b"a"), key_of("text", "a"), key_of("text-pair", ("a", ""))}) == 3


@given(keys=MANY, kept=st.integers(0, 40), more=MANY)
def test_of_data_that_grew_the_keys_are_found_as_well(
    keys: list[bytes], kept: int, more: list[bytes]
) -> None:
    asked = keys[:kept] + more
    assert contains(pack(keys), pack(asked)).tolist() == [key in keys for key in asked]
    assert same_rows(pack(keys), pack(asked)).tolist() == [
        row < len(keys) and keys[row] == key for row, key in enumerate(asked)
    ]
