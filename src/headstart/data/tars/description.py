"""What tars were taken for, in a line for the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headstart.tasks import open_task
from headstart.types import SPLITS

if TYPE_CHECKING:
    from headstart.data.tars.index import TarIndex
    from headstart.data.tars.roles import TarRoles
    from headstart.types import LabelColumn, LabelKind

_CONTENT = {
    "image": "images in {}",
    "text": "texts in {}",
    "image-text": "pairs of image and text in {} and {}",
}


@dataclass
class Found:
    """What a scan has found so far."""

    n_samples: int = 0
    n_ignored: int = 0
    is_complete: bool = False
    ignored: list[str] = field(default_factory=list)
    splits: set[str] = field(default_factory=set)
    labels: dict[str, set[str]] = field(default_factory=dict)

    def add(self, n_samples: int, split: str | None, labels: Mapping[str, LabelColumn]) -> None:
        """Some more samples of a split."""
        self.n_samples += n_samples
        self.splits.update([split] if split and n_samples else [])
        for name, column in labels.items():
            self.labels.setdefault(name, set()).update(open_task(column.kind).names_in(column.values))

    def ignore(self, index: TarIndex) -> None:
        """Members that belong to no sample."""
        self.n_ignored += index.n_ignored
        self.ignored = [*self.ignored, *index.ignored][:3]


def describe(n_tars: int, roles: TarRoles, kinds: Mapping[str, LabelKind], found: Found) -> str:
    """Content, labels, and after a scan the counts.

    Parameters
    ----------
    n_tars : int
    roles : TarRoles
    kinds : mapping of str to str
        By label.
    found : Found
    """
    tars = f"{n_tars:,} WebDataset tar{'' if n_tars == 1 else 's'}"
    counted = f"{tars}, {found.n_samples:,} samples" if found.is_complete else tars
    parts = [_CONTENT[roles.modality].format(*roles.names()), *(_label(name, kinds, found) for name in kinds)]
    if not kinds:
        parts.append("no labels")
    if found.splits:
        parts.append(f"splits {', '.join(split for split in SPLITS if split in found.splits)}")
    said = f"{counted}: {', '.join(parts)}"
    if not found.n_ignored:
        return said
    more = ", …" if found.n_ignored > len(found.ignored) else ""
    plural = "" if found.n_ignored == 1 else "s"
    return f"{said}; {found.n_ignored:,} other member{plural} ignored ({', '.join(found.ignored)}{more})"


def _label(name: str, kinds: Mapping[str, LabelKind], found: Found) -> str:
    task = open_task(kinds[name])
    if not task.has_names:
        return f"{task.noun} to predict in {name!r}"
    n = len(found.labels.get(name, ()))
    return f"labels in {name!r}" + (f" ({n:,} {task.counted})" if found.is_complete else "")
