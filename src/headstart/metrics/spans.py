"""The report of a head that answers questions by stretches of a text: exact match and F1 by the rules of SQuAD."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.metrics.clusters import share_of
from headstart.metrics.counts import Floats, numbers, ratio
from headstart.metrics.intervals import Evidence
from headstart.metrics.resampling import RESAMPLES, Draws, resampled_figures, weights_of
from headstart.types import Judged

if TYPE_CHECKING:
    from headstart.groups import Groups
    from headstart.types import Json

ALWAYS = None
"""The threshold of a head that answers every question."""
_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> str:
    """An answer without what SQuAD does not look at: case, ASCII punctuation, articles and blanks.

    Examples
    --------
    >>> normalised("The  Battle of  Hastings!")
    'battle of hastings'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def exact_of(reference: str, answer: str) -> float:
    """1.0 if two answers are the same once they are normalised, else 0.0."""
    return float(normalised(reference) == normalised(answer))


def f1_of(reference: str, answer: str) -> float:
    """The harmonic mean of precision and recall of the words of an answer; if either has none, whether both do.

    Examples
    --------
    >>> f1_of("the Battle of Hastings", "Hastings"), f1_of("", "the")
    (0.5, 1.0)
    """
    wanted, given = normalised(reference).split(), normalised(answer).split()
    n_same = sum((Counter(wanted) & Counter(given)).values())
    if not wanted or not given:
        return float(wanted == given)
    return 2 * n_same / (len(wanted) + len(given))


@dataclass(frozen=True, slots=True)
class Marks:
    """How good the answers to N questions are, each (N,): exact and F1, in [0, 1], and who has an answer."""

    exact: Floats
    f1: Floats
    has_answer: NDArray[np.bool_]

    @classmethod
    def of(cls, references: Sequence[Sequence[str]], answers: Sequence[str]) -> Marks:
        """Mark answers, "" for none, by the best of the references of each question; no reference: it has no answer.

        References that are nothing but punctuation and articles are none, as ``evaluate-v2.0.py`` has it.
        """
        usable = [[text for text in each if normalised(text)] or [""] for each in references]
        pairs = list(zip(usable, answers, strict=True))
        exact = [max(exact_of(text, answer) for text in each) for each, answer in pairs]
        f1 = [max(f1_of(text, answer) for text in each) for each, answer in pairs]
        # As the script counts them: by whether there are references at all, whatever they hold.
        has_answer = np.array([len(each) > 0 for each in references], dtype=bool)
        return cls(np.array(exact, dtype=np.float64), np.array(f1, dtype=np.float64), has_answer)

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """Figures of questions that count so much, (B, N) or (N,); NaN for those of which there is no question."""
        parts = {"": np.ones(len(self.exact)), "has_answer_": self.has_answer, "no_answer_": ~self.has_answer}
        return {
            prefix + name: _mean(weights, marks, np.asarray(part, dtype=np.float64))
            for prefix, part in parts.items()
            for name, marks in (("exact_match", self.exact), ("f1", self.f1))
            if part.any()
        }

    def evidence(self, groups: Groups | None) -> Evidence:
        """What intervals of these figures rest on."""
        right = self.exact == 1
        parts = {"has_answer_": self.has_answer, "no_answer_": ~self.has_answer}
        shares = {"exact_match": share_of(right, groups)}
        for prefix, part in parts.items():
            if part.any():
                among = None if groups is None else groups.among(part)
                shares[f"{prefix}exact_match"] = share_of(right[part], among)
        sizes = {f"{prefix}f1": float(part.sum()) for prefix, part in parts.items() if part.any()}
        if not self.has_answer.all():  # without an answer F1 is a yes or no, too
            shares["no_answer_f1"] = shares["no_answer_exact_match"]
        return Evidence.of(len(right), groups, right, shares, sizes if groups is None else {})


def _mean(weights: Floats, marks: Floats, part: Floats) -> Floats:
    n = weights @ part
    return np.where(n > 0, ratio(weights @ (marks * part), n), np.nan)


def evaluate_spans(
    references: Sequence[Sequence[str]],
    answers: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Json]:
    """Every figure of answers, with 95 % intervals from a bootstrap over questions.

    Parameters
    ----------
    references : sequence of sequence of str
        The right answers to each of N questions; none where the text does not answer it.
    answers : sequence of str
        What was answered, "" for no answer.
    resamples, seed : int
        Of the bootstrap; 0 resamples leave intervals out.
    groups : Groups, optional
        Which questions belong together, such as those on one article, and are resampled together.

    Returns
    -------
    dict
        Ready for JSON. ``n``, ``n_groups`` of questions in groups, ``n_with_answer``; ``exact_match`` and ``f1`` in
        [0, 1], the mean over questions of the best over references; the same of the questions with an answer
        (``has_answer_``) and without one (``no_answer_``), as far as there are any; ``intervals``, and why some have
        none in ``no_interval``.

    Raises
    ------
    DataError
        There is no question, or not an answer to each.

    References
    ----------
    Rajpurkar et al. (2016, 2018); ``evaluate-v2.0.py`` gives the same, times 100, and so does ``evaluate-v1.1.py``
    where no reference is punctuation and articles alone.

    Examples
    --------
    >>> report = evaluate_spans([["the Normans"], []], ["Normans", "in 1066"], resamples=0)
    >>> report["exact_match"], report["has_answer_f1"], report["no_answer_f1"]
    (0.5, 1.0, 0.0)
    """
    if not len(references):
        raise DataError("there are no questions to evaluate; is the split empty?")
    if len(references) != len(answers):
        raise DataError(f"there are {len(references):,} questions, and answers to {len(answers):,}")
    marks = Marks.of(references, answers)
    report: dict[str, Json] = {
        "n": len(references),
        **({} if groups is None else {"n_groups": len(groups)}),
        "n_with_answer": int(marks.has_answer.sum()),
        **numbers(marks.figures(np.ones(len(references)))),
    }
    if resamples:
        found = resampled_figures(
            len(references), lambda draws: marks.figures(weights_of(draws)), resamples, seed, groups
        )
        report |= marks.evidence(groups).report(report, found)
    return report


def judge_spans(marks: Marks, groups: Groups | None = None) -> Judged:
    """Of answers that were marked: ``exact_match`` and ``f1`` of all questions, and of either kind."""

    def figures(draws: Draws) -> Mapping[str, Floats]:
        return marks.figures(weights_of(draws))

    plain = {name: float(value) for name, value in marks.figures(np.ones(len(marks.exact))).items()}
    return Judged(plain, figures, marks.exact == 1, marks.evidence(groups))


class Threshold(NamedTuple):
    """Above which no-answer score a question counts as one without an answer, and the figure that this gives."""

    value: float | None
    figure: float


def best_threshold(marks: Floats, has_answer: NDArray[np.bool_], no_answer_scores: Floats) -> Threshold:
    """The threshold of no-answer scores that makes the mean of marks the best; of equals the lowest.

    Parameters
    ----------
    marks : ndarray of float, shape (N,)
        Exact match or F1 of the best answer, if every question were answered.
    has_answer : ndarray of bool, shape (N,)
    no_answer_scores : ndarray of float, shape (N,)
        The larger, the surer the head is that there is no answer.

    Returns
    -------
    Threshold
        A question is answered if its score is not above ``value``; None: all are, there being none without an answer.

    Notes
    -----
    ``find_best_thresh`` of ``evaluate-v2.0.py``: from the threshold that answers nothing, questions join in the order
    of their scores, each with what it gains. (The script takes an answer that is nothing but an article for wrong here,
    and marks it as right; here both are one.)

    Examples
    --------
    >>> best_threshold(np.array([1.0, 0.0]), np.array([True, False]), np.array([-3.0, 2.0]))
    Threshold(value=-3.0, figure=1.0)
    """
    if has_answer.all():
        return Threshold(ALWAYS, float(marks.mean()))
    gains = marks - ~has_answer
    order = np.argsort(no_answer_scores, kind="stable")
    sums = np.cumsum(np.append(float((~has_answer).sum()), gains[order]))
    # Questions of one score are answered together: a threshold cannot fall between them.
    ends = np.append(np.diff(no_answer_scores[order]) > 0, True)
    possible = np.append(True, ends)
    best = int(np.where(possible, sums, -np.inf).argmax())
    lowest = float(no_answer_scores.min())
    value = lowest - 1.0 if best == 0 else float(no_answer_scores[order[best - 1]])
    return Threshold(value, float(sums[best] / len(marks)))
