"""A run as a classification model that transformers has itself, where one is the very same function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from headstart.exporting.model import largest_error

if TYPE_CHECKING:
    from headstart.exporting.model import ExportModel

SAME = 1e-5
"""The largest error, as a share of the largest logit, of what counts as the same function."""


def native_model(subject: ExportModel) -> Any | None:
    """A model of a class of transformers with the run's weights; None where none gives the same logits.

    A class has a chance where all that it adds to the backbone is one linear layer. Whether it pools as the
    head's tap does is not looked up but tried.
    """
    layer = subject.head.folded()
    if layer is None or subject.portable.reading["unit"]:
        return None
    made = _timm_model(subject, layer) if subject.portable.is_timm else _model(subject, layer)
    if made is None:
        return None
    made.eval()
    with torch.no_grad():
        batches = [subject.inputs([sample]) for sample in subject.samples]
        found = torch.cat([made(**batch).logits for batch in batches])
    return made if largest_error(found, subject.expected()) <= SAME else None


def _model(subject: ExportModel, layer: nn.Linear) -> Any | None:
    import transformers

    portable = subject.portable
    described = portable.description()
    config = transformers.AutoConfig.for_model(described.pop("model_type"), **{**described, **subject.labels})
    side = "IMAGE" if portable.modality == "image" else "SEQUENCE"
    kind = getattr(transformers, f"MODEL_FOR_{side}_CLASSIFICATION_MAPPING").get(type(config), None)
    kind = (
        kind[0] if isinstance(kind, tuple | list) else kind
    )  # DeiT's second also reads its distillation token
    if kind is None:
        return None
    model = kind(config)
    base = getattr(model, model.base_model_prefix, None)
    name = _all_that_it_adds(model)
    if type(base) is not type(portable.module) or name is None:
        return None
    if base.load_state_dict(portable.weights(), strict=False).missing_keys:
        return None
    return model if _set(model.get_submodule(name), layer) else None


def _all_that_it_adds(model: Any) -> str | None:
    """The name of the one layer with weights beside the backbone; None where there are more, or none."""
    own = f"{model.base_model_prefix}."
    layers = {name.rpartition(".")[0] for name, _ in model.named_parameters() if not name.startswith(own)}
    return layers.pop() if len(layers) == 1 else None


def _timm_model(subject: ExportModel, layer: nn.Linear) -> Any | None:
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    portable = subject.portable
    described = {name: value for name, value in portable.config.items() if name != "model_type"}
    config = TimmWrapperConfig(**described, pretrained_cfg=dict(portable.data_config or {}), **subject.labels)
    model = TimmWrapperForImageClassification(config)
    if not fill_timm(model.timm_model, subject, layer):
        return None
    return model


def fill_timm(model: Any, subject: ExportModel, layer: nn.Linear) -> bool:
    """Give a model of timm the run's weights, and its classifier the head; False where it has none like it."""
    classifier = model.get_classifier()
    own = dict(subject.portable.module.state_dict())
    names = {name for name, module in model.named_modules() if module is classifier}
    kept = {name: t for name, t in own.items() if name.rpartition(".")[0] not in names}
    if subject.portable.reading["read"] != "pooler" or not isinstance(classifier, nn.Linear):
        return False
    missing, _ = model.load_state_dict(kept, strict=False)
    return all(name.rpartition(".")[0] in names for name in missing) and _set(classifier, layer)


def _set(classifier: Any, layer: nn.Linear) -> bool:
    fits = isinstance(classifier, nn.Linear) and classifier.weight.shape == layer.weight.shape
    if not fits or classifier.bias is None:
        return False
    classifier.load_state_dict(layer.state_dict())
    return True
