"""Contrastive tuning of a backbone on pairs made from a few labels, and a head on the features that come of it.

After SetFit (Tunstall et al., 2022): samples of a class are drawn together and others apart, then logistic regression
is fitted on the tuned features. See `headstart.tuning.pairs` for the pairs and the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import ConfigError, DataError
from headstart.heads import open_head
from headstart.tasks import open_task
from headstart.tuning.pairs import SMALLEST_BATCH, batch_loss, cross_loss, paired_batches
from headstart.tuning.samples import stacked
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.strategies import CONTRASTIVE
from headstart.tuning.trainee import WholeNetwork
from headstart.tuning.whole_model import WholeModel

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Head, Progress
    from headstart.fitting.data import Splits
    from headstart.samples import LabelledSamples
    from headstart.tuning.strategies import Phase
    from headstart.types import Json

HEAD = "logistic"
OF_TRAINED_HEAD = ("init_head", "head_lr", "dropout")
OF_TEACHERS = ("teacher", "teacher_features")


class ContrastiveModel(WholeModel):
    """A backbone whose head does not train: it is fitted on the features once these are tuned."""

    def train_from(self, depth: int) -> None:
        """See `WholeModel.train_from`."""
        super().train_from(depth)
        self.head.requires_grad_(False)

    def parts(self, phase: Phase) -> list[tuple[str, nn.Module, float]]:
        """The backbone with its peak learning rate."""
        return [("backbone", self.backbone, phase.lr)]


class ContrastiveNetwork(WholeNetwork):
    """A backbone that learns from the pairs of each batch, all of which goes through it at once."""

    def __init__(self, pair_loss: str, *args: Any) -> None:
        super().__init__(*args)
        self._pair_loss = pair_loss
        self._codes = self._train.targets.numpy()
        self._batch_size = self._rules.settings.batch_size
        batches = paired_batches(self._codes, self._batch_size, self.seed, 1)
        self.n_samples, self.n_steps = sum(map(len, batches)), len(batches)

    def _windows(self) -> list[list[list[int]]]:
        """Each batch in one part."""
        batches = paired_batches(self._codes, self._batch_size, self.seed, self._epoch)
        return [[batch.tolist()] for batch in batches]

    def losses(self, part: tuple[dict[str, Tensor], int]) -> Tensor:
        """See `Trainee`."""
        inputs, codes = self._moved(part[0])
        return batch_loss(self._pair_loss, self._features(inputs).float(), codes)[None]

    def _features(self, inputs: dict[str, Tensor]) -> Tensor:
        with self._autocast():
            return self.model.features(inputs)

    def evaluate(self) -> list[tuple[float | None, float | None]]:
        """The loss of pairs of a validation and a train sample, and how many validation samples are nearest their own
        class mean.
        """
        if self._validation is None:
            return [(None, None)]
        known, new = self._train, self._validation
        X, X_new = (stacked(each.outputs(self._features, self._evaluated_at_once)) for each in (known, new))
        loss = cross_loss(
            self._pair_loss, torch.from_numpy(X_new), new.targets, torch.from_numpy(X), known.targets
        )
        means: Any = open_head("centroid", {"scaling": "none"}, self.seed)
        said = means.fit(X, self._codes).predict(X_new)
        return [(float(loss), float((said == new.targets.numpy()).mean()))]

    def halve(self) -> bool:
        """A batch that is divided would lose most of its pairs."""
        raise DataError(
            f"the memory does not suffice for {self._batch_size} samples at once, whose pairs contrastive compares; "
            "take a smaller --batch-size, shorter texts (--max-length), or --gradient-checkpointing"
        )


@dataclass
class ContrastiveSetup(TrainingSetup):
    """A backbone with its samples, ready to be tuned on pairs."""

    network: ClassVar[type[WholeModel]] = ContrastiveModel
    pair_loss: str = ""

    @classmethod
    def open(cls, config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress) -> Self:
        """See `TrainingSetup.open`."""
        setup = super().open(config, features, raw, progress)
        setup.pair_loss = config.pair_loss
        return setup

    @property
    def make_trainee(self) -> Callable[..., ContrastiveNetwork]:
        """See `TrainingSetup.make_trainee`."""
        return partial(ContrastiveNetwork, self.pair_loss)

    @property
    def needs_whole_steps(self) -> bool:
        """All pairs of a batch are compared."""
        return True

    def params(self, config: TuneConfig) -> dict[str, Json]:
        """Of the head, for a report."""
        return {"class_weight": config.class_weight, "label_smoothing": config.label_smoothing}

    def fit_head(self, config: TuneConfig, splits: Splits) -> Head:
        """Logistic regression on the tuned features, as `fit-head` fits it."""
        train, validation = splits["train"], splits["validation"]
        head: Any = open_head(HEAD, self.params(config), config.seed, train.kind)
        held = (validation.X, validation.targets) if len(validation) else ()
        fitted: Head = head.fit(train.X, train.targets, *held)
        return fitted


def check_contrastive(config: TuneConfig, train: LabelledSamples) -> None:
    """Refuse labels that make no pairs, and options that mean nothing to a backbone tuned on pairs.

    Raises
    ------
    ConfigError
        The labels are no classes, or an option is for other strategies.
    DataError
        No class has two samples.
    """
    task = open_task(train.kind)
    if task.form != "classes":
        raise ConfigError(
            f"--strategy {CONTRASTIVE} makes pairs of samples that are of one class or of two, and these labels are "
            f"{task.noun}; take another strategy"
        )
    _check_options(config)
    if np.bincount(train.y).max() < 2:
        raise DataError(
            f"{CONTRASTIVE} makes pairs of samples of a class, and no class has two train samples; label a second "
            "sample of some, or fit a head on the frozen features: headstart fit-head SET --head centroid"
        )


def _check_options(config: TuneConfig) -> None:
    if given := _given(config, OF_TRAINED_HEAD):
        raise ConfigError(
            f"--{given} is for a head that trains with the backbone, and {CONTRASTIVE} fits a {HEAD} head when the "
            "backbone is tuned; leave it out"
        )
    if given := _given(config, OF_TEACHERS):
        raise ConfigError(f"--{given} does not go with {CONTRASTIVE}, which learns from pairs; leave it out")
    if config.part_size is not None:
        raise ConfigError(
            f"--part-size does not go with {CONTRASTIVE}, which compares all samples of a batch; say --batch-size"
        )
    if config.batch_size is not None and config.batch_size < SMALLEST_BATCH:
        raise ConfigError(
            f"{CONTRASTIVE} compares the pairs of a batch, which takes {SMALLEST_BATCH} samples or more (got "
            f"--batch-size {config.batch_size})"
        )


def _given(config: TuneConfig, names: Sequence[str]) -> str | None:
    """The first of some options that is not as it is by default, as a command line has it."""
    known = type(config).model_fields
    found = (name for name in names if getattr(config, name) not in (None, known[name].default))
    name = next(found, None)
    return None if name is None else name.replace("_", "-")
