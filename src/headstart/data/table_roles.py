"""Which column of a table is what: by option, else by name, else by what its values look like."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import TYPE_CHECKING

from headstart.data.column_names import (
    IMAGE_NAMES,
    LABEL_NAMES,
    OTHER_TASKS,
    PAIR_NAMES,
    RARER_LABEL_NAMES,
    SPLIT_NAMES,
    TAGS_NAMES,
    TEXT_NAMES,
    WORDS_NAMES,
    WRITTEN_PAIRS,
    plain,
)
from headstart.data.passage_roles import passage_columns
from headstart.data.splits import SplitNames
from headstart.data.table import Table
from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.types import Modality


SHOWN_CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns by what they are for; ``content`` has those of the texts or images, an image before its text."""

    modality: Modality
    content: tuple[str, ...]
    labels: tuple[str, ...] = ()
    id: str | None = None
    split: str | None = None
    group: str | None = None
    candidates: tuple[str, ...] = ()
    """What could be labels, where nothing is."""
    is_whole: bool = False
    """Whether samples are words of texts that are not divided yet."""
    are_passages: bool = False
    """Whether these are questions with contexts."""
    group_is_asked: bool = True
    """Whether an option names the column of groups."""

    @property
    def image(self) -> str | None:
        """The column of the images, if samples have any."""
        return self.content[0] if self.modality in ("image", "image-text") else None

    @property
    def words(self) -> str | None:
        """The column of the words, or of the texts that they stand in, if samples are words."""
        return self.content[0] if self.modality == "words" else None

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of the texts."""
        return () if self.words else self.content[1:] if self.image else self.content

    def used(self) -> list[str]:
        """All columns that have a role."""
        others = (self.id, self.split, self.group)
        return [*self.content, *self.labels, *(name for name in others if name)]


def assign_roles(
    table: Table, options: SourceOptions, modality: Modality | None, split_by_file: bool
) -> Roles:
    """Say which column is what.

    Raises
    ------
    ConfigError
        A column is missing, or several could have a role.
    DataError
        A column cannot have the role it is named for.
    """
    options = options.forgetting(options.misfits(table.names))
    _check_options(table, options)
    if not (options.text_column or options.image_column or options.words_column):
        _refuse_other_tasks(table)
    split = options.split_column
    if not split and not split_by_file:
        names = SplitNames(options.split_map)
        found = [name for name in table.named(SPLIT_NAMES) if table.holds_splits(name, names)]
        split = next(iter(at_most_one(found, "the split", "--split-column")), None)
    if words := _find_words(table, options, modality):
        tags = _find_tags(table, options, words)
        roles = Roles("words", (words,), tags, options.id_column, split, options.group_column)
        _check_kinds(table, roles)
        return roles
    if (passages := passage_columns(table, options, modality)) is not None:
        roles = Roles(
            "text-pair", (passages.question, passages.context), (passages.answers,) if passages.answers else (),
            options.id_column or passages.id, split, options.group_column or passages.article or passages.context,
            are_passages=True, group_is_asked=options.group_column is not None,
        )  # fmt: skip
        _check_kinds(table, roles)
        return roles
    asked = (options.text_column, options.text_pair_column, options.image_column, options.id_column)
    label_like = [name for name in table.named(LABEL_NAMES) if name not in asked]
    labels = _find_labels(table, options, label_like, {*asked, split})
    label_like += labels
    taken = {*label_like, *(options.label_columns or ()), *filter(None, (split, options.id_column))}
    if modality == "words":  # of texts, which are divided into them
        _, content = _find_content(table, options, taken, "text")
        roles = Roles(
            "words", content[:1], labels, options.id_column, split, options.group_column, is_whole=True
        )
        _check_kinds(table, roles)
        return roles
    modality, content = _find_content(table, options, taken, modality)
    roles = Roles(modality, content, labels, options.id_column, split, options.group_column)
    _check_kinds(table, roles)
    if labels or not options.labels:
        return roles
    others = [name for name in table.names if name not in roles.used()]
    meant = [name for name in others if table.repeats(name) and not table.holds_texts(name)]
    return replace(roles, candidates=tuple(meant[:SHOWN_CANDIDATES]))


def _refuse_other_tasks(table: Table) -> None:
    """Refuse by name what would be read as something else: a title as a text, say."""
    names = {plain(name): name for name in table.names}
    for contents, labels, said in OTHER_TASKS:
        content = next((names[name] for name in contents if name in names), None)
        label = next((names[name] for name in labels if name in names), None)
        if content and label and table.kind(label) != "strings":
            raise DataError(
                f"columns {content!r} and {label!r} are {said}, which headstart does not learn yet; to embed the texts "
                "of a column, name it with --text-column"
            )


def _find_words(table: Table, options: SourceOptions, modality: Modality | None) -> str | None:
    """The column of words, if samples are words: by option, else lists of a usual name with tags beside them."""
    if options.words_column:
        return options.words_column
    if modality not in (None, "words") or options.text_column or options.image_column:
        return None
    found = [name for name in table.named(WORDS_NAMES) if table.kind(name) == "lists"]
    if not found:
        return None
    others = [name for name in table.names if name not in found and table.kind(name) == "strings"]
    has_tags = bool(_named_tags(table, found[0])) if options.label_columns is None else False
    asked = options.tags_column or any(map(table.lists.__contains__, options.label_columns or ()))
    is_alone = not table.named(TEXT_NAMES, found) and not any(map(table.holds_texts, others))
    return found[0] if has_tags or asked or modality == "words" or is_alone else None


def _find_tags(table: Table, options: SourceOptions, words: str) -> tuple[str, ...]:
    """The columns with a tag for each word; no more than one where nobody says which."""
    if not options.labels:
        return ()
    if options.tags_column:
        return (options.tags_column, *(n for n in options.label_columns or () if n != options.tags_column))
    return options.label_columns or tuple(_named_tags(table, words)[:1])


def _named_tags(table: Table, words: str) -> list[str]:
    """Columns of lists with a usual name of tags, the likeliest first."""
    found = [name for name in table.named(TAGS_NAMES, (words,)) if table.kind(name) == "lists"]
    return sorted(found, key=lambda name: TAGS_NAMES.index(plain(name)))


def _check_kinds(table: Table, roles: Roles) -> None:
    """Every column holds what its role needs."""
    lists = () if roles.is_whole or not roles.words else (roles.words,)
    for name in roles.used():
        kind = table.kind(name)
        fits = kind == "strings" or (name == roles.image and name in table.images)
        if not fits and not (name in (*roles.labels, *lists) and kind == "lists"):
            raise unfit(name, kind)


def _check_options(table: Table, options: SourceOptions) -> None:
    """Every column that an option names is there, and has one role."""
    labels = options.label_columns or () if options.labels else ()
    named = [
        ("--text-column", options.text_column),
        ("--text-pair-column", options.text_pair_column),
        ("--image-column", options.image_column),
        ("--words-column", options.words_column),
        ("--tags-column", options.tags_column if options.labels else None),
        ("--question-column", options.question_column),
        ("--context-column", options.context_column),
        ("--answers-column", options.answers_column if options.labels else None),
        ("--split-column", options.split_column),
        *(("--label-column", name) for name in labels if name != options.tags_column),
    ]
    seen: dict[str, str] = {}
    for option, name in named:
        if name is not None:
            table.require(option, name)
            if name in seen:
                raise ConfigError(f"column {name!r} cannot be both {seen[name]} and {option}")
            seen[name] = option
    if options.id_column:
        table.require("--id-column", options.id_column)  # may have a role besides
    if options.group_column:
        table.require("--group-column", options.group_column)  # so may this one
    if options.words_column and (options.text_column or options.image_column):
        other = "--text-column" if options.text_column else "--image-column"
        raise ConfigError(
            f"--words-column with {other}: a sample is words, or a text, or an image; leave one out"
        )
    if options.image_column and options.text_pair_column:
        raise ConfigError(
            "--image-column with --text-pair-column: a sample is an image with one text, or two texts; "
            "use --text-column for the text that goes with the image"
        )


def _find_labels(
    table: Table, options: SourceOptions, label_like: list[str], taken: Collection[str | None]
) -> tuple[str, ...]:
    if not options.labels:
        return ()
    if options.label_columns is not None:
        return options.label_columns
    usable = [name for name in label_like if table.kind(name) in ("strings", "lists")]
    if label_like:
        return at_most_one(first_of(usable or label_like, LABEL_NAMES), "the label", "--label-column")
    rarer = [name for name in table.named(RARER_LABEL_NAMES) if name not in taken and table.repeats(name)]
    return tuple(rarer) if len(rarer) == 1 else ()


def _find_content(
    table: Table, options: SourceOptions, taken: Collection[str], modality: Modality | None
) -> tuple[Modality, tuple[str, ...]]:
    """What the samples are made of, and the columns that hold it; an image before its text.

    Raises
    ------
    ConfigError, DataError
        There is nothing, or several columns could be it.
    """
    if modality == "image-text" or (options.image_column and options.text_column):
        return "image-text", _image_and_text(table, options, taken)
    if options.image_column:
        return "image", (options.image_column,)
    if second := options.text_pair_column:
        return "text-pair", (options.text_column or _partner(table, second, {*taken, second}), second)
    if options.text_column:
        return "text", (options.text_column,)
    images = _named_images(table, taken)
    texts = _named_texts(table, taken, needed=not images or modality not in (None, "image"))
    if images and texts and modality is None:
        raise ConfigError(
            f"the table has images (in {images[0]!r}) and texts (in {texts[0]!r}); "
            f"choose with --image-column {images[0]} or --text-column {texts[0]}, or both for pairs"
        )
    if images and (modality == "image" or not texts):
        return "image", (only(images, "the image", "--image-column"),)
    if not texts and not (texts := _looks_like_text(table, taken) or _named_inputs(table, taken)):
        return "image", (_stray_image(table, taken),)
    return ("text", texts) if len(texts) == 1 else ("text-pair", texts)


def _image_and_text(table: Table, options: SourceOptions, taken: Collection[str]) -> tuple[str, str]:
    """The two columns of pairs of image and text."""
    image, text = options.image_column, options.text_column
    if image is None:
        if not (images := _named_images(table, taken)):
            raise ConfigError(f"no column of images among {table}; name it with --image-column")
        image = only(images, "the image", "--image-column")
    if text is None:
        taken = {*taken, image}
        found = _by_name(table, TEXT_NAMES, taken) or _looks_like_text(table, taken)
        if not found:
            raise ConfigError(f"no column of texts among {table}; name it with --text-column")
        text = only(found, "the text", "--text-column")
    return image, text


def _by_name(table: Table, names: Sequence[str], taken: Collection[str]) -> list[str]:
    return first_of(table.named(names, taken), names)


def _named_images(table: Table, taken: Collection[str]) -> list[str]:
    return first_of(list(filter(table.holds_images, table.named(IMAGE_NAMES, taken))), IMAGE_NAMES)


def _partner(table: Table, second: str, taken: Collection[str]) -> str:
    """The first text of a pair of which only the second was named."""
    usual = table.named([a for a, b in PAIR_NAMES if b == plain(second)], taken)
    found = usual or _by_name(table, TEXT_NAMES, taken)
    if not found:
        raise ConfigError(f"--text-pair-column {second} needs --text-column for the first text of each pair")
    return only(found, "the first text", "--text-column")


def _named_texts(table: Table, taken: Collection[str], needed: bool) -> tuple[str, ...]:
    """The text column, or both columns of a known pair; ambiguity is an error where one is needed."""
    for pair in PAIR_NAMES:
        first, second = (table.named([name], taken) for name in pair)
        if first and second:
            return first[0], second[0]
    found = _by_name(table, TEXT_NAMES, taken)
    if len(found) > 1 and needed:
        raise _several_texts(table, found)
    return tuple(found[:1])


def _several_texts(table: Table, found: Sequence[str]) -> ConfigError:
    """Several columns could be the text: the one with most to read is proposed, and two as pairs as well."""
    candidates = ", ".join(map(repr, found))
    longest = max(found, key=table.n_letters)
    pair = ""
    if len(found) == 2:
        pair = f", or take both as pairs with --text-column {quote(found[0])} --text-pair-column {quote(found[1])}"
    return ConfigError(
        f"{candidates} could each be the text; choose with --text-column {quote(longest)}, which has most to read{pair}"
    )


def _looks_like_text(table: Table, taken: Collection[str]) -> tuple[str, ...]:
    """The only column of words, if there is one."""
    found = [name for name in table.names if name not in taken and table.holds_texts(name)]
    if len(found) > 1:
        raise _several_texts(table, found)
    return tuple(found)


def _named_inputs(table: Table, taken: Collection[str]) -> tuple[str, ...]:
    """The column of inputs, where nothing looks like a text: dates or numbers that are to be written out."""
    named = [first for first, _ in WRITTEN_PAIRS]
    return tuple(_by_name(table, named, taken)[:1])


def _stray_image(table: Table, taken: Collection[str]) -> str:
    """The only column of bytes, whatever its name."""
    found = [name for name in table.images if name not in taken]
    if found:
        return only(found, "the image", "--image-column")
    for name in table.named((*IMAGE_NAMES, *TEXT_NAMES), taken):
        if table.kind(name) != "strings":
            raise unfit(name, table.kind(name))
    raise ConfigError(
        f"no column looks like texts or image paths among {table}; "
        "name it with --text-column or --image-column"
    )


def first_of(found: list[str], names: Sequence[str]) -> list[str]:
    """Of columns found by name, that of the first name alone, if it is there."""
    return [name for name in found if plain(name) == names[0]] or found


def only(found: Sequence[str], role: str, option: str) -> str:
    """The only column that could have a role.

    Raises
    ------
    ConfigError
        There are several.
    """
    if len(found) == 1:
        return found[0]
    candidates = ", ".join(map(repr, found))
    raise ConfigError(f"{candidates} could each be {role}; choose with {option} {quote(found[0])}")


def at_most_one(found: Sequence[str], role: str, option: str) -> tuple[str, ...]:
    """The same, or none."""
    return (only(found, role, option),) if found else ()


def unfit(name: str, kind: str) -> DataError:
    """A column that cannot be what it is taken for."""
    return DataError(
        f"column {name!r} holds {kind}, which cannot be used there; write one plain value a cell "
        "(a list only for labels, bytes only for images), or choose another column"
    )
