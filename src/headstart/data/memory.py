"""Samples that a program holds in memory: texts, images as bytes or by path, and pairs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import strings
from headstart.data.base import BaseSource
from headstart.data.blocks import BLOCK_ROWS, Problem, Rows, Yielded, printable, repeated
from headstart.data.image_files import EMPTY_FILE, key_files, key_of_image, read_image, stat_files
from headstart.data.texts import key_pairs, key_texts, text_problems
from headstart.errors import ConfigError, DataError
from headstart.keys import KEY_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.types import Modality, Payload, SampleBlock

    Keyed = tuple[NDArray[np.uint8], dict[int, Problem]]

_SHOWN = {
    "image": "images",
    "text": "texts",
    "text-pair": "pairs of texts",
    "image-text": "pairs of image and text",
}


class MemorySource(BaseSource):
    """Samples in memory; the id of an image file is its path, that of any other its number from 0.

    Parameters
    ----------
    samples : sequence of str, PathLike, bytes or tuples of two
        All of one modality: texts, pairs of texts, images (bytes and paths), or pairs of image and text.
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What strings are: texts, or the paths of images; the first string of a pair is a path with
        "image-text". Not needed without strings.
    """

    def __init__(self, samples: Sequence[Any], modality: Modality | None = None) -> None:
        if len(samples) == 0:
            raise DataError("no samples were given")
        self._samples = samples
        self._modality = _modality_of(samples[0], modality)
        for number, sample in enumerate(samples):
            if _modality_of(sample, self._modality) != self._modality:
                raise ConfigError(
                    f"sample {number} is a {type(sample).__name__} among {_SHOWN[self._modality]}; "
                    "give samples of one kind"
                )
        self._yielded: Yielded[Sequence[int] | NDArray[np.int64]] = Yielded()

    @property
    def modality(self) -> Modality:
        """What the samples are."""
        return self._modality

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """No labels."""
        return {}

    @property
    def description(self) -> str:
        """How many of what."""
        n = len(self._samples)
        return "1 sample" if n == 1 else f"{n:,} {_SHOWN[self._modality]}"

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples in blocks, in their order."""
        self._yielded = Yielded()
        scanned_ns = time.time_ns()
        for start in range(0, len(self._samples), BLOCK_ROWS):
            samples = self._samples[start : start + BLOCK_ROWS]
            keys, problems = self._keys(samples, memo, scanned_ns)
            ids = strings([self._id(sample, number) for number, sample in enumerate(samples, start)])
            rows = Rows(ids, ids, repeated(None, len(samples)), keys, {}, problems)
            places = rows.places(start)
            self._yielded.append(places, len(places))
            yield rows.block()

    def payload(self, row: int) -> Payload:
        """The ``row``-th sample that `scan` yielded; an image file is read."""
        numbers, place = self._yielded.find(row)
        sample = self._samples[int(numbers[place])]
        match self._modality:
            case "text":
                return str(sample)
            case "text-pair":
                return str(sample[0]), str(sample[1])
            case "image":
                return _content(sample)
            case "image-text":
                return _content(sample[0]), str(sample[1])

    def _id(self, sample: Any, number: int) -> str:
        if self._modality != "image" or isinstance(sample, bytes):
            return str(number)
        return printable(os.fsdecode(sample))

    def _keys(self, samples: Sequence[Any], memo: KeyMemo, scanned_ns: int) -> Keyed:
        match self._modality:
            case "text":
                return key_texts(samples)
            case "text-pair":
                return key_pairs(samples)
            case "image":
                return _key_images(samples, memo, scanned_ns)
            case "image-text":
                images, texts = [sample[0] for sample in samples], [sample[1] for sample in samples]
                troubles = text_problems(texts)
                sound = ["" if row in troubles else text for row, text in enumerate(texts)]
                found, problems = _key_images(images, memo, scanned_ns, sound)
                return found, problems | troubles


def _content(image: Any) -> bytes:
    if isinstance(image, bytes):
        return image
    path = os.fsdecode(image)
    return read_image(path, printable(path))


def _key_images(
    samples: Sequence[Any], memo: KeyMemo, scanned_ns: int, texts: Sequence[str] | None = None
) -> Keyed:
    """Keys of images, alone or with texts: of those in files by way of the memo."""
    keys = np.zeros((len(samples), KEY_BYTES), dtype=np.uint8)
    problems: dict[int, Problem] = {}
    in_files = []
    for row, sample in enumerate(samples):
        if not isinstance(sample, bytes):
            in_files.append(row)
        elif sample:
            key = key_of_image(sample, None if texts is None else texts[row])
            keys[row] = np.frombuffer(key, dtype=np.uint8)
        else:
            problems[row] = EMPTY_FILE
    paths = [os.fsdecode(samples[row]) for row in in_files]
    stats, troubles = stat_files(paths)
    chosen = None if texts is None else [texts[row] for row in in_files]
    keys[in_files] = key_files(paths, stats, troubles, memo, scanned_ns, chosen)
    problems |= {in_files[number]: problem for number, problem in troubles.items()}
    return keys, problems


def _modality_of(sample: Any, wanted: Modality | None) -> Modality:
    """What one sample is, given what strings are."""
    if isinstance(sample, bytes | os.PathLike):
        return "image"
    if isinstance(sample, str):
        if wanted is None:
            raise ConfigError("strings may be texts or the paths of images; say modality='text' or 'image'")
        # A backbone for pairs is one for texts: what counts is what the samples are.
        return "image" if wanted == "image" else "text"
    if isinstance(sample, tuple | list) and len(sample) == 2 and isinstance(sample[1], str):
        if isinstance(sample[0], bytes | os.PathLike):
            return "image-text"
        if isinstance(sample[0], str):
            return "image-text" if wanted == "image-text" else "text-pair"
    raise ConfigError(
        f"a sample is a {type(sample).__name__}; give a text, bytes, a path, a pair of texts, "
        "or a pair of image (bytes or path) and text"
    )
