"""What fine-tuning puts together: a live backbone, a head and raw samples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from headstart.arrow import keys_from_arrow
from headstart.augmentation.views import open_views
from headstart.backbones.freezing import resolve_device
from headstart.backbones.pooling import display_tap, is_ragged
from headstart.backbones.portable import BackboneSaver, backbone_saver
from headstart.cache.store import Cache
from headstart.errors import ConfigError, NoBlocksError
from headstart.extraction.backbone import reopen
from headstart.fitting.report import describe_features
from headstart.heads import open_head
from headstart.tasks import open_task
from headstart.training.objectives import Objective
from headstart.training.seeds import seeded
from headstart.tuning.cut_cache import (
    CUTTABLE,
    CutCache,
    count_blocks,
    cut_taps,
    describe_cut,
    fill_cuts,
    why_not,
)
from headstart.tuning.defaults import plan_phases
from headstart.tuning.init_head import start_from
from headstart.tuning.inputs import RawSamples
from headstart.tuning.network import BATCH_NORMS, LinearHeadLayer, TunedModel
from headstart.tuning.raw_samples import RawData, read_again
from headstart.tuning.whole_model import counts_of

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.config import TuneConfig
    from headstart.contracts import Change, Progress, Task
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.fitting.data import Splits
    from headstart.tuning.defaults import Rules
    from headstart.tuning.strategies import Phase
    from headstart.types import Json

LIVE_STATISTICS = ("scratch",)
"""Strategies whose batch norms learn their statistics: the others keep those of pretraining."""
CPU_PART, GPU_PART = 8, 32
"""Samples that go through at once: few are fastest on CPUs, where the activations stay in the cache."""


@dataclass
class TrainingSetup:
    """A network with its data, ready to be trained.

    Parameters
    ----------
    described : mapping
        The frozen backbone, as a run's ``features.json`` describes it.
    keep : BackboneSaver
        Writes the tuned backbone.
    head : TorchHead
        It knows the classes and the scale of features, and has no weights yet.
    samples : mapping of str to RawSamples
        By split.
    part_size : int
        Samples that suit the machine at once; 0: all of a step, which batch norms that train need.
    n_workers : int
        Processes that read ahead.
    cut : mapping
        What was kept for it.
    """

    described: Mapping[str, Json]
    keep: BackboneSaver
    model: TunedModel
    head: Any
    samples: Mapping[str, RawSamples]
    objective: Objective
    part_size: int
    precision: str
    n_workers: int = 0
    short_cut: Any = None
    cut: Mapping[str, Json] = field(default_factory=dict)
    adapted: Any = None

    @classmethod
    def open(cls, config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress) -> Self:
        """Load the backbone and the data, and make the head.

        Raises
        ------
        ConfigError
            The backbone cannot be trained as a whole, or does not fit the strategy.
        MismatchError
            Backbone or data are not what the set was made of.
        """
        described = describe_features(config.cache, features, raw["train"].features)
        tap = str(described["recipe"]["tap"])
        if is_ragged(tap):
            raise ConfigError(
                f"fine-tuning reads one vector a sample, and {display_tap(tap)} is all positions; choose another --tap"
            )
        opened = reopen(described, Cache(features.cache), progress, config.offline)
        keep = backbone_saver(opened.backbone(), tap)
        data = _read_again(config, features, progress)
        spaces, seconds = _fill_cuts(config, opened, data, progress)
        backbone = opened.backbone()
        keep = backbone_saver(backbone, tap) if spaces else keep  # of the model that is loaded now
        device = resolve_device(config.device)
        head: Any = open_head("linear", {"dropout": config.dropout}, config.seed, raw["train"].kind)
        task = open_task(raw["train"].kind)
        targets = _targets(head, raw)
        frozen = backbone.load(device, "fp32")
        layer = LinearHeadLayer(
            torch.from_numpy(head.mean_), torch.from_numpy(head.scale_), head.n_outputs_, config.dropout
        )
        model = TunedModel(frozen, tap, layer, config.strategy in LIVE_STATISTICS)
        samples = _raw_samples(config, features, raw, targets, model, data)
        _check_validation(task, samples)
        adapted = _set_weights(config, model, samples["train"])
        if config.init_head is not None:
            start_from(config.init_head, layer, described, head.classes_ if task.form == "classes" else None)
        objective = _objective(config, task, samples["train"].targets, head.n_outputs_)
        return cls(
            described, keep, model, head, samples, objective, _part_size(config, model, device),
            _precision(config, device), _n_workers(config, device),
            CutCache(model, raw, spaces, _is_exact(described), progress), describe_cut(spaces, seconds),
            adapted,
        )  # fmt: skip

    def describe(self, strategy: str, phases: Sequence[Phase], rules: Rules) -> Iterator[str]:
        """What will train, for the user: lines of a table, one for each phase and part of the network."""
        model = self.model
        yield (
            f"{strategy}: {len(self.samples['train']):,} samples in batches of {rules.batch_size}, "
            f"{rules.part_size} at once, in {rules.precision}"
        )
        yield f"{'':>10}{'epochs':>8}{'lr':>9}{'total':>14}{'trainable':>14}{'frozen':>14}"
        for number, phase in enumerate(phases, 1):
            model.train_from(phase.first_depth(model.depths.n_blocks))
            for name, part in (("backbone", model.backbone), ("head", model.head)):
                counts = counts_of(part.parameters())
                rate = (
                    f"{phase.lr if name == 'backbone' else phase.head_lr:.2g}" if counts["trainable"] else "-"
                )
                title = f"{number} {name}" if len(phases) > 1 else name
                columns = "".join(f"{counts[column]:>14,}" for column in ("total", "trainable", "frozen"))
                yield f"{title:>10}{phase.epochs:>8}{rate:>9}{columns}"


def _targets(head: Any, raw: Splits) -> dict[str, Any]:
    """By split, as a loss takes them; classes and scale are those of the training samples."""
    train = raw["train"]
    targets = {"train": head.begin(train.X, train.targets)}
    for split, part in raw.items():
        if split != "train" and len(part):
            targets[split] = head.targets_of(part.targets)
    return targets


def _read_again(config: TuneConfig, features: FeatureSet, progress: Progress) -> RawData:
    is_named = isinstance(config.data, str) and config.data == features.name
    is_set = is_named and (config.backbone is None or not os.path.exists(config.data))
    return read_again(features, None if is_set else config.data, progress)


def _fill_cuts(
    config: TuneConfig, opened: OpenedBackbone, data: RawData, progress: Progress
) -> tuple[dict[int, Space], float]:
    reason = why_not(config, opened.info)
    if reason is None:
        n_blocks = count_blocks(opened)
        phases = plan_phases(config, n_blocks)
        blocks = [n for n in (phase.n_blocks for phase in phases) if n and n < n_blocks]
        if blocks:
            try:
                return fill_cuts(config, opened, data, cut_taps(opened, blocks, n_blocks), progress)
            except NoBlocksError as error:
                progress.say(f"the whole network runs in each epoch: {error}")
    elif config.cut_cache and config.strategy.startswith(CUTTABLE):
        progress.say(f"the whole network runs in each epoch: {reason}")
    return {}, 0.0


def _is_exact(described: Mapping[str, Json]) -> bool:
    recipe = described["recipe"]
    return bool(recipe["compute"] == "fp32" and recipe["stored"] == "float32")


def _raw_samples(
    config: TuneConfig,
    features: FeatureSet,
    raw: Splits,
    targets: Mapping[str, Any],
    model: TunedModel,
    data: RawData,
) -> dict[str, RawSamples]:
    samples = {
        split: RawSamples(
            data.payloads(raw[split].table),
            raw[split].table.column("id").to_pylist(),
            torch.from_numpy(np.ascontiguousarray(wanted)),
            model,
        )
        for split, wanted in targets.items()
    }
    if config.augment:
        samples["train"].change = _augmentation(config, features, raw)
    return samples


def _check_validation(task: Task, samples: Mapping[str, RawSamples]) -> None:
    """Refuse to choose by samples that have no loss."""
    validation = samples.get("validation")
    if validation is not None and not Objective(task).n_seen(validation.targets):
        raise ConfigError(
            "no validation sample has a label that the train samples know, so that nothing says which epoch is the "
            "best; extract with other splits"
        )


def _augmentation(config: TuneConfig, features: FeatureSet, raw: Splits) -> Any:
    """Another view of each sample in every epoch; it follows from the seed, the epoch and the sample."""
    assert config.augment is not None
    modality = features.info["source"]["modality"]
    n_epochs = 1000  # as many views as there are; longer trainings see them again
    views = open_views(n_epochs, config.augment, config.seed, modality)
    keys = keys_from_arrow(raw["train"].table.column("key"))

    def change(row: int, epoch: int) -> Change:
        return views[(epoch - 1) % n_epochs].change(keys[row].tobytes())

    return change


def _set_weights(config: TuneConfig, model: TunedModel, train: RawSamples) -> Any:
    """The first weights, and what never trains; adapters, where the strategy has some."""
    unread = model.find_unread(train.inputs(range(min(2, len(train)))))
    backbone = model.backbone
    if config.gradient_checkpointing:
        _checkpoint_gradients(backbone)
    if config.strategy == "scratch":
        from headstart.tuning.scratch import draw_anew

        draw_anew(backbone, config.seed, str(config.backbone or config.data))
    if config.strategy != "lora":
        return None
    from headstart.tuning.adapters import add_adapters

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


def _objective(config: TuneConfig, task: Task, targets: torch.Tensor, n_outputs: int) -> Objective:
    weights = task.balanced_weights(targets, n_outputs) if config.class_weight == "balanced" else None
    return Objective(task, weights, config.label_smoothing)


def _part_size(config: TuneConfig, model: TunedModel, device: str) -> int:
    has_batch_norm = any(isinstance(module, BATCH_NORMS) for module in model.backbone.modules())
    if has_batch_norm and config.strategy in LIVE_STATISTICS:
        return 0
    return CPU_PART if device == "cpu" else GPU_PART


def _precision(config: TuneConfig, device: str) -> str:
    from headstart.backbones.freezing import best_precision

    if config.precision != "auto":
        if config.precision != "fp32" and device == "cpu":
            raise ConfigError(f"--precision {config.precision} trains on GPUs alone; leave it out on a CPU")
        return config.precision
    return best_precision(device)


def _n_workers(config: TuneConfig, device: str) -> int:
    """Processes that read ahead: a GPU waits for images otherwise."""
    if config.workers is not None:
        return config.workers
    return 0 if device == "cpu" else min(os.cpu_count() or 1, 8)
