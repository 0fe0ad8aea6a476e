"""What the parts ask of data: where samples come from, and how their features are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from headstart.types import (
        Features,
        Grouping,
        LabelKind,
        Modality,
        Payload,
        SampleBlock,
    )


class KeyMemo(Protocol):
    """Remembers which key a file had, by a fingerprint of its identity on this machine."""

    def lookup(self, fingerprints: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Keys, shape (N, 16), and which of them are known, shape (N,)."""

    def remember(self, fingerprints: NDArray[np.uint8], keys: NDArray[np.uint8]) -> None:
        """Keep keys, shape (N, 16), under fingerprints of the same shape."""


class Payloads(Protocol):
    """Samples by their number: what an extraction reads."""

    @property
    def modality(self) -> Modality:
        """What the samples are."""

    @property
    def rows_per_block(self) -> int | None:
        """How many consecutive rows are read together (a row group, a stretch of a tar).

        None: any row is as near as any other.
        """
        return None

    def read_ahead(self, row: int) -> None:
        """Begin to fetch the content of a row that will be asked for soon, if that takes long; it may never be."""
        return

    def payload(self, row: int) -> Payload:
        """The content of the ``row``-th sample that the scan yielded.

        Raises
        ------
        SampleError
            It cannot be read any more.
        """


class Source(Payloads, Protocol):
    """Where samples come from. What a subclass does not say: it has no labels, and samples can be had at any time."""

    @property
    def description(self) -> str:
        """What the data was taken for, in a line for the user."""

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """For each label column the names in the order that the data gives; empty: sort them."""
        return {}

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """For each label column what its values are."""
        return {}

    @property
    def found_columns(self) -> Mapping[str, str]:
        """Columns that were found and nobody named, by the option that names them for data like it."""
        return {}

    @property
    def grouping(self) -> Grouping | None:
        """What samples that belong together share, whose names are in ``meta:group``; None: each stands alone."""
        return None

    @property
    def are_passages(self) -> bool:
        """Whether samples are questions, each with the context in which its answer stands: all tokens are kept."""
        return False

    @property
    def ignored(self) -> Mapping[str, int]:
        """How much beside the samples was left out, by reason; known once a scan is over."""
        return {}

    @property
    def streams(self) -> bool:
        """Whether a payload can be had only while its block is the last one that `scan` yielded."""
        return False

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples in blocks, in an order that depends on the data alone."""


class ShardReader(Protocol):
    """One committed shard, opened for reading. Closing is a matter of dropping it."""

    @property
    def recipe(self) -> str:
        """The recipe that the shard carries, as canonical JSON."""

    def keys(self) -> NDArray[np.uint8]:
        """All keys, shape (N, 16), in the shard's order."""

    def features(self, rows: NDArray[np.int64] | None = None) -> Features:
        """The given rows, in that order; None: all of them."""


class ShardFormat(Protocol):
    """How features are written to a file and read back."""

    @property
    def suffix(self) -> str:
        """The ending of its files, with the dot."""

    def encode(self, features: Features, recipe: str) -> bytes | memoryview:
        """A whole file, ready to be written and digested."""

    def open(self, path: Path) -> ShardReader:
        """Open a file.

        Raises
        ------
        CorruptShardError
            It is not a shard of this format, or is cut short.
        FormatError
            It is of a newer version.
        """
