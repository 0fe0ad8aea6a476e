"""The heads that are trained by epochs: linear, MLP, residual and attention, and the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ConfigError, DataError
from headstart.heads.estimators import Classifier, Regressor, Shapes, Tensors
from headstart.heads.parameters import Interval, ParameterError
from headstart.heads.rows import blocks, standardise
from headstart.heads.torch_heads import TorchHead
from headstart.heads.trunk import TorchTrunk
from headstart.own_code import load_own, reason_of, source_digest
from headstart.tasks import open_task
from headstart.types import Predictions

if TYPE_CHECKING:
    from headstart.heads.networks import Network
    from headstart.samples import SoftTargets
    from headstart.training.loop import TrainingResult

ZERO_SHOT = "zero-shot"
BLENDS = tuple(place / 20 for place in range(21))
"""What ``auto`` chooses from; of equally good ones the first."""
WIDTHS, DEPTHS = Interval(1, 65_537), Interval(1, 65)


class TorchClassifier(Classifier):
    """A torch head for classes, or for several labels a sample."""

    fitted: ClassVar[tuple[str, ...]] = (*TorchHead.fitted, "is_multi_")

    def _learn_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        codes = super()._learn_targets(y)
        return codes.astype(np.float32) if self.is_multi_ else codes

    def _as_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        codes = super()._as_targets(y)
        return codes.astype(np.float32) if self.is_multi_ else codes

    def opinions(self, soft: SoftTargets) -> NDArray[np.float32]:
        """A teacher's logits in the order of the outputs; of several labels a sample they are in it."""
        if self.is_multi_:
            return soft.logits
        places = {name: place for place, name in enumerate(soft.names)}
        if lacking := [str(name) for name in self.classes_ if str(name) not in places]:
            raise DataError(f"the teacher says nothing of the class {lacking[0]!r}, which the labels have")
        return soft.logits[:, [places[str(name)] for name in self.classes_]]


class TorchRegressor(Regressor):
    """A torch head for numbers, by squared error; targets are standardised while it trains."""

    fitted: ClassVar[tuple[str, ...]] = (*TorchHead.fitted, "is_flat_")
    target_tensors: ClassVar[tuple[str, ...]] = ("target_mean", "target_scale")

    target_mean_: NDArray[np.float64]
    target_scale_: NDArray[np.float64]

    def predict(self, X: Any) -> NDArray[np.floating[Any]]:
        """Numbers, of the shape that the targets had: (N,) or (N, T)."""
        numbers: NDArray[np.floating[Any]] = self._scores(X) * self.target_scale_ + self.target_mean_
        return numbers[:, 0] if self.is_flat_ else numbers

    def _learn_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        numbers = super()._learn_targets(y)
        if not np.isfinite(numbers).all():
            raise DataError("targets must be finite numbers; leave out samples without one")
        self.target_mean_, deviation = numbers.mean(axis=0), numbers.std(axis=0)
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0)
        return self._as_targets(numbers)

    def _as_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        scaled = (super()._as_targets(y) - self.target_mean_) / self.target_scale_
        return scaled.astype(np.float32)

    def opinions(self, soft: SoftTargets) -> NDArray[np.float32]:
        """A teacher's numbers, standardised as the targets are."""
        return self._as_targets(soft.logits)


class _Linear(TorchHead):
    kind: ClassVar[str] = "linear"

    @property
    def coef_(self) -> NDArray[np.float32]:
        """Of standardised features, shape (n_outputs, D)."""
        coef: NDArray[np.float32] = self.weights_["output.weight"]
        return coef

    @property
    def intercept_(self) -> NDArray[np.float32]:
        """Shape (n_outputs,)."""
        intercept: NDArray[np.float32] = self.weights_["output.bias"]
        return intercept

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.networks import LinearNetwork

        return LinearNetwork(n_features, n_outputs, dropouts)

    def _shapes(self, tensors: Tensors, n_outputs: int, n_features: int) -> Shapes:
        """Without making a network, which would import torch."""
        numbers = dict.fromkeys(("output.bias", *self.target_tensors), (n_outputs,))
        return {"output.weight": (n_outputs, n_features), **numbers}

    def _run(self, features: Any) -> NDArray[np.float32]:
        """Predicting needs no torch."""
        parts = [
            standardise(np.asarray(block, dtype=np.float32), self.mean_, self.scale_) @ self.coef_.T
            for block in blocks(features)
        ]
        logits = np.concatenate(parts) + self.intercept_
        return logits.astype(np.float32, copy=False)


@dataclass(eq=False, repr=False, kw_only=True)
class LinearHead(TorchClassifier, _Linear):
    """Softmax regression, or a logistic regression for each of several labels, trained by epochs.

    Torch is needed to fit it, not to predict. Dropout is of the features.

    Parameters
    ----------
    init : {"none", "zero-shot"}
        Its first weights: zero; or ``class_vectors`` times the logit scale, for features of length 1. Weight decay
        pulls towards them.
    blend : float in [0, 1] or "auto"
        The share of the way from there to the trained weights that is gone in the end; ``auto``: the one that is best
        on validation samples.
    **others
        See `TorchHead`.

    Attributes
    ----------
    blend_ : float
        If it starts from ``class_vectors``.

    References
    ----------
    Wortsman et al., Robust Fine-Tuning of Zero-Shot Models (2022): WiSE-FT, whose mixing coefficient is ``blend``.
    """

    intervals: ClassVar[Mapping[str, Interval]] = {
        **TorchHead.intervals, "blend": Interval(0, 1, auto=True, closed_high=True),
    }  # fmt: skip
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchHead.choices, "init": ("none", ZERO_SHOT)}

    init: str = "none"
    blend: float | str = "auto"

    @property
    def starts_from_names(self) -> bool:  # type: ignore[override]
        """Whether it needs `class_vectors`."""
        return self.init == ZERO_SHOT

    @property
    def fitted(self) -> tuple[str, ...]:  # type: ignore[override]
        """With the blend, where there is one."""
        return (*TorchClassifier.fitted, "blend_") if self.starts_from_names else TorchClassifier.fitted

    def finish(self, trained: TrainingResult) -> Self:
        """Become fitted: where it started, and the share of the way that was trained."""
        super().finish(trained)
        if self.starts_from_names:
            names = ("output.weight", "output.bias")
            self._way = [self.weights_[name] for name in names]
            self._start = [self.weights_.pop(name.replace("output", "start")) for name in names]
            self._go(1.0 if self.blend == "auto" else float(self.blend))
        return self

    def settle(self, X: Any, y: Any) -> None:
        """Choose the blend, if nobody said it: by accuracy, then by log loss."""
        if not self.starts_from_names or self.blend != "auto":
            return
        task, true = open_task(self.task), np.asarray(y)
        classes = [str(name) for name in self.classes_]

        def score(share: float) -> tuple[float, ...]:
            self._go(share)
            return task.selection(task.scores(Predictions(true, task.outputs(self, X, 1.0), classes)))

        self._go(max(BLENDS, key=score))

    def _go(self, share: float) -> None:
        """Take the weights that lie at a share of the way."""
        mixed = [start + np.float32(share) * way for start, way in zip(self._start, self._way, strict=True)]
        self.weights_["output.weight"], self.weights_["output.bias"] = mixed
        self.blend_ = share

    def _untrained(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.networks import LinearNetwork

        return LinearNetwork(n_features, n_outputs, dropouts, starts=self.starts_from_names)

    def _place(self, network: Any, members: slice) -> None:
        if self.starts_from_names:
            network.start_at(*_tensors_of(*self._names_as_weights()), members)

    def _names_as_weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of standardised features: a matrix (n_outputs, D) and intercepts."""
        known = self.class_vectors
        if known is None:
            raise ConfigError(
                "init='zero-shot' starts from the names of classes: set class_vectors, as fit-head does"
            )
        places = {name: place for place, name in enumerate(known.names)}
        order = self.classes_ if self.is_multi_ else [places[str(name)] for name in self.classes_]
        coef = known.logit_scale * known.directions()[order].astype(np.float64)
        return coef * self.scale_, coef @ self.mean_ + (known.logit_bias or 0.0)


def _tensors_of(*arrays: NDArray[Any]) -> list[Any]:
    import torch

    return [torch.from_numpy(array.astype(np.float32)) for array in arrays]


class LinearRegressor(TorchRegressor, _Linear):
    """Linear regression, trained by epochs; for the parameters see `TorchHead`."""


@dataclass(eq=False, repr=False, kw_only=True)
class _MLP(TorchHead):
    kind: ClassVar[str] = "mlp"
    intervals: ClassVar[Mapping[str, Interval]] = {
        **TorchHead.intervals, "depth": DEPTHS, "width": WIDTHS
    }  # fmt: skip
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchHead.choices, "norm": ("layer", "none")}

    depth: int = 1
    width: int = 512
    norm: str = "layer"
    dropout: float = 0.3
    weight_decay: float = 0.1

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.networks import MLP

        return MLP(n_features, n_outputs, int(self.depth), int(self.width), self.norm, dropouts)


class MLPHead(TorchClassifier, _MLP):
    """Hidden layers with norm, GELU and dropout, then a linear one.

    Parameters
    ----------
    depth : int in [1, 65)
        Hidden layers.
    width : int in [1, 65537)
        Units of each.
    **others
        See `TorchHead`.
    """


class MLPRegressor(TorchRegressor, _MLP):
    """The same for numbers; see `MLPHead`."""


class MLPTrunk(TorchTrunk, _MLP):
    """The same for several labels, with one output layer for all; see `MLPHead` and `TorchTrunk`."""


@dataclass(eq=False, repr=False, kw_only=True)
class _Residual(_MLP):
    kind: ClassVar[str] = "residual"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchHead.choices, "norm": ("layer",)}

    depth: int = 2
    width: int = 256

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.networks import ResidualNetwork

        return ResidualNetwork(n_features, n_outputs, int(self.depth), int(self.width), dropouts)


class ResidualHead(TorchClassifier, _Residual):
    """Blocks of norm, two linear layers, dropout and a shortcut (Gorishniy et al., 2021).

    Parameters
    ----------
    depth : int in [1, 65)
        Blocks.
    width : int in [1, 65537)
        Of the shortcut; inside of a block it is twice that.
    **others
        See `TorchHead`.
    """


class ResidualRegressor(TorchRegressor, _Residual):
    """The same for numbers; see `ResidualHead`."""


class ResidualTrunk(TorchTrunk, _Residual):
    """The same for several labels; see `ResidualHead` and `TorchTrunk`."""


@dataclass(eq=False, repr=False, kw_only=True)
class _Attention(TorchHead):
    kind: ClassVar[str] = "attention"
    takes_sequences: ClassVar[bool] = True
    intervals: ClassVar[Mapping[str, Interval]] = {
        **TorchHead.intervals,
        "width": WIDTHS,
        "n_heads": Interval(1, 1025),
        "depth": DEPTHS,
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchHead.choices, "pooling": ("mean", "query")}

    width: int = 128
    n_heads: int = 4
    depth: int = 1
    pooling: str = "mean"
    dropout: float = 0.2
    weight_decay: float = 0.1
    epochs: int = 30
    batch_size: int = 64
    patience: int = 5

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.networks import AttentionNetwork

        width, n_heads = int(self.width), int(self.n_heads)
        if width % n_heads:
            raise ParameterError(f"width must be a multiple of n_heads, got {width} and {n_heads}")
        return AttentionNetwork(
            n_features, n_outputs, width, n_heads, int(self.depth), self.pooling, dropouts
        )


class AttentionHead(TorchClassifier, _Attention):
    """Multi-head attention over the vectors of a sample, pooled, then a linear layer.

    Parameters
    ----------
    width : int in [1, 65537)
        What vectors are projected to; a multiple of ``n_heads``.
    n_heads, depth : int
        Heads of an attention, and blocks of self-attention.
    pooling : {"mean", "query"}
        Self-attention and the mean of what is there; or one learned query.
    **others
        See `TorchHead`.
    """


class AttentionRegressor(TorchRegressor, _Attention):
    """The same for numbers; see `AttentionHead`."""


class AttentionTrunk(TorchTrunk, _Attention):
    """The same for several labels; see `AttentionHead` and `TorchTrunk`."""


@dataclass(eq=False, repr=False, kw_only=True)
class _Own(TorchHead):
    kind: ClassVar[str] = "own"
    trains_side_by_side: ClassVar[bool] = False
    fitted: ClassVar[tuple[str, ...]] = ("source_",)

    spec: str = ""
    weight_decay: float = 0.01

    @property
    def takes_sequences(self) -> bool:  # type: ignore[override]
        """Whether the factory says ``takes_sequences = True``."""
        return bool(getattr(load_own(self.spec, "factory"), "takes_sequences", False))

    def _learn(self, features: Any, labels: NDArray[Any]) -> NDArray[Any]:
        self.__dict__.pop("source_", None)  # fitted anew, with the code of today
        return super()._learn(features, labels)

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        import torch

        from headstart.heads.networks import OwnNetwork

        factory = load_own(self.spec, "factory")
        digest = source_digest(factory)
        if getattr(self, "source_", digest) != digest:
            raise ConfigError(
                f"{self.spec} has changed since this head was fitted; bring the old code back, or fit it again"
            )
        self.source_ = digest
        given: dict[str, Any] = {"n_features": n_features, "n_outputs": n_outputs, "dropout": dropouts[0]}
        try:
            known = inspect.signature(factory).parameters
            module = factory(**{name: value for name, value in given.items() if name in known})
        except Exception as error:
            raise ConfigError(f"{self.spec} failed: {type(error).__name__}: {reason_of(error)}") from error
        if not isinstance(module, torch.nn.Module):
            raise ConfigError(f"{self.spec} gave a {type(module).__name__}; it must give a torch.nn.Module")
        return OwnNetwork(module)


class CustomHead(TorchClassifier, _Own):
    """The module that ``py:package.module:factory`` makes, trained as any torch head.

    Parameters
    ----------
    spec : str
        The factory; it is called with those of ``n_features``, ``n_outputs`` and ``dropout`` that it takes,
        and gives a module from (B, n_features) to logits (B, n_outputs). With an attribute
        ``takes_sequences = True`` its module takes values (B, L, D) and a mask (B, L).
    **others
        See `TorchHead`.
    """

    fitted: ClassVar[tuple[str, ...]] = (*TorchClassifier.fitted, "source_")


class CustomRegressor(TorchRegressor, _Own):
    """The same for numbers; see `CustomHead`."""

    fitted: ClassVar[tuple[str, ...]] = (*TorchRegressor.fitted, "source_")
