"""Sets: named tables of samples over one or more features. Labels live here, never in shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.arrow import codes_by_name, keys_from_arrow, mask_of, vectors_of
from headstart.backbones.pooling import display_tap
from headstart.backbones.pooling import is_ragged as tap_is_ragged
from headstart.cache.layout import LABEL
from headstart.cache.mapped import Labels, MappedFeatures, TokenFeatures
from headstart.cache.rows import ReadDtype, RowLocations, StoredRows, locate
from headstart.cache.selection import LabelMeaning, Selection, samples_of, to_dataset
from headstart.cache.set_state import SetState
from headstart.cache.space import Space
from headstart.errors import ConfigError, MismatchError
from headstart.samples import LabelledSamples
from headstart.tasks import open_task
from headstart.types import SPLITS, FeatureRef, Json

if TYPE_CHECKING:
    from datasets import Dataset
    from torch.utils.data import TensorDataset

    from headstart.clusters import Clusters
    from headstart.matches import Matches
    from headstart.report_page import Page
    from headstart.suggestions import Suggestions


class FeatureSet(SetState):
    """A set with its features, as it is in one digest: it never changes.

    Use `headstart.extract` or `headstart.open_set` to get one.
    """

    def __init__(self, path: Path, info: Mapping[str, Json], open_space: Callable[[str], Space]) -> None:
        super().__init__(path, info)
        self._open_space = open_space
        self._located: dict[str, tuple[Space, NDArray[np.uint8], RowLocations]] = {}

    def rows(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
        view: str | None = None,
        dtype: ReadDtype | None = None,
    ) -> LabelledSamples:
        """Samples with their features, met by key; without those that failed.

        Parameters
        ----------
        split : {"train", "validation", "test"}, optional
            None: all samples.
        tap, backbone : str, optional
            Which feature; None: the latest.
        label : str, optional
            Which label column; None: the first.
        view : str, optional
            Which of the feature's augmented `views`; None: the samples as they are.
        dtype : {"float32", "stored", "float16"}, optional
            None: float32, which takes some three times as long to read as what is stored as float16.

        Raises
        ------
        MismatchError
            Samples lack the feature for another reason than that they failed.
        ConfigError
            The feature has several vectors a sample (see `tokens`), or there is none like it.
        DataError
            float16 was asked for, and cannot hold a value.
        """
        held = self.held(split, tap, backbone, view)
        labels, X = held.labels(label), held.open(is_ragged=False).matrix(dtype)
        column = self.label_column(label) if self.label_names else ""
        return LabelledSamples(
            held.table,
            X,
            labels.y,
            labels.names,
            labels.kind,
            column,
            (held.feature,),
            (X.shape[1],),
            is_grouped=self.is_grouped,
        )

    def arrays(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
        view: str | None = None,
        dtype: ReadDtype | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Features (N, D) as float32, and labels: (N,) int64, positions in the label names.

        A sample without a label has -1; samples that failed are left out. Several labels a sample, and
        numbers to regress on, are as `LabelledSamples` says. For the parameters see `rows`.
        """
        held = self.held(split, tap, backbone, view)
        labels = held.labels(label)
        return held.open(is_ragged=False).matrix(dtype), labels.y

    def mapped(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
        view: str | None = None,
        dtype: ReadDtype | None = None,
    ) -> MappedFeatures:
        """The same as `rows` without reading them: for sets that are larger than memory.

        Rows are read as ``mapped[rows]`` or in mini-batches by ``mapped.batches(256, epoch=epoch)``.
        """
        held = self.held(split, tap, backbone, view)
        return MappedFeatures(
            held.feature, held.open(is_ragged=False), held.labels(label), held.columns, dtype
        )

    def tokens(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
        view: str | None = None,
    ) -> TokenFeatures:
        """Samples with all their vectors, mapped: of taps that keep every position, such as ``last.tokens``.

        For the parameters see `rows`; ``tap=None``, the latest feature that has several vectors a sample.

        Raises
        ------
        ConfigError
            The feature has one vector a sample.
        """
        if tap is None:  # the latest that keeps all positions
            kept = (ref.tap for ref in self.fitting(None, backbone, view) if tap_is_ragged(ref.tap))
            tap = next(map(display_tap, kept), None)
        held = self.held(split, tap, backbone, view)
        return TokenFeatures(held.feature, held.open(is_ragged=True), held.labels(label), held.columns)

    def table(
        self,
        split: str | None = None,
        tap: str | None = None,
        backbone: str | None = None,
        view: str | None = None,
    ) -> pa.Table:
        """The samples as an Arrow table, with their ``features`` as a fixed_size_list(D) column."""
        rows = self.rows(split, tap, None, backbone, view)
        return rows.table.append_column("features", vectors_of(rows.X))

    def torch_dataset(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
        view: str | None = None,
    ) -> TensorDataset:
        """Features and labels as a torch data set; for the parameters see `rows`."""
        import torch
        from torch.utils.data import TensorDataset

        X, y = self.arrays(split, tap, label, backbone, view)
        if y.dtype == object:
            raise ConfigError(
                "these labels are no numbers, which a torch data set holds; take arrays() instead"
            )
        return TensorDataset(torch.from_numpy(X), torch.from_numpy(y))

    def dataset(
        self,
        split: str | None = None,
        tap: str | None = None,
        label: str | None = None,
        backbone: str | None = None,
        view: str | None = None,
    ) -> Dataset:
        """The same as a Hugging Face data set, label columns by their bare names; see `rows`.

        Features are as they are stored; where there are several vectors a sample, a list of them.

        Raises
        ------
        MissingDependencyError
            ``datasets`` is not installed.
        """
        return to_dataset(self.held(split, tap, backbone, view).selection(label))

    def report_page(self, quiet: bool = True, **options: Any) -> Page:
        """A page to look at it: the map of its features, and what an audit finds; see `headstart.report`."""
        import headstart

        return headstart.report(self, quiet=quiet, **options)

    def search(self, query: Any = None, quiet: bool = True, **options: Any) -> Matches:
        """The samples nearest to a text, an image, a vector or, with ``like``, a sample; see `headstart.search`."""
        import headstart

        return headstart.search(self, query, quiet=quiet, **options)

    def suggest(self, quiet: bool = True, **options: Any) -> Suggestions:
        """Choose train samples that would be worth a label; see `headstart.suggest`."""
        import headstart

        return headstart.suggest(self, quiet=quiet, **options)

    def cluster(self, quiet: bool = True, **options: Any) -> Clusters:
        """Group the samples, and keep the groups as a column: a new state, in force; see `headstart.cluster`."""
        import headstart

        return headstart.cluster(self, quiet=quiet, **options)

    def correct(self, corrections: Any, quiet: bool = True) -> FeatureSet:
        """Correct labels and drop samples: the set in a new state, which is in force; see `headstart.correct`."""
        import headstart

        return headstart.correct(self, corrections, quiet=quiet)

    def held(
        self,
        split: str | None = None,
        tap: str | None = None,
        backbone: str | None = None,
        view: str | None = None,
    ) -> HeldSamples:
        """The samples that have a feature, before any of it is read; for parameters and errors see `rows`."""
        if split is not None and split not in SPLITS:
            raise ConfigError(f"there is no split {split!r}; choose from: {', '.join(SPLITS)}")
        feature = self.feature(tap, backbone, view)
        space, keys, places = self._locate(feature)
        asked = self._is_in(split, len(keys))
        held = places.found(len(keys))
        missing = asked & ~held
        if feature.view is not None:
            missing &= self._is_in("train", len(keys))  # views are for training: others need not have them
        if missing.any():
            self._explain_missing(keys[missing], feature)
        chosen = asked & held
        if not chosen.all():
            keys, places = keys[chosen], places.only(chosen)
        return HeldSamples(self, feature, space, keys, places, chosen)

    def _locate(self, feature: FeatureRef) -> tuple[Space, NDArray[np.uint8], RowLocations]:
        """Where the rows of all samples are stored; looked up once, as neither set nor shards ever change."""
        found = self._located.get(feature.space)
        if found is None:
            space = self._open_space(feature.space)
            keys = keys_from_arrow(self.columns(["key"]).column("key"))
            found = self._located[feature.space] = space, keys, locate(space.refresh(), keys)
        return found

    def _is_in(self, split: str | None, n: int) -> NDArray[np.bool_]:
        if split is None:
            return np.ones(n, dtype=bool)
        mask: NDArray[np.bool_] = codes_by_name(self.columns(["split"]).column("split"), [split]) == 0
        return mask

    def _explain_missing(self, keys: NDArray[np.uint8], feature: FeatureRef) -> None:
        unknown = self.count_unexplained(keys, feature.space)
        if unknown:
            del self._located[feature.space]  # they may have come when somebody asks again
            raise MismatchError(
                f"{unknown:,} of {len(self):,} samples of set {self.name!r} have no feature of "
                f"{feature.backbone} at {display_tap(feature.tap)}; run headstart extract on its data "
                f"again with --backbone {feature.backbone} --set {self.name}"
            )


@dataclass(frozen=True)
class HeldSamples:
    """Samples of a set that have a feature, N rows in the set's order, before any of it is read.

    ``chosen`` says which samples of the set they are, ``places`` where their rows were when they were looked up.
    """

    of: SetState
    feature: FeatureRef
    space: Space
    keys: NDArray[np.uint8]
    places: RowLocations
    chosen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, chosen: NDArray[np.bool_]) -> HeldSamples:
        """Some of these samples, by a mask of shape (N,)."""
        if chosen.all():
            return self
        of_all = self.chosen.copy()
        of_all[self.chosen] = chosen
        return HeldSamples(
            self.of, self.feature, self.space, self.keys[chosen], self.places.only(chosen), of_all
        )

    def columns(self, names: Sequence[str] | None = None) -> pa.Table:
        """Some columns of these samples, or all."""
        table = self.of.samples if names is None else self.of.columns(names)
        return table if self.chosen.all() else table.filter(mask_of(self.chosen))

    @cached_property
    def table(self) -> pa.Table:
        """All columns of these samples."""
        return self.columns()

    def labels(self, label: str | None = None) -> Labels:
        """A label column by name, or the first; where the set has none, labels that nobody knows."""
        if label is None and not self.of.label_names:
            return Labels(np.full(len(self), -1, dtype=np.int64), (), "single")
        column = self.of.label_column(label)
        names, kind = self.of.label_names[column], self.of.label_kinds[column]
        values = self.columns([LABEL + column]).column(LABEL + column)
        return Labels(open_task(kind).encode(values, names), names, kind)

    def selection(self, label: str | None = None) -> Selection:
        """The same to be exported a block at a time; without ``label``, with all label columns."""
        of, feature = self.of, self.feature
        columns = of.label_names if label is None else [of.label_column(label)]
        labels = {column: LabelMeaning(of.label_kinds[column], of.label_names[column]) for column in columns}
        about = {
            "set": of.name,
            "digest": of.digest,
            "backbone": feature.backbone,
            "tap": feature.tap,
            "view": feature.view,
            "space": feature.space,
            "modality": of.info.get("source", {}).get("modality"),
        }
        said = {name: str(value) for name, value in about.items() if value is not None}
        return Selection(samples_of(self.table, self.keys, list(labels)), labels, said, self.open())

    def open(self, is_ragged: bool | None = None) -> StoredRows:
        """Their rows: with one vector a sample, with several, or (None) whichever they have.

        Raises
        ------
        ConfigError
            They have the other.
        """
        rows = self.space.rows(self.keys, self.places)
        if is_ragged in (None, rows.kind.is_ragged):
            return rows
        said = f"{self.feature.backbone} at {display_tap(self.feature.tap)}"
        if is_ragged:
            raise ConfigError(
                f"{said} has one vector a sample: read it with features.arrays() or features.mapped(), "
                "or choose a tap that keeps all positions, such as last.tokens"
            )
        plain = [ref.tap for ref in self.of.features if ref.view is None and not tap_is_ragged(ref.tap)]
        taps = ", ".join(dict.fromkeys(map(display_tap, plain)))
        raise ConfigError(
            f"{said} has several vectors a sample: read them with features.tokens(), or fit the head "
            "that takes them, --head attention. Other heads, arrays, tables and audits take one vector a "
            f"sample: choose a pooled tap{f' of this set: {taps}' if taps else ', such as last.mean'}"
        )
