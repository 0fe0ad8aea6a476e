"""Which columns of a table hold the texts and the images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from headstart.data.tables.columns import plain
from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.data.tables.columns import Columns
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


def find_content(
    columns: Columns, options: SourceOptions, taken: Collection[str], modality: Modality | None
) -> tuple[Modality, tuple[str, ...]]:
    """What the samples are made of, and the columns that hold it; an image before its text.

    Parameters
    ----------
    columns : Columns
    options : SourceOptions
    taken : collection of str
        Columns that are something else.
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What is wanted where there are both images and texts.

    Raises
    ------
    ConfigError, DataError
        There is nothing, or several columns could be it.
    """
    if modality == "image-text" or (options.image_column and options.text_column):
        return "image-text", _image_and_text(columns, options, taken)
    if options.image_column:
        return "image", (options.image_column,)
    if options.text_column or options.text_pair_column:
        return _asked_texts(columns, options, taken)
    images = _named_images(columns, taken)
    texts = _named_texts(columns, taken, needed=not images or modality not in (None, "image"))
    if images and texts and modality is None:
        raise ConfigError(
            f"the table has images (in {images[0]!r}) and texts (in {texts[0]!r}); "
            f"choose with --image-column {images[0]} or --text-column {texts[0]}, or both for pairs"
        )
    if images and (modality == "image" or not texts):
        return "image", (only(images, "the image", "--image-column"),)
    if not texts and not (texts := _looks_like_text(columns, taken)):
        return "image", (_stray_image(columns, taken),)
    return ("text", texts) if len(texts) == 1 else ("text-pair", texts)


def _image_and_text(columns: Columns, options: SourceOptions, taken: Collection[str]) -> tuple[str, str]:
    """The two columns of pairs of image and text."""
    image, text = options.image_column, options.text_column
    if image is None:
        images = _named_images(columns, taken)
        if not images:
            raise ConfigError(f"no column of images among {columns}; name it with --image-column")
        image = only(images, "the image", "--image-column")
    if text is None:
        taken = {*taken, image}
        found = first_of(columns.named(TEXT_NAMES, taken), TEXT_NAMES) or _looks_like_text(columns, taken)
        if not found:
            raise ConfigError(f"no column of texts among {columns}; name it with --text-column")
        text = only(found, "the text", "--text-column")
    return image, text


def _named_images(columns: Columns, taken: Collection[str]) -> list[str]:
    return first_of(list(filter(columns.holds_images, columns.named(IMAGE_NAMES, taken))), IMAGE_NAMES)


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
    found = usual or first_of(columns.named(TEXT_NAMES, taken), TEXT_NAMES)
    if not found:
        raise ConfigError(f"--text-pair-column {second} needs --text-column for the first text of each pair")
    return only(found, "the first text", "--text-column")


def _named_texts(columns: Columns, taken: Collection[str], needed: bool) -> tuple[str, ...]:
    """The text column, or both columns of a known pair; ambiguity is an error where one is needed."""
    for pair in PAIR_NAMES:
        first, second = (columns.named([name], taken) for name in pair)
        if first and second:
            return first[0], second[0]
    found = first_of(columns.named(TEXT_NAMES, taken), TEXT_NAMES)
    if len(found) > 1 and needed:
        only(found, "the text", "--text-column")
    return tuple(found[:1])


def _looks_like_text(columns: Columns, taken: Collection[str]) -> tuple[str, ...]:
    """The only column of words, if there is one."""
    found = [name for name in columns.names if name not in taken and columns.holds_texts(name)]
    return (only(found, "the text", "--text-column"),) if found else ()


def _stray_image(columns: Columns, taken: Collection[str]) -> str:
    """The only column of bytes, whatever its name."""
    found = [name for name in columns.images if name not in taken]
    if found:
        return only(found, "the image", "--image-column")
    for name in columns.named((*IMAGE_NAMES, *TEXT_NAMES), taken):
        if columns.kind(name) != "strings":
            raise unfit(name, columns.kind(name))
    raise ConfigError(
        f"no column looks like texts or image paths among {columns}; "
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
    raise ConfigError(f"{candidates} could each be {role}; choose with {option} {found[0]}")


def unfit(name: str, kind: str) -> DataError:
    """A column that cannot be what it is taken for."""
    return DataError(
        f"column {name!r} holds {kind}, which cannot be used there; write one plain value a cell "
        "(a list only for labels, bytes only for images), or choose another column"
    )
