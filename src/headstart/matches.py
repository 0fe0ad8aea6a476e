"""What a search finds: for each query the nearest samples, for people, for pandas and for Arrow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import numpy as np

from headstart.arrow import strings
from headstart.cache.layout import LABEL
from headstart.columns import LONGEST_CELL, cell, columns
from headstart.data.shown import shown_text
from headstart.errors import HeadstartError
from headstart.notebook import html_table
from headstart.places import expanded

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.columns import Cell
    from headstart.plots.contact_sheet import Row
    from headstart.types import Payload

SCORE = "score"
INPUT = "input"
LONGEST = 400
"""Letters of a text on a contact sheet."""


@dataclass(frozen=True, slots=True)
class Match:
    """A sample that is near a query; ``rank`` counts from 1; ``label`` is None where there is none.

    Of a set with several label columns ``label`` is a dictionary.
    """

    query: str
    rank: int
    id: str
    label: Any
    split: str
    score: float
    origin: str


class SampleContents(Protocol):
    """What is shown of some samples; it is read again when it is asked for."""

    def payloads(self) -> list[Payload | None]:
        """What each is made of; None of one that cannot be read. Raises a `HeadstartError` if none can."""

    def texts(self) -> list[str]:
        """The text of each; of a picture its file, or its row of a table."""

    def only(self, part: slice) -> SampleContents:
        """Of some of these samples."""


class QueryContents(Protocol):
    """What is shown of queries besides their names."""

    def image(self, number: int) -> bytes | None:
        """The file of a query that is a picture."""

    def only(self, number: int) -> QueryContents:
        """Of one of the queries."""


class Matches(Sequence[Match]):
    """The nearest samples of each query, the nearest first; a notebook shows pictures, or texts, with their scores.

    Parameters
    ----------
    table : pyarrow.Table
        See `table`.
    queries : sequence of str
        The Q queries.
    n_found : ndarray of int64, shape (Q,)
        How many rows each of them has.
    samples, asked
        What is shown of the samples, and of the queries.
    """

    def __init__(
        self,
        table: pa.Table,
        queries: Sequence[str],
        n_found: NDArray[np.int64],
        samples: SampleContents,
        asked: QueryContents,
    ) -> None:
        self._table, self.queries, self._n_found = table, list(queries), n_found
        self._samples, self._asked = samples, asked

    def table(self) -> pa.Table:
        """An Arrow table of ``query``, ``rank``, ``id``, ``label``, ``split``, ``score``, ``origin``.

        A row for each answer. Of several label columns ``label:<name>``; ``input`` where it was asked for.
        """
        return self._table

    def of(self, number: int) -> Matches:
        """The answers to one of the queries, by its number from 0."""
        number = range(len(self.queries))[number]
        start = int(self._n_found[:number].sum())
        part = slice(start, start + int(self._n_found[number]))
        return Matches(
            self._table.slice(start, part.stop - start),
            [self.queries[number]],
            self._n_found[number : number + 1],
            self._samples.only(part),
            self._asked.only(number),
        )

    def with_inputs(self) -> Matches:
        """The same with a column ``input``: each text, or the file of each image."""
        if INPUT in self._table.column_names:
            return self
        table = self._table.append_column(INPUT, strings(self._samples.texts()))
        return Matches(table, self.queries, self._n_found, self._samples, self._asked)

    @property
    def ids(self) -> list[str]:
        """The ids of all answers, in order."""
        return list(self._table.column("id").to_pylist())

    @property
    def scores(self) -> list[float]:
        """Their scores."""
        return list(self._table.column(SCORE).to_pylist())

    @property
    def n_found(self) -> list[int]:
        """How many answers each query has."""
        return [int(n) for n in self._n_found]

    def save_sheet(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write a contact sheet, ``.png`` or ``.html``: pictures or texts of the answers, with their scores.

        Raises
        ------
        ConfigError
            There is something already, or no folder to write to.
        DataError, MismatchError
            The data of the set is not there any more, or has changed.
        """
        from headstart.plots.sheet_files import check_sheet, save_sheet

        target = Path(expanded(path))
        check_sheet(target, overwrite)
        return save_sheet(self._sheet, target)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, which: int) -> Match: ...

    @overload
    def __getitem__(self, which: slice) -> list[Match]: ...

    def __getitem__(self, which: int | slice) -> Match | list[Match]:
        if isinstance(which, slice):
            return [self[place] for place in range(len(self))[which]]
        [row] = self._table.slice(range(len(self))[which], 1).to_pylist()
        several = {name.removeprefix(LABEL): row.pop(name) for name in list(row) if name.startswith(LABEL)}
        row.pop(INPUT, None)
        return Match(**{"label": several or None, **row})

    def __repr__(self) -> str:
        return "\n".join(self.lines()) or "Matches()"

    def lines(self) -> list[str]:
        """A table for a terminal: each query above its answers, where there are several."""
        found: list[str] = []
        for number, query in enumerate(self.queries):
            if len(self.queries) > 1:
                found += ["", cell(query)] if found else [cell(query)]
            found += columns(*self.of(number)._shown()) if self._n_found[number] else ["nothing"]
        return found

    def _shown(self) -> tuple[list[str], list[list[Cell]]]:
        """A heading and the rows; ids are to be copied from here, and not cut."""
        names = [name for name in self._table.column_names if name != "query"]
        if self._table.column("origin").equals(self._table.column("id")):
            names.remove("origin")
        rows = [
            [_cell(row[name], None if name in ("id", "origin") else LONGEST_CELL) for name in names]
            for row in self._table.select(names).to_pylist()
        ]
        return names, rows

    def _repr_html_(self) -> str:
        from headstart.plots.sheet_files import sheet_html

        try:
            return sheet_html(self._sheet("webp"))
        except (HeadstartError, OSError):  # the data is gone: its table is not
            parts = [self.of(number)._shown() for number in range(len(self.queries))]
            return "".join(
                html_table(query, header, [["" if one is None else one for one in row] for row in rows])
                for query, (header, rows) in zip(self.queries, parts, strict=True)
            )

    def _sheet(self, format: Literal["webp", "png"]) -> list[Row]:
        """What a contact sheet shows: for each query its answers, whose pictures are made side by side."""
        from headstart.plots.contact_sheet import Row, Tile

        payloads, asked = self._samples.payloads(), map(self._asked.image, range(len(self.queries)))
        pictures = _small([*payloads, *asked], format)
        tiles = [
            Tile(picture, shown_text(payload, LONGEST), _caption(match), match.id)
            for picture, payload, match in zip(pictures, payloads, self, strict=False)
        ]
        ends = np.cumsum(self._n_found)
        return [
            Row(" ".join(query.split()), picture, tiles[end - n : end])
            for query, picture, end, n in zip(
                self.queries, pictures[len(tiles) :], ends, self._n_found, strict=True
            )
        ]


def _small(payloads: Sequence[Payload | None], format: Literal["webp", "png"]) -> list[bytes | None]:
    from headstart.thumbnails import LARGE_SIDE, image_in, thumbnail

    def small(payload: Payload | None) -> bytes | None:
        file = image_in(payload)
        return None if file is None else thumbnail(file, LARGE_SIDE, format)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(small, payloads))


def _caption(match: Match) -> str:
    label = next(iter(match.label.values())) if isinstance(match.label, dict) else match.label
    said = ", ".join(map(str, label)) if isinstance(label, list) else label
    return f"{match.score:.3f}" + ("" if said is None else f" · {said}")


def _cell(value: Any, longest: int | None) -> Cell:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return cell(value, longest) if isinstance(value, str) else value
