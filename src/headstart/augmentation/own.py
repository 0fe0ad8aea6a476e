"""The user's own augmentations: ``py:package.module:function``.

The function takes a sample (an RGB `PIL.Image.Image`, or a text) and a `numpy.random.Generator`, draws from
that generator alone, and returns a sample. Its attribute ``version`` is a string that the author raises when
it changes in a way that its source file does not show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headstart.augmentation.changes import Unchanged
from headstart.augmentation.randomness import derive, generator_of
from headstart.errors import ConfigError, SampleError
from headstart.own_code import load_own, reason_of

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class OwnImage(Unchanged):
    """What the user's function makes of a picture."""

    spec: str  # not the function itself: another process finds it by its name, however it was made

    def image(self, image: Image.Image) -> Image.Image:
        """The changed picture, as RGB.

        Raises `SampleError` if the function failed, or gave no picture.
        """
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
        """The changed text.

        Raises `SampleError` if the function failed, or gave no text.
        """
        # The text is part of the seed, so that the two of a pair are not changed by the same numbers.
        seed = derive(self.seed, text.encode("utf-8", "surrogatepass"))
        changed = _call(self.spec, text, seed)
        if not isinstance(changed, str):
            raise SampleError(f"{self.spec} gave a {type(changed).__name__}; expected a text")
        if text and not changed:
            raise SampleError(f"{self.spec} gave an empty text")
        return changed


@lru_cache(maxsize=16)
def own_function(spec: str) -> Callable[..., Any]:
    """The function that ``py:package.module:function`` means.

    Raises `ConfigError` if it cannot be imported, cannot be called, or does not say its version.
    """
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
