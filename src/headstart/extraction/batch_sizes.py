"""The batch sizes that earlier runs on this machine arrived at, by model and length: a next run starts there."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import rfc8785

from headstart.devices import processor
from headstart.errors import StorageError
from headstart.files import make_directory, read_json, write_json
from headstart.places import machine_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headstart.extraction.inference import Layout
    from headstart.extraction.plan import ExtractionPlan
    from headstart.types import Json

ENTRIES = ("weights", "architecture", "compute")
"""Of a recipe: what a pass of the model costs depends on."""
RUNS = 2
"""So many runs in a row must have arrived at one size before no other is tried: one may have met a busy machine."""


class BatchSize(NamedTuple):
    """Where to start."""

    budget: int
    """What a batch may cost together."""
    is_sure: bool
    """Whether it is known well enough that no other is worth trying."""


@dataclass(frozen=True)
class BatchSizes:
    """What is known of one model as one runtime runs it, in one file of this machine."""

    path: Path

    def find(self, mean_cost: float) -> BatchSize | None:
        """Where runs ended whose samples cost about as much; None: there were none."""
        budgets = _budgets(self._read(), _about(mean_cost))
        return BatchSize(budgets[-1], len(budgets) == RUNS and len(set(budgets)) == 1) if budgets else None

    def remember(self, mean_cost: float, budget: int) -> None:
        """Keep where a run ended; what cannot be written costs the next run a trial."""
        known, about = self._read(), _about(mean_cost)
        with contextlib.suppress(StorageError, OSError):
            make_directory(self.path.parent)
            write_json(self.path, {**known, about: [*_budgets(known, about), budget][-RUNS:]})

    def _read(self) -> dict[str, Json]:
        try:
            found = read_json(self.path)
        except (OSError, StorageError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def batch_sizes_of(plan: ExtractionPlan, runs_as: str, layout: Layout) -> BatchSizes:
    """What is known of the model of a plan on this machine; ``runs_as``: the name of its runtime."""
    device = processor().id
    if layout.kind == "cuda":
        import torch

        device = torch.cuda.get_device_name(layout.device)
    entries = plan.spaces[0].recipe.entries
    model = [entries.get(name) for name in ENTRIES]
    parts = rfc8785.dumps([model, runs_as, device, layout.kind, layout.lanes, layout.threads])
    return BatchSizes(machine_dir() / "batches" / f"{blake2b(parts, digest_size=8).hexdigest()}.json")


def _budgets(known: Mapping[str, Json], about: str) -> list[int]:
    """Where the last runs ended, in their order; nothing where the file holds something else."""
    found = known.get(about)
    if not isinstance(found, list) or not all(type(one) is int and one > 0 for one in found):
        return []
    return found


def _about(mean_cost: float) -> str:
    """The power of two nearest to what a sample costs."""
    return str(2 ** round(math.log2(max(mean_cost, 1.0))))
