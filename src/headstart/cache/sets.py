"""Sets: named tables of samples over one or more features. Labels live here, never in shards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.arrow import (
    codes_by_name,
    codes_of_lists,
    keys_from_arrow,
    mask_of,
    numbers_or_nan,
    vectors_of,
)
from headstart.cache.layout import SET_FORMAT, check_format
from headstart.errors import ConfigError, CorruptShardError, DataError, MismatchError, StorageError
from headstart.files import read_json
from headstart.pooling import canonical_tap, display_tap
from headstart.types import SPLITS, Failure, FeatureRef

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray
    from torch.utils.data import TensorDataset

    from headstart.cache.space import Space
    from headstart.types import Json, LabelKind

LABEL = "label:"
REPAIR = "`headstart cache verify --repair` goes back to the last sound state of the set"
_BY_NUMBER = re.compile(r"-?\d")


@dataclass(frozen=True, slots=True)
class SetRows:
    """Samples of a set with the feature of each.

    Parameters
    ----------
    table : pyarrow.Table
        The set's columns, N rows, in the set's order.
    X : ndarray of float32, shape (N, D)
    y : ndarray
        By ``kind``. single: int64, shape (N,), positions in ``names``, -1 where there is no label.
        multi: int8, shape (N, L), 1 where a name applies, a row of -1 where there is no label.
        regression: float64, shape (N,), NaN where there is no label.
    names : tuple of str
        The label names in order; none for regression.
    feature : FeatureRef
        The feature that was read.
    kind : {"single", "multi", "regression"}
    """

    table: pa.Table
    X: NDArray[np.float32]
    y: NDArray[Any]
    names: tuple[str, ...]
    feature: FeatureRef
    kind: LabelKind = "single"

    def __len__(self) -> int:
        return len(self.X)


@dataclass(frozen=True, slots=True)
class HeldSamples:
    """Samples of a set that have a feature, N rows, and the space that holds it."""

    table: pa.Table
    keys: NDArray[np.uint8]
    feature: FeatureRef
    space: Space


class FeatureSet:
    """A set as it is in one digest: it never changes.

    Use `headstart.extract` or `headstart.open_set` to get one.
    """

    def __init__(self, path: Path, info: Mapping[str, Json], open_space: Callable[[str], Space]) -> None:
        self.path = path
        self.info = info
        self._open_space = open_space
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
        """What can be read, those of the latest extraction first."""
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
            path = self.path / "samples.parquet"
            try:
                with pq.ParquetFile(path) as file:
                    self._table = file.read()
            except (OSError, pa.ArrowException) as error:
                raise CorruptShardError(f"{path} cannot be read ({error}); {REPAIR}") from error
        return self._table

    @property
    def failures(self) -> list[Failure]:
        """The samples that were skipped."""
        return read_failures(self.path / "failures.jsonl")

    def __len__(self) -> int:
        return int(self.info["counts"]["samples"])

    def __repr__(self) -> str:
        taps = ", ".join(f"{ref.backbone} {display_tap(ref.tap)}" for ref in self.features)
        return f"FeatureSet({self.name!r}, {len(self):,} samples, {taps})"

    def feature(self, tap: str | None = None, backbone: str | None = None) -> FeatureRef:
        """One feature of the set: the only one, or of those that fit the first of the latest extraction.

        Raises
        ------
        ConfigError
            None fits; the message names those that there are.
        """
        fitting = [
            ref
            for ref, entry in zip(self.features, self.info["features"], strict=True)
            if backbone in (None, ref.backbone) and (tap is None or _means(tap, entry))
        ]
        if not fitting:
            there = "; ".join(f"{ref.backbone} {display_tap(ref.tap)}" for ref in self.features)
            raise ConfigError(
                f"set {self.name!r} has no feature of {backbone or 'any backbone'} at "
                f"{tap or 'any tap'}; it has: {there}"
            )
        return fitting[0]

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

    def rows(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
    ) -> SetRows:
        """Samples with their features, met by key; without those that failed.

        Parameters
        ----------
        split : {"train", "validation", "test"}, optional
            None: all samples.
        tap, backbone : str, optional
            Which feature; None: the latest.
        label : str, optional
            Which label column; None: the first.

        Raises
        ------
        MismatchError
            Samples lack the feature for another reason than that they failed.
        """
        held = self.held(split, tap, backbone)
        X = held.space.gather(held.keys).values.astype(np.float32, copy=False)
        return SetRows(held.table, X, *self._labels_of(held.table, label, held.feature))

    def held(
        self, split: str | None = None, tap: str | None = None, backbone: str | None = None
    ) -> HeldSamples:
        """The samples that have a feature, before any of it is read; for parameters and errors see `rows`."""
        if split is not None and split not in SPLITS:
            raise ConfigError(f"there is no split {split!r}; choose from: {', '.join(SPLITS)}")
        feature = self.feature(tap, backbone)
        table = self.samples
        if split is not None:
            table = table.filter(mask_of(codes_by_name(table.column("split"), [split]) == 0))
        space = self._open_space(feature.space)
        keys = keys_from_arrow(table.column("key"))
        held = space.held(keys)
        if not held.all():
            self._explain_missing(keys[~held], feature)
            table, keys = table.filter(mask_of(held)), keys[held]
        return HeldSamples(table, keys, feature, space)

    def arrays(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Features (N, D) as float32, and labels: (N,) int64, positions in the label names.

        A sample without a label has -1; samples that failed are left out. Several labels a sample, and
        numbers to regress on, are as `SetRows` says. For the parameters see `rows`.
        """
        rows = self.rows(split, tap, label, backbone)
        return rows.X, rows.y

    def table(
        self, split: str | None = None, tap: str | None = None, backbone: str | None = None
    ) -> pa.Table:
        """The samples as an Arrow table, with their ``features`` as a fixed_size_list(D) column."""
        rows = self.rows(split, tap, None, backbone)
        return rows.table.append_column("features", vectors_of(rows.X))

    def torch_dataset(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
    ) -> TensorDataset:
        """Features and labels as a torch data set; for the parameters see `rows`."""
        import torch
        from torch.utils.data import TensorDataset

        X, y = self.arrays(split, tap, label, backbone)
        return TensorDataset(torch.from_numpy(X), torch.from_numpy(y))

    def dataset(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
    ) -> Dataset:
        """The same as a Hugging Face data set, label columns by their bare names; see `rows`.

        Raises
        ------
        MissingDependencyError
            ``datasets`` is not installed.
        """
        from headstart.cache.exchange.export_arrow import to_dataset
        from headstart.cache.exchange.selection import select

        return to_dataset(select(self, split, tap, label, backbone))

    def _labels_of(
        self, table: pa.Table, label: str | None, feature: FeatureRef
    ) -> tuple[NDArray[Any], tuple[str, ...], FeatureRef, LabelKind]:
        if label is None and not self.label_names:
            return np.full(table.num_rows, -1, dtype=np.int64), (), feature, "single"
        column = self.label_column(label)
        names, kind = self.label_names[column], self.label_kinds[column]
        return encode_labels(table.column(LABEL + column), names, kind), names, feature, kind

    def _explain_missing(self, keys: NDArray[np.uint8], feature: FeatureRef) -> None:
        failed = {failure.key for failure in self.failures if failure.space in ("", feature.space)}
        unknown = sum(key.tobytes().hex() not in failed for key in keys)
        if unknown:
            raise MismatchError(
                f"{unknown:,} of {len(self):,} samples of set {self.name!r} have no feature of "
                f"{feature.backbone} at {display_tap(feature.tap)}; run headstart extract on its data "
                f"again with --backbone {feature.backbone} --set {self.name}"
            )


def encode_labels(column: pa.ChunkedArray, names: Sequence[str], kind: LabelKind) -> NDArray[Any]:
    """A label column as numbers; see `SetRows`.

    Examples
    --------
    >>> column = pa.chunked_array([[["a", "b"], [], None]])
    >>> encode_labels(column, ["a", "b"], "multi").tolist()
    [[1, 1], [0, 0], [-1, -1]]
    """
    match kind:
        case "single":
            return codes_by_name(column, names)
        case "regression":
            return numbers_or_nan(column)
        case "multi":
            return codes_of_lists(column, names)


def _means(tap: str, entry: Mapping[str, Json]) -> bool:
    """Whether a tap, as a user writes it, is that of a feature."""
    layers = {name: entry[name] for name in ("n_layers", "first_layer", "closing_norm") if name in entry}
    try:
        return canonical_tap(tap, **layers) == str(entry["tap"])
    except ConfigError:
        if not _BY_NUMBER.match(tap.strip()):
            raise
        return False  # a layer that another backbone of the set may have


def open_feature_set(
    folder: Path, open_space: Callable[[str], Space], digest: str | None = None
) -> FeatureSet:
    """Open a set by its folder.

    Raises
    ------
    StorageError
        It is broken; FormatError if a later version wrote it.
    """
    if digest is None:
        digest = (folder / "current").read_text("utf-8").strip()
    path = folder / digest
    try:
        info = read_json(path / "set.json")
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid JSON"
        raise StorageError(
            f"set {folder.name!r} points to {digest!r}, whose set.json cannot be read ({reason}); {REPAIR}"
        ) from error
    found = info.get("format") if isinstance(info, dict) else None
    check_format(found, SET_FORMAT, f"set {folder.name!r} is")
    return FeatureSet(path, info, open_space)


def read_failures(path: Path) -> list[Failure]:
    """Read a ``failures.jsonl``; an absent one holds none."""
    try:
        # Not splitlines(): an id may hold U+2028 and its like, which end no line of JSON.
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [Failure(**json.loads(line)) for line in lines if line]


def failures_to_jsonl(failures: Sequence[Failure]) -> bytes:
    """Failures, one JSON object a line."""
    return "".join(json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failures).encode()
