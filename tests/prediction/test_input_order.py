"""What could not be read comes where it stood in the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.prediction.input_order import input_order


def ordered(read: list[str], unread: list[str], data: Any = None) -> list[str]:
    return [[*read, *unread][number] for number in input_order(read, unread, data)]


@given(st.integers(0, 30).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, max(n - 1, 0))))))
@pytest.mark.parametrize("form", ["{}", "texts.csv:{}", "folder/{:03d}.png", "a.tar:{}.jpg"])
def test_every_form_of_origin_gives_the_order_of_the_data(form: str, case: tuple[int, set[int]]) -> None:
    n, bad = case
    origins = [form.format(number) for number in range(n)]
    read = [origin for number, origin in enumerate(origins) if number not in bad]
    unread = [origin for number, origin in enumerate(origins) if number in bad]
    if form == "a.tar:{}.jpg" and sorted(read) == read and n > 10:
        return  # what was read is in both orders, and does not tell which one it is
    assert ordered(read, unread) == origins


def test_files_keep_the_order_in_which_they_were_read() -> None:
    read = ["train.csv:1", "train.csv:9", "test.csv:1", "test.csv:3"]
    assert ordered(read, ["test.csv:2", "train.csv:10"]) == [
        "train.csv:1", "train.csv:9", "train.csv:10", "test.csv:1", "test.csv:2", "test.csv:3",
    ]  # fmt: skip
    assert ordered(["a.csv:1", "c.csv:1"], ["b.csv:1"]) == ["a.csv:1", "b.csv:1", "c.csv:1"]


def test_images_in_memory_have_the_order_in_which_they_were_given() -> None:
    data = ["z.png", Path("bad.png"), "a.png", b"bytes", "bad.png", "m.png"]
    read = ["z.png", "a.png", "3", "m.png"]
    assert ordered(read, ["bad.png", "bad.png"], data) == [
        "z.png",
        "bad.png",
        "a.png",
        "3",
        "bad.png",
        "m.png",
    ]


def test_what_was_read_is_never_moved() -> None:
    read = ["b.tar:x.jpg", "b.tar:a.jpg", "a.tar:2.jpg"]
    assert ordered(read, ["a.tar:1.jpg"]) == [*read, "a.tar:1.jpg"]
