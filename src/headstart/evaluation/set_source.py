"""A set as data to be judged on: its samples, splits and labels; data is read again only for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headstart.cache.layout import LABEL
from headstart.contracts import Source
from headstart.extraction.read_again import read_again
from headstart.progress import Silence
from headstart.types import Grouping, SampleBlock
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import KeyMemo
    from headstart.types import LabelKind, Modality, Payload


class SetSource(Source):
    """The samples of a set, with some of its label columns; None: all."""

    def __init__(self, features: FeatureSet, label_columns: Sequence[str] | None = None) -> None:
        self._features = features
        wanted = features.label_names if label_columns is None else map(features.label_column, label_columns)
        self._labels = tuple(wanted)

    @property
    def modality(self) -> Modality:
        """As of the data that it was made of."""
        modality: Modality = self._features.info["source"]["modality"]
        return modality

    @property
    def description(self) -> str:
        """Its name and size."""
        return f"set {self._features.name}, {counted(len(self._features), 'sample')}"

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """In their order."""
        return {name: self._features.label_names[name] for name in self._labels}

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """Of each column."""
        return {name: self._features.label_kinds[name] for name in self._labels}

    @property
    def grouping(self) -> Grouping | None:
        """Whatever the set knows of it."""
        return Grouping("the set's groups", is_asked=False) if self._features.is_grouped else None

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples at once: their keys are known."""
        table = self._features.samples
        others = [name for name in table.column_names if name.startswith(LABEL)]
        dropped = [name for name in others if name.removeprefix(LABEL) not in self._labels]
        yield SampleBlock(table.drop_columns(dropped), [f for f in self._features.failures if not f.space])

    def payload(self, row: int) -> Payload:
        """The content of a sample, from where its data lies."""
        payload: Payload = self._payload(row)
        return payload

    @cached_property
    def _payload(self) -> Callable[[int], Any]:
        return read_again(self._features, None, Silence()).payloads(self._features.samples)

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads the data for itself.
        return {name: value for name, value in self.__dict__.items() if name != "_payload"}
