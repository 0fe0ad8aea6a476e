"""What a table was taken for, in a line for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.sources.roles import Roles
    from headstart.sources.table_parts import Joined

SHOWN_FILES = 3
_CONTENT = {"image": "image paths in", "text": "texts in", "text-pair": "pairs of texts in"}


def describe(joined: Joined, roles: Roles, n_classes: Mapping[str, int], ignored: Sequence[str]) -> str:
    """Format, size, columns and what was left out.

    Parameters
    ----------
    joined : Joined
    roles : Roles
    n_classes : mapping of str to int
        By label column.
    ignored : sequence of str
        Files beside that were left out.
    """
    columns = [f"{_CONTENT[roles.modality]} {' and '.join(map(repr, roles.content))}"]
    if n_classes:
        labels = ", ".join(f"{name!r} ({n:,} {_plural('class', n)})" for name, n in n_classes.items())
        columns.append(f"labels in {labels}")
    else:
        columns.append("no labels")
    if roles.split:
        columns.append(f"splits in {roles.split!r}")
    if roles.id:
        columns.append(f"ids in {roles.id!r}")
    return "; ".join([f"{_files(joined)}: {', '.join(columns)}", *_left_out(joined, ignored)])


def _files(joined: Joined) -> str:
    parts, n = joined.parts, joined.rows.num_rows
    kind = " and ".join(dict.fromkeys(part.file.kind for part in parts))
    rows = f"{n:,} {_plural('row', n)}"
    if parts[0].split is None:
        return f"{kind}, {rows}"
    splits = ", ".join(dict.fromkeys(part.split for part in parts if part.split))
    return f"{kind}, {len(parts)} {_plural('file', len(parts))} named by split ({splits}), {rows}"


def _left_out(joined: Joined, ignored: Sequence[str]) -> list[str]:
    left_out = []
    if n_bad := sum(len(part.file.bad_rows) for part in joined.parts):
        left_out.append(f"{n_bad:,} {_plural('row', n_bad)} cannot be read")
    if joined.unusable:
        columns = ", ".join(f"{name!r} ({kind})" for name, kind in joined.unusable.items())
        left_out.append(f"columns left out: {columns}")
    if ignored:
        shown = ", ".join(ignored[:SHOWN_FILES]) + (", …" if len(ignored) > SHOWN_FILES else "")
        left_out.append(f"{len(ignored)} other {_plural('file', len(ignored))} ignored ({shown})")
    return left_out


def _plural(word: str, n: int) -> str:
    return word if n == 1 else word + ("es" if word.endswith("s") else "s")
