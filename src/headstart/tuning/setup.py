"""What a training of a whole network is put together from: a live backbone, a head and raw samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch

from headstart.arrow import keys_from_arrow
from headstart.augmentation.views import open_views
from headstart.backbones.pooling import display_tap, is_of_words, is_ragged
from headstart.backbones.portable import BackboneSaver, backbone_saver
from headstart.cache.store import Cache
from headstart.config import IN_WINDOWS
from headstart.devices import pick_device
from headstart.errors import ConfigError
from headstart.extraction.backbone import reopen
from headstart.extraction.read_again import read_again
from headstart.fitting.report import describe_features
from headstart.heads import open_head
from headstart.places import is_there
from headstart.tasks import open_task
from headstart.training.distilled import objective_of, taught
from headstart.training.trainee import Objective
from headstart.tuning.cut import CutCache, fill_cuts
from headstart.tuning.passages import PassageNetwork
from headstart.tuning.samples import RawSamples
from headstart.tuning.strategies import defaults_of, plan_phases
from headstart.tuning.trainee import WholeNetwork
from headstart.tuning.weights import set_weights, start_from
from headstart.tuning.whole_model import BATCH_NORMS, LinearHeadLayer, ShowingHeadLayer, WholeModel

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Change, Progress
    from headstart.fitting.data import Splits
    from headstart.samples import SoftTargets
    from headstart.tuning.strategies import Defaults, Phase, Rules
    from headstart.types import Json

LIVE_STATISTICS = ("scratch",)
"""Strategies whose batch norms learn their statistics: the others keep those of pretraining."""


@dataclass
class TrainingSetup:
    """A network with its data by split, ready to be trained.

    Parameters
    ----------
    described : mapping
        The frozen backbone, as a run's ``features.json`` describes it.
    keep : BackboneSaver
        Writes the tuned backbone.
    head : TorchHead
        It knows the classes and the scale of features, and has no weights yet.
    short_cut : CutCache
        What was kept for it of the blocks that do not train.
    adapted : peft.PeftModel, optional
        With adapters, where the strategy has some.
    """

    described: Mapping[str, Json]
    keep: BackboneSaver
    model: WholeModel
    head: Any
    samples: Mapping[str, RawSamples]
    objective: Objective
    short_cut: CutCache
    adapted: Any = None
    judges_train: bool = True
    network: ClassVar[type[WholeModel]] = WholeModel

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
        train = raw["train"]
        described = describe_features(config.cache, features, train.features, train.beside)
        recipe = described["recipe"]
        tap = str(recipe["tap"])
        is_passage = bool(train.beside)
        reads_one = not is_of_words(tap) and not is_passage
        if is_ragged(tap) and reads_one:
            raise ConfigError(
                f"fine-tuning reads one vector a sample, and {display_tap(tap)} is all positions; choose another --tap"
            )
        if "windows" in recipe and reads_one:
            raise ConfigError(IN_WINDOWS)
        opened = reopen(described, Cache(features.cache), progress, config.offline)
        keep = backbone_saver(opened.backbone(), tap)
        data = read_again(features, data_of(config, features), progress, config.layout)
        spaces, seconds = fill_cuts(config, opened, data, progress)
        backbone = opened.backbone()
        keep = backbone_saver(backbone, tap) if spaces else keep  # of the model that is loaded now
        head: Any = open_head("linear", {"dropout": config.dropout}, config.seed, raw["train"].kind)
        targets, soft = _targets(head, raw), raw["train"].soft
        objective = _objective(config, head, targets, soft)
        targets["train"] = taught(head, targets["train"], soft)
        frozen = backbone.load(str(pick_device(config.device)), "fp32")
        layer = LinearHeadLayer(
            torch.from_numpy(head.mean_), torch.from_numpy(head.scale_), head.n_outputs_, config.dropout
        )
        if config.class_weight == "none":
            head.prime(layer)
        if soft is not None and soft.features is not None:
            layer = ShowingHeadLayer(layer, soft.features.shape[1], config.seed)
        live = config.strategy in LIVE_STATISTICS
        network = PassageNetwork if is_passage else cls.network
        model = network(frozen, tap, layer, described["modality"], live_statistics=live)
        if isinstance(model, PassageNetwork):
            model.longest = max(part.X.longest for part in raw.values())
        samples = {}
        for split, wanted in targets.items():
            table = raw[split].table
            ids = table.column("id").to_pylist()
            numbers = torch.from_numpy(np.ascontiguousarray(wanted))
            samples[split] = RawSamples(data.payloads(table), ids, numbers, model)
        if config.augment and is_passage:
            raise ConfigError(
                "--augment changes texts, and an answer would not stand where it stood any more; leave it out"
            )
        if config.augment:
            samples["train"].change = augmentation(config, features, raw)
        adapted = set_weights(config, model, samples["train"])
        if config.init_head is not None:
            has_classes = objective.task.form == "classes"
            classes = head.classes_ if has_classes else None
            start_from(config.init_head, layer, described, classes, train.column)
        is_exact = (recipe["compute"], recipe["stored"]) == ("fp32", "float32")
        cuts = CutCache(model, raw, spaces, seconds, is_exact, progress)
        return cls(described, keep, model, head, samples, objective, cuts, adapted)

    def plan(self, config: TuneConfig) -> list[Phase]:
        """The phases of the training, each of which trains something that is read."""
        phases = plan_phases(config, self.model.depths.n_blocks)
        check_read(self.model, phases, config.strategy, str(self.described["tap"]))
        return phases

    def defaults(self, config: TuneConfig) -> Defaults:
        """Of the strategy."""
        return defaults_of(config.strategy)

    @property
    def make_trainee(self) -> Callable[..., WholeNetwork]:
        """The class of that network, but for the arguments of `trainee`."""
        return WholeNetwork

    def trainee(
        self,
        samples: Mapping[str, RawSamples],
        phase: Phase,
        rules: Rules,
        part_size: int,
        say: Callable[[str], None],
    ) -> WholeNetwork:
        """The network in a phase, as the loop sees it."""
        return self.make_trainee(self.model, samples, self.objective, phase, rules, part_size, say)

    def params(self, config: TuneConfig) -> dict[str, Json]:
        """Of the head, for a report."""
        return {"dropout": config.dropout}

    @property
    def needs_whole_steps(self) -> bool:
        """Whether a step goes through the network at once: batch norms that learn their statistics see all of it."""
        modules = self.model.backbone.modules()
        return self.model.live_statistics and any(isinstance(module, BATCH_NORMS) for module in modules)


def check_read(model: WholeModel, phases: Sequence[Phase], strategy: str, tap: str) -> None:
    """Refuse a phase that would train blocks of which none is read: the tap lies before them."""
    total = model.depths.n_blocks
    for phase in phases:
        if not phase.n_blocks or _trains(model, phase.n_blocks):
            continue
        enough = next((n for n in range(phase.n_blocks + 1, total + 1) if _trains(model, n)), None)
        remedy = "take full" if enough is None else f"train {enough} or more of its {total} blocks"
        raise ConfigError(
            f"{strategy} would train nothing but the head: {tap} is read before the last {phase.n_blocks} of {total} "
            f"blocks; {remedy}, or choose another --tap"
        )


def _trains(model: WholeModel, n_blocks: int) -> bool:
    """Whether a weight of the last blocks, so many, takes part in what the head reads."""
    model.train_from(model.depths.n_blocks + 1 - n_blocks)
    return any(parameter.requires_grad for parameter in model.backbone.parameters())


def data_of(config: TuneConfig, features: FeatureSet) -> Any:
    """The data that was given; None if what was given is the set."""
    is_named = isinstance(config.data, str) and config.data == features.name
    return None if is_named and (config.backbone is None or not is_there(config.data)) else config.data


def _targets(head: Any, raw: Splits) -> dict[str, Any]:
    """By split, as a loss takes them; classes and scale are those of the training samples."""
    train = raw["train"]
    targets = {"train": head.begin(train.X, train.targets)}
    for split, part in raw.items():
        if split != "train" and len(part):
            targets[split] = head.targets_in(part.X, part.targets)
    return targets


def augmentation(config: TuneConfig, features: FeatureSet, raw: Splits) -> Any:
    """Another view of each sample in every epoch; it follows from the seed, the epoch and the sample."""
    assert config.augment is not None
    modality = features.info["source"]["modality"]
    n_epochs = 1000  # as many views as there are; longer training sees them again
    views = open_views(n_epochs, config.augment, config.seed, modality)
    keys = keys_from_arrow(raw["train"].table.column("key"))

    def change(row: int, epoch: int) -> Change:
        return views[(epoch - 1) % n_epochs].change(keys[row].tobytes())

    return change


def _objective(
    config: TuneConfig, head: Any, targets: Mapping[str, Any], soft: SoftTargets | None
) -> Objective:
    """What is minimised; it must not have to choose by samples that have no loss."""
    task, validation = open_task(head.task), targets.get("validation")
    if validation is not None and not Objective(task).n_seen(torch.from_numpy(validation)):
        raise ConfigError(
            "no validation sample has a label that the train samples know, so that nothing says which epoch is the "
            "best; extract with other splits"
        )
    weights = None
    if config.class_weight == "balanced":
        weights = task.balanced_weights(torch.from_numpy(targets["train"]), head.n_outputs_)
    return objective_of(task, weights, config.label_smoothing, head.n_outputs_, soft)
