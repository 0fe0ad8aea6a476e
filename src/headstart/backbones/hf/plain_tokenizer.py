"""Fast tokenizers without transformers: their core, and a description of what the wrapper adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headstart.backbones.hf.hub_tokenizer import n_tokens_in_core
from headstart.backbones.hf.tokens import MASK_OF_SPECIAL, Encoded

if TYPE_CHECKING:
    from tokenizers import Encoding

    from headstart.types import Json


_ATTRIBUTES = {"input_ids": "ids", "token_type_ids": "type_ids", MASK_OF_SPECIAL: "special_tokens_mask"}


class PlainTokenizer:
    """What `HubTokenizer` is, made of a tokenizer's core.

    Parameters
    ----------
    description : mapping
        What the wrapper adds to it, as `headstart.backbones.hf.described_texts` says it.
    core_json : bytes
        The core, as ``tokenizer.json`` holds it.
    """

    def __init__(self, description: Mapping[str, Json], core_json: bytes) -> None:
        from tokenizers import Tokenizer as Core

        self._core = Core.from_buffer(core_json)
        self._core.no_padding()
        self._core.encode_special_tokens = description["split_special_tokens"]
        self._inputs: list[str] = description["inputs"]
        self._side: str = description["truncation_side"]
        self.special_ids = frozenset[int](description["special_ids"])
        self.mask_id: int | None = description["mask_id"]
        self._max_length: int | None = -1  # neither: the file may hold a length of its own

    def n_special(self, pair: bool) -> int:
        """How many special tokens stand around a text, or a pair."""
        return int(self._core.num_special_tokens_to_add(pair))

    def n_alone(self, text: str) -> int:
        """The tokens of a text, without special ones."""
        return n_tokens_in_core(self._core, text)

    def encode(self, first: list[str], second: list[str] | None, max_length: int | None) -> Encoded:
        """Ids of texts, or of pairs."""
        self._cut_at(max_length)
        texts: Any = first if second is None else list(zip(first, second, strict=True))
        encodings: list[Encoding] = self._core.encode_batch(texts)
        names = [*self._inputs, *([MASK_OF_SPECIAL] if max_length is None else [])]
        return Encoded(
            {name: [getattr(encoding, _ATTRIBUTES[name]) for encoding in encodings] for name in names},
            encodings,
        )

    def _cut_at(self, max_length: int | None) -> None:
        if max_length == self._max_length:
            return
        if max_length is None:
            self._core.no_truncation()
        else:
            self._core.enable_truncation(max_length, strategy="longest_first", direction=self._side)
        self._max_length = max_length
