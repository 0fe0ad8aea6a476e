"""Backbones of torchvision: its classification models, under the transforms of their weights."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import BlockReader
from headstart.backbones.freezing import freeze, weights_digest
from headstart.backbones.hub import loading_failures, torch_hub_files
from headstart.backbones.image_models import FrozenImageModel, LibraryBackbone
from headstart.backbones.weights import load_into, read_state_dict
from headstart.errors import BackboneError, first_line
from headstart.types import Activations, BackboneInfo, Positions

if TYPE_CHECKING:
    import torch

    from headstart.backbones.options import BackboneOptions
    from headstart.types import Precision


AUXILIARY = ("aux1", "aux2", "AuxLogits")  # heads that take part in training alone
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
ENDS = ("features", "layers", "conv5")  # where models without a pooling module end


class TorchvisionBackbone(LibraryBackbone):
    """A classification model of torchvision, by its name there.

    After a dot it says which of its weights, if not the default ones: ``alexnet``, ``resnet50.IMAGENET1K_V1``.
    """

    library = "torchvision"

    def __init__(self, spec: str, name: str, options: BackboneOptions) -> None:
        super().__init__(spec, name, options)
        self._architecture, _, self._tag = name.partition(".")

    def resolve(self) -> BackboneInfo:
        """Load the model and describe it."""
        model = self._model
        classifier = classifier_of(model)
        return BackboneInfo(
            spec=self.spec,
            modality="image",
            weights=weights_digest(model, [f"{classifier}."]),
            architecture={"library": "torchvision", "name": self._architecture},
            preprocessing=self._preprocessing,
            taps=offered_taps(model, classifier),
            provenance=self.provenance(),
        )

    def source_files(self) -> Sequence[Path]:
        """The file that the weights were read from."""
        return [self._options.weights] if self._options.weights else torch_hub_files(self._weights.url)

    def load(self, device: str, precision: Precision) -> FrozenImageModel:
        """The model, frozen, on a device."""
        module = freeze(self._model, device, precision)
        reader, blocks = EndReader(module, classifier_of(module)), blocks_of(module)
        return FrozenImageModel(
            module,
            self._transform,
            lambda batch, reads: reader.read(batch),
            BlockReader(lambda: blocks, module),
            blocks,
        )

    @cached_property
    def _weights(self) -> Any:
        """An entry of torchvision: where its weights lie, and what they expect."""
        from torchvision import models

        known = models.list_models(module=models)
        if self._architecture not in known:
            raise self.unknown("model", self._architecture, known)
        entries = models.get_model_weights(self._architecture)
        if self._tag and self._tag not in entries.__members__:
            raise self.unknown(f"weights of {self._architecture}", self._tag, list(entries.__members__))
        return entries[self._tag] if self._tag else entries.DEFAULT

    @cached_property
    def _model(self) -> Any:
        from torchvision import models

        size = self._crop_size  # an unknown name is refused here, with the nearest
        arguments = {"image_size": size} if self._is_vit else {}
        # Made without weights, so that torchvision loads none itself: it would unpickle them.
        quiet = {"init_weights": False} if self._architecture in ("googlenet", "inception_v3") else {}
        model = models.get_model(self._architecture, weights=None, **arguments, **quiet)
        _drop_auxiliary(model)
        path, state = self._state()
        load_into(model, self._fitted(state), path, False, [f"{classifier_of(model)}."])
        model.eval()
        self._check_size(model)
        return model

    def _state(self) -> tuple[Path, Mapping[str, torch.Tensor]]:
        if self._options.weights:
            return self._options.weights, read_state_dict(self._options.weights)
        url = self._weights.url
        with loading_failures(self.spec, self._options.offline, self.remedy):
            if self._options.offline and not torch_hub_files(url):
                raise FileNotFoundError(f"{url} is not here")
            with contextlib.redirect_stdout(sys.stderr):  # torch says "Downloading" where results belong
                self._weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
            [path] = torch_hub_files(url)
        return path, read_state_dict(path)

    def _fitted(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The tensors that the features need, under today's names, and for this image size."""
        kept = {name: tensor for name, tensor in state.items() if not name.startswith(AUXILIARY)}
        if self._architecture.startswith("densenet"):
            kept = {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in kept.items()}
        if self._is_vit and self._options.image_size and "encoder.pos_embedding" in kept:
            from torchvision.models.vision_transformer import interpolate_embeddings

            patch = int(self._architecture.rpartition("_")[2])
            kept = dict(interpolate_embeddings(self._crop_size, patch, OrderedDict(kept)))
        return kept

    def _check_size(self, model: Any) -> None:
        """Refuse at once, rather than in the first batch, a size that the model cannot take."""
        import torch

        size = self._crop_size
        try:
            with torch.inference_mode():
                model(torch.zeros(1, 3, size, size))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = first_line(error)
            raise BackboneError(
                f"{self.spec} cannot take an image of {size}×{size} pixels ({reason}); choose another "
                "--image-size"
            ) from error

    @property
    def _is_vit(self) -> bool:
        return self._architecture.startswith("vit_")

    @property
    def _crop_size(self) -> int:
        return self._options.image_size or int(self._weights.transforms().crop_size[0])

    @cached_property
    def _transform(self) -> Any:
        transform = self._weights.transforms()
        crop, resize = transform.crop_size[0], transform.resize_size[0]
        share = self._options.crop_pct or crop / resize
        transform.crop_size = [self._crop_size]
        if self._options.image_size or self._options.crop_pct:
            transform.resize_size = [round(self._crop_size / share)]
        return transform

    @property
    def _preprocessing(self) -> dict[str, Any]:
        transform = self._transform
        return {
            "library": "torchvision",
            "crop_size": list(transform.crop_size),
            "resize_size": list(transform.resize_size),
            "mean": list(transform.mean),
            "std": list(transform.std),
            "interpolation": transform.interpolation.value,
            "antialias": bool(transform.antialias),
        }


def _drop_auxiliary(model: Any) -> None:
    for name in AUXILIARY:
        if hasattr(model, name):
            setattr(model, name, None)
            model.aux_logits = False


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
