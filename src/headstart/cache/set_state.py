"""What a set says: its samples, labels, failures, and which features it has. No feature is read here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from headstart.backbones.pooling import canonical_tap, display_tap
from headstart.cache.failures import read_failures
from headstart.errors import ConfigError, CorruptShardError, DataError
from headstart.types import Failure, FeatureRef

if TYPE_CHECKING:
    from headstart.types import Json, LabelKind

REPAIR = "`headstart cache verify --repair` goes back to the last sound state of the set"
_BY_NUMBER = re.compile(r"-?\d")


class SetState:
    """A set as it is written in one digest: it never changes.

    Parameters
    ----------
    path : Path
        The folder of the digest.
    info : mapping
        What its ``set.json`` says.
    """

    def __init__(self, path: Path, info: Mapping[str, Json]) -> None:
        self.path = path
        self.info = info
        self._table: pa.Table | None = None

    @property
    def name(self) -> str:
        """The set's name."""
        return self.path.parent.name

    @property
    def digest(self) -> str:
        """What tells this state of the set from its earlier and later ones."""
        return self.path.name

    @property
    def cache(self) -> Path:
        """The root of the cache that it lies in."""
        return self.path.parents[2]

    @property
    def features(self) -> tuple[FeatureRef, ...]:
        """What can be read, views included; those of the latest extraction first."""
        return tuple(
            FeatureRef(entry["backbone"], entry["tap"], entry["space"], entry.get("view"))
            for entry in self.info["features"]
        )

    @property
    def label_names(self) -> dict[str, tuple[str, ...]]:
        """The names of each label column, in order."""
        return {column: tuple(names) for column, names in self.info["labels"].items()}

    @property
    def label_kinds(self) -> dict[str, LabelKind]:
        """What the values of each label column are."""
        kinds = self.info.get("label_kinds", {})
        return {column: kinds.get(column, "single") for column in self.label_names}

    @property
    def samples(self) -> pa.Table:
        """The table: ``id``, ``key``, ``split``, ``origin``, ``label:<name>``, ``meta:<name>``."""
        if self._table is None:
            self._table = _read_samples(self.path, None)
        return self._table

    @property
    def failures(self) -> list[Failure]:
        """The samples that were skipped."""
        return read_failures(self.path / "failures.jsonl")

    def __len__(self) -> int:
        return int(self.info["counts"]["samples"])

    def __repr__(self) -> str:
        taps = ", ".join(f"{ref.backbone} {display_tap(ref.tap)}" for ref in self.features if not ref.view)
        n_views = sum(ref.view is not None for ref in self.features)
        more = f", {n_views:,} augmented views" if n_views else ""
        return f"{type(self).__name__}({self.name!r}, {len(self):,} samples, {taps}{more})"

    def feature(
        self, tap: str | None = None, backbone: str | None = None, view: str | None = None
    ) -> FeatureRef:
        """One feature of the set: the only one, or of those that fit the first of the latest extraction.

        Parameters
        ----------
        tap, backbone : str, optional
            None: any.
        view : str, optional
            An augmented view, such as ``default:1``; None: of the samples as they are.

        Raises
        ------
        ConfigError
            None fits; the message names those that there are.
        """
        fitting = self._fitting(tap, backbone, view)
        if not fitting:
            raise ConfigError(
                f"set {self.name!r} has no feature of {backbone or 'any backbone'} at "
                f"{tap or 'any tap'}{f' in view {view!r}' if view else ''}; it has: {_listed(self.features, view)}"
            )
        return fitting[0]

    def views(self, tap: str | None = None, backbone: str | None = None) -> tuple[str, ...]:
        """The augmented views that a feature has, in their order; see `feature`."""
        plain = self.feature(tap, backbone)
        same = (ref for ref in self.features if (ref.backbone, ref.tap) == (plain.backbone, plain.tap))
        return tuple(ref.view for ref in same if ref.view is not None)

    def label_column(self, label: str | None = None) -> str:
        """A label column by name; the first if None.

        Raises
        ------
        DataError, ConfigError
            The set has no labels, or none of that name.
        """
        names = list(self.label_names)
        if not names:
            raise DataError(f"set {self.name!r} has no labels; extract it with --label-column")
        if label is None:
            return names[0]
        if label not in names:
            raise ConfigError(f"set {self.name!r} has no label {label!r}; it has: {', '.join(names)}")
        return label

    def _columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of the samples; the others are not read for them."""
        table = _read_samples(self.path, names) if self._table is None else self._table
        return table.select(list(names))

    def _fitting(self, tap: str | None, backbone: str | None, view: str | None) -> list[FeatureRef]:
        return [
            ref
            for ref, entry in zip(self.features, self.info["features"], strict=True)
            if backbone in (None, ref.backbone) and ref.view == view and (tap is None or _means(tap, entry))
        ]


def _read_samples(folder: Path, names: Sequence[str] | None) -> pa.Table:
    path = folder / "samples.parquet"
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=None if names is None else list(names))
    except (OSError, pa.ArrowException) as error:
        raise CorruptShardError(f"{path} cannot be read ({error}); {REPAIR}") from error


def _listed(features: Sequence[FeatureRef], view: str | None) -> str:
    """Features, for a message: views only where one was asked for."""
    return "; ".join(
        f"{ref.backbone} {display_tap(ref.tap)}{f' in view {ref.view!r}' if ref.view else ''}"
        for ref in features
        if view is not None or ref.view is None
    )


def _means(tap: str, entry: Mapping[str, Json]) -> bool:
    """Whether a tap, as a user writes it, is that of a feature."""
    layers = {name: entry[name] for name in ("n_layers", "first_layer", "closing_norm") if name in entry}
    try:
        return canonical_tap(tap, **layers) == str(entry["tap"])
    except ConfigError:
        if not _BY_NUMBER.match(tap.strip()):
            raise
        return False  # a layer that another backbone of the set may have
