"""What the folders above a file mean: its split and its class."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.column_names import plain
from headstart.data.file_kinds import IMAGES
from headstart.data.file_tree import entries_in, folders_in, identity_of
from headstart.data.splits import LEFT_OUT, SplitNames
from headstart.remote.paths import RemotePath
from headstart.types import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headstart.data.file_kinds import FileKind

USUAL_NAMES = SplitNames({})
NO_LABEL = frozenset(("unsup", "unsupervised", "unlabeled", "unlabelled"))
"""Folders beside class folders whose samples have no label, where no split but train has one."""
OUTSIDE, BESIDE, UNWANTED = "outside the split folders", "beside the class folders", "left out by --split-map"
DEEPEST_BASE = 8
IN_NAME = re.compile(r"(?P<class>.*?[^\W\d_].*?)[ ._-]*\d+\.[^.]+")
"""A class, and the number of a file: ``cat.0.jpg``, ``Abyssinian_100.jpg``."""
_SURELY_IN_NAME = re.compile(r"[^\W\d_]\w*\.\d+\.[^.]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the folders above a file mean: the top one may be its split, the first one below its class.

    ``base`` is the folder that alone holds everything, with a slash. ``doubtful`` are top-level folders named like
    splits that are taken for classes, since others are not; ``splits`` those that are splits, as ``names`` has them;
    ``unlabelled`` folders beside classes that mean no label; ``closed`` those whose own files are beside their classes.
    """

    has_splits: bool
    has_classes: bool
    doubtful: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    names: SplitNames = USUAL_NAMES
    class_from: str = "auto"
    base: str = ""
    unlabelled: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    """The folders that are classes where the first below the split is one."""

    def meaning(self, folder: str) -> tuple[str | None, str | None]:
        """Split and class of the files in a folder (its path ends with a slash).

        Examples
        --------
        >>> Layout(has_splits=True, has_classes=True).meaning("dev/cats/2024/")
        ('validation', 'cats')
        """
        split, parts = self.parts(folder)
        if not self.has_classes or not parts or parts[0] in self.unlabelled or self.class_from == "name":
            return split, None
        chosen = {"last": parts[-1], "path": "/".join(parts)}
        return split, chosen.get(self.class_from, parts[0])

    def parts(self, folder: str) -> tuple[str | None, list[str]]:
        """Split of a folder, and the folders below that."""
        parts = folder.removeprefix(self.base).split("/")[:-1]
        split = self.names.of(parts.pop(0)) if self.has_splits and parts else None
        return split, parts

    def left_out(self, folder: str) -> str | None:
        """Why the files that lie in a folder itself are no samples."""
        if self.has_splits and (not folder.startswith(self.base) or folder == self.base):
            return OUTSIDE
        if folder in self.closed:
            return BESIDE
        return UNWANTED if self.has_splits and self.parts(folder)[0] == LEFT_OUT else None

    def is_unlabelled(self, folder: str) -> bool:
        """Whether a folder means that its samples have no label."""
        return (
            bool(self.unlabelled)
            and self.parts(folder)[1][:1] != []
            and (self.parts(folder)[1][0] in self.unlabelled)
        )


def layout_of(
    root: Path, names: SplitNames = USUAL_NAMES, kind: FileKind = IMAGES, class_from: str = "auto"
) -> Layout:
    """Look at the top of a tree of files, and below only as far as the first of the kind.

    Raises
    ------
    ConfigError
        Beside folders that are splits lies one of an unknown name, or two of them mean one split.
    """
    base = _base(root, names, kind)
    found = _layout_below(root / base, names, kind, class_from, root)
    return replace(found, base=base, closed=tuple(base + folder for folder in found.closed))


def _base(root: Path, names: SplitNames, kind: FileKind) -> str:
    """The folder that alone holds everything, if what it holds are splits or classes; it is no class itself."""
    base = ""
    for _ in range(DEEPEST_BASE):
        tops = _holding(root / base, kind)
        if len(tops) != 1 or names.of(tops[0]) or _has_samples(root / base, kind):
            break
        base += f"{tops[0]}/"
        below = _holding(root / base, kind)
        if any(map(names.of, below)) or (len(below) > 1 and not _has_samples(root / base, kind)):
            return base
    return ""


def _has_samples(folder: Path, kind: FileKind) -> bool:
    """Whether files beside the folders in a folder are samples: texts there speak of the folders."""
    return kind.modality != "text" and bool(_own_files(folder, kind))


def _layout_below(root: Path, names: SplitNames, kind: FileKind, class_from: str, said: Path) -> Layout:
    named = [name for name in folders_in(root) if names.of(name)]
    holding = _holding(root, kind)
    splits, others = [n for n in holding if names.of(n)], [n for n in holding if not names.of(n)]
    below = {top: _holding(root / top, kind) for top in splits}
    labelled = any(below.values())
    # A folder "train" beside a folder "bus" is a class; beside "test", or with classes in it, it is a split.
    if (
        (named and not others)
        or (others and labelled and splits)
        or len(splits) > 1
        or _are_likely_splits(splits, others, names)
    ):
        names.check([*splits, *others], said)
        unlabelled = _unlabelled(below, names)
        closed = [f"{top}/" for top, classes in below.items() if classes and kind.modality == "text"]
        by_name = _name_says(root, [top for top in splits if names.of(top) == SPLITS[0]], kind, class_from)
        rule = "name" if by_name and not labelled else class_from
        classes = tuple(dict.fromkeys(chain.from_iterable(below.values())))
        return Layout(
            True, labelled or by_name, (), tuple(splits), names, rule, "", unlabelled, tuple(closed), classes
        )
    by_name = not holding and _name_says(root, [""], kind, class_from)
    unlabelled = _unlabelled({"": holding}, names)
    closed = [""] if holding and kind.modality == "text" else []
    rule = "name" if by_name else class_from
    return Layout(
        False,
        bool(holding) or by_name,
        tuple(named),
        (),
        names,
        rule,
        "",
        unlabelled,
        tuple(closed),
        tuple(holding),
    )


def _are_likely_splits(splits: list[str], others: list[str], names: SplitNames) -> bool:
    """Whether folders of unknown names are meant as splits, such as ``test1`` beside ``train``: never as classes."""
    hints = {*filter(None, map(names.hint, others)), *filter(None, map(names.of, splits))}
    return bool(others) and all(map(names.hint, others)) and len(hints) > 1


def _unlabelled(below: Mapping[str, list[str]], names: SplitNames) -> tuple[str, ...]:
    """Class folders that mean no label: train alone has them, beside others."""
    elsewhere = {
        name for top, classes in below.items() if names.of(top) not in (SPLITS[0], None) for name in classes
    }
    found = {
        name
        for classes in below.values()
        for name in classes
        if plain(name) in NO_LABEL and name not in elsewhere and len(classes) > 1
    }
    return tuple(sorted(found))


def _name_says(root: Path, tops: list[str], kind: FileKind, class_from: str) -> bool:
    """Whether the names of the files in these folders say their classes."""
    if class_from == "name":
        return True
    names = [name for top in tops for name in _own_files(root / top, kind)]
    if class_from != "auto" or not names or not all(map(_SURELY_IN_NAME.fullmatch, names)):
        return False
    counts = Counter(class_in(name) for name in names)
    return len(counts) > 1 and min(counts.values()) > 1


def class_in(name: str) -> str | None:
    """The class that a file's name begins with.

    Examples
    --------
    >>> class_in("cat.0.jpg"), class_in("Abyssinian_100.jpg"), class_in("12.jpg")
    ('cat', 'Abyssinian', None)
    """
    found = IN_NAME.fullmatch(name)
    return found["class"] if found else None


def holds(folder: Path, kind: FileKind = IMAGES) -> bool:
    """Whether there is a file of the kind in a folder, at any depth; a link to a folder above it holds none."""
    if isinstance(folder, RemotePath):
        return any(kind.accepts(os.path.basename(name)) for name in folder.below() if "/." not in f"/{name}")
    seen = {identity_of(str(above)) for above in list(folder.parents)[:DEEPEST_BASE]}
    pending = [str(folder)]
    while pending:
        path = pending.pop()
        identity = identity_of(path)
        if identity in seen:
            continue
        seen.add(identity)
        for name, is_folder in entries_in(path):
            if is_folder:
                pending.append(os.path.join(path, name))
            elif kind.accepts(name):
                return True
    return False


def _holding(folder: Path, kind: FileKind) -> list[str]:
    return [name for name in folders_in(folder) if holds(folder / name, kind)]


def _own_files(folder: Path, kind: FileKind) -> list[str]:
    return [name for name, is_folder in entries_in(folder) if not is_folder and kind.accepts(name)]
