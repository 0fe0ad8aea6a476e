"""A backbone and a head that are trained together, of which any part may stay as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from headstart.backbones.freezing import enable_gradients
from headstart.backbones.pooling import pool, reads_of
from headstart.tuning.depths import Depths, blocks_of

if TYPE_CHECKING:
    from headstart.contracts import FrozenModel

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
HEAD = "head."
BACKBONE = "backbone."
ADAPTED = ".base_layer."
"""What peft puts into the name of a weight that it puts an adapter beside."""


class LinearHeadLayer(nn.Module):
    """Standardised features (B, D) to logits (B, C), as the head ``linear`` has them.

    Parameters
    ----------
    mean, scale : Tensor, shape (D,)
        They are known, and not learnt.
    n_outputs : int
    dropout : float
        Of the features, in [0, 1).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, n_outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float())
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(len(mean), n_outputs)
        nn.init.zeros_(
            self.output.weight
        )  # all classes are equally likely, and which is which does not matter
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits, shape (B, C)."""
        logits: Tensor = self.output(self.dropout((features - self.mean) / self.scale))
        return logits


class TunedModel(nn.Module):
    """From a batch of the backbone's inputs to logits.

    Parameters
    ----------
    frozen : FrozenModel
        In float32; its module is changed in place.
    tap : str
        Canonical: what the head reads.
    head : LinearHeadLayer
    live_statistics : bool
        Whether batch norms that train go on learning the mean and the variance of their inputs. They need large
        batches and many steps for it: a few steps at the momentum of many networks leave statistics that fit neither
        the old weights nor the new.

    Attributes
    ----------
    depths : Depths
        Of the backbone's parameters.
    blocks : list of torch.nn.Module
        Of the backbone, as far as each is a module of its own.
    """

    def __init__(
        self, frozen: FrozenModel, tap: str, head: LinearHeadLayer, live_statistics: bool = False
    ) -> None:
        super().__init__()
        self._live_statistics = live_statistics
        self._frozen = frozen
        self._tap = tap
        own = getattr(frozen, "blocks", None)
        self.depths = Depths.of(frozen.module, own)
        self.blocks = blocks_of(frozen.module) if own is None else list(own)
        self._module_depths = self.depths.of_modules(frozen.module)
        self.backbone = enable_gradients(frozen.module, False)
        self.head = head.to(frozen.device)
        self._first = self.depths.n_blocks + 2
        self._unread: frozenset[str] = frozenset()
        self.read: Any = self._read
        """From a batch to features (B, D); replaced where a pass begins in the middle of the backbone."""

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits, shape (B, C)."""
        logits: Tensor = self.head(self.features(batch))
        return logits

    def features(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the head reads, shape (B, D)."""
        with self._without_graph():
            features: Tensor = self.read(batch)
        return features

    def _read(self, batch: Mapping[str, Tensor]) -> Tensor:
        return pool(self._frozen.forward(batch, reads_of([self._tap])), self._tap)

    def _without_graph(self) -> AbstractContextManager[Any]:
        trains = any(parameter.requires_grad for parameter in self.backbone.parameters())
        return nullcontext() if trains else torch.no_grad()

    def find_unread(self, batch: Mapping[str, Tensor]) -> frozenset[str]:
        """The backbone's parameters that no logit depends on (classifiers, poolers); they are never trained."""
        self.backbone.requires_grad_(True)
        self.backbone.eval()
        torch.autograd.backward(self.features(batch).sum())
        self._unread = frozenset(n for n, p in self.backbone.named_parameters() if p.grad is None)
        self.zero_grad(set_to_none=True)
        self.backbone.requires_grad_(False)
        return self._unread

    def train_from(self, depth: int) -> None:
        """Train what lies at this depth and behind it, and the head; nothing before it changes in any way.

        Parameters
        ----------
        depth : int
            0: everything; ``n_blocks + 2``: the head alone.
        """
        self._first = depth
        for name, parameter in self.backbone.named_parameters():
            at = self.depths.of_parameter.get(name.replace(ADAPTED, "."))
            # What the depths do not know was put in later: adapters, which train.
            parameter.requires_grad_(at is None or (at >= depth and name not in self._unread))
        self.head.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Training mode for what trains; batch norms and dropouts of what is frozen stay as they are."""
        super().train(mode)
        if mode:
            for name, module in self.backbone.named_modules():
                is_frozen = self._module_depths.get(name, self._first) < self._first
                if is_frozen or (isinstance(module, BATCH_NORMS) and not self._live_statistics):
                    module.training = False
        return self

    def groups(
        self, lr: float, head_lr: float, layer_decay: float, weight_decay: float, head_weight_decay: float
    ) -> list[dict[str, Any]]:
        """What trains, each parameter in one group: the learning rate falls from layer to layer towards the input.

        Biases, norms and other vectors have no weight decay.
        """
        top = self.depths.n_blocks + 1
        found: dict[tuple[float, float], list[str]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.startswith(HEAD):
                rate, decay = head_lr, head_weight_decay
            else:
                depth = self.depths.of_parameter.get(name.removeprefix(BACKBONE), top)
                rate, decay = lr * layer_decay ** (top - depth), weight_decay
            found.setdefault((rate, decay if parameter.ndim > 1 else 0.0), []).append(name)
        return [{"names": names, "lr": rate, "weight_decay": decay} for (rate, decay), names in found.items()]

    def prepare(self, payloads: Sequence[Any], changes: Sequence[Any] | None = None) -> list[Any]:
        """See `FrozenModel.prepare`."""
        return self._frozen.prepare(payloads, changes)

    def collate(self, prepared: Sequence[Any]) -> dict[str, Tensor]:
        """See `FrozenModel.collate`."""
        return self._frozen.collate(prepared)

    def length(self, prepared: Any) -> int:
        """See `FrozenModel.length`."""
        return self._frozen.length(prepared)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self._frozen.device
