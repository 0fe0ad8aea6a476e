"""What is told while work is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    pass


class Progress(Protocol):
    """Tells a person how far the work is."""

    def say(self, message: str) -> None:
        """A line that the user should see once."""
        return

    def begin(self, description: str, total: int | None) -> None:
        """A new phase of so many samples."""
        return

    def advance(self, n: int, work: float | None = None) -> None:
        """So many samples of the phase are done, which came to so many of average cost; None: to as many."""
        return

    def note(self, figures: str) -> None:
        """Figures to show beside how far it is."""
        return

    def end(self) -> None:
        """The phase is over."""
        return
