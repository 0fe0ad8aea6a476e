"""The labels of samples as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.tasks import open_task

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.types import LabelKind

LABEL = "label:"


@dataclass(frozen=True, slots=True)
class Labels:
    """One label column of N samples.

    Parameters
    ----------
    y : ndarray
        By ``kind``, as `LabelledSamples` says.
    names : tuple of str
        The label names in order; none for regression.
    """

    y: NDArray[Any]
    names: tuple[str, ...]
    kind: LabelKind


def encode_labels(column: pa.ChunkedArray, names: Sequence[str], kind: LabelKind) -> NDArray[Any]:
    """A label column as numbers; see `LabelledSamples`.

    Examples
    --------
    >>> import pyarrow as pa
    >>> column = pa.chunked_array([[["a", "b"], [], None]])
    >>> encode_labels(column, ["a", "b"], "multi").tolist()
    [[1, 1], [0, 0], [-1, -1]]
    """
    return open_task(kind).encode(column, names)
