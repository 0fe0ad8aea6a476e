"""Folders of images: ``[split/]class/**/image``, or all in one place without labels, in the order of their paths.

Names and stat numbers go straight into flat buffers, some 50 bytes and the name for each file:
a folder of a million photos must not become a million Python objects.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, numbers_of
from headstart.contracts import Source
from headstart.data.contents import N_STATS, ScanMemo, is_image, key_files, read_image, unreadable
from headstart.data.growing import READS_A_RELEASE, GrowingTable
from headstart.data.label_cells import clean_label, in_order, names_of
from headstart.data.source import BLOCK_ROWS, Problem, Rows, plural, prefixed, printable, repeated
from headstart.data.splits import LEFT_OUT, SplitNames
from headstart.files import stat_fields
from headstart.types import SPLITS, Failure, SampleBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.options import SourceOptions
    from headstart.types import LabelKind, Modality

    Identity = tuple[int, int]

LABEL = "label"
USUAL_NAMES = SplitNames({})
NAMED = 3
"""How many ignored files are named, not only counted."""

SIGN_OF_LIFE = 1 << 14
"""Entries of a folder after which the walk shows itself."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the folders above an image mean: the top one may be its split, the first one below its class.

    ``doubtful`` are top-level folders named like splits that are taken for classes, since others are not; ``splits``
    those that are splits, as ``names`` has them.
    """

    has_splits: bool
    has_classes: bool
    doubtful: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    names: SplitNames = USUAL_NAMES

    def meaning(self, folder: str) -> tuple[str | None, str | None]:
        """Split and class of the images in a folder (its path ends with a slash).

        Examples
        --------
        >>> Layout(has_splits=True, has_classes=True).meaning("dev/cats/2024/")
        ('validation', 'cats')
        """
        parts = folder.split("/")[:-1]
        split = None
        if self.has_splits and parts:
            split = self.names.of(parts.pop(0))
        return split, parts[0] if self.has_classes and parts else None


def layout_of(root: Path, names: SplitNames = USUAL_NAMES) -> Layout:
    """Look at the top of a tree of images, and below only as far as the first image.

    Raises
    ------
    ConfigError
        Beside folders that are splits lies one of an unknown name, or two of them mean one split.
    """
    tops = folders_in(root)
    splits = [name for name in tops if names.of(name)]
    others = [name for name in tops if not names.of(name) and has_image(root / name)]
    with_images = [name for name in splits if has_image(root / name)]
    labelled = any(has_image(root / top / name) for top in splits for name in folders_in(root / top))
    # A folder "train" beside a folder "bus" is a class; beside "test", or with classes in it, it is a split.
    if (splits and not others) or (others and labelled and with_images) or len(with_images) > 1:
        names.check([*with_images, *others], root)
        return Layout(True, labelled, splits=tuple(with_images), names=names)
    return Layout(False, any(has_image(root / name) for name in tops), tuple(splits))


def has_image(folder: Path) -> bool:
    """Whether there is an image in a folder, at any depth."""
    seen = set()
    pending = [str(folder)]
    while pending:
        path = pending.pop()
        identity = _identity(path)
        if identity in seen:
            continue
        seen.add(identity)
        for name, is_folder in _entries(path):
            if is_folder:
                pending.append(os.path.join(path, name))
            elif is_image(name):
                return True
    return False


def folders_in(folder: Path) -> list[str]:
    """The folders in a folder but for hidden ones, sorted."""
    return sorted(name for name, is_folder in _entries(str(folder)) if is_folder)


def _entries(path: str) -> list[tuple[str, bool]]:
    """What a folder holds but for hidden names; nothing if it cannot be read: the scan says so."""
    try:
        with os.scandir(path) as entries:
            return [(entry.name, _is_folder(entry)) for entry in entries if entry.name[0] != "."]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def _identity(path: str) -> Identity | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # gone since it was listed: entering it will say so
    return status.st_dev, status.st_ino


@dataclass(frozen=True, slots=True)
class Run:
    """Image files of one folder that follow each other in the order of their paths.

    The folder is relative to the root, with a slash at its end; empty for the root itself.
    """

    folder: str
    names: pa.Array
    stats: NDArray[np.int64]

    def pieces(self) -> Iterator[Run]:
        """The same, at most a block at a time."""
        for start in range(0, max(len(self.names), 1), BLOCK_ROWS):
            end = start + BLOCK_ROWS
            yield Run(self.folder, self.names[start:end], self.stats[start:end])


_NO_STATS = (0, 0, 0, 0, 0)
NO_IMAGES = Run("", pa.nulls(0, pa.large_string()), np.zeros((0, N_STATS), dtype=np.int64))


class Ignored:
    """What was left out: how many, and the first few names."""

    def __init__(self) -> None:
        self.n = 0
        self.names: list[str] = []

    def add(self, path: str) -> None:
        """Leave one more out."""
        self.n += 1
        if len(self.names) < NAMED or path < self.names[-1]:
            self.names = sorted([*self.names, path])[:NAMED]

    def __str__(self) -> str:
        names = ", ".join(printable(name) for name in self.names) + (", …" if self.n > NAMED else "")
        return f"{self.n:,} other {plural('file', self.n)} ignored ({names})"


class ImageTree:
    """The image files under a folder, symbolic links followed; without ``stats`` no file is looked at.

    ``ignored`` are files that are no images, hidden files and folders, and links back to a folder above; ``failures``
    what could not be listed: whoever walks takes them out.
    """

    def __init__(self, root: str, stats: bool = True) -> None:
        self.ignored = Ignored()
        self.failures: list[Failure] = []
        self._root = root
        self._stats = stats

    def walk(self) -> Iterator[Run]:
        """All image files, in the order of the bytes of their paths.

        While a large folder is listed, empty runs show that the work goes on. Not recursive: a path may
        be deeper than Python's stack.
        """
        open_folders = [self._enter("")]
        above = [_identity(self._root)]
        while open_folders:
            step = next(open_folders[-1], None)
            if step is None:
                open_folders.pop()
                above.pop()
            elif isinstance(step, Run):
                yield step
            elif (identity := _identity(self._path(step))) and identity in above:
                self.ignored.add(f"{step} (a link to a folder above it)")
            else:
                above.append(identity)
                open_folders.append(self._enter(step))

    def _enter(self, folder: str) -> Iterator[Run | str]:
        """The files of a folder, and between them its folders, as their paths sort."""
        listing = _Listing()
        try:
            with os.scandir(self._path(folder)) as entries:
                for number, entry in enumerate(entries, 1):
                    self._add(listing, folder, entry)
                    if number % SIGN_OF_LIFE == 0:
                        yield NO_IMAGES
        except OSError as error:
            self._fail(folder, f"the folder cannot be read: {error.strerror or error}")
        names, stats, is_folder = listing.sorted()
        start = 0
        for position in np.flatnonzero(is_folder).tolist():
            if position > start:
                yield Run(folder, names[start:position], stats[start:position])
            yield folder + names[position].as_py()
            start = position + 1
        if start < len(names):
            yield Run(folder, names[start:], stats[start:])

    def _add(self, listing: _Listing, folder: str, entry: os.DirEntry[str]) -> None:
        name = entry.name
        if name[0] == ".":
            self.ignored.add(folder + name)
            return
        try:
            if entry.is_dir():
                # With its slash a folder sorts where the paths of its files do: "a-b/x" < "a/x" < "a0".
                listing.add(name.encode("utf-8") + b"/", is_folder=1)
            elif is_image(name):
                listing.add(name.encode("utf-8"), self._stats_of(entry))
            else:
                self.ignored.add(folder + name)
        except UnicodeEncodeError:
            self._fail(folder + name, "the name is not UTF-8; rename it", permanent=True)
        except OSError as error:
            self._fail(folder + name, unreadable(error))

    def _stats_of(self, entry: os.DirEntry[str]) -> tuple[int, ...]:
        if not self._stats:
            return _NO_STATS
        status = entry.stat()
        if not S_ISREG(status.st_mode):
            raise OSError(0, "it is neither a file nor a folder")
        return stat_fields(status)

    def _fail(self, path: str, reason: str, permanent: bool = False) -> None:
        name = printable(path) or "."
        self.failures.append(Failure(name, name, reason, "permanent" if permanent else "transient"))

    def _path(self, folder: str) -> str:
        return os.path.join(self._root, folder)


class _Listing:
    """What one folder holds, in flat buffers."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._ends = array("q", [0])
        self._stats = array("q")
        self._is_folder = bytearray()

    def add(self, name: bytes, fields: tuple[int, ...] = _NO_STATS, is_folder: int = 0) -> None:
        self._names += name
        self._ends.append(len(self._names))
        self._stats.extend(fields)
        self._is_folder.append(is_folder)

    def sorted(self) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.bool_]]:
        """Names, stat fields and whether each is a folder, sorted by the bytes of the names."""
        n = len(self._is_folder)
        buffers = [None, pa.py_buffer(self._ends), pa.py_buffer(self._names)]
        names = pa.Array.from_buffers(pa.large_string(), n, buffers)
        order = numbers_of(pc.sort_indices(names)).astype(np.int64)
        stats = np.frombuffer(self._stats, dtype=np.int64).reshape(n, N_STATS)
        is_folder = np.frombuffer(self._is_folder, dtype=np.bool_)
        return names.take(column_of(order)), stats[order], is_folder[order]


class FolderSource(Source):
    """The images under a folder; a sample's id and origin are its path relative to the folder."""

    modality: Modality = "image"

    def __init__(self, root: Path, options: SourceOptions) -> None:
        self._root = str(root)
        self._options = options
        layout = layout_of(root, SplitNames(options.split_map))
        self._layout = replace(layout, has_classes=layout.has_classes and options.labels)
        self._forget()

    def _forget(self) -> None:
        self._tree = ImageTree(self._root)
        self._paths = GrowingTable()
        self._n_read = 0
        self._labels: set[str] = set()
        self._splits: set[str] = set()
        self._n: int | None = None

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
        parts += self._layout.names.said(self._layout.splits)
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
        seen, n = ScanMemo(memo), 0
        for runs in _batches(self._wanted(self._tree.walk())):
            block = self._block(runs, seen)
            n += block.table.num_rows
            yield block
        if self._tree.failures:
            yield self._block([NO_IMAGES], seen)
        self._n = n

    def _wanted(self, runs: Iterator[Run]) -> Iterator[Run]:
        return (run for run in runs if self._layout.meaning(run.folder)[0] != LEFT_OUT)

    def payload(self, row: int) -> bytes:
        """The bytes of the ``row``-th image that `scan` yielded."""
        self._n_read += 1
        if self._n_read % READS_A_RELEASE == 0:
            self._paths.release()
        path = self._paths.whole().column(0)[row].as_py()
        return read_image(os.path.join(self._root, path), path)

    def _label(self, name: str | None, folder: str) -> str | None:
        """The class of a folder's name: the name itself, or one of those the user gave."""
        names = self._options.label_names
        name = None if name is None else clean_label(name)
        if name is None or not names:
            return name
        return names_of([name], names, lambda _: os.path.join(self._root, folder.rstrip("/")))[0]

    def _block(self, runs: Sequence[Run], memo: ScanMemo) -> SampleBlock:
        paths = pa.concat_arrays([prefixed(run.folder, run.names) for run in runs])
        problems: dict[int, Problem] = {}
        places = [os.path.join(self._root, path) for path in paths.to_pylist()]
        keys = key_files(places, np.concatenate([run.stats for run in runs]), problems, memo)
        meanings = [self._layout.meaning(run.folder) for run in runs]
        splits = [split for split, _ in meanings]
        labels = [self._label(label, run.folder) for run, (_, label) in zip(runs, meanings, strict=True)]
        self._splits.update(filter(None, splits))
        self._labels.update(label for label in labels if label is not None)
        columns = {f"label:{LABEL}": _spread(labels, runs)} if self._layout.has_classes else {}
        failures, self._tree.failures = self._tree.failures, []
        block = Rows(paths, paths, _spread(splits, runs), keys, columns, problems).block(failures)
        self._paths.append(block.table.select(["origin"]))
        return block


def _spread(values: Sequence[str | None], runs: Sequence[Run]) -> pa.Array:
    """A value for each run as one for each image."""
    return pa.concat_arrays(
        [repeated(value, len(run.names)) for value, run in zip(values, runs, strict=True)]
    )


def _batches(runs: Iterator[Run]) -> Iterator[list[Run]]:
    """Runs together, until the next one would make the block too large, or is a mere sign of life."""
    batch: list[Run] = []
    n = 0
    for run in chain.from_iterable(run.pieces() for run in runs):
        if batch and (n + len(run.names) > BLOCK_ROWS or not len(run.names)):
            yield batch
            batch, n = [], 0
        batch.append(run)
        n += len(run.names)
    if batch:
        yield batch
