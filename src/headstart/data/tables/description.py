"""What a table was taken for, in a line for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.data.tables.parts import Joined
    from headstart.data.tables.roles import Roles
    from headstart.types import LabelColumn

SHOWN_FILES = 3
_CONTENT = {
    "text": "texts in",
    "text-pair": "pairs of texts in",
    "image-text": "pairs of image and text in",
}


def describe(joined: Joined, roles: Roles, labels: Mapping[str, LabelColumn], ignored: Sequence[str]) -> str:
    """Format, size, columns and what was left out.

    Parameters
    ----------
    joined : Joined
    roles : Roles
    labels : mapping of str to LabelColumn
    ignored : sequence of str
        Files beside that were left out.
    """
    content = _CONTENT.get(roles.modality) or _kind_of_images(joined, roles.content[0])
    columns = [f"{content} {' and '.join(map(repr, roles.content))}", describe_labels(labels)]
    if roles.split:
        columns.append(f"splits in {roles.split!r}")
    if roles.id:
        columns.append(f"ids in {roles.id!r}")
    return "; ".join([f"{_files(joined)}: {', '.join(columns)}", *left_out(joined, roles, ignored)])


def describe_labels(labels: Mapping[str, LabelColumn]) -> str:
    """The label columns with what they were taken for."""
    if not labels:
        return "no labels"
    return "labels in " + ", ".join(f"{name!r} ({column.said})" for name, column in labels.items())


def left_out(joined: Joined, roles: Roles, ignored: Sequence[str]) -> list[str]:
    """Rows, columns and files that are not used."""
    said = []
    if n_bad := sum(len(part.file.bad_rows) for part in joined.parts):
        said.append(f"{n_bad:,} {plural('row', n_bad)} cannot be read")
    others = joined.unusable | dict.fromkeys(joined.lists, "lists") | joined.images
    unused = {name: kind for name, kind in others.items() if name not in roles.used()}
    if unused:
        columns = ", ".join(f"{name!r} ({kind})" for name, kind in unused.items())
        said.append(f"columns left out: {columns}")
    if ignored:
        shown = ", ".join(ignored[:SHOWN_FILES]) + (", …" if len(ignored) > SHOWN_FILES else "")
        said.append(f"{len(ignored)} other {plural('file', len(ignored))} ignored ({shown})")
    return said


def plural(word: str, n: int) -> str:
    """A noun for so many things."""
    return word if n == 1 else word + ("es" if word.endswith("s") else "s")


def _kind_of_images(joined: Joined, column: str) -> str:
    return "images in" if column in joined.images else "image paths in"


def _files(joined: Joined) -> str:
    parts, n = joined.parts, joined.n_rows
    kind = " and ".join(dict.fromkeys(part.file.kind for part in parts))
    rows = f"{n:,} {plural('row', n)}"
    if parts[0].split is None:
        return f"{kind}, {rows}"
    splits = ", ".join(dict.fromkeys(part.split for part in parts if part.split))
    return f"{kind}, {len(parts)} {plural('file', len(parts))} named by split ({splits}), {rows}"
