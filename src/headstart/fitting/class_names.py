"""The names of classes as a model reads them: those of the labels, or a file's; matched to labels, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headstart.data import SourceOptions
from headstart.data.label_cells import as_strings
from headstart.data.read_table import is_surely_table, read_table_file
from headstart.errors import ConfigError, DataError
from headstart.options import did_you_mean
from headstart.places import expanded
from headstart.words import counted

OPTION = "--class-names"
NAME, DESCRIPTION, CLASS = "name", "description", "label"
"""The columns of a table of names; the last says whose name it is."""
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


@dataclass(frozen=True, slots=True)
class ClassName:
    """A name, the label that it is the name of (None if nobody said), and where it is written."""

    name: str
    place: str
    description: str = ""
    label: str | None = None

    @property
    def text(self) -> str:
        """The name as a model reads it: underscores are spaces.

        Examples
        --------
        >>> ClassName("card_arrival", "the labels").text
        'card arrival'
        """
        return " ".join(self.name.replace("_", " ").split())


@dataclass(frozen=True)
class ClassNames:
    """The classes in the order of the labels; ``said`` is where their names are from, for people."""

    classes: tuple[ClassName, ...]
    said: str

    @property
    def labels(self) -> tuple[str, ...]:
        """What they are called in the label column, or by the user where there is none."""
        return tuple(str(one.label) for one in self.classes)

    @property
    def has_descriptions(self) -> bool:
        """Whether any class has more than a name."""
        return any(one.description for one in self.classes)


def class_names(given: str | Sequence[str] | None, labels: Sequence[str], column: str) -> ClassNames:
    """The names of the classes of a label column.

    Parameters
    ----------
    given : str or sequence of str, optional
        A file: a name a line, or a table with ``name``, and perhaps ``description`` and ``label``. Or the names
        themselves. None: the labels are the names.
    labels : sequence of str
        In order; none if the set has no labels.
    column : str
        Of the labels, for messages.

    Raises
    ------
    ConfigError
        Names are missing, say nothing, are written twice, or are not those of the labels.
    """
    if given is None:
        found = [ClassName(label, f"the labels of {column!r}", label=label) for label in labels]
        _check_words(found, column)
        return ClassNames(_checked(found), "the labels")
    where = given if isinstance(given, str) else OPTION
    found = _read(given)
    _checked(found)
    if not labels:
        if len(found) < 2:
            raise ConfigError(f"{where} names one class, and all samples would be of it; name at least two")
        return ClassNames(tuple(replace(one, label=one.label or one.name) for one in found), where)
    matched, how = _matched(found, labels, column, where)
    return ClassNames(tuple(matched), f"{where}, {how}")


def _check_words(names: Sequence[ClassName], column: str) -> None:
    if not names:
        raise ConfigError(
            f"the set has no labels that could be names of classes; give names with {OPTION} FILE"
        )
    if all(_NUMBER.fullmatch(one.name) for one in names):
        shown = ", ".join(one.name for one in names[:3])
        raise ConfigError(
            f"the classes of {column!r} are numbers ({shown}…), which say nothing to a model; name them with "
            f"{OPTION} FILE, a line for each in this order"
        )


def _checked(names: Sequence[ClassName]) -> tuple[ClassName, ...]:
    """Refuse names that are empty, or that a model would read alike."""
    read: dict[str, ClassName] = {}
    for one in names:
        if not one.text:
            raise ConfigError(f"{one.place}: the name of a class is empty; write one, or leave the line out")
        other = read.setdefault(one.text.casefold(), one)
        if other is not one:
            how = "is there twice" if one.text == other.text else f"differs from {other.name!r} by case only"
            raise ConfigError(f"{one.place}: the class {one.name!r} {how}; give each class a name of its own")
    return tuple(names)


def _matched(
    names: Sequence[ClassName], labels: Sequence[str], column: str, where: str
) -> tuple[list[ClassName], str]:
    """The names in the order of the labels, and how they were met: by a column, by themselves, or by their order."""
    whose = [one.label if one.label is not None else one.name for one in names]
    if all(one.label is None for one in names) and not _overlap(whose, labels):
        if len(names) != len(labels):
            raise ConfigError(
                f"{where} has {counted(len(names), 'name')}, and {column!r} has {counted(len(labels), 'class')}; give "
                "a name for each class, in the order of the labels"
            )
        return [replace(one, label=label) for one, label in zip(names, labels, strict=True)], "by their order"
    by_label = {label: replace(one, label=label) for label, one in zip(whose, names, strict=True)}
    if len(by_label) < len(names):
        twice = next(label for label in whose if whose.count(label) > 1)
        raise ConfigError(f"{where}: the label {twice!r} has two names; give it one")
    for one, label in zip(names, whose, strict=True):
        if label not in labels:
            raise ConfigError(f"{one.place}: {column!r} has no class {label!r}{_hint(label, labels)}")
    if lacking := [label for label in labels if label not in by_label]:
        raise ConfigError(
            f"{where} has {counted(len(names), 'name')}, and none for the class {lacking[0]!r} of {column!r}, which "
            f"has {counted(len(labels), 'class')}; name each of them"
        )
    return [by_label[label] for label in labels], "by the labels"


def _overlap(names: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether any name is a label, but for case."""
    return bool({name.casefold() for name in names} & {label.casefold() for label in labels})


def _hint(label: str, labels: Sequence[str]) -> str:
    alike = [own for own in labels if own.casefold() == label.casefold()]
    if alike:
        return f"; {alike[0]!r} differs by case only: write it as the label is written"
    return did_you_mean(label, labels, "it has")


def _read(given: str | Sequence[str]) -> list[ClassName]:
    if not isinstance(given, str):
        return [ClassName(str(name), f"{OPTION}, name {number}") for number, name in enumerate(given, 1)]
    path = Path(expanded(given))
    if not path.is_file():
        raise ConfigError(
            f"there is no file {given}; {OPTION} takes a file with a name a line, or a table with a column {NAME!r}"
        )
    found = list(_rows(path) if is_surely_table(path.name) else _lines(path))
    if not found:
        raise ConfigError(f"{given} has no names; write one a line")
    return found


def _lines(path: Path) -> Iterator[ClassName]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); it is to be a text file in UTF-8, a name a line"
        ) from error
    for number, line in enumerate(text.rstrip().splitlines() if text.strip() else [], 1):
        yield ClassName(line.strip(), f"{path}, line {number:,}")


def _rows(path: Path) -> Iterator[ClassName]:
    rows = read_table_file(path, SourceOptions()).rows
    if NAME not in rows.column_names:
        raise DataError(
            f"{path} has no column {NAME!r} (it has {', '.join(map(repr, rows.column_names[:5]))}); a table of names "
            f"has {NAME}, and perhaps {DESCRIPTION} and {CLASS}, in its header"
        )
    known = [column for column in (NAME, DESCRIPTION, CLASS) if column in rows.column_names]
    cells = {column: as_strings(rows.column(column)).to_pylist() for column in known}
    for number in range(rows.num_rows):
        name, description, label = (
            cells.get(column, [None] * rows.num_rows)[number] for column in (NAME, DESCRIPTION, CLASS)
        )
        yield ClassName(
            (name or "").strip(), f"{path}, row {number + 1:,}", (description or "").strip(), label
        )
