"""Samples that a program holds in memory: texts, images in any form, and pairs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headstart.arrow import codes_by_name, strings
from headstart.cache.layout import GROUP, LABEL
from headstart.contracts import Source
from headstart.data.contents import EMPTY_FILE, Images, ScanMemo, key_paths, key_rows, payload_of
from headstart.data.given import Given, GivenColumns
from headstart.data.named_files import located
from headstart.data.options import ROLES, SourceOptions
from headstart.data.pixels import encode_array, encode_picture, is_array, is_picture
from headstart.data.sentences import Words, key_words, split_words, uneven_labels
from headstart.data.source import BLOCK_ROWS, Problem, Rows, Yielded, printable, repeated
from headstart.data.splits import LEFT_OUT
from headstart.errors import ConfigError, DataError, first_line
from headstart.remote.addresses import is_remote, plain_address
from headstart.tasks import TAGS
from headstart.types import Grouping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headstart.contracts import KeyMemo
    from headstart.data.contents import Cell, Keyed
    from headstart.types import LabelKind, Modality, Payload, SampleBlock

_SHOWN = {
    "image": "images",
    "text": "texts",
    "text-pair": "pairs of texts",
    "image-text": "pairs of image and text",
    "words": "sentences",
}
BY_PIXELS = ", known by their pixels (as files the same images are known by their bytes, and are others)"
NO_SAMPLE = Problem("it is missing: None or NaN")


class MemorySource(Source):
    """Samples in memory; the id of an image file is its path, that of any other its number from 0.

    All are of one modality: texts, pairs of texts, images (bytes, files, paths, those of Pillow, arrays), pairs of
    image and text, or lists of words. Strings are texts unless the modality says that they are paths of images, or
    texts to be divided into words; the first string of a pair is a path with "image-text". Two words are a pair unless
    the modality, or the kind of the labels, says that they are words. ``given`` is what is said beside them.
    """

    def __init__(
        self,
        samples: Sequence[Any],
        modality: Modality | None = None,
        given: Given | None = None,
        options: SourceOptions | None = None,
        about: str = "",
    ) -> None:
        if len(samples) == 0:
            raise DataError("no samples were given")
        self._samples, self._layout = samples, given.layout if given else None
        options = options or SourceOptions()
        first = next((sample for sample in samples if sample is not None), None)
        self._modality = _modality_of(first, "words" if options.label_kind == TAGS else modality)
        self._about = BY_PIXELS if is_picture(first) or is_array(first) else about
        columns = given.columns(len(samples)) if given else {}
        # What other data was read with named columns, and here are none.
        options = options.forgetting(ROLES)
        if self._modality == "words" and options.label_kind == "auto":
            options = replace(options, label_kind=TAGS)
        self._given = GivenColumns(columns, given.options(options)) if given and columns else None
        self._yielded: Yielded[Sequence[int] | NDArray[Any]] = Yielded()

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads samples, and does not scan.
        return {**self.__dict__, "_given": None}

    @property
    def modality(self) -> Modality:
        """What the samples are."""
        return self._modality

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """As of a table."""
        return self._given.label_names if self._given else {}

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """As of a table."""
        return self._given.label_kinds if self._given else {}

    @property
    def grouping(self) -> Grouping | None:
        """What is given; without it, pairs share their image."""
        if self._given and self._given.grouping:
            return Grouping("groups=", is_asked=True)
        return Grouping("image", is_asked=False) if self._modality == "image-text" else None

    @property
    def description(self) -> str:
        """How many of what, and what was given beside them."""
        n = len(self._samples)
        said = "1 sample" if n == 1 else f"{n:,} {_SHOWN[self._modality]}"
        return "; ".join(filter(None, [said + self._about, self._given.said if self._given else ""]))

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples in blocks, in their order."""
        self._yielded = Yielded()
        seen = ScanMemo(memo)
        for start in range(0, len(self._samples), BLOCK_ROWS):
            rows = self._block(start, self._samples[start : start + BLOCK_ROWS], seen)
            places = rows.places(start)
            self._yielded.append(places, len(places))
            yield rows.block()

    def _block(self, start: int, samples: Sequence[Any], memo: ScanMemo) -> Rows:
        self._check(start, samples)
        n = len(samples)
        images, texts = self._split(samples)
        ids, splits, columns = self._given.block(start, n) if self._given else (None, None, {})
        if self._modality == "words":
            sentences = list(map(_words_of, samples))
            keys, problems = key_words(sentences)
            for name, column in columns.items():
                if name.startswith(LABEL) and pa.types.is_list(column.type):
                    uneven = uneven_labels(sentences, column.to_pylist(), name.removeprefix(LABEL))
                    problems = {**uneven, **problems}
        else:
            keys, problems = key_rows(range(n), texts, images, memo)
        problems |= {place: NO_SAMPLE for place, sample in enumerate(samples) if sample is None}
        origins = strings([self._origin(sample, number) for number, sample in enumerate(samples, start)])
        if images is not None and texts and GROUP not in columns:
            shared, bad = images.keys(range(n), memo)
            names = [None if row in bad else key.tobytes().hex() for row, key in enumerate(shared)]
            columns = {**columns, GROUP: strings(names)}
        return Rows(
            ids=origins if ids is None else ids,
            origins=origins,
            splits=repeated(None, n) if splits is None else splits,
            keys=keys,
            columns=columns,
            problems=problems,
            left_out=None if splits is None else codes_by_name(splits, [LEFT_OUT]) == 0,
        )

    def _check(self, start: int, samples: Sequence[Any]) -> None:
        for number, sample in enumerate(samples, start):
            if sample is not None and _modality_of(sample, self._modality) != self._modality:
                raise ConfigError(
                    f"sample {number} is a {type(sample).__name__} among {_SHOWN[self._modality]}; "
                    "give samples of one kind"
                )

    def payload(self, row: int) -> Payload:
        """The ``row``-th sample that `scan` yielded; an image file is read."""
        numbers, place = self._yielded.find(row)
        if self._modality == "words":
            return _words_of(self._samples[int(numbers[place])]) or Words(())
        images, texts = self._split([self._samples[int(numbers[place])]])
        image = None if images is None else images.read(0)
        payload: Payload = payload_of([str(column[0]) for column in texts], image)
        return payload

    def _split(self, samples: Sequence[Any]) -> tuple[HeldImages | None, list[Any]]:
        """The images of samples, if they have any, and the columns of their texts."""
        if self._modality == "words":
            return None, []
        parts: list[Any] = [samples]
        if self._modality not in ("image", "text"):
            parts = list(zip(*(sample or (None, None) for sample in samples), strict=True))
        has_images = self._modality in ("image", "image-text")
        images = HeldImages(parts.pop(0), self._layout) if has_images else None
        return images, parts

    def _origin(self, sample: Any, number: int) -> str:
        if self._modality != "image" or not isinstance(sample, str | os.PathLike):
            return str(number)
        return plain_address(str(sample)) if is_remote(sample) else printable(os.fsdecode(sample))


class HeldImages(Images):
    """Images as bytes, as files that are open, by path, of Pillow, or in arrays with axes in the order ``layout``."""

    kind = "images"
    empty = EMPTY_FILE

    def __init__(self, samples: Sequence[Any], layout: str | None = None) -> None:
        self._samples, self._layout = samples, layout

    @property
    def are_pixels(self) -> bool:
        """Whether the first is no file, but pixels."""
        first = next((sample for sample in self._samples if sample is not None), None)
        return is_picture(first) or is_array(first)

    def cells(self, rows: Sequence[int]) -> Iterator[Cell]:
        for row in rows:
            yield self._cell(self._samples[row])

    def _cell(self, sample: Any) -> Cell:
        if sample is None:
            return None, None
        if isinstance(sample, bytes | bytearray | memoryview):
            return bytes(sample), None
        if is_picture(sample):
            return encode_picture(sample), None
        if is_array(sample):
            return encode_array(sample, self._layout, "an image"), None
        return (_content(sample), None) if hasattr(sample, "read") else (None, os.fsdecode(sample))

    def _key_files(self, paths: list[str], memo: ScanMemo, texts: Sequence[str] | None) -> Keyed:
        return key_paths(list(map(located, paths)), memo, texts)  # the sample is called by its path


def is_image_like(sample: Any) -> bool:
    """Whether a sample is an image, and no string that may be the path of one."""
    if isinstance(sample, bytes | bytearray | memoryview | os.PathLike) or hasattr(sample, "read"):
        return True
    return is_picture(sample) or is_array(sample)


def _words_of(sample: Any) -> Words | None:
    """The words of a sample; a text is divided."""
    if sample is None or (isinstance(sample, str) and not sample.strip()):
        return None
    return split_words(sample) if isinstance(sample, str) else Words(list(map(str, sample)))


def _content(file: Any) -> bytes:
    """All that an open file holds, from its beginning."""
    try:
        file.seek(0)
        content = file.read()
    except (OSError, ValueError) as error:
        raise DataError(f"{file!r:.60} cannot be read: {first_line(error)}; give bytes or a path") from error
    if not isinstance(content, bytes):
        raise ConfigError(f"{file!r:.60} is open for texts; open it with mode 'rb', or give its texts")
    return content


def _modality_of(sample: Any, wanted: Modality | None) -> Modality:
    """What one sample is, given what strings are."""
    if is_image_like(sample):
        return "image"
    if isinstance(sample, str):
        if wanted is None:
            raise ConfigError("strings may be texts or the paths of images; say modality='text' or 'image'")
        # A backbone for pairs is one for texts: what counts is what the samples are.
        return "image" if wanted == "image" else "words" if wanted == "words" else "text"
    are_words = isinstance(sample, tuple | list) and all(isinstance(part, str) for part in sample)
    if are_words and (wanted == "words" or len(sample) != 2):
        return "words"
    if isinstance(sample, tuple | list) and len(sample) == 2 and isinstance(sample[1], str):
        if is_image_like(sample[0]):
            return "image-text"
        if isinstance(sample[0], str):
            return "image-text" if wanted == "image-text" else "text-pair"
    raise ConfigError(
        f"a sample is a {type(sample).__name__}; give a text, bytes, a path, an image of Pillow, an array, a pair of "
        "texts, a pair of image and text, or a list of words"
    )
