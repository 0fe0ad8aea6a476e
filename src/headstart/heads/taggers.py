"""Heads that give each word of a sentence a tag: any head over vectors, word by word, and networks over sentences.

What they answer is decoded within the tagging scheme of their classes: no sequence of tags breaks it. A vector of zeros
stands for a word without tokens, which is outside of every entity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from headstart.arrow import object_array
from headstart.errors import ConfigError, DataError
from headstart.heads.centroid import CentroidHead
from headstart.heads.decoding import Transitions, best_sequences, marginals
from headstart.heads.estimators import OneClassError
from headstart.heads.knn import KNNHead
from headstart.heads.logistic import LogisticHead
from headstart.heads.neural import DEPTHS, WIDTHS, TorchClassifier
from headstart.heads.parameters import Interval
from headstart.heads.ridge import RidgeHead
from headstart.heads.scikit import check_is_fitted
from headstart.heads.sequences import Sequences, held_sequences, sequences_of
from headstart.heads.svm import SVMHead
from headstart.heads.torch_heads import TorchHead
from headstart.tasks import TAGS
from headstart.tasks.schemes import OUTSIDE, scheme_of
from headstart.types import PADDING, UNSEEN, LabelKind, PathStep, Tagging

if TYPE_CHECKING:
    from headstart.heads.networks import Network

SURE = 1e3
"""The logit of what is not left to the head, against minus as much."""
AT_ONCE = 512
"""Sentences that a network tags at once."""


class Tagger:
    """Answers in tags, from logits (T, C) of all words one after the other.

    ``X`` is N sentences as `headstart.heads.sequences.Sequences`, or a sequence of N arrays (T_i, D).
    """

    takes_sequences: ClassVar[bool] = True
    takes_views: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = False
    label_kind: LabelKind | None
    kind: ClassVar[str]
    classes_: NDArray[Any]
    _scores: Callable[[Any], NDArray[Any]]

    @property
    def task(self) -> LabelKind:
        """What it predicts."""
        return self.label_kind or TAGS

    def tagged(self, X: Any, temperature: float = 1.0) -> list[Tagging]:
        """What it says of each sentence; probabilities at a temperature."""
        sentences = self._sentences(X)
        scores = np.split(self._word_scores(sentences), sentences.offsets[1:-1])
        transitions = self._transitions()
        paths = best_sequences(scores, transitions)
        return [
            Tagging(path, chances.astype(np.float32))
            for path, chances in zip(paths, self._probabilities(scores, temperature), strict=True)
        ]

    def word_logits(self, X: Any) -> NDArray[Any] | None:
        """Of all words one after the other, (T, C); None if the tags of a sentence depend on each other."""
        return self._word_scores(self._sentences(X))

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Logits of each sentence, an array of objects (N,), each (T_i, C)."""
        sentences = self._sentences(X)
        return object_array(np.split(self._word_scores(sentences), sentences.offsets[1:-1]))

    def predict(self, X: Any) -> NDArray[Any]:
        """The tags of each sentence, an array of objects (N,), each (T_i,)."""
        return object_array([self.classes_[said.tags] for said in self.tagged(X)])

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The probabilities of the tags of each word by itself, an array of objects (N,), each (T_i, C)."""
        return object_array([said.probabilities for said in self.tagged(X)])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of words whose tag is right."""
        right = [own == np.asarray(true) for own, true in zip(self.predict(X), y, strict=True)]
        words = np.concatenate(right) if right else np.empty(0)
        return float(words.mean()) if len(words) else float("nan")

    def _sentences(self, X: Any) -> Sequences:
        found = sequences_of(X)
        if found is None:
            raise DataError(
                f"the head {self.kind!r} gives each word a tag, and these features have one vector a sample; extract "
                "words (a CoNLL file, or --words-column), whose tap is last.words"
            )
        return held_sequences(found)

    def _word_scores(self, sentences: Sequences) -> NDArray[np.floating[Any]]:
        """Logits (T, C); a word without tokens is outside for sure."""
        if not len(sentences.values):
            return np.zeros((0, len(self.classes_)), dtype=np.float32)
        logits = np.array(self._flat_scores(sentences))
        outside = np.flatnonzero(self.classes_ == OUTSIDE)
        if len(outside):
            is_empty = ~np.asarray(sentences.values).any(axis=1)
            logits[is_empty] = -SURE
            logits[is_empty, outside[0]] = SURE
        return logits

    def _flat_scores(self, sentences: Sequences) -> NDArray[np.floating[Any]]:
        """Logits (T, C) of at least one word."""
        raise NotImplementedError

    def _transitions(self) -> Transitions:
        """What may follow what."""
        names = [str(name) for name in self.classes_]
        scheme = scheme_of(names)
        return (
            Transitions.free(len(names))
            if scheme is None
            else Transitions.allowing(scheme.legal_moves(names))
        )

    def _probabilities(self, scores: Sequence[NDArray[Any]], temperature: float) -> Iterator[NDArray[Any]]:
        for each in scores:
            chances = np.exp((each - each.max(axis=1, keepdims=True, initial=-np.inf)) / temperature)
            yield chances / chances.sum(axis=1, keepdims=True)


class Wordwise(Tagger):
    """A head over vectors whose samples are words: fitted on all words of all sentences, one after the other."""

    fit: Callable[..., Any]
    fit_path: Callable[..., list[PathStep]]

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> Self:  # type: ignore[no-redef]
        """Fit on sentences and their tags, arrays (T_i,); see `headstart.contracts.Head.fit`."""
        held = (None, None) if X_val is None else self._flat(X_val, y_val)
        super().fit(*self._flat(X, y), *held)  # type: ignore[misc]
        return self

    def fit_path(  # type: ignore[no-redef]
        self, values: Sequence[Any], X: Any, y: Any, guides: Sequence[Any] = ()
    ) -> list[PathStep]:
        """See `headstart.contracts.PathHead`."""
        found: list[PathStep] = super().fit_path(values, *self._flat(X, y), guides)  # type: ignore[misc]
        return found

    def answer_path(self, heads: Sequence[Any], X: Any) -> Iterator[Any]:
        """See `headstart.contracts.PathHead`."""
        found: Iterator[Any] = super().answer_path(heads, self._sentences(X).values)  # type: ignore[misc]
        return found

    def _flat_scores(self, sentences: Sequences) -> NDArray[np.floating[Any]]:
        scores: NDArray[np.floating[Any]] = self._scores(sentences.values)
        return scores

    def _flat(self, X: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        sentences = self._sentences(X)
        check_lengths(sentences, y)
        tags = [np.asarray(each) for each in y]
        return np.asarray(sentences.values), np.concatenate(tags) if tags else np.empty(0, dtype=np.str_)


class LogisticTagger(Wordwise, LogisticHead):
    """A softmax regression of the tag of each word; see `LogisticHead`."""


class RidgeTagger(Wordwise, RidgeHead):
    """A ridge regression of the tag of each word; see `RidgeHead`."""


class KNNTagger(Wordwise, KNNHead):
    """The nearest words decide the tag of each; see `KNNHead`."""


class CentroidTagger(Wordwise, CentroidHead):
    """The nearest mean of the words of a tag; see `CentroidHead`."""


class SVMTagger(Wordwise, SVMHead):
    """A linear support vector machine of the tag of each word; see `SVMHead`."""


@dataclass(eq=False, repr=False, kw_only=True)
class TorchTagger(Tagger, TorchClassifier, TorchHead):
    """A network over the words of a sentence, trained by epochs, with or without a CRF over its tags.

    Parameters
    ----------
    crf : {"no", "yes"}
        Whether a linear-chain conditional random field learns which tags follow which.
    **others
        See `TorchHead`; a sample is a sentence, and its loss the sum over its words.

    References
    ----------
    Huang, Xu and Yu (2015), Bidirectional LSTM-CRF Models for Sequence Tagging.
    """

    trains_side_by_side: ClassVar[bool] = False
    intervals: ClassVar[Mapping[str, Interval]] = {**TorchHead.intervals, "mixup": Interval(0, 1e-9)}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchHead.choices, "crf": ("no", "yes")}

    crf: str = "no"
    weight_decay: float = 0.1
    epochs: int = 50
    patience: int = 5
    batch_size: int | str = 32

    @property
    def has_crf(self) -> bool:
        """Whether its tags depend on each other."""
        return self.crf == "yes"

    def word_logits(self, X: Any) -> NDArray[Any] | None:
        """See `Tagger.word_logits`; None with a CRF."""
        return None if self.has_crf else super().word_logits(X)

    def _learn_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Learn the tags; codes int16 (N, T), `PADDING` behind the end of a sentence."""
        words = np.concatenate([np.asarray(tags) for tags in y]) if len(y) else np.empty(0, dtype=np.str_)
        self.classes_, self._counts = np.unique(words, return_counts=True)
        self.is_multi_ = False
        if len(self.classes_) < 2:
            raise OneClassError(
                f"a head needs at least two tags; all {len(words):,} words are {self.classes_.tolist()}"
            )
        return self._as_targets(y)

    def prime(self, network: Any) -> None:
        """Let training begin with each tag as likely as it is among all words.

        Nearly all words are outside of entities. From tags that are equally likely a few hundred steps of Adam,
        each as long as the rate, go into that alone, and a linear head ends with fewer right tags than "O" has.
        """
        import torch

        if self.class_weight == "none":
            with torch.no_grad():
                network.output.bias.copy_(torch.from_numpy(np.log(self._counts / self._counts.sum())))

    def _as_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        codes = np.full((len(y), max(map(len, y), default=1)), PADDING, dtype=np.int16)
        for row, tags in enumerate(y):
            found = np.searchsorted(self.classes_, tags).clip(max=len(self.classes_) - 1)
            codes[row, : len(tags)] = np.where(self.classes_[found] == tags, found, UNSEEN)
        return codes

    def _read_labelled(self, X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
        features, labels = super()._read_labelled(X, object_array(y))
        check_lengths(features, labels)
        return features, labels

    def targets_of(self, y: Any) -> NDArray[Any]:
        """Targets of other sentences; of a tag that training lacks ``UNSEEN``."""
        return self._as_targets(object_array(y))

    def _flat_scores(self, sentences: Sequences) -> NDArray[np.floating[Any]]:
        import torch

        check_is_fitted(self, "weights_")
        network: Any = self.module()
        examples = self._examples(sentences, np.zeros((len(sentences), 1), np.int16), torch.device("cpu"))
        lengths = np.diff(sentences.offsets)
        order = np.argsort(-lengths, kind="stable")
        order = order[: np.count_nonzero(lengths)]
        logits = np.empty((len(sentences.values), len(self.classes_)), dtype=np.float32)
        with torch.inference_mode():
            for rows in np.split(order, range(AT_ONCE, len(order), AT_ONCE)):
                values, there = examples.take(torch.from_numpy(rows))
                words = np.concatenate([np.arange(*sentences.offsets[row : row + 2]) for row in rows])
                logits[words] = network.logits((values, there))[:, 0][there].float().numpy()
        return logits

    def _transitions(self) -> Transitions:
        if not self.has_crf:
            return super()._transitions()
        learnt = Transitions(
            *(self.weights_[f"crf.{name}"].astype(np.float64) for name in ("first", "next", "last"))
        )
        names = [str(name) for name in self.classes_]
        scheme = scheme_of(names)
        return learnt if scheme is None else learnt.within(scheme.legal_moves(names))

    def _probabilities(self, scores: Sequence[NDArray[Any]], temperature: float) -> Iterator[NDArray[Any]]:
        """Of each tag by itself, over all legal sequences where there is a CRF."""
        return (
            marginals(scores, self._transitions())
            if self.has_crf
            else super()._probabilities(scores, temperature)
        )


class LinearTagger(TorchTagger):
    """One linear layer over each word; for the parameters see `TorchTagger`."""

    kind: ClassVar[str] = "linear"

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.tagging_networks import WordLayers

        return WordLayers(n_features, n_outputs, 0, 0, "none", float(dropouts[0]), self.has_crf)


@dataclass(eq=False, repr=False, kw_only=True)
class MLPTagger(TorchTagger):
    """Hidden layers over each word, then a linear one.

    Parameters
    ----------
    depth, width, norm
        See `headstart.heads.neural.MLPHead`.
    **others
        See `TorchTagger`.
    """

    kind: ClassVar[str] = "mlp"
    intervals: ClassVar[Mapping[str, Interval]] = {**TorchTagger.intervals, "depth": DEPTHS, "width": WIDTHS}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchTagger.choices, "norm": ("layer", "none")}

    depth: int = 1
    width: int = 512
    norm: str = "layer"
    dropout: float = 0.3

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.tagging_networks import WordLayers

        size = int(self.depth), int(self.width)
        return WordLayers(n_features, n_outputs, *size, self.norm, float(dropouts[0]), self.has_crf)


@dataclass(eq=False, repr=False, kw_only=True)
class BiLSTMTagger(TorchTagger):
    """An LSTM over the words of a sentence in both directions, then a linear layer.

    Parameters
    ----------
    depth : int in [1, 65)
        Layers of the LSTM.
    width : int in [1, 65537)
        Units of each direction.
    **others
        See `TorchTagger`; dropout is of what enters the LSTM, and of what leaves it.
    """

    kind: ClassVar[str] = "bilstm"
    intervals: ClassVar[Mapping[str, Interval]] = {**TorchTagger.intervals, "depth": DEPTHS, "width": WIDTHS}

    depth: int = 1
    width: int = 256
    dropout: float = 0.3

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.tagging_networks import BiLSTM

        size = int(self.depth), int(self.width)
        return BiLSTM(n_features, n_outputs, *size, float(dropouts[0]), self.has_crf)


def check_lengths(sentences: Any, y: Any) -> None:
    """Refuse tags that are not one a word."""
    if len(sentences) != len(y):
        raise ConfigError(f"X has {len(sentences):,} sentences, and y {len(y):,}; it needs as many")
    lengths = sentences.lengths
    for row, tags in enumerate(y):
        if len(tags) != lengths[row]:
            raise DataError(f"sentence {row} has {lengths[row]:,} words, and {len(tags):,} tags")
