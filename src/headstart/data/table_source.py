"""Tables of texts, images or pairs: one file, or files of a folder named by split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, column_of, strings
from headstart.cache.layout import CONTEXT, GROUP
from headstart.contracts import Source
from headstart.data.contents import Images, ImagesByPath, ScanMemo, key_rows, payload_of
from headstart.data.growing import READS_A_RELEASE
from headstart.data.label_cells import Renaming, first_row, whole
from headstart.data.labels import table_labels
from headstart.data.options import ROLES
from headstart.data.passage_roles import blank_problems, read_answers
from headstart.data.sentences import (
    GivenWords,
    Sentences,
    SplitTexts,
    Words,
    key_words,
    lists_in,
    uneven_labels,
)
from headstart.data.source import Problem, Rows, Yielded, prefixed, repeated
from headstart.data.splits import LEFT_OUT, SplitNames
from headstart.data.table import Part, Table, join_files
from headstart.data.table_roles import Roles, assign_roles
from headstart.data.written import found_columns, with_targets
from headstart.errors import DataError
from headstart.remote.ahead import Ahead
from headstart.tasks import TAGS, open_task
from headstart.types import SPLITS, Grouping
from headstart.words import counted, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.contents import Keyed
    from headstart.data.options import SourceOptions
    from headstart.types import LabelColumn, LabelKind, Modality, Payload, SampleBlock

SHOWN_FILES = 3
_CONTENT = {
    "text": "texts in",
    "text-pair": "pairs of texts in",
    "image-text": "pairs of image and text in",
    "words": "words in",
}


class TableSource(Source):
    """The rows of a table: of one file, or of several (in order) whose names say their splits.

    A sample's id is its cell in the id column, else ``<split or file stem>:<row>``; its origin is
    ``<file>:<row>``. Rows are counted from 1, after the header. Files beside that were ``ignored`` are named in the
    description.
    """

    _ignored: Sequence[str] = ()
    _inside = False
    _found_columns: Mapping[str, str] = {}
    _split_words: Sequence[str] = ()
    """The names of splits as the data has them."""
    """Whether paths of images that lead out of their table's folder are refused."""

    def __init__(
        self,
        files: Sequence[Path],
        options: SourceOptions,
        modality: Modality | None = None,
        words: Mapping[Path, str] | None = None,
        ignored: Sequence[str] = (),
        root: Path | None = None,
    ) -> None:
        names = SplitNames(options.split_map)
        self._split_words = tuple(dict.fromkeys((words or {}).values()))
        splits = {path: str(names.of(word)) for path, word in (words or {}).items()}
        files = [path for path in files if splits.get(path) != LEFT_OUT]
        table = join_files(files, options, splits, root)
        self._ignored = ignored
        asked, options = options, with_targets(table, options)
        self._found_columns = found_columns(asked, options)
        self._read(table, assign_roles(table, options, modality, bool(words)), options)

    def _read(self, table: Table, roles: Roles, options: SourceOptions) -> None:
        self._table, self._roles = table, roles
        self._misfits = options.misfits(table.names) if len(table.names) > 1 else {}
        self._names = SplitNames(options.split_map)
        table.require_everywhere(roles.content)
        self._rows_per_block = table.share_images(roles.image) if roles.image else None
        self._splits = self._read_splits()
        self._sentences = self._read_sentences()
        self._bad_labels: Mapping[int, Problem] = {}
        labels = self._read_answers() if roles.are_passages else self._read_labels(options)
        self._labels = {
            name: replace(column, values=_compact(column.values)) for name, column in labels.items()
        }
        self._ids = self._read_ids()
        self._forget()
        table.release()

    def _forget(self) -> None:
        self._yielded: Yielded[Sequence[int] | NDArray[np.int64]] = Yielded()
        self._n_read = 0
        self._ahead = Ahead()

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads samples, and does not scan.
        kept = (
            "_table",
            "_roles",
            "_inside",
            "_rows_per_block",
            "_sentences",
            "_yielded",
            "_n_read",
            "_ahead",
        )
        return {name: getattr(self, name) for name in kept}

    def _read_sentences(self) -> Sentences | None:
        """The words of all rows; None if samples are something else."""
        name, table = self._roles.words, self._table
        if name is None:
            return None
        if self._roles.is_whole:
            return SplitTexts(table.column(name))
        return GivenWords(pa.chunked_array([lists_in(table.column(name), name, table.place)]))

    def _read_labels(self, options: SourceOptions) -> Mapping[str, LabelColumn]:
        names = self._roles.labels
        if self._sentences is not None and options.label_kind == "auto" and options.label_separator is None:
            # A list beside words has a tag for each; of anything else its values say what it is.
            kinds = {name: TAGS if self._holds_tags(name, options) else "auto" for name in names}
            read = (table_labels(self._table, (n,), replace(options, label_kind=kinds[n]), self._split_codes)
                    for n in names)  # fmt: skip
            return {name: column for each in read for name, column in each.items()}
        return table_labels(self._table, names, options, self._split_codes)

    def _holds_tags(self, name: str, options: SourceOptions) -> bool:
        return name in self._table.lists or name == options.tags_column

    def _read_answers(self) -> Mapping[str, LabelColumn]:
        """The answers of questions; those that cannot be right make their rows failures."""
        labels = {}
        for name in self._roles.labels:
            labels[name], self._bad_labels = read_answers(self._table, self._roles.content[1], name)
        return labels

    def _split_codes(self) -> NDArray[np.int8]:
        """The split of each row, as a place in ``SPLITS``; -1 where the data does not say."""
        if self._splits is not None:
            return codes_by_name(plain_column(self._splits), SPLITS, np.int8)
        codes = [SPLITS.index(part.split) if part.split in SPLITS else -1 for part in self._table.parts]
        return np.repeat(
            np.array(codes, dtype=np.int8), [len(part.file.numbers) for part in self._table.parts]
        )

    def _read_ids(self) -> pa.ChunkedArray | pa.Array | None:
        """The ids of all rows; None if they are made from file and row."""
        if not (name := self._roles.id):
            return None
        self._table.check_ids(name)
        return self._table.rows.column(name)

    def _read_splits(self) -> pa.Array | None:
        """The splits of all rows, blank ones not given; None if they are what the files' names say."""
        if not (name := self._roles.split):
            return None
        column = self._table.rows.column(name)

        def split_of(value: str | None) -> str | None:
            if value is None or not value.strip():
                return None
            if split := self._names.of(value):
                return split
            raise DataError(
                f"{self._table.place(first_row(column, value))}: {value!r} in the split column {name!r} is no "
                f"split; use train, validation and test, leave it empty, or say what it is: --split-map {value}=test "
                "(none leaves it out)"
            )

        values = self._table.values(name)
        self._split_words = tuple(value.strip() for value in values if self._names.of(value))
        self._names.check(self._split_words, f"the split column {name!r}")

        return _compact(whole(Renaming(column, lambda values: list(map(split_of, values)))(column)))

    @property
    def modality(self) -> Modality:
        """What the columns hold."""
        return self._roles.modality

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """For each label column the given names, else integers in numerical order, else empty."""
        return {name: labels.names for name, labels in self._labels.items()}

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """For each label column what its values are."""
        return {name: labels.kind for name, labels in self._labels.items()}

    @property
    def are_passages(self) -> bool:
        """Whether these are questions with contexts."""
        return self._roles.are_passages

    @property
    def rows_per_block(self) -> int | None:
        """The rows of a row group, where images lie inside the table."""
        return self._rows_per_block

    @property
    def found_columns(self) -> Mapping[str, str]:
        """Of texts and what is to be written for them."""
        return self._found_columns

    @property
    def description(self) -> str:
        """What the table was taken for: format, size, columns and what was left out."""
        roles = self._roles
        images = "images in" if roles.image in self._table.images else "image paths in"
        content = "words of texts in" if roles.is_whole else _CONTENT.get(roles.modality, images)
        columns = [f"{content} {' and '.join(map(repr, roles.content))}"]
        columns.append(self._labels_said())
        if roles.split:
            columns.append(f"splits in {roles.split!r}")
        if roles.group:
            columns.append(f"groups in {roles.group!r}")
        if roles.id:
            columns.append(f"ids in {roles.id!r}")
        return "; ".join([f"{self._files_said()}: {', '.join(columns)}", *self._left_out()])

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All rows in blocks, in the order of the files and of the rows in them."""
        self._forget()
        seen = ScanMemo(memo)
        for part in self._table.parts:
            failures = part.failures()
            for start, numbers in part.pieces():
                rows = self._block(part, start, numbers, seen)
                places = rows.places(start)
                self._yielded.append(places, len(places))
                yield rows.block(failures)
                failures = []
                self._table.release()

    def read_ahead(self, row: int) -> None:
        """Ask for an image elsewhere that the table names."""
        if self._roles.image is None or self._roles.image in self._table.images:
            return
        rows, place = self._yielded.find(row)
        part = self._table.part(number := int(rows[place]))
        images = self._images(part)
        if images is not None and (path := images.elsewhere(number - part.start)) is not None:
            self._ahead.begin(row, path)

    def payload(self, row: int) -> Payload:
        """The text, the bytes of the image, or the pair of the ``row``-th sample."""
        self._n_read += 1
        if self._n_read % READS_A_RELEASE == 0:
            self._table.release()
        self._ahead.wait(row)
        rows, place = self._yielded.find(row)
        number = int(rows[place])
        if self._sentences is not None:
            return next(self._sentences.part(number, 1)) or Words(())
        texts = [str(self._table.rows.column(name)[number].as_py()) for name in self._roles.texts]
        part = self._table.part(number)
        images = self._images(part)
        payload: Payload = payload_of(texts, None if images is None else images.read(number - part.start))
        return payload

    def _images(self, part: Part) -> Images | None:
        """The images of a file: each file may have its own paths or bytes."""
        if not (name := self._roles.image):
            return None
        return part.file.images.get(name) or ImagesByPath(
            part.file.rows.column(name), part.path.parent, self._inside
        )

    def _block(self, part: Part, start: int, numbers: NDArray[np.int64], memo: ScanMemo) -> Rows:
        n = len(numbers)
        cells = self._table.rows.slice(start, n)
        texts = [cells.column(name).to_pylist() for name in self._roles.texts]
        of_part = range(start - part.start, start - part.start + n)
        used = self._roles.used()
        made = prefixed(f"{part.prefix}:", column_of(numbers + part.numbered_from))
        labels = {
            f"label:{name}": plain_column(column.values.slice(start, n))
            for name, column in self._labels.items()
        }
        if self._sentences is None:
            keys, problems = key_rows(of_part, texts, self._images(part), memo)
            if self._roles.are_passages:
                bad = {row - start: self._bad_labels[row] for row in self._bad_labels if 0 <= row - start < n}
                problems |= {**bad, **blank_problems(*texts)}
        else:
            keys, problems = self._key_words(start, n, labels)
        others = {
            f"meta:{name}": whole(cells.column(name)) for name in cells.column_names if name not in used
        }
        splits = (
            repeated(part.split, n) if self._splits is None else plain_column(self._splits.slice(start, n))
        )
        if self._roles.are_passages:  # from which answers are cut, wherever the data is by then
            others[CONTEXT] = whole(cells.column(self._roles.content[1]))
        others |= self._groups(part, of_part, cells, memo)
        return Rows(
            ids=made if self._ids is None else whole(self._ids.slice(start, n)),
            origins=prefixed(f"{part.file_name}:", column_of(numbers)),
            splits=splits,
            keys=keys,
            columns=labels | others,
            problems=problems,
            left_out=None if self._splits is None else codes_by_name(splits, [LEFT_OUT]) == 0,
        )

    def _key_words(self, start: int, n: int, labels: Mapping[str, Any]) -> Keyed:
        """Keys of rows that are words, and which have none, or another number of tags."""
        assert self._sentences is not None
        words = list(self._sentences.part(start, n))
        keys, problems = key_words(words)
        for name, column in labels.items():
            if open_task(self._labels[name.removeprefix("label:")].kind).form == "tags":
                uneven = uneven_labels(words, column.to_pylist(), name.removeprefix("label:"))
                problems = {**uneven, **problems}
        return keys, problems

    @property
    def grouping(self) -> Grouping | None:
        """The column of groups; without one, pairs share their image."""
        if name := self._roles.group:
            return Grouping(name, is_asked=self._roles.group_is_asked)
        return Grouping("image", is_asked=False) if self._roles.modality == "image-text" else None

    def _groups(self, part: Part, of_part: range, cells: pa.Table, memo: ScanMemo) -> dict[str, Any]:
        """The groups of some rows, if they have any: of images their keys, which stay when a folder is moved."""
        if name := self._roles.group:
            return {GROUP: whole(cells.column(name))}
        images = self._images(part) if self.grouping else None
        if images is None:
            return {}
        keys, problems = images.keys(of_part, memo)
        return {
            GROUP: strings([None if row in problems else key.tobytes().hex() for row, key in enumerate(keys)])
        }

    def _files_said(self) -> str:
        parts, n = self._table.parts, self._table.n_rows
        kind = " and ".join(dict.fromkeys(part.file.kind for part in parts))
        rows = f"{counted(n, 'row')}"
        if parts[0].split is None:
            return f"{kind}, {rows}"
        splits = ", ".join(dict.fromkeys(part.split for part in parts if part.split))
        return f"{kind}, {counted(len(parts), 'file')} named by split ({splits}), {rows}"

    def _labels_said(self) -> str:
        """The label columns with what they were taken for."""
        said = ", ".join(f"{name!r} ({column.said})" for name, column in self._labels.items())
        if said:
            return f"labels in {said}"
        meant = ", ".join(f"--label-column {quote(name)}" for name in self._roles.candidates)
        return f"no labels ({meant} could be meant)" if meant else "no labels"

    def _reading_of(self, part: Part) -> list[str]:
        """How a file was read, by its name where there are several."""
        several = len(self._table.parts) > 1
        return [f"{part.file_name}: {note}" if several else note for note in part.file.said]

    def _left_out(self) -> list[str]:
        """Rows, columns and files that are not used."""
        table, ignored = self._table, self._ignored
        said = self._names.said(self._split_words)
        said += [f"no column {name!r}, which had the {ROLES[option]} of the run's data"
                 for option, name in self._misfits.items()]  # fmt: skip
        said += dict.fromkeys(note for part in table.parts for note in self._reading_of(part))
        if n_bad := sum(len(part.file.bad_rows) for part in table.parts):
            said.append(f"{counted(n_bad, 'row')} cannot be read")
        others = table.unusable | dict.fromkeys(table.lists, "lists") | table.images
        unused = [f"{name!r} ({kind})" for name, kind in others.items() if name not in self._roles.used()]
        if unused:
            said.append(f"columns left out: {', '.join(unused)}")
        if ignored:
            shown = ", ".join(ignored[:SHOWN_FILES]) + (", …" if len(ignored) > SHOWN_FILES else "")
            said.append(f"{len(ignored)} other {plural('file', len(ignored))} ignored ({shown})")
        return said


def _compact(column: pa.Array) -> pa.Array:
    """A column that is kept for all rows, in as little memory as it takes: strings as numbers of strings."""
    return pc.dictionary_encode(column) if pa.types.is_string(column.type) else column


def plain_column(column: pa.Array) -> pa.Array:
    """A part of such a column as it was."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
