"""`--max-failures` stops a run that is going wrong, and failures are named sample by sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs

from .conftest import IMAGES, TEXTS, Result, some_texts, write_image, write_texts

Runner = Callable[..., Result]


def with_bad_photos(photos: Path, n: int) -> Path:
    for number in range(n):
        (photos / "circle" / f"bad-{number}.png").write_bytes(b"no image %d" % number)
    return photos


@pytest.mark.parametrize("limit", ["3", "5%"])
def test_a_run_that_goes_wrong_is_stopped_and_keeps_what_it_did(
    headstart: Runner, photos: Path, limit: str
) -> None:
    with_bad_photos(photos, 4)
    done = headstart("extract", photos, "--backbone", IMAGES, "--set", "p", "--max-failures", limit)
    assert done.code == 1
    assert "stopped: 4 samples have failed" in done.err
    assert "raise the limit" in done.err
    assert "such as circle/bad-0.png" in done.err or "such as circle/bad-" in done.err
    again = headstart("extract", photos, "--backbone", IMAGES, "--set", "p", "--json")
    assert again.json["failures"] == 4
    assert again.json["computed"] <= 60


@pytest.mark.parametrize("limit", ["4", "10%", "100%"])
def test_a_run_within_its_limit_goes_on(headstart: Runner, photos: Path, limit: str) -> None:
    with_bad_photos(photos, 4)
    done = headstart("extract", photos, "--backbone", IMAGES, "--max-failures", limit, "--json")
    assert (done.code, done.json["computed"], done.json["failures"]) == (0, 60, 4)


def test_what_the_scan_refuses_counts(headstart: Runner, photos: Path) -> None:
    for number in range(3):
        (photos / "circle" / f"empty-{number}.png").touch()
    done = headstart("extract", photos, "--backbone", IMAGES, "--max-failures", "2")
    assert done.code == 1
    assert "3 × empty file" in done.err


@pytest.mark.parametrize("limit", ["many", "-1", "120%", "1.5"])
def test_a_limit_that_is_none_is_refused(headstart: Runner, table: Path, limit: str) -> None:
    done = headstart("extract", table, "--backbone", TEXTS, "--max-failures", limit)
    assert done.code == 2
    assert "--max-failures takes a number or a percentage" in done.err


def test_every_sample_that_failed_is_named_copies_and_all(headstart: Runner, tmp_path: Path) -> None:
    rows = [*some_texts(20), ("zebra", "class 0"), ("zebra", "class 1"), ("", "class 0")]
    path = write_texts(tmp_path / "t.csv", rows)
    done = headstart("extract", path, "--backbone", TEXTS, "--set", "t", "--json", TINY_NAN="some")
    assert done.json["failures"] == 3
    lines = [json.loads(line) for line in (hs.open_set("t").path / "failures.jsonl").read_text().splitlines()]
    assert sorted((line["id"], line["origin"], line["kind"]) for line in lines) == [
        ("t:21", "t.csv:21", "permanent"), ("t:22", "t.csv:22", "permanent"), ("t:23", "t.csv:23", "permanent"),
    ]  # fmt: skip
    assert {line["reason"] for line in lines} == {"the backbone gave NaN or infinity", "the text is empty"}
    assert all(line["key"] and line["space"] for line in lines if line["id"] != "t:23")


def test_a_failure_goes_by_the_name_that_its_sample_has_now(headstart: Runner, photos: Path) -> None:
    with_bad_photos(photos, 1)
    headstart("extract", photos, "--backbone", IMAGES, "--set", "p")
    (photos / "circle" / "bad-0.png").rename(photos / "square" / "renamed.png")
    assert headstart("extract", photos, "--backbone", IMAGES, "--set", "p", "--json").json["computed"] == 0
    assert [failure.id for failure in hs.open_set("p").failures] == ["square/renamed.png"]


def test_a_photo_that_is_written_last_fails_alone(headstart: Runner, photos: Path) -> None:
    write_image(photos / "circle" / "z.png", 99)
    done = headstart("extract", photos, "--backbone", IMAGES, "--max-failures", "0", "--json")
    assert (done.code, done.json["computed"]) == (0, 61)
