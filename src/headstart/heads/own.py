"""A head of the user's own: any torch module from features to logits."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from headstart.errors import ConfigError
from headstart.heads.torch_heads import TorchHead
from headstart.heads.torch_kinds import TorchClassifier, TorchRegressor
from headstart.own_code import load_own, reason_of, source_digest

if TYPE_CHECKING:
    from headstart.heads.networks.networks import Network


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

    def _learn_targets(self, y: NDArray[Any], X: Any) -> NDArray[Any]:
        self.__dict__.pop("source_", None)  # fitted anew, with the code of today
        return super()._learn_targets(y, X)

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        import torch

        from headstart.heads.networks.networks import OwnNetwork

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


@dataclass(eq=False, repr=False, kw_only=True)
class CustomHead(_Own, TorchClassifier):
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


@dataclass(eq=False, repr=False, kw_only=True)
class CustomRegressor(_Own, TorchRegressor):
    """The same for numbers; see `CustomHead`."""

    fitted: ClassVar[tuple[str, ...]] = (*TorchRegressor.fitted, "source_")
