"""The best stretches of a text, from scores of its tokens as starts and as ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.types import Answer, SpanGuess


def best_spans(
    scores: NDArray[np.floating],
    places: NDArray[np.floating],
    context: str,
    n_best: int = 20,
    longest: int = 30,
    threshold: float | None = None,
) -> SpanGuess:
    """The best answer to one question.

    Parameters
    ----------
    scores : ndarray, shape (T, 2)
        Of each token as the first and as the last of the answer; what the first token of all has is for no answer.
    places : ndarray, shape (T, 2)
        Where each token stands in the context, in characters; -1 for what does not.
    context : str
    n_best, longest : int
        How many stretches are told, and the most tokens that one has.
    threshold : float, optional
        Above which no-answer score there is no answer; None: there always is one.

    Notes
    -----
    Of all stretches within the context, not of the best starts with the best ends alone: those may have none.

    Examples
    --------
    >>> scores = np.array([[0, 0], [3, 0], [1, 0], [0, 4.0]])
    >>> places = np.array([[-1, -1], [0, 4], [5, 7], [8, 13]])
    >>> guess = best_spans(scores, places, "Here is Paris", longest=2)
    >>> guess.answer, guess.score, guess.no_answer_score
    (Answer(start=5, end=13, text='is Paris'), 5.0, -5.0)
    """
    tokens = np.flatnonzero(places[:, 1] > places[:, 0])
    nothing = float(scores[0].sum()) if len(scores) else 0.0
    found = _ranked(scores[tokens].astype(np.float64), min(longest, len(tokens)), n_best)
    spans = [(_cut(places[tokens[start], 0], places[tokens[end], 1], context), score)
             for start, end, score in found]  # fmt: skip
    others = tuple((answer, score) for answer, score in spans if answer.text)
    if not others:  # nothing but blanks, of which none is an answer
        return SpanGuess(None, nothing, 0.0)
    answer, score = others[0]
    no_answer_score = nothing - score
    is_answered = threshold is None or no_answer_score <= threshold
    return SpanGuess(answer if is_answered else None, score, no_answer_score, others)


def _ranked(scores: NDArray[np.float64], longest: int, n_best: int) -> list[tuple[int, int, float]]:
    """First and last token of the best stretches of at most so many tokens, the best first."""
    n = len(scores)
    if not n:
        return []
    sums = np.full((n, longest), -np.inf)  # by the first token, and how many follow it
    for more in range(longest):
        sums[: n - more, more] = scores[: n - more, 0] + scores[more:, 1]
    flat = sums.ravel()
    n_best = min(n_best, int(np.isfinite(flat).sum()))
    best = np.argpartition(-flat, n_best - 1)[:n_best] if n_best else np.empty(0, dtype=np.int64)
    best = best[np.lexsort((best, -flat[best]))]
    return [(int(at // longest), int(at // longest + at % longest), float(flat[at])) for at in best]


def _cut(start: float, end: float, context: str) -> Answer:
    """What stands there, without the blanks around it, which are part of tokens of some models."""
    first, last = int(start), int(end)
    text = context[first:last]
    first += len(text) - len(text.lstrip())
    text = text.strip()
    return Answer(first, first + len(text), text)


def token_places(places: NDArray[np.floating], answer: Answer) -> tuple[int, int] | None:
    """The first and the last token of an answer; None: none of its characters is in a token.

    ``places`` (T, 2) as `best_spans` takes them.

    Examples
    --------
    >>> places = np.array([[-1, -1], [0, 4], [5, 7], [8, 13]])
    >>> token_places(places, Answer(5, 13, "is Paris")), token_places(places, Answer(7, 8, " "))
    ((2, 3), None)
    """
    is_inside = (places[:, 1] > places[:, 0]) & (places[:, 1] > answer.start) & (places[:, 0] < answer.end)
    tokens = np.flatnonzero(is_inside)
    return (int(tokens[0]), int(tokens[-1])) if len(tokens) else None
