"""A folder that transformers loads: native where it can be, else with the few files of ours that it needs."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.hf.packing import quiet_transformers
from headstart.errors import HeadstartError
from headstart.exporting.native import native_model
from headstart.files import write_durably

if TYPE_CHECKING:
    import torch

    from headstart.exporting.model import ExportModel

MODULE = "modeling_headstart"
CARRIED = (f"{MODULE}.py", "head_layers.py", "poolings.py")


def write_hf(subject: ExportModel, folder: Path) -> dict[str, Any]:
    """Write the model, its labels and its tokenizer or image processor into a folder.

    Gives ``class``, ``remote_code`` (whether it needs ``trust_remote_code=True``), and ``largest_error``, of
    the logits as a share of the largest. Raises `HeadstartError` if what was written does not give the run's
    logits.
    """
    with quiet_transformers():
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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
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
    import torch

    with quiet_transformers(), torch.no_grad():
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
