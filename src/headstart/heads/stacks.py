"""Fitting torch heads side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from headstart.errors import ConfigError
from headstart.heads.devices import pick_device
from headstart.heads.estimators import FLOATS
from headstart.heads.inputs import examples_of, is_stored
from headstart.heads.parameters import check
from headstart.heads.scaling import standardise
from headstart.heads.sequences import are_sequences

if TYPE_CHECKING:
    import torch

    from headstart.heads.torch_heads import TorchHead
    from headstart.heads.training.checkpoint import Checkpoint
    from headstart.heads.training.loop import Trained
    from headstart.heads.training.objectives import Objective

STACKABLE = ("lr", "weight_decay", "dropout")
"""What heads that are trained side by side may differ in."""


def fit_stack(
    heads: Sequence[TorchHead],
    X: Any,
    y: ArrayLike,
    X_val: Any = None,
    y_val: ArrayLike | None = None,
    callbacks: Sequence[Any] = (),
    views: Sequence[ArrayLike] = (),
    checkpoint: Checkpoint | None = None,
) -> list[Trained]:
    """Fit heads side by side, in one pass over the data.

    Parameters
    ----------
    heads : sequence of TorchHead
        Of one class, with parameters that differ in `STACKABLE` alone. They become fitted, but for those
        that diverged.
    X, y, X_val, y_val, callbacks, views, checkpoint
        See `TorchHead.fit`; callbacks watch the first head.

    Returns
    -------
    list of Trained
        What became of each.
    """
    import torch

    from headstart.heads.training.loop import Trainer
    from headstart.heads.training.settings import Member

    first = heads[0]
    for head in heads:
        check(head)
    if (X_val is None) != (y_val is None):
        raise ConfigError("X_val was given without y_val; give both or neither")
    device = pick_device(first.device)
    features, labels = _read_labelled(first, X, y)
    targets = first._learn_targets(labels, features)
    first._learn_scale(features)
    examples = examples_of(
        features, targets, first.mean_, first.scale_, device, _scaled(views, features, first)
    )
    validation = None
    if X_val is not None:
        val, val_labels = first._read(X_val, reset=False), np.asarray(y_val)
        if len(val) != len(val_labels):
            raise ConfigError(f"X_val has {len(val):,} rows, and y_val {len(val_labels):,}")
        validation = examples_of(val, first._as_targets(val_labels), first.mean_, first.scale_, device)
    settings = first._settings(len(features))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # a network of the user's own draws its weights when it is made
        network = first._network(first.n_features_in_, first.n_outputs_, [float(h.dropout) for h in heads])
    network.draw(torch.Generator().manual_seed(settings.seed))
    members = [Member(float(h.lr), float(h.weight_decay), float(h.dropout)) for h in heads]
    trainer = Trainer(
        network.to(device), members, examples, validation, settings, _objective(first, targets, device),
        callbacks, checkpoint, {"kind": first.kind, **first.get_params()},
    )  # fmt: skip
    outcomes = trainer.run()
    for head, trained in zip(heads, outcomes, strict=True):
        if not trained.diverged_at:
            _share(first, head)
            head._keep(trained)
    return outcomes


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

    from headstart.heads.training.objectives import Objective, balanced_weights

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
