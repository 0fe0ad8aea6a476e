"""What label columns hold: what the user says, or what their values look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import nulls_of, numbers_of, strings
from headstart.data.label_cells import as_strings, is_plain_list
from headstart.errors import ConfigError
from headstart.tasks import AUTO, KINDS, open_task
from headstart.types import SPLITS, LabelColumn, LabelReading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.data.options import SourceOptions
    from headstart.data.table import Table
    from headstart.types import Place

FLAGS = "labels"
"""What the columns of 0 and 1 are called together."""

TRAIN = SPLITS.index("train")
UNLABELLED = "-1"
"""What Hugging Face data sets write where a test split has no labels."""
_HIDDEN = strings(["-1", "-1.0"])


def read_labels(column: Any, name: str, reading: LabelReading, place: Place) -> LabelColumn:
    """Read a label column of whatever type: strings, numbers, booleans or categories, or lists of them.

    Raises
    ------
    DataError
        A value is not of the kind that was asked for, or has no name.
    ConfigError
        The column cannot be of the kind that was asked for.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from headstart.types import LabelReading
    >>> column = pa.chunked_array([["cat|dog", "cat", ""]])
    >>> labels = read_labels(column, "pets", LabelReading("multi"), str)
    >>> labels.values.to_pylist(), labels.said
    ([['cat', 'dog'], ['cat'], None], "multi-label, 2 classes, split at '|'")
    """
    cells = column if is_plain_list(column.type) else as_strings(column)
    if reading.kind != AUTO:
        return open_task(reading.kind).read(cells, name, reading, place)
    task = next(task for task in map(open_task, KINDS) if task.recognises(cells, reading))
    return task.read(cells, name, reading, place)


def may_hide_labels(cells: Any) -> bool:
    """Whether strings have -1 among them."""
    return bool(pc.any(pc.is_in(pc.unique(cells), value_set=_HIDDEN)).as_py())


class HiddenLabels:
    """Whether -1 says in a column that there is no label: one whole split holds nothing else, and train has none of it.

    Else it is a class like others. Rows come in any number of parts.

    Examples
    --------
    >>> hidden = HiddenLabels()
    >>> hidden.add(strings(["0", "1", "-1"]), np.array([0, 0, 2]))
    >>> hidden.split
    'test'
    """

    def __init__(self) -> None:
        self._n_hidden = np.zeros(len(SPLITS), dtype=np.int64)
        self._n_others = np.zeros(len(SPLITS), dtype=np.int64)

    def add(self, cells: Any, splits: NDArray[np.int8]) -> None:
        """Take the strings of some rows, and their splits as places in ``SPLITS``, -1 where the data does not say."""
        is_hidden = _flags(pc.fill_null(pc.is_in(cells, value_set=_HIDDEN), False))
        is_blank = nulls_of(cells) | _flags(pc.fill_null(pc.is_in(cells, value_set=strings([""])), True))
        codes = np.where(splits < 0, TRAIN, splits)  # where nobody says, it may become train
        self._n_hidden += np.bincount(codes[is_hidden], minlength=len(SPLITS))
        self._n_others += np.bincount(codes[~is_hidden & ~is_blank], minlength=len(SPLITS))

    @property
    def split(self) -> str | None:
        """A split that holds nothing else; None if -1 is a class."""
        if self._n_hidden[TRAIN]:
            return None
        whole = np.flatnonzero((self._n_hidden > 0) & (self._n_others == 0))
        return SPLITS[whole[0]] if len(whole) else None

    def reading(self, reading: LabelReading) -> LabelReading:
        """How labels are read, with -1 as what it is."""
        return replace(reading, blank=UNLABELLED) if self.split else reading

    @property
    def said(self) -> str:
        """What -1 was taken for."""
        if self.split is None:
            return f"{UNLABELLED} among them"
        return f"{UNLABELLED} taken for no label ({self.split} has nothing else)"


def _flags(column: Any) -> NDArray[np.bool_]:
    """A column of true and false."""
    return numbers_of(pc.cast(column, pa.int8())).astype(bool)


def takes_flags(kind: str, names: Sequence[str]) -> bool:
    """Whether several columns of yes and no are one column of this kind."""
    return len(names) > 1 and kind != AUTO and open_task(kind).takes_flags


def label_reading(options: SourceOptions) -> LabelReading:
    """How the options say that labels are to be read.

    Raises
    ------
    ConfigError
        They contradict each other.
    """
    kind, separator = options.label_kind, options.label_separator
    if separator is not None:
        if not separator:
            raise ConfigError("--label-separator is empty; give the character between two labels")
        if kind != AUTO and not open_task(kind).splits_cells:
            raise ConfigError(f"--label-separator is for several labels a cell, not for --label-kind {kind}")
        kind = "multi"
    return LabelReading(kind, separator, options.label_names)


def table_labels(
    table: Table, names: Sequence[str], options: SourceOptions, splits: Callable[[], NDArray[np.int8]]
) -> dict[str, LabelColumn]:
    """The label columns of these names; columns of 0 and 1 become one.

    ``splits`` gives the split of each row, as a place in ``SPLITS``, -1 where the data does not say.

    Raises
    ------
    DataError, ConfigError
        As `read_labels`.
    """
    reading = label_reading(options)
    if options.label_names and options.labels and len(names) != 1:
        raise ConfigError(
            f"the label names are for one column, and there are {len(names)}; choose one with --label-column"
        )
    columns = {name: table.column(name) for name in names}
    if takes_flags(reading.kind, names) and not set(names) <= set(table.lists):
        return {FLAGS: open_task(reading.kind).read_flags(columns, reading, table.place)}
    return {
        name: _read(
            column, name, _named(table, name, reading_of(name, reading, options)), table.place, splits
        )
        for name, column in columns.items()
    }


def reading_of(name: str, reading: LabelReading, options: SourceOptions) -> LabelReading:
    """How a label column of a name is read: as what it is known to be, where nobody says it."""
    known = options.known_kinds.get(name, AUTO)
    return replace(reading, kind=known) if reading.kind == AUTO and known != AUTO else reading


def _read(
    column: Any, name: str, reading: LabelReading, place: Place, splits: Callable[[], NDArray[np.int8]]
) -> LabelColumn:
    """A label column, after a look whether -1 hides the labels of a split or is a class."""
    cells = None if is_plain_list(column.type) or reading.blank else as_strings(column)
    if cells is None or not may_hide_labels(cells):
        return read_labels(column, name, reading, place)
    hidden = HiddenLabels()
    hidden.add(cells, splits())
    read = read_labels(column, name, hidden.reading(reading), place)
    return replace(read, said=f"{read.said}, {hidden.said}") if hidden.split or read.names else read


def _named(table: Table, name: str, reading: LabelReading) -> LabelReading:
    """With the names that the files have for a column's classes, unless the user gave some."""
    names = table.class_names(name)
    if names is None or reading.names:
        return reading
    if reading.kind != AUTO and not open_task(reading.kind).has_names:
        return reading
    return replace(reading, names=names, blank=UNLABELLED, coded=True)
