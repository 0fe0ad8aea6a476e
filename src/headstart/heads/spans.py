"""Heads that answer questions by stretches of their contexts: scores of start and end for each token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from headstart.arrow import object_array
from headstart.errors import DataError
from headstart.heads.best_spans import best_spans, token_places
from headstart.heads.neural import DEPTHS, WIDTHS
from headstart.heads.parameters import Interval, ParameterError
from headstart.heads.scikit import check_is_fitted
from headstart.heads.torch_heads import TorchHead
from headstart.metrics.spans import Marks, best_threshold
from headstart.samples import Passages

if TYPE_CHECKING:
    import torch

    from headstart.heads.networks import Network
    from headstart.training.examples import Examples
    from headstart.types import LabelKind, SpanGuess

N_SCORES = 2
"""Of each token: as the first of the answer, and as its last."""
SAMPLES_A_BLOCK = 256


@dataclass(eq=False, repr=False, kw_only=True)
class SpanHead(TorchHead):
    """A head over the tokens of questions with their contexts.

    Parameters
    ----------
    n_best : int in [1, inf)
        Stretches that are told of each question.
    longest_answer : int in [1, inf)
        The most tokens of an answer.
    **others
        See `TorchHead`.

    Attributes
    ----------
    threshold_ : float or None
        A question has no answer if that is so much better than the best one; chosen on validation questions, or where
        there are none on those of training. None if they all have an answer.
    """

    takes_sequences: ClassVar[bool] = True
    takes_passages: ClassVar[bool] = True
    takes_views: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = False
    fitted: ClassVar[tuple[str, ...]] = (*TorchHead.fitted, "threshold_")
    intervals: ClassVar[Mapping[str, Interval]] = {
        **TorchHead.intervals, "n_best": Interval(1), "longest_answer": Interval(1)
    }  # fmt: skip
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**TorchHead.choices, "class_weight": ("none",)}

    epochs: int = 30
    batch_size: int | str = 32
    patience: int = 5
    weight_decay: float = 0.1
    n_best: int = 20
    longest_answer: int = 30

    @property
    def task(self) -> LabelKind:
        """What it predicts."""
        return self.label_kind or "spans"

    def guesses(self, X: Passages) -> NDArray[Any]:
        """What it says of each question: an object (N,), each a `SpanGuess`."""
        found = np.empty(len(X), dtype=object)
        for rows, scores, places in self._scored(X):
            for row, own, where in zip(rows.tolist(), scores, places, strict=True):
                found[row] = self._guess(own, where, X.contexts[row], self.threshold_)
        return found

    def predict(self, X: Passages) -> NDArray[Any]:
        """The answers, "" for none: an object (N,)."""
        return object_array(guess.answer.text if guess.answer else "" for guess in self.guesses(X))

    def settle(self, X: Any, y: Any) -> None:
        """Choose the threshold on questions with and without an answer."""
        references = [[answer.text for answer in answers] for answers in y]
        self.threshold_ = None
        if all(references):
            return
        guesses = self.guesses(X)  # without a threshold: all are answered
        marks = Marks.of(references, [guess.answer.text if guess.answer else "" for guess in guesses])
        scores = np.array([guess.no_answer_score for guess in guesses])
        self.threshold_ = best_threshold(marks.f1, marks.has_answer, scores).value

    def _guess(
        self, scores: NDArray[Any], places: NDArray[Any], context: str, threshold: float | None
    ) -> SpanGuess:
        return best_spans(scores, places, context, int(self.n_best), int(self.longest_answer), threshold)

    def _scored(self, X: Passages) -> Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]]:
        """Some rows, scores of their tokens (B, L, 2), and where these stand (B, L, 2)."""
        import torch

        check_is_fitted(self, "weights_")
        features = self._read(X, reset=False)
        network: Any = self.module()
        examples = self._examples(features, np.zeros((len(X), N_SCORES), np.float32), torch.device("cpu"))
        at_once = min(examples.rows_at_once, SAMPLES_A_BLOCK)
        for rows in torch.split(torch.arange(len(X)), at_once):
            with torch.inference_mode():
                scores = network.logits(examples.take(rows))[:, 0].float().numpy()
            numbers = rows.numpy()
            yield numbers, scores, X.places.padded(numbers)[0]

    def _read(self, X: Any, reset: bool) -> Any:
        if not isinstance(X, Passages):
            raise DataError(
                f"the head {self.kind!r} answers questions, and these features do not say where tokens stand in a "
                "context; extract questions with contexts and their answers"
            )
        return super()._read(X, reset)

    def _learn_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError  # places of tokens are learnt from features, too

    def _n_outputs(self) -> int:
        return N_SCORES

    def _learn(self, features: Any, labels: NDArray[Any]) -> NDArray[Any]:
        from headstart.heads.rows import moments_of
        from headstart.heads.sequences import vectors_of

        if self.mixup:
            raise ParameterError(
                f"mixup mixes samples, and tokens of two contexts are not alike; leave it out (got {self.mixup:g})"
            )
        self.n_outputs_, self.threshold_ = N_SCORES, None
        self.mean_, self.scale_ = np.zeros(self.n_features_in_), np.ones(self.n_features_in_)
        if self.scaling != "none":
            self.mean_, self.scale_ = moments_of(vectors_of(features))
        return token_targets(features, labels)

    def targets_in(self, features: Any, labels: NDArray[Any]) -> NDArray[Any]:
        return token_targets(features, labels)

    def _examples(
        self,
        features: Any,
        targets: NDArray[Any],
        device: torch.device,
        views: NDArray[np.float32] | None = None,
    ) -> Examples:
        import torch

        from headstart.training.examples import AnsweredPassages, as_tensor

        wanted = torch.from_numpy(np.ascontiguousarray(targets)).to(device)
        mean, scale = as_tensor(self.mean_, device), as_tensor(self.scale_, device)
        return AnsweredPassages(features, wanted, mean, scale, features.places)


@dataclass(eq=False, repr=False, kw_only=True)
class LinearSpans(SpanHead):
    """One linear layer: how likely each token is the first of the answer, and the last; see `SpanHead`."""

    kind: ClassVar[str] = "linear"

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.span_networks import LinearSpanNetwork

        return LinearSpanNetwork(n_features, dropouts)


@dataclass(eq=False, repr=False, kw_only=True)
class AttentionSpans(SpanHead):
    """Blocks of a small transformer over the frozen tokens, then the same linear layer.

    Parameters
    ----------
    width : int in [1, 65537)
        What vectors are projected to; a multiple of ``n_heads``.
    n_heads, depth : int
        Heads of an attention, and blocks.
    **others
        See `SpanHead`.
    """

    kind: ClassVar[str] = "attention"
    intervals: ClassVar[Mapping[str, Interval]] = {
        **SpanHead.intervals, "width": WIDTHS, "n_heads": Interval(1, 1025), "depth": DEPTHS
    }  # fmt: skip

    width: int = 128
    n_heads: int = 4
    depth: int = 1
    dropout: float = 0.1

    def _network(self, n_features: int, n_outputs: int, dropouts: Sequence[float]) -> Network:
        from headstart.heads.span_networks import SpanTransformer

        width, n_heads = int(self.width), int(self.n_heads)
        if width % n_heads:
            raise ParameterError(f"width must be a multiple of n_heads, got {width} and {n_heads}")
        return SpanTransformer(n_features, width, n_heads, int(self.depth), dropouts)


def token_targets(passages: Passages, labels: NDArray[Any]) -> NDArray[np.float32]:
    """The first and the last token of each answer, (N, 2): of the first of several, and 0 twice where there is none.

    NaN where no token holds any of it.
    """
    targets = np.zeros((len(labels), N_SCORES), dtype=np.float32)
    for start in range(0, len(labels), SAMPLES_A_BLOCK):
        rows = np.arange(start, min(start + SAMPLES_A_BLOCK, len(labels)))
        for row, places in zip(rows.tolist(), passages.places.padded(rows)[0], strict=True):
            if labels[row]:
                targets[row] = token_places(places, labels[row][0]) or (np.nan, np.nan)
    return targets
