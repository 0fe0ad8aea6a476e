"""What the members of WebDataset samples are for: by option, else by how their names end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from headstart.data.column_names import LABEL_NAMES, plain
from headstart.data.contents import IMAGE_SUFFIXES, is_image
from headstart.data.labels import FLAGS, takes_flags
from headstart.data.table_roles import at_most_one, first_of
from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headstart.data.options import SourceOptions
    from headstart.data.tar_index import TarIndex
    from headstart.types import Modality

TEXTS = ("txt", "text")
CLASS = "cls"
IMAGE_ENDINGS = tuple(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
OBJECT = "json"
SHOWN = 8
ONLY_TABLES = (
    *("text_pair_column", "question_column", "context_column", "answers_column", "id_column", "split_column"),
)


@dataclass(frozen=True, slots=True)
class TarRoles:
    """Members by what they are for.

    ``content`` has for each part of a sample the endings that it may have, in lower case; a label is ``cls``, another
    ending, or what a ``json`` member says under this name. With ``are_flags`` each label says yes or no.
    """

    modality: Modality
    content: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...] = ()
    are_flags: bool = False
    was_asked: bool = False
    """Whether the user named the endings of the content, and no others will do."""

    def others(self, part: str) -> tuple[str, ...]:
        """Endings that a part may have as well, where a sample has none of its own: the first tar lacks them."""
        if self.was_asked:
            return ()
        return TEXTS if part == "text" else IMAGE_ENDINGS

    def label_columns(self) -> tuple[str, ...]:
        """What the labels are called in the set."""
        return (FLAGS,) if self.are_flags else self.labels

    def parts(self) -> tuple[str, ...]:
        """What each part of a sample is called."""
        return {"image": ("image",), "text": ("text",), "image-text": ("image", "text")}[self.modality]

    def names(self) -> list[str]:
        """The endings of each part, for the user."""
        return [_shown(kinds) for kinds in self.content]


def assign_tar_roles(
    place: str,
    index: TarIndex,
    said: Collection[str],
    options: SourceOptions,
    modality: Modality | None,
) -> TarRoles:
    """Say which member is what, by what is in a tar and the names under which its ``json`` members say something.

    Raises
    ------
    ConfigError
        An option names nothing that is there, or members could be for several things.
    DataError
        There are neither images nor texts.
    """
    options = options.forgetting(ONLY_TABLES).forgetting(options.misfits({*index.kinds(), *said}))
    for option in ONLY_TABLES:
        if getattr(options, option) is not None:
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} is for tables, but {place} is a WebDataset tar; leave it out")
    kinds = index.kinds()
    labels = _labels(place, kinds, said, options)
    found, content = _content(place, index, options, modality)
    are_flags = takes_flags(options.label_kind, labels)
    was_asked = bool(options.image_column or options.text_column)
    if options.label_names and len(labels) != 1:
        raise ConfigError(
            f"the label names are for one label, and there are {len(labels)}; choose one with --label-column"
        )
    return TarRoles(found, content, labels, are_flags, was_asked)


def _content(
    place: str, index: TarIndex, options: SourceOptions, modality: Modality | None
) -> tuple[Modality, tuple[tuple[str, ...], ...]]:
    kinds = index.kinds()
    asked_image = _asked(place, "--image-column", options.image_column, kinds)
    asked_text = _asked(place, "--text-column", options.text_column, kinds)
    if asked_image and asked_text:
        return "image-text", (asked_image, asked_text)
    if asked_image or asked_text:
        return ("image", (asked_image,)) if asked_image else ("text", (asked_text,))
    images = tuple(kind for kind in kinds if is_image(f"x.{kind}"))
    texts = tuple(kind for kind in kinds if kind in TEXTS)
    if not images and not texts:
        raise DataError(
            f"{place} holds neither images nor texts, only members that end with "
            f"{_shown(kinds)}; "
            "name one with --image-column or --text-column"
        )
    if images and texts and modality is None and CLASS not in kinds:
        raise ConfigError(
            f"the samples of {place} have images ({_shown(images)}) and texts ({_shown(texts)}); choose with "
            f"--image-column {images[0]} or --text-column {texts[0]}, or pass both for pairs of image and text"
        )
    if modality == "image-text" and images and texts:
        chosen = (_one(place, "--image-column", index, images), _one(place, "--text-column", index, texts))
        return "image-text", chosen
    if images and (modality != "text" or not texts):
        return "image", (_one(place, "--image-column", index, images),)
    return "text", (_one(place, "--text-column", index, texts),)


def _asked(place: str, option: str, name: str | None, kinds: Sequence[str]) -> tuple[str, ...]:
    if name is None:
        return ()
    kind = name.lower().removeprefix(".")
    if kind in kinds:
        return (kind,)
    near = get_close_matches(kind, kinds, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{option} {name}: no member of {place} ends so, only with {_shown(kinds)}{meant}")


def _one(place: str, option: str, index: TarIndex, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """All of these endings, if no sample has two of them."""
    counts = index.find(kinds)[1]
    several = [sample for sample in (counts > 1).nonzero()[0].tolist() if sample not in index.refused]
    if several:
        raise ConfigError(
            f"the samples of {place} have several members that could be meant ({_shown(kinds)}, as in "
            f"{index.keys[several[0]].as_py()!r}); choose with {option} {kinds[0]}"
        )
    return kinds


def _labels(
    place: str, kinds: Collection[str], said: Collection[str], options: SourceOptions
) -> tuple[str, ...]:
    if not options.labels:
        return ()
    if options.label_columns is not None:
        there = [*kinds, *said]
        for name in options.label_columns:
            if name not in there:
                raise ConfigError(
                    f"--label-column {name}: {place} has no such member or JSON name, only {', '.join(there)}"
                )
        return options.label_columns
    if CLASS in kinds:
        return (CLASS,)
    found = first_of([name for name in said if plain(name) in LABEL_NAMES], LABEL_NAMES)
    return at_most_one(found, "the label", "--label-column")


def _shown(kinds: Sequence[str]) -> str:
    more = ", …" if len(kinds) > SHOWN else ""
    return ", ".join(f".{kind}" for kind in kinds[:SHOWN]) + more
