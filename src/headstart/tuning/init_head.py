"""Beginning with a head that was fitted on the cache: a linear probe first, then fine-tuning (Kumar et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from headstart.errors import ConfigError, MismatchError
from headstart.registry.run import Run

if TYPE_CHECKING:
    from headstart.tuning.network import LinearHeadLayer
    from headstart.types import Json


def start_from(
    run: Path, layer: LinearHeadLayer, described: Mapping[str, Json], classes: Sequence[str] | None
) -> None:
    """Give a head layer the weights of a run's head, in place.

    Parameters
    ----------
    run : Path
        With an affine head: logistic, ridge, linear ….
    layer : LinearHeadLayer
    described : mapping
        The feature that the layer reads, as in ``features.json``.
    classes : sequence of str, optional
        In the order of the layer's outputs; None: outputs are no classes.

    Raises
    ------
    ConfigError
        The head is not affine.
    MismatchError
        It reads another feature, or knows other classes.
    """
    from headstart.heads.plain import plain_head

    saved = Run.load(run)
    if saved.features["space"] != described["space"]:
        raise MismatchError(
            f"the head in {run} reads {saved.features['tap']} of {saved.features['backbone']} (space "
            f"{saved.features['space']}), and this training begins with {described['tap']} of "
            f"{described['backbone']} (space {described['space']}); fit a head on that"
        )
    predictor = saved.predictor
    affine = plain_head(predictor).folded()
    if affine is None:
        raise ConfigError(f"the head in {run} is no linear one; --init-head takes logistic, ridge or linear")
    known = list(classes) if classes is not None else None
    if affine.out_features != layer.output.out_features or (known and predictor.classes != known):
        raise MismatchError(f"the head in {run} knows other classes than the train samples have")
    with torch.no_grad():
        layer.output.weight.copy_(affine.weight * layer.scale)
        layer.output.bias.copy_(affine.bias + affine.weight @ layer.mean)
