"""What a teacher says of a student's train samples: asked once, checked for leaks, and put beside the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import keys_from_arrow
from headstart.cache.set_state import read_splits
from headstart.distillation.asked import check_kind
from headstart.distillation.run_teacher import RunTeacher
from headstart.distillation.table_teacher import TableTeacher
from headstart.errors import MismatchError
from headstart.keys import contains
from headstart.options import did_you_mean
from headstart.samples import LabelledSamples, SoftTargets
from headstart.tasks import open_task
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.config import TaughtConfig
    from headstart.contracts import Distillable, Progress
    from headstart.types import Json

SURELY_NOT = -30.0
"""The logit of a class that the teacher does not know."""
SHOWN = 3


@dataclass(frozen=True)
class Lessons:
    """What a teacher says of samples, and what it counts; ``report`` is what a run says of it."""

    teacher: RunTeacher | TableTeacher
    config: TaughtConfig
    report: Mapping[str, Json]

    def of(self, samples: LabelledSamples) -> LabelledSamples:
        """The same samples with the teacher's opinions; where it has none, their labels count alone.

        Samples without a label stand for what the teacher takes them for. Of those, what it says nothing of is dropped.
        """
        others = samples.unlabelled
        if others is not None:
            soft, said = self._soft(others)
            taught = _distillable(samples.kind).taught(soft.logits)
            kept = np.flatnonzero(said)
            others = replace(others, y=taught, soft=replace(soft, is_labelled=~soft.is_labelled)).take(kept)
            others = others if len(kept) else None
        return replace(samples, soft=self._soft(samples)[0], unlabelled=others)

    def _soft(self, samples: LabelledSamples) -> tuple[SoftTargets, NDArray[np.bool_]]:
        config, teacher = self.config, self.teacher
        found, said = teacher.opinions(samples.table)
        logits, labelled = _in_order(found, teacher.names, samples.names), np.ones(len(said), dtype=bool)
        temperature, alpha = config.distill_temperature, config.distill_alpha
        return SoftTargets(logits, samples.names, labelled, said, temperature, alpha), said


def ask_teacher(
    config: TaughtConfig,
    features: FeatureSet,
    samples: Sequence[LabelledSamples],
    progress: Progress,
    about: Mapping[str, Any] | None = None,
) -> Lessons:
    """Open the teacher of a configuration, check that it fits, and ask it about samples.

    Parameters
    ----------
    samples : sequence of LabelledSamples
        Of the set; the first are train samples.
    about : mapping, optional
        ``device`` and ``offline``, where features of the teacher's backbone have to be computed.

    Raises
    ------
    MismatchError
        It predicts something else, or was trained on validation or test samples of the set.
    """
    assert config.teacher is not None
    train = samples[0]
    check_kind(train.kind)
    teacher: RunTeacher | TableTeacher
    if config.teacher.is_dir():
        teacher = RunTeacher.open(config, features, progress, about or {})
    else:
        teacher = TableTeacher.open(config, train.kind)
    _check_task(teacher, train)
    _check_leaks(teacher, features)
    wanted = [part for each in samples for part in (each, each.unlabelled) if part is not None]
    tables = [part.table.select(["id", "key", "split"]) for part in wanted]
    teacher.ask(pa.concat_tables(tables))
    lessons = Lessons(teacher, config, {})
    report = _report(lessons, lessons.of(train), progress)
    return replace(lessons, report=report)


def _distillable(kind: str) -> Distillable:
    task: Any = open_task(kind)
    found: Distillable = task
    return found


def _check_task(teacher: RunTeacher | TableTeacher, train: LabelledSamples) -> None:
    """Refuse a teacher of another task, of classes that the set lacks, or without some that are to be learnt."""
    task = open_task(train.kind)
    if teacher.kind != train.kind:
        raise MismatchError(
            f"the teacher {teacher.path} predicts {open_task(teacher.kind).meaning}, and {train.column!r} is "
            f"{task.meaning}; choose another teacher, or another --label"
        )
    if strangers := [name for name in teacher.names if name not in train.names]:
        raise MismatchError(
            f"the teacher {teacher.path} has other classes than {train.column!r}: {_some(strangers)}"
            f"{did_you_mean(strangers[0], train.names, 'the set has')}"
        )
    known = set(teacher.names)
    if lacking := [train.names[at] for at in sorted(task.occurring(train.y)) if train.names[at] not in known]:
        raise MismatchError(
            f"the teacher {teacher.path} has other classes than {train.column!r}: it does not know {_some(lacking)}, "
            "which train samples have; choose a teacher that was fitted on all of them"
        )


def _check_leaks(teacher: RunTeacher | TableTeacher, features: FeatureSet) -> None:
    trained = teacher.trained_on
    if trained is None:
        return
    keys, splits = read_splits(features)
    seen = contains(trained, keys)
    counts = {split: int((seen & (splits == SPLITS.index(split))).sum()) for split in SPLITS[1:]}
    if sum(counts.values()):
        said = " and ".join(f"{n:,} {split}" for split, n in counts.items() if n)
        raise MismatchError(
            f"the teacher {teacher.path} was trained on {said} samples of set {features.name!r}, which would then say "
            "nothing of new data; take a teacher that was trained on other samples, or on the same splits"
        )


def _report(lessons: Lessons, train: LabelledSamples, progress: Progress) -> dict[str, Json]:
    teacher, config = lessons.teacher, lessons.config
    everything = train.trained_on
    n_overlap = None
    if teacher.trained_on is not None:
        keys = keys_from_arrow(everything.table.column("key"))
        n_overlap = int(contains(teacher.trained_on, keys).sum())
    assert everything.soft is not None
    n_without = int((~teacher.opinions(train.table)[1]).sum())
    _say(lessons, len(train), len(everything) - len(train), n_overlap, n_without, progress)
    return {
        "teacher": str(teacher.path),
        **teacher.about,
        "temperature": config.distill_temperature,
        "alpha": config.distill_alpha,
        "n_train": len(train),
        "n_unlabelled": len(everything) - len(train),
        "n_without_opinion": n_without,
        "n_overlap": n_overlap,
        "folds": config.teacher_folds if n_overlap else None,
    }


def _say(
    lessons: Lessons, n_train: int, n_others: int, n_overlap: int | None, n_without: int, progress: Progress
) -> None:
    """What the user should know of who teaches."""
    teacher, folds = lessons.teacher, lessons.config.teacher_folds
    progress.say(
        f"taught by {teacher.path}: {n_train:,} train samples with a label"
        + (f", {n_others:,} without" if n_others else "")
        + (f"; it says nothing of {n_without:,}, whose labels count alone" if n_without else "")
    )
    if n_overlap is None:
        progress.say(
            "nothing says what that teacher was trained on: see to it that it is no validation or test sample"
        )
    elif folds and n_overlap:
        progress.say(f"its opinions on the {n_overlap:,} that it was trained on come from {folds} folds")
    elif folds:
        progress.say("it was trained on none of them, so that --teacher-folds changes nothing")
    elif n_overlap:
        hint = "; --teacher-folds 5 gives such as come from folds" if teacher.can_fold else ""
        progress.say(f"it was trained on {n_overlap:,} of them, and is surer of those than of new ones{hint}")


def _in_order(
    logits: NDArray[np.float32], names: Sequence[str], wanted: Sequence[str]
) -> NDArray[np.float32]:
    """Logits in the order of a label column's names; numbers have none."""
    if not wanted:
        return logits
    found = np.full((len(logits), len(wanted)), SURELY_NOT, dtype=np.float32)
    found[:, [list(wanted).index(name) for name in names]] = logits
    return found


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
