"""Texts as a model takes them, not padded yet: whole, word by word, or in overlapping windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TokenRow(dict[str, Sequence[int]]):
    """A text, or a pair, as a model takes it, not padded yet: a number a token by the name of each input.

    ``n_tokens`` is how many tokens it has before it is cut; below 0, more than so many: it was not counted to the end.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]], n_tokens: int) -> None:
        super().__init__(inputs)
        self.n_tokens = n_tokens


class WordRow(TokenRow):
    """A sentence of ``n_words`` words, or a window of it, as a model takes it.

    Its tokens at ``places`` (P,) are read for the ``words`` (P,), in order; a word may have none, and in a window those
    of other windows have none.
    """

    def __init__(
        self,
        inputs: Mapping[str, Sequence[int]],
        n_tokens: int,
        places: NDArray[np.int64],
        words: NDArray[np.int64],
        n_words: int,
    ) -> None:
        super().__init__(inputs, n_tokens)
        self.places, self.words, self.n_words = places, words, n_words


@dataclass(frozen=True, slots=True)
class Stitching:
    """How the tokens of windows are put together: each is taken from the window that sees most on both of its sides.

    Parameters
    ----------
    takes : sequence of (int, int)
        Of each window, the stretch of its tokens that is taken. One behind the other they are all tokens of the pair.
    places : sequence of int
        Two numbers a token: where it stands in the second text, in characters, from the first to before the second
        number; -1 twice of what is not of that text.
    """

    takes: Sequence[tuple[int, int]]
    places: Sequence[int]


@dataclass(frozen=True, slots=True)
class Windows:
    """A text as overlapping parts: vectors are averaged, each word is read in one, or tokens of a pair put together.

    Parameters
    ----------
    rows : sequence of TokenRow
        The parts, in order.
    weights : sequence of int
        How many tokens of the text each has, which is what its vector counts.
    n_tokens : int
        As of a `TokenRow`.
    stitching : Stitching, optional
        How the tokens are put together; None: vectors are averaged.
    """

    rows: Sequence[TokenRow]
    weights: Sequence[int]
    n_tokens: int
    stitching: Stitching | None = None


def n_tokens_of(prepared: Any) -> int:
    """How many tokens of a prepared sample there were before it was cut, as `TokenRow` says it; 0: it has no text.

    Examples
    --------
    >>> n_tokens_of(TokenRow({"input_ids": [0, 7, 2]}, 9)), n_tokens_of("an image")
    (9, 0)
    """
    if isinstance(prepared, tuple):  # of an image and a text
        return max(map(n_tokens_of, prepared), key=abs)
    return prepared.n_tokens if isinstance(prepared, TokenRow | Windows) else 0
