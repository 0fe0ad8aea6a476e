"""What is asked of a set by files of corrections: decisions as they are kept, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.cache.corrections import Correction, lineage, turn_of
from headstart.corrections.file import CorrectionFile, Row
from headstart.corrections.table import cells_of, with_label
from headstart.corrections.texts import Cells, NoLabelError
from headstart.errors import DataError, HeadstartError, MismatchError
from headstart.files import read_json
from headstart.options import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.cache.corrections import Identity
    from headstart.cache.sets import FeatureSet


@dataclass(frozen=True)
class Asked:
    """The decisions of files as they are kept, each once, and where each of them stands."""

    files: tuple[CorrectionFile, ...]
    rows: tuple[Correction, ...]
    places: Mapping[Identity, str]

    @classmethod
    def of(cls, files: tuple[CorrectionFile, ...], features: FeatureSet, target: FeatureSet) -> Asked:
        """Read the labels, and look up the states that the files were made for."""
        cells, turns = (
            cells_of(with_label(target.samples).schema, target.label_kinds),
            _Turns(features, target),
        )
        rows: dict[Identity, Correction] = {}
        places: dict[Identity, str] = {}
        for row in (row for file in files for row in file.rows):
            read = _canonical(row, cells, target, turns)
            rows.setdefault(read.identity, read)
            places.setdefault(read.identity, row.place)
        return cls(files, tuple(rows.values()), places)

    def are_known_to(self, features: FeatureSet) -> bool:
        """Whether a state stands on all of them already."""
        return {row.identity for row in self.rows} <= {row.identity for row in features.corrections}


class _Turns:
    """In which turn corrections count that were made for a state; of no state of this set there are none."""

    def __init__(self, *states: FeatureSet) -> None:
        self._folder: Path = states[0].path.parent
        self._known: dict[str, int] = {}
        for state in states:
            for row in state.corrections:
                self._known[row.digest] = min(row.turn, self._known.get(row.digest, row.turn))
            self._known |= lineage(state.info)
            self._known[state.digest] = turn_of(state.info)

    def of(self, digest: str) -> int | None:
        """The turn; None of a state of another set."""
        if digest not in self._known:
            try:
                self._known[digest] = turn_of(read_json(self._folder / digest / "set.json"))
            except (OSError, HeadstartError, AttributeError, TypeError, ValueError):
                return None
        return self._known[digest]


def _canonical(row: Row, cells: Mapping[str, Cells], target: FeatureSet, turns: _Turns) -> Correction:
    turn = turns.of(row.digest)
    if turn is None:
        raise MismatchError(
            f"{row.place}: made for state {row.digest}, which set {target.name!r} was never in (now it is "
            f"{target.digest}); corrections are of the set that they were made for"
        )
    if row.label not in cells:
        raise DataError(
            f"{row.place}: set {target.name!r} has no label {row.label!r}{did_you_mean(row.label, cells, 'it has')}"
        )
    labels = {}
    for name, text in (("old", row.old), ("new", row.new)):
        try:
            labels[name] = cells[row.label].canonical(text)
        except NoLabelError as error:
            raise DataError(f"{row.place}: the {name} label of {row.id!r}: {error}") from error
    if row.action == "relabel" and not labels["new"]:
        raise DataError(f"{row.place}: relabel without a new label; write one, or drop the sample")
    return Correction(
        row.key, row.id, row.label, turn, labels["old"], labels["new"], row.action, row.note, row.digest
    )
