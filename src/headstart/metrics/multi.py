"""The report of a head that gives each sample any number of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.metrics.clusters import column_counts, share_of
from headstart.metrics.counts import (
    SMALLEST,
    Counts,
    Floats,
    averages,
    check_outputs,
    mean_of_scored,
    number,
    numbers,
    precision_recall_f1,
)
from headstart.metrics.intervals import (
    Evidence,
    class_intervals,
    effective_size,
    grouped_class_intervals,
)
from headstart.metrics.ranking import ranking_figures, resampled_ranking
from headstart.metrics.resampling import RESAMPLES, Draws, resampled_figures, weights_of
from headstart.types import Judged

if TYPE_CHECKING:
    from headstart.groups import Groups
    from headstart.types import Json


def evaluate_multi(
    Y_true: NDArray[Any],
    probabilities: NDArray[Any],
    names: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Json]:
    """Every figure of a multi-label classification, with 95 % intervals.

    Parameters
    ----------
    Y_true : ndarray of 0 and 1, shape (N, L)
    probabilities : ndarray of float, shape (N, L)
    names : sequence of str, length L
    resamples, seed : int
        Of the bootstrap; 0 resamples leave intervals out.
    groups : Groups, optional
        Which samples belong together, and are resampled together.

    Returns
    -------
    dict
        Ready for JSON; None for what cannot be computed. ``n`` and ``n_groups``; ``accuracy`` (all labels of a sample
        right), ``hamming_loss``; ``micro_``, ``macro_``, ``weighted_`` and ``samples_``
        ``precision``, ``recall`` and ``f1`` (0 where nothing is predicted, or nothing true);
        ``roc_auc`` and ``average_precision`` (means over the labels that occur), ``micro_roc_auc``,
        ``micro_average_precision``; ``log_loss`` and ``brier`` (means over samples and labels);
        ``per_class`` and ``intervals`` as in `evaluate_single`.

    Raises
    ------
    DataError
        There is no sample, shapes differ, or a probability is not finite.
    """
    truth = np.asarray(Y_true) > 0
    check_outputs(len(truth), probabilities)
    if truth.shape != probabilities.shape or truth.shape[1:] != (len(names),):
        raise DataError(
            f"labels {truth.shape}, probabilities {probabilities.shape} and {len(names)} names: "
            "give one column for each name"
        )
    said = probabilities > 0.5
    by_sample = _by_sample(truth, said, probabilities)
    roc_auc, average_precision = ranking_figures(truth, probabilities)
    micro = ranking_figures(truth.reshape(-1, 1), probabilities.reshape(-1, 1))
    counts = Counts((truth & said).sum(axis=0), said.sum(axis=0), truth.sum(axis=0))
    report: dict[str, Json] = {
        "n": len(truth),
        **({} if groups is None else {"n_groups": len(groups)}),
        **numbers({name: values.mean() for name, values in by_sample.items()}),
        **numbers(averages(counts, np.ones(len(names), dtype=bool))),
        "roc_auc": mean_of_scored(roc_auc),
        "average_precision": mean_of_scored(average_precision),
        "micro_roc_auc": number(micro[0][0]),
        "micro_average_precision": number(micro[1][0]),
        "per_class": {
            str(name): {
                **{figure: float(values[label]) for figure, values in precision_recall_f1(counts).items()},
                "support": int(counts.support[label]),
                "roc_auc": number(roc_auc[label]),
                "average_precision": number(average_precision[label]),
                "intervals": (
                    class_intervals(counts, label)
                    if groups is None
                    else grouped_class_intervals(truth[:, label], said[:, label], groups)
                ),
            }
            for label, name in enumerate(names)
        },
    }
    if resamples:
        resampled = resampled_figures(len(truth), _resampler(truth, said, by_sample), resamples, seed, groups)
        resampled |= resampled_ranking(truth, probabilities, resamples, seed, micro=True, groups=groups)
        report |= evidence_of(truth, said, groups).report(report, resampled)
    return report


def evidence_of(truth: NDArray[np.bool_], said: NDArray[np.bool_], groups: Groups | None = None) -> Evidence:
    """What the figures of labels (N, L) and predictions (N, L) rest on."""
    is_right: NDArray[np.bool_] = np.logical_and.reduce(truth == said, axis=1)
    positives, negatives = column_counts(truth, groups), column_counts(~truth, groups)
    is_scored = (positives > 0) & (negatives > 0)
    by_label = effective_size(positives)
    has_label: NDArray[np.bool_] = np.logical_or.reduce(truth, axis=1, keepdims=True)
    any_label = float(column_counts(has_label, groups)[0])
    names = ("precision", "recall", "f1")
    sizes = {
        **{f"macro_{name}": by_label for name in names},
        **{f"{kind}_{name}": any_label for name in names for kind in ("micro", "weighted")},
        "average_precision": effective_size(positives[is_scored]),
        "roc_auc": effective_size(np.minimum(positives, negatives)[is_scored]),
        "micro_average_precision": any_label,
    }
    return Evidence.of(len(truth), groups, is_right, {"accuracy": share_of(is_right, groups)}, sizes)


def _by_sample(
    truth: NDArray[np.bool_], said: NDArray[np.bool_], probabilities: NDArray[Any]
) -> dict[str, Floats]:
    """Figures that are means over samples, (N,) each."""
    # Each sample is to these averages what a class is to the macro average.
    rows = Counts((truth & said).sum(axis=1), said.sum(axis=1), truth.sum(axis=1))
    p = probabilities.astype(np.float64)
    p_true = np.clip(np.where(truth, p, 1 - p), np.finfo(probabilities.dtype).eps, 1)
    return {
        "accuracy": (truth == said).all(axis=1).astype(np.float64),
        "hamming_loss": (truth != said).mean(axis=1),
        **{f"samples_{name}": values for name, values in precision_recall_f1(rows).items()},
        "log_loss": -np.log(p_true).mean(axis=1),
        "brier": ((p - truth) ** 2).mean(axis=1),
    }


def _resampler(
    truth: NDArray[np.bool_], said: NDArray[np.bool_], by_sample: dict[str, Floats]
) -> Callable[[Draws], dict[str, Floats]]:
    """Gives the means over samples and the averages over labels of each resample."""
    n, n_labels = truth.shape
    means = np.stack(list(by_sample.values()), axis=1)
    # Whole numbers below 2**24 are exact in float32, and multiply twice as fast.
    cells = np.concatenate([truth & said, said, truth], axis=1).astype(np.float32)
    all_labels = np.ones(n_labels, dtype=bool)

    def figures(draws: Draws) -> dict[str, Floats]:
        weights = weights_of(draws)
        sums = (weights.astype(np.float32) @ cells).astype(np.float64)
        own = (weights @ means / n).T
        found = averages(Counts(*np.split(sums, 3, axis=1)), all_labels)
        return {**dict(zip(by_sample, own, strict=True)), **found}

    return figures


def judge_labels(
    truth: NDArray[np.bool_], probabilities: NDArray[Any], groups: Groups | None = None
) -> Judged:
    """Of several labels a sample: ``accuracy`` (all of a sample's labels right), two F1 and ``log_loss``.

    Labels and probabilities are (N, L); a label is predicted where its probability is above a half.
    """
    said = probabilities > 0.5
    p = np.clip(np.where(truth, probabilities, 1 - probabilities.astype(np.float64)), SMALLEST, 1)
    is_right = (truth == said).all(axis=1)
    means = {"accuracy": is_right.astype(np.float64), "log_loss": -np.log(p).mean(axis=1)}
    resampled = _resampler(truth, said, means)

    def figures(draws: Draws) -> dict[str, Floats]:
        found = resampled(draws)
        return {name: found[name] for name in ("accuracy", "macro_f1", "micro_f1", "log_loss")}

    plain = {name: float(value[0]) for name, value in figures(np.arange(len(truth))[None]).items()}
    return Judged(plain, figures, is_right, evidence_of(truth, said, groups))
