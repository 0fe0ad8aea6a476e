"""The samples of a set that a network is trained and judged on, as every training on them reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.distillation.features import show_features
from headstart.distillation.stage import ask_teacher
from headstart.errors import ConfigError
from headstart.fitting.data import check_train, read_for, read_splits
from headstart.heads import head_class
from headstart.tasks import open_task
from headstart.tuning.draws import TuningDraws, drawn_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import Splits
    from headstart.types import Json


@dataclass(frozen=True)
class GivenSamples:
    """All samples by split, with what a teacher says of them, and the draws that are asked for.

    ``taught`` is what a report says of the teacher.
    """

    whole: Splits
    draws: TuningDraws | None
    taught: Mapping[str, Json]

    @property
    def raw(self) -> Splits:
        """Those that the network of the run is trained on."""
        return drawn_of(self.whole, self.draws.kept) if self.draws else self.whole


def open_samples(config: TuneConfig, features: FeatureSet, progress: Progress) -> GivenSamples:
    """Read the samples of a set for a training.

    Raises
    ------
    DataError, ConfigError
        There is nothing to train on, or what is asked for does not go with the labels.
    """
    kind = features.label_kinds[features.label_column(config.label)]
    keeps_unlabelled, choices = config.teacher is not None, [(config.tap, config.backbone)]
    if _writes(config, kind):
        read = read_splits(features, choices, config.label, True, keeps_unlabelled=keeps_unlabelled)
    else:
        head = head_class("linear", kind)
        read = read_for(head, features, choices, config.label, keeps_unlabelled=keeps_unlabelled)
    check_train(read["train"], features.name)
    draws = TuningDraws.of(config, read)
    whole, report = _taught(config, features, read, progress)
    return GivenSamples(whole, draws, report)


def _taught(
    config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress
) -> tuple[Splits, dict[str, Json]]:
    """Train samples with what a teacher says of them, and what a report says of that; as they are without one."""
    report: dict[str, Json] = {}
    train = raw["train"]
    if config.teacher is not None:
        about = {"device": config.device, "offline": config.offline}
        lessons = ask_teacher(config, features, [train], progress, about)
        train, report = lessons.of(train), dict(lessons.report)
    if config.teacher_features is not None:
        train, shown = show_features(config, features, train, progress)
        report["features"] = shown
    return {**raw, "train": train}, {"distillation": report} if report else {}


def _writes(config: TuneConfig, kind: str) -> bool:
    """Whether texts are to be written, so that samples may have several vectors each."""
    is_written = open_task(kind).form == "texts"
    if not is_written and (config.num_beams != 1 or config.max_new_tokens is not None):
        option = "--num-beams" if config.num_beams != 1 else "--max-new-tokens"
        raise ConfigError(f"{option} is for texts to write, and these labels are others; leave it out")
    return is_written
