"""What tasks say whose outputs are no classes: numbers, places in a text, texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

    from headstart.types import Payload


class TaskWithoutClasses:
    """Nothing to weigh, calibrate or name, and no row right as a whole; see `headstart.contracts.Task`."""

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
        return None

    def balanced_weights(self, targets: torch.Tensor, n_outputs: int) -> torch.Tensor | None:
        return None

    def logits(self, head: Any, X: Any) -> NDArray[Any] | None:
        return None

    def temperature(self, logits: NDArray[Any], true: NDArray[Any], classes: Sequence[str]) -> float:
        return 1.0

    def class_names(self, classes: Sequence[str], names: Sequence[str]) -> list[str]:
        return []

    def beside(self, columns: Mapping[str, pa.Array], payloads: Iterable[Payload]) -> dict[str, pa.Array]:
        return dict(columns)
