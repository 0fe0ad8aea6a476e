"""WebDataset tars: samples whose parts are members of a tar, read at their places in it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from braceexpand import braceexpand

from headstart.arrow import strings
from headstart.cache.layout import GROUP
from headstart.contracts import Source
from headstart.data.contents import ScanMemo, is_old
from headstart.data.file_tree import entries_in
from headstart.data.label_cells import cell_text, in_order, is_plain_list
from headstart.data.labels import HiddenLabels, label_reading, may_hide_labels
from headstart.data.named_files import unreadable
from headstart.data.source import BLOCK_ROWS, Problem, Rows, Yielded, printable, repeated
from headstart.data.splits import LEFT_OUT, SplitNames
from headstart.data.table import word_of
from headstart.data.tar_block import (
    TAR,
    OpenTar,
    TarBlock,
    TarFile,
    content_of,
    key_members,
    label_cells,
    label_columns,
    meta_columns,
    open_tar,
)
from headstart.data.tar_index import BUFFER, TarIndexStore, read_index
from headstart.data.tar_roles import assign_tar_roles
from headstart.errors import DataError, SampleError
from headstart.keys import KEY_BYTES
from headstart.remote.paths import RemotePath, remarks_on
from headstart.tasks import AUTO, open_task
from headstart.types import SPLITS, Failure, Grouping, SampleBlock
from headstart.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.options import SourceOptions
    from headstart.data.tar_block import Cells
    from headstart.data.tar_index import TarIndex
    from headstart.types import LabelKind, Modality, Payload

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4")
ROWS_PER_BLOCK = 1024
NAMED = 3
_UNPACK = {"gz": "gunzip", "bz2": "bunzip2", "xz": "unxz", "st": "unzstd", "z4": "unlz4"}
_CONTENT = {
    "image": "images in {}",
    "text": "texts in {}",
    "image-text": "pairs of image and text in {} and {}",
}


def is_tar(name: str) -> bool:
    """Whether a file's ending says that it is a tar, be it compressed."""
    return name.lower().endswith((TAR, *COMPRESSED))


def is_pattern(path: str) -> bool:
    """Whether a path is a pattern of tars, such as ``train-{000..012}.tar``."""
    return "{" in path and is_tar(path) and not os.path.exists(path)


def tars_in(folder: Path, names: SplitNames) -> list[Path]:
    """The tars of a folder and of its split folders, compressed ones only where there are no others."""
    folders = [folder, *(path for path in _entries(folder) if path.is_dir())]
    found = [path for place in folders for path in _entries(place) if is_tar(path.name) and path.is_file()]
    if not any(path.parent == folder or names.of(path.parent.name) for path in found):
        return []  # tars somewhere below are no data set of their own
    return [path for path in found if path.name.lower().endswith(TAR)] or found


def tar_files(root: Path, paths: Sequence[Path], names: SplitNames) -> tuple[TarFile, ...]:
    """Tars by their names below a folder.

    Raises
    ------
    DataError
        One of them is compressed.
    ConfigError
        Some are named by split, and one is not by any that is known.
    """
    words = {path: _word(path, root, names) for path in paths}
    distinct = dict.fromkeys(words.values())
    if any(map(names.of, distinct)) or (len(distinct) > 1 and any(map(names.speak_in, distinct))):
        names.check(distinct, root)
    for path in paths:
        if not path.name.lower().endswith(TAR):
            ending = next(ending for ending in COMPRESSED if path.name.lower().endswith(ending))
            command = next(command for end, command in _UNPACK.items() if ending.endswith(end))
            raise DataError(
                f"{path} is compressed, and samples are read from tars at their places; unpack it once with "
                f"{command}, and give the .tar"
            )
    return tuple(
        TarFile(path, printable(_below(path, root)), names.of(words[path]), words[path])
        for path in paths
        if names.of(words[path]) != LEFT_OUT
    )


def expand(pattern: str) -> list[Path]:
    """The tars that a pattern in braces stands for.

    Raises
    ------
    DataError
        One of them is not there.

    Examples
    --------
    >>> [path.name for path in expand("train-{00..01}.tar")]
    Traceback (most recent call last):
    headstart.errors.DataError: train-{00..01}.tar stands for 2 tars, and 2 are missing: train-00.tar, …
    """
    try:
        paths = [Path(path) for path in dict.fromkeys(braceexpand(pattern))]
    except ValueError as error:
        raise DataError(
            f"{pattern}: its braces do not match; write such as train-{{000..012}}.tar"
        ) from error
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = ", …" if len(missing) > 1 else ""
        raise DataError(
            f"{pattern} stands for {len(paths):,} tars, and {len(missing):,} are missing: {missing[0]}{more}"
        )
    return paths


def _word(path: Path, root: Path, names: SplitNames) -> str:
    """What says the split: the folder, else the name."""
    folder = os.path.dirname(_below(path, root)).partition("/")[0]
    word = word_of(path.name)
    return folder if folder and (names.of(folder) or not names.of(word)) else word


def _below(path: Path, root: Path) -> str:
    """A path as seen from a folder above it."""
    if isinstance(path, RemotePath):
        return path.relative_to(root).as_posix()
    return os.path.relpath(path, root)


def _entries(folder: Path) -> list[Path]:
    if isinstance(folder, RemotePath):
        return [folder / name for name, _ in sorted(entries_in(folder))]
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    except OSError:
        return []  # whoever reads the folder says so


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Where samples of one tar are that were yielded: offset and size of each part, shape (n, P, 2)."""

    tar: TarFile
    fingerprint: bytes
    places: NDArray[np.int64]


class TarSource(Source):
    """The samples of WebDataset tars.

    A sample's id is ``<tar>/<key>``, its origin ``<tar>:<member>``.

    Raises
    ------
    DataError
        No tar holds a sample.
    ConfigError
        Members could be for several things, or an option names nothing that is there.
    """

    rows_per_block: int | None = ROWS_PER_BLOCK

    def __init__(
        self, files: Sequence[TarFile], options: SourceOptions, modality: Modality | None = None
    ) -> None:
        self._files = files
        self._store = TarIndexStore()
        self._looked_into: tuple[bytes, TarIndex] | None = None
        self._reading = label_reading(options)
        self._names = SplitNames(options.split_map)
        self._group = options.group_column
        self._kinds: dict[str, LabelKind] = {}
        self._look(options, modality)
        self._forget()

    def _look(self, options: SourceOptions, modality: Modality | None) -> None:
        """Take the first tar that holds a sample for what all of them hold."""
        troubles = []
        for file in self._files:
            try:
                with closing(open_tar(file.path)) as tar:
                    index = self._index(tar, is_old(tar.changed_ns, time.time_ns()))
                    if len(index):
                        self._looked_into = tar.fingerprint, index
                        self._assign(next(self._pieces(file, tar, index)), options, modality)
                        return
                    troubles.append(f"{file.path}: {index.trouble or 'it holds no samples'}")
            except OSError as error:
                troubles.append(f"{file.path}: {unreadable(error)}")
        raise DataError(f"no sample was found: {troubles[0]}{', …' if len(troubles) > 1 else ''}")

    def _assign(self, block: TarBlock, options: SourceOptions, modality: Modality | None) -> None:
        cells, _ = block.cells((), options.label_columns or ())
        members = block.index.kinds()
        said = [name for name in cells if name not in members]
        self._roles = assign_tar_roles(str(block.file.path), block.index, said, options, modality)
        known = options.known_kinds if self._reading.kind == AUTO else {}
        labels = label_columns(cells, self._roles, self._reading, known, block, {})
        self._kinds = {name: column.kind for name, column in labels.items()}

    def _index(self, tar: OpenTar, may_be_kept: bool) -> TarIndex:
        """What is in a tar; its headers are walked once on this machine."""
        if self._looked_into and self._looked_into[0] == tar.fingerprint and may_be_kept:
            return self._looked_into[1]
        index = self._store.load(tar.fingerprint)
        if index is None:
            with tar.as_file(BUFFER) as file:
                index = read_index(file, tar.size)
            if may_be_kept:
                self._store.save(tar.fingerprint, index)
        return index

    def _forget(self) -> None:
        self._yielded: Yielded[_Chunk] = Yielded()
        self._n: int | None = None
        self._n_ignored = 0
        self._ignored: list[str] = []
        self._splits: set[str] = set()
        self._seen: dict[str, set[str]] = {}
        self._hidden: dict[str, HiddenLabels] = {}

    @property
    def modality(self) -> Modality:
        """What the members hold."""
        return self._roles.modality

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """The given names, else integers in numerical order, known once the scan is over; else empty."""
        names = self._roles.labels if self._roles.are_flags else self._reading.names
        return {
            name: names or in_order(list(self._seen.get(name, ()))) for name in self._roles.label_columns()
        }

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """One class, several, or a number."""
        return self._kinds

    @property
    def ignored(self) -> Mapping[str, int]:
        """Members that belong to no sample."""
        return {"other": self._n_ignored} if self._n_ignored else {}

    @property
    def description(self) -> str:
        """What the tars were taken for; after a scan also what was found in them."""
        said = f"{len(self._files):,} WebDataset {plural('tar', len(self._files))}"
        said += f", {self._n:,} samples" if self._n is not None else ""
        labels = map(self._label_said, self._kinds) if self._kinds else ["no labels"]
        parts = [_CONTENT[self.modality].format(*self._roles.names()), *labels]
        if self._splits:
            parts.append(f"splits {', '.join(split for split in SPLITS if split in self._splits)}")
            parts += self._names.said(dict.fromkeys(file.word for file in self._files))
        said += f": {', '.join(parts)}"
        said += "".join(f"; {note}" for note in remarks_on([file.path for file in self._files]))
        if not self._n_ignored:
            return said
        names = ", ".join(self._ignored) + (", …" if self._n_ignored > len(self._ignored) else "")
        return f"{said}; {self._n_ignored:,} other {plural('member', self._n_ignored)} ignored ({names})"

    def _label_said(self, name: str) -> str:
        task = open_task(self._kinds[name])
        if not task.has_names:
            return f"{task.noun} to predict in {name!r}"
        n = len(self._seen.get(name, ()))
        hidden = f", {self._hidden[name].said}" if name in self._hidden else ""
        return f"labels in {name!r}" + (f" ({n:,} {task.counted}{hidden})" if self._n is not None else "")

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples in blocks, in the order of the tars' names and of the samples in them."""
        self._forget()
        seen, n = ScanMemo(memo), 0
        for file in self._files:
            try:
                with closing(open_tar(file.path)) as tar:
                    for block in self._blocks(file, tar, seen):
                        n += block.table.num_rows
                        yield block
            except OSError as error:
                yield self._nothing(Failure(file.name, file.name, unreadable(error), "transient"))
        self._store.trim()
        self._n = n

    def payload(self, row: int) -> Payload:
        """The content of the ``row``-th sample that `scan` yielded, read at its place."""
        chunk, number = self._yielded.find(row)
        try:
            with closing(open_tar(chunk.tar.path)) as tar:
                if tar.fingerprint != chunk.fingerprint:
                    raise SampleError(f"{chunk.tar.name}: the tar changed after it was scanned")
                parts = [tar.read(offset, size) for offset, size in chunk.places[number].tolist()]
        except OSError as error:
            raise SampleError(f"{chunk.tar.name}: {unreadable(error)}") from error
        payload = content_of(self.modality, parts)
        if isinstance(payload, Problem):
            raise SampleError(f"{chunk.tar.name}: {payload.reason}")
        return payload

    def _pieces(self, file: TarFile, tar: OpenTar, index: TarIndex) -> Iterator[TarBlock]:
        for start in range(0, len(index), BLOCK_ROWS):
            yield TarBlock(file, tar, index, start, min(start + BLOCK_ROWS, len(index)))

    def _blocks(self, file: TarFile, tar: OpenTar, memo: ScanMemo) -> Iterator[SampleBlock]:
        index = self._index(tar, memo.is_old(tar.changed_ns))
        for piece in self._pieces(file, tar, index):
            yield self._block(piece, memo)
        self._n_ignored += index.n_ignored
        self._ignored = [*self._ignored, *index.ignored][:NAMED]
        if index.trouble:
            after = f" after {len(index):,} samples, which are used" if len(index) else ""
            reason = f"the tar is {index.trouble}{after}; fetch or make it again"
            yield self._nothing(Failure(file.name, file.name, reason))
        elif not len(index):
            yield self._nothing(Failure(file.name, file.name, "the tar holds no samples"))

    def _block(self, block: TarBlock, memo: ScanMemo) -> SampleBlock:
        roles = self._roles
        members, problems = block.content(roles)
        places = block.places(members)
        content = [kind for kinds in roles.content for kind in kinds]
        cells, unreadable_cells = block.cells(content, roles.labels)
        problems = unreadable_cells | problems
        keys = key_members(block.tar, roles.modality, places, problems, memo)
        self._look_for_hidden(cells, block)
        labels = label_columns(cells, roles, self._reading, self._kinds, block, self._hidden)
        rows = Rows(
            ids=block.ids(),
            origins=block.origins(members[:, 0]),
            splits=repeated(block.file.split, len(block)),
            keys=keys,
            columns={f"label:{name}": column.values for name, column in labels.items()}
            | meta_columns(cells, roles)
            | self._groups(block, cells, places, memo),
            problems=problems,
        )
        kept = rows.kept()
        self._yielded.append(_Chunk(block.file, block.tar.fingerprint, places[kept]), len(kept))
        if block.file.split and len(kept):
            self._splits.add(block.file.split)
        for name, column in labels.items():
            found = open_task(column.kind).names_in(column.values)
            self._seen.setdefault(name, set()).update(found)
        return rows.block()

    def _look_for_hidden(self, cells: Cells, block: TarBlock) -> None:
        """Where -1 comes up in a label for the first time, look through all tars for what it is."""
        for name in () if self._roles.are_flags else self._roles.labels:
            if name in self._hidden:
                continue
            column = label_cells(cells, name, len(block))
            if not is_plain_list(column.type) and may_hide_labels(column):
                self._hidden[name] = self._hidden_in(name)

    def _hidden_in(self, name: str) -> HiddenLabels:
        hidden = HiddenLabels()
        for file in self._files:
            try:
                with closing(open_tar(file.path)) as tar:
                    for block in self._pieces(file, tar, self._index(tar, may_be_kept=False)):
                        column = label_cells(block.cells((), (name,))[0], name, len(block))
                        code = SPLITS.index(file.split) if file.split in SPLITS else -1
                        if not is_plain_list(column.type):
                            hidden.add(column, np.full(len(block), code, dtype=np.int8))
            except OSError:
                continue  # the scan says what is wrong
        return hidden

    @property
    def grouping(self) -> Grouping | None:
        """What the ``json`` members call a group; without that, pairs share their image."""
        if self._group:
            return Grouping(self._group, is_asked=True)
        return Grouping("image", is_asked=False) if self.modality == "image-text" else None

    def _groups(
        self, block: TarBlock, cells: Cells, places: NDArray[np.int64], memo: ScanMemo
    ) -> dict[str, pa.Array]:
        if self._group:
            names = cells.get(self._group) or [None] * len(block)
            return {GROUP: strings([cell_text(name) for name in names])}
        if self.grouping is None:
            return {}
        problems: dict[int, Problem] = {}
        keys = key_members(block.tar, "image", places[:, :1], problems, memo)
        return {
            GROUP: strings([None if row in problems else key.tobytes().hex() for row, key in enumerate(keys)])
        }

    def _nothing(self, failure: Failure) -> SampleBlock:
        """No samples, but a failure."""
        columns = {
            f"label:{name}": pa.nulls(0, open_task(kind).arrow_type) for name, kind in self._kinds.items()
        }
        texts = pa.nulls(0, pa.string())
        return Rows(texts, texts, texts, np.zeros((0, KEY_BYTES), np.uint8), columns, {}).block([failure])
