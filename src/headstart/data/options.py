"""What a user may say about the data; whatever is left out is detected."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from headstart.errors import ConfigError

QUOTINGS = ("auto", "double", "none")
CLASS_FROM = ("auto", "first", "last", "path", "name")
OF_DIALECT = ("header", "columns", "delimiter", "quoting")
OF_FILES = ("encoding", *OF_DIALECT)
"""What is said of the files of a table, whatever their columns are called."""
ROLES = {
    "text_column": "texts",
    "text_pair_column": "second texts",
    "question_column": "questions",
    "context_column": "contexts",
    "answers_column": "answers",
    "image_column": "images",
    "words_column": "words",
    "tags_column": "tags",
    "label_columns": "labels",
    "input_column": "inputs",
    "target_column": "targets",
    "id_column": "ids",
    "split_column": "splits",
    "group_column": "groups",
}
"""Options that name columns, and what these hold."""


def check_quoting(quoting: str) -> str:
    """What quotes are, as ``--quoting`` takes it.

    Raises
    ------
    ConfigError
        There is no such quoting.
    """
    if quoting not in QUOTINGS:
        raise ConfigError(f"there is no quoting {quoting!r}; there are {', '.join(QUOTINGS)}")
    return quoting


def check_class_from(value: str) -> str:
    """What says the class, as ``--class-from`` takes it.

    Raises
    ------
    ConfigError
        There is no such rule.
    """
    if value not in CLASS_FROM:
        raise ConfigError(f"there is no --class-from {value!r}; there are {', '.join(CLASS_FROM)}")
    return value


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read the data.

    Parameters
    ----------
    text_column, text_pair_column, image_column, words_column, id_column, split_column : str, optional
        The columns of a table with these roles; None: detected by name (ids: made from file and row).
        An image and a text column together make pairs of image and text.
    tags_column : str, optional
        The column with a tag for each word; None: detected by name.
    group_column : str, optional
        What samples that belong together share; None: pairs of image and text share their image.
    question_column, context_column, answers_column : str, optional
        The columns of questions, of the contexts in which their answers stand, and of the answers; None: detected by
        name, where a table has all three.
    label_columns : tuple of str, optional
        The columns that hold labels; None: detected by name. Several with ``label_kind="multi"`` are
        one column a label, of 0/1, true/false or yes/no.
    input_column, target_column : str, optional
        The texts that are read, and what is to be written for each; see `headstart.data.written.with_targets`.
    encoding : str
        How CSV, TSV, JSON and text files are written.
    header : bool, optional
        Whether the first row of a CSV or TSV names its columns; None: what it looks like.
    columns : tuple of str, optional
        The names of all columns of a CSV or TSV, in order.
    delimiter : str, optional
        What stands between the cells of a CSV or TSV; None: detected.
    quoting : {"auto", "double", "none"}
        Whether double quotes enclose cells, or are characters like others. ``auto``: they enclose cells if every one
        that opens a cell closes it as RFC 4180 says.
    split_map : mapping of str to str
        The splits that names of the data's own stand for; ``none`` leaves a split out.
    class_from : {"auto", "first", "last", "path", "name"}
        What says the class of a file in a folder: the first or the last of the folders above it (below that of its
        split), all of them, or its own name up to its number. ``auto``: the first, where nothing speaks against it.
    label_names : tuple of str, optional
        Names for integer labels 0 to n - 1.
    streaming : bool, optional
        Read a data set of the hub without keeping it; None: where it is large.
    labels : bool
        False: read no labels at all, as for data that is only to be predicted.
    label_kind : str
        ``auto``, or a `headstart.types.LabelKind`. ``auto``: lists are several labels a sample, or beside words a tag
        for each, and a column of finite decimal numbers that are not all integers is numbers.
    known_kinds : mapping of str to str
        What label columns of these names hold, where ``label_kind`` is ``auto``.
    label_separator : str, optional
        What stands between the labels of a cell. None: a cell in brackets is a JSON list, and others
        are split at the first of ``|``, ``;`` and ``,`` that occurs.
    remembered : frozenset of str
        Those of the options that nobody asked for: other data was read with them, and they count where they fit.
    remembered_of : str, optional
        The ending of the files that it was read from; None: it is not known.

    Examples
    --------
    >>> SourceOptions(text_column="body").for_tables()
    ['--text-column']
    """

    text_column: str | None = None
    text_pair_column: str | None = None
    image_column: str | None = None
    words_column: str | None = None
    tags_column: str | None = None
    question_column: str | None = None
    context_column: str | None = None
    answers_column: str | None = None
    label_columns: tuple[str, ...] | None = None
    id_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    input_column: str | None = None
    target_column: str | None = None
    encoding: str = "utf-8"
    header: bool | None = None
    columns: tuple[str, ...] | None = None
    delimiter: str | None = None
    quoting: str = "auto"
    split_map: Mapping[str, str] = field(default_factory=dict)
    class_from: str = "auto"
    label_names: tuple[str, ...] | None = None
    labels: bool = True
    label_kind: str = "auto"
    known_kinds: Mapping[str, str] = field(default_factory=dict)
    label_separator: str | None = None
    streaming: bool | None = None
    remembered: frozenset[str] = frozenset()
    remembered_of: str | None = None

    def remembering(self, earlier: SourceOptions, of: str | None = None) -> SourceOptions:
        """The same, with what other data was read with where nothing is asked for.

        Examples
        --------
        >>> both = SourceOptions(text_column="body").remembering(SourceOptions(text_column="text", header=False))
        >>> both.text_column, both.header, sorted(both.remembered)
        ('body', False, ['header'])
        """
        usual = SourceOptions()
        found = {
            name: value
            for name in (each.name for each in fields(SourceOptions))
            if (value := getattr(earlier, name)) != getattr(usual, name)
            and getattr(self, name) == getattr(usual, name)
        }
        return replace(self, **found, remembered=frozenset(found), remembered_of=of)

    def forgetting(self, names: Collection[str]) -> SourceOptions:
        """The same without those of some options that are remembered."""
        usual = SourceOptions()
        gone: dict[str, Any] = {name: getattr(usual, name) for name in names if name in self.remembered}
        return replace(self, **gone, remembered=self.remembered - {*gone}) if gone else self

    def misfits(self, columns: Collection[str]) -> dict[str, str]:
        """Columns that are remembered and not there: by option their names."""
        found = {}
        for option in self.remembered & {*ROLES}:
            given = getattr(self, option)
            named = given if isinstance(given, tuple) else (given,)
            if lacking := [name for name in named if name not in columns]:
                found[option] = lacking[0]
        return dict(sorted(found.items(), key=lambda item: [*ROLES].index(item[0])))

    def for_delimited(self) -> list[str]:
        """The options given that mean something for delimited text only, as they are typed."""
        given = {
            "--no-header" if self.header is False else "--header": self.header,
            "--columns": self.columns,
            "--delimiter": self.delimiter,
            "--quoting": self.quoting if self.quoting != "auto" else None,
        }
        return self._asked(given)

    def for_tables(self) -> list[str]:
        """The options given that mean something for tables only, as they are typed."""
        given = {
            "--text-column": self.text_column,
            "--text-pair-column": self.text_pair_column,
            "--image-column": self.image_column,
            "--words-column": self.words_column,
            "--tags-column": self.tags_column,
            "--question-column": self.question_column,
            "--context-column": self.context_column,
            "--answers-column": self.answers_column,
            "--label-column": self.label_columns,
            "--id-column": self.id_column,
            "--split-column": self.split_column,
            "--group-column": self.group_column,
            "--input-column": self.input_column,
            "--target-column": self.target_column,
            # The class folders of images are of the kind "single".
            "--label-kind": self.label_kind if self.label_kind not in ("auto", "single") else None,
            "--label-separator": self.label_separator,
        }
        return [*self._asked(given), *self.for_delimited()]

    def _asked(self, given: Mapping[str, Any]) -> list[str]:
        """Those of some options that are given, and not remembered."""
        names = {option: option.removeprefix("--").replace("no-", "").replace("-", "_") for option in given}
        names["--label-column"] = "label_columns"
        return [
            option
            for option, value in given.items()
            if value is not None and names[option] not in self.remembered
        ]
