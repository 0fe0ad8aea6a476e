"""The report of a head that tags words: entities that are found whole, by type, with intervals over sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.metrics.counts import Counts, Floats, averages, numbers, precision_recall_f1, ratio
from headstart.metrics.resampling import RESAMPLES, Draws, interval_of, resampled_figures, weights_of
from headstart.tasks.schemes import Entity, Scheme, chunks

if TYPE_CHECKING:
    from headstart.groups import Groups
    from headstart.types import Json

Tags: TypeAlias = Sequence[Sequence[str]]
"""Of N sentences, each a tag a word."""
LENIENT = "conlleval"
"""How figures are called that count entities as the script of CoNLL-2000 does, illegal ones as well."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often entities of each of K types were found, predicted and true in each of N sentences, each (N, K)."""

    types: list[str]
    counts: Counts

    @classmethod
    def of(cls, true: Tags, predicted: Tags, entities: Callable[[Sequence[str]], list[Entity]]) -> Tally:
        """Count the entities that a reading of tags finds; only one with the right type, start and end is a hit."""
        pairs = [
            (set(entities(one)), set(entities(other))) for one, other in zip(true, predicted, strict=True)
        ]
        types = sorted({entity.type for both in pairs for part in both for entity in part})
        place = {name: column for column, name in enumerate(types)}
        counts = np.zeros((3, len(pairs), len(types)), dtype=np.int64)
        for row, (wanted, given) in enumerate(pairs):
            for kind, part in enumerate((wanted & given, given, wanted)):
                for entity in part:
                    counts[kind, row, place[entity.type]] += 1
        return cls(types, Counts(*counts))

    def total(self) -> Counts:
        """Of all sentences, (K,)."""
        return Counts(*(part.sum(axis=0) for part in self._parts))

    def resampled(self, weights: NDArray[np.float64]) -> Counts:
        """Of B resamples, (B, K), in which the sentences occur so often (B, N)."""
        return Counts(*(weights @ part for part in self._parts))

    @property
    def _parts(self) -> tuple[NDArray[np.int64], ...]:
        return self.counts.hits, self.counts.predicted, self.counts.support


def evaluate_entities(
    true: Tags,
    predicted: Tags,
    scheme: Scheme,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Json]:
    """Every figure of tags, with 95 % intervals from a bootstrap over sentences.

    Parameters
    ----------
    true, predicted : sequence of sequence of str
        Of N sentences, a tag a word.
    scheme : Scheme
        How both are written.
    resamples : int
        Of the bootstrap; 0 leaves intervals out.
    seed : int
        Of the bootstrap.
    groups : Groups, optional
        Which sentences belong together, such as those of a document, and are resampled together.

    Returns
    -------
    dict
        Ready for JSON. ``n``, ``n_words``, ``n_entities``; ``micro_``, ``macro_`` and ``weighted_`` ``precision``,
        ``recall`` and ``f1`` of well-formed entities (strict), the macro average over the types that are true or
        predicted; the three ``conlleval_`` figures, micro averages in which illegal sequences count too;
        ``word_accuracy``, the share of right tags; ``per_type`` {type: {precision, recall, f1, support}};
        ``intervals`` {name: [low, high]}. A quotient of nothing is 0.

    Raises
    ------
    DataError
        There is no sentence, two of a pair differ in length, or a tag is not of the scheme.

    References
    ----------
    Tjong Kim Sang and Buchholz (2000), Introduction to the CoNLL-2000 Shared Task; seqeval 1.2 gives the same.

    Examples
    --------
    >>> from headstart.tasks.schemes import open_scheme
    >>> true, predicted = [["B-a", "I-a", "O"], ["B-b"]], [["B-a", "O", "O"], ["B-b"]]
    >>> report = evaluate_entities(true, predicted, open_scheme("iob2"), resamples=0)
    >>> report["micro_f1"], report["per_type"]["b"]["recall"], report["word_accuracy"]
    (0.5, 1.0, 0.75)
    """
    _check(true, predicted, scheme)
    strict, lenient = Tally.of(true, predicted, scheme.entities), Tally.of(true, predicted, chunks)
    n_words = np.array([len(tags) for tags in true])
    n_right = np.array([
        sum(map(str.__eq__, one, other)) for one, other in zip(true, predicted, strict=True)
    ])  # fmt: skip

    def figures(strictly: Counts, leniently: Counts, right: Floats, words: Floats) -> dict[str, Floats]:
        micro = averages(leniently, leniently.occurring)
        return {
            **averages(strictly, strictly.occurring),
            **{f"{LENIENT}_{name}": micro[f"micro_{name}"] for name in ("precision", "recall", "f1")},
            "word_accuracy": ratio(right, words),
        }

    total = strict.total()
    by_type = precision_recall_f1(total)
    report: dict[str, Json] = {
        "n": len(true),
        **({} if groups is None else {"n_groups": len(groups)}),
        "n_words": int(n_words.sum()),
        "n_entities": int(total.support.sum()),
        **numbers(figures(total, lenient.total(), n_right.sum(), n_words.sum())),
        "per_type": {
            name: {
                **{figure: float(values[place]) for figure, values in by_type.items()},
                "support": int(total.support[place]),
            }
            for place, name in enumerate(strict.types)
        },
    }
    if resamples:

        def of_draws(draws: Draws) -> dict[str, Floats]:
            weights = weights_of(draws)
            both = strict.resampled(weights), lenient.resampled(weights)
            return figures(*both, weights @ n_right, weights @ n_words)

        found = resampled_figures(len(true), of_draws, resamples, seed, groups)
        report["intervals"] = {name: interval_of(values) for name, values in found.items()}
    return report


def _check(true: Tags, predicted: Tags, scheme: Scheme) -> None:
    if not len(true):
        raise DataError("there are no sentences to evaluate; is the split empty?")
    if len(true) != len(predicted):
        raise DataError(f"there are {len(true):,} sentences, and tags for {len(predicted):,}")
    for place, (one, other) in enumerate(zip(true, predicted, strict=True)):
        if len(one) != len(other):
            raise DataError(f"sentence {place} has {len(one):,} words, and {len(other):,} tags for them")
    for tags in (true, predicted):
        scheme.check({tag for sentence in tags for tag in sentence})
