"""What a teacher would say of its own training samples had it not seen them: heads on folds of these say it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.cache.store import Cache
from headstart.distillation.opinions import keep, logits_of, recipe_of
from headstart.errors import ConfigError, HeadstartError
from headstart.fitting.data import read_splits
from headstart.fitting.search import fold_rows
from headstart.fitting.trials import Trial, TrialResult, prepared, run_trials
from headstart.heads.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.contracts import Progress
    from headstart.registry.run import Run
    from headstart.samples import LabelledSamples


@dataclass(frozen=True)
class FoldTeacher:
    """The head of a run on its own features, fitted anew without each of several folds of its training samples."""

    run: Run
    digest: str
    n_folds: int
    was_refitted: bool
    cache: Cache

    @cached_property
    def space(self) -> Space:
        """Where the logits of its training samples lie."""
        of = {"n": self.n_folds, "seed": self._seed, "set": self.run.features["digest"], "label": self._label}
        return self.cache.space(recipe_of(self.run, self.digest, of))

    @cached_property
    def keys(self) -> NDArray[np.uint8]:
        """Of its training samples."""
        return keys_from_arrow(self._samples[0].table.column("key"))

    def ask(self, progress: Progress) -> None:
        """Compute the logits of all of its training samples, unless they are there."""
        held = self.space.held(self.keys)
        self.space.record_use(int(held.sum()), int((~held).sum()))
        if held.all():
            return
        progress.begin("folds of the teacher", self.n_folds)
        try:
            found = [(rows, logits) for rows, logits in self._folds(progress)]
        finally:
            progress.end()
        rows, logits = (np.concatenate(part) for part in zip(*found, strict=True))
        keep(self.space, self.cache, self.keys[rows], logits)

    @property
    def _seed(self) -> int:
        return int(self.run.report["seed"])

    @property
    def _label(self) -> str:
        return str(self.run.labels["column"])

    @cached_property
    def _samples(self) -> tuple[LabelledSamples, LabelledSamples | None]:
        """What the head was fitted on, and what chose within the fit."""
        said = self.run.features
        choices = [(part["tap"], part["backbone"]) for part in said.get("parts", [said])]
        try:
            splits = read_splits(self._set, choices, self._label, self.run.predictor.takes_sequences)
        except HeadstartError as error:
            raise type(error)(
                f"--teacher-folds reads the features that the teacher was fitted on: {error}"
            ) from error
        train, validation = splits["train"], splits["validation"]
        if self.was_refitted and len(validation):
            return train.joined(validation), None
        return train, validation if len(validation) else None

    @cached_property
    def _set(self) -> FeatureSet:
        said = self.run.features
        return Cache(said["cache"]).open_set(str(said["set"]), str(said["digest"]))

    def _folds(self, progress: Progress) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The rows of each fold, and what a head that did not see them says, at the teacher's temperature."""
        samples, validation = self._samples
        kept: Any = self.run.head
        params = TrialResult(kept.get_params(), self._seed, kept).chosen_params
        params = {name: value for name, value in params.items() if name not in ("spec", "random_state")}
        everything = np.arange(len(samples))
        is_grouped = "group" in self._set.info["split"]
        for held in fold_rows(samples, self.n_folds, self._seed, is_grouped, "--teacher-folds"):
            parts = [samples.take(np.setdiff1d(everything, held)), samples.take(held)]
            steps = list(self.run.report.get("prepare", []))
            rest, asked, *chosen_by = prepared(
                steps, self._seed, *parts, *([] if validation is None else [validation])
            )
            trial = Trial(params, self._seed, rest, chosen_by[0] if chosen_by else None)
            [result] = run_trials(self.run.head_name, samples.kind, [trial])
            if result.head is None:
                raise ConfigError(
                    "the teacher's head diverged on one of its folds; leave --teacher-folds out"
                )
            answering = Predictor(result.head, temperature=self.run.predictor.temperature)
            yield held, logits_of(samples.kind, _known_to(self.run, answering, answering.outputs(asked.X)))
            progress.advance(1)


def _known_to(run: Run, fold: Predictor, outputs: NDArray[Any]) -> NDArray[Any]:
    """Outputs in the teacher's columns: a fold may lack its rarest classes, which then have the probability 0."""
    known = run.predictor.classes
    if not known or fold.classes == known:
        return outputs
    found = np.zeros((len(outputs), len(known)), dtype=outputs.dtype)
    found[:, [known.index(name) for name in fold.classes]] = outputs
    return found
