"""Views of a sample: numbered, seeded changes that are part of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import rfc8785

from headstart.augmentation import pictures
from headstart.augmentation.changes import (
    ChangedImage,
    HiddenTokens,
    OwnImage,
    OwnText,
    Step,
    derive,
    own_function,
)
from headstart.cache.recipe import view_name
from headstart.errors import ConfigError
from headstart.own_code import PREFIX, source_digest

if TYPE_CHECKING:
    from headstart.contracts import Change
    from headstart.types import Json, Modality

AUGMENTATIONS = ("default", "randaugment")
MOST = 1000
SHARE = 0.15
VERSION = 1
"""Raised when our own code changes what an augmentation makes of a sample."""

_CROP = {"scale": list(pictures.SCALE), "ratio": list(pictures.RATIO), "largest": pictures.LARGEST}


@dataclass(frozen=True)
class View:
    """One view: an augmentation, and a number that makes it another one than the others.

    Workers in other processes are sent it.
    """

    augmentation: str  # as the user wrote it
    number: int  # from 1
    seed: int
    # What else of the augmentation decides the pixels or tokens.
    description: Mapping[str, Json] = field(hash=False)
    # From a seed of 16 bytes to the change of one sample.
    make: Callable[[bytes], Change] = field(compare=False)

    @property
    def name(self) -> str:
        """What it is called in a set: ``default:3``, with the seed where that is not 0 ``default:3@7``."""
        return str(view_name(self.entry))

    @cached_property
    def entry(self) -> Mapping[str, Json]:
        """What the recipe says of it."""
        named = {"augmentation": self.augmentation, "number": self.number, "seed": self.seed}
        return {**named, **self.description}

    @property
    def hides_tokens(self) -> bool:
        """Whether it changes nothing until a text is tokens."""
        return self.description.get("of") == "tokens"

    def change(self, key: bytes) -> Change:
        """What it does to the sample of a key; the same whenever and wherever it is asked."""
        return self.make(derive(self._canonical, key))

    @cached_property
    def _canonical(self) -> bytes:
        return rfc8785.dumps(dict(self.entry))


def open_views(n: int, augment: str, seed: int, modality: Modality) -> tuple[View, ...]:
    """The views 1 to n; those of a smaller n are the first of them.

    Of an image with a text, the image is changed; of a pair of texts, both.

    ``augment``: ``default``, ``randaugment`` (images alone) or ``py:package.module:function``. Raises
    `ConfigError` if there is no such augmentation, it cannot be imported or is not for such samples, or n is
    out of range.
    """
    if not 0 <= n <= MOST:
        raise ConfigError(f"--views {n} is out of range: it takes 0 to {MOST:,}")
    if not n:
        return ()
    description, make = _open(augment, modality)
    return tuple(View(augment, number, seed, description, make) for number in range(1, n + 1))


def reopen_view(entry: Mapping[str, Json], modality: Modality) -> View:
    """The view that an entry of a recipe means, as the code of today makes it.

    Its own entry differs from the given one where the augmentation has changed.
    """
    try:
        augment, number, seed = str(entry["augmentation"]), int(entry["number"]), int(entry["seed"])
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"the view {dict(entry)} is of no kind that this version knows") from None
    description, make = _open(augment, modality)
    return View(augment, number, seed, description, make)


def _open(augment: str, modality: Modality) -> tuple[Mapping[str, Json], Callable[[bytes], Change]]:
    """What the recipe says of an augmentation, and what makes its changes."""
    has_images = "image" in modality
    if augment.startswith(PREFIX):
        return _own(augment, has_images)
    match augment:
        case "default" if has_images:
            return _images({"jitter": pictures.JITTER}, pictures.colour_jitter)
        case "default":
            return {"of": "tokens", "version": VERSION, "share": SHARE}, partial(HiddenTokens, share=SHARE)
        case "randaugment" if has_images:
            strength = {"operations": pictures.N_OPERATIONS, "magnitude": pictures.MAGNITUDE}
            return _images(strength, pictures.randaugment)
        case "randaugment":
            raise ConfigError(
                "--augment randaugment changes images, and the data holds texts; "
                f"choose default or {PREFIX}package.module:function"
            )
    near = get_close_matches(augment, AUGMENTATIONS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"there is no augmentation {augment!r}; {hint}there are {', '.join(AUGMENTATIONS)} and "
        f"{PREFIX}package.module:function"
    )


def _own(spec: str, has_images: bool) -> tuple[Mapping[str, Json], Callable[[bytes], Change]]:
    """The user's function, by its declared version and the hash of its source."""
    function: Any = own_function(spec)
    code = {"version": str(function.version), "source": source_digest(function)}
    of = "image" if has_images else "text"
    return {"of": of, **code}, partial(OwnImage if has_images else OwnText, spec=spec)


def _images(own: Mapping[str, Json], last: Step) -> tuple[Mapping[str, Json], Callable[[bytes], Change]]:
    """Crop and flip, then a step of its own."""
    description = {"of": "image", "version": VERSION, **_CROP, "flip": pictures.FLIP, **own}
    steps = (pictures.resized_crop, pictures.random_flip, last)
    return description, partial(ChangedImage, steps=steps)
