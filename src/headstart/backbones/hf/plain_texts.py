"""Texts as batches of token ids without torch: what `FrozenTextModel` makes of them on a CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.hf.plain_tokenizer import PlainTokenizer
from headstart.backbones.hf.tokens import TextInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Change
    from headstart.errors import SampleError
    from headstart.types import Json, Payload


CORE = "tokenizer.json"


class PlainTexts:
    """Texts cut, counted and padded as a `FrozenTextModel` or the text side of a dual encoder does it.

    ``settings``, ``files``: as `headstart.backbones.hf.described_texts` gives them.
    """

    is_reentrant = True

    def __init__(self, settings: Mapping[str, Json], files: Mapping[str, bytes]) -> None:
        tokenizer = PlainTokenizer(settings["tokenizer"], files[CORE])
        self._input = TextInput(tokenizer, **settings["input"])
        self._names: list[str] | None = settings["names"]
        self._fill: dict[str, int] = settings["fill"]
        self._width: int | None = settings["width"]
        self._side: str = settings["side"]
        self._masks: dict[str, str] = settings["masks"]
        self.budget: int = settings["budget"]

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Token ids of each text, cut to the maximal length, not padded yet."""
        return self._input.prepare(payloads, changes)

    def length(self, prepared: Any) -> int:
        """The number of tokens."""
        return self._width or len(prepared["input_ids"])

    def collate(self, prepared: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """The batch, padded to the longest, or to the length that the model needs."""
        lengths = np.array([len(row["input_ids"]) for row in prepared])
        places = np.arange(self._width or lengths.max())
        real = places < lengths[:, None]
        if self._side == "left":
            real = real[:, ::-1]
        batch = {}
        for name in prepared[0]:
            if self._names is None or name in self._names:
                batch[name] = np.full(real.shape, self._fill.get(name, 0), np.int64)
                batch[name][real] = np.concatenate([row[name] for row in prepared])
        return batch | {name: real.astype(dtype) for name, dtype in self._masks.items()}
