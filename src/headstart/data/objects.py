"""What a program holds, recognised: samples one by one, tables, and streams of Hugging Face data sets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.data.contents import is_image
from headstart.data.given import values_of
from headstart.data.named_files import read_image
from headstart.data.pixels import as_array, check_layout, images_in, is_array, is_picture
from headstart.data.read_table import is_table
from headstart.data.source import printable
from headstart.data.streams import STANDARD_INPUT, codec_name
from headstart.data.tars import is_tar
from headstart.errors import ConfigError, DataError, SampleError
from headstart.places import expanded
from headstart.remote.paths import RemotePath

if TYPE_CHECKING:
    from headstart.types import Modality

HF = "datasets"
TORCH = "torch.utils.data"
READ_TWICE = 8
"""Items of a data set, to see whether it draws."""


@dataclass(frozen=True)
class HeldSamples:
    """Samples one by one; labels and ids that came with them, and the names of labels in order, if there are any.

    ``about`` is what is to be said of them.
    """

    items: Sequence[Any]
    labels: Any = None
    names: tuple[str, ...] | None = None
    ids: Sequence[str] | None = None
    about: str = ""

    @property
    def first(self) -> Any:
        """The first that is not missing."""
        return next((item for item in self.items if item is not None), None)


@dataclass(frozen=True)
class HeldTables:
    """Tables by split; under None the only one."""

    by_split: Mapping[str | None, Any]
    kind: str


@dataclass(frozen=True)
class HeldStream:
    """Rows of Hugging Face data sets as they come, by split."""

    by_split: Mapping[str | None, Any]


Held = HeldSamples | HeldTables | HeldStream


def hold(data: Any, layout: str | None = None) -> Held:
    """Say what a program holds; what can be read only once is read.

    Raises
    ------
    ConfigError
        It is nothing that samples can be taken from.
    DataError
        It is empty.
    """
    if isinstance(data, HeldSamples | HeldTables | HeldStream):
        return data
    layout = check_layout(layout)
    if _is(data, TORCH, "DataLoader"):
        raise ConfigError("a DataLoader holds batches; give the data set that it reads: loader.dataset")
    if _is(data, "polars", "LazyFrame"):
        data = data.collect()
    if isinstance(data, Mapping):
        return _hold_mapping(data)
    if _is(data, HF, "IterableDataset"):
        return HeldStream({None: data})
    if _is_table(data):
        return HeldTables({None: data}, type(data).__name__)
    if _is(data, TORCH, "Dataset") and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _hold_dataset(data)
    held = _hold_items(_items(data, layout))
    if isinstance(held, HeldSamples) and not len(held.items):
        raise DataError("no samples were given")
    return held


def strings_are_meant(held: Held) -> bool:
    """Whether only a backbone can say what the samples are: texts, or the paths of images."""
    return isinstance(held, HeldSamples) and isinstance(held.first, str)


def as_inputs(
    data: Any, modality: Modality, layout: str | None = None, encodings: Sequence[str] = ("utf-8",)
) -> Any:
    """What is to be predicted: a path, or what a program holds, be it one sample.

    A string that is there as a path is data, and one that looks like a path would be; any other is a text, where
    samples are texts. Several files are a text each where samples are texts, in the first of ``encodings`` that they
    have.
    """
    if isinstance(data, str):
        return data if names_data(data, modality) else HeldSamples([data])
    if isinstance(data, os.PathLike):
        return data
    if modality == "text-pair" and isinstance(data, tuple) and len(data) == 2 and {*map(type, data)} == {str}:
        return HeldSamples([data])
    if modality in ("text", "words") and _are_paths(data):
        return _texts_of(data, encodings)
    return hold(data, layout)


def _are_paths(data: Any) -> bool:
    is_list = isinstance(data, list | tuple) and len(data) > 0
    return is_list and all(isinstance(item, os.PathLike) for item in data)


def _texts_of(paths: Sequence[Any], encodings: Sequence[str]) -> HeldSamples:
    """What text files hold, a text each."""
    names = [str(path) if isinstance(path, RemotePath) else printable(os.fspath(path)) for path in paths]
    texts = [_text_of(expanded(path), name, encodings) for path, name in zip(paths, names, strict=True)]
    about = ", a file each (of one file alone, and of a pattern in quotes, each line is a text)"
    return HeldSamples(texts, ids=names, about=about)


def _text_of(path: Any, name: str, encodings: Sequence[str]) -> str:
    try:
        content = read_image(path if isinstance(path, RemotePath) else os.fspath(path), name)
    except SampleError as error:
        raise DataError(str(error)) from error
    for encoding in encodings:
        with contextlib.suppress(UnicodeError):
            return content.decode(codec_name(encoding))
    raise DataError(f"{name} is not {encodings[0]}; say what it is: --encoding")


def names_data(text: str, modality: Modality) -> bool:
    """Whether a string is the path of data, and no text.

    Examples
    --------
    >>> names_data("what a lovely film", "text"), names_data("reviews.csv", "text")
    (False, True)
    """
    if modality not in ("text", "text-pair", "words") or text == STANDARD_INPUT or text.startswith("hf:"):
        return True
    if os.path.exists(expanded(text)):
        return True
    if not text or any(map(str.isspace, text)):
        return False
    known = is_table(text) or is_image(text) or is_tar(text)
    return known or os.sep in text or bool(os.altsep and os.altsep in text)


def _hold_mapping(data: Mapping[Any, Any]) -> Held:
    if not data:
        raise DataError("no samples were given")
    by_split: dict[str | None, Any] = {str(name): rows for name, rows in data.items()}
    if all(_is(rows, HF, "IterableDataset") for rows in by_split.values()):
        return HeldStream(by_split)
    if all(map(_is_table, by_split.values())):
        kind = "DatasetDict" if _is(data, HF, "DatasetDict") else "tables by split"
        return HeldTables(by_split, kind)
    if not all(_is_column(column) for column in by_split.values()):
        raise ConfigError(
            "a mapping holds columns of one length by name, or tables by split; it holds "
            + ", ".join(f"{name!r}: {type(value).__name__}" for name, value in by_split.items())
        )
    return HeldTables({None: by_split}, "columns")


def _hold_items(items: Sequence[Any]) -> Held:
    """Samples one by one, rows of a table, or samples with their labels."""
    first = next((item for item in items if item is not None), None)
    if isinstance(first, Mapping):
        return HeldTables({None: items}, "rows")
    place = sample_place(first)
    if place is None:
        return HeldSamples(items)
    for number, item in enumerate(items):
        if sample_place(item) != place:
            raise ConfigError(
                f"sample {number} is a {type(item).__name__} without a label, others have one; give all of them "
                "one, or labels="
            )
    return HeldSamples([item[place] for item in items], [item[1 - place] for item in items])


def sample_place(item: Any) -> int | None:
    """Where the sample stands in a pair of it and its label; None if it is no such pair."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        return None
    if _is_label(item[1]) and not _is_label(item[0]):
        return 0
    return 1 if _is_label(item[0]) and not _is_label(item[1]) else None


class Picked(Sequence[Any]):
    """One part of each item of a data set of torch, read when it is asked for."""

    def __init__(self, data: Any, place: int | None) -> None:
        self._data, self._place = data, place

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        item = self._data[range(len(self))[place]]
        return item if self._place is None else item[self._place]


def _hold_dataset(data: Any) -> Held:
    """A data set of torch, whose items are read when they are needed."""
    if not len(data):
        raise DataError("no samples were given")
    first = data[0]
    if isinstance(first, Mapping):
        return _hold_items([data[number] for number in range(len(data))])
    if isinstance(first, tuple | list) and len(first) == 1:
        return HeldSamples(Picked(data, 0))
    place = sample_place(first)
    items = Picked(data, place)
    _check_repeats(items)
    if place is None:
        return HeldSamples(items)
    labels = _targets(data)
    if labels is None:
        labels = list(Picked(data, 1 - place))
    return HeldSamples(items, labels, _classes(data))


def _check_repeats(items: Sequence[Any]) -> None:
    """Refuse a transform that draws: a sample would be another when it is computed than when it was looked at."""
    for number in range(min(len(items), READ_TWICE)):
        if _content(items[number]) != _content(items[number]):
            raise ConfigError(
                f"item {number} is another each time it is read; leave out the random transform (augmented views are "
                "made by views=)"
            )


def _content(item: Any) -> Any:
    """What two readings of an item have in common; None where that cannot be said."""
    if is_picture(item):
        return item.tobytes()
    if is_array(item):
        return as_array(item).tobytes()
    return item if isinstance(item, str | bytes) else None


def _targets(data: Any) -> list[Any] | None:
    """The labels of a data set that knows them without reading its images; of a part of it, those of the part."""
    if (whole := getattr(data, "dataset", None)) is not None and hasattr(data, "indices"):
        labels = _targets(whole)
        return None if labels is None else [labels[place] for place in data.indices]
    labels = getattr(data, "targets", None)
    changed = getattr(data, "target_transform", None) is not None
    if labels is None or changed or len(labels) != len(data):
        return None
    return values_of(labels, "targets")


def _classes(data: Any) -> tuple[str, ...] | None:
    while hasattr(data, "dataset") and hasattr(data, "indices"):
        data = data.dataset
    classes = getattr(data, "classes", None)
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        return None
    return tuple(classes) if getattr(data, "target_transform", None) is None else None


def _items(data: Any, layout: str | None) -> Sequence[Any]:
    """Samples one by one."""
    if is_array(data):
        array = as_array(data)
        if array.dtype.kind in "OUS":
            return values_of(array)
        return images_in(array, layout)
    if is_picture(data) or isinstance(data, bytes | bytearray | os.PathLike) or hasattr(data, "read"):
        return [data]
    if hasattr(data, "to_pylist") or hasattr(data, "to_list"):
        return values_of(data)
    if isinstance(data, Iterable) and not isinstance(data, str):
        return [_missing_is_none(item) for item in data]
    raise ConfigError(
        f"{type(data).__name__} holds no samples; give a path, texts, image paths, bytes, images, arrays, a DataFrame, "
        "an Arrow table, or a data set of Hugging Face or torch"
    )


def _missing_is_none(item: Any) -> Any:
    return None if isinstance(item, float) and item != item else item


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a class of a library, which is not imported for that."""
    return any(
        kind.__name__ == name and (kind.__module__ == module or kind.__module__.startswith(f"{module}."))
        for kind in type(value).__mro__
    )


def _is_table(value: Any) -> bool:
    """Whether a value has columns by name: of pandas, polars, Arrow, or Hugging Face's data sets."""
    if _is(value, HF, "Dataset"):
        return True
    if is_array(value) or not hasattr(value, "__arrow_c_stream__"):
        return False
    return getattr(value, "column_names", None) is not None or getattr(value, "columns", None) is not None


def _is_column(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        or is_array(value)
        or hasattr(value, "to_list")
        or hasattr(value, "to_pylist")
    )


def _is_label(value: Any) -> bool:
    """Whether a value can be a label beside a sample, and is no sample: a number, or several of them."""
    if isinstance(value, bool | int | float):
        return True
    shape = getattr(value, "shape", None)
    if shape is None or is_picture(value):
        return False
    return len(shape) == 0 or (is_array(value) and len(shape) == 1)
