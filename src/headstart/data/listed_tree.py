"""Walking a folder of a bucket: the files of one kind in the order of their paths, from its listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import strings
from headstart.data.file_kinds import IMAGES
from headstart.data.file_tree import HIDDEN, NO_FILES, FileTree, Ignored, Run
from headstart.remote.paths import RemotePath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headstart.data.file_kinds import FileKind
    from headstart.remote.listing import Listing
    from headstart.types import Failure

PIECE = 1 << 14
"""Objects that are looked at together."""


class ListedTree(FileTree):
    """The files of a kind in a folder of a bucket, which has no links and nothing that could not be listed."""

    def __init__(self, root: RemotePath, kind: FileKind = IMAGES) -> None:
        self.ignored = Ignored()
        self.failures: list[Failure] = []
        self.links_out: list[str] = []
        self.n_links_out = 0
        self._folder = root
        self._accepts = kind.accepts

    def walk(self) -> Iterator[Run]:
        """All files of the kind, in the order of the bytes of their paths."""
        listing, top = self._folder.with_listing()
        places = listing.within(top)
        for start in range(places.start, places.stop, PIECE):
            yield NO_FILES
            yield from self._runs(listing, len(top), range(start, min(start + PIECE, places.stop)))

    def _runs(self, listing: Listing, n_above: int, places: range) -> Iterator[Run]:
        """The files of a stretch of the listing, those of a folder together."""
        names = listing.names[places.start : places.stop].to_pylist()
        folder, rows = "", list[int]()
        for row, path in enumerate(names):
            above, slash, name = path[n_above:].rpartition("/")
            if f"/{path[n_above:]}".find("/.") >= 0:
                self.ignored.add(path[n_above:], HIDDEN)
                continue
            if not self._accepts(name):
                self.ignored.add(path[n_above:])
                continue
            if above + slash != folder and rows:
                yield self._run(listing, folder, names, rows, places.start, n_above)
                rows = []
            folder = above + slash
            rows.append(row)
        if rows:
            yield self._run(listing, folder, names, rows, places.start, n_above)

    def _run(
        self, listing: Listing, folder: str, names: list[str], rows: list[int], start: int, n_above: int
    ) -> Run:
        skipped = n_above + len(folder)
        column = strings([names[row][skipped:] for row in rows]).cast(pa.large_string())
        return Run(folder, column, listing.stats[np.array(rows, dtype=np.int64) + start])


def tree_of(root: Path, kind: FileKind = IMAGES, stats: bool = True) -> FileTree:
    """The files of a kind in a folder, wherever it is; without ``stats`` no local file is looked at."""
    if isinstance(root, RemotePath):
        return ListedTree(root, kind)
    return FileTree(str(root), kind, stats)
