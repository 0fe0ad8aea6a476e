"""Folders of images or texts: ``[split/]class/**/file``, or without classes, in the order of their paths."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import strings
from headstart.contracts import Source
from headstart.data.contents import ScanMemo, key_files, read_text
from headstart.data.file_kinds import IMAGES
from headstart.data.file_tree import NO_FILES, Run
from headstart.data.growing import READS_A_RELEASE, GrowingTable
from headstart.data.label_cells import clean_label, clean_labels, in_order, names_of
from headstart.data.layout import class_in, layout_of
from headstart.data.listed_tree import tree_of
from headstart.data.named_files import joined, read_image
from headstart.data.source import BLOCK_ROWS, Problem, Rows, prefixed, repeated
from headstart.data.splits import SplitNames
from headstart.data.streams import codec_name
from headstart.errors import ConfigError
from headstart.remote.ahead import Ahead
from headstart.remote.paths import RemotePath
from headstart.types import SPLITS
from headstart.words import counted, plural

if TYPE_CHECKING:
    from headstart.contracts import KeyMemo
    from headstart.data.file_kinds import FileKind
    from headstart.data.options import SourceOptions
    from headstart.types import LabelKind, Modality, SampleBlock

LABEL = "label"


class _Nesting:
    """How deep the files of each class lie, as far as the walk has come."""

    def __init__(self) -> None:
        self.below: dict[str, dict[str, str]] = {}
        self.direct: dict[str, str] = {}

    def add(self, parts: Sequence[str], example: str) -> None:
        """Take the folders above some files, the class first."""
        if len(parts) == 1:
            self.direct.setdefault(parts[0], example)
        elif parts:
            self.below.setdefault(parts[0], {}).setdefault(parts[1], example)

    def mixed(self) -> tuple[str, str] | None:
        """Two files of which only the user can say whether folders of one depth are their classes."""
        for name, below in self.below.items():
            if self.direct and name not in self.direct:
                return next(iter(self.direct.values())), next(iter(below.values()))
            if name in self.direct and len(below) > 1:
                return self.direct[name], next(iter(below.values()))
        return None


class FolderSource(Source):
    """The files of a kind under a folder; a sample's id and origin are its path relative to the folder."""

    def __init__(
        self, root: Path, options: SourceOptions, kind: FileKind = IMAGES, aside: Sequence[str] = ()
    ) -> None:
        self._root = root
        self._ahead = Ahead()
        self._options, self._kind, self._aside = options, kind, aside
        self._codec = codec_name(options.encoding) if kind.modality == "text" else None
        layout = layout_of(root, SplitNames(options.split_map), kind, options.class_from)
        self._layout = replace(layout, has_classes=layout.has_classes and options.labels)
        self._forget()

    def _forget(self) -> None:
        self._tree = tree_of(self._root, self._kind)
        self._paths = GrowingTable()
        self._n_read = 0
        self._labels: set[str] = set()
        self._splits: set[str] = set()
        self._n: int | None = None
        self._n_unlabelled: Counter[str] = Counter()
        self._nesting = _Nesting()

    @property
    def modality(self) -> Modality:
        """What the files are."""
        return self._kind.modality

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """Integer class names in numerical order, known once the scan is over; else empty."""
        if not self._layout.has_classes:
            return {}
        return {LABEL: self._options.label_names or in_order(list(self._labels))}

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """One class a file, where there are class folders."""
        return {LABEL: "single"} if self._layout.has_classes else {}

    @property
    def ignored(self) -> Mapping[str, int]:
        """The files that are no samples, by reason."""
        return self._tree.ignored.counts

    @property
    def description(self) -> str:
        """What the folder was taken for; after a scan also what was found in it."""
        layout, noun = self._layout, self._kind.noun
        kind = f"class folders of {noun}s" if layout.has_classes else f"{noun}s without classes"
        if layout.has_classes and layout.class_from == "name":
            kind = f"{noun}s with classes in their names (cat.0)"
        kind = f"split folders with {kind}" if layout.has_splits else kind
        parts = [f"{kind}{self._kind.said}{': ' + self._counts() if self._n is not None else ''}"]
        parts += self._rules()
        if layout.doubtful and layout.has_classes:
            parts.append(f"{', '.join(layout.doubtful)} taken for a class, not for a split")
        parts += layout.names.said(layout.splits)
        return "; ".join([*parts, *self._tree.ignored.said()])

    def _counts(self) -> str:
        noun = self._kind.noun
        counts = f"{self._n:,} {plural(noun, self._n or 0)}"
        if self._layout.has_classes:
            counts += f" in {counted(len(self._labels), 'class')}"
        if self._splits:
            counts += f", splits {', '.join(split for split in SPLITS if split in self._splits)}"
        return counts

    def _rules(self) -> list[str]:
        """What was decided about folders that could be meant otherwise."""
        layout, rules = self._layout, []
        if layout.base:
            rules.append(f"all in {layout.base!r}")
        if layout.has_classes and self._nesting.below:
            which = {"last": "the last", "path": "all of them"}.get(layout.class_from, "the first")
            other = "" if layout.class_from != "auto" else " (--class-from last: the one that holds the file)"
            rules.append(f"of several folders above a file the class is {which}{other}")
        if self._aside:
            rules.append(f"left aside beside them, to be given by its own path: {', '.join(self._aside[:3])}")
        if n := self._tree.n_links_out:
            names = ", ".join(self._tree.links_out) + (", …" if n > len(self._tree.links_out) else "")
            rules.append(f"{counted(n, 'link')} out of the folder followed ({names})")
        for name in layout.unlabelled if layout.has_classes else ():
            n = self._n_unlabelled[name]
            rules.append(f"{name!r} taken for no label" + (f" ({counted(n, self._kind.noun)})" if n else ""))
        return rules

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All files in blocks, in the order of the bytes of their paths; empty blocks mean patience.

        Raises
        ------
        ConfigError
            Files lie at depths of which only the user can say which folders are classes.
        """
        self._forget()
        seen, n = ScanMemo(memo), 0
        for runs in _batches(self._wanted(self._tree.walk())):
            block = self._block(runs, seen)
            n += block.table.num_rows
            yield block
        if self._tree.failures:
            yield self._block([NO_FILES], seen)
        self._check_depth()
        self._n = n

    def _wanted(self, runs: Iterator[Run]) -> Iterator[Run]:
        """The runs of files that are samples; what they say of the depth of classes is noted."""
        for run in runs:
            if not len(run.names):
                yield run
                continue
            example = run.folder + str(run.names[0].as_py())
            if reason := self._layout.left_out(run.folder):
                self._tree.ignored.add(example, reason, len(run.names))
                continue
            self._note(run, example)
            yield run

    def _note(self, run: Run, example: str) -> None:
        layout = self._layout
        if not layout.has_classes or layout.class_from == "name":
            return
        parts = layout.parts(run.folder)[1]
        if layout.is_unlabelled(run.folder):
            self._n_unlabelled[parts[0]] += len(run.names)
            return
        self._nesting.add(parts, example)

    def _check_depth(self) -> None:
        """Refuse a tree in which some classes are folders of files and others folders of folders."""
        if self._layout.class_from != "auto" or (found := self._nesting.mixed()) is None:
            return
        near, deep = found
        folders = self._layout.parts(f"{os.path.dirname(deep)}/")[1]
        raise ConfigError(
            f"{self._root}: {near} lies in a folder of the first level, and {deep} deeper; say which folder is the "
            f"class: --class-from first (here {folders[0]!r}), last ({folders[-1]!r}) or path ({'/'.join(folders)!r})"
        )

    def read_ahead(self, row: int) -> None:
        """Ask for a file in a bucket."""
        if isinstance(self._root, RemotePath):
            self._ahead.begin(row, self._root / self._path(row))

    def _path(self, row: int) -> str:
        return str(self._paths.whole().column(0)[row].as_py())

    def payload(self, row: int) -> bytes | str:
        """The content of the ``row``-th file that `scan` yielded."""
        self._n_read += 1
        if self._n_read % READS_A_RELEASE == 0:
            self._paths.release()
        path = self._path(row)
        self._ahead.wait(row)
        place = joined(self._root, path)
        return read_image(place, path) if self._codec is None else read_text(place, path, self._codec)

    def _label(self, name: str | None, folder: str) -> str | None:
        """The class of a folder's name: the name itself, or one of those the user gave."""
        names = self._options.label_names
        name = None if name is None else clean_label(name)
        if name is None or not names:
            return name
        return names_of([name], names, lambda _: str(joined(self._root, folder.rstrip("/"))))[0]

    def _block(self, runs: Sequence[Run], memo: ScanMemo) -> SampleBlock:
        paths = pa.concat_arrays([prefixed(run.folder, run.names) for run in runs])
        problems: dict[int, Problem] = {}
        places = [joined(self._root, path) for path in paths.to_pylist()]
        stats = np.concatenate([run.stats for run in runs])
        keys = key_files(places, stats, problems, memo, codec=self._codec)
        meanings = [self._layout.meaning(run.folder) for run in runs]
        splits = [split for split, _ in meanings]
        self._splits.update(filter(None, splits))
        columns = {f"label:{LABEL}": self._label_column(runs)} if self._layout.has_classes else {}
        failures, self._tree.failures = self._tree.failures, []
        block = Rows(paths, paths, _spread(splits, runs), keys, columns, problems).block(failures)
        self._paths.append(block.table.select(["origin"]))
        return block

    def _label_column(self, runs: Sequence[Run]) -> pa.Array:
        """The class of each file, and a note of those that occur."""
        if self._layout.class_from == "name":
            return self._labels_in_names(runs)
        labels = [self._label(self._layout.meaning(run.folder)[1], run.folder) for run in runs]
        self._labels.update(label for label in labels if label is not None)
        return _spread(labels, runs)

    def _labels_in_names(self, runs: Sequence[Run]) -> pa.Array:
        found = clean_labels([class_in(name) for run in runs for name in run.names.to_pylist()])
        if self._options.label_names:
            found = [self._label(name, "") for name in found]
        self._labels.update(filter(None, found))
        return strings(found)


def _spread(values: Sequence[str | None], runs: Sequence[Run]) -> pa.Array:
    """A value for each run as one for each file."""
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
