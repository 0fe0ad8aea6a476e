"""Fitting torch heads side by side."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from headstart.errors import ConfigError
from headstart.heads.devices import pick_device, seed_of
from headstart.heads.estimators import FLOATS
from headstart.heads.inputs import examples_of
from headstart.heads.parameters import check
from headstart.heads.scaling import standardise
from headstart.samples import are_sequences, is_stored
from headstart.training.settings import Member

if TYPE_CHECKING:
    import torch

    from headstart.heads.networks.networks import Network
    from headstart.heads.torch_heads import TorchHead
    from headstart.training.checkpoint import Checkpoint
    from headstart.training.examples import Examples, Stream
    from headstart.training.loop import Trained
    from headstart.training.objectives import Objective

STACKABLE = ("lr", "weight_decay", "dropout", "random_state")
"""What heads that are trained side by side may differ in."""


@dataclass(frozen=True)
class Labelled:
    """What a head is fitted on; see `TorchHead.fit`.

    Parameters
    ----------
    X, y, X_val, y_val
    views : sequence of array-like, shape (N, D)
    """

    X: Any
    y: ArrayLike
    X_val: Any = None
    y_val: ArrayLike | None = None
    views: Sequence[ArrayLike] = ()


def fit_stack(
    heads: Sequence[TorchHead],
    samples: Labelled | Sequence[Labelled],
    callbacks: Sequence[Any] = (),
    checkpoint: Checkpoint | None = None,
) -> list[Trained]:
    """Fit heads side by side, in one pass over the data.

    Parameters
    ----------
    heads : sequence of TorchHead
        Of one class, with parameters that differ in `STACKABLE` alone. They become fitted, but for those
        that diverged.
    samples : Labelled, or a sequence of them
        For all heads, or for each; then all have as many rows and validation rows, features of one width and
        the same classes.
    callbacks, checkpoint
        See `TorchHead.fit`; callbacks watch the first head.

    Returns
    -------
    list of Trained
        What became of each.
    """
    from headstart.training.loop import Trainer

    first = heads[0]
    for head in heads:
        check(head)
    of_head = [samples] * len(heads) if isinstance(samples, Labelled) else list(samples)
    device = pick_device(first.device)
    groups = _groups(heads, of_head)
    shelves: dict[int, _Shelf] = {}
    for group in groups:
        head, part = heads[group[0]], of_head[group[0]]
        if id(part) not in shelves:
            shelves[id(part)] = _Shelf.of(head, part, device)
    streams = [shelves[id(of_head[group[0]])].stream([heads[number] for number in group]) for group in groups]
    trainer = Trainer(
        _network([[heads[number] for number in group] for group in groups]).to(device),
        streams,
        first._settings(len(streams[0].examples)),
        _objective(first, shelves[id(of_head[0])].targets, device),
        callbacks,
        checkpoint,
        {"kind": first.kind, **first.get_params()},
    )
    trained = dict(zip([number for group in groups for number in group], trainer.run(), strict=True))
    for number, head in enumerate(heads):
        if not trained[number].diverged_at:
            _share(shelves[id(of_head[number])].head, head)
            head._keep(trained[number])
    return [trained[number] for number in range(len(heads))]


def _groups(heads: Sequence[TorchHead], samples: Sequence[Labelled]) -> list[list[int]]:
    """The numbers of heads that see the same rows in the same order; the first head is in the first."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, (head, part) in enumerate(zip(heads, samples, strict=True)):
        groups.setdefault((id(part), seed_of(head.random_state)), []).append(number)
    return list(groups.values())


def _network(groups: Sequence[Sequence[TorchHead]]) -> Network:
    """The network of all heads, with first weights by the seed of each."""
    import torch

    heads = [head for group in groups for head in group]
    first = heads[0]
    with torch.random.fork_rng(devices=[]):
        # A network of the user's own draws its weights when it is made.
        torch.manual_seed(seed_of(first.random_state))
        network = first._network(first.n_features_in_, first.n_outputs_, [float(h.dropout) for h in heads])
    start = 0
    for group in groups:
        generator = torch.Generator().manual_seed(seed_of(group[0].random_state))
        network.draw(generator, slice(start, start + len(group)))
        start += len(group)
    return network


@dataclass(frozen=True)
class _Shelf:
    """Samples as a trainer takes them.

    Parameters
    ----------
    head : TorchHead
        It learnt the classes and the scale.
    targets : ndarray
    examples, validation : Examples
    """

    head: TorchHead
    targets: NDArray[Any]
    examples: Examples
    validation: Examples | None

    @classmethod
    def of(cls, head: TorchHead, samples: Labelled, device: torch.device) -> _Shelf:
        """Read samples, and learn from them what does not depend on training."""
        if (samples.X_val is None) != (samples.y_val is None):
            raise ConfigError("X_val was given without y_val; give both or neither")
        features, labels = _read_labelled(head, samples.X, samples.y)
        targets = head._learn_targets(labels, features)
        head._learn_scale(features)
        views = _scaled(samples.views, features, head)
        examples = examples_of(features, targets, head.mean_, head.scale_, device, views)
        if samples.X_val is None:
            return cls(head, targets, examples, None)
        val, val_labels = head._read(samples.X_val, reset=False), np.asarray(samples.y_val)
        if len(val) != len(val_labels):
            raise ConfigError(f"X_val has {len(val):,} rows, and y_val {len(val_labels):,}")
        wanted = head._as_targets(val_labels)
        return cls(head, targets, examples, examples_of(val, wanted, head.mean_, head.scale_, device))

    def stream(self, heads: Sequence[TorchHead]) -> Stream:
        """These samples for heads of one seed; what is drawn of them is their own."""
        from headstart.training.examples import Stream

        members = [Member(float(h.lr), float(h.weight_decay), float(h.dropout)) for h in heads]
        return Stream(copy.copy(self.examples), members, self.validation, seed_of(heads[0].random_state))


def _read_labelled(head: TorchHead, X: Any, y: ArrayLike) -> tuple[Any, NDArray[Any]]:
    if head.takes_sequences or is_stored(X):
        features, labels = head._read(X, reset=True), np.asarray(y)
        if len(features) != len(labels):
            raise ConfigError(f"X has {len(features):,} rows, and y {len(labels):,}; it needs as many")
        return features, labels
    several = np.asarray(y).ndim == 2 and np.asarray(y).shape[1] > 1
    features, labels = validate_data(
        head, X, y, dtype=FLOATS, multi_output=several, y_numeric=isinstance(head, RegressorMixin)
    )
    return features, labels


def _share(first: TorchHead, head: TorchHead) -> None:
    """What was learnt of the data, for all heads of a stack."""
    if head is first:
        return
    for name in vars(first):
        if name.endswith("_") and not name.startswith("_") and name not in ("weights_", "history_"):
            setattr(head, name, getattr(first, name))


def _objective(head: TorchHead, targets: NDArray[Any], device: torch.device) -> Objective:
    import torch

    from headstart.training.objectives import Objective, balanced_weights

    weights = None
    if head.class_weight == "balanced" and head._task != "regression":
        weights = balanced_weights(torch.from_numpy(targets), head.n_outputs_, head._task).to(device)
    return Objective(head._task, weights, float(head.label_smoothing))


def _scaled(views: Sequence[ArrayLike], features: Any, head: TorchHead) -> NDArray[np.float32] | None:
    """All views as one array (V, N, D), scaled as the plain features were."""
    if not len(views):
        return None
    if is_stored(features) or are_sequences(features):
        raise ConfigError("views are drawn from memory: train on the plain features alone, or on fewer rows")
    stacked = np.empty((len(views), *features.shape), dtype=np.float32)
    for place, view in zip(stacked, views, strict=True):
        changed = validate_data(head, view, dtype=FLOATS, reset=False)
        if len(changed) != len(features):
            raise ConfigError(
                f"a view has {len(changed):,} rows, and X has {len(features):,}; it needs as many"
            )
        place[...] = standardise(changed, head.mean_, head.scale_)
    return stacked
