"""Labels as the page says them: which column, of what kind, and as text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.cache.layout import LABEL
from headstart.corrections.texts import Cells
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.contracts import Task
    from headstart.types import Json, LabelForm

KINDS: dict[LabelForm, str] = {
    "classes": "single", "labels": "multi", "numbers": "regression", "tags": "tags", "spans": "spans",
    "texts": "seq2seq",
}  # fmt: skip
"""What a page calls a task by what its heads are fitted on: one of the user's own is like one of these."""
SEPARATORS: dict[str, str] = {"multi": " + ", "tags": " "}
ALTERNATIVES = " | "


@dataclass(frozen=True)
class PageLabel:
    """The label column that a page is of, with the kind of its values as a set knows it, and its names."""

    column: str
    kind: str
    names: tuple[str, ...]

    @property
    def task(self) -> Task:
        """What such labels mean."""
        return open_task(self.kind)

    @property
    def page_kind(self) -> str:
        """What the page calls it."""
        return KINDS[self.task.form]

    @property
    def in_table(self) -> str:
        """Its column in a set's samples."""
        return LABEL + self.column

    def written(self, values: Iterable[Any]) -> list[str]:
        """Labels as ``corrections.csv`` has them: a name as it is, a number as written, a list as JSON, none empty."""
        cells = Cells.of(self.task.arrow_type, self.kind)
        return [cells.written(value) for value in values]

    def to_json(self) -> dict[str, Json]:
        """As the page has it."""
        return {"column": self.column, "kind": self.page_kind, "names": list(self.names)}


def readable(value: Any, page_kind: str) -> str:
    """A label or a prediction as people read it.

    Examples
    --------
    >>> readable(["a", "b"], "multi"), readable(1 / 3, "regression"), readable([{"text": "here"}], "spans")
    ('a + b', '0.333333', 'here')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return f"{value:.6g}"
    parts = [each["text"] if isinstance(each, dict) and "text" in each else str(each) for each in value]
    return SEPARATORS.get(page_kind, ALTERNATIVES).join(parts)


def cut(text: str, longest: int) -> str:
    """A text of at most so many letters, with … at its end where it was longer."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
