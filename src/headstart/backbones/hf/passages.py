"""A question with a long context: windows over the context, and where tokens stand in it."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import SampleError
from headstart.token_rows import Stitching, TokenRow, Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tokenizers import Encoding

MAX_CONTEXT = "max-context"
"""How a recipe calls that each token is taken from the window that sees most on both of its sides."""
FEWEST = 8
"""Tokens of a context that a window must have room for beside the question."""
LONGER = 0.01
"""What a token of a window counts beside the tokens around one that is to be taken."""


def passage_windows(
    row: TokenRow, encoding: Encoding, max_length: int, overlap: int
) -> Windows | SampleError:
    """A pair as windows of at most so many tokens, each with all of the first text and a stretch of the second.

    Parameters
    ----------
    row : TokenRow
        The whole pair, not cut.
    encoding : tokenizers.Encoding
        The same as the tokenizer made it, which says where tokens come from.
    max_length, overlap : int
        Tokens of a window, and those that two neighbours share; never more than half of what it has room for.

    Notes
    -----
    Which window a token is taken from is ``_check_is_max_context`` of the script that BERT answered SQuAD with.
    """
    owners = np.array([-1 if owner is None else owner for owner in encoding.sequence_ids])
    of_context = np.flatnonzero(owners == 1)
    if not len(of_context):
        return SampleError("the context has no tokens")
    first, last = int(of_context[0]), int(of_context[-1]) + 1
    beside = len(owners) - (last - first)
    room = max_length - beside
    if room < min(FEWEST, last - first):
        return SampleError(
            f"the question takes {beside:,} of the {max_length:,} tokens of a window, which leaves no room for its "
            "context; shorten it, or raise --max-length"
        )
    starts = _starts(first, last, room, min(overlap, room // 2))
    spans = [(start, min(start + room, last)) for start in starts]
    rows = [_window(row, first, last, span) for span in spans]
    takes = [(start - first_of + first, end - first_of + first)
             for (start, end), (first_of, _) in zip(_taken(spans, first, last), spans, strict=True)]  # fmt: skip
    takes[0] = 0, takes[0][1]
    takes[-1] = takes[-1][0], takes[-1][1] + len(owners) - last
    weights = [end - start for start, end in spans]
    return Windows(rows, weights, row.n_tokens, Stitching(takes, _places(encoding, owners)))


def _starts(first: int, last: int, room: int, overlap: int) -> range:
    """Where windows begin; the last one reaches the end."""
    return range(first, max(last - overlap, first + 1), max(room - overlap, 1))


def _window(row: TokenRow, first: int, last: int, span: tuple[int, int]) -> TokenRow:
    """All that stands around the context, and a stretch of it."""
    start, end = span

    def part(channel: Sequence[int]) -> array[int]:
        return array("i", [*channel[:first], *channel[start:end], *channel[last:]])

    return TokenRow({name: part(channel) for name, channel in row.items()}, row.n_tokens)


def _taken(spans: Sequence[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Of each window the stretch of the context that is taken from it."""
    places = np.arange(first, last)
    scores = np.stack([_seen(places, start, end) for start, end in spans])
    owner = scores.argmax(axis=0)  # of equals the first, as in the script
    ends = np.searchsorted(owner, np.arange(len(spans)), side="right") + first
    starts = [first, *ends[:-1].tolist()]
    return list(zip(starts, ends.tolist(), strict=True))


def _seen(places: NDArray[np.int64], start: int, end: int) -> NDArray[np.float64]:
    """How much a window sees on the narrower side of each place; none of one that it does not hold."""
    seen = np.minimum(places - start, end - 1 - places) + LONGER * (end - start)
    return np.where((places >= start) & (places < end), seen, -np.inf)


def _places(encoding: Encoding, owners: NDArray[np.int64]) -> array[int]:
    """Where each token stands in the context, two numbers a token; -1 twice where it does not."""
    offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
    offsets[owners != 1] = -1
    return array("i", offsets.reshape(-1).tolist())
