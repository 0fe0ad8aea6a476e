"""Curves as a run keeps them: figures of each size in its report, and the marks of each draw in ``draws.parquet``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headstart.arrow import numbers_of, strings, vectors_of
from headstart.errors import StorageError
from headstart.metrics.tables import summarise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.curves.draws import Draw, Protocol
    from headstart.curves.marks import Marker
    from headstart.curves.report import ProtocolName
    from headstart.types import Json

BOTH, SAMPLES = "draws and samples", "samples"
"""What an interval covers."""
META = b"headstart.draws"


@dataclass(frozen=True)
class JudgedDraw:
    """A head that was fitted on a draw, or a network tuned on it: its figures, and its marks (U,).

    ``drawn`` is the same for draws of the same samples. One that diverged has neither figures nor marks.
    """

    protocol: ProtocolName
    size: int
    seed: int
    n_train: int
    drawn: str
    scores: Mapping[str, float] = field(default_factory=dict)
    marks: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls, draw: Draw, drawn: str, scores: Mapping[str, float], marks: NDArray[np.float64] | None
    ) -> JudgedDraw:
        """What became of a draw."""
        return cls(draw.protocol, draw.size, draw.seed, len(draw.rows), drawn, scores, marks)

    def described(self, figure: str) -> dict[str, Json]:
        """Which it is, for a file, with one of its figures."""
        about = {name: getattr(self, name) for name in ("protocol", "size", "seed", "n_train", "drawn")}
        return {**about, "scores": {figure: self.scores[figure]}}


@dataclass(frozen=True)
class Curve:
    """All draws of one head on one choice of features, or of one way to tune; ``about`` says which."""

    name: str
    draws: tuple[JudgedDraw, ...]
    about: Mapping[str, Json] = field(default_factory=dict)

    def of(self, protocol: str) -> dict[int, list[JudgedDraw]]:
        """Those of a protocol by size, the smallest first, without those that diverged."""
        sizes = sorted({draw.size for draw in self.draws if draw.protocol == protocol})
        return {
            size: [
                each
                for each in self.draws
                if (each.protocol, each.size) == (protocol, size) and each.marks is not None
            ]
            for size in sizes
        }


@dataclass(frozen=True)
class Curves:
    """All curves of a run, judged on the same samples of a split."""

    curves: tuple[Curve, ...]
    protocols: tuple[Protocol, ...]
    marker: Marker
    split: str
    kept: str

    def report(self) -> dict[str, Json]:
        """The part of a report: ``shots`` and ``curve`` of the ``kept`` head, ``curves`` of all if there are more.

        Rows are {size, n_train, split, n, values {figure: one per draw}, mean, deviation, interval {figure: [low,
        high]}, covers}, with ``share`` where the size was said in percent, ``rare`` where classes have fewer samples.
        """
        by_name = {curve.name: self._rows(curve) for curve in self.curves}
        report: dict[str, Json] = dict(by_name[self.kept])
        if len(self.curves) > 1:
            report["curves"] = [
                {"name": curve.name, **curve.about, **by_name[curve.name]} for curve in self.curves
            ]
        return report

    def _rows(self, curve: Curve) -> dict[str, list[dict[str, Json]]]:
        return {
            protocol.name: [
                self._row(protocol, size, draws) for size, draws in curve.of(protocol.name).items()
            ]
            for protocol in self.protocols
        }

    def _row(self, protocol: Protocol, size: int, draws: Sequence[JudgedDraw]) -> dict[str, Json]:
        figures = summarise([draw.scores for draw in draws])
        parts = {part: {name: each[part] for name, each in figures.items()}
                 for part in ("values", "mean", "deviation")}  # fmt: skip
        rare = protocol.rare(size)
        return {
            "size": size,
            **({"share": protocol.shares[size]} if size in protocol.shares else {}),
            "n_train": float(np.mean([draw.n_train for draw in draws])) if draws else None,
            "split": self.split,
            "n": len(draws),
            **parts,
            **self._interval(draws, parts["mean"]),
            **({"rare": rare} if rare else {}),
        }

    def _interval(self, draws: Sequence[JudgedDraw], mean: Mapping[str, Json]) -> dict[str, Json]:
        marks = [draw.marks for draw in draws if draw.marks is not None]
        if not marks:
            return {}
        figure = self.marker.figure
        return {
            "interval": {figure: self.marker.interval(np.stack(marks), mean[figure])},
            "covers": BOTH if len(marks) > 1 else SAMPLES,
        }

    def table(self) -> pa.Table:
        """The marks: a row for each unit, with a list of one for each draw; which those are the schema says."""
        draws = [(curve, draw) for curve in self.curves for draw in curve.draws if draw.marks is not None]
        marks = np.stack([draw.marks for _, draw in draws if draw.marks is not None], axis=1)
        if self.marker.marks_samples:
            marks = marks.astype(np.int8)
        said = {
            "split": self.split,
            "figure": self.marker.figure,
            "of_samples": self.marker.marks_samples,
            "curves": {curve.name: dict(curve.about) for curve in self.curves},
            "draws": [{"curve": curve.name, **draw.described(self.marker.figure)} for curve, draw in draws],
        }
        table = pa.table({"id": strings(self.marker.units), "marks": vectors_of(marks)})
        return table.replace_schema_metadata({META: json.dumps(said)})


@dataclass(frozen=True)
class KeptCurves:
    """What ``draws.parquet`` of a run holds: curves without their other figures, and what was marked, in order."""

    curves: tuple[Curve, ...]
    units: pa.StringArray
    split: str
    figure: str
    of_samples: bool

    @classmethod
    def read(cls, table: pa.Table, place: str) -> KeptCurves:
        """Read what `Curves.table` made.

        Raises
        ------
        StorageError
            It made it not.
        """
        try:
            said = json.loads((table.schema.metadata or {})[META])
            ids, lists = (table.column(name).combine_chunks() for name in ("id", "marks"))
            marks = numbers_of(lists.flatten()).reshape(len(ids), -1).astype(np.float64)
            draws = list(_draws(said["draws"], marks))
            names = dict(said["curves"])
            curves = tuple(
                Curve(name, tuple(draw for of, draw in draws if of == name), about)
                for name, about in names.items()
            )
            return cls(curves, ids, said["split"], said["figure"], said["of_samples"])
        except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise StorageError(f"{place} does not hold draws ({error}); make the run again") from error


def _draws(
    said: Sequence[Mapping[str, Json]], marks: NDArray[np.float64]
) -> Iterator[tuple[str, JudgedDraw]]:
    """Each draw with the name of its curve."""
    if len(said) != marks.shape[1]:
        raise ValueError(f"{len(said)} draws, and {marks.shape[1]} marks of each sample")
    for place, one in enumerate(said):
        about = {name: value for name, value in one.items() if name != "curve"}
        yield str(one["curve"]), JudgedDraw(**about, marks=marks[:, place])
