"""The splits of a Hugging Face data set as the files of a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, names_by_code, numbers_of
from headstart.data.hub.images import ArrowImages, Origin
from headstart.data.labels.cells import as_strings, is_plain_list, lists_from, whole
from headstart.data.splits import split_name
from headstart.data.tables.checks import check_sound
from headstart.data.tables.file import TableFile, string_table
from headstart.data.tables.parts import Part
from headstart.files import fingerprint, stat_fields

if TYPE_CHECKING:
    from headstart.types import LabelKind

    Features = Mapping[str, Any]

KIND = "Hugging Face data set"
_MINUS_ONE = column_of(np.array([-1], dtype=np.int64))[0]


def part_of(
    table: pa.Table,
    features: Features,
    path: Path,
    split: str | None,
    start: int,
    origin: Origin | None,
    numbered_from: int = 0,
    as_numbers: bool = False,
) -> Part:
    """A split, or some rows of it.

    Parameters
    ----------
    table : pyarrow.Table
        The rows; bytes stay where they are until somebody asks for them.
    features : mapping of str to feature
        What the columns are.
    path : Path
        The folder of the split, for messages and for relative paths of images.
    split : str, optional
        Its name in the data set.
    start : int
        Where its rows begin among those of all splits.
    origin : Origin, optional
        The files of the split.
    numbered_from : int
        How many rows of the split came before.
    as_numbers : bool
        Leave classes as the numbers they are stored as.
    """
    file = _table_file(table, {} if as_numbers else class_names(features), path, origin)
    prefix = split or path.name
    return Part(path, prefix, file, prefix, split and split_name(split), start, numbered_from)


def class_names(features: Features) -> dict[str, tuple[str, ...]]:
    """The names of the classes, in order, of columns that hold a class or several."""
    named = {}
    for name, feature in features.items():
        names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        if names:
            named[name] = tuple(names)
    return named


def class_kinds(features: Features) -> dict[str, LabelKind]:
    """Whether the columns that hold classes hold one or several: no class is a number to predict."""
    return {
        name: "single" if getattr(features[name], "names", None) else "multi"
        for name in class_names(features)
    }


def origin_of(paths: Sequence[str], split: str | None) -> Origin | None:
    """What the rows of a split are known by on this machine; None if they lie in no files."""
    if not paths:
        return None
    digest = blake2b((split or "").encode("utf-8"), digest_size=16)
    changed = 0
    files = []
    for path in paths:
        status = os.stat(path)
        files.append((path, stat_fields(status)))
        digest.update(fingerprint(status))
        changed = max(changed, status.st_mtime_ns, status.st_ctime_ns)
    return Origin(digest.digest(), changed, tuple(files))


def _table_file(
    table: pa.Table, names: Mapping[str, Sequence[str]], path: Path, origin: Origin | None
) -> TableFile:
    rows: dict[str, Any] = {}
    lists: dict[str, Any] = {}
    images: dict[str, ArrowImages] = {}
    unusable: dict[str, str] = {}
    for field in table.schema:
        column = table.column(field.name)
        check_sound(column, path, field.name)  # mapped from a file: damage would end the process
        if _holds_bytes(field.type):
            images[field.name] = ArrowImages(column, field.name, path.parent, origin)
        elif is_plain_list(field.type):
            lists[field.name] = partial(_listed, column, names.get(field.name))
        elif field.name in names and pa.types.is_integer(field.type):
            rows[field.name] = pa.chunked_array([_named(column, names[field.name])])
        elif pa.types.is_nested(field.type):
            unusable[field.name] = f"{field.type}"[:40]
        else:
            try:
                rows[field.name] = as_strings(column)
            except (pa.ArrowException, TypeError):
                unusable[field.name] = f"values of the type {field.type}"
    numbers = np.arange(1, table.num_rows + 1, dtype=np.int64)
    return TableFile(KIND, string_table(rows), numbers, (), unusable, lists, images)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return "bytes" in [field.name for field in kind] and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _named(column: Any, names: Sequence[str]) -> pa.StringArray:
    """Classes by name; null for null, and for numbers without a name: -1 says that there is no label."""
    codes = numbers_of(pc.fill_null(pc.cast(whole(column), pa.int64()), _MINUS_ONE))
    return names_by_code(np.where(codes < len(names), codes, -1), names)


def _listed(column: Any, names: Sequence[str] | None) -> Any:
    """A column of lists, of class names where there are any."""
    lists = whole(column)
    if not names:
        return lists
    lengths = np.array([len(codes) if codes else 0 for codes in lists.to_pylist()], dtype=np.int64)
    missing = np.array([not valid for valid in lists.is_valid().to_pylist()], dtype=bool)
    return lists_from(lengths, _named(lists.flatten(), names), missing)
