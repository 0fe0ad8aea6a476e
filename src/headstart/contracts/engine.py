"""What filling spaces asks of the engines that compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from headstart.types import Failure

PlanT = TypeVar("PlanT", contravariant=True)


class Engine(Protocol[PlanT]):
    """Computes what the spaces of a plan lack, and commits it to the cache.

    The cache is the only checkpoint: what is committed stays whatever ends the work, and is never computed again.
    """

    @property
    def n_computed(self) -> int:
        """How many samples this command has computed, in all plans so far."""

    @property
    def failures(self) -> list[Failure]:
        """The samples that gave no feature in any plan so far, once per sample and space."""

    @property
    def timings(self) -> Any:
        """What all plans so far took (`headstart.extraction.timings.Timings`); None if nothing was computed."""

    def run(self, plan: PlanT) -> None:
        """Compute and commit all that is to do.

        Raises
        ------
        HeadstartError
            The work cannot go on; what was finished by then is committed.
        """

    def finish(self) -> None:
        """Commit what was left open for more plans over the same spaces."""
