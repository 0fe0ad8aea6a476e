"""Links in a cache or beside a run are not followed where something is written, deleted or renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.cache.store import Cache

from ..end_to_end.conftest import Result
from .conftest import Code, link, make_set

Runner = Callable[..., Result]
# What may be a link in a cache; `outside` looks after what it leads to.
PLACES = ("spaces", "spaces/*", "spaces/*/shards", "spaces/*/claims", "spaces/*/uses", "spaces/*/known",
          "spaces/*/tokens", "sets", "sets/s", "trash")  # fmt: skip


def place_in(cache: Cache, pattern: str) -> Path:
    [space] = cache.root.glob("spaces/*")
    place = cache.root / pattern.replace("spaces/*", f"spaces/{space.name}")
    return next(iter(place.parent.glob(place.name)), place)


@pytest.mark.parametrize("pattern", PLACES)
def test_a_folder_that_is_a_link(
    headstart: Runner, texts: Path, code: Code, outside: Path, pattern: str
) -> None:
    cache = make_set(texts, code)
    link(place_in(cache, pattern), outside)
    with open(texts, "a", encoding="utf-8") as file:
        file.write("one more,class 1\n")
    extract = headstart("extract", texts, "--backbone", code("backbone"), "--set", "s", "--cache", "cache")
    assert "this is a bug" not in extract.err
    if not pattern.startswith(("trash", "spaces/*/uses")):
        assert (extract.code, "is a link" in extract.err) == (1, True), extract.err
    for words in (
        ("gc", "--apply", "--grace", "0", "--earlier"),
        ("verify", "--repair"),
        ("compact",),
        ("ls",),
    ):
        done = headstart("cache", *words, "--cache", "cache")
        assert "this is a bug" not in done.err, done.err


def test_partial_files_that_are_links_go_without_what_they_lead_to(
    headstart: Runner, texts: Path, code: Code, outside: Path
) -> None:
    cache = make_set(texts, code)
    shards = place_in(cache, "spaces/*/shards")
    for name in ("thesis.partial", "photos.partial"):
        (shards / name).symlink_to(outside / name)
        os.utime(shards / name, (0, 0), follow_symlinks=False)
    words = ("--backbone", code("backbone"), "--set", "s", "--cache", "cache")
    texts.write_text(texts.read_text() + "one more,class 1\n")
    assert headstart("extract", texts, *words).code == 0
    assert not list(shards.glob("*.partial"))


@pytest.mark.parametrize(
    "pattern", ["spaces/*/uses/*.jsonl", "spaces/*/index.npz", "spaces/*/shards/*.h5", "sets/s/current"]
)
def test_a_file_that_is_a_link(
    headstart: Runner, texts: Path, code: Code, outside: Path, pattern: str
) -> None:
    cache = make_set(texts, code)
    target = "host.jsonl" if pattern.endswith("jsonl") else "index.npz"
    link(place_in(cache, pattern), outside / target)
    with open(texts, "a", encoding="utf-8") as file:
        file.write("one more,class 1\n")
    headstart("extract", texts, "--backbone", code("backbone"), "--set", "s", "--cache", "cache")
    for words in (("verify", "--repair"), ("compact",), ("gc", "--apply", "--grace", "0", "--earlier")):
        assert "this is a bug" not in headstart("cache", *words, "--cache", "cache").err


def test_a_cache_that_is_a_link_itself_is_its_users_wish(headstart: Runner, texts: Path, code: Code) -> None:
    Path("elsewhere").mkdir()
    Path("cache").symlink_to("elsewhere")
    make_set(texts, code)
    assert len(list(Path("elsewhere").glob("spaces/*/shards/*"))) == 1


def test_the_state_of_a_training_that_is_a_link(
    headstart: Runner, texts: Path, code: Code, outside: Path
) -> None:
    make_set(texts, code)
    Path(".run.training").symlink_to(outside)
    done = headstart("fine-tune", "s", "--cache", "cache", "--out", "run", "--overwrite")
    assert (done.code, "is a link" in done.err) == (2, True), done.err


def test_a_run_that_is_a_link_is_replaced_and_what_it_leads_to_stays(
    headstart: Runner, texts: Path, code: Code, outside: Path
) -> None:
    make_set(texts, code)
    Path("run").symlink_to(outside)
    words = ("fit-head", "s", "--head", "ridge", "--cache", "cache", "--out", "run", "--overwrite")
    assert headstart(*words).code == 2  # it holds something else
