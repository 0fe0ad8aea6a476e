"""Finding the batch that this machine computes fastest, while it computes."""

from __future__ import annotations

from statistics import median

SAMPLES = 5  # batches of each of two sizes before one of them is preferred
BETTER = 1.03  # a size must be so much faster than the one in use to take its place
FULL = 0.75  # a batch that is less full than this says nothing about its size


class BatchTuner:
    """Climbs from a first budget in steps of two, up and then down, as long as batches get faster.

    Nothing is computed for its sake: it judges the batches of the work itself. The budget in use and one
    that challenges it take turns, since texts get shorter, and so faster, from one batch to the next. None
    of it changes a feature beyond rounding, so none of it is in the recipe.

    Parameters
    ----------
    start : int
        The first budget: what a batch may cost together, at least 1.
    is_fixed : bool
        Stay there, and only give way when memory runs out.
    n_warm : int
        So many batches are not judged: the first ones of each thread are slow.
    """

    def __init__(self, start: int, is_fixed: bool = False, n_warm: int = 1) -> None:
        self.budget = max(start, 1)
        self._n_warm = n_warm
        self._tried = {self.budget}
        self._challenger: int | None = None if is_fixed else 2 * self.budget
        self._rates: dict[int, list[float]] = {}
        self._is_turn = False

    @property
    def is_settled(self) -> bool:
        """Whether the budget will stay as it is, unless memory runs out."""
        return self._challenger is None

    def next_budget(self) -> int:
        """The budget of the next batch."""
        if self._challenger is None:
            return self.budget
        self._is_turn = not self._is_turn
        return self._challenger if self._is_turn else self.budget

    def took(self, budget: int, cost: int, seconds: float) -> None:
        """Take a batch into account.

        Parameters
        ----------
        budget : int
            The one that it was cut by.
        cost : int
            What its samples cost together, without padding.
        seconds : float
        """
        if self._n_warm:
            self._n_warm -= 1
            return
        if budget not in (self.budget, self._challenger) or cost < FULL * budget:
            return
        self._rates.setdefault(budget, []).append(cost / max(seconds, 1e-9))
        if self._challenger is not None:
            self._judge(self._challenger)

    def out_of_memory(self, budget: int) -> None:
        """Never use a budget of this size again."""
        self._challenger = None
        # Of the budget that failed: several lanes may report one and the same.
        self.budget = min(self.budget, max(budget // 2, 1))

    def _judge(self, challenger: int) -> None:
        own, other = self._rates.get(self.budget, []), self._rates.get(challenger, [])
        if min(len(own), len(other)) < SAMPLES:
            return
        if median(other) > BETTER * median(own):
            self.budget = challenger
        self._tried.add(challenger)
        self._rates = {}
        near = (2 * self.budget, self.budget // 2)
        self._challenger = next((size for size in near if size and size not in self._tried), None)
