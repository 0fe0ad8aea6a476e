"""WebDataset tars: samples whose parts are members of a tar, read at their places in it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.data.base import BaseSource
from headstart.data.blocks import BLOCK_ROWS, Problem, Rows, Yielded, repeated
from headstart.data.image_files import unreadable
from headstart.data.labels.names import in_order
from headstart.data.tables.labels import label_reading
from headstart.data.tars.block import TarBlock
from headstart.data.tars.columns import label_columns, meta_columns, read_cells
from headstart.data.tars.content import OpenTar, key_members, payload_of
from headstart.data.tars.description import Found, describe
from headstart.data.tars.index_store import TarIndexStore
from headstart.data.tars.indexing import BUFFER, read_index
from headstart.data.tars.roles import assign_tar_roles
from headstart.errors import DataError, SampleError
from headstart.keys import KEY_BYTES
from headstart.tasks import open_task
from headstart.types import Failure, SampleBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.options import SourceOptions
    from headstart.data.tars.files import TarFile
    from headstart.data.tars.index import TarIndex
    from headstart.types import LabelKind, Modality, Payload

ROWS_PER_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Where samples of one tar are that were yielded: offset and size of each part, shape (n, P, 2)."""

    tar: TarFile
    fingerprint: bytes
    places: NDArray[np.int64]


class TarSource(BaseSource):
    """The samples of WebDataset tars.

    A sample's id is ``<tar>/<key>``, its origin ``<tar>:<member>``.

    Parameters
    ----------
    files : sequence of TarFile
    options : SourceOptions
    modality : {"image", "text", "image-text"}, optional
        What is wanted where samples have both images and texts.

    Raises
    ------
    DataError
        No tar holds a sample.
    ConfigError
        Members could be for several things, or an option names nothing that is there.
    """

    def __init__(
        self, files: Sequence[TarFile], options: SourceOptions, modality: Modality | None = None
    ) -> None:
        self._files = files
        self._store = TarIndexStore()
        self._looked_into: tuple[bytes, TarIndex] | None = None
        self._reading = label_reading(options)
        self._kinds: dict[str, LabelKind] = {}
        self._look(options, modality)
        self._forget()

    def _look(self, options: SourceOptions, modality: Modality | None) -> None:
        """Take the first tar that holds a sample for what all of them hold."""
        troubles = []
        for file in self._files:
            try:
                with OpenTar(file.path) as tar:
                    index = self._index(tar, time.time_ns())
                    if len(index):
                        self._looked_into = tar.fingerprint, index
                        start = TarBlock(file, tar, index, range(min(len(index), BLOCK_ROWS)))
                        self._assign(start, options, modality)
                        return
                    troubles.append(f"{file.path}: {index.trouble or 'it holds no samples'}")
            except OSError as error:
                troubles.append(f"{file.path}: {unreadable(error)}")
        raise DataError(f"no sample was found: {troubles[0]}{', …' if len(troubles) > 1 else ''}")

    def _assign(self, block: TarBlock, options: SourceOptions, modality: Modality | None) -> None:
        cells, _ = read_cells(block, (), options.label_columns or ())
        members = block.index.kinds()
        said = [name for name in cells if name not in members]
        self._roles = assign_tar_roles(str(block.file.path), block.index, said, options, modality)
        labels = label_columns(cells, self._roles, self._reading, {}, block)
        self._kinds = {name: column.kind for name, column in labels.items()}

    def _index(self, tar: OpenTar, scanned_ns: int) -> TarIndex:
        """What is in a tar; its headers are walked once on this machine."""
        if self._looked_into and self._looked_into[0] == tar.fingerprint and tar.is_old(scanned_ns):
            return self._looked_into[1]
        index = self._store.load(tar.fingerprint)
        if index is None:
            with tar.as_file(BUFFER) as file:
                index = read_index(file)
            if tar.is_old(scanned_ns):
                self._store.save(tar.fingerprint, index)
        return index

    def _forget(self) -> None:
        self._yielded: Yielded[_Chunk] = Yielded()
        self._found = Found()

    @property
    def modality(self) -> Modality:
        """What the members hold."""
        return self._roles.modality

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """The given names, else integers in numerical order, known once the scan is over; else empty."""
        names = self._roles.labels if self._roles.are_flags else self._reading.names
        return {
            name: names or in_order(list(self._found.labels.get(name, ())))
            for name in self._roles.label_columns()
        }

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """One class, several, or a number."""
        return self._kinds

    @property
    def rows_per_block(self) -> int | None:
        """Neighbours in a tar are read together."""
        return ROWS_PER_BLOCK

    @property
    def description(self) -> str:
        """What the tars were taken for; after a scan also what was found in them."""
        return describe(len(self._files), self._roles, self._kinds, self._found)

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples in blocks, in the order of the tars' names and of the samples in them."""
        self._forget()
        scanned_ns = time.time_ns()
        for file in self._files:
            try:
                with OpenTar(file.path) as tar:
                    yield from self._blocks(file, tar, memo, scanned_ns)
            except OSError as error:
                yield self._nothing([Failure(file.name, file.name, unreadable(error), "transient")])
        self._store.trim()
        self._found.is_complete = True

    def payload(self, row: int) -> Payload:
        """The content of the ``row``-th sample that `scan` yielded, read at its place."""
        chunk, number = self._yielded.find(row)
        try:
            with OpenTar(chunk.tar.path) as tar:
                if tar.fingerprint != chunk.fingerprint:
                    raise SampleError(f"{chunk.tar.name}: the tar changed after it was scanned")
                parts = [tar.read(offset, size) for offset, size in chunk.places[number].tolist()]
        except OSError as error:
            raise SampleError(f"{chunk.tar.name}: {unreadable(error)}") from error
        payload = payload_of(self.modality, parts)
        if isinstance(payload, Problem):
            raise SampleError(f"{chunk.tar.name}: {payload.reason}")
        return payload

    def _blocks(self, file: TarFile, tar: OpenTar, memo: KeyMemo, scanned_ns: int) -> Iterator[SampleBlock]:
        index = self._index(tar, scanned_ns)
        for start in range(0, len(index), BLOCK_ROWS):
            rows = range(start, min(start + BLOCK_ROWS, len(index)))
            yield self._block(TarBlock(file, tar, index, rows), memo, scanned_ns)
        self._found.ignore(index)
        if index.trouble:
            after = f" after {len(index):,} samples, which are used" if len(index) else ""
            reason = f"the tar is {index.trouble}{after}; fetch or make it again"
            yield self._nothing([Failure(file.name, file.name, reason)])
        elif not len(index):
            yield self._nothing([Failure(file.name, file.name, "the tar holds no samples")])

    def _block(self, block: TarBlock, memo: KeyMemo, scanned_ns: int) -> SampleBlock:
        roles = self._roles
        members, problems = block.content(roles)
        places = block.places(members)
        content = [kind for kinds in roles.content for kind in kinds]
        cells, unreadable_cells = read_cells(block, content, roles.labels)
        problems = unreadable_cells | problems
        keys = key_members(block.tar, roles.modality, places, problems, memo, scanned_ns)
        labels = label_columns(cells, roles, self._reading, self._kinds, block)
        rows = Rows(
            ids=block.ids(),
            origins=block.origins(members[:, 0]),
            splits=repeated(block.file.split, len(block.rows)),
            keys=keys,
            columns={f"label:{name}": column.values for name, column in labels.items()}
            | meta_columns(cells, roles),
            problems=problems,
        )
        kept = rows.kept()
        self._yielded.append(_Chunk(block.file, block.tar.fingerprint, places[kept]), len(kept))
        self._found.add(len(kept), block.file.split, labels)
        return rows.block()

    def _nothing(self, failures: list[Failure]) -> SampleBlock:
        """No samples, but failures."""
        columns = {
            f"label:{name}": pa.nulls(0, open_task(kind).arrow_type) for name, kind in self._kinds.items()
        }
        texts = pa.nulls(0, pa.string())
        return Rows(texts, texts, texts, np.zeros((0, KEY_BYTES), np.uint8), columns, {}).block(failures)
