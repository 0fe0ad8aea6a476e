"""Hugging Face data sets that are too large for this machine: read once, block by block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headstart.contracts import Source
from headstart.data.hub_source import HubSource, class_kinds, class_names, import_datasets, part_of
from headstart.data.label_cells import in_order
from headstart.data.table_file import first_line
from headstart.errors import DataError, SampleError
from headstart.tasks import open_task
from headstart.types import SampleBlock

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.contracts import KeyMemo
    from headstart.data.options import SourceOptions
    from headstart.types import LabelKind, Modality, Payload

ROWS = 512
BYTES = 64 << 20


class StreamSource(Source):
    """The rows of a data set as they come; a payload can be had while its block is the last one.

    Relative paths of images are relative to ``folder``.

    Raises
    ------
    DataError
        It has no rows, or cannot be read.
    """

    streams = True

    def __init__(
        self,
        name: str,
        splits: Mapping[str, Any],
        folder: Path,
        options: SourceOptions,
        modality: Modality | None,
    ) -> None:
        self._name = name
        self._folder = folder
        self._options = options
        self._splits = {
            # Where features are not known, nothing is decoded.
            split: rows.decode(False) if rows.features else rows
            for split, rows in splits.items()
        }
        self._look(modality)
        self._seen: dict[str, set[str]] = {}
        self._first, self._n = 0, 0
        self._window: HubSource | None = None

    def _look(self, modality: Modality | None) -> None:
        """Take the first block for what all of them are."""
        for split, rows in self._splits.items():
            examples = next(_blocks(self._name, rows), None)
            if examples:
                features = rows.features or import_datasets().Dataset.from_list(examples).features
                self._features = features
                self._names, self._kinds = class_names(features), class_kinds(features)
                part = self._part(examples, split, 0)
                first = HubSource([part], self._options, modality, self._names, self._kinds)
                self._roles, self._label_kinds = first.roles, dict(first.label_kinds)
                self._kinds = {**self._kinds, **self._label_kinds}
                return
        raise DataError(f"{self._name} holds no rows")

    @property
    def modality(self) -> Modality:
        """What the columns hold."""
        return self._roles.modality

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """What the first labels are."""
        return self._label_kinds

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """The given names, else those the data set knows, else integers in order, after the scan."""
        return {
            name: self._options.label_names
            or self._names.get(name)
            or in_order(list(self._seen.get(name, ())))
            for name in self._label_kinds
        }

    @property
    def description(self) -> str:
        """What the data set was taken for."""
        content = " and ".join(map(repr, self._roles.content))
        labels = ", ".join(f"{name!r} ({kind})" for name, kind in self._label_kinds.items())
        said = f"{self.modality} in {content}, {f'labels in {labels}' if labels else 'no labels'}"
        return f"{self._name}, streamed, splits {', '.join(map(str, self._splits))}: {said}"

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All rows in blocks of at most 512, each in memory until the next."""
        self._first = self._n = 0
        for split, rows in self._splits.items():
            read = 0
            for examples in _blocks(self._name, rows):
                part = self._part(examples, split, read)
                read += len(examples)
                yield from self._scanned(part, memo)

    def payload(self, row: int) -> Payload:
        """The content of the ``row``-th sample, if it is of the block that was yielded last.

        Raises
        ------
        SampleError
            It is not: the data set has to be streamed again.
        """
        if self._window is None or not self._first <= row < self._n:
            raise SampleError(
                f"{self._name}: sample {row:,} has streamed by; it can be had while its block can"
            )
        return self._window.payload(row - self._first)

    def _scanned(self, part: Any, memo: KeyMemo) -> Iterator[SampleBlock]:
        source = HubSource([part], self._options, self.modality, self._names, self._kinds, self._roles)
        for block in source.scan(memo):
            self._window = source
            self._first, self._n = self._n, self._n + block.table.num_rows
            for name, kind in self._label_kinds.items():
                found = open_task(kind).names_in(block.table.column(f"label:{name}"))
                self._seen.setdefault(name, set()).update(found)
            yield block

    def _part(self, examples: list[dict[str, Any]], split: str, read: int) -> Any:
        try:
            table = import_datasets().Dataset.from_list(examples, features=self._features)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise DataError(
                f"{self._name}, split {split}, rows from {read + 1:,}: not of the types of the first rows "
                f"({first_line(error)}); try it without streaming"
            ) from error
        names = {} if self._options.label_names else self._names
        rows = table.with_format("arrow")[:]
        return part_of(rows, names, self._folder / split, split, numbered_from=read)


def _blocks(name: str, rows: Any) -> Iterator[list[dict[str, Any]]]:
    """Examples, at most so many and so many bytes at a time."""
    block: list[dict[str, Any]] = []
    n_bytes = 0
    try:
        for example in rows:
            n_bytes += sum(_fetched(value) for value in example.values())
            block.append(example)
            if len(block) == ROWS or n_bytes >= BYTES:
                yield block
                block, n_bytes = [], 0
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{name}: the stream broke ({first_line(error)}); run the same command again"
        ) from error
    if block:
        yield block


def _fetched(value: Any) -> int:
    """About how many bytes a value has; an image that is only named, elsewhere, is fetched."""
    if isinstance(value, dict) and "bytes" in value:
        path = value.get("path")
        if value["bytes"] is None and path and "://" in path:
            import fsspec  # type: ignore[import-untyped]

            with contextlib.suppress(OSError), fsspec.open(path, "rb") as file:
                value["bytes"] = file.read()
        return len(value["bytes"] or b"")
    return len(value) if isinstance(value, bytes | str) else 8
