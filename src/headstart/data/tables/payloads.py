"""The payloads of a table's samples, by their numbers: what an extraction needs of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.data.blocks import Yielded
from headstart.data.growing import READS_A_RELEASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from headstart.data.tables.content import Content
    from headstart.data.tables.parts import Joined
    from headstart.types import Modality, Payload


class TablePayloads:
    """Finds the payload of the n-th sample; other processes can be handed it.

    Parameters
    ----------
    joined : Joined
    content : Content
    modality : {"image", "text", "text-pair", "image-text"}
    """

    def __init__(self, joined: Joined, content: Content, modality: Modality) -> None:
        self.modality = modality
        self.rows_per_block = content.rows_per_block
        self._joined = joined
        self._content = content
        self._yielded: Yielded[Sequence[int] | NDArray[np.int64]] = Yielded()
        self._n_read = 0

    def restart(self) -> None:
        """Forget the samples: a scan begins."""
        self._yielded = Yielded()

    def append(self, rows: Sequence[int] | NDArray[np.int64]) -> None:
        """The rows of the table that the next samples are."""
        self._yielded.append(rows, len(rows))

    def payload(self, row: int) -> Payload:
        """The text, the bytes of the image, or the pair of the ``row``-th sample.

        Raises
        ------
        SampleError
            It cannot be read any more.
        """
        self._n_read += 1
        if self._n_read % READS_A_RELEASE == 0:
            self._joined.release()
        rows, place = self._yielded.find(row)
        return self._content.payload(int(rows[place]))
