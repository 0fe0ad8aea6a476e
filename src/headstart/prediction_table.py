"""What a run predicts of inputs: labels by name and probabilities, for people, for pandas and for Arrow."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError
from headstart.registry.labels import LABELS, check_known, column_for, names_of, of_label, parts_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.types import Json

SHOWN_ROWS = 10
SHOWN_CLASSES = 5
LONGEST = 48
PROBABILITY = "p:"


class PredictionTable:
    """Predictions of N inputs, in their order; a row that could not be used has nulls, and its ``error``.

    All that an Arrow table does, this does as well (``column``, ``column_names``, ``to_pylist``, ``filter`` …), and
    libraries that read Arrow's C stream take it as a table.

    Parameters
    ----------
    table : pyarrow.Table
        ``id``, ``label`` where it was asked for, ``prediction``, ``p:<class>``…, ``error`` where there was one.
        Of several labels ``prediction:<label>`` and ``p:<label>:<class>``…; `of` gives the table of one of them.
    inputs : sequence, optional
        What was predicted, as it is shown beside the ids.
    labels : mapping, optional
        What ``labels.json`` of the run says.
    """

    def __init__(
        self,
        table: pa.Table,
        inputs: Sequence[str] | None = None,
        labels: Mapping[str, Json] | None = None,
    ) -> None:
        self.table = table
        self._inputs = inputs
        self._about = labels or {}

    @property
    def ids(self) -> list[str]:
        """The ids of the inputs."""
        return list(self.table.column("id").to_pylist())

    @property
    def label_names(self) -> list[str]:
        """The label columns of several that are predicted; empty of one."""
        return names_of(self._about) if LABELS in self._about else []

    def of(self, label: str) -> PredictionTable:
        """The predictions of one of several labels."""
        check_known(label, self.label_names)
        part = parts_of(self._about)[self.label_names.index(label)]
        return PredictionTable(of_label(self.table, part), self._inputs, part)

    @property
    def labels(self) -> list[Any]:
        """What was predicted: a label by name, several of them, or a number; None where an input could not be used.

        Of several labels it is a dictionary for each input, by label.
        """
        if names := self.label_names:
            columns = [self.table.column(column_for(name, "prediction")).to_pylist() for name in names]
            return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return list(self.table.column("prediction").to_pylist())

    @property
    def classes(self) -> list[str]:
        """The classes that probabilities are of, in their order; of several labels see `of`."""
        if names := self.label_names:
            raise ConfigError(f"several labels are predicted; say whose classes: .of({names[0]!r})")
        return [
            name.removeprefix(PROBABILITY) for name in self.table.column_names if name.startswith(PROBABILITY)
        ]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of each class in the order of ``classes``, shape (N, C), in [0, 1]; NaN where an input could not be used.

        C is 0 where there are none: a regression, or a head that has no probabilities.
        """
        columns = [self.table.column(PROBABILITY + name).to_pylist() for name in self.classes]
        found = np.array(columns, dtype=np.float64) if columns else np.zeros((0, len(self)))
        return found.reshape(len(columns), len(self)).T

    @property
    def errors(self) -> dict[int, str]:
        """Why inputs could not be used, by their positions."""
        if "error" not in self.table.column_names:
            return {}
        errors = enumerate(self.table.column("error").to_pylist())
        return {place: error for place, error in errors if error is not None}

    def equals(self, other: Any, **options: Any) -> bool:
        """Whether another, or a table, holds the same."""
        return bool(self.table.equals(getattr(other, "table", other), **options))

    def to_pandas(self, **options: Any) -> Any:
        """A pandas DataFrame, a row for each input in order."""
        return self.table.to_pandas(**options)

    def to_pylist(self) -> list[dict[str, Any]]:
        """A dictionary for each input in order."""
        return list(self.table.to_pylist())

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("table", "_about"):  # not found while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.table, name)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.labels)

    def __getitem__(self, which: Any) -> Any:
        """One prediction with its probabilities, those of a slice, or a column by name."""
        if isinstance(which, slice):
            rows = range(*which.indices(len(self)))
            inputs = None if self._inputs is None else [self._inputs[row] for row in rows]
            return PredictionTable(self.table.take(list(rows)), inputs, self._about)
        if isinstance(which, int | np.integer):
            row = range(len(self))[int(which)]
            return self.table.slice(row, 1).to_pylist()[0]
        return self.table[which]

    def __eq__(self, other: object) -> bool:
        return self.equals(other) if hasattr(other, "table") or hasattr(other, "column_names") else False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        names, rows = self._shown()
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                 for row in (names, *rows)]  # fmt: skip
        return "\n".join([*lines, *self._left_out()])

    def _repr_html_(self) -> str:
        names, rows = self._shown()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._left_out())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def _shown(self) -> tuple[list[str], list[list[str]]]:
        """The first rows as people read them: the likeliest classes first, where there are many."""
        classes = [] if self.label_names else self.classes
        names = [name for name in self.table.column_names if not name.startswith(PROBABILITY)]
        table = self.table.select(names).slice(0, SHOWN_ROWS).to_pylist()
        probabilities = self[:SHOWN_ROWS].probabilities if classes else np.zeros((len(table), 0))
        inputs = [] if self._inputs is None else ["input"]
        few = len(classes) <= SHOWN_CLASSES
        header = [*inputs, *names, *(classes if few else ["likeliest"])]
        rows = []
        for place, row in enumerate(table):
            cells = [*(self._inputs or [])[place : place + 1], *(row[name] for name in names)]
            shown = [_cell(cell) for cell in cells]
            chances = probabilities[place]
            rows.append([*shown, *(map(_share, chances) if few else [_likeliest(chances, classes)])])
        return header, rows

    def _left_out(self) -> list[str]:
        n = len(self)
        return [f"… {n:,} rows in all"] if n > SHOWN_ROWS else []


def count_unpredicted(table: pa.Table) -> int:
    """How many rows have no prediction, of any label."""
    name = next(name for name in table.column_names if name.partition(":")[0] == "prediction")
    return int(table.column(name).null_count)


def texts_in(inputs: Any) -> list[str] | None:
    """Texts in memory, or pairs of them, to be shown beside what is predicted; None if there are none."""
    items = getattr(inputs, "items", None)
    if items is None or not all(_is_text(item) for item in items):
        return None
    return [item if isinstance(item, str) else " | ".join(item or ()) for item in items]


def _is_text(item: Any) -> bool:
    pair = isinstance(item, tuple | list) and all(isinstance(part, str) for part in item)
    return item is None or isinstance(item, str) or pair


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = ", ".join(map(_part, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _part(value: Any) -> str:
    """One of a list; of an entity its text and its type."""
    if isinstance(value, dict) and "type" in value:
        return f"{value.get('text', value.get('first_word'))} ({value['type']})"
    return str(value)


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _likeliest(chances: NDArray[np.float64], classes: Sequence[str]) -> str:
    if np.isnan(chances).any():
        return "–"
    best = np.argsort(-chances, kind="stable")[:3]
    return ", ".join(f"{classes[place]} {chances[place]:.3f}" for place in best)
