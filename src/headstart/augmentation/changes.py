"""Changes to one sample: each fulfils `headstart.contracts.Change`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from headstart.augmentation.randomness import generator_of

if TYPE_CHECKING:
    from PIL import Image

Step: TypeAlias = "Callable[[Image.Image, np.random.Generator], Image.Image]"
"""From an RGB picture, which it leaves alone, to another one."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A change of nothing, from which the others differ in what they change.

    Each method draws from a generator of its own: a text that is prepared a second time, because another
    one in its batch could not be tokenised, must come out as before.
    """

    seed: bytes  # of the view and the sample

    def image(self, image: Image.Image) -> Image.Image:
        """The picture as it is."""
        return image

    def text(self, text: str) -> str:
        """The text as it is."""
        return text

    def tokens(self, ids: Sequence[int], special: Collection[int], mask: int | None) -> list[int]:
        """The token ids as they are."""
        return list(ids)


@dataclass(frozen=True, slots=True)
class ChangedImage(Unchanged):
    """A picture after some steps, one after the other."""

    steps: tuple[Step, ...]

    def image(self, image: Image.Image) -> Image.Image:
        """The picture after all steps."""
        generator = generator_of(self.seed)
        for step in self.steps:
            image = step(image, generator)
        return image


@dataclass(frozen=True, slots=True)
class HiddenTokens(Unchanged):
    """A text with some of its tokens hidden, as BERT was trained with (Devlin et al. 2019)."""

    # of the tokens that are not special: as many, rounded, are hidden; at least one, and never all
    share: float

    def tokens(self, ids: Sequence[int], special: Collection[int], mask: int | None) -> list[int]:
        """The ids with the mask in some places.

        A model without a mask token sees another token of the same text there, drawn from those that are
        not hidden: nothing that the text does not hold, and no token that the model was not trained with.
        """
        changed = list(ids)
        free = [place for place, token in enumerate(ids) if token not in special]
        n_hidden = min(max(round(self.share * len(free)), 1), len(free) - 1)
        if n_hidden < 1:
            return changed
        draws = generator_of(self.seed).random(2 * len(free))
        order = np.argsort(draws[: len(free)], kind="stable").tolist()
        shown = [ids[free[rank]] for rank in order[n_hidden:]]
        for rank in order[:n_hidden]:
            other = shown[int(draws[len(free) + rank] * len(shown))]
            changed[free[rank]] = other if mask is None else mask
        return changed
