"""Sentences that names of classes are put into, so that a model meets them as it met texts in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import ConfigError, DataError
from headstart.options import did_you_mean
from headstart.places import expanded

OPTION = "--templates"
PLACE, DESCRIPTION = "{}", "{description}"
"""Where the name stands in a template, and where the description may."""
SIMPLE = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The seven of OpenAI's notebook "Prompt Engineering for ImageNet", which do about as well there as all."""
IMAGENET = """
a bad photo of a {}.
a photo of many {}.
a sculpture of a {}.
a photo of the hard to see {}.
a low resolution photo of the {}.
a rendering of a {}.
graffiti of a {}.
a bad photo of the {}.
a cropped photo of the {}.
a tattoo of a {}.
the embroidered {}.
a photo of a hard to see {}.
a bright photo of a {}.
a photo of a clean {}.
a photo of a dirty {}.
a dark photo of the {}.
a drawing of a {}.
a photo of my {}.
the plastic {}.
a photo of the cool {}.
a close-up photo of a {}.
a black and white photo of the {}.
a painting of the {}.
a painting of a {}.
a pixelated photo of the {}.
a sculpture of the {}.
a bright photo of the {}.
a cropped photo of a {}.
a plastic {}.
a photo of the dirty {}.
a jpeg corrupted photo of a {}.
a blurry photo of the {}.
a photo of the {}.
a good photo of the {}.
a rendering of the {}.
a {} in a video game.
a photo of one {}.
a doodle of a {}.
a close-up photo of the {}.
a photo of a {}.
the origami {}.
the {} in a video game.
a sketch of a {}.
a doodle of the {}.
a origami {}.
a low resolution photo of a {}.
the toy {}.
a rendition of the {}.
a photo of the clean {}.
a photo of a large {}.
a rendition of a {}.
a photo of a nice {}.
a photo of a weird {}.
a blurry photo of a {}.
a cartoon {}.
art of a {}.
a sketch of the {}.
a embroidered {}.
a pixelated photo of a {}.
itap of the {}.
a jpeg corrupted photo of the {}.
a good photo of a {}.
a plushie {}.
a photo of the nice {}.
a photo of the small {}.
a photo of the weird {}.
the cartoon {}.
art of the {}.
a drawing of the {}.
a photo of the large {}.
a black and white photo of a {}.
the plushie {}.
a dark photo of a {}.
itap of a {}.
graffiti of the {}.
a toy {}.
itap of my {}.
a photo of a cool {}.
a photo of a small {}.
a tattoo of the {}.
""".strip().splitlines()
"""All eighty of the same notebook (github.com/openai/CLIP, MIT licence)."""
TEMPLATES: Mapping[str, Sequence[str]] = {
    "name": (PLACE,),
    "text": ("This text is about {}.",),
    "photo": ("a photo of a {}.",),
    "simple": SIMPLE,
    "imagenet": IMAGENET,
}
"""By name, as the user may give them."""
DEFAULTS = {"image": "simple", "text": "text"}
"""By what the samples are."""


@dataclass(frozen=True, slots=True)
class Templates:
    """Sentences, and what they are called together."""

    name: str
    sentences: tuple[str, ...]

    @property
    def take_descriptions(self) -> bool:
        """Whether any of them says where a description stands."""
        return any(DESCRIPTION in sentence for sentence in self.sentences)


def read_templates(given: Sequence[str], modality: str) -> Templates:
    """The templates that are meant, all of which are averaged.

    Parameters
    ----------
    given : sequence of str
        Names of `TEMPLATES`, sentences with ``{}`` in them, and files of such sentences, one a line. None: what is
        usual for the samples.
    modality : str
        What these are.

    Raises
    ------
    ConfigError
        One is neither, or a sentence has no place for the name.

    Examples
    --------
    >>> read_templates(["a sketch of a {}"], "image").sentences
    ('a sketch of a {}',)
    """
    chosen = list(given) or [DEFAULTS.get(modality, "name")]
    sentences = [sentence for one in chosen for sentence in _meant(one)]
    return Templates(", ".join(chosen), tuple(dict.fromkeys(sentences)))


def _meant(text: str) -> Sequence[str]:
    if text in TEMPLATES:
        return TEMPLATES[text]
    if PLACE in text or DESCRIPTION in text:
        return [text]
    path = Path(expanded(text))
    if not path.is_file():
        raise ConfigError(
            f"{OPTION} {text!r} is neither a set of templates, nor a sentence with {PLACE} in it, nor a file of such "
            f"sentences{did_you_mean(text, TEMPLATES, 'the sets are')}"
        )
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); it is to be a text file in UTF-8") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and PLACE not in line and DESCRIPTION not in line:
            raise ConfigError(
                f"{path}, line {number:,}: {line.strip()!r} has no {PLACE} where the name is to stand"
            )
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise ConfigError(f"{path} has no templates; write sentences with {PLACE} in them, one a line")
    return found
