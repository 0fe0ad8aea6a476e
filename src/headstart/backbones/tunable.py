"""Backbones whose weights may be trained, and how they are kept afterwards: so that each opens like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from headstart.errors import ConfigError

if TYPE_CHECKING:
    from headstart.backbones.options import BackboneOptions
    from headstart.contracts import Backbone

WEIGHTS = "model.safetensors"
BackboneSaver: TypeAlias = "Callable[[Path], tuple[str, BackboneOptions]]"
"""Writes a backbone into an empty folder with the weights that it has by then; what opens it again."""


@runtime_checkable
class TunableBackbone(Protocol):
    """A backbone that can be trained as a whole."""

    def tunable(self, tap: str) -> BackboneSaver:
        """How it is kept once its weights have changed.

        To be asked before it is loaded: what the tap cannot read may be dropped for good.

        Parameters
        ----------
        tap : str
            Canonical: what a head reads.

        Raises
        ------
        ConfigError
            What the tap reads cannot be trained, or not be kept.
        """


def backbone_saver(backbone: Backbone, tap: str) -> BackboneSaver:
    """How a backbone is kept once its weights have changed; see `TunableBackbone`.

    Raises
    ------
    ConfigError
        It cannot be trained.
    """
    if not isinstance(backbone, TunableBackbone):
        raise ConfigError(
            f"{backbone.spec} cannot be fine-tuned: that needs a model of transformers, timm or torchvision; of "
            "another kind fit a head, and train run.module(trainable=True) in a loop of your own"
        )
    return backbone.tunable(tap)
