"""What pages are put together of: arrays in base64, draws, and samples that are met by id and key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.arrow import keys_to_arrow
from headstart.backbones.images import decode_image
from headstart.reporting.arrays import encoded_codes, encoded_numbers, encoded_rows, encoded_shares
from headstart.reporting.budget import choose, evenly_drawn, first_seen, strata_of
from headstart.reporting.outcomes import rows_among
from headstart.reporting.queues import Queue
from headstart.thumbnails import SIDE, thumbnail, thumbnails

from .contract import decoded, none_of

numbers = st.lists(st.integers(-1, 70_000), max_size=30)


@given(numbers, st.integers(1, 70_001))
def test_codes_come_back_and_none_is_none(codes: list[int], n_names: int) -> None:
    given_codes = np.array([code for code in codes if code < n_names], dtype=np.int64)
    packed = encoded_codes(given_codes, n_names)
    found = decoded(packed)
    assert n_names <= none_of(packed)
    assert [-1 if code == none_of(packed) else int(code) for code in found] == given_codes.tolist()
    assert found.dtype.itemsize == (1 if n_names <= 255 else 2 if n_names <= 65_535 else 4)


@given(st.lists(st.floats(width=32), max_size=20))
def test_numbers_come_back_as_float32_and_what_is_not_finite_is_none(values: list[float]) -> None:
    found = decoded(encoded_numbers(np.array(values, dtype=np.float64)))
    expected = [value if np.isfinite(value) else np.nan for value in values]
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))


@given(st.lists(st.floats(0, 1), max_size=20))
def test_shares_are_off_by_half_a_step_at_most(values: list[float]) -> None:
    found = decoded(encoded_shares(np.array(values)))
    assert np.abs(found / 255 - np.array(values)).max(initial=0) <= 0.5 / 255 + 1e-12


def test_rows_that_are_none_are_the_largest_number() -> None:
    assert decoded(encoded_rows(np.array([[3, -1]]))).tolist() == [[3, 2**32 - 1]]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 3))
def test_the_beginning_of_a_draw_has_as_many_of_each_as_there_are(strata: list[int], seed: int) -> None:
    order = evenly_drawn(np.array(strata), seed)
    assert sorted(order.tolist()) == list(range(len(strata)))
    sizes = np.bincount(strata)
    for n in range(1, len(strata) + 1):
        counts = np.bincount(np.array(strata)[order[:n]], minlength=len(sizes))
        open_strata = counts[counts < sizes]
        assert open_strata.size == 0 or open_strata.min() >= counts.max() - 1


@given(st.lists(st.lists(st.integers(-1, 9), max_size=8), max_size=4), st.integers(0, 12))
def test_what_comes_first_is_chosen_first(parts: list[list[int]], n: int) -> None:
    rows = first_seen([np.array(part, dtype=np.int64) for part in parts])
    flat = [row for part in parts for row in part if row >= 0]
    assert rows.tolist() == list(dict.fromkeys(flat))
    chosen = choose(n, rows, np.arange(10))
    assert len(chosen) == min(n, 10)
    assert set(rows[:n].tolist()) <= set(chosen.tolist())


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1))
def test_strata_are_equal_where_all_codes_are(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(part) for part in zip(*pairs, strict=True))
    strata = strata_of(a, b)
    assert len(set(strata.tolist())) == len(set(pairs))


def samples(rows: list[tuple[str, int]]) -> pa.Table:
    keys = np.array([[content] * 16 for _, content in rows], dtype=np.uint8).reshape(-1, 16)
    return pa.table({"id": pa.array([name for name, _ in rows], pa.string()), "key": keys_to_arrow(keys)})


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_samples_are_met_by_id_and_key_whatever_their_order(rows: list[tuple[str, int]], random: Any) -> None:
    """Samples that are alike in both are told apart by their order."""
    own = dict(rows)
    rows = [(name, own[name]) for name, _ in rows]
    order = list(range(len(rows)))
    random.shuffle(order)
    found = rows_among(samples([rows[place] for place in order]), samples(rows)).tolist()
    assert sorted(found) == list(range(len(rows)))
    assert all(rows[there] == rows[place] for there, place in zip(found, order, strict=True))


def test_samples_of_another_content_or_id_are_not_met() -> None:
    among = samples([("a", 1), ("b", 2)])
    assert rows_among(samples([("a", 2), ("c", 1), ("b", 2)]), among).tolist() == [-1, -1, 1]
    assert rows_among(samples([("a", 1)]), among.slice(0, 0)).tolist() == [-1]


def test_a_queue_loses_the_samples_that_are_not_on_the_page_with_their_twins() -> None:
    queue = Queue(
        "duplicates",
        "",
        np.array([0, 1, 2]),
        3,
        np.array([3, 4, 5]),
        ["x", "y", "z"],
        np.arange(3.0),
        "cosine",
    )
    places = np.array([0, 1, 2, 3, -1, 4])
    found = queue.located(places)
    assert (found.rows.tolist(), found.other.tolist() if found.other is not None else None) == (
        [0, 2],
        [3, 4],
    )
    assert (found.suggested, found.n) == (["x", "z"], 3)


def test_large_photos_are_decoded_small_and_others_as_they_are() -> None:
    import io

    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    files = {}
    for kind in ("JPEG", "PNG"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        files[kind] = buffer.getvalue()
    assert decode_image(files["JPEG"]).size == decode_image(files["PNG"], 144).size == (1200, 900)
    small = decode_image(files["JPEG"], 144).size
    assert 144 <= min(small) < 900
    assert all(thumbnail(file, SIDE) for file in files.values())


@pytest.mark.parametrize(
    "payload", [b"", b"no picture", "a text", None, ("a text", "another"), b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_picture_has_no_thumbnail(payload: Any) -> None:
    assert list(thumbnails([(payload, SIDE)])) == [None]
