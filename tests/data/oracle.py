"""Tables made from a seed, with the rows that Python's own parsers read in them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

Row = tuple[str, str]
LABELS = ("pos", "neg", "very odd")
ODD = (*"aé'\",;\t|\n\r\0\\ 1", "\u2028", "\x0b", "\u00a0", "\ufeff", "\r\n", "😀", '""', "word ")
TAME = ("a", "b ", "word ")
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda raw: bytes(pa.compress(raw, "zstd", asbytes=True)),
}


@dataclass(frozen=True)
class Made:
    """A file, how it is to be read, its rows, and how many more rows in it have too few or too many cells."""

    path: Path
    encoding: str
    rows: list[Row]
    n_ragged: int = 0


def make(seed: int, folder: Path) -> Made:
    """A table of any format, encoding and compression."""
    rng = random.Random(seed)
    oddity = rng.choice([0, 0.1, 0.5])
    rows = [(f"t{_cell(rng, oddity)}x", rng.choice(LABELS)) for _ in range(rng.randint(1, 40))]
    kind = rng.choice([_delimited, _delimited, _ragged, _literal, _json_lines, _json, _binary, _text])
    return kind(rng, folder, rows)


def _cell(rng: random.Random, oddity: float) -> str:
    return "".join(rng.choice(ODD if rng.random() < oddity else TAME) for _ in range(rng.randint(1, 12)))


def _write(rng: random.Random, path: Path, text: str, rows: list[Row], n_ragged: int = 0) -> Made:
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])
    try:
        raw = text.encode(encoding)
    except UnicodeEncodeError:
        encoding, raw = "utf-8", text.encode("utf-8")
    ending, pack = rng.choice(list(PACKED.items()))
    path = path.with_name(path.name + ending)
    path.write_bytes(pack(raw))
    return Made(path, encoding.removesuffix("-sig"), rows, n_ragged)


def _dialect(rng: random.Random) -> dict[str, Any]:
    return {
        "lineterminator": rng.choice(["\n", "\r\n"]),
        "quoting": rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    }


def _delimited(rng: random.Random, folder: Path, rows: list[Row]) -> Made:
    is_tsv, text = rng.random() < 0.4, io.StringIO()
    writer = csv.writer(text, delimiter="\t" if is_tsv else rng.choice(",;"), **_dialect(rng))
    writer.writerows([("text", "label"), *rows])
    return _write(rng, folder / f"t.{'tsv' if is_tsv else 'csv'}", text.getvalue(), rows)


def _ragged(rng: random.Random, folder: Path, rows: list[Row]) -> Made:
    text = io.StringIO()
    writer = csv.writer(text, **_dialect(rng))
    writer.writerow(("text", "label"))
    for first, second in rows:
        odd = rng.random() < 0.2
        writer.writerow(rng.choice([[first], [first, second, "x"]]) if odd else (first, second))
    read = [tuple(row) for row in csv.reader(io.StringIO(text.getvalue(), newline="")) if row][1:]
    good: list[Row] = [(row[0], row[1]) for row in read if len(row) == 2]
    return _write(rng, folder / "t.csv", text.getvalue(), good, len(read) - len(good))


def _literal(rng: random.Random, folder: Path, rows: list[Row]) -> Made:
    """Tab-separated lines whose quotes are characters like others, and never close what they open."""
    lines = [(_flat(text), label) for text, label in rows]
    lines = [('"' + text if rng.random() < 0.2 else text, label) for text, label in lines]
    end = rng.choice(["\n", "\r\n"])
    text = "".join(f"{first}\t{second}{end}" for first, second in [("text", "label"), *lines])
    return _write(rng, folder / "t.tsv", text, lines)


def _flat(text: str) -> str:
    for mark in "\t\n\r":
        text = text.replace(mark, " ")
    return text


def _json_lines(rng: random.Random, folder: Path, rows: list[Row]) -> Made:
    ascii_only, end = rng.random() < 0.5, rng.choice(["\n", "\r\n", "\n\n"])
    lines = (json.dumps({"text": a, "label": b}, ensure_ascii=ascii_only) + end for a, b in rows)
    return _write(rng, folder / rng.choice(["t.jsonl", "t.ndjson"]), "".join(lines), rows)


def _json(rng: random.Random, folder: Path, rows: list[Row]) -> Made:
    objects = [{"text": text, "label": label} for text, label in rows]
    document: Any = objects if rng.random() < 0.5 else {"v": [1], "data": objects, "x": {"y": 1}}
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
    return _write(rng, folder / "t.json", text, rows)


def _binary(rng: random.Random, folder: Path, rows: list[Row]) -> Made:
    table = pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    path = folder / rng.choice(["t.parquet", "t.feather"])
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rng.randint(1, 20))
    else:
        feather.write_feather(table, path, chunksize=rng.randint(1, 20))
    return Made(path, "utf-8", rows)


def _text(rng: random.Random, folder: Path, rows: list[Row]) -> Made:
    """fastText's lines."""
    rows = [(_flat(text), label.replace(" ", "-")) for text, label in rows]
    text = "".join(f"__label__{label} {text}\n" for text, label in rows)
    return _write(rng, folder / "t.txt", text, rows)
