"""A linear probe trained by epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from headstart.heads.scaling import blocks, standardise
from headstart.heads.torch_heads import TorchHead
from headstart.heads.torch_kinds import TorchClassifier, TorchRegressor

if TYPE_CHECKING:
    from headstart.heads.networks.networks import Network


@dataclass(eq=False, repr=False, kw_only=True)
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
        from headstart.heads.networks.networks import LinearNetwork

        return LinearNetwork(n_features, n_outputs, dropouts)

    def shapes(
        self, tensors: Mapping[str, NDArray[Any]], n_classes: int, n_features: int
    ) -> dict[str, tuple[int, ...]]:
        """The shape that each tensor must have; without making a network, which would import torch."""
        n_outputs = n_classes or self.n_outputs_
        return {
            "mean": (n_features,),
            "scale": (n_features,),
            "output.weight": (n_outputs, n_features),
            "output.bias": (n_outputs,),
            **self._target_shapes(n_outputs),
        }

    def _run(self, features: Any) -> NDArray[np.float32]:
        """Predicting needs no torch."""
        parts = [
            standardise(np.asarray(block, dtype=np.float32), self.mean_, self.scale_) @ self.coef_.T
            for block in blocks(features)
        ]
        logits = np.concatenate(parts) + self.intercept_
        return logits.astype(np.float32, copy=False)


@dataclass(eq=False, repr=False, kw_only=True)
class LinearHead(_Linear, TorchClassifier):
    """Softmax regression, or a logistic regression for each of several labels, trained by epochs.

    Torch is needed to fit it, not to predict. Its first weights are zero. For the parameters see
    `TorchHead`; dropout is of the features.
    """


@dataclass(eq=False, repr=False, kw_only=True)
class LinearRegressor(_Linear, TorchRegressor):
    """Linear regression, trained by epochs; for the parameters see `TorchHead`."""
