"""Heads that attend: over tokens, patches, or the layers of a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from headstart.heads.parameters import Interval, ParameterError
from headstart.heads.torch_heads import TorchHead
from headstart.heads.torch_kinds import TorchClassifier, TorchRegressor

if TYPE_CHECKING:
    from headstart.heads.networks.networks import Network


@dataclass(eq=False, repr=False, kw_only=True)
class _Attention(TorchHead):
    kind: ClassVar[str] = "attention"
    takes_sequences: ClassVar[bool] = True
    intervals: ClassVar[Mapping[str, Interval]] = {
        **TorchHead.intervals,
        "width": Interval(1, 65_537),
        "n_heads": Interval(1, 1025),
        "depth": Interval(1, 65),
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
        from headstart.heads.networks.networks import AttentionNetwork

        width, n_heads = int(self.width), int(self.n_heads)
        if width % n_heads:
            raise ParameterError(f"width must be a multiple of n_heads, got {width} and {n_heads}")
        return AttentionNetwork(
            n_features, n_outputs, width, n_heads, int(self.depth), self.pooling, dropouts
        )


@dataclass(eq=False, repr=False, kw_only=True)
class AttentionHead(_Attention, TorchClassifier):
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


@dataclass(eq=False, repr=False, kw_only=True)
class AttentionRegressor(_Attention, TorchRegressor):
    """The same for numbers; see `AttentionHead`."""
