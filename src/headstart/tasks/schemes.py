"""How entities are written as one tag a word: IOB1, IOB2, IOBES and BILOU.

A tag is ``O``, outside of all entities, or a prefix and a type, such as ``B-person``. What the prefixes say differs by
scheme, and so does which tags may follow each other. An `Entity` is a type with the words from ``start`` to before
``end``.

References
----------
Ramshaw and Marcus (1995), Text Chunking using Transformation-Based Learning; Ratinov and Roth (2009), Design
Challenges and Misconceptions in Named Entity Recognition. What an illegal sequence holds is read as seqeval 1.2 reads
it, in its strict mode (`Scheme.entities`) and as the script of CoNLL-2000 did (`chunks`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ConfigError, DataError

OUTSIDE = "O"
UNNAMED = "_"
"""The type of a tag that is a prefix alone."""
NAMES = ("iob2", "iob1", "iobes", "bilou")
"""In the order in which they are tried on tags of which nobody says what they are."""
ANY = "any"
Pattern = tuple[str, str, str]
"""Prefixes of a tag and of the next, and whether their types are the ``same``, ``other`` or ``any``."""


class Entity(NamedTuple):
    """The words ``start`` to before ``end`` of a sequence."""

    type: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to write entities as tags."""

    name: str
    prefixes: str
    starts: tuple[Pattern, ...]
    """Between which tags an entity starts."""
    insides: tuple[Pattern, ...]
    """Between which tags it goes on."""
    ends: tuple[Pattern, ...]
    """Between which tags it has ended, well-formed."""
    moves: tuple[Pattern, ...]
    """Which tags may follow each other; before the first and after the last stands ``O``."""
    written: str
    """The prefixes of a word that is an entity alone, of the first, of one inside, and of the last."""

    def check(self, tags: Iterable[str]) -> None:
        """Raise a `DataError` if one of these tags is not of this scheme."""
        for tag in tags:
            if tag != OUTSIDE and (prefix_of(tag) == OUTSIDE or prefix_of(tag) not in self.prefixes):
                raise DataError(
                    f"the tag {tag!r} is not of {self.name.upper()}, whose prefixes are {self.prefixes}"
                )

    def entities(self, tags: Sequence[str]) -> list[Entity]:
        """The well-formed entities of a sequence of tags; of what is illegal nothing counts.

        Examples
        --------
        >>> open_scheme("iob2").entities(["B-person", "I-person", "O", "I-place"])
        [Entity(type='person', start=0, end=2)]
        """
        padded = [*map(parts_of, tags), (OUTSIDE, UNNAMED)]
        found, before, place = [], padded[-1], 0
        while place < len(padded):
            if not _fits(self.starts, before, padded[place]):
                before, place = padded[place], place + 1
                continue
            end = place + 1
            while _fits(self.insides, padded[end - 1], padded[end]):
                end += 1
            if _fits(self.ends, padded[end - 1], padded[end]):
                found.append(Entity(padded[place][1], place, end))
            before, place = padded[end - 1], end
        return found

    def tags(self, entities: Iterable[Entity], n_words: int) -> list[str]:
        """Entities that do not overlap as a sequence of tags.

        Examples
        --------
        >>> open_scheme("iobes").tags([Entity("person", 0, 2), Entity("place", 3, 4)], 5)
        ['B-person', 'E-person', 'O', 'S-place', 'O']
        """
        written, last = [OUTSIDE] * n_words, Entity("", -1, -1)
        for entity in sorted(entities, key=lambda one: one.start):
            if not last.end <= entity.start < entity.end <= n_words:
                raise DataError(f"{entity} overlaps {last}, or lies outside of {n_words} words")
            prefixes = self._prefixes(entity, last.end == entity.start and last.type == entity.type)
            for place, prefix in zip(range(entity.start, entity.end), prefixes, strict=True):
                written[place] = f"{prefix}-{entity.type}"
            last = entity
        return written

    def is_legal(self, tags: Sequence[str]) -> bool:
        """Whether each tag may follow the one before."""
        padded = [(OUTSIDE, UNNAMED), *map(parts_of, tags), (OUTSIDE, UNNAMED)]
        return all(_fits(self.moves, *pair) for pair in itertools.pairwise(padded))

    def legal_moves(self, names: Sequence[str]) -> Moves:
        """Which of C tags may come first, follow each other, and come last."""
        outside = OUTSIDE, UNNAMED
        parts = [parts_of(name) for name in names]
        return Moves(
            np.array([_fits(self.moves, outside, part) for part in parts], dtype=bool),
            np.array([[_fits(self.moves, one, other) for other in parts] for one in parts], dtype=bool),
            np.array([_fits(self.moves, part, outside) for part in parts], dtype=bool),
        )

    def _prefixes(self, entity: Entity, touches: bool) -> str:
        """Of each word of an entity; ``touches``: one of the same type ends where it starts."""
        single, first, inside, last = tuple(self.written)
        n = entity.end - entity.start
        prefixes = single if n == 1 else first + inside * (n - 2) + last
        return "B" + prefixes[1:] if touches and first == inside else prefixes


class Moves(NamedTuple):
    """Which of C tags may come first (C,), follow each other (C, C), the earlier one first, and come last (C,)."""

    first: NDArray[np.bool_]
    next: NDArray[np.bool_]
    last: NDArray[np.bool_]


@cache
def open_scheme(name: str) -> Scheme:
    """A scheme by its name.

    Raises
    ------
    ConfigError
        There is no such scheme.
    """
    if name not in NAMES:
        raise ConfigError(f"there is no tagging scheme {name!r}; there are {', '.join(NAMES)}")
    if name == "iob1":
        return Scheme(
            name, "BIO",
            starts=(("O", "I", ANY), ("I", "I", "other"), ("B", "I", ANY), ("BI", "B", "same")),
            insides=(("BI", "I", "same"),),
            ends=(("BI", "I", "other"), ("BI", "O", ANY), ("I", "B", ANY), ("B", "B", "same")),
            moves=(("BIO", "IO", ANY), ("BI", "B", "same")),
            written="IIII",
        )  # fmt: skip
    if name == "iob2":
        return Scheme(
            name, "BIO",
            starts=(("BIO", "B", ANY),),
            insides=(("BI", "I", "same"),),
            ends=(("BI", "BO", ANY), ("BI", "I", "other")),
            moves=(("BIO", "BO", ANY), ("BI", "I", "same")),
            written="BBII",
        )  # fmt: skip
    last, single = ("E", "S") if name == "iobes" else ("L", "U")
    prefixes = f"BIO{last}{single}"
    return Scheme(
        name, prefixes,
        starts=((prefixes, "B" + single, ANY),),
        insides=(("BI", "I" + last, "same"),),
        ends=((last + single, prefixes, ANY),),
        moves=(("BI", "I" + last, "same"), ("O" + last + single, "BO" + single, ANY)),
        written=f"{single}BI{last}",
    )  # fmt: skip


def prefix_of(tag: str) -> str:
    """What stands before the type; ``O`` of an empty tag."""
    return tag[:1] or OUTSIDE


def parts_of(tag: str) -> tuple[str, str]:
    """Prefix and type.

    Examples
    --------
    >>> parts_of("B-creative-work"), parts_of("O"), parts_of("I")
    (('B', 'creative-work'), ('O', '_'), ('I', '_'))
    """
    return prefix_of(tag), tag[1:].strip("-") or UNNAMED


def detect_scheme(sequences: Iterable[Sequence[str]]) -> str | None:
    """The first scheme in which all sequences are legal, else the first that has all their prefixes.

    None where there is no entity, or where tags are no prefixes with types, such as parts of speech.

    Examples
    --------
    >>> detect_scheme([["B-a", "I-a", "O"]]), detect_scheme([["I-a", "B-a"]]), detect_scheme([["NN", "IN"]])
    ('iob2', 'iob1', None)
    """
    distinct = {tuple(tags) for tags in sequences}
    used = {tag for tags in distinct for tag in tags} - {OUTSIDE}
    if not used or any(len(tag) > 1 and tag[1] != "-" for tag in used):
        return None
    prefixes = {prefix_of(tag) for tag in used}
    able = [scheme for name in NAMES if prefixes <= set((scheme := open_scheme(name)).prefixes) - {OUTSIDE}]
    legal = (scheme.name for scheme in able if all(map(scheme.is_legal, distinct)))
    return next(legal, able[0].name if able else None)


def scheme_of(names: Iterable[str]) -> Scheme | None:
    """The scheme that tags of these names are written in, as sets keep them (never IOB1); None if they are no entities.

    Examples
    --------
    >>> scheme_of(["O", "B-a", "I-a"]).name, scheme_of(["O", "B-a", "E-a"]).name, scheme_of(["NN", "VB"])
    ('iob2', 'iobes', None)
    """
    used = {name for name in names if name != OUTSIDE}
    if not are_entities(used):
        return None
    prefixes = {prefix_of(name) for name in used}
    able = (open_scheme(name) for name in NAMES if name != "iob1")
    return next((scheme for scheme in able if prefixes <= set(scheme.prefixes) - {OUTSIDE}), None)


def are_entities(names: Iterable[str]) -> bool:
    """Whether tags look like those of entities: a capital letter, a hyphen, and a type; False if there are none.

    Examples
    --------
    >>> are_entities(["B-a", "M-a"]), are_entities(["B-a", "NN"]), are_entities([])
    (True, False, False)
    """
    used = [name for name in names if name != OUTSIDE]
    return bool(used) and all(len(n) > 2 and n[0].isupper() and n[1] == "-" for n in used)


def chunks(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sequence as ``conlleval`` counts them: whatever is illegal is made the best of.

    An entity starts wherever the type changes, so that all schemes are read alike.

    Examples
    --------
    >>> chunks(["I-person", "I-place", "O", "B-person"])
    [Entity(type='person', start=0, end=1), Entity(type='place', start=1, end=2), Entity(type='person', start=3, end=4)]
    """
    found, start = [], 0
    before = OUTSIDE, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        now = _as_chunk(tag)
        if _has_ended(before, now):
            found.append(Entity(before[1], start, place))
        if _has_started(before, now):
            start = place
        before = now
    return found


def _as_chunk(tag: str) -> tuple[str, str]:
    prefix = {"L": "E", "U": "S"}.get(prefix_of(tag), prefix_of(tag))
    return prefix, tag[1:].split("-", maxsplit=1)[-1] or UNNAMED


def _has_ended(before: tuple[str, str], now: tuple[str, str]) -> bool:
    is_over = before[0] in "ES" or (before[0] in "BI" and now[0] in "BSO")
    return is_over or (before[0] != OUTSIDE and before[1] != now[1])


def _has_started(before: tuple[str, str], now: tuple[str, str]) -> bool:
    is_new = now[0] in "BS" or (before[0] in "ESO" and now[0] in "EI")
    return is_new or (now[0] != OUTSIDE and before[1] != now[1])


def _fits(patterns: Iterable[Pattern], before: tuple[str, str], now: tuple[str, str]) -> bool:
    types = ("same" if before[1] == now[1] else "other", ANY)
    return any(
        before[0] in early and now[0] in late and relation in types for early, late, relation in patterns
    )
