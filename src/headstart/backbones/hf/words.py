"""From words to token ids: which tokens are of which word, and long sentences in overlapping windows.

References
----------
Devlin et al. (2019), BERT, section 5.3: a word is read at its first sub-word token. The window of a word is chosen as
their question answering chooses that of a token: by the most context on both sides.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError, SampleError
from headstart.token_rows import Windows, WordRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Change
    from headstart.types import Payload

OVERLAP = 4  # windows share one of so many parts of the room that words have in them
PROBE = "a"


class WordTokenizer:
    """The core of a fast tokenizer, a copy of its own, for sentences that are words already.

    Where tokens carry the blank before a word (byte-level BPE), every word has one, as words have within a text.

    Parameters
    ----------
    own : PreTrainedTokenizerFast
        As `AutoTokenizer` gives it.
    spec : str
        The model's, for messages.
    """

    def __init__(self, own: Any, spec: str) -> None:
        if not own.is_fast:
            raise ConfigError(
                f"{spec} has a slow tokenizer, which does not say which tokens are of which word; choose a model with "
                "a fast one (tokenizer.json)"
            )
        from tokenizers import Tokenizer

        self.core = Tokenizer.from_str(with_leading_blanks(own.backend_tokenizer.to_str()))
        self.core.no_padding()
        self.core.no_truncation()
        self.core.encode_special_tokens = bool(getattr(own, "split_special_tokens", False))
        self._has_types = "token_type_ids" in own.model_input_names

    def encode(self, sentences: Sequence[Sequence[str]]) -> list[Any]:
        """A `tokenizers.Encoding` of each sentence, with special tokens and uncut."""
        found: list[Any] = self.core.encode_batch([list(words) for words in sentences], is_pretokenized=True)
        return found

    def channels(self, encoding: Any) -> dict[str, Sequence[int]]:
        """What a model takes of it, a number a token, by name."""
        types = {"token_type_ids": encoding.type_ids} if self._has_types else {}
        return {"input_ids": encoding.ids, **types}


def with_leading_blanks(core_json: str) -> str:
    """A tokenizer, as JSON, whose byte-level steps put a blank before each word."""
    core = json.loads(core_json)

    def mend(step: Any) -> None:
        if isinstance(step, dict):
            if step.get("type") == "ByteLevel" and "add_prefix_space" in step:
                step["add_prefix_space"] = True
            for part in step.get("pretokenizers", ()):
                mend(part)

    mend(core.get("pre_tokenizer"))
    return json.dumps(core, ensure_ascii=False)


@dataclass(frozen=True)
class WordInput:
    """How sentences become token ids, of which each word has those that `WordRow` says."""

    tokenizer: WordTokenizer
    max_length: int  # tokens of a window

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """A `WordRow` of each sentence, `Windows` of them where it is longer; a text is divided at blanks.

        A sentence without tokens has a row with one that nothing reads.
        """
        sentences = [payload.split() if isinstance(payload, str) else payload for payload in payloads]
        try:
            encodings = self.tokenizer.encode(sentences)  # type: ignore[arg-type]
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            if len(payloads) == 1:
                return [SampleError(f"the words cannot be tokenised: {error}")]
            return [self.prepare([payload])[0] for payload in payloads]
        return [self._row(encoding, len(words)) for encoding, words in zip(encodings, sentences, strict=True)]

    def prompt_length(self) -> int:
        """Words have no prompt."""
        return 0

    @property
    def overlap(self) -> int:
        """How many tokens two windows share that are next to each other."""
        begins, closing = self._around
        return (self.max_length - begins - closing) // OVERLAP

    @cached_property
    def _around(self) -> tuple[int, int]:
        """How many special tokens stand before the words, and how many behind them."""
        (encoding,) = self.tokenizer.encode([[PROBE]])
        own = [place for place, word in enumerate(encoding.word_ids) if word is not None]
        return own[0], len(encoding.ids) - 1 - own[-1]

    def _row(self, encoding: Any, n_words: int) -> WordRow | Windows:
        begins, closing = self._around
        n = len(encoding.ids)
        words = np.array(encoding.word_ids[begins : n - closing], dtype=np.float64)
        if n <= self.max_length:
            places = np.flatnonzero(~np.isnan(words))
            inputs = self.tokenizer.channels(encoding) if n else {"input_ids": [0]}
            return WordRow(inputs, n, places + begins, words[places].astype(np.int64), n_words)
        return self._windows(encoding, words, n_words)

    def _windows(self, encoding: Any, words: NDArray[np.float64], n_words: int) -> Windows:
        """Windows of a sentence, each with the tokens that are read in it."""
        begins, closing = self._around
        n, size = len(encoding.ids), len(words)
        room = self.max_length - begins - closing
        step = room - self.overlap
        starts = np.arange(0, max(size - self.overlap, 1), step)
        ends = np.minimum(starts + room, size)
        places = np.flatnonzero(~np.isnan(words))
        of = words[places].astype(np.int64)
        chosen = best_windows(places, of, starts, ends)
        channels = self.tokenizer.channels(encoding)
        rows = []
        for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            own = np.flatnonzero(chosen == number)
            inputs = {
                name: _part(channel, begins, closing, start + begins, end + begins)
                for name, channel in channels.items()
            }
            rows.append(WordRow(inputs, n, places[own] - start + begins, of[own], n_words))
        return Windows(rows, (ends - starts).tolist(), n)


def best_windows(
    places: NDArray[np.int64], words: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The window in which each token is read, (P,): the one with most context on both sides of its whole word.

    Tokens of a word that no window holds are each read where they have most context themselves.

    Parameters
    ----------
    places, words : ndarray of int, shape (P,)
        Where each token stands, and the word that it is of, in order.
    starts, ends : ndarray of int, shape (K,)
        Of the windows, in order; no token is in more than two.

    Examples
    --------
    >>> places, words = np.arange(8), np.array([0, 1, 2, 3, 3, 4, 5, 6])
    >>> best_windows(places, words, np.array([0, 3]), np.array([5, 8])).tolist()
    [0, 0, 0, 0, 0, 1, 1, 1]
    """
    if not len(places):
        return np.empty(0, dtype=np.int64)
    is_first = np.r_[True, words[1:] != words[:-1]]
    of_word = np.cumsum(is_first) - 1
    firsts = places[is_first]
    lasts = places[np.r_[np.flatnonzero(is_first)[1:] - 1, len(places) - 1]]
    by_word, fits = _most_context(firsts, lasts, starts, ends)
    alone, _ = _most_context(places, places, starts, ends)
    return np.where(fits[of_word], by_word[of_word], alone)


def _most_context(
    firsts: NDArray[np.int64], lasts: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of stretches of tokens the window with most context, (W,), and whether one holds the whole stretch."""
    late = np.searchsorted(starts, firsts, side="right") - 1
    early = np.maximum(late - 1, 0)
    contexts = [
        np.where(lasts < ends[at], np.minimum(firsts - starts[at], ends[at] - 1 - lasts), -1)
        for at in (early, late)
    ]
    return np.where(contexts[0] >= contexts[1], early, late), np.maximum(*contexts) >= 0


def _part(channel: Sequence[int], begins: int, closing: int, start: int, end: int) -> array[int]:
    """A window of a channel, which begins and ends as a sentence does."""
    last = len(channel) - closing
    return array("i", [*channel[:begins], *channel[start:end], *channel[last:]])
