"""A run as a teacher: which samples it was trained on, and what it says of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow.compute as pc
import yaml

from headstart.arrow import keys_from_arrow, strings
from headstart.cache.store import Cache
from headstart.distillation.folds import FoldTeacher
from headstart.distillation.opinions import ask, digest_of, read, recipe_of
from headstart.errors import ConfigError, HeadstartError, StorageError
from headstart.keys import contains
from headstart.registry.run import Run
from headstart.yaml_file import parse_yaml, values_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.config import TaughtConfig
    from headstart.contracts import Progress
    from headstart.types import Json


@dataclass(frozen=True)
class RunTeacher:
    """A run that speaks of samples of a student's set.

    ``about`` the computing are ``device`` and ``offline``.
    """

    run: Run
    features: FeatureSet
    n_folds: int | None
    computing: Mapping[str, Any]
    progress: Progress

    @classmethod
    def open(
        cls, config: TaughtConfig, features: FeatureSet, progress: Progress, computing: Mapping[str, Any]
    ) -> Self:
        """The run of a configuration, for a set that is to be learnt from.

        Raises
        ------
        ConfigError
            Folds are asked for of a run that cannot be fitted on them.
        """
        assert config.teacher is not None
        found = cls(Run.load(config.teacher), features, config.teacher_folds, computing, progress)
        if config.teacher_folds and not found.can_fold:
            why = (
                "was taught itself"
                if found.run.part("distillation")
                else "is a whole network that was fine-tuned"
            )
            raise ConfigError(
                f"--teacher-folds fits the teacher's head anew, and {found.path} {why}; leave it out"
            )
        return found

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.run.folder

    @property
    def kind(self) -> str:
        """What it predicts."""
        return self.run.task

    @property
    def names(self) -> tuple[str, ...]:
        """The classes or labels of its logits; none of numbers."""
        return tuple(map(str, self.run.labels["classes"]))

    @property
    def n_columns(self) -> int:
        """Of its logits."""
        return len(self.names) or 1

    @property
    def can_fold(self) -> bool:
        """Whether its head can be fitted anew on a part of its training samples."""
        return self.run.method is None and not self.run.part("distillation")

    @cached_property
    def digest(self) -> str:
        """What decides its logits."""
        return digest_of(self.run)

    @cached_property
    def trained_on(self) -> NDArray[np.uint8]:
        """The keys that it was trained on, shape (N, 16), and whoever taught it."""
        return np.concatenate(list(_training_keys(self.run, self.progress)))

    @property
    def about(self) -> dict[str, Json]:
        """What a report says of it."""
        spaces = [self._space.id, *([self._folds.space.id] if self._folds else [])]
        return {
            "method": self.run.strategy, "head": self.run.head_name, "backbone": self.run.backbone,
            "tap": self.run.tap, "digest": self.digest, "spaces": spaces,
        }  # fmt: skip

    def ask(self, table: pa.Table) -> None:
        """Compute what the cache lacks of its logits for samples, by ``key``."""
        keys = keys_from_arrow(table.column("key"))
        if self._folds:
            keys = keys[~contains(self._folds.keys, keys)]
            self._folds.ask(self.progress)
        if len(keys):
            ask(self.run, self._space, self._cache, self.features, keys, self.computing, self.progress)

    def opinions(self, table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What it says of samples, (N, C), and of which of them it says something."""
        keys = keys_from_arrow(table.column("key"))
        found, said = read(self._space, keys, self.n_columns)
        if self._folds:
            own = np.flatnonzero(contains(self._folds.keys, keys))
            found[own], said[own] = read(self._folds.space, keys[own], self.n_columns)
        return found, said

    @cached_property
    def _cache(self) -> Cache:
        return Cache(self.features.cache)

    @cached_property
    def _space(self) -> Space:
        return self._cache.space(recipe_of(self.run, self.digest))

    @cached_property
    def _folds(self) -> FoldTeacher | None:
        if not self.n_folds:
            return None
        return FoldTeacher(self.run, self.digest, self.n_folds, was_refitted(self.run), self._cache)


def was_refitted(run: Run) -> bool:
    """Whether a head was fitted on train and validation samples together in the end."""
    try:
        path = run.folder / "config.yaml"
        values = values_of(parse_yaml(path.read_text("utf-8")), str(path))
    except (HeadstartError, OSError, ValueError, yaml.YAMLError):
        return True  # which nobody can rule out
    return isinstance(values, dict) and bool(values.get("refit", False))


def _training_keys(run: Run, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    """Of a run and of its teachers, as far as these can be opened; samples without a label count if it was taught."""
    above = run.part("distillation")
    for split in ("train", "validation") if was_refitted(run) else ("train",):
        yield keys_from_arrow(run.predictions_of(split).column("key"))
    if above.get("n_unlabelled"):
        if run.split is None:
            raise StorageError(
                f"{run.folder} has no sound split.parquet, so that nothing says which samples the teacher was trained "
                "on; restore it, or make the run again"
            )
        in_train = pc.equal(run.split.column("split"), strings(["train"])[0])
        yield keys_from_arrow(run.split.filter(in_train).column("key"))
    teacher = above.get("teacher")
    if isinstance(teacher, str) and Path(teacher).is_dir():
        yield from _training_keys(Run.load(teacher), progress)
    elif teacher is not None:
        progress.say(f"nothing says what {teacher} was trained on, which taught the teacher {run.folder}")
