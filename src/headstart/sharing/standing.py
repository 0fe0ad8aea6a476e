"""How the state of a set that is copied stands to the state that is in force where it comes to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

Standing: TypeAlias = Literal["new", "same", "later", "earlier", "apart"]
"""What a copied state is to that in force: the first one of its set, that very state, a later or an earlier one, or
neither, as both were made from the same set without knowing of each other (or are of sets that share but a name)."""


def standing(
    copied: str, known_to_copied: Collection[str], in_force: str | None, known_there: Collection[str]
) -> Standing:
    """How a copied state stands to the one in force.

    A set's folder keeps its earlier states, so that who knows the other's state is the later one.

    Parameters
    ----------
    copied, in_force : str
        Digests; None: there is no such set.
    known_to_copied, known_there : collection of str
        The states that the set was in before, on either side.

    Examples
    --------
    >>> standing("b", {"a", "b"}, "a", {"a"}), standing("a", {"a"}, "b", {"a", "b"}), standing("b", {"b"}, "c", {"c"})
    ('later', 'earlier', 'apart')
    """
    if in_force is None:
        return "new"
    if copied == in_force:
        return "same"
    if in_force in known_to_copied:
        return "later"
    return "earlier" if copied in known_there else "apart"
