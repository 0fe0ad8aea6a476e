"""The report of a head that tags words: entities that are found whole, by type, with intervals over sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError
from headstart.metrics.counts import Counts, Floats, averages, numbers, precision_recall_f1, ratio
from headstart.metrics.intervals import Evidence, effective_size
from headstart.metrics.resampling import RESAMPLES, Draws, resampled_figures, weights_of
from headstart.tasks.schemes import Entity, Scheme, chunks
from headstart.types import Judged

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

    def sentences_with(self) -> NDArray[np.int64]:
        """In how many sentences an entity of each type is true, (K,)."""
        found: NDArray[np.int64] = (self.counts.support > 0).sum(axis=0)
        return found

    def resampled(self, weights: NDArray[np.float64]) -> Counts:
        """Of B resamples, (B, K), in which the sentences occur so often (B, N)."""
        return Counts(*(weights @ part for part in self._parts))

    @property
    def _parts(self) -> tuple[NDArray[np.int64], ...]:
        return self.counts.hits, self.counts.predicted, self.counts.support


@dataclass(frozen=True)
class TaggedSentences:
    """N sentences with true and predicted tags, and the scheme of both; None where tags are no entities.

    ``losses`` (N,) are the sums over the words of each sentence, where they are known.
    """

    true: Tags
    predicted: Tags
    scheme: Scheme | None
    losses: Floats | None = None

    def __post_init__(self) -> None:
        if not len(self.true):
            raise DataError("there are no sentences to evaluate; is the split empty?")
        if len(self.true) != len(self.predicted):
            raise DataError(f"there are {len(self.true):,} sentences, and tags for {len(self.predicted):,}")
        for place, (one, other) in enumerate(zip(self.true, self.predicted, strict=True)):
            if len(one) != len(other):
                raise DataError(f"sentence {place} has {len(one):,} words, and {len(other):,} tags for them")
        if self.scheme is not None:
            for tags in (self.true, self.predicted):
                self.scheme.check({tag for sentence in tags for tag in sentence})

    @cached_property
    def strict(self) -> Tally:
        """Well-formed entities; without a scheme each word is one, whatever its tag."""
        return Tally.of(self.true, self.predicted, self.scheme.entities if self.scheme else _each_word)

    @cached_property
    def lenient(self) -> Tally | None:
        """Entities as ``conlleval`` counts them; None without a scheme."""
        return Tally.of(self.true, self.predicted, chunks) if self.scheme else None

    @cached_property
    def n_words(self) -> NDArray[np.int64]:
        """Of each sentence, (N,)."""
        return np.array([len(tags) for tags in self.true], dtype=np.int64)

    @cached_property
    def n_right(self) -> NDArray[np.int64]:
        """How many tags of each sentence are right, (N,)."""
        pairs = zip(self.true, self.predicted, strict=True)
        return np.array([sum(map(str.__eq__, one, other)) for one, other in pairs], dtype=np.int64)

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Which sentences have all tags right, (N,)."""
        return np.asarray(self.n_right == self.n_words)

    def figures(self, weights: NDArray[np.float64]) -> dict[str, Floats]:
        """Every figure on B resamples, in which the sentences occur so often (B, N); (B,) each."""
        counts = self.strict.resampled(weights)
        found = averages(counts, counts.occurring)
        if self.lenient is not None:
            micro = averages(both := self.lenient.resampled(weights), both.occurring)
            found |= {f"{LENIENT}_{name}": micro[f"micro_{name}"] for name in ("precision", "recall", "f1")}
        words = weights @ self.n_words
        found["word_accuracy"] = ratio(weights @ self.n_right, words)
        if self.losses is not None:
            found["log_loss"] = ratio(weights @ self.losses, words)
        return found

    def plain_figures(self) -> dict[str, Floats]:
        """Every figure of the sentences as they are."""
        return {name: value[0] for name, value in self.figures(np.ones((1, len(self.true)))).items()}

    def evidence(self, groups: Groups | None) -> Evidence:
        """What the figures rest on."""
        with_entity = float((self.strict.counts.support.sum(axis=1) > 0).sum())
        by_type = effective_size(self.strict.sentences_with())
        names = ("precision", "recall", "f1")
        sizes = {
            **{f"macro_{name}": by_type for name in names},
            **{f"{kind}_{name}": with_entity for name in names for kind in ("micro", "weighted", LENIENT)},
        }
        return Evidence.of(len(self.true), groups, self.is_right, sizes=sizes)


def evaluate_tags(
    sentences: TaggedSentences,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Json]:
    """Every figure of tags, with 95 % intervals from a bootstrap over sentences.

    Parameters
    ----------
    sentences : TaggedSentences
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
        ``word_accuracy``, the share of right tags; ``log_loss``, the mean over words; ``per_type`` {type: {precision,
        recall, f1, support}}; ``intervals`` {name: [low, high]}, and ``no_interval``: why some have none. A quotient of
        nothing is 0. Without a scheme each tag is a type, and each word counts: micro-F1 is the accuracy then.

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
    >>> report = evaluate_tags(TaggedSentences(true, predicted, open_scheme("iob2")), resamples=0)
    >>> report["micro_f1"], report["per_type"]["b"]["recall"], report["word_accuracy"]
    (0.5, 1.0, 0.75)
    """
    total = sentences.strict.total()
    by_type = precision_recall_f1(total)
    report: dict[str, Json] = {
        "n": len(sentences.true),
        **({} if groups is None else {"n_groups": len(groups)}),
        "n_words": int(sentences.n_words.sum()),
        **({"n_entities": int(total.support.sum())} if sentences.scheme else {}),
        **numbers(sentences.plain_figures()),
        "per_type": {
            name: {
                **{figure: float(values[place]) for figure, values in by_type.items()},
                "support": int(total.support[place]),
            }
            for place, name in enumerate(sentences.strict.types)
        },
    }
    if resamples:
        found = _resampled(sentences, resamples, seed, groups)
        report |= sentences.evidence(groups).report(report, found)
    return report


def judge_tags(sentences: TaggedSentences, groups: Groups | None = None) -> Judged:
    """The figures by which runs are compared: strict micro- and macro-F1, that of conlleval, and word accuracy."""

    def figures(draws: Draws) -> dict[str, Floats]:
        return sentences.figures(weights_of(draws))

    plain = {name: float(value) for name, value in sentences.plain_figures().items()}
    return Judged(plain, figures, sentences.is_right, sentences.evidence(groups))


def _resampled(
    sentences: TaggedSentences, resamples: int, seed: int, groups: Groups | None
) -> Mapping[str, NDArray[np.float64]]:
    def of_draws(draws: Draws) -> dict[str, Floats]:
        return sentences.figures(weights_of(draws))

    return resampled_figures(len(sentences.true), of_draws, resamples, seed, groups)


def _each_word(tags: Sequence[str]) -> list[Entity]:
    return [Entity(tag, place, place + 1) for place, tag in enumerate(tags)]
