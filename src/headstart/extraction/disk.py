"""How many bytes the tokens of pairs will take, said before the work begins; and whether the disk has room for them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from headstart.backbones.pooling import PLACES, is_ragged
from headstart.errors import SampleError, StorageError
from headstart.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.contracts import Progress
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.plan import ExtractionPlan
    from headstart.types import Payload

COUNTED = 20_000
"""Samples that are counted; of more, so many of them, evenly spread."""
FEW = 32
"""Fewer are not worth the time that counting takes."""
AT_ONCE = 256
WORTH_SAYING = 10 << 20
SHARE = 0.95
"""Of the bytes that are free at most so many are taken: shards are written beside each other."""


@runtime_checkable
class SizesTokens(Protocol):
    """A backbone that knows how much it will give."""

    @property
    def width(self) -> int:
        """Of each token's vector."""

    def count_tokens(self, payloads: Sequence[Payload]) -> list[int]:
        """How many tokens each has; 0: it has none."""


def check_disk(plan: ExtractionPlan, opened: OpenedBackbone, progress: Progress) -> None:
    """Say how many bytes the tokens of pairs take that are read in windows.

    Raises
    ------
    StorageError
        The disk has not so many left.
    """
    if PLACES not in plan.taps or len(plan.todo) < FEW:
        return
    backbone = opened.backbone()
    if not isinstance(backbone, SizesTokens):
        return
    n_bytes = int(_tokens_of(plan, backbone) * _bytes_a_token(plan, backbone.width))
    root = opened.cache.root
    free = shutil.disk_usage(next(path for path in (root, *root.parents) if path.exists())).free
    said = (
        f"the tokens of {counted(len(plan.todo), 'question')} with their contexts take about {_size(n_bytes)}"
    )
    if n_bytes > SHARE * free:
        raise StorageError(
            f"{said}, and {root} has {_size(free)} left; free room, choose another --cache, store them as "
            "--dtype float16, or take a narrower backbone or fewer questions"
        )
    if n_bytes > WORTH_SAYING:
        progress.say(f"{said} of the {_size(free)} that are left")


def _bytes_a_token(plan: ExtractionPlan, width: int) -> int:
    n_bytes = 0
    for space, tap in zip(plan.spaces, plan.taps, strict=False):
        size = 2 if space.recipe.entries["stored"] == "float16" else 4
        n_bytes += size * (2 if tap == PLACES else width) * is_ragged(tap)
    return n_bytes


def _tokens_of(plan: ExtractionPlan, backbone: SizesTokens) -> float:
    """The tokens of all that is to do; if it is much, as a few of them have it."""
    n = len(plan.todo)
    rows = plan.todo[np.linspace(0, n - 1, min(n, COUNTED)).astype(np.int64)]
    total = 0
    for start in range(0, len(rows), AT_ONCE):
        payloads = []
        for row in rows[start : start + AT_ONCE].tolist():
            try:
                payloads.append(plan.source.payload(row))
            except SampleError:
                continue  # whoever computes it says why
        total += sum(backbone.count_tokens(payloads)) if payloads else 0
    return total / len(rows) * n


def _size(n_bytes: float) -> str:
    """Bytes as people say them.

    Examples
    --------
    >>> _size(174_300_000), _size(22_100_000_000)
    ('174 MB', '22.1 GB')
    """
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"
