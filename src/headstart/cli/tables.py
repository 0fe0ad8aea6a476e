"""Tables for people and for programs: cells of a terminal, and files in the format that their name asks for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv", ".jsonl")
LONGEST_CELL = 48
Cell = str | float | int | None


def cell(text: str, longest: int | None = LONGEST_CELL) -> str:
    """A text as a cell of a table in a terminal: in one line, and of at most so many letters.

    Parameters
    ----------
    text : str
        Line ends and what else would move the cursor are shown as Python writes them.
    longest : int, optional
        What is longer is cut, with … at its end; None: nothing is cut, such as of a path.

    Examples
    --------
    >>> print(cell("two\\nlines"), cell("abcdefgh", 5))
    two\\nlines abcd…
    """
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def columns(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The lines of a table; a column of numbers is set to the right.

    Examples
    --------
    >>> print("\\n".join(columns(["head", "n"], [["ridge", 9], ["mlp", 1000]])))
    head       n
    ridge      9
    mlp    1,000
    """
    texts = [list(header), *([_text(cell) for cell in row] for row in rows)]
    right = [all(_is_number(row[i]) for row in texts[1:]) for i in range(len(header))]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]
    return [
        "  ".join(
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    ]


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:.4f}" if cell == 0 or 1e-3 <= abs(cell) < 1000 else f"{cell:.3g}"
        case str():
            return cell


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").replace("-", "0", text == "-"))
    except ValueError:
        return False
    return True


def check_writable(path: Path | None, *inputs: str | Path) -> None:
    """Refuse a file that cannot be written, or that is part of an input, before any work is done."""
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path} has none of the endings {', '.join(SUFFIXES)}; choose one of them")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} to write {path.name} to")
    for place in map(Path, inputs):
        # Writing is an atomic replacement: the input would be read well, and be gone all the same.
        if path.exists() and place.exists() and place.resolve() in (path.resolve(), *path.resolve().parents):
            raise ConfigError(
                f"{path} is there already, and part of {place}, which is read; choose another --out"
            )


def write_table(table: pa.Table, path: Path | None) -> None:
    """Write a table as Parquet, CSV or JSONL by its file's ending; as CSV to stdout without one."""
    if path is None:
        sys.stdout.buffer.write(_csv(table))
        sys.stdout.buffer.flush()
        return
    from headstart.files import write_durably
    from headstart.registry.run import parquet_bytes

    encoders = {".csv": _csv, ".jsonl": _jsonl, ".parquet": parquet_bytes}
    write_durably(path, encoders[path.suffix.lower()](table))


def _csv(table: pa.Table) -> bytes:
    import pyarrow as pa
    from pyarrow import csv

    for position, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):  # several labels a sample: a cell holds one value
            table = table.set_column(position, field.name, _as_json(table.column(position)))
    buffer = pa.BufferOutputStream()
    csv.write_csv(table, buffer)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def _as_json(column: pa.ChunkedArray) -> pa.StringArray:
    """Lists as JSON, as a label column of a table is read."""
    import json

    from headstart.arrow import strings

    cells = column.to_pylist()
    return strings([None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells])


def _jsonl(table: pa.Table) -> bytes:
    import json

    lines = (
        json.dumps(row, ensure_ascii=False) + "\n"
        for batch in table.to_batches()
        for row in batch.to_pylist()
    )
    return "".join(lines).encode("utf-8")
