"""The report of a head that gives each sample one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.metrics.calibration import reliability
from headstart.metrics.clusters import class_counts, column_counts, share_of
from headstart.metrics.counts import (
    SMALLEST,
    Counts,
    Floats,
    mean_of_scored,
    number,
    numbers,
    precision_recall_f1,
    single_figures,
)
from headstart.metrics.intervals import (
    Evidence,
    class_intervals,
    effective_size,
    grouped_class_intervals,
)
from headstart.metrics.ranking import ranking_figures, resampled_ranking, weighted_ranking_figures
from headstart.metrics.resampling import RESAMPLES, Draws, counts_of, resampled_figures, weights_of
from headstart.types import Judged

if TYPE_CHECKING:
    from headstart.groups import Groups
    from headstart.types import Json


@dataclass(frozen=True, slots=True)
class Outcome:
    """True and predicted names as places in one list: all names in the order asked for, then others, sorted."""

    labels: list[str]
    true: NDArray[np.intp]
    predicted: NDArray[np.intp]

    @classmethod
    def of(cls, y_true: NDArray[Any], y_pred: NDArray[Any], names: Sequence[str]) -> Outcome:
        """Code names of any kind."""
        if len(y_true) == 0:
            raise DataError("there are no samples to evaluate; is the split empty?")
        given = np.concatenate([np.asarray(y_true, dtype=np.str_), np.asarray(y_pred, dtype=np.str_)])
        occurring, inverse = np.unique(given, return_inverse=True)
        labels = list(dict.fromkeys([*map(str, names), *occurring.tolist()]))
        place = {label: code for code, label in enumerate(labels)}
        codes = np.array([place[label] for label in occurring.tolist()], dtype=np.intp)[inverse]
        return cls(labels, codes[: len(y_true)], codes[len(y_true) :])

    @property
    def counts(self) -> Counts:
        return Counts.of(self.true, self.predicted, len(self.labels))

    @property
    def confusion(self) -> dict[str, Json]:
        """``labels``, and ``matrix`` with a row for each true name."""
        k = len(self.labels)
        matrix = np.bincount(self.true * k + self.predicted, minlength=k * k).reshape(k, k)
        return {"labels": self.labels, "matrix": matrix.tolist()}

    def resampled(self, draws: Draws) -> Counts:
        """The counts of each of B resamples, from rows drawn (B, N)."""
        k = len(self.labels)
        # The wrong ones are counted as a class of their own, which is then dropped.
        hit = np.where(self.true == self.predicted, self.true, k)
        return Counts(
            counts_of(hit[draws], k + 1)[:, :k],
            counts_of(self.predicted[draws], k),
            counts_of(self.true[draws], k),
        )


def evaluate_single(
    y_true: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    names: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Json]:
    """Every figure of a classification, with 95 % intervals.

    A true name that the head was never trained on has probability 0: its samples are wrong in every
    figure, cost the largest log loss that the dtype of the probabilities allows, and are negatives
    in the ROC-AUC and average precision of the other classes; the class itself has neither.

    Parameters
    ----------
    y_true : ndarray of str, shape (N,)
    probabilities : ndarray of float, shape (N, C)
        Rows sum to 1.
    classes : sequence of str, length C
        What the head knows, in the order of the columns.
    names : sequence of str
        All label names, in the order in which they are shown.
    resamples : int
        Of the bootstrap; 0 leaves intervals out.
    seed : int
        Of the bootstrap.
    groups : Groups, optional
        Which samples belong together, and are resampled together.

    Returns
    -------
    dict
        Ready for JSON; None for what cannot be computed. ``n``, and ``n_groups`` of samples in groups;
        ``accuracy``, ``top5_accuracy`` (more than five classes), ``balanced_accuracy``; ``micro_``, ``macro_`` and
        ``weighted_`` ``precision``, ``recall`` and ``f1``; ``mcc``; ``roc_auc`` and ``average_precision`` (two
        classes: of the second; more: the mean over the classes that occur); ``log_loss``,
        ``brier`` (two classes: in [0, 1]; more: in [0, 2]), ``ece`` (15 bins); ``per_class``
        {name: {precision, recall, f1, support, roc_auc, average_precision, intervals}}, with
        intervals of precision and recall; ``confusion``; ``intervals`` {name: [low, high]}, for all of
        these but ``ece`` (resampling alone makes it larger), and those of many classes in very many
        samples, see `resampled_ranking`; None where the samples cannot say, and why in ``no_interval``.

    Raises
    ------
    DataError
        There is no sample, or a probability is not finite.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> report = evaluate_single(np.array(["cat", "dog", "dog"]), p, ["cat", "dog"], ["cat", "dog"])
    >>> report["accuracy"], report["roc_auc"], [round(end, 3) for end in report["intervals"]["accuracy"]]
    (0.6666666666666666, 1.0, [0.094, 0.992])
    >>> report["no_interval"]["macro_f1"]
    '3 samples are too few; it takes 10'
    """
    scored = Scored.of(y_true, probabilities, classes, names)
    outcome, by_sample, truth = scored.outcome, scored.by_sample, scored.truth
    roc_auc, average_precision = ranking_figures(truth, probabilities)
    is_right = outcome.true == outcome.predicted
    report = {
        "n": len(outcome.true),
        **({} if groups is None else {"n_groups": len(groups)}),
        **numbers(single_figures(outcome.counts)),
        **numbers({name: values.mean() for name, values in by_sample.items()}),
        "roc_auc": number(roc_auc[1]) if len(classes) == 2 else mean_of_scored(roc_auc),
        "average_precision": (
            number(average_precision[1]) if len(classes) == 2 else mean_of_scored(average_precision)
        ),
        "ece": reliability(probabilities.max(axis=1), is_right).ece,
        "per_class": _per_class(outcome, scored.columns, roc_auc, average_precision, groups),
        "confusion": outcome.confusion,
    }
    if resamples:
        top5 = by_sample.get("top5_accuracy")
        evidence = evidence_of(outcome, groups, None if top5 is None else top5 > 0, truth)
        report |= evidence.report(report, scored.resampled(resamples, seed, groups))
    return report


@dataclass(frozen=True)
class Scored:
    """An outcome with the probabilities (N, C) behind it.

    ``columns`` are those of each label, -1 of one that the head does not know, and ``own`` (N,) those of the true ones.
    """

    outcome: Outcome
    probabilities: NDArray[Any]
    columns: NDArray[np.intp]
    own: NDArray[np.intp]
    by_sample: Mapping[str, Floats]

    @classmethod
    def of(
        cls, y_true: NDArray[Any], probabilities: NDArray[Any], classes: Sequence[str], names: Sequence[str]
    ) -> Scored:
        """What heads say of named samples; see `evaluate_single`."""
        y_pred = np.asarray(classes, dtype=np.str_)[probabilities.argmax(axis=1)]
        outcome = Outcome.of(y_true, y_pred, [*names, *classes])
        _check(probabilities, len(outcome.true))
        place = {str(name): column for column, name in enumerate(classes)}
        columns = np.array([place.get(label, -1) for label in outcome.labels], dtype=np.intp)
        own = columns[outcome.true]
        return cls(outcome, probabilities, columns, own, _by_sample(probabilities, own))

    @property
    def truth(self) -> NDArray[np.bool_]:
        """Where each class is true, (N, C)."""
        truth: NDArray[np.bool_] = self.own[:, None] == np.arange(self.probabilities.shape[1])
        return truth

    def resampled(self, resamples: int, seed: int, groups: Groups | None = None) -> dict[str, Floats]:
        """Every figure that has an interval on resamples, (B,) each."""

        def figures(draws: Draws) -> dict[str, Floats]:
            means = _resampled_means(self.by_sample, self.own, self.probabilities, draws)
            return {**single_figures(self.outcome.resampled(draws)), **means}

        found = resampled_figures(len(self.own), figures, resamples, seed, groups)
        if self.probabilities.shape[1] != 2:
            found |= resampled_ranking(self.truth, self.probabilities, resamples, seed, groups=groups)
        return found


def evidence_of(
    outcome: Outcome,
    groups: Groups | None = None,
    is_in_top5: NDArray[np.bool_] | None = None,
    truth: NDArray[np.bool_] | None = None,
) -> Evidence:
    """What the figures of an outcome rest on.

    ``is_in_top5`` (N,) says which samples have their class among the first five, ``truth`` (N, C) where each class that
    was scored is true.
    """
    n, n_labels, is_right = len(outcome.true), len(outcome.labels), outcome.true == outcome.predicted
    # Of samples with one class these are accuracy by other names.
    names = ("accuracy", "micro_precision", "micro_recall", "micro_f1", "weighted_recall")
    proportions = dict.fromkeys(names, share_of(is_right, groups))
    if is_in_top5 is not None:
        proportions["top5_accuracy"] = share_of(is_in_top5, groups)
    support, predicted = (
        class_counts(codes, n_labels, groups) for codes in (outcome.true, outcome.predicted)
    )
    occurring = support + predicted > 0
    by_class = effective_size(support[occurring])
    sizes = dict.fromkeys(("macro_recall", "macro_f1", "mcc"), by_class)
    sizes["macro_precision"] = min(by_class, effective_size(predicted[occurring]))
    sizes["balanced_accuracy"] = effective_size(support[support > 0])
    if truth is not None:
        scored = truth[:, 1:] if truth.shape[1] == 2 else truth  # of two classes the second
        positives, negatives = column_counts(scored, groups), column_counts(~scored, groups)
        is_scored = (positives > 0) & (negatives > 0)
        sizes["average_precision"] = effective_size(positives[is_scored])
        sizes["roc_auc"] = effective_size(np.minimum(positives, negatives)[is_scored])
    return Evidence.of(n, groups, is_right, proportions, sizes)


def _check(probabilities: NDArray[Any], n: int) -> None:
    if len(probabilities) != n:
        raise DataError(f"{n:,} labels and {len(probabilities):,} rows of probabilities: give one for each")
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities)).any(axis=1).sum())
        raise DataError(
            f"the head gives no number for {bad:,} of {n:,} samples: its training diverged; "
            "lower the learning rate"
        )


def _by_sample(probabilities: NDArray[Any], own: NDArray[np.intp]) -> dict[str, Floats]:
    """Figures that are means over samples, (N,) each; ``own`` (N,) is the column of the true class."""
    n, n_classes = probabilities.shape
    known = own >= 0
    p_own = np.where(known, probabilities[np.arange(n), own], 0)
    smallest = np.finfo(probabilities.dtype).eps
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    brier = squares - p_own.astype(np.float64) ** 2 + (1 - p_own.astype(np.float64)) ** 2
    figures = {
        "log_loss": -np.log(np.clip(p_own.astype(np.float64), smallest, 1)),
        "brier": brier / 2 if n_classes == 2 else brier,
    }
    if n_classes > 5:
        # Equal ones count in the order of the columns, as argmax has it.
        before = np.arange(n_classes) < own[:, None]
        ahead = (probabilities > p_own[:, None]) | ((probabilities == p_own[:, None]) & before)
        figures["top5_accuracy"] = (known & (ahead.sum(axis=1) < 5)).astype(np.float64)
    return figures


def _resampled_means(
    by_sample: Mapping[str, Floats], own: NDArray[np.intp], probabilities: NDArray[Any], draws: Draws
) -> dict[str, Floats]:
    weights = weights_of(draws)
    means = weights @ np.stack(list(by_sample.values()), axis=1) / draws.shape[1]
    figures = dict(zip(by_sample, means.T, strict=True))
    if probabilities.shape[1] == 2:
        ranked = weighted_ranking_figures(own == 1, probabilities[:, 1], weights)
        figures |= dict(zip(("roc_auc", "average_precision"), ranked, strict=True))
    return figures


def _per_class(
    outcome: Outcome,
    columns: NDArray[np.intp],
    roc_auc: Floats,
    average_precision: Floats,
    groups: Groups | None,
) -> dict[str, Json]:
    counts = outcome.counts
    figures = precision_recall_f1(counts)
    return {
        label: {
            **{name: float(values[code]) for name, values in figures.items()},
            "support": int(counts.support[code]),
            "roc_auc": number(roc_auc[columns[code]]) if columns[code] >= 0 else None,
            "average_precision": number(average_precision[columns[code]]) if columns[code] >= 0 else None,
            "intervals": (
                class_intervals(counts, code)
                if groups is None
                else grouped_class_intervals(outcome.true == code, outcome.predicted == code, groups)
            ),
        }
        for code, label in enumerate(outcome.labels)
    }


def judge_classes(
    true: NDArray[np.str_],
    predicted: NDArray[np.str_],
    p_true: NDArray[Any],
    confidence: NDArray[Any],
    names: Sequence[str] = (),
    groups: Groups | None = None,
) -> Judged:
    """Of one label a sample: ``accuracy``, ``macro_f1``, ``log_loss``, and ``ece``, which has no interval.

    Of true and predicted names (N,), the probability of the true class (0 of one that the run does not know) and the
    largest. A macro average is over those of all names that occur.

    Examples
    --------
    >>> y = np.array(["cat", "dog"])
    >>> judge_classes(y, np.array(["cat", "cat"]), np.array([0.9, 0.4]), np.array([0.9, 0.6])).figures["accuracy"]
    0.5
    """
    outcome = Outcome.of(true, predicted, names)
    losses = -np.log(np.clip(np.asarray(p_true, dtype=np.float64), SMALLEST, 1))
    is_right = outcome.true == outcome.predicted

    def figures(counts: Counts, log_loss: Any) -> dict[str, Any]:
        found = single_figures(counts)
        return {"accuracy": found["accuracy"], "macro_f1": found["macro_f1"], "log_loss": log_loss}

    plain = {**figures(outcome.counts, losses.mean()), "ece": reliability(confidence, is_right).ece}
    return Judged(
        {name: float(value) for name, value in plain.items()},
        lambda draws: figures(outcome.resampled(draws), losses[draws].mean(axis=1)),
        is_right,
        evidence_of(outcome, groups),
    )
