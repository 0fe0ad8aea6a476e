"""Changes to one sample, each a `headstart.contracts.Change`: built in, or by a function of the user's own.

They draw from seeds that a view and a sample's key decide, and nothing else: so a view of a sample is the same in any
process, order, thread and batch. A function of the user's own, ``py:package.module:function``, takes a sample (an RGB
`PIL.Image.Image`, or a text) and a `numpy.random.Generator`, draws from that generator alone, and returns a sample. Its
attribute ``version`` is a string that the author raises when it changes in a way that its source file does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.errors import ConfigError, SampleError
from headstart.own_code import load_own, reason_of
from headstart.trust import check

if TYPE_CHECKING:
    from PIL import Image


SEED_BYTES = 16


def derive(*parts: bytes) -> bytes:
    """A seed of 16 bytes that any of the parts changes; each but the last has one length, or holds no NUL."""
    return blake2b(b"\0".join(parts), digest_size=SEED_BYTES).digest()


def generator_of(seed: bytes) -> np.random.Generator:
    """A generator of its own: reader threads share the process, and so the global one."""
    # Philox takes 128 bits as they are. The augmentations here take uniform floats from it alone, and make
    # everything else of them: numpy keeps that stream from version to version, and no other.
    return np.random.Generator(np.random.Philox(key=int.from_bytes(seed, "little")))


def between(generator: np.random.Generator, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * generator.random()


def below(generator: np.random.Generator, n: int) -> int:
    """A whole number in [0, n)."""
    return int(generator.random() * n)


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

    # Of the tokens that are not special: as many, rounded, are hidden; at least one, and never all.
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


@dataclass(frozen=True, slots=True)
class OwnImage(Unchanged):
    """What the user's function makes of a picture."""

    spec: str  # not the function itself: another process finds it by its name, however it was made

    def image(self, image: Image.Image) -> Image.Image:
        """The changed picture, as RGB."""
        from PIL import Image

        # A copy: other views of this sample start from the same picture, and the function may draw on it.
        changed = _call(self.spec, image.copy(), self.seed)
        if not isinstance(changed, Image.Image):
            raise SampleError(f"{self.spec} gave a {type(changed).__name__}; expected a PIL image")
        if 0 in changed.size:
            raise SampleError(f"{self.spec} gave a picture of {changed.width}×{changed.height} pixels")
        return changed if changed.mode == "RGB" else changed.convert("RGB")


@dataclass(frozen=True, slots=True)
class OwnText(Unchanged):
    """What the user's function makes of a text; of a pair, of each of its texts."""

    spec: str

    def text(self, text: str) -> str:
        """The changed text."""
        # The text is part of the seed, so that the two of a pair are not changed by the same numbers.
        seed = derive(self.seed, text.encode("utf-8", "surrogatepass"))
        changed = _call(self.spec, text, seed)
        if not isinstance(changed, str):
            raise SampleError(f"{self.spec} gave a {type(changed).__name__}; expected a text")
        if text and not changed:
            raise SampleError(f"{self.spec} gave an empty text")
        return changed


def own_function(spec: str) -> Callable[..., Any]:
    """The function that ``py:package.module:function`` means."""
    check(spec)  # whoever asked before may have been trusted
    return _loaded(spec)


@lru_cache(maxsize=16)
def _loaded(spec: str) -> Callable[..., Any]:
    function = load_own(spec, "function")
    if not callable(function):
        raise ConfigError(f"{spec} is a {type(function).__name__}, and no function")
    if getattr(function, "version", None) in (None, ""):
        name = spec.rpartition(":")[2]
        raise ConfigError(
            f'{spec} does not say its version; write {name}.version = "1" below it, and raise that when it '
            "changes in a way that its file does not show"
        )
    return function  # type: ignore[no-any-return]  # what was imported is anything


def _call(spec: str, sample: Any, seed: bytes) -> Any:
    function = own_function(spec)  # what cannot be imported is no fault of the sample
    try:
        return function(sample, generator_of(seed))
    except MemoryError:
        raise
    except Exception as error:  # the user's code raises what it likes
        raise SampleError(f"{spec} could not change it: {reason_of(error)}") from error
