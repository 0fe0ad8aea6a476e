"""Samples that a program holds in memory: texts, images as bytes or by path, and pairs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headstart.arrow import strings
from headstart.contracts import Source
from headstart.data.contents import EMPTY_FILE, Images, ScanMemo, key_paths, key_rows, payload_of
from headstart.data.source import BLOCK_ROWS, Rows, Yielded, printable, repeated
from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.contents import Cell, Keyed
    from headstart.types import Modality, Payload, SampleBlock

_SHOWN = {
    "image": "images",
    "text": "texts",
    "text-pair": "pairs of texts",
    "image-text": "pairs of image and text",
}


class MemorySource(Source):
    """Samples in memory; the id of an image file is its path, that of any other its number from 0.

    All are of one modality: texts, pairs of texts, images (bytes and paths), or pairs of image and text. Strings are
    texts unless the modality says that they are paths of images; the first string of a pair is a path with
    "image-text".
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
        self._yielded: Yielded[Sequence[int] | NDArray[Any]] = Yielded()

    @property
    def modality(self) -> Modality:
        """What the samples are."""
        return self._modality

    @property
    def description(self) -> str:
        """How many of what."""
        n = len(self._samples)
        return "1 sample" if n == 1 else f"{n:,} {_SHOWN[self._modality]}"

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples in blocks, in their order."""
        self._yielded = Yielded()
        seen = ScanMemo(memo)
        for start in range(0, len(self._samples), BLOCK_ROWS):
            samples = self._samples[start : start + BLOCK_ROWS]
            images, texts = self._split(samples)
            keys, problems = key_rows(range(len(samples)), texts, images, seen)
            ids = strings([self._id(sample, number) for number, sample in enumerate(samples, start)])
            rows = Rows(ids, ids, repeated(None, len(samples)), keys, {}, problems)
            places = rows.places(start)
            self._yielded.append(places, len(places))
            yield rows.block()

    def payload(self, row: int) -> Payload:
        """The ``row``-th sample that `scan` yielded; an image file is read."""
        numbers, place = self._yielded.find(row)
        images, texts = self._split([self._samples[int(numbers[place])]])
        image = None if images is None else images.read(0)
        payload: Payload = payload_of([str(column[0]) for column in texts], image)
        return payload

    def _split(self, samples: Sequence[Any]) -> tuple[_MemoryImages | None, list[Any]]:
        """The images of samples, if they have any, and the columns of their texts."""
        parts: list[Any] = (
            [samples] if self._modality in ("image", "text") else list(zip(*samples, strict=True))
        )
        images = _MemoryImages(parts.pop(0)) if self._modality in ("image", "image-text") else None
        return images, parts

    def _id(self, sample: Any, number: int) -> str:
        if self._modality != "image" or isinstance(sample, bytes):
            return str(number)
        return printable(os.fsdecode(sample))


class _MemoryImages(Images):
    """Images as bytes or by path."""

    empty = EMPTY_FILE

    def __init__(self, samples: Sequence[Any]) -> None:
        self._samples = samples

    def cells(self, rows: Sequence[int]) -> Iterator[Cell]:
        for sample in (self._samples[row] for row in rows):
            yield (sample, None) if isinstance(sample, bytes) else (None, os.fsdecode(sample))

    def _key_files(self, paths: list[str], memo: ScanMemo, texts: Sequence[str] | None) -> Keyed:
        return key_paths(paths, memo, texts)  # the sample is called by its path


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
