"""Corrections of a set: what people decided about its labels, kept with every state that stands on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from headstart.errors import CorruptShardError
from headstart.files import content_digest

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.types import Json

Action: TypeAlias = Literal["relabel", "keep", "drop", "unsure"]
ACTIONS: tuple[Action, ...] = get_args(Action)
VERBS: Mapping[Action, str] = {"relabel": "relabelled", "drop": "dropped", "keep": "kept", "unsure": "unsure"}
FILE = "corrections.jsonl"
ENTRY, LINEAGE = "corrections", "lineage"
"""What ``set.json`` says of them, and of the states that a set was in before."""
WAITING = "waiting"
"""How rows are counted that are not in effect: the label is neither their old one nor their new one."""
Sample: TypeAlias = tuple[str, str]
"""A sample by its key, in hex, and its id."""
Identity: TypeAlias = tuple[str, ...]
"""What tells a decision from others, however often and in whatever order it is given."""


@dataclass(frozen=True, slots=True, order=True)
class Correction:
    """What somebody decided about one label of a sample; labels are texts, and "" is none.

    Parameters
    ----------
    key, id : str
        The sample; the key in hex.
    label : str
        The label column.
    turn : int
        How often the set had been corrected on top of corrections when this was decided; later turns win over earlier
        ones.
    old, new : str
        ``new`` is "" unless it relabels.
    digest : str
        The state of the set that was looked at.
    given : str
        What the data itself says.
    split : str
        In which the sample was when it was dropped.
    """

    key: str
    id: str
    label: str
    turn: int
    old: str
    new: str
    action: str
    note: str
    digest: str
    given: str = ""
    split: str = ""

    @property
    def sample(self) -> Sample:
        """Which sample it is about."""
        return self.key, self.id

    @property
    def identity(self) -> Identity:
        """Without what follows from the set: its turn, what the data gives, the split."""
        return self.key, self.id, self.label, self.old, self.new, self.action, self.note, self.digest


@dataclass(frozen=True)
class KeptCorrections:
    """All decisions that a state of a set stands on, and what they come to.

    ``counts`` are rows in effect by action, and `WAITING` ones; ``classes`` are names by column that no data gave.
    """

    rows: tuple[Correction, ...]
    counts: Mapping[str, int]
    classes: Mapping[str, tuple[str, ...]]

    @cached_property
    def content(self) -> bytes:
        """The file, one JSON object a line, in one order whatever order they came in."""
        lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in sorted(self.rows))
        return "".join(lines).encode("utf-8")

    @property
    def entry(self) -> dict[str, Json]:
        """What ``set.json`` says of them."""
        return {
            "file": content_digest(self.content),
            **{name: self.counts.get(name, 0) for name in (*ACTIONS, WAITING)},
            "turn": 1 + max(row.turn for row in self.rows),
            "classes": {column: list(names) for column, names in self.classes.items() if names},
        }


def counts_said(counts: Mapping[str, Json]) -> str:
    """How many decisions there are of each kind; empty if there are none."""
    return ", ".join(f"{counts[name]:,} {verb}" for name, verb in VERBS.items() if counts.get(name))


def turn_of(info: Mapping[str, Json]) -> int:
    """How often the set has been corrected on top of corrections, by what its ``set.json`` says."""
    return int(info.get(ENTRY, {}).get("turn", 0))


def lineage(info: Mapping[str, Json]) -> dict[str, int]:
    """Earlier states of the set, and the turn of each; a hint, of which what cannot be read is left out."""
    said = info.get(LINEAGE, {})
    return {name: turn for name, turn in said.items() if type(turn) is int} if isinstance(said, dict) else {}


def read_corrections(folder: Path, info: Mapping[str, Json]) -> tuple[Correction, ...]:
    """The decisions that the state in a folder stands on; none where its ``set.json`` names none.

    Raises
    ------
    CorruptShardError
        The file is not the one that was committed.
    """
    entry = info.get(ENTRY)
    if entry is None:
        return ()
    path = folder / FILE
    if not _is_entry(entry):
        raise CorruptShardError(f"{folder / 'set.json'} says of corrections what cannot be; restore it")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptShardError(f"{path} cannot be read ({error.strerror}); restore it") from error
    if content_digest(content) != entry.get("file"):
        raise CorruptShardError(f"{path} is not the file that set.json names; restore it")
    return tuple(_rows(content, path))


def _is_entry(entry: Json) -> bool:
    """Whether it is what `KeptCorrections.entry` gives, as far as anybody relies on it."""
    if not isinstance(entry, dict) or not isinstance(entry.get("classes"), dict):
        return False
    numbers = (entry.get(name) for name in (*ACTIONS, WAITING, "turn"))
    lists = entry["classes"].values()
    return all(type(n) is int for n in numbers) and all(isinstance(names, list) for names in lists)


def _rows(content: bytes, path: Path) -> Iterable[Correction]:
    kinds = {each.name: int if each.name == "turn" else str for each in fields(Correction)}
    for line in content.split(b"\n"):
        if not line:
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CorruptShardError(f"{path} holds something else than JSON; restore it") from error
        if not isinstance(row, dict) or {name: type(value) for name, value in row.items()} != kinds:
            raise CorruptShardError(f"{path} holds something else than corrections; restore it")
        yield Correction(**row)
