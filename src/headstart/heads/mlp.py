"""Multi-layer perceptrons on pooled features, plain and with shortcuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from headstart.heads.parameters import Interval
from headstart.heads.torch_heads import TorchHead
from headstart.heads.torch_kinds import TorchClassifier, TorchRegressor

if TYPE_CHECKING:
    from headstart.heads.networks.networks import Network


@dataclass(eq=False, repr=False, kw_only=True)
class _MLP(TorchHead):
    kind: ClassVar[str] = "mlp"
    intervals: ClassVar[Mapping[str, Interval]] = {
        **TorchHead.intervals,
        "depth": Interval(1, 65),
        "width": Interval(1, 65_537),
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchHead.choices, "norm": ("layer", "none")}

    depth: int = 1
    width: int = 512
    norm: str = "layer"
    dropout: float = 0.3
    weight_decay: float = 0.1

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.networks.networks import MLP

        return MLP(n_features, n_outputs, int(self.depth), int(self.width), self.norm, dropouts)  # type: ignore[arg-type]


@dataclass(eq=False, repr=False, kw_only=True)
class MLPHead(_MLP, TorchClassifier):
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


@dataclass(eq=False, repr=False, kw_only=True)
class MLPRegressor(_MLP, TorchRegressor):
    """The same for numbers; see `MLPHead`."""


@dataclass(eq=False, repr=False, kw_only=True)
class _Residual(_MLP):
    kind: ClassVar[str] = "residual"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchHead.choices, "norm": ("layer",)}

    depth: int = 2
    width: int = 256

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.networks.networks import ResidualNetwork

        return ResidualNetwork(n_features, n_outputs, int(self.depth), int(self.width), dropouts)


@dataclass(eq=False, repr=False, kw_only=True)
class ResidualHead(_Residual, TorchClassifier):
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


@dataclass(eq=False, repr=False, kw_only=True)
class ResidualRegressor(_Residual, TorchRegressor):
    """The same for numbers; see `ResidualHead`."""
