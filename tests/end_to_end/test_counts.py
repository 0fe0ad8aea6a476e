"""Counts that add up: found = held + computed + copies + skipped, by reason, in every line and as JSON."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from .conftest import IMAGES, TEXTS, Result, write_image

Runner = Callable[..., Result]
REASONS = re.compile(r"(\d[\d,]*) [^;]+")


def number(text: str) -> int:
    return int(text.replace(",", ""))


def counts_in(line: str) -> dict[str, int]:
    """The numbers of ``found 9: 3 held, 4 computed, 2 skipped (1 empty file; 1 …)``, checked to add up."""
    said = re.fullmatch(r"(?:\S+: )?found ([\d,]+): ([^(]*?)(?: \((.*)\))?(?:; .*)?", line)
    assert said, line
    parts = {name: number(n) for n, name in re.findall(r"([\d,]+) ([a-z ]+?)(?:, |$)", said[2])}
    assert sum(parts.values()) == number(said[1]), line
    if said[3]:
        assert sum(number(n) for n in REASONS.findall(said[3])) == parts["skipped"], line
    return {"found": number(said[1]), **parts}


def found_lines(text: str) -> list[dict[str, int]]:
    return [counts_in(line) for line in text.splitlines() if re.match(r"(\S+: )?found [\d,]+: ", line)]


def check_plan(done: Result, found: int) -> None:
    """The line before the work: copies, held, to do, failed before, and what cannot be used."""
    (line,) = [line for line in done.err.splitlines() if " held, " in line and " to do" in line]
    text = line.partition("] ")[2] or line
    samples = number(re.search(r"([\d,]+) samples", text)[1])  # type: ignore[index]
    names = ("copies of others", "held", "to do", "failed before")
    parts = [re.search(rf"([\d,]+) (?:are |is )?{name}", text) for name in names]
    assert sum(number(part[1]) for part in parts if part) == samples, line
    unread = re.search(r"([\d,]+) more cannot be used", text)
    assert samples + (number(unread[1]) if unread else 0) == found, line


def mixed_folder(root: Path) -> Path:
    """Images, copies, bad ones of several kinds, and files that are none."""
    for place in range(6):
        write_image(root / "train" / "ab"[place % 2] / f"{place}.png", place)
    write_image(root / "test" / "a" / "t.png", 50)
    write_image(root / "test" / "b" / "copy of 1.png", 1)
    write_image(root / "train" / "b" / "copy of 3.png", 3)
    for name, content in (
        ("cut", b"\x89PNG\r\n\x1a\n"),
        ("copy of cut", b"\x89PNG\r\n\x1a\n"),
        ("empty", b""),
    ):
        (root / "train" / "a" / f"{name}.png").write_bytes(content)
    (root / "train" / "a" / "phone.heic").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf")
    for name in ("README", ".hidden", "train/a/notes.md"):
        (root / name).write_text("no image")
    return root


def test_a_folder_with_all_kinds_of_trouble_adds_up(headstart: Runner, tmp_path: Path) -> None:
    data = mixed_folder(tmp_path / "photos")
    extract = ("extract", data, "--backbone", IMAGES, "--set", "p")
    first = headstart(*extract)
    assert first.code == 0, first.err
    (said,) = found_lines(first.out)
    assert said == {"found": 13, "held": 0, "computed": 7, "copies of others": 2, "skipped": 4}
    check_plan(first, 13)
    assert "1 HEIC images need pillow-heif" in first.out or find_spec("pillow_heif")
    write_image(data / "train" / "a" / "new.png", 77)
    again = headstart(*extract)
    (said,) = found_lines(again.out)
    assert said == {"found": 14, "held": 7, "computed": 1, "copies of others": 2, "skipped": 4}
    check_plan(again, 14)
    done = headstart(*extract, "--json").json
    (counts,) = done["counts"].values()
    assert counts["found"] == done["found"] == 14
    assert counts["held"] + counts["computed"] + counts["copies"] + sum(counts["skipped"].values()) == 14
    assert done["failures"] == sum(counts["skipped"].values()) == 4
    assert done["samples"] == done["found"] - counts["skipped"]["empty file"]
    assert done["ignored"] == {"hidden": 1, "other": 2}
    three = headstart(*extract, "--backbone", "py:tiny_backbones:images")
    assert [line["found"] for line in found_lines(three.out)] == [14]


def test_rows_without_text_and_copies_and_labels_add_up(headstart: Runner, tmp_path: Path) -> None:
    rows = [
        "text,label",
        *(f"text number {i % 8},{'ab'[i % 2]}" for i in range(12)),
        ",a",
        '" ",b',
        "one more,",
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    done = headstart("extract", tmp_path / "t.csv", "--backbone", TEXTS, "--set", "t")
    (said,) = found_lines(done.out)
    assert said == {"found": 15, "held": 0, "computed": 9, "copies of others": 4, "skipped": 2}
    check_plan(done, 15)
    assert "1 of 13 samples have no label in 'label'" in done.out
    headstart("fit-head", "t", "--head", "centroid", "--out", "run")
    predicted = headstart("predict", "run", tmp_path / "t.csv", "--out", "p.csv")
    (line,) = [line for line in predicted.err.splitlines() if "found " in line]
    assert counts_in(line[line.index("found ") :]) == {"found": 15, "predicted": 13, "skipped": 2}
    judged = headstart("evaluate", "run", tmp_path / "t.csv", "--name", "again")
    assert judged.code == 0, judged.err
    assert found_lines(judged.out) == [{"found": 15, "judged": 12, "left out": 3}]


def test_a_folder_of_texts_goes_from_extract_to_predict(headstart: Runner, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for kind in ("pos", "neg"):
            for place in range(4):
                path = tmp_path / "aclImdb" / split / kind / f"{place}_7.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"a {kind} film, {split} {place}")
    (tmp_path / "aclImdb" / "README").write_text("about")
    done = headstart("extract", tmp_path / "aclImdb", "--backbone", TEXTS, "--set", "imdb")
    assert done.code == 0, done.err
    assert found_lines(done.out) == [{"found": 16, "held": 0, "computed": 16, "skipped": 0}]
    assert headstart("fit-head", "imdb", "--out", "run").code == 0
    predicted = headstart("predict", "run", tmp_path / "aclImdb" / "test", "--out", "p.csv")
    assert predicted.code == 0, predicted.err
    assert "test" not in predicted.out
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 9
    assert headstart("evaluate", "run", tmp_path / "aclImdb", "--name", "e").code == 0


def test_idx_files_go_through(headstart: Runner, tmp_path: Path) -> None:
    data = tmp_path / "mnist"
    data.mkdir()
    rng = np.random.default_rng(0)
    for word, n in (("train", 12), ("t10k", 6)):
        images, labels = rng.integers(0, 255, (n, 28, 28), dtype=np.uint8), np.arange(n, dtype=np.uint8) % 2
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (data / f"{word}-{name}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    done = headstart("extract", data, "--backbone", IMAGES, "--set", "mnist")
    assert done.code == 0, done.err
    assert found_lines(done.out) == [{"found": 18, "held": 0, "computed": 18, "skipped": 0}]
    assert headstart("fit-head", "mnist", "--out", "run").code == 0
    predicted = headstart("predict", "run", data / "t10k-images-idx3-ubyte.gz", "--out", "p.csv")
    assert predicted.code == 0, predicted.err
    assert headstart("extract", data, "--backbone", IMAGES, "--set", "mnist", "--json").json["computed"] == 0


@pytest.mark.slow
def test_what_workers_compute_adds_up(headstart: Runner, tmp_path: Path) -> None:
    data = mixed_folder(tmp_path / "photos")
    done = headstart("extract", data, "--backbone", IMAGES, "--set", "p", "--workers", "2")
    assert found_lines(done.out) == [
        {"found": 13, "held": 0, "computed": 7, "copies of others": 2, "skipped": 4}
    ], done.err
