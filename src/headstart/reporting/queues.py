"""Queues: samples to look at one by one and to correct, the likeliest first, of mistakes and of what an audit finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import codes_by_name, keys_from_arrow, positions_in
from headstart.backbones.pooling import display_tap
from headstart.corrections.texts import label_texts
from headstart.errors import HeadstartError
from headstart.inspection.audit import audit
from headstart.inspection.audit_result import CHECKS, Audit, AuditConfig
from headstart.inspection.words import WordSamples
from headstart.keys import copies_among
from headstart.reporting.arrays import encoded_numbers, encoded_rows
from headstart.reporting.budget import MOST_AUDITED, MOST_QUEUED
from headstart.tasks import open_task
from headstart.types import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.heads.neighbours import Neighbours
    from headstart.inspection.distances import Pairs
    from headstart.reporting.labels import PageLabel
    from headstart.reporting.outcomes import Outcome
    from headstart.reporting.vectors import Vectors
    from headstart.types import Json

    Rows = NDArray[np.int64]

TITLES = {
    "suggestions": "To label next",
    "mistakes": "Mistakes",
    "label_errors": "Labels that are likely wrong",
    "duplicates": "Near-duplicates",
    "leaks": "Near-duplicates of a train sample in validation or test",
    "group_leaks": "Samples in validation or test whose group is in train as well",
    "outliers": "Outliers",
}


@dataclass(frozen=True)
class Queue:
    """Samples to look at, the likeliest first.

    Parameters
    ----------
    name, about : str
        What they are called, and a sentence on how they were found.
    rows : ndarray of int64, shape (q,)
    n : int
        How many were found; ``rows`` may be fewer.
    other : ndarray of int64, shape (q,), optional
        The twin of each.
    suggested : sequence of str, optional
        A label for each, as ``corrections.csv`` has it.
    score : ndarray of float, shape (q,), optional
        What they are sorted by, with its ``score_title``.
    """

    name: str
    about: str
    rows: Rows
    n: int
    other: Rows | None = None
    suggested: Sequence[str] | None = None
    score: NDArray[Any] | None = None
    score_title: str | None = None

    def take(self, places: Rows) -> Queue:
        """Some of it."""
        suggested = None if self.suggested is None else [self.suggested[place] for place in places.tolist()]
        return replace(
            self,
            rows=self.rows[places],
            other=None if self.other is None else self.other[places],
            suggested=suggested,
            score=None if self.score is None else self.score[places],
        )

    def located(self, places: Rows) -> Queue:
        """The same with the rows of a page, by where each row is on it; without those that are not, -1."""
        moved = replace(
            self, rows=places[self.rows], other=None if self.other is None else places[self.other]
        )
        is_there = moved.rows >= 0
        if moved.other is not None:
            is_there &= moved.other >= 0
        return moved.take(np.flatnonzero(is_there))

    def to_json(self) -> dict[str, Json]:
        """As the page has it."""
        return {
            "name": self.name,
            "title": TITLES[self.name],
            "about": self.about,
            "rows": encoded_rows(self.rows),
            "other": None if self.other is None else encoded_rows(self.other),
            "suggested": None if self.suggested is None else list(self.suggested),
            "score": None if self.score is None else encoded_numbers(np.asarray(self.score)),
            "score_title": self.score_title,
            "n": self.n,
        }


def mistakes_of(outcome: Outcome) -> Queue:
    """What a run has wrong, in any split, as rows of the page's samples."""
    found, doubts = outcome.mistakes(), outcome.doubts
    places = found[:MOST_QUEUED]
    what = "is furthest off" if doubts.is_right is None else "is wrong"
    return Queue(
        "mistakes",
        f"Samples whose prediction by {outcome.name} {what}, the worst first: many of the surest are labels that are "
        "wrong. Those of train were learnt from.",
        outcome.rows[places],
        len(found),
        suggested=outcome.suggested(places),
        score=doubts.score[places],
        score_title=doubts.title,
    )


def audited(
    features: FeatureSet,
    label: PageLabel | None,
    vectors: Vectors | None,
    asked: bool | None,
    notes: list[str],
    progress: Progress,
) -> tuple[list[Queue], Neighbours | None]:
    """What an audit finds in a set, as rows of its samples; what is equal byte for byte where it would take long.

    Beside it, where all samples were compared, of each row of ``vectors`` the nearest of train. ``asked`` is None where
    small sets alone are looked through.
    """
    n = len(features)
    if asked is False:
        return [], None
    if asked is None and n > MOST_AUDITED:
        notes.append(
            f"the set was not audited: all pairs of {n:,} samples are some minutes of work, which --audit does; copies "
            "that are equal byte for byte are shown"
        )
        return copies_in(features), None
    is_words = label is not None and label.page_kind == "tags"
    if vectors is None and not is_words:
        return copies_in(features), None
    try:
        found = audit(_audit_config(features, label, vectors, is_words), progress, judges_leaks=False)
    except (HeadstartError, OSError) as error:
        notes.append(f"the set could not be audited ({type(error).__name__}); headstart audit says why")
        return copies_in(features), None
    return _queues(found, features, vectors), found.near_train


def _audit_config(
    features: FeatureSet, label: PageLabel | None, vectors: Vectors | None, is_words: bool
) -> AuditConfig:
    checks = ["labels"] if is_words else list(CHECKS)
    if label is None:
        checks.remove("labels")
    where: dict[str, Any] = {"set": features.name, "cache": str(features.cache), "digest": features.digest}
    if vectors is not None and not is_words:
        where |= {"tap": display_tap(vectors.feature.tap), "backbone": vectors.feature.backbone}
    return AuditConfig(**where, label=None if label is None else label.column, checks=checks)


def _queues(found: Audit, features: FeatureSet, vectors: Vectors | None) -> list[Queue]:
    rows = _rows_of(found, features, vectors)
    about = f"by {display_tap(found.samples.feature.tap)} features"
    queues = []
    if found.labels is not None and len(found.labels):
        queues.append(_label_errors(found, rows, about))
    if found.duplicates is not None:
        said = f"Pairs of samples with a cosine of at least {found.config.threshold:g} {about}, the nearest first."
        queues.append(_pairs("duplicates", said, [found.duplicates], rows))
    if found.leaks is not None:
        said = (
            f"Samples outside train whose nearest in train has a cosine of at least {found.config.threshold:g} "
            f"{about}: figures on them flatter."
        )
        queues.append(_pairs("leaks", said, list(found.leaks.pairs.values()), rows))
    if found.shared_groups is not None:
        shared = np.concatenate(list(found.shared_groups.values()))
        said = f"Samples outside train whose {found.grouped_by} has samples in train as well."
        queues.append(Queue("group_leaks", said, rows[shared[:MOST_QUEUED]], len(shared)))
    if found.outliers is not None and found.z is not None:
        said = (
            f"Samples whose nearest are more than {found.config.outlier_z:g} robust deviations farther than is usual "
            f"{about}."
        )
        first = found.outliers[:MOST_QUEUED]
        score = found.z[first]
        queues.append(
            Queue("outliers", said, rows[first], len(found.outliers), score=score, score_title="deviations")
        )
    return [queue for queue in queues if len(queue.rows)]


def _rows_of(found: Audit, features: FeatureSet, vectors: Vectors | None) -> Rows:
    """Which sample of the set each row of an audit is; of a word its sentence."""
    if vectors is not None and not isinstance(found.samples, WordSamples):
        return vectors.rows
    rows: Rows = positions_in(found.samples.table.column("id"), features.columns(["id"]).column("id"))
    return rows


def _label_errors(found: Audit, rows: Rows, about: str) -> Queue:
    errors = found.labels
    assert errors is not None
    task = open_task(found.samples.kind)
    said = (
        f"Labels that all other samples speak against {about} (confident learning), the least likely first."
    )
    title = "probability of the given label"
    if task.form == "numbers":
        said = f"Numbers that are far off what all other samples predict {about}, the farthest first."
        title = "1 / (1 + deviations)"
    if isinstance(found.samples, WordSamples):
        _, first = np.unique(rows[errors.row], return_index=True)  # a sentence once, by its worst word
        places = np.sort(first)
        said = (
            f"Sentences with a word whose tag all other words speak against {about}, the least likely first."
        )
        chosen = places[:MOST_QUEUED]
        return Queue(
            "label_errors",
            said,
            rows[errors.row[chosen]],
            len(places),
            score=errors.score[chosen],
            score_title=title,
        )
    suggested = task.decode(errors.suggested[:MOST_QUEUED], found.samples.names)
    return Queue(
        "label_errors",
        said,
        rows[errors.row[:MOST_QUEUED]],
        len(errors),
        suggested=label_texts(suggested, found.samples.kind),
        score=errors.score[:MOST_QUEUED],
        score_title=title,
    )


def _pairs(name: str, about: str, found: Sequence[Pairs], rows: Rows) -> Queue:
    first, second, cosine = (
        np.concatenate([np.empty(0, dtype), *(getattr(pairs, part) for pairs in found)])
        for part, dtype in (("first", np.int64), ("second", np.int64), ("cosine", np.float32))
    )
    order = np.argsort(-cosine, kind="stable")[:MOST_QUEUED]
    return Queue(
        name,
        about,
        rows[first[order]],
        len(first),
        rows[second[order]],
        score=cosine[order],
        score_title="cosine",
    )


def copies_in(features: FeatureSet) -> list[Queue]:
    """Samples that are equal byte for byte, which keys alone say, and those of them that are in train and outside."""
    table = features.columns(["key", "split"])
    splits = codes_by_name(table.column("split"), SPLITS, np.int8)
    copies = copies_among(keys_from_arrow(table.column("key")))
    first = copies.rows[copies.is_first][copies.groups]
    again = ~copies.is_first
    train = np.full(copies.n_groups, -1, dtype=np.int64)
    is_train = splits[copies.rows] == SPLITS.index("train")
    train[copies.groups[is_train][::-1]] = copies.rows[is_train][::-1]
    twin = train[copies.groups]
    is_leak = ~is_train & (twin >= 0)
    queues = [
        _copies(
            "duplicates", "Pairs of samples that are equal byte for byte.", copies.rows[again], first[again]
        ),
        _copies(
            "leaks",
            "Samples outside train that are in train as well, byte for byte: figures on them flatter.",
            copies.rows[is_leak],
            twin[is_leak],
        ),
    ]
    return [queue for queue in queues if queue.n]


def _copies(name: str, about: str, rows: Rows, other: Rows) -> Queue:
    n = min(len(rows), MOST_QUEUED)
    return Queue(name, about, rows[:n], len(rows), other[:n], score=np.ones(n), score_title="cosine")
