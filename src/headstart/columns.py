"""Small tables for a terminal: columns under their headings, numbers to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Cell = str | float | int | None
LONGEST_CELL = 48


def cell(text: str, longest: int | None = LONGEST_CELL) -> str:
    """A text as a cell of a table in a terminal: in one line, and of at most so many letters.

    Parameters
    ----------
    text : str
        Line ends and what else would move the cursor are shown as Python writes them.
    longest : int, optional
        What is longer is cut, with … at its end; None: nothing is cut, such as of a path.

    Examples
    --------
    >>> print(cell("two\\nlines"), cell("abcdefgh", 5))
    two\\nlines abcd…
    """
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def columns(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The lines of a table; a column of numbers is set to the right.

    Examples
    --------
    >>> print("\\n".join(columns(["head", "n"], [["ridge", 9], ["mlp", 1000]])))
    head       n
    ridge      9
    mlp    1,000
    """
    texts = [list(header), *([_text(cell) for cell in row] for row in rows)]
    right = [all(_is_number(row[i]) for row in texts[1:]) for i in range(len(header))]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]
    return [
        "  ".join(
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    ]


def with_interval(metrics: Mapping[str, Any], name: str) -> str:
    """A figure of a report, with its interval where it has one; a dash where its samples cannot say."""
    if metrics.get(name) is None:
        return "-"
    interval = metrics.get("intervals", {}).get(name)
    dash = " [-]" if name in metrics.get("no_interval", {}) else ""
    return f"{metrics[name]:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else dash)


def over_groups(metrics: Mapping[str, Any]) -> str:
    """What the intervals of a report are over, where samples come in groups; else nothing.

    Examples
    --------
    >>> over_groups({"n": 500, "n_groups": 120})
    'intervals over 120 groups'
    """
    n_groups = metrics.get("n_groups")
    return "" if n_groups is None else f"intervals over {n_groups:,} group{'s' if n_groups != 1 else ''}"


def with_deviation(mean: float | None, deviation: float | None) -> str:
    """A mean over seeds or folds, with its deviation where there are several."""
    if mean is None:
        return "-"
    return f"{mean:.4f}" if deviation is None else f"{mean:.4f} ± {deviation:.4f}"


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:.4f}" if cell == 0 or 1e-3 <= abs(cell) < 1000 else f"{cell:.3g}"
        case str():
            return cell


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").replace("-", "0", text == "-"))
    except ValueError:
        return False
    return True
