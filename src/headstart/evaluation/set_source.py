"""A set as data to be judged on: its samples, splits and labels; data is read again only for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headstart.arrow import column_of
from headstart.cache.layout import LABEL
from headstart.contracts import Source
from headstart.extraction.read_again import read_again
from headstart.progress import Silence
from headstart.types import Grouping, SampleBlock
from headstart.words import counted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import KeyMemo
    from headstart.types import LabelKind, Modality, Payload


class SetSource(Source):
    """The samples of a set, or those in some ``rows``, with some of its label columns; None: all."""

    def __init__(
        self,
        features: FeatureSet,
        label_columns: Sequence[str] | None = None,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self._features, self._rows = features, rows
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
        n = len(self._features) if self._rows is None else len(self._rows)
        return f"set {self._features.name}, {counted(n, 'sample')}"

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
        table = self._table
        others = [name for name in table.column_names if name.startswith(LABEL)]
        dropped = [name for name in others if name.removeprefix(LABEL) not in self._labels]
        failures = [f for f in self._features.failures if not f.space] if self._rows is None else []
        yield SampleBlock(table.drop_columns(dropped), failures)

    def payload(self, row: int) -> Payload:
        """The content of a sample, from where its data lies."""
        payload: Payload = self._payload(row)
        return payload

    @cached_property
    def _payload(self) -> Callable[[int], Any]:
        return read_again(self._features, None, Silence()).payloads(self._table)

    @property
    def _table(self) -> pa.Table:
        table = self._features.samples
        return table if self._rows is None else table.take(column_of(self._rows))

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads the data for itself.
        return {name: value for name, value in self.__dict__.items() if name != "_payload"}
