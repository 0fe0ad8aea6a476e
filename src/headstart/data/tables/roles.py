"""Which column of a table is what: by option, else by name, else by what its values look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.data.tables.content_roles import find_content, first_of, only, unfit
from headstart.errors import ConfigError

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.data.tables.columns import Columns
    from headstart.types import Modality

# The first name of each group wins if others are there as well.
LABEL_NAMES = (
    *("label", "labels", "category", "class", "target", "intent", "sentiment", "y", "class_name"),
    *("label_name", "label_text", "coarse_label", "fine_label"),
)
SPLIT_NAMES = ("split", "fold", "subset", "partition")


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns by what they are for.

    Parameters
    ----------
    content : tuple of str
        The column of the texts or images; two for pairs, the image first.
    """

    modality: Modality
    content: tuple[str, ...]
    labels: tuple[str, ...] = ()
    id: str | None = None
    split: str | None = None

    def used(self) -> list[str]:
        """All columns that have a role."""
        return [*self.content, *self.labels, *(name for name in (self.id, self.split) if name)]


def assign_roles(
    columns: Columns, options: SourceOptions, modality: Modality | None, split_by_file: bool
) -> Roles:
    """Say which column is what.

    Parameters
    ----------
    columns : Columns
    options : SourceOptions
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What is wanted where the table has both images and texts.
    split_by_file : bool
        The file names say the splits, so no column is looked for.

    Raises
    ------
    ConfigError
        A column is missing, or several could have a role.
    DataError
        A column cannot have the role it is named for.
    """
    _check_options(columns, options)
    split = options.split_column or (None if split_by_file else _find_split(columns))
    label_like = _label_like(columns, options)
    labels = _find_labels(columns, options, label_like)
    taken = {*label_like, *(options.label_columns or ()), *filter(None, (split, options.id_column))}
    modality, content = find_content(columns, options, taken, modality)
    roles = Roles(modality, content, labels, options.id_column, split)
    _check_kinds(columns, roles)
    return roles


def _check_kinds(columns: Columns, roles: Roles) -> None:
    """Every column holds what its role needs."""
    images = roles.content[:1] if roles.modality in ("image", "image-text") else ()
    for name in roles.used():
        kind = columns.kind(name)
        fits = kind == "strings" or (name in images and name in columns.images)
        if not fits and not (name in roles.labels and kind == "lists"):
            raise unfit(name, kind)


def _check_options(columns: Columns, options: SourceOptions) -> None:
    """Every column that an option names is there, and has one role."""
    labels = options.label_columns or () if options.labels else ()
    named = [
        ("--text-column", options.text_column),
        ("--text-pair-column", options.text_pair_column),
        ("--image-column", options.image_column),
        ("--split-column", options.split_column),
        *(("--label-column", name) for name in labels),
    ]
    seen: dict[str, str] = {}
    for option, name in named:
        if name is not None:
            columns.require(option, name)
            if name in seen:
                raise ConfigError(f"column {name!r} cannot be both {seen[name]} and {option}")
            seen[name] = option
    if options.id_column:
        columns.require("--id-column", options.id_column)  # may have a role besides
    if options.image_column and options.text_pair_column:
        raise ConfigError(
            "--image-column with --text-pair-column: a sample is an image with one text, or two texts; "
            "use --text-column for the text that goes with the image"
        )


def _find_split(columns: Columns) -> str | None:
    found = [name for name in columns.named(SPLIT_NAMES) if columns.holds_splits(name)]
    return only(found, "the split", "--split-column") if found else None


def _label_like(columns: Columns, options: SourceOptions) -> list[str]:
    """Columns that are named like labels, and are not asked for as something else."""
    asked = (options.text_column, options.text_pair_column, options.image_column, options.id_column)
    return [name for name in columns.named(LABEL_NAMES) if name not in asked]


def _find_labels(columns: Columns, options: SourceOptions, label_like: list[str]) -> tuple[str, ...]:
    if not options.labels:
        return ()
    if options.label_columns is not None:
        return options.label_columns
    usable = [name for name in label_like if columns.kind(name) in ("strings", "lists")]
    found = first_of(usable or label_like, LABEL_NAMES)
    return (only(found, "the label", "--label-column"),) if found else ()
