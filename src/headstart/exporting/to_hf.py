"""A folder that transformers loads: a class that it has if one is the very same function, else with files of ours."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from headstart.backbones.hf.models import quietly
from headstart.errors import HeadstartError, first_line
from headstart.exporting.model import largest_error
from headstart.files import write_durably

if TYPE_CHECKING:
    from headstart.exporting.model import ExportModel


MODULE = "modeling_headstart"
CARRIED = (f"{MODULE}.py", "head_layers.py", "poolings.py")
SAME = 1e-5
"""The largest error, as a share of the largest logit, of what counts as the same function."""


def write_hf(subject: ExportModel, folder: Path) -> dict[str, Any]:
    """Write the model, its labels and its tokenizer or image processor into a folder.

    Gives ``class``, ``remote_code`` (whether it needs ``trust_remote_code=True``), and ``largest_error``, of
    the logits as a share of the largest. Raises `HeadstartError` if what was written does not give the run's
    logits.
    """
    with quietly():
        native = native_model(subject)
        model = native or carried_model(subject)
        model.save_pretrained(folder)
        subject.portable.save_inputs(folder)
    if native is None:
        for name in CARRIED:
            source = resources.files("headstart.portable").joinpath(name).read_bytes()
            write_durably(folder / name, source)
    error = subject.check(_logits(type(model), folder, subject), "the exported model")
    return {"class": type(model).__name__, "remote_code": native is None, "largest_error": error}


def carried_model(subject: ExportModel) -> Any:
    """The run as a model of the code that an exported folder carries."""
    from headstart.portable.modeling_headstart import (
        HeadstartConfig,
        HeadstartForImageClassification,
        HeadstartForSequenceClassification,
    )

    portable = subject.portable
    kind = HeadstartForSequenceClassification if is_text(subject) else HeadstartForImageClassification
    auto = f"AutoModelFor{'Sequence' if is_text(subject) else 'Image'}Classification"
    # The image processor of timm's models reads the model's own configuration, and nothing else.
    of_timm = {
        "image_processor_type": "TimmWrapperImageProcessor",
        "architecture": portable.config.get("architecture"),
        "pretrained_cfg": portable.data_config,
    }
    config = HeadstartConfig(
        backbone=portable.description(),
        reading=dict(portable.reading),
        layers=subject.head.layers,
        most_tokens=portable.max_length,
        auto_map={"AutoConfig": f"{MODULE}.{HeadstartConfig.__name__}", auto: f"{MODULE}.{kind.__name__}"},
        **subject.labels,
        **(of_timm if portable.is_timm else {}),
    )
    try:
        model = kind(config)
        # What the model has no place for, poolers and classifiers that nothing reads, stays behind.
        missing = model.backbone.load_state_dict(portable.weights(), strict=False).missing_keys
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, ImportError) as error:
        reason = first_line(error)
        raise HeadstartError(
            f"transformers cannot make this backbone from its configuration ({reason}); use run.module()"
        ) from error
    if missing:
        raise HeadstartError(
            f"transformers makes this backbone with weights that it does not have ({missing[0]}); use run.module()"
        )
    model.head.load_state_dict(subject.head.module.state_dict())
    return model.eval()


def is_text(subject: ExportModel) -> bool:
    """Whether the model takes texts, or pairs of them."""
    return subject.portable.modality == "text"


def _logits(kind: Any, folder: Path, subject: ExportModel) -> torch.Tensor:
    """The logits of the written model on samples that the written processor prepared."""
    with quietly(), torch.no_grad():
        model = kind.from_pretrained(folder, local_files_only=True).eval()
        batches = _tokens(folder, subject, model.config) if is_text(subject) else _pixels(folder, subject)
        return torch.cat([model(**batch).logits for batch in batches])


def _tokens(folder: Path, subject: ExportModel, config: Any) -> list[Any]:
    from transformers import AutoTokenizer

    # Without the configuration it would read it, and ask at the terminal whether it may run our own code.
    tokenizer = AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True)
    pairs = [sample if isinstance(sample, tuple) else (sample,) for sample in subject.samples]
    return [tokenizer(*pair, truncation=True, return_tensors="pt") for pair in pairs]


def _pixels(folder: Path, subject: ExportModel) -> list[Any]:
    from transformers import AutoImageProcessor

    from headstart.backbones.images import decode_image

    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    return [processor(images=decode_image(sample), return_tensors="pt") for sample in subject.samples]


def native_model(subject: ExportModel) -> Any | None:
    """A model of a class of transformers with the run's weights; None where none gives the same logits.

    A class has a chance where all that it adds to the backbone is one linear layer. Whether it pools as the
    head's tap does is not looked up but tried.
    """
    layer = subject.head.folded()
    if layer is None or subject.portable.reading["unit"]:
        return None
    side = "IMAGE" if subject.portable.modality == "image" else "SEQUENCE"
    made = _timm_model(subject, layer) if subject.portable.is_timm else model_of(subject, layer, side)
    if made is None:
        return None
    made.eval()
    with torch.no_grad():
        batches = [subject.inputs([sample]) for sample in subject.samples]
        found = torch.cat([made(**batch).logits for batch in batches])
    return made if largest_error(found, subject.expected()) <= SAME else None


def model_of(subject: ExportModel, layer: nn.Linear, side: str) -> Any | None:
    """The run as a model of transformers' class for IMAGE, SEQUENCE or TOKEN classification; None if there is none."""
    import transformers

    portable = subject.portable
    described = portable.description()
    config = transformers.AutoConfig.for_model(described.pop("model_type"), **{**described, **subject.labels})
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
