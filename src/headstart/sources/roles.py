"""Which column of a table is what: by option, else by name, else by what its values look like."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.errors import ConfigError, DataError
from headstart.sources.columns import plain

if TYPE_CHECKING:
    from headstart.sources.columns import Columns
    from headstart.sources.options import SourceOptions
    from headstart.types import Modality

# The first name of each group wins if others are there as well.
TEXT_NAMES = (
    *("text", "texts", "sentence", "content", "review", "question", "query", "utterance", "document"),
    *("body", "tweet", "headline", "title", "docstring", "description", "comment", "message", "abstract"),
    *("article", "passage", "post", "prompt", "caption"),
)
PAIR_NAMES = (
    *(("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("premise", "hypothesis")),
    *(("question1", "question2"), ("text1", "text2"), ("text_a", "text_b"), ("text", "text_pair")),
    *(("question", "answer"), ("question", "sentence"), ("question", "passage"), ("query", "document")),
)
IMAGE_NAMES = (
    *("image", "image_path", "img", "img_path", "path", "file", "file_name", "filename", "file_path"),
    *("filepath", "image_file", "photo", "picture"),
)
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
    modality : {"image", "text", "text-pair"}
    content : tuple of str
        The column of the texts or image paths; two for pairs.
    labels : tuple of str
    id, split : str, optional
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
    modality : {"image", "text", "text-pair"}, optional
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
    modality, content = _find_content(columns, options, taken, modality)
    roles = Roles(modality, content, labels, options.id_column, split)
    for name in roles.used():
        if name in columns.unusable:
            raise _unsupported(columns, name)
    return roles


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
    if options.image_column and (options.text_column or options.text_pair_column):
        raise ConfigError("--image-column with --text-column: pairs of image and text come later; give one")


def _find_split(columns: Columns) -> str | None:
    found = [name for name in columns.named(SPLIT_NAMES) if columns.holds_splits(name)]
    return _only(found, "the split", "--split-column") if found else None


def _label_like(columns: Columns, options: SourceOptions) -> list[str]:
    """Columns that are named like labels, and are not asked for as something else."""
    asked = (options.text_column, options.text_pair_column, options.image_column, options.id_column)
    return [name for name in columns.named(LABEL_NAMES) if name not in asked]


def _find_labels(columns: Columns, options: SourceOptions, label_like: list[str]) -> tuple[str, ...]:
    if not options.labels:
        return ()
    if options.label_columns is not None:
        return options.label_columns
    usable = [name for name in label_like if name not in columns.unusable]
    found = _first_of(usable or label_like, LABEL_NAMES)
    return (_only(found, "the label", "--label-column"),) if found else ()


def _find_content(
    columns: Columns, options: SourceOptions, taken: Collection[str], modality: Modality | None
) -> tuple[Modality, tuple[str, ...]]:
    if options.image_column:
        return "image", (options.image_column,)
    if options.text_column or options.text_pair_column:
        return _asked_texts(columns, options, taken)
    images = _first_of(list(filter(columns.holds_images, columns.named(IMAGE_NAMES, taken))), IMAGE_NAMES)
    texts = _named_texts(columns, taken, needed=not images or modality not in (None, "image"))
    if images and texts and modality is None:
        raise ConfigError(
            f"the table has images (in {images[0]!r}) and texts (in {texts[0]!r}); "
            f"choose with --image-column {images[0]} or --text-column {texts[0]}"
        )
    if images and (modality == "image" or not texts):
        return "image", (_only(images, "the image path", "--image-column"),)
    texts = texts or (_looks_like_text(columns, taken),)
    return ("text", texts) if len(texts) == 1 else ("text-pair", texts)


def _asked_texts(
    columns: Columns, options: SourceOptions, taken: Collection[str]
) -> tuple[Modality, tuple[str, ...]]:
    first, second = options.text_column, options.text_pair_column
    if first and not second:
        return "text", (first,)
    assert second is not None
    return "text-pair", (first or _partner(columns, second, {*taken, second}), second)


def _partner(columns: Columns, second: str, taken: Collection[str]) -> str:
    """The first text of a pair of which only the second was named."""
    usual = columns.named([a for a, b in PAIR_NAMES if b == plain(second)], taken)
    found = usual or _first_of(columns.named(TEXT_NAMES, taken), TEXT_NAMES)
    if not found:
        raise ConfigError(f"--text-pair-column {second} needs --text-column for the first text of each pair")
    return _only(found, "the first text", "--text-column")


def _named_texts(columns: Columns, taken: Collection[str], needed: bool) -> tuple[str, ...]:
    """The text column, or both columns of a known pair; ambiguity is an error where one is needed."""
    for pair in PAIR_NAMES:
        first, second = (columns.named([name], taken) for name in pair)
        if first and second:
            return first[0], second[0]
    found = _first_of(columns.named(TEXT_NAMES, taken), TEXT_NAMES)
    if len(found) > 1 and needed:
        _only(found, "the text", "--text-column")
    return tuple(found[:1])


def _looks_like_text(columns: Columns, taken: Collection[str]) -> str:
    found = [name for name in columns.names if name not in taken and columns.holds_texts(name)]
    if found:
        return _only(found, "the text", "--text-column")
    for name in columns.named(IMAGE_NAMES, taken):
        if name in columns.unusable:
            raise _unsupported(columns, name)
    raise ConfigError(
        f"no column looks like texts or image paths among {columns}; "
        "name it with --text-column or --image-column"
    )


def _first_of(found: list[str], names: Sequence[str]) -> list[str]:
    """The column of the first name alone, if it is there."""
    return [name for name in found if plain(name) == names[0]] or found


def _only(found: Sequence[str], role: str, option: str) -> str:
    if len(found) == 1:
        return found[0]
    candidates = ", ".join(map(repr, found))
    raise ConfigError(f"{candidates} could each be {role}; choose with {option} {found[0]}")


def _unsupported(columns: Columns, name: str) -> DataError:
    return DataError(
        f"column {name!r} holds {columns.unusable[name]}, which are not supported yet: "
        "write one plain value a cell, or choose another column"
    )
