"""Folders of images: ``[split/]class/**/image``, or all in one place without labels."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.data.base import BaseSource
from headstart.data.blocks import BLOCK_ROWS, Problem, Rows, prefixed, repeated
from headstart.data.folders.layout import Layout, layout_of
from headstart.data.folders.walk import NO_IMAGES, ImageTree, Run
from headstart.data.growing import READS_A_RELEASE, GrowingTable
from headstart.data.image_files import key_files, read_image
from headstart.data.labels.names import in_order, names_of
from headstart.types import SPLITS, SampleBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.options import SourceOptions
    from headstart.types import LabelKind, Modality

LABEL = "label"


class FolderSource(BaseSource):
    """The images under a folder; a sample's id and origin are its path relative to the folder.

    Parameters
    ----------
    root : Path
    options : SourceOptions
    """

    def __init__(self, root: Path, options: SourceOptions) -> None:
        self._root = str(root)
        self._options = options
        layout = layout_of(root)
        self._layout = Layout(layout.has_splits, layout.has_classes and options.labels, layout.doubtful)
        self._forget()

    def _forget(self) -> None:
        self._tree = ImageTree(self._root)
        self._paths = GrowingTable()
        self._n_read = 0
        self._labels: set[str] = set()
        self._splits: set[str] = set()
        self._n: int | None = None

    @property
    def modality(self) -> Modality:
        """Images."""
        return "image"

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """Integer class names in numerical order, known once the scan is over; else empty."""
        if not self._layout.has_classes:
            return {}
        return {LABEL: self._options.label_names or in_order(list(self._labels))}

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """One class an image, where there are class folders."""
        return {LABEL: "single"} if self._layout.has_classes else {}

    @property
    def description(self) -> str:
        """What the folder was taken for; after a scan also what was found in it."""
        kind = "class folders of images" if self._layout.has_classes else "images without classes"
        kind = f"split folders with {kind}" if self._layout.has_splits else kind
        parts = [f"{kind}{': ' + self._counts() if self._n is not None else ''}"]
        if self._layout.doubtful and self._layout.has_classes:
            parts.append(f"{', '.join(self._layout.doubtful)} taken for a class, not for a split")
        if self._tree.ignored.n:
            parts.append(str(self._tree.ignored))
        return "; ".join(parts)

    def _counts(self) -> str:
        counts = f"{self._n:,} images"
        if self._layout.has_classes:
            counts += f" in {len(self._labels):,} classes"
        if self._splits:
            counts += f", splits {', '.join(split for split in SPLITS if split in self._splits)}"
        return counts

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All images in blocks, in the order of the bytes of their paths; empty blocks mean patience."""
        self._forget()
        scanned_ns = time.time_ns()
        n = 0
        for parts in _batches(self._parts()):
            block = self._block(parts, memo, scanned_ns)
            n += block.table.num_rows
            yield block
        if self._tree.failures:
            yield self._block([self._part(NO_IMAGES)], memo, scanned_ns)
        self._n = n

    def payload(self, row: int) -> bytes:
        """The bytes of the ``row``-th image that `scan` yielded."""
        self._n_read += 1
        if self._n_read % READS_A_RELEASE == 0:
            self._paths.release()
        path = self._paths.whole().column(0)[row].as_py()
        return read_image(os.path.join(self._root, path), path)

    def _parts(self) -> Iterator[_Part]:
        return chain.from_iterable(self._part(run).pieces() for run in self._tree.walk())

    def _part(self, run: Run) -> _Part:
        split, label = self._layout.meaning(run.folder)
        paths = prefixed(run.folder, run.names)
        return _Part(paths, run.stats, split, self._label(label, run.folder))

    def _label(self, name: str | None, folder: str) -> str | None:
        """The class of a folder's name: the name itself, or one of those the user gave."""
        names = self._options.label_names
        if name is None or not names:
            return name
        return names_of([name], names, lambda _: os.path.join(self._root, folder.rstrip("/")))[0]

    def _block(self, parts: Sequence[_Part], memo: KeyMemo, scanned_ns: int) -> SampleBlock:
        paths = pa.concat_arrays([part.paths for part in parts])
        problems: dict[int, Problem] = {}
        places = [os.path.join(self._root, path) for path in paths.to_pylist()]
        stats = np.concatenate([part.stats for part in parts])
        keys = key_files(places, stats, problems, memo, scanned_ns)
        labels = pa.concat_arrays([repeated(part.label, len(part.paths)) for part in parts])
        splits = pa.concat_arrays([repeated(part.split, len(part.paths)) for part in parts])
        self._labels.update(part.label for part in parts if part.label is not None)
        self._splits.update(part.split for part in parts if part.split is not None)
        columns = {f"label:{LABEL}": labels} if self._layout.has_classes else {}
        rows = Rows(paths, paths, splits, keys, columns, problems)
        failures, self._tree.failures = self._tree.failures, []
        block = rows.block(failures)
        self._paths.append(block.table.select(["origin"]))
        return block


@dataclass(frozen=True, slots=True)
class _Part:
    """Consecutive images of one folder, at most a block of them."""

    paths: pa.Array
    stats: NDArray[np.int64]
    split: str | None
    label: str | None

    def pieces(self) -> Iterator[_Part]:
        for start in range(0, max(len(self.paths), 1), BLOCK_ROWS):
            end = start + BLOCK_ROWS
            yield _Part(self.paths[start:end], self.stats[start:end], self.split, self.label)


def _batches(parts: Iterator[_Part]) -> Iterator[list[_Part]]:
    """Parts together, until the next one would make the block too large, or is a mere sign of life."""
    batch: list[_Part] = []
    n = 0
    for part in parts:
        if batch and (n + len(part.paths) > BLOCK_ROWS or not len(part.paths)):
            yield batch
            batch, n = [], 0
        batch.append(part)
        n += len(part.paths)
    if batch:
        yield batch
