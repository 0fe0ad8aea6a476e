"""What samples give whose tokens are joined: means over windows of long texts, vectors of words, tokens of pairs."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from headstart.backbones.hf.passages import MAX_CONTEXT
from headstart.backbones.pooling import (
    FINAL,
    PLACES,
    TOKENS,
    UNIT,
    is_of_words,
    is_ragged,
    tokens_tap,
)
from headstart.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headstart.extraction.batches import Item
    from headstart.extraction.plan import ExtractionPlan
    from headstart.token_rows import Stitching, WordRow
    from headstart.types import Read

TINY = 1e-12  # as `torch.nn.functional.normalize`
Part = TypeVar("Part")


class Joiner(Protocol):
    """Makes what the plan's taps keep of what a batch gives at taps of its own; lanes may use it at once."""

    taps: tuple[str, ...]
    """What is read of a batch."""

    def join(self, items: Sequence[Item], read: Sequence[Read]) -> tuple[list[Item], list[Read]]:
        """One item of each sample that is whole now, and what the plan's taps keep of them; the others wait."""

    @property
    def said(self) -> str:
        """What the user should know of the samples that were joined; empty if there is nothing."""
        return ""


def open_joiner(plan: ExtractionPlan) -> Joiner | None:
    """What joins the samples of a plan; None if each is one item of one batch, and kept as it is read."""
    if is_of_words(plan.taps[0]):
        return WordVectors(plan.taps)
    windows = plan.spaces[0].recipe.entries.get("windows")
    if windows is None:
        return None
    if windows.get("tokens") == MAX_CONTEXT:
        return TokenStitcher(plan.taps)
    return WindowTokens(plan.taps) if is_ragged(plan.taps[0]) else WindowMeans(plan.taps)


class _Waiting(Generic[Part]):
    """The windows of samples until all of a sample are there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[tuple[int, int], dict[int, Part]] = {}

    def complete(self, item: Item, part: Part) -> list[Part] | None:
        """All parts of a sample in the order of the text, with its last one; None: the others are still to come."""
        if item.window is None:
            return [part]
        number, windows = item.window
        with self._lock:
            parts = self._parts.setdefault((item.position, item.view), {})
            parts[number] = part
            if len(parts) < len(windows.rows):
                return None
            del self._parts[item.position, item.view]
        # In the order of the text, whichever came first: a sum of floats depends on it.
        return [parts[place] for place in range(len(parts))]


class WindowMeans(Joiner):
    """Means over the windows of a text, weighted by their tokens; the windows may lie in several batches.

    The taps are read without ``.l2``, and what is scaled to length 1 is the mean.
    """

    def __init__(self, taps: Sequence[str]) -> None:
        self.taps = tuple(tap.removesuffix(UNIT) for tap in taps)
        self._are_unit = [tap.endswith(UNIT) for tap in taps]
        self._waiting: _Waiting[list[NDArray[np.float32]]] = _Waiting()

    def join(self, items: Sequence[Item], read: Sequence[Read]) -> tuple[list[Item], list[Read]]:
        """One item of each text that is whole now, and its vectors by tap."""
        whole: list[Item] = []
        vectors: list[list[NDArray[np.float32]]] = []
        for row, item in enumerate(items):
            parts = self._waiting.complete(item, [values[row] for values, _ in read])
            if parts is not None:
                whole.append(item)
                vectors.append(_mean(item, parts))
        if not whole:
            return [], []
        taps = (np.stack(of_tap) for of_tap in zip(*vectors, strict=True))
        return whole, [(_unit(v) if u else v, None) for v, u in zip(taps, self._are_unit, strict=True)]


class WindowTokens(Joiner):
    """All tokens of all windows of a sample, in order: what a network that begins behind its first blocks is given."""

    def __init__(self, taps: Sequence[str]) -> None:
        self.taps = tuple(taps)
        self._waiting: _Waiting[list[NDArray[np.float32]]] = _Waiting()

    def join(self, items: Sequence[Item], read: Sequence[Read]) -> tuple[list[Item], list[Read]]:
        """One item of each sample that is whole now, and its tokens by tap."""
        lengths = read[0][1]
        assert lengths is not None
        bounds = np.cumsum(lengths)[:-1]
        whole: list[Item] = []
        tokens: list[list[NDArray[np.float32]]] = []
        for item, vectors in zip(
            items, zip(*(np.split(values, bounds) for values, _ in read), strict=True), strict=True
        ):
            parts = self._waiting.complete(item, list(vectors))
            if parts is not None:
                whole.append(item)
                tokens.append([np.concatenate(of_tap) for of_tap in zip(*parts, strict=True)])
        if not whole:
            return [], []
        n_tokens = np.array([len(of_sample[0]) for of_sample in tokens], dtype=np.int64)
        return whole, [(np.concatenate(of_tap), n_tokens) for of_tap in zip(*tokens, strict=True)]


class WordVectors(Joiner):
    """A vector for each word of a sentence, from those of its tokens; of a word without tokens zeros.

    All tokens are read, and those that the `WordRow` of a window names are pooled.
    """

    def __init__(self, taps: Sequence[str]) -> None:
        self.taps = tuple(map(tokens_tap, taps))
        self._poolings = [tap.removesuffix(UNIT).partition(".")[2] for tap in taps]
        self._are_unit = [tap.endswith(UNIT) for tap in taps]
        self._waiting: _Waiting[tuple[WordRow, list[NDArray[np.float32]]]] = _Waiting()
        self._without: deque[int] = deque()

    @property
    def said(self) -> str:
        """How many words have no tokens."""
        n = sum(self._without)
        return f"{counted(n, 'word')} without tokens: zeros, and outside of every entity" if n else ""

    def join(self, items: Sequence[Item], read: Sequence[Read]) -> tuple[list[Item], list[Read]]:
        """One item of each sentence that is whole now, and the vectors of its words by tap."""
        lengths = read[0][1]
        assert lengths is not None
        starts = np.cumsum(lengths) - lengths
        whole: list[Item] = []
        words: list[list[NDArray[np.float32]]] = []
        for start, item in zip(starts, items, strict=True):
            row: WordRow = item.prepared
            parts = self._waiting.complete(item, (row, [values[start + row.places] for values, _ in read]))
            if parts is not None:
                whole.append(item)
                words.append(self._of_words(parts))
        if not whole:
            return [], []
        n_words = np.array([len(of_sentence[0]) for of_sentence in words], dtype=np.int64)
        return whole, [(np.concatenate(of_tap), n_words) for of_tap in zip(*words, strict=True)]

    def _of_words(
        self, parts: Sequence[tuple[WordRow, list[NDArray[np.float32]]]]
    ) -> list[NDArray[np.float32]]:
        """The vectors of the words of one sentence, by tap."""
        n_words = parts[0][0].n_words
        of = np.concatenate([row.words for row, _ in parts])
        self._without.append(n_words - len(np.unique(of)))
        tokens = [np.concatenate(of_tap) for of_tap in zip(*(vectors for _, vectors in parts), strict=True)]
        pooled = [
            pool_words(vectors, of, n_words, name)
            for vectors, name in zip(tokens, self._poolings, strict=True)
        ]
        return [_unit(v) if u else v for v, u in zip(pooled, self._are_unit, strict=True)]


class TokenStitcher(Joiner):
    """All tokens of a pair, each from the window that sees most on both of its sides.

    Where they stand in their text (`PLACES`) the tokenizer says, and not the model.
    """

    def __init__(self, taps: Sequence[str]) -> None:
        self._all = tuple(taps)
        self.taps = tuple(tap for tap in taps if tap != PLACES) or (f"{FINAL}.{TOKENS}",)
        self._waiting: _Waiting[list[NDArray[np.float32]]] = _Waiting()

    def join(self, items: Sequence[Item], read: Sequence[Read]) -> tuple[list[Item], list[Read]]:
        """One item of each pair that is whole now, and its tokens by tap."""
        whole: list[Item] = []
        joined: list[list[NDArray[np.float32]]] = []
        by_tap = [_by_sample(each) for each in read]
        for row, item in enumerate(items):
            assert item.window is not None  # of a pair even what is short is a window
            number, windows = item.window
            assert windows.stitching is not None
            start, end = windows.stitching.takes[number]
            # Copied: a view would keep alive all that the batch gave.
            parts = self._waiting.complete(item, [of_tap[row][start:end].copy() for of_tap in by_tap])
            if parts is not None:
                whole.append(item)
                joined.append(self._of_pair(parts, windows.stitching))
        if not whole:
            return [], []
        n_tokens = np.array([len(of_pair[0]) for of_pair in joined], dtype=np.int64)
        return whole, [(np.concatenate(of_tap), n_tokens) for of_tap in zip(*joined, strict=True)]

    def _of_pair(
        self, parts: Sequence[list[NDArray[np.float32]]], stitching: Stitching
    ) -> list[NDArray[np.float32]]:
        """The tokens of one pair, by tap."""
        tokens = dict(zip(self.taps, map(np.concatenate, zip(*parts, strict=True)), strict=True))
        places = np.array(stitching.places, dtype=np.float32).reshape(-1, 2)
        return [places if tap == PLACES else tokens[tap] for tap in self._all]


def _by_sample(read: Read) -> list[NDArray[np.float32]]:
    values, lengths = read
    assert lengths is not None  # only taps of tokens are read of a pair in windows
    return np.split(values, np.cumsum(lengths)[:-1])


def pool_words(
    tokens: NDArray[np.float32], words: NDArray[np.int64], n_words: int, pooling: str
) -> NDArray[np.float32]:
    """Vectors (n_words, D) of words from those (P, D) of the tokens of ``words`` (P,), which rises.

    Examples
    --------
    >>> tokens, words = np.array([[1.0], [2.0], [6.0]], np.float32), np.array([0, 0, 2])
    >>> [pool_words(tokens, words, 3, name)[:, 0].tolist() for name in ("words", "words-mean", "words-last")]
    [[1.0, 0.0, 6.0], [1.5, 0.0, 6.0], [2.0, 0.0, 6.0]]
    """
    vectors = np.zeros((n_words, tokens.shape[1]), dtype=np.float32)
    if not len(words):
        return vectors
    firsts = np.flatnonzero(np.r_[True, words[1:] != words[:-1]])
    ends = np.r_[firsts[1:], len(words)]
    if pooling == "words":
        vectors[words[firsts]] = tokens[firsts]
    elif pooling == "words-last":
        vectors[words[firsts]] = tokens[ends - 1]
    else:
        sums = np.add.reduceat(tokens, firsts, axis=0, dtype=np.float64)
        vectors[words[firsts]] = sums / (ends - firsts)[:, None]
    return vectors


def _mean(item: Item, parts: Sequence[list[NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
    """The mean over the windows of one text, by tap."""
    if item.window is None:
        return parts[0]
    weights = np.array(item.window[1].weights, dtype=np.float64)
    of_taps = zip(*parts, strict=True)
    return [np.average(np.stack(of_tap), axis=0, weights=weights).astype(np.float32) for of_tap in of_taps]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(TINY))
    return scaled
