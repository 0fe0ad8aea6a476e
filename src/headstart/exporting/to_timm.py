"""A folder that timm loads: its own model, with the head as its classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError
from headstart.exporting.to_hf import fill_timm
from headstart.files import write_durably, write_json

if TYPE_CHECKING:
    import torch

    from headstart.exporting.model import ExportModel

KEPT = ("classifier", "first_conv", "fixed_input_size", "pool_size")
"""What timm's own description of a model says of its build, besides its transform."""


def write_timm(subject: ExportModel, folder: Path) -> dict[str, Any]:
    """Write ``config.json`` and ``model.safetensors``.

    Gives ``class`` and ``largest_error``, of the logits as a share of the largest. Raises `ConfigError` if the
    run is no model of timm with another classifier.
    """
    import timm
    from safetensors.torch import save

    portable = subject.portable
    if not portable.is_timm:
        raise ConfigError("only a run on a timm: backbone is a model of timm; export it with --to hf or onnx")
    layer, tap = subject.head.folded(), portable.reading
    if layer is None or tap["unit"] or tap["read"] != "pooler":
        why = "its head is no linear layer" if layer is None else "its head reads another tap than pooler"
        raise ConfigError(f"the run is no model of timm: {why}; export it with --to hf or onnx")
    name, arguments = str(portable.config["architecture"]), dict(portable.config["model_args"])
    model = timm.create_model(name, pretrained=False, num_classes=len(subject.names), **arguments).eval()
    if not fill_timm(model, subject, layer):
        raise ConfigError(f"timm's {name} does not end in one linear layer; export it with --to hf or onnx")
    own = {key: model.pretrained_cfg[key] for key in KEPT if model.pretrained_cfg.get(key) is not None}
    config = {
        "architecture": name,
        "num_classes": len(subject.names),
        "label_names": list(subject.names),
        "model_args": arguments,
        "pretrained_cfg": {**own, **(portable.data_config or {})},
    }
    write_json(folder / "config.json", config)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_durably(folder / "model.safetensors", save(weights))
    error = subject.check(_logits(folder, subject), "the exported model")
    return {"class": type(model).__name__, "largest_error": error}


def _logits(folder: Path, subject: ExportModel) -> torch.Tensor:
    """The logits of the written model on samples under the transform that timm resolves from the folder."""
    import timm
    import torch

    from headstart.backbones.images import decode_image

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.no_grad():
        return torch.cat([model(transform(decode_image(s)).unsqueeze(0)) for s in subject.samples])
