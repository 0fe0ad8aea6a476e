"""From a batch of prepared samples to features: one forward pass, every tap of it, cast to be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.backbones.pooling import display_tap, read_tap, reads_of
from headstart.errors import StorageError
from headstart.types import Tokens

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.contracts import FrozenModel
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.reading import Item
    from headstart.types import StoredDtype

Batch: TypeAlias = "Mapping[str, torch.Tensor]"
Forward: TypeAlias = "Callable[[Batch], list[torch.Tensor | Tokens]]"
"""A batch on its device to what each tap reads of it."""

NOT_FINITE = "the backbone gave NaN or infinity"
FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class SpaceFeatures:
    """Features for one space.

    Parameters
    ----------
    space : int
        Its number in the plan.
    positions : ndarray of int64, shape (n,)
        In the plan's ``todo``.
    values : ndarray of float16 or float32, shape (n, D), or (T, D) where they are ragged
    lengths : ndarray of int64, shape (n,), optional
        Where they are ragged: how many rows each sample has.
    """

    space: int
    positions: NDArray[np.int64]
    values: NDArray[Any]
    lengths: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class SampleFailure:
    """A sample that gave no feature.

    Parameters
    ----------
    position : int
        In the plan's ``todo``.
    reason : str
    is_permanent : bool
    spaces : sequence of int
        The numbers of the spaces that lack it.
    """

    position: int
    reason: str
    is_permanent: bool
    spaces: Sequence[int]


def eager_forward(model: FrozenModel, taps: Sequence[str]) -> Forward:
    """The model's own forward pass, and each tap of it."""
    reads = reads_of(taps)

    def forward(batch: Batch) -> list[torch.Tensor | Tokens]:
        activations = model.forward(batch, reads)
        return [read_tap(activations, tap) for tap in taps]

    return forward


class FeatureCaster:
    """Turns what a batch gave into features to store, and finds what must not be stored.

    Parameters
    ----------
    plan : ExtractionPlan
    stored : {"float16", "float32"}
    """

    def __init__(self, plan: ExtractionPlan, stored: StoredDtype) -> None:
        self._plan = plan
        self._stored = np.dtype(stored)

    def cast(
        self, items: Sequence[Item], outputs: Sequence[torch.Tensor | Tokens]
    ) -> tuple[list[SpaceFeatures], list[SampleFailure]]:
        """Features by space, and the samples whose features are not finite.

        Parameters
        ----------
        items : sequence of Item
            The batch.
        outputs : sequence of Tensor or Tokens
            One a tap.

        Raises
        ------
        StorageError
            A value is more than float16 can hold.
        """
        positions = np.array([item.position for item in items], dtype=np.int64)
        views = np.array([item.view for item in items])
        features: list[SpaceFeatures] = []
        failures: list[SampleFailure] = []
        for tap, output in enumerate(outputs):
            values, lengths = _to_numpy(output)
            good = _finite_rows(values, lengths)
            failures += [
                SampleFailure(
                    int(positions[i]), NOT_FINITE, True, [int(views[i]) * len(self._plan.taps) + tap]
                )
                for i in np.flatnonzero(~good).tolist()
            ]
            for view in np.unique(views).tolist():
                chosen = good & (views == view)
                kept, kept_lengths = _select(values, lengths, chosen)
                space = view * len(self._plan.taps) + tap
                features.append(SpaceFeatures(space, positions[chosen], self._cast(kept, tap), kept_lengths))
        return features, failures

    def _cast(self, values: NDArray[np.float32], tap: int) -> NDArray[Any]:
        if self._stored == np.float16 and values.size and float(np.abs(values).max()) > FLOAT16_MAX:
            raise StorageError(
                f"a feature of {display_tap(self._plan.taps[tap])} is {float(np.abs(values).max()):.3g}, more "
                f"than float16 can hold ({FLOAT16_MAX:g}); run again with --dtype float32"
            )
        return values.astype(self._stored, copy=False)


def _to_numpy(output: torch.Tensor | Tokens) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    if isinstance(output, Tokens):
        lengths: NDArray[np.int64] = output.lengths.cpu().numpy().astype(np.int64)
        return _copied(output.values), lengths
    return _copied(output), None


def _copied(tensor: torch.Tensor) -> NDArray[np.float32]:
    # It waits to be written while the model goes on: one that computes into the same memory each time would
    # rewrite it, and the class token of a long text would keep all of its tokens in memory.
    return np.array(tensor.float().cpu().numpy(), order="C")


def _finite_rows(values: NDArray[np.float32], lengths: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    finite: NDArray[np.bool_] = np.all(np.isfinite(values), axis=1)
    if lengths is None or finite.all():
        return finite if lengths is None else np.ones(len(lengths), dtype=bool)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    good: NDArray[np.bool_] = np.bincount(owners[~finite], minlength=len(lengths)) == 0
    return good


def _select(
    values: NDArray[np.float32], lengths: NDArray[np.int64] | None, chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    if chosen.all():
        return values, lengths
    if lengths is None:
        return values[chosen], None
    return values[np.repeat(chosen, lengths)], lengths[chosen]
