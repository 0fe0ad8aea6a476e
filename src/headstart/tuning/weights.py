"""The weights that a training begins with: those of pretraining, drawn anew, a fitted head's, and adapters'."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from headstart.errors import ConfigError, MismatchError
from headstart.files import read_json, write_json
from headstart.heads.plain import plain_head
from headstart.registry.run import Run
from headstart.training.examples import seeded

if TYPE_CHECKING:
    from headstart.config import TuneConfig
    from headstart.tuning.samples import RawSamples
    from headstart.tuning.whole_model import LinearHeadLayer, WholeModel
    from headstart.types import Json


def set_weights(config: TuneConfig, model: WholeModel, train: RawSamples) -> Any:
    """The first weights, and what never trains; adapters, where the strategy has some."""
    unread = model.find_unread(train.inputs(range(min(2, len(train)))))
    backbone = model.backbone
    if config.gradient_checkpointing:
        _checkpoint_gradients(backbone)
    if config.strategy == "scratch":
        draw_anew(backbone, config.seed, str(config.backbone or config.data))
    if config.strategy != "lora":
        return None
    batch = train.inputs(range(min(2, len(train))))
    with seeded(config.seed, torch.device("cpu")):  # which an adapter's first weights are drawn by
        return add_adapters(model, batch, unread, config.lora_rank, config.lora_alpha, config.lora_dropout)


def _checkpoint_gradients(backbone: Any) -> None:
    # Of a model of several towers the towers: the whole would look for the one that is not there.
    parts = [part for part in backbone.children() if _recomputing(part)]
    if _recomputing(backbone):
        for part in parts or [backbone]:
            _recomputing(part)({"use_reentrant": False})
    elif hasattr(backbone, "set_grad_checkpointing"):
        backbone.set_grad_checkpointing(True)
    else:
        raise ConfigError(
            "this backbone cannot recompute its activations; leave --gradient-checkpointing out"
        )


def _recomputing(module: Any) -> Any:
    """What switches it on in a model of transformers, by its newer name or its older one; None: it is none."""
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    return next((getattr(module, name) for name in names if hasattr(module, name)), None)


# -- drawn anew, to show what pretraining is worth


def draw_anew(backbone: Any, seed: int, spec: str) -> None:
    """Give a backbone of transformers or timm the random weights that its authors' code begins with, in place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = _fresh(backbone, spec)
    state = fresh.state_dict()
    with torch.no_grad():
        for name, tensor in backbone.state_dict().items():
            tensor.copy_(state[name])


def _fresh(backbone: Any, spec: str) -> nn.Module:
    if hasattr(backbone, "pretrained_cfg"):
        import timm

        name = backbone.pretrained_cfg["architecture"]
        return cast("nn.Module", timm.create_model(name, pretrained=False))
    import transformers

    if isinstance(backbone, transformers.PreTrainedModel):
        return cast("nn.Module", type(backbone)(copy.deepcopy(backbone.config)))
    raise ConfigError(
        f"the weights of {spec} cannot be drawn anew; scratch is for models of transformers and timm"
    )


# -- a head that was fitted on the cache: a linear probe first, then fine-tuning (Kumar et al., 2022)


def start_from(
    run: Path,
    layer: LinearHeadLayer,
    described: Mapping[str, Json],
    classes: Sequence[str] | None,
    label: str,
) -> None:
    """Give a head layer the weights of the affine head of a run (logistic, ridge, linear …), in place.

    ``described`` is the feature that the layer reads, as in ``features.json``; ``classes`` those of the layer's
    outputs, in order, None if they are no classes. Of a run with several labels it is the head of ``label``.
    """
    saved = Run.load(run)
    if saved.has_several:
        saved = saved.of(label)
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


# -- low-rank adapters (Hu et al., 2022, "LoRA"), by peft


def add_adapters(
    model: WholeModel,
    batch: Mapping[str, Tensor],
    unread: Collection[str],
    rank: int,
    alpha: float,
    dropout: float,
) -> Any:
    """Put an adapter beside every linear layer of the backbone, in place; of one that has none, every convolution.

    Layers that are no steps of a pass over ``batch``, but lend their weights to one (torch's own attention), get none,
    and neither do those of parameters that are ``unread``: no feature depends on them. An adapter's product is
    multiplied by ``alpha / rank``. Gives a ``peft.PeftModel``, see `keep_adapters`.
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


def _run_in(model: WholeModel, batch: Mapping[str, Tensor]) -> set[str]:
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


def keep_adapters(adapted: Any, folder: Path) -> None:
    """Write adapters alone, as peft reads them, and add them to their weights: the backbone is as it was made then."""
    if adapted is None:
        return
    adapted.save_pretrained(str(folder), safe_serialization=True)
    path = folder / "adapter_config.json"
    config = read_json(path)
    if os.path.exists(config.get("base_model_name_or_path") or ""):  # nothing of this machine's folders
        write_json(path, {**config, "base_model_name_or_path": None})
    (folder / "README.md").unlink(missing_ok=True)  # a form that nobody has filled in
    adapted.merge_and_unload()
