"""Low-rank adapters (Hu et al., 2022, "LoRA"), by peft."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import nn

from headstart.errors import ConfigError


def add_adapters(
    backbone: nn.Module, unread: Collection[str], rank: int, alpha: float, dropout: float
) -> Any:
    """Put an adapter beside every linear layer of a backbone, in place; of one that has none, every convolution.

    Parameters
    ----------
    backbone : torch.nn.Module
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
    names = _layers(backbone, unread)
    if not names:
        raise ConfigError(
            "this backbone has no linear layer and no convolution that an adapter could stand beside"
        )
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names, bias="none")
    return get_peft_model(backbone, config)


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
    """Write the adapters alone, as peft reads them."""
    adapted.save_pretrained(str(folder), safe_serialization=True)


def merge_adapters(adapted: Any) -> None:
    """Add the adapters to the weights that they stand beside; the backbone is as it was made then, in place."""
    adapted.merge_and_unload()
