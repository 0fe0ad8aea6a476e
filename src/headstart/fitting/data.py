"""The samples that a head is fitted and judged on: features of one tap or several, and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import mask_of
from headstart.backbones.pooling import is_ragged
from headstart.errors import ConfigError, DataError
from headstart.heads.inputs import take_rows
from headstart.heads.sequences import Sequences
from headstart.tasks import open_task
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.types import FeatureRef, LabelKind

Choice = tuple[str | None, str | None]
"""A tap and a backbone; None: the latest."""


@dataclass(frozen=True)
class Part:
    """Labelled samples, N.

    Parameters
    ----------
    table : pyarrow.Table
        The set's columns.
    X : ndarray (N, D), rows that stay on disk, or sequences
    y : ndarray
        As `SetRows` says, without what has no label.
    """

    table: pa.Table
    X: Any
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: NDArray[np.int64]) -> Part:
        """Some of the samples."""
        return Part(
            self.table.take(pa.array(rows.tolist(), pa.int64())), take_rows(self.X, rows), self.y[rows]
        )

    def joined(self, other: Part) -> Part:
        """These samples and then others; in memory."""
        if not isinstance(self.X, np.ndarray):
            raise ConfigError(
                "train and validation samples can be joined in memory only: leave out --refit, --folds and "
                "--mapped for token features and for sets that are larger than memory"
            )
        table = pa.concat_tables([self.table, other.table])
        return Part(table, np.concatenate([self.X, other.X]), np.concatenate([self.y, other.y]))


@dataclass(frozen=True)
class FitData:
    """All splits of a set, as a head reads them.

    Parameters
    ----------
    kind : LabelKind
    column : str
        The label column.
    names : tuple of str
        The label names in order.
    parts : mapping of str to Part
        By split.
    refs : sequence of FeatureRef
        The features, in the order in which they are put side by side.
    widths : sequence of int
        How many columns each has; empty where they stand one behind the other.
    """

    kind: LabelKind
    column: str
    names: tuple[str, ...]
    parts: Mapping[str, Part]
    refs: Sequence[FeatureRef]
    widths: Sequence[int] = ()

    def targets(self, part: Part) -> NDArray[Any]:
        """Labels as heads take them: names, so that they travel with the head; 0/1 by label; or numbers."""
        return open_task(self.kind).targets(part.y, self.names)


def read_fit_data(
    features: FeatureSet,
    choices: Sequence[Choice],
    label: str | None,
    attends: bool = False,
    mapped: bool = False,
) -> FitData:
    """Read what a head is fitted on.

    Parameters
    ----------
    features : FeatureSet
    choices : sequence of (tap, backbone)
        Several are put side by side, by key; or one behind the other for a head that attends.
    label : str, optional
    attends : bool
        Whether the head takes several vectors a sample.
    mapped : bool
        Leave features on disk.

    Raises
    ------
    ConfigError
        A choice is not in the set, or cannot be read like that.
    """
    column = features.label_column(label)
    read = [
        {split: _read(features, choice, split, column, attends, mapped) for split in SPLITS}
        for choice in choices
    ]
    parts = {split: _joined([each[split] for each in read], attends) for split in SPLITS}
    held = read[0][SPLITS[0]][1]
    refs = [each[SPLITS[0]][1].feature for each in read]
    train = [each[SPLITS[0]][0].X for each in read]
    widths = [int(X.shape[1]) for X in train] if all(isinstance(X, np.ndarray) for X in train) else []
    return FitData(held.kind, column, tuple(held.names), parts, refs, [] if attends else widths)


def _read(
    features: FeatureSet, choice: Choice, split: str, label: str, attends: bool, mapped: bool
) -> tuple[Part, Any]:
    tap, backbone = choice
    if attends and (tap is None or is_ragged(features.feature(tap, backbone).tap)):
        try:
            held: Any = features.tokens(split, tap, label, backbone)
        except ConfigError:
            held = features.rows(split, tap, label, backbone)
    elif mapped:
        held = features.mapped(split, tap, label, backbone)
    else:
        held = features.rows(split, tap, label, backbone)
    X = getattr(held, "X", held)
    known = open_task(held.kind).known(held.y)
    if known.all():
        return Part(held.table, X, held.y), held
    return Part(held.table.filter(mask_of(known)), take_rows(X, np.flatnonzero(known)), held.y[known]), held


def _joined(read: Sequence[tuple[Part, Any]], attends: bool) -> Part:
    """Several features of the same samples, met by their ids; a sample that lacks one is left out."""
    parts = [part for part, _ in read]
    if len(parts) == 1:
        return parts[0]
    if not all(isinstance(part.X, np.ndarray) for part in parts):
        raise ConfigError("several taps are put side by side in memory: give pooled taps, without --mapped")
    rows = [np.flatnonzero(np.array(_in_all(part, parts).to_pylist(), dtype=bool)) for part in parts]
    aligned = [
        part.take(kept) if len(kept) < len(part) else part for part, kept in zip(parts, rows, strict=True)
    ]
    first = aligned[0]
    if not attends:
        return replace(first, X=np.concatenate([part.X for part in aligned], axis=1))
    widths = {part.X.shape[1] for part in aligned}
    if len(widths) > 1:
        raise ConfigError(
            f"layers that are attended to must be equally wide, and these are {sorted(widths)}; choose taps of "
            "one backbone"
        )
    stacked = np.stack([part.X for part in aligned], axis=1)
    n_samples, n_layers, width = stacked.shape
    return replace(first, X=Sequences(stacked.reshape(-1, width), np.arange(n_samples + 1) * n_layers))


def _in_all(part: Part, parts: Sequence[Part]) -> Any:
    masks = [pc.is_in(part.table.column("id"), other.table.column("id").combine_chunks()) for other in parts]
    found = masks[0]
    for mask in masks[1:]:
        found = pc.and_(found, mask)
    return found


def check_train(data: FitData, name: str) -> None:
    """Refuse what nothing can be learnt from.

    Raises
    ------
    DataError
        There is no training sample, or only one class.
    """
    train = data.parts["train"]
    if not len(train):
        raise DataError(f"set {name!r} has no train sample with a label in {data.column!r}")
    open_task(data.kind).check_train(train.y, data.names, name, data.column)
