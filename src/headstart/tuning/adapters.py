"""Low-rank adapters (Hu et al., 2022, "LoRA"), by peft."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from headstart.errors import ConfigError
from headstart.files import read_json, write_json

if TYPE_CHECKING:
    from headstart.tuning.network import TunedModel


def add_adapters(
    model: TunedModel,
    batch: Mapping[str, Tensor],
    unread: Collection[str],
    rank: int,
    alpha: float,
    dropout: float,
) -> Any:
    """Put an adapter beside every linear layer of the backbone, in place; of one that has none, every convolution.

    Layers that are no steps of a pass, but lend their weights to one (torch's own attention), get none.

    Parameters
    ----------
    model : TunedModel
    batch : mapping of str to Tensor
        For a pass that shows which layers are run.
    unread : collection of str
        Parameters that no feature depends on; their layers get none.
    rank : int
    alpha : float
        An adapter's product is multiplied by ``alpha / rank``.
    dropout : float in [0, 1)
        Of what enters an adapter.

    Returns
    -------
    peft.PeftModel
        See `merge_adapters` and `save_adapters`.

    Raises
    ------
    ConfigError
        peft is not installed, or there is no such layer.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError("--strategy lora needs peft: pip install 'headstart[finetune]'") from error
    run = _run_in(model, batch)
    names = [name for name in _layers(model.backbone, unread) if name in run]
    if not names:
        raise ConfigError(
            "this backbone has no linear layer and no convolution that an adapter could stand beside"
        )
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names, bias="none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by names that will change
        return get_peft_model(cast("Any", model.backbone), config)


def _run_in(model: TunedModel, batch: Mapping[str, Tensor]) -> set[str]:
    """The names of the backbone's modules that a pass runs."""
    run: set[str] = set()
    handles = [
        module.register_forward_hook(lambda *_, name=name: run.add(name))
        for name, module in model.backbone.named_modules()
    ]
    model.eval()
    try:
        with torch.no_grad():
            model.features(batch)
    finally:
        for handle in handles:
            handle.remove()
    return run


def _layers(backbone: nn.Module, unread: Collection[str]) -> list[str]:
    def named(*kinds: type) -> list[str]:
        return [
            name
            for name, module in backbone.named_modules()
            if isinstance(module, kinds)
            and f"{name}.weight" not in unread
            and getattr(module, "groups", 1) == 1
        ]

    return named(nn.Linear) or named(nn.Conv2d)


def save_adapters(adapted: Any, folder: Path) -> None:
    """Write the adapters alone, as peft reads them, and nothing of this machine's folders."""
    adapted.save_pretrained(str(folder), safe_serialization=True)
    path = folder / "adapter_config.json"
    config = read_json(path)
    if os.path.exists(config.get("base_model_name_or_path") or ""):
        write_json(path, {**config, "base_model_name_or_path": None})
    (folder / "README.md").unlink(missing_ok=True)  # a form that nobody has filled in


def merge_adapters(adapted: Any) -> None:
    """Add the adapters to the weights that they stand beside; the backbone is as it was made then, in place."""
    adapted.merge_and_unload()
