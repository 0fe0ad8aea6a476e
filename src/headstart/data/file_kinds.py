"""Which files of a folder are samples: images, or texts under one form of names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.data.contents import is_image
from headstart.data.streams import first_bytes
from headstart.remote.paths import RemotePath

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.types import Modality

TEXT_SUFFIXES = (".txt", ".text")
NOT_DATA = frozenset(
    (
        "readme",
        "license",
        "licence",
        "copying",
        "notice",
        "authors",
        "changelog",
        "makefile",
        "dockerfile",
        "todo",
    )
)
"""Names without an ending of files that speak of a folder."""
PEEK_BYTES = 1 << 12


@dataclass(frozen=True, slots=True)
class FileKind:
    """Files of one modality, whose names have one ``form``: image, text, numbered, or bare."""

    form: str
    modality: Modality = "text"

    def accepts(self, name: str) -> bool:
        """Whether a file of this name is a sample.

        Examples
        --------
        >>> IMAGES.accepts("a.JPG"), NUMBERED.accepts("49960"), BARE.accepts("README")
        (True, True, False)
        """
        return is_image(name) if self.form == "image" else _form(name) == self.form

    @property
    def noun(self) -> str:
        """One sample, for the user."""
        return self.modality

    @property
    def said(self) -> str:
        """What tells the files, where it is no ending of an image."""
        return {"numbered": " whose names are numbers", "bare": " whose names have no ending"}.get(
            self.form, ""
        )


IMAGES = FileKind("image", "image")
TEXTS, NUMBERED, BARE = FileKind("text"), FileKind("numbered"), FileKind("bare")


def is_text(name: str) -> bool:
    """Whether a file's ending says that it is a text."""
    return os.path.splitext(name)[1].lower() in TEXT_SUFFIXES


def text_kind(root: Path) -> FileKind | None:
    """The form under which more than half of the files in a folder and below are texts; None if there is none."""
    forms: Counter[str | None] = Counter()
    first: dict[str, str] = {}
    for path in files_below(root):
        form = _form(os.path.basename(path))
        forms[form] += 1
        if form is not None and (form not in first or path < first[form]):
            first[form] = path
    kind = max((TEXTS, NUMBERED, BARE), key=lambda kind: forms[kind.form])
    n = forms[kind.form]
    return (
        kind if n > 1 and 2 * n > forms.total() and not _is_binary(_within(root, first[kind.form])) else None
    )


def files_below(root: Path) -> Iterator[str]:
    """The files in a folder and below but for hidden ones; links to folders are not followed."""
    if isinstance(root, RemotePath):
        yield from (str(root / name) for name in root.below() if "/." not in f"/{name}")
        return
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in files if not name.startswith("."))


def _within(root: Path, path: str) -> str | RemotePath:
    """A file below a folder, wherever both are."""
    return root / path[len(str(root)) + 1 :] if isinstance(root, RemotePath) else path


def _form(name: str) -> str | None:
    """The form of a text's name; None if it is none of a text."""
    stem, ending = os.path.splitext(name)
    if is_text(name):
        return "text"
    if ending or stem.lower() in NOT_DATA:
        return None
    return "numbered" if stem.isdecimal() else "bare"


def _is_binary(path: str | RemotePath) -> bool:
    """Whether a file holds what no text does."""
    try:
        return b"\0" in first_bytes(path, PEEK_BYTES)
    except OSError:
        return False  # the scan says what is wrong with it
