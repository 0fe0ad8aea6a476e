"""How the outputs of a torchvision model are read: what enters its classifier, and its last positions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from headstart.types import Activations, Positions

if TYPE_CHECKING:
    import torch

ENDS = ("features", "layers", "conv5")  # where models without a pooling module end


def classifier_of(model: torch.nn.Module) -> str:
    """The name of the last layer with weights, which no feature depends on."""
    import torch

    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    ]
    return str(layers[-1])


def blocks_of(model: Any) -> list[torch.nn.Module]:
    """The stages of a ResNet and its kin, or the blocks of a ViT, first to last; of others they are not known."""
    if hasattr(model, "layer1"):
        return [model.layer1, model.layer2, model.layer3, model.layer4]
    return list(model.encoder.layers) if hasattr(model, "class_token") else []


def offered_taps(model: torch.nn.Module, classifier: str) -> tuple[str, ...]:
    """The canonical taps at the end of the model; the first is where its authors read it."""
    import torch

    # SqueezeNet classifies positions and pools afterwards: it has no vector of its own before that.
    has_pooler = isinstance(model.get_submodule(classifier), torch.nn.Linear)
    return (
        *(("pooler",) if has_pooler else ()),
        *(("final.cls",) if hasattr(model, "class_token") else ()),
        "final.mean",
        "final.max",
        "final.gem",
    )


class _Seen(threading.local):
    """What the last pass of a thread went through."""

    last: torch.Tensor | None = None
    pooled: torch.Tensor | None = None


class EndReader:
    """Reads what enters a model's classifier, and its last positions.

    The model is hooked for good, and by thread: several threads may run it at once.

    Parameters
    ----------
    model : torch.nn.Module
    classifier : str
        See `classifier_of`.
    """

    def __init__(self, model: Any, classifier: str) -> None:
        import torch

        self._model = model
        self._seen = _Seen()
        last_linear = model.get_submodule(classifier)
        self._has_pooler = isinstance(last_linear, torch.nn.Linear)
        last_linear.register_forward_pre_hook(self._keeper("pooled"))
        last, is_input = _end(model)
        if is_input:
            last.register_forward_pre_hook(self._keeper("last"))
        else:
            last.register_forward_hook(self._keeper("last"))

    def read(self, batch: torch.Tensor) -> Activations:
        """A spatial map, or patches without the class; and the vector before the classifier."""
        self._model(batch)
        features, pooled = self._seen.last, self._seen.pooled
        assert features is not None
        assert pooled is not None
        self._seen.last = self._seen.pooled = None
        whole = {"pooler": pooled} if self._has_pooler else {}
        if features.ndim == 3:
            return Activations({"final": Positions(features[:, 1:], cls=features[:, 0])}, whole)
        return Activations({"final": Positions(features.flatten(2).transpose(1, 2))}, whole)

    def _keeper(self, name: str) -> Any:
        """A hook that keeps what a module gives, or before it is run what enters it."""
        seen = self._seen

        def keep(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor | None = None) -> None:
            setattr(seen, name, inputs[0] if output is None else output)

        return keep


def _end(model: Any) -> tuple[Any, bool]:
    """The module at which the last map, or the last tokens, can be had; and whether they enter it."""
    if hasattr(model, "class_token"):
        return model.encoder, False
    if hasattr(model, "avgpool"):
        return model.avgpool, True
    if hasattr(model, "blocks"):  # MaxViT pools in its classifier
        return model.classifier[0], True
    [name] = [name for name in ENDS if hasattr(model, name)]
    return getattr(model, name), False
