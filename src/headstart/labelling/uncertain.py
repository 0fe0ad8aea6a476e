"""What a head is unsure of: samples between two classes, or among many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError, DataError, MismatchError
from headstart.heads import open_head
from headstart.heads.predictor import Predictor
from headstart.heads.rows import in_blocks
from headstart.labelling.pool import open_pool, rows_of
from headstart.tasks import open_task
from headstart.types import FeatureRef
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.labelling.config import SuggestConfig
    from headstart.labelling.pool import Pool
    from headstart.registry.run import Run

    Rows = NDArray[np.int64]

ALIKE = 0.95
"""Cosine, less the mean of all, from which two samples say the same: the second waits."""
COLD_START = "which --strategy typical, cover or random do without"


@dataclass(frozen=True)
class Opinions:
    """What a head says of the open samples of a pool, in their order.

    Parameters
    ----------
    probabilities : ndarray of shape (n, C)
    classes : sequence of str
    head : str
        Who says so, for people.
    """

    probabilities: NDArray[np.floating[Any]]
    classes: list[str]
    head: str

    @property
    def predicted(self) -> list[str]:
        """The class of each."""
        return [self.classes[code] for code in self.codes.tolist()]

    @property
    def codes(self) -> Rows:
        """The place of the class of each."""
        found: Rows = self.probabilities.argmax(axis=1)
        return found

    def doubts(self, strategy: str) -> NDArray[np.float64]:
        """How unsure the head is of each: one less the margin between the two likeliest classes, or the entropy.

        Scheffer, Decomain and Wrobel (2001); Shannon (1948), in nats.
        """
        shares = self.probabilities.astype(np.float64)
        if strategy == "entropy":
            found: NDArray[np.float64] = -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1)
            return found
        two = np.partition(shares, -2, axis=1)[:, -2:]
        return 1 - np.abs(two[:, 1] - two[:, 0])


def opinions_of_a_new_head(pool: Pool, seed: int) -> Opinions:
    """Fit a logistic head on what is labelled, and ask it.

    Raises
    ------
    DataError, ConfigError
        Nothing can be learnt from the labels, or they are no classes.
    """
    task = open_task(pool.kind)
    if task.form != "classes":
        raise ConfigError(
            f"label {pool.column!r} is {task.meaning}, and margins are between classes: {COLD_START}"
        )
    classes = np.unique(pool.y[pool.labelled])
    if len(classes) < 2:
        raise DataError(
            f"set {pool.features.name!r} has {counted(len(pool.labelled), 'train sample')} with a label in "
            f"{pool.column!r}, of {counted(len(classes), 'class')}, and a head needs two: {COLD_START}"
        )
    head: Any = open_head("logistic", {}, seed)
    head.fit(pool.X[pool.labelled], np.array(pool.names)[pool.y[pool.labelled]])
    predictor = Predictor(head)
    said = f"a logistic head on {counted(len(pool.labelled), 'labelled sample')} of {pool.said}"
    return Opinions(_asked(predictor, pool), predictor.classes, said)


def pool_of_run(features: FeatureSet, run: Run, config: SuggestConfig) -> tuple[Pool, Opinions]:
    """The train samples of a set with the features that a run reads, and what it says of them.

    Raises
    ------
    ConfigError
        The run is no head over one vector a sample, or predicts no classes.
    MismatchError
        It is of another set, another label, or reads features that this set has not.
    """
    name = run.path or "the run"
    if run.method is not None:
        raise ConfigError(
            f"{name} is a network that was fine-tuned, which reads no cached features; take a head's run"
        )
    if run.set != features.name:
        raise MismatchError(
            f"{name} was fitted on set {run.set!r}, and suggestions are for {features.name!r}"
        )
    one = run.of(config.label) if run.has_several and config.label else run
    if one.has_several:
        raise ConfigError(f"{name} predicts several labels; --label says which")
    pool = open_pool(
        features, config.label or str(one.labels["column"]), _feature_read(features, one, str(name))
    )
    if one.labels["column"] != pool.column:
        raise MismatchError(
            f"{name} predicts {one.labels['column']!r}, and suggestions are for {pool.column!r}"
        )
    if open_task(one.task).form != "classes" or one.predictor.takes_sequences:
        raise ConfigError(
            f"{name} is of no head that gives a sample one class; fit a logistic one, or leave --run out"
        )
    return pool, Opinions(_asked(one.predictor, pool), one.predictor.classes, f"{name} ({one.head_name})")


def _feature_read(features: FeatureSet, run: Run, name: str) -> FeatureRef:
    parts = run.features.get("parts") or [run.features]
    if len(parts) > 1:
        raise ConfigError(
            f"{name} reads {len(parts)} features side by side, and suggestions are by one; leave --run out, and "
            "say --tap and --backbone"
        )
    space = parts[0].get("space")
    found = next((ref for ref in features.features if ref.space == space and ref.view is None), None)
    if found is None:
        raise MismatchError(
            f"{name} reads {run.backbone} at {run.tap}, which set {features.name!r} does not have (any more); "
            "extract them again, or fit the head on what it has"
        )
    return found


def _asked(predictor: Predictor, pool: Pool) -> NDArray[np.floating[Any]]:
    blocks = (predictor.outputs(block) for _, block in in_blocks(rows_of(pool, pool.open)))
    return np.concatenate(list(blocks))


def spread(pool: Pool, order: Rows, n: int) -> Rows:
    """The first n of some places in the open samples, of which none says the same as one before it; see `ALIKE`.

    Where there are too few such, those that were passed over follow.
    """
    chosen, waiting = list[int](), list[int]()
    units = np.empty((n, pool.units.shape[1]), dtype=np.float32)
    for part in _parts(order, n):
        rows = pool.units[pool.open[part]]
        for place, unit in zip(part.tolist(), rows, strict=True):
            if len(chosen) == n:
                return np.array(chosen)
            if chosen and float((units[: len(chosen)] @ unit).max()) >= ALIKE:
                waiting.append(place)
                continue
            units[len(chosen)] = unit
            chosen.append(place)
    return np.array([*chosen, *waiting][:n], dtype=np.int64)


def _parts(order: Rows, n: int) -> Iterator[Rows]:
    return (order[start : start + n] for start in range(0, len(order), n))
