"""The samples of a set that have a feature, before any of it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from headstart.backbones.pooling import display_tap
from headstart.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.reading.labels import Labels
    from headstart.cache.reading.places import RowLocations
    from headstart.cache.reading.stored import StoredRows
    from headstart.cache.space import Space
    from headstart.types import FeatureRef


@dataclass(frozen=True)
class HeldSamples:
    """Samples of a set that have a feature, N rows in the set's order.

    Parameters
    ----------
    places : RowLocations
        Where their rows are stored.
    space : Space
        What holds the feature.
    columns : callable
        Gives some columns of these samples by name, or all: a table of N rows.
    labels : callable
        Gives a label column by name, or the first.
    pooled : tuple of str
        Taps of the set that have one vector a sample, to name them where one is needed.
    """

    keys: NDArray[np.uint8]
    places: RowLocations
    feature: FeatureRef
    space: Space
    columns: Callable[[list[str] | None], pa.Table]
    labels: Callable[[str | None], Labels]
    pooled: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def table(self) -> pa.Table:
        """All columns of the samples."""
        return self.columns(None)

    def open(self) -> StoredRows:
        """Their rows, dense or ragged."""
        return self.space.rows(self.keys, self.places)

    def open_dense(self) -> StoredRows:
        """Their rows, one vector a sample.

        Raises
        ------
        ConfigError
            They have several.
        """
        rows = self.open()
        if rows.kind.is_ragged:
            taps = f" of this set: {', '.join(self.pooled)}" if self.pooled else ", such as last.mean"
            raise ConfigError(
                f"{self._said} has several vectors a sample: read them with features.tokens(), or fit the head "
                "that takes them, --head attention. Other heads, arrays, tables and audits take one vector a "
                f"sample: choose a pooled tap{taps}"
            )
        return rows

    def open_ragged(self) -> StoredRows:
        """Their rows, several vectors a sample.

        Raises
        ------
        ConfigError
            They have one.
        """
        rows = self.open()
        if not rows.kind.is_ragged:
            raise ConfigError(
                f"{self._said} has one vector a sample: read it with features.arrays() or features.mapped(), "
                "or choose a tap that keeps all positions, such as last.tokens"
            )
        return rows

    @property
    def _said(self) -> str:
        return f"{self.feature.backbone} at {display_tap(self.feature.tap)}"
