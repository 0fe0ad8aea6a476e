"""A table of what some model says of samples, by their ids: ``id`` and ``p:<class>`` or ``logit:<class>``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import numbers_of, positions_in
from headstart.data import SourceOptions
from headstart.data.read_table import is_table, read_table_file
from headstart.distillation.opinions import logits_of
from headstart.errors import DataError, MismatchError
from headstart.tasks import open_task
from headstart.tasks.columns import PROBABILITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.config import TaughtConfig
    from headstart.types import Json

LOGIT, NUMBER, ID = "logit:", "prediction", "id"


@dataclass(frozen=True)
class TableTeacher:
    """Logits (N, C) of samples by their ``ids``, as a file has them.

    Nothing of it is kept in the cache: an id is a name within one set alone. What the model was trained on is unknown.
    """

    path: Path
    kind: str
    names: tuple[str, ...]
    ids: pa.ChunkedArray
    logits: NDArray[np.float32]
    digest: str
    can_fold: bool = False
    trained_on: None = None

    @classmethod
    def open(cls, config: TaughtConfig, kind: str) -> Self:
        """Read the file of a configuration, for labels of a kind.

        Raises
        ------
        DataError
            It is no table, has no such columns, or holds something else than numbers.
        """
        path = config.teacher
        assert path is not None
        if not path.is_file():
            raise DataError(
                f"there is neither a run directory nor a table at {path}; --teacher takes one of them"
            )
        if not is_table(path.name):
            raise DataError(
                f"{path} is no table; --teacher takes a run directory, or Parquet, CSV or JSON lines with id and "
                "p:CLASS or logit:CLASS"
            )
        if config.teacher_folds:
            raise DataError(f"--teacher-folds fits a run's head anew, and {path} is a table; leave it out")
        rows = read_table_file(path, SourceOptions()).rows
        columns, prefix = _columns(path, rows.column_names, kind)
        ids = _ids(path, rows)
        found = np.stack([_numbers(path, name, rows.column(name)) for name in columns], axis=1)
        digest = blake2b(path.read_bytes(), digest_size=16).hexdigest()
        names = tuple(name.removeprefix(prefix) for name in columns if prefix != NUMBER)
        return cls(path, kind, names, ids, _as_logits(path, found, prefix, kind), digest)

    @property
    def about(self) -> dict[str, Json]:
        """What a report says of it."""
        return {"method": "table", "digest": self.digest}

    def ask(self, table: pa.Table) -> None:
        """Refuse samples that the file lacks."""
        lacking = np.flatnonzero(self._places(table) < 0)
        if len(lacking):
            first = table.column(ID)[int(lacking[0])].as_py()
            raise MismatchError(
                f"{self.path} has no row for {len(lacking):,} of {table.num_rows:,} samples, e.g. {first!r}; give "
                "one for each train sample, under the ids that the set has"
            )

    def opinions(self, table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What it says of samples, (N, C), and of which of them it says something."""
        places = self._places(table)
        return self.logits[np.maximum(places, 0)], places >= 0

    def _places(self, table: pa.Table) -> NDArray[np.int64]:
        return positions_in(table.column(ID), self.ids)


def _columns(path: Path, names: list[str], kind: str) -> tuple[list[str], str]:
    """The columns of logits, probabilities or numbers, and what their names begin with."""
    if ID not in names:
        raise DataError(f"{path} has no column 'id' (it has {', '.join(map(repr, names[:5]))}); name it so")
    if not open_task(kind).has_names:
        if NUMBER not in names:
            raise DataError(f"{path} has no column 'prediction', which a teacher of numbers needs")
        return [NUMBER], NUMBER
    for prefix in (LOGIT, PROBABILITY):
        if found := [name for name in names if name.startswith(prefix) and name != prefix]:
            return found, prefix
    raise DataError(
        f"{path} has neither columns 'logit:CLASS' nor 'p:CLASS'; headstart predict RUN DATA --out FILE writes such"
    )


def _ids(path: Path, rows: pa.Table) -> pa.ChunkedArray:
    ids = rows.column(ID)
    [(commonest, n)] = Counter(ids.to_pylist()).most_common(1)
    if n > 1:
        raise DataError(f"{path} has the id {commonest!r} {n:,} times; keep one row for each")
    return ids


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    try:
        numbers = pc.cast(column, pa.float64())
    except pa.ArrowException as error:
        raise DataError(f"{path}: the column {name!r} holds something that is no number ({error})") from error
    if numbers.null_count:
        raise DataError(f"{path}: the column {name!r} is empty in {numbers.null_count:,} rows")
    found = np.asarray(numbers_of(numbers), dtype=np.float64)
    if not np.isfinite(found).all():
        raise DataError(
            f"{path}: the column {name!r} has {int((~np.isfinite(found)).sum()):,} values that are not finite"
        )
    return found


def _as_logits(path: Path, found: NDArray[np.float64], prefix: str, kind: str) -> NDArray[np.float32]:
    if prefix == LOGIT:
        return found.astype(np.float32)
    if prefix == PROBABILITY and ((found < 0) | (found > 1)).any():
        raise DataError(
            f"{path} has probabilities outside of [0, 1]; call the columns logit:CLASS if they are logits"
        )
    return logits_of(kind, found)
