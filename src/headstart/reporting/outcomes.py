"""What a run says of samples beside what is true: which are right, how sure it is, and which are the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import codes_by_name, column_of, keys_from_arrow, numbers_of, numbers_or_nan
from headstart.errors import DataError, MismatchError, StorageError
from headstart.reporting.labels import PageLabel, cut, readable
from headstart.tasks.columns import PROBABILITY, classes_in
from headstart.types import SPLITS
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.registry.run import Run
    from headstart.reporting.samples import PageSamples
    from headstart.types import Judged

    Rows = NDArray[np.int64]
    Floats = NDArray[np.float64]

HALF = 0.5
"""A label of several is predicted where its probability is above."""


@dataclass(frozen=True)
class Doubts:
    """How bad the prediction of each of p samples is.

    Parameters
    ----------
    is_right : ndarray of bool, shape (p,), optional
        None of numbers, which are neither right nor wrong.
    badness : ndarray of float, shape (p,)
        The larger the worse; what mistakes are sorted by.
    score : ndarray of float, shape (p,)
        What is shown of that, with its ``title``.
    confidence : ndarray of float, shape (p,), optional
        How sure the run is of what it predicts, in [0, 1].
    """

    is_right: NDArray[np.bool_] | None
    badness: Floats
    score: Floats
    title: str
    confidence: Floats | None = None


@dataclass(frozen=True)
class Outcome:
    """The predictions of one run for p samples of a page: ``table`` is in the order of ``rows``."""

    name: str
    run: Run
    label: PageLabel
    table: pa.Table
    rows: Rows

    @classmethod
    def met(
        cls, run: Run, name: str, predictions: pa.Table, samples: PageSamples, notes: list[str]
    ) -> Outcome:
        """The predictions of a run, met with the samples of a page by key and id."""
        rows = rows_among(predictions, samples.table)
        kept = np.flatnonzero(rows >= 0)
        if len(kept) < len(rows):
            n = len(rows) - len(kept)
            notes.append(f"{counted(n, 'prediction')} of {name} are of samples that the set does not have")
            predictions = predictions.take(column_of(kept))
        if not len(kept):
            raise MismatchError(
                f"run {name} has predictions of none of the samples of its set; make it again"
            )
        assert samples.label is not None
        return cls(name, run, samples.label, predictions, rows[kept])

    @property
    def splits(self) -> NDArray[np.int8]:
        """The split of each, as an index into ``SPLITS``."""
        codes: NDArray[np.int8] = codes_by_name(self.table.column("split"), SPLITS, np.int8)
        return codes

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes that it has probabilities of, and behind them those that it does not know and samples have."""
        known = dict.fromkeys(classes_in(self.table))
        if self.is_classes:
            names = self.label.task.names_in(self.table.column("label"))
            known |= dict.fromkeys(sorted(set(names) - set(known)))
        return tuple(known)

    @property
    def is_classes(self) -> bool:
        """Whether each sample has one class."""
        return self.label.page_kind == "single"

    @cached_property
    def said(self) -> NDArray[np.int64]:
        """The class that is predicted for each sample, as a place in ``classes``."""
        return codes_by_name(self.table.column("prediction"), self.classes)

    @cached_property
    def true(self) -> NDArray[np.int64]:
        """The class that each sample has."""
        return codes_by_name(self.table.column("label"), self.classes)

    @cached_property
    def doubts(self) -> Doubts:
        """How bad each prediction is."""
        return _DOUBTS[self.label.page_kind](self)

    def probabilities(self) -> NDArray[np.float32]:
        """Of each class, shape (p, C); 0 for a class that the run does not know."""
        found = np.zeros((len(self.rows), len(self.classes)), dtype=np.float32)
        for place, name in enumerate(self.classes):
            if PROBABILITY + name in self.table.column_names:
                found[:, place] = self.column(PROBABILITY + name)
        return found

    def column(self, name: str) -> Floats:
        """A column of numbers."""
        return numbers_or_nan(self.table.column(name).cast(pa.float64()))

    def judged(self, chosen: NDArray[np.bool_] | None = None) -> Judged:
        """The figures of all samples, or of some."""
        table = self.table if chosen is None else self.table.take(column_of(np.flatnonzero(chosen)))
        return self.label.task.judge({self.name: table})[self.name]

    def mistakes(self) -> Rows:
        """The wrong ones, the worst first, as places in the table; of numbers those that are off at all."""
        doubts = self.doubts
        wrong = doubts.badness > 0 if doubts.is_right is None else ~doubts.is_right
        places = np.flatnonzero(wrong)
        order: Rows = places[np.argsort(-doubts.badness[places], kind="stable")]
        return order

    def suggested(self, places: Rows) -> list[str]:
        """What is predicted for some, as a label of ``corrections.csv``."""
        table = self.table.take(column_of(places))
        return self.label.written(_as_labels(table, self.label.page_kind))

    def readable(self, name: str, longest: int) -> list[str]:
        """What is predicted, or what is true, as people read it."""
        kind, values = self.label.page_kind, self.table.column(name).to_pylist()
        return [cut(readable(value, kind), longest) for value in values]

    def located(self, places: Rows) -> Outcome:
        """The same with the rows of another page; -1: it is not on that one."""
        kept = np.flatnonzero(places[self.rows] >= 0)
        if len(kept) == len(self.rows):
            return replace(self, rows=places[self.rows])
        return replace(self, table=self.table.take(column_of(kept)), rows=places[self.rows[kept]])


def predictions_in(run: Run, name: str) -> pa.Table:
    """What a run predicted for the samples of all splits.

    Raises
    ------
    StorageError
        Some of it is not of the run's task.
    DataError
        There is nothing.
    """
    task = PageLabel(str(run.labels["column"]), run.task, ()).task
    tables = [run.predictions_of(split) for split in SPLITS]
    table = pa.concat_tables([each for each in tables if each.num_rows] or tables[:1])
    odd = [field for field in table.schema if not task.fits(field)]
    if odd:
        raise StorageError(
            f"run {name}: its predictions have {odd[0].type} in column {odd[0].name!r}, which does not go with "
            f"{task.meaning}; make the run again"
        )
    if not table.num_rows:
        raise DataError(f"run {name} has predictions of no sample; fit it on a set with labelled samples")
    return table


def _as_labels(table: pa.Table, page_kind: str) -> list[Any]:
    """Predictions as values of a label column."""
    said: list[Any] = table.column("prediction").to_pylist()
    if page_kind == "seq2seq":
        return [[text] for text in said]
    if page_kind != "spans":
        return said
    places = (table.column(name).to_pylist() for name in ("start", "end"))
    return [
        [] if start is None else [{"start": start, "end": end, "text": text}]
        for text, start, end in zip(said, *places, strict=True)
    ]


def _check_probabilities(of: Outcome) -> None:
    if not classes_in(of.table):
        raise StorageError(f"run {of.name} has predictions without probabilities; make the run again")


def _of_classes(of: Outcome) -> Doubts:
    _check_probabilities(of)
    confidence = np.zeros(len(of.rows))
    for name in classes_in(of.table):  # one at a time: there may be thousands
        np.fmax(confidence, of.column(PROBABILITY + name), out=confidence)
    is_right = (of.said == of.true) & (of.true >= 0)
    return Doubts(is_right, confidence, confidence, "probability of the prediction", confidence)


def _of_labels(of: Outcome) -> Doubts:
    """By the label that is wrong most confidently; of right ones the one that was nearest to being wrong."""
    _check_probabilities(of)
    true = of.label.task.encode(of.table.column("label"), of.classes) > 0
    likely = of.probabilities().astype(np.float64)
    is_wrong = (likely > HALF) != true
    sure = np.where(is_wrong, np.abs(likely - HALF), -1.0).max(axis=1, initial=-1.0)
    least = np.abs(likely - HALF).min(axis=1, initial=HALF)
    confidence = HALF + np.where(sure >= 0, sure, least)
    badness = sure + is_wrong.sum(axis=1) * 1e-9  # of equals those with more wrong labels
    return Doubts(~is_wrong.any(axis=1), badness, confidence, "probability of the worst label", confidence)


def _of_numbers(of: Outcome) -> Doubts:
    error = of.column("prediction") - of.column("label")
    size = np.nan_to_num(np.abs(error), nan=0.0)
    return Doubts(None, size, error, "prediction − label")


def _of_tags(of: Outcome) -> Doubts:
    wrong = np.array(
        [
            sum(a != b for a, b in zip(true, said, strict=True))
            for true, said in zip(*_lists(of.table), strict=True)
        ],
        dtype=np.float64,
    )
    return Doubts(wrong == 0, wrong, wrong, "wrong words")


def _of_answers(of: Outcome) -> Doubts:
    from headstart.metrics.spans import Marks

    references = [[answer["text"] for answer in cell] for cell in of.table.column("label").to_pylist()]
    marks = Marks.of(references, of.table.column("prediction").to_pylist())
    return Doubts(marks.exact == 1, 1 - marks.f1, marks.f1, "F1 of the answer")


def _of_texts(of: Outcome) -> Doubts:
    from headstart.metrics.texts import exact_matches, sentence_chrf

    references, said = _lists(of.table)
    each = sentence_chrf(references, said)
    return Doubts(exact_matches(references, said), 100 - each, each, "chrF of the text")


def _lists(table: pa.Table) -> tuple[Sequence[Any], Sequence[Any]]:
    return table.column("label").to_pylist(), table.column("prediction").to_pylist()


_DOUBTS = {
    "single": _of_classes, "multi": _of_labels, "regression": _of_numbers, "tags": _of_tags, "spans": _of_answers,
    "seq2seq": _of_texts,
}  # fmt: skip


def rows_among(table: pa.Table, among: pa.Table) -> Rows:
    """Where the samples of a table stand in another, by id and key; -1 for one that is not there.

    Samples of one id are told apart by their order.
    """
    n = table.num_rows
    ids = [column.cast(pa.string()) for part in (table, among) for column in part.column("id").chunks]
    codes = numbers_of(pa.concat_arrays(ids).dictionary_encode().indices).astype(np.int64)
    mine, others = _numbered(codes[:n]), _numbered(codes[n:])
    if not len(others):
        return np.full(n, -1, dtype=np.int64)
    order = np.argsort(others, kind="stable")
    found = order[np.minimum(np.searchsorted(others[order], mine), len(order) - 1)]
    keys, other_keys = (keys_from_arrow(part.column("key")) for part in (table, among))
    is_met = (others[found] == mine) & (keys == other_keys[found]).all(axis=1)
    return np.where(is_met, found, -1)


def _numbered(codes: Rows) -> Rows:
    """Codes with how many of the same came before, as one number for each."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    before = np.empty(len(codes), dtype=np.int64)
    before[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    return (codes << 32) + before
