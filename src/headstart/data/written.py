"""Which columns of a table hold texts that are read, and which what is to be written for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headstart.data.column_names import (
    IMAGE_NAMES,
    INPUT_NAMES,
    TARGET_NAMES,
    TEXT_NAMES,
    WRITTEN_PAIRS,
    plain,
)
from headstart.errors import ConfigError
from headstart.tasks import AUTO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.data.options import SourceOptions
    from headstart.data.table import Table

WRITTEN = "seq2seq"
"""The label kind of texts that are to be written."""


def with_targets(table: Table, options: SourceOptions) -> SourceOptions:
    """The options with inputs as the texts and targets as the labels, where there are any.

    They are named, or found by their usual names if the label kind says that texts are to be written. Where nobody
    says anything, only an unmistakable pair (``input`` and ``target``, ``source`` and ``target`` …) is taken for them,
    whose targets are of several words, beside no other text, image or label.

    Raises
    ------
    ConfigError
        A column is not there, has two roles, or is of another label kind.
    """
    if options.input_column or options.target_column or options.label_kind == WRITTEN:
        return _asked(table, options)
    named = (options.text_column, options.text_pair_column, options.image_column, options.label_columns)
    if any(named) or options.label_kind != AUTO or options.label_separator or options.label_names:
        return options
    pair = _unmistakable(table)
    if pair is None:
        return options
    said: dict[str, Any] = {"label_columns": (pair[1],), "label_kind": WRITTEN} if options.labels else {}
    return replace(options, text_column=pair[0], **said)


def found_columns(asked: SourceOptions, options: SourceOptions) -> dict[str, str]:
    """What `with_targets` found, by the options that name it: other data of the kind is read alike."""
    found = {}
    if options.text_column and not (asked.text_column or asked.input_column):
        found["input_column"] = options.text_column
    if options.label_columns and not (asked.label_columns or asked.target_column):
        found["target_column"] = options.label_columns[0]
    return found


def _asked(table: Table, options: SourceOptions) -> SourceOptions:
    # What other data was read with gives way to what is asked for.
    options = options.forgetting(["input_column"] if options.text_column else [])
    options = options.forgetting(["target_column"] if options.label_columns else [])
    _check(options)
    given, wanted = _there(table, options, "input_column"), _there(table, options, "target_column")
    text, labels = options.text_column, options.label_columns
    if not (given or text or options.image_column or options.text_pair_column):
        given = _by_name(table, INPUT_NAMES, labels or (), options)
    if options.labels and not (wanted or labels):
        wanted = _by_name(table, TARGET_NAMES, (given or text or "",), options)
        if wanted is None and options.label_kind == WRITTEN and not options.remembered:
            raise ConfigError(f"no column of texts to write among {table}; name it with --target-column")
    changed: dict[str, Any] = {"text_column": given or text}
    if options.labels:
        changed |= {"label_columns": (wanted,) if wanted else labels, "label_kind": WRITTEN}
    return replace(options, **changed)


def _check(options: SourceOptions) -> None:
    """Refuse options that contradict each other."""
    if options.label_kind not in (AUTO, WRITTEN):
        option = "--target-column" if options.target_column else "--input-column"
        raise ConfigError(
            f"{option} is for texts to write, and --label-kind {options.label_kind} is something else; leave one out"
        )
    for option, column, other, there in (
        ("--input-column", options.input_column, "--text-column", options.text_column),
        ("--target-column", options.target_column, "--label-column", options.label_columns),
    ):
        if column and there:
            raise ConfigError(f"{option} and {other} both say the same; leave one out")
    if options.input_column and options.input_column == options.target_column:
        raise ConfigError(
            f"column {options.input_column!r} cannot be both --input-column and --target-column"
        )


def _there(table: Table, options: SourceOptions, name: str) -> str | None:
    """The column that an option names; None if it names none, or one of other data that this has not."""
    column: str | None = getattr(options, name)
    if column is None or (name in options.remembered and column not in table.names):
        return None
    table.require(f"--{name.replace('_', '-')}", column)
    return column


def _by_name(table: Table, names: Sequence[str], taken: Sequence[str], options: SourceOptions) -> str | None:
    """The column of the first of several names that is there."""
    used = {*taken, options.id_column, options.split_column, options.group_column}
    found = {plain(name): name for name in table.named(names) if name not in used}
    return next((found[name] for name in names if name in found), None)


def _unmistakable(table: Table) -> tuple[str, str] | None:
    """The columns of a known pair, if they can be nothing else."""
    if table.named((*TEXT_NAMES, *IMAGE_NAMES)):
        return None
    for pair in WRITTEN_PAIRS:
        given, wanted = (table.named([name]) for name in pair)
        if len(given) == len(wanted) == 1 and table.kind(given[0]) == "strings":
            is_written = table.holds_texts(wanted[0]) and not table.repeats(wanted[0])
            return (given[0], wanted[0]) if is_written else None
    return None
