"""The report of a model that writes: BLEU, chrF, ROUGE-L and exact match, with intervals over samples.

What each figure is made of is counted once for each sample, by the libraries whose figures they are: the n-grams of
sacrebleu (Post, 2018), the longest common subsequence of rouge-score (Lin, 2004). A figure of a corpus, and of a
resample of it, follows from their sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, MissingDependencyError
from headstart.metrics.clusters import share_of
from headstart.metrics.counts import Floats, numbers, ratio
from headstart.metrics.intervals import Evidence
from headstart.metrics.resampling import RESAMPLES, Draws, resampled_figures, weights_of
from headstart.types import Judged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headstart.groups import Groups
    from headstart.types import Json

WORDS, LETTERS, BETA = 4, 6, 2
"""Orders of n-grams of BLEU and of chrF, and how much more recall counts than precision in chrF: sacrebleu's own."""
BLEU_COLUMNS, CHRF_COLUMNS = 2 + 2 * WORDS, 3 * LETTERS


@dataclass(frozen=True)
class TextCounts:
    """What the figures of N predicted texts are made of, one row each.

    Parameters
    ----------
    bleu : ndarray, shape (N, 10)
        Words of the prediction and of the closest reference, n-grams in common, n-grams of the prediction.
    chrf : ndarray, shape (N, 18)
        For each order: n-grams of the prediction, of the reference, in common.
    rouge_l : ndarray, shape (N,)
        The F measure, of the best reference.
    exact : ndarray of bool, shape (N,)
        Whether the prediction is one of the references, but for blanks around it.
    """

    bleu: Floats
    chrf: Floats
    rouge_l: Floats
    exact: NDArray[np.bool_]

    @classmethod
    def of(cls, references: Sequence[Sequence[str]], predicted: Sequence[str]) -> TextCounts:
        """Count what N texts have in common with their references, of which each has at least one."""
        _check(references, predicted)
        bleu, chrf, rouge = _libraries()
        most = max(map(len, references))
        # sacrebleu takes the first references of all, then the second ones, with None where there is none.
        streams = [[refs[n] if n < len(refs) else None for refs in references] for n in range(most)]
        return cls(
            np.array(bleu._extract_corpus_statistics(predicted, streams), dtype=np.float64),
            np.array(chrf._extract_corpus_statistics(predicted, streams), dtype=np.float64),
            np.array([
                rouge.score_multi(refs, text)["rougeL"].fmeasure
                for refs, text in zip(references, predicted, strict=True)
            ], dtype=np.float64),
            exact_matches(references, predicted),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.exact)

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """Every figure of resamples in which the samples occur so often (..., N)."""
        n = weights.sum(axis=-1)
        return {
            "chrf": chrf_of(weights @ self.chrf),
            "bleu": bleu_of(weights @ self.bleu),
            "rouge_l": ratio(weights @ self.rouge_l, n),
            "exact_match": ratio(weights @ self.exact, n),
        }

    @property
    def total(self) -> dict[str, Floats]:
        """Every figure of all samples."""
        return self.figures(np.ones(len(self)))

    def evidence(self, groups: Groups | None) -> Evidence:
        """What the figures rest on."""
        shares = {"exact_match": share_of(self.exact, groups)}
        return Evidence.of(len(self), groups, self.exact, shares)


def exact_matches(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> NDArray[np.bool_]:
    """Which predictions are one of their references, but for blanks around it, shape (N,).

    Examples
    --------
    >>> exact_matches([["one", "a"], ["two"]], [" a ", "Two"]).tolist()
    [True, False]
    """
    found = [
        text.strip() in {one.strip() for one in refs}
        for refs, text in zip(references, predicted, strict=True)
    ]
    return np.array(found, dtype=bool)


def sentence_chrf(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> Floats:
    """chrF of each text alone, of the best reference, shape (N,)."""
    chrf = _libraries()[1]
    each = [
        chrf._extract_corpus_statistics([text], [[one] for one in refs])[0]
        for refs, text in zip(references, predicted, strict=True)
    ]
    return chrf_of(np.array(each, dtype=np.float64))


def bleu_of(sums: Floats) -> Floats:
    """BLEU in [0, 100] from sums (..., 10) as `TextCounts` has them, smoothed as sacrebleu does ("exp").

    Examples
    --------
    >>> float(bleu_of(np.array([4.0, 4, 4, 3, 2, 1, 4, 3, 2, 1])).round(9))
    100.0
    """
    said, wanted = sums[..., 0], sums[..., 1]
    common, given = sums[..., 2 : 2 + WORDS], sums[..., 2 + WORDS :]
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.where(said < wanted, np.where(said > 0, np.exp(1 - wanted / said), 0.0), 1.0)
        # An order without a match counts half of the smallest one that could be, then a quarter, an eighth …
        halved = 2.0 ** np.cumsum(common == 0, axis=-1)
        precision = np.where(common > 0, common / given, 1 / (halved * given))
        score = 100 * penalty * np.exp(np.log(precision).mean(axis=-1))
    is_none = ~common.any(axis=-1) | (given == 0).any(axis=-1)
    found: Floats = np.where(is_none, 0.0, score)
    return found


def chrf_of(sums: Floats) -> Floats:
    """chrF2 in [0, 100] from sums (..., 18) as `TextCounts` has them: over the orders that both sides have."""
    by_order = sums.reshape(*sums.shape[:-1], LETTERS, 3)
    said, wanted, common = np.moveaxis(by_order, -1, 0)
    both = (said > 0) & (wanted > 0)
    n = both.sum(axis=-1)
    precision = ratio((ratio(common, said) * both).sum(axis=-1), n)
    recall = ratio((ratio(common, wanted) * both).sum(axis=-1), n)
    return 100 * ratio((1 + BETA**2) * precision * recall, BETA**2 * precision + recall)


def evaluate_texts(
    references: Sequence[Sequence[str]],
    predicted: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Json]:
    """Every figure of predicted texts, with 95 % intervals from a bootstrap over samples.

    Parameters
    ----------
    references : sequence of sequence of str
        Of N samples, at least one each.
    predicted : sequence of str
        A text for each; it may be empty.
    resamples, seed : int
        Of the bootstrap; 0 resamples leave intervals out.
    groups : Groups, optional
        Which samples belong together, and are resampled together.

    Returns
    -------
    dict
        Ready for JSON. ``n``, ``n_groups`` of samples in groups; ``bleu`` and ``chrf`` in [0, 100], of the corpus, as
        sacrebleu has them (BLEU of words as ``13a`` cuts them, with ``exp`` smoothing; chrF2); ``rouge_l`` in [0, 1],
        the mean F measure, as rouge-score has it without a stemmer; ``exact_match``, the share of predictions that are
        one of their references; ``predicted_words`` and ``reference_words`` as BLEU counts them; ``n_empty``
        predictions; ``intervals``; None where the samples are too few, and why in ``no_interval``.

    Raises
    ------
    DataError
        There is no sample, or one has no reference.
    MissingDependencyError
        sacrebleu or rouge-score is not installed.

    Examples
    --------
    >>> report = evaluate_texts([["the cat sat on the mat"]], ["the cat sat on the mat"], resamples=0)
    >>> round(report["bleu"], 6), round(report["chrf"], 6), report["rouge_l"], report["exact_match"]
    (100.0, 100.0, 1.0, 1.0)
    """
    counts = TextCounts.of(references, predicted)
    words = counts.bleu[:, :2].sum(axis=0)
    report: dict[str, Json] = {
        "n": len(counts),
        **({} if groups is None else {"n_groups": len(groups)}),
        **numbers(counts.total),
        "predicted_words": int(words[0]),
        "reference_words": int(words[1]),
        "n_empty": sum(not text.strip() for text in predicted),
    }
    if resamples:
        drawn = resampled_figures(
            len(counts), lambda draws: counts.figures(weights_of(draws)), resamples, seed, groups
        )
        report |= counts.evidence(groups).report(report, drawn)
    return report


def judge_texts(
    references: Sequence[Sequence[str]], predicted: Sequence[str], groups: Groups | None = None
) -> Judged:
    """The figures of one run, in a form that several runs can be resampled together in."""
    counts = TextCounts.of(references, predicted)

    def resample(draws: Draws) -> Mapping[str, Floats]:
        return counts.figures(weights_of(draws))

    plain = {name: float(value) for name, value in counts.total.items()}
    return Judged(plain, resample, counts.exact, counts.evidence(groups))


def check_installed() -> None:
    """Refuse to begin what could not be judged in the end."""
    _libraries()


def _libraries() -> tuple[Any, Any, Any]:
    """BLEU, chrF and ROUGE-L, as their libraries have them by default."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise MissingDependencyError("sacrebleu", "judging written texts", "text") from error
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingDependencyError("rouge-score", "judging written texts", "text") from error
    return BLEU(force=True), CHRF(), RougeScorer(["rougeL"])


def _check(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> None:
    if not len(predicted):
        raise DataError("there are no samples to evaluate; is the split empty?")
    if len(references) != len(predicted):
        raise DataError(f"there are references for {len(references):,} samples, and {len(predicted):,} texts")
    lacking = next((place for place, refs in enumerate(references) if not len(refs)), None)
    if lacking is not None:
        raise DataError(f"sample {lacking} has no reference to hold a text against")
