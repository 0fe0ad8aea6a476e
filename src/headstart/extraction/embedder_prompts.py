"""Which words stand before a text that an `Embedder` is given: what the user says, else what the model's authors do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.backbones import DeclaredPrompts

QUERY = "query"
DOCUMENT = ("document", "passage")


@dataclass(frozen=True, slots=True)
class TextPrompts:
    """The prompts of an `Embedder`; a prompt of None is the backbone's default.

    ``read_own`` gives those that the model declares, and is not asked where the user says enough: the model may not be
    on this machine. ``always`` is the one that the user puts before every text, and ``given`` the user's by the names
    of tasks, of their types, and of roles (``query``, ``document``).
    """

    read_own: Callable[[], DeclaredPrompts]
    always: str | None
    given: Mapping[str, str]

    @property
    def own(self) -> DeclaredPrompts:
        """Those that the model declares."""
        return self.read_own()

    @property
    def query(self) -> str | None:
        """The words before a query."""
        said = self.given.get(QUERY)
        return self._or_plain(said if said is not None else self.own.query)

    @property
    def document(self) -> str | None:
        """The words before a document that is searched."""
        said = next((self.given[name] for name in DOCUMENT if name in self.given), None)
        said = self.always if said is None else said
        return self._or_plain(said if said is not None else self.own.document)

    def of_task(self, task: str, kind: str, role: str | None) -> str | None:
        """The words before a text of a benchmark's task: the most special name that there is a prompt for."""
        for name in _names(task, kind, role):
            for prompts in (self.given, self.own.by_name):
                if name in prompts:
                    return prompts[name]
        if role is None:
            return self.always
        return self.query if role == QUERY else self.document

    def _or_plain(self, said: str | None) -> str | None:
        """A role without a prompt has the user's, else none: a default prompt is of another role."""
        if said is not None or self.always is not None:
            return self.always if said is None else said
        return None if self.own.default is None else ""


def _names(task: str, kind: str, role: str | None) -> Iterator[str]:
    """As mteb looks for prompts, `models/abs_encoder.py`."""
    for name in (task, kind):
        if role is not None:
            yield f"{name}-{role}"
        yield name
