"""The label columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headstart.data.labels.kinds import FLAGS, read_flags, read_labels, takes_flags
from headstart.errors import ConfigError
from headstart.tasks import AUTO, open_task
from headstart.types import LabelColumn, LabelReading

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.data.tables.parts import Joined

UNLABELLED = "-1"
"""What Hugging Face data sets write where a test split has no labels."""


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


def table_labels(joined: Joined, names: Sequence[str], options: SourceOptions) -> dict[str, LabelColumn]:
    """The label columns of these names; columns of 0 and 1 become one.

    Raises
    ------
    DataError, ConfigError
        As `read_labels` and `read_flags`.
    """
    reading = label_reading(options)
    if options.label_names and options.labels and len(names) != 1:
        raise ConfigError(
            f"the label names are for one column, and there are {len(names)}; choose one with --label-column"
        )
    if takes_flags(reading.kind) and len(names) > 1 and not set(names) <= set(joined.lists):
        columns = {name: joined.column(name) for name in names}
        return {FLAGS: read_flags(columns, reading, joined.place)}
    return {
        name: read_labels(joined.column(name), name, _named(joined, name, reading), joined.place)
        for name in names
    }


def _named(joined: Joined, name: str, reading: LabelReading) -> LabelReading:
    """With the names that the files have for a column's classes, unless the user gave some."""
    names = joined.class_names(name)
    if names is None or reading.names:
        return reading
    if reading.kind != AUTO and not open_task(reading.kind).has_names:
        return reading
    return replace(reading, names=names, blank=UNLABELLED)
