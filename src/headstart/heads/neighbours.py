"""Exact nearest neighbours by cosine or by product, in blocks, and what they vote for.

Which rows are nearest does not depend on the matrix kernel, the number of threads, the size of the blocks or the
other queries. A matrix product finds the rows that can be among the k nearest, whatever its rounding; these are
scored again in double precision, in an order of summation that is fixed. Equal scores are ordered by rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from headstart.heads.parallel import each, parts_at_once, side_by_side
from headstart.heads.rows import Rows, in_blocks
from headstart.heads.scores import PIECE_NUMBERS, Scores, rounding_of
from headstart.samples import ChosenRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

QUERIES, KEYS = 2048, 4096
"""Rows of a block: its cosines are 32 MB."""
CANDIDATES = 1 << 20
"""Pairs that are held before they are scored."""
CANDIDATES_OF_ALL = 1 << 23
"""The same of all blocks that are searched at once: 200 MB."""
SCORED_VALUES = 1 << 16
"""Numbers of the pairs that are scored together: they stay in the processor's cache."""
MOST_CENTRED = 1 << 26
"""Numbers that are held in memory, less their centre, where several blocks of queries search them: 256 MB."""
MOST_HELD = 1 << 25
"""Numbers that are held in double and in single precision, where each row is compared with all others: 384 MB."""
DENSE = 100
"""Where one row in so many is a neighbour, a product in double precision is cheaper than scoring them all again."""
GROUPS, FEWEST_GROUPS, FEWEST_IN_GROUP = 8, 128, 4
"""Groups of scores for each of the k largest, so that few of them share one; how many are compared at once in any case;
and how many scores of a row a group is worth."""
TEMPERATURE = 0.07
"""Of a vote: a neighbour of cosine c counts exp(c / temperature) (Wu et al. 2018)."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest rows of each of N queries, the nearest first, (N, k); where there are fewer rows, -inf and -1.

    Of neighbours by product, ``cosine`` is the product.
    """

    cosine: Floats
    row: Ints

    def of(self, queries: Ints) -> Neighbours:
        """Those of some of the queries."""
        return Neighbours(self.cosine[queries], self.row[queries])

    def numbered(self, rows: Ints) -> Neighbours:
        """The same of a matrix of which those that were searched are these rows (M,)."""
        return replace(self, row=np.where(self.row < 0, -1, rows[self.row]))

    def weights(self, temperature: float = TEMPERATURE) -> Floats:
        """How much each neighbour counts in a vote, shape (N, k): the nearest 1, one that is missing 0."""
        weights: Floats = np.exp((self.cosine - self.cosine[:, :1]) / temperature)
        return weights


class Index(Protocol):
    """What knows which rows are worth scoring; see `headstart.heads.approximate`."""

    def candidates(self, queries: Floats, k: int, /) -> Ints:
        """Rows among which the k nearest of unit queries (N, D) most likely are, (N, n); -1 where there are fewer."""


class Ranks(Protocol):
    """Which of some rows comes first: an array of shape (M,), or what finds it out for the rows that are asked for."""

    def __getitem__(self, rows: Ints, /) -> Ints:
        """A number for each of the rows; it may have no meaning beside those of other calls."""


def nearest(
    queries: Rows,
    among: Rows,
    k: int,
    centre: Floats | None = None,
    own: Ints | None = None,
    rank: Ranks | None = None,
    is_unit: bool = False,
    by: Literal["cosine", "product"] = "cosine",
    is_comparable: bool = False,
    index: Index | None = None,
) -> Neighbours:
    """The k nearest rows (M, D) of each query (N, D) by cosine or by product: exactly, unless an index is given.

    Parameters
    ----------
    centre : ndarray of shape (D,), optional
        Subtracted from all rows before they are compared.
    own : ndarray of int64, shape (N,), optional
        The rows that the queries are: none is a neighbour of itself.
    rank : ndarray of int64, shape (M,), optional
        Of rows that are equally near the one with the lower rank comes first; without it the one with the lower
        number.
    is_unit : bool
        All rows have length 1 already.
    by : {"cosine", "product"}
        What is compared: cosines, or the products of the rows as they are.
    is_comparable : bool
        Equal pairs have equal scores in all searches, not in this one alone: for `nearest_of`. It takes longer where
        many of the rows are neighbours.
    index : Index, optional
        Of the same rows, less the same centre: those that it names are scored, by cosine, and no others. Scores and
        order are as exact as without it.

    Examples
    --------
    >>> X = np.array([[1.0, 0], [0, 1], [1, 0.1]])
    >>> nearest(X, X, 1, own=np.arange(3)).row.ravel().tolist()
    [2, 2, 0]
    """
    n, is_dense = queries.shape[0], k * DENSE > among.shape[0] and not is_comparable and index is None
    found = Neighbours(np.full((n, k), -np.inf), np.full((n, k), -1, dtype=np.int64))
    centred = None if centre is None or is_unit else _Centred(among, centre)
    if centred and not is_dense and n > QUERIES and among.shape[0] * among.shape[1] <= MOST_CENTRED:
        centred = centred.in_memory()
    for place, block in in_blocks(queries, QUERIES):
        part = Neighbours(found.cosine[place], found.row[place])
        search = _Search(block, among, part, centred, rank, is_unit, is_dense, by == "cosine")
        here = None if own is None else own[place]
        if index is None:
            search.run(here)
        else:
            search.run_among(index.candidates(search.queries, k + (own is not None)), here)
            short = _incomplete(part, among.shape[0], here)
            if len(short):
                hidden = None if here is None else here[short]
                exact = nearest(block[short], among, k, centre, hidden, rank, is_unit, by, is_comparable=True)
                part.cosine[short], part.row[short] = exact.cosine, exact.row
        if by == "product":
            part.cosine[...] *= np.where(
                part.row < 0, 1, np.linalg.norm(block.astype(np.float64), axis=1)[:, None]
            )
    return found


def nearest_within(
    X: Rows,
    k: int,
    parts: Sequence[slice] | None = None,
    centre: Floats | None = None,
    rank: Ranks | None = None,
    is_unit: bool = False,
) -> list[Neighbours]:
    """Of each row (N, D) the k nearest others in each part of the rows, by cosine; the scores are comparable.

    As `nearest` finds them, in two thirds of its time where the rows fit into memory: a pair is compared once.

    Parameters
    ----------
    parts : sequence of slice, optional
        Consecutive, of all rows; without it one.
    centre, rank, is_unit
        As those of `nearest`.

    Examples
    --------
    >>> X = np.array([[1.0, 0], [0, 1], [1, 0.1]])
    >>> [near.row.ravel().tolist() for near in nearest_within(X, 1, [slice(0, 2), slice(2, 3)])]
    [[1, 0, 0], [2, 2, -1]]
    """
    n, width = X.shape
    parts = [slice(0, n)] if parts is None else parts
    if not QUERIES < n <= MOST_HELD // max(width, 1):
        everyone = np.arange(n)
        return [nearest_among(X, everyone, everyone[part], k, centre, rank, is_unit) for part in parts]
    units = np.empty((n, width))
    for place, block in in_blocks(X):
        units[place] = block if is_unit else unit_rows(block, centre)
    found = [Neighbours(np.full((n, k), -np.inf), np.full((n, k), -1, dtype=np.int64)) for _ in parts]
    _compare(units, parts, found, rank)
    return found


def nearest_among(
    X: Rows,
    queries: Ints,
    among: Ints,
    k: int,
    centre: Floats | None = None,
    rank: Ranks | None = None,
    is_unit: bool = False,
    index: Index | None = None,
) -> Neighbours:
    """Of some rows (N, D) the k nearest others among some, by cosine; the scores are comparable.

    ``centre``, ``rank``, ``is_unit`` and ``index`` are as those of `nearest`, with a rank for each row of the matrix.
    """
    everyone = np.arange(X.shape[0])
    own = np.full(len(everyone), -1, dtype=np.int64)
    own[among] = np.arange(len(among))
    asked, searched = (
        X if np.array_equal(rows, everyone) else ChosenRows(X, rows) for rows in (queries, among)
    )
    inner = None if rank is None else rank[among]
    found = nearest(asked, searched, k, centre, own[queries], inner, is_unit, is_comparable=True, index=index)
    return found.numbered(among)


def _compare(units: Floats, parts: Sequence[slice], found: Sequence[Neighbours], rank: Ranks | None) -> None:
    """Each block of rows with itself and with those after it; both sides of a pair learn of it."""
    singles = units.astype(np.float32)
    slack = rounding_of(units.shape[1], singles.dtype) * float(np.square(units).sum(axis=1).max())
    blocks = [
        (which, slice(start, min(start + QUERIES, part.stop)))
        for which, part in enumerate(parts)
        for start in range(part.start, part.stop, QUERIES)
    ]
    most_pending = min(CANDIDATES, CANDIDATES_OF_ALL // (len(blocks) * len(parts)))
    searches = [
        [
            _Held(units, block, Neighbours(near.cosine[block], near.row[block]), rank, slack, most_pending)
            for near in found
        ]
        for _, block in blocks
    ]
    # Where columns lie a power of two apart they share a place in the cache, and turning them takes four times as long.
    room = np.empty((QUERIES, QUERIES + 16), dtype=np.float32)
    with side_by_side():
        for number, (which, block) in enumerate(blocks):
            for other, (its_part, rows) in enumerate(blocks[number:], start=number):
                scores = room[: block.stop - block.start, : rows.stop - rows.start]
                _multiply(singles[block], singles[rows], scores)
                if other == number:
                    np.fill_diagonal(scores, -np.inf)
                else:
                    searches[other][which].choose(scores.T, block.start)
                searches[number][its_part].choose(scores, rows.start)
            for search in searches[number]:
                search.settle()


def _multiply(left: NDArray[Any], right: NDArray[Any], to: NDArray[Any]) -> None:
    """Products of rows (n, D) and (m, D), to (n, m)."""
    step = max(1, PIECE_NUMBERS // max(right.shape[1], 1))
    pieces = [slice(first, first + step) for first in range(0, len(right), step)]
    each(lambda piece: np.matmul(left, right[piece].T, out=to[:, piece]), pieces)


def nearest_of(found: Sequence[Neighbours], k: int, rank: Ints) -> Neighbours:
    """The k nearest (N, k) of those that searches of different rows of one matrix (M, D) found, at least k each.

    Parameters
    ----------
    found : sequence of Neighbours
        Of the same queries, comparable; rows are those of the matrix.
    rank : ndarray of int64, shape (M,)
        As that of `nearest`.
    """
    cosine, row = (
        np.concatenate([getattr(each, name) for each in found], axis=1) for name in ("cosine", "row")
    )
    order = np.lexsort((np.where(row < 0, -1, rank[row]), -cosine), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(cosine, order, axis=1), np.take_along_axis(row, order, axis=1))


def unit_rows(X: NDArray[Any], centre: Floats | None = None) -> Floats:
    """Rows less a centre, scaled to length 1, in double precision; a row of zeros stays one."""
    rows = X.astype(np.float64) if centre is None else X - centre
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    rows /= np.where(lengths > 0, lengths, 1)
    return rows


@dataclass(frozen=True, slots=True)
class _Centred:
    """Rows less a centre, scaled to length 1."""

    rows: Rows
    centre: Floats
    held: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape

    def __getitem__(self, rows: Any) -> NDArray[np.floating[Any]]:
        if self.held is not None:
            held: NDArray[np.floating[Any]] = self.held[rows]
            return held
        return unit_rows(self.rows[rows], self.centre)

    def in_memory(self) -> _Centred:
        """The same, rounded to single precision, for several looks at them."""
        held = np.empty(self.shape, dtype=np.float32)
        for place, block in in_blocks(self.rows):
            held[place] = unit_rows(block, self.centre)
        return replace(self, held=held)


class _Nearest:
    """The neighbours of one block of queries, as scores of more and more rows come in.

    Of each block of rows those are kept that may belong to the k nearest: a score in the product's precision is off
    by at most `slack`, so that no other row can.
    """

    def __init__(self, queries: Floats, found: Neighbours, rank: Ranks | None) -> None:
        self.queries, self.found, self.rank = queries, found, rank
        self.k = found.row.shape[1]
        self.is_dense, self.most_pending = False, CANDIDATES
        self.floor = np.full(len(queries), -np.inf)  # the k-th nearest is at least as near, up to the slack
        self.pending: list[tuple[Ints, Ints, Floats]] = []
        self.n_pending = 0
        self.is_crowded = False

    @property
    def slack(self) -> float:
        """How far a score of the rows so far is off at most."""
        raise NotImplementedError

    def units(self, rows: Ints) -> Floats:
        """Rows, as their products with the queries give the scores."""
        raise NotImplementedError

    def choose(self, cosines: NDArray[np.floating[Any]], start: int) -> None:
        """Look at the scores (N, n) of the rows from ``start`` on."""
        step = max(1, CANDIDATES // cosines.shape[1])
        parts = [slice(first, first + step) for first in range(0, len(cosines), step)]
        at_once = parts_at_once()  # in the worst case all pairs of a part are near
        for first in range(0, len(parts), at_once):
            for found in each(partial(self._near, cosines, start), parts[first : first + at_once]):
                self.pending.append(found)
                self.n_pending += len(found[0])
            if self.n_pending > self.most_pending:
                self.is_crowded = True
                self.settle()

    def _near(self, cosines: NDArray[np.floating[Any]], start: int, part: slice) -> tuple[Ints, Ints, Floats]:
        """Of some queries, the keys of a block that may be among the k nearest."""
        scores, floor = np.ascontiguousarray(cosines[part]), self.floor[part]
        if self.k < scores.shape[1]:
            np.maximum(floor, reached_by(self.k, scores), out=floor)
        lowest = np.maximum(floor - 2 * self.slack, np.finfo(np.float32).min)  # what is hidden is none
        # The numbers of a flat mask are found several times as fast as those of a square one.
        near = np.flatnonzero(scores >= lowest[:, None].astype(scores.dtype))
        query, key = np.divmod(near, scores.shape[1])
        return query + part.start, key + start, scores[query, key].astype(np.float64)

    def settle(self) -> None:
        """Score what is pending, and keep the k nearest of it and of what was found before."""
        if not self.n_pending:
            return
        query, row, cosine = (np.concatenate(each) for each in zip(*self.pending, strict=True))
        self.pending, self.n_pending = [], 0
        order = np.argsort(-cosine)
        order = order[np.argsort(query[order].astype(np.uint16), kind="stable")]  # QUERIES fit; a radix sort
        query, row, cosine = query[order], row[order], cosine[order]
        last = _place_in_group(query) == self.k - 1
        self.floor[query[last]] = np.maximum(self.floor[query[last]], cosine[last])
        near = cosine >= self.floor[query] - 2 * self.slack
        self._keep(*self._ordered(query[near], row[near], cosine[near]))

    def _ordered(self, query: Ints, row: Ints, cosine: Floats) -> tuple[Ints, Ints, Floats]:
        """Pairs ordered by query and by cosine in the product's precision, as ordered by query and exact cosine."""
        is_close = (np.diff(cosine) >= -2 * self.slack) & (np.diff(query) == 0)
        run = np.cumsum(np.append(True, ~is_close))
        tied = np.flatnonzero(np.append(is_close, False) | np.append(False, is_close))
        again = tied if self.is_dense and not self.is_crowded else slice(None)
        cosine[again] = self._scores(query[again], row[again])
        order = tied[self._order(run[tied], cosine[tied], row[tied])]
        row[tied], cosine[tied] = row[order], cosine[order]
        return query, row, cosine

    def _order(self, group: Ints, cosine: Floats, row: Ints) -> Ints:
        """By group, the nearest first; the rank is asked for among equals alone, as it may have to be found out."""
        order = np.lexsort((-cosine, group))
        is_same = (np.diff(cosine[order]) == 0) & (np.diff(group[order]) == 0)
        equals = np.flatnonzero(np.append(is_same, False) | np.append(False, is_same))
        if len(equals):
            some = order[equals]
            rank = row[some] if self.rank is None else self.rank[row[some]]
            order[equals] = some[np.lexsort((rank, -cosine[some], group[some]))]
        return order

    def _scores(self, query: Ints, row: Ints) -> Floats:
        """The cosine of each pair, its products summed one way everywhere."""
        scores = np.empty(len(query))
        order = np.argsort(row, kind="stable")
        rows, starts = np.unique(row[order], return_index=True)
        ends = np.append(starts, len(row))
        for first in range(0, len(rows), KEYS):
            last = min(first + KEYS, len(rows))
            units = self.units(rows[first:last])
            part = order[ends[first] : ends[last]]
            scores[part] = self._products(query[part], np.searchsorted(rows[first:last], row[part]), units)
        return scores

    def _products(self, query: Ints, key: Ints, units: Floats) -> Floats:
        back: Ints | None = None
        if len(query) > 8 * max(len(units), len(self.queries)):
            # A crowd of copies: each is scored once.
            content = units.view(np.dtype((np.void, units.shape[1] * units.itemsize))).ravel()
            _, first, same = np.unique(content, return_index=True, return_inverse=True)
            codes, back = np.unique(query * len(first) + same[key], return_inverse=True)
            query, key = codes // len(first), first[codes % len(first)]
        scores = np.empty(len(query))
        step = max(1, SCORED_VALUES // units.shape[1])

        def fill(part: slice) -> None:
            products = self.queries[query[part]]
            products *= units[key[part]]
            products.sum(axis=1, out=scores[part])

        each(fill, [slice(start, start + step) for start in range(0, len(query), step)])
        return scores if back is None else scores[back]

    def _keep(self, query: Ints, row: Ints, cosine: Floats) -> None:
        known, place = np.nonzero(self.found.row >= 0)
        if len(known):
            query = np.concatenate([known, query])
            row = np.concatenate([self.found.row[known, place], row])
            cosine = np.concatenate([self.found.cosine[known, place], cosine])
            order = self._order(query, cosine, row)
            query, row, cosine = query[order], row[order], cosine[order]
        place = _place_in_group(query)
        kept = place < self.k
        self.found.cosine[query[kept], place[kept]] = cosine[kept]
        self.found.row[query[kept], place[kept]] = row[kept]


class _Search(_Nearest):
    """Of queries (N, D) among other rows."""

    def __init__(
        self,
        queries: NDArray[Any],
        among: Rows,
        found: Neighbours,
        centred: _Centred | None,
        rank: Ranks | None,
        is_unit: bool,
        is_dense: bool,
        is_cosine: bool,
    ) -> None:
        self.among, self.centred = among, centred
        self.centre = None if centred is None else centred.centre
        self.is_unit = is_unit or not is_cosine  # so that rows are taken as they are
        # By products, too: they are put right in the end.
        units = queries.astype(np.float64) if is_unit else unit_rows(queries, self.centre)
        super().__init__(units, found, rank)
        self.is_dense = is_dense
        self.scores = self._open_scores()

    def run(self, own: Ints | None) -> None:
        for place, scores in self.scores.blocks():
            if own is not None:
                here = np.flatnonzero((own >= place.start) & (own < place.stop))
                scores[here, own[here] - place.start] = -np.inf
            self.choose(scores, place.start)
        self.settle()

    def run_among(self, candidates: Ints, own: Ints | None) -> None:
        """The same of those rows alone that may be among the nearest, (N, n); -1 is none."""
        is_one = candidates >= 0
        if own is not None:
            is_one &= candidates != own[:, None]
        query, place = np.nonzero(is_one)
        row = candidates[query, place]
        cosine = self._scores(query, row)
        order = self._order(query, cosine, row)
        self._keep(query[order], row[order], cosine[order])

    @property
    def slack(self) -> float:
        return self.scores.rounding * self.scores.longest

    def units(self, rows: Ints) -> Floats:
        found = self.among[rows]
        return found.astype(np.float64) if self.is_unit else unit_rows(found, self.centre)

    def _open_scores(self) -> Scores:
        among = self.centred or self.among
        is_cosine = not self.is_unit and self.centred is None
        dtype = np.dtype(np.float64 if self.is_dense else np.float32)
        return Scores(self.queries, among, is_cosine, QUERIES * KEYS, dtype)


class _Held(_Nearest):
    """Of a block of rows (N, D) that are held as they are compared, among all of them."""

    def __init__(
        self,
        held: Floats,
        block: slice,
        found: Neighbours,
        rank: Ranks | None,
        slack: float,
        most_pending: int,
    ) -> None:
        super().__init__(held[block], found, rank)
        self._held, self._slack, self.most_pending = held, slack, most_pending

    @property
    def slack(self) -> float:
        return self._slack

    def units(self, rows: Ints) -> Floats:
        found: Floats = self._held[rows]
        return found


def reached_by(k: int, scores: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """What k or more of each row of scores (N, M), k < M, are not below: nearly the k-th largest, and never above it.

    It is the k-th largest of the maxima of groups, which takes a quarter of the time.

    Examples
    --------
    >>> reached_by(2, np.array([[3.0, 1.0, 2.0]])), reached_by(1, np.arange(100.0)[None])
    (array([2.]), array([99.]))
    """
    n, n_groups = scores.shape[1], max(GROUPS * k, FEWEST_GROUPS)
    if k == 1:
        largest: NDArray[np.floating[Any]] = scores.max(axis=1)
        return largest
    if n < FEWEST_IN_GROUP * n_groups:
        return np.partition(scores, -k, axis=1)[:, -k]
    width = n // n_groups
    maxima = scores[:, : width * n_groups].reshape(len(scores), width, n_groups).max(axis=1)
    return np.partition(maxima, -k, axis=1)[:, -k]


def _incomplete(found: Neighbours, n_rows: int, own: Ints | None) -> Ints:
    """The queries of which fewer neighbours were found than there are rows for, so few lie in the lists looked at."""
    n_there = n_rows - (np.zeros(len(found.row), bool) if own is None else own >= 0)
    n_found = (found.row >= 0).sum(axis=1)
    return np.flatnonzero(n_found < np.minimum(found.row.shape[1], n_there))


def _place_in_group(group: Ints) -> Ints:
    """The place of each entry among those of its group; groups are sorted."""
    is_first = np.diff(group, prepend=-1) != 0
    starts = np.flatnonzero(is_first)
    places: Ints = np.arange(len(group)) - starts[np.cumsum(is_first) - 1]
    return places


def votes(
    neighbours: Neighbours,
    answers: NDArray[Any],
    n_outputs: int,
    ks: Sequence[int],
    temperature: float = TEMPERATURE,
) -> Iterator[Floats]:
    """For each k, ascending, the weighted mean of what the first k neighbours say, shape (N, n_outputs).

    Answers are codes of classes (M,), or numbers (M, n_outputs).
    """
    weights = neighbours.weights(temperature)
    total, count = np.zeros((len(weights), n_outputs)), np.zeros((len(weights), 1))
    before = 0
    for k in ks:
        for place in range(before, k):  # not at once: that would take N × k × n_outputs numbers
            weight, found = weights[:, place, None], answers[neighbours.row[:, place]]
            count += weight
            if answers.ndim == 1:
                total[np.arange(len(found)), found] += weight[:, 0]
            else:
                total += weight * found
        yield total / count
        before = k


def squared_errors(said: Floats, answers: NDArray[Any]) -> float:
    """Sum over samples and outputs of squared errors; of codes (M,), of shares of the classes (Brier)."""
    if answers.ndim == 2:
        return float(np.square(said - answers).sum())
    # A class that training lacks is nobody's share.
    right = np.where(answers >= 0, said[np.arange(len(said)), answers.clip(min=0)], 0)
    return float((np.square(said).sum(axis=1) - 2 * right + 1).sum())
