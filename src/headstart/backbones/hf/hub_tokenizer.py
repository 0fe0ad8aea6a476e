"""Tokenizers of transformers, as `TextInput` asks of them, and what is made of them before."""

from __future__ import annotations

from typing import Any

from headstart.backbones.hf.tokens import Encoded


class HubTokenizer:
    """A tokenizer of transformers, fast or slow.

    ``own``: as `AutoTokenizer` gives it.
    """

    def __init__(self, own: Any) -> None:
        self.own = own

    @property
    def special_ids(self) -> frozenset[int]:
        """The ids of its special tokens."""
        return frozenset(self.own.all_special_ids)

    @property
    def mask_id(self) -> int | None:
        """The token that stands for a hidden one."""
        mask = self.own.special_tokens_map.get("mask_token")  # `mask_token_id` logs an error for None
        return None if mask is None else int(self.own.convert_tokens_to_ids(mask))

    def n_special(self, pair: bool) -> int:
        """How many special tokens stand around a text, or a pair."""
        return int(self.own.num_special_tokens_to_add(pair=pair))

    def n_alone(self, text: str) -> int:
        """The tokens of a text, without special ones."""
        if not self.own.is_fast:
            return len(self.own.tokenize(text))
        # Of the tokenizer's core, for its wrapper would change the length that other threads rely on.
        return n_tokens_in_core(self.own.backend_tokenizer, text)

    def encode(self, first: list[str], second: list[str] | None, max_length: int | None) -> Encoded:
        """Ids of texts, or of pairs."""
        if max_length is None:
            made = self.own(
                first, second, return_attention_mask=False, return_special_tokens_mask=True, verbose=False
            )
        else:
            made = self.own(
                first, second, truncation=True, max_length=max_length, return_attention_mask=False
            )
        return Encoded(dict(made), made.encodings)


def n_tokens_in_core(core: Any, text: str) -> int:
    """The tokens of a text without special ones, those that a core cuts off among them.

    ``core``: a `tokenizers.Tokenizer`.
    """
    encoding = core.encode(text, add_special_tokens=False)
    return len(encoding.ids) + sum(len(piece.ids) for piece in encoding.overflowing)


def lower_cased(tokenizer: Any) -> bool:
    """Make a tokenizer turn texts into lower case first; False where it does so already.

    Source: ``do_lower_case`` of sentence-transformers 6.2, `base/modules/transformer.py`.
    """
    if not tokenizer.is_fast:
        was = bool(getattr(tokenizer, "do_lower_case", False))
        tokenizer.do_lower_case = True
        return not was
    from tokenizers.normalizers import Lowercase, Sequence

    core = tokenizer.backend_tokenizer
    own: Any = core.normalizer
    is_chain = isinstance(own, Sequence)
    steps = list(own) if is_chain else [own] if own is not None else []
    if any(isinstance(step, Lowercase) for step in steps):
        return False
    core.normalizer = Sequence([Lowercase(), *steps])
    return True


def puts_class_first(tokenizer: Any) -> bool:
    """Whether every text begins with the class token."""
    if tokenizer.cls_token_id is None:
        return False
    # Of the core where there is one: the wrapper would change the length that threads may rely on.
    ids = tokenizer.backend_tokenizer.encode("a").ids if tokenizer.is_fast else tokenizer("a")["input_ids"]
    return bool(ids) and ids[0] == tokenizer.cls_token_id
