"""Counts in words."""

from __future__ import annotations


def plural(noun: str, n: int) -> str:
    """A noun for so many things.

    Examples
    --------
    >>> plural("class", 2), plural("row", 1), plural("query", 3)
    ('classes', 'row', 'queries')
    """
    if n == 1:
        return noun
    return noun[:-1] + "ies" if noun.endswith("ry") else noun + ("es" if noun.endswith("s") else "s")


def counted(n: int, noun: str) -> str:
    """So many things.

    Examples
    --------
    >>> counted(1, "sample"), counted(1200, "sample")
    ('1 sample', '1,200 samples')
    """
    return f"{n:,} {plural(noun, n)}"
