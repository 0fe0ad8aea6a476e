"""From texts to token ids: the prompt, the cut, long texts in linear time; and what decides how a text is cut up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from headstart.backbones.images import change_texts
from headstart.errors import SampleError

if TYPE_CHECKING:
    from headstart.contracts import Change
    from headstart.types import Payload


CHARACTERS_A_TOKEN = 32  # more than any usual text has
MARGIN = 2  # so many times the tokens that are kept: the end of what was cut off cannot reach them
GROWTH = 4
CHANNELS = ("input_ids", "token_type_ids")
_PLAIN = ("vocab.txt", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json")
# What these say of a tokenizer changes no token: where it came from, and what it is padded to.
_INERT = {
    "name_or_path",
    "tokenizer_file",
    "special_tokens_map_file",
    "transformers_version",
    "processor_class",
    "model_max_length",
    "max_length",
    "padding_side",
    "truncation",
    "padding",
    "stride",
    "pad_to_multiple_of",
}


@dataclass(frozen=True, slots=True)
class TextInput:
    """How texts become token ids."""

    tokenizer: Any  # of transformers
    max_length: int  # tokens a text, or a pair, is cut to
    prompt: str = ""  # put before every text; of a pair before the first

    def __post_init__(self) -> None:
        # A fast tokenizer is told the length when it is first asked, and not while another thread works.
        self._encode(["a"], None)

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Token ids of each text, not padded yet, or why there are none.

        A change sees a text before the prompt, and of its tokens neither those of the prompt nor special
        ones.
        """
        if changes is None:
            return self._rows(payloads, [None] * len(payloads))
        prepared: list[Any] = list(change_texts(payloads, changes))
        usable = [row for row, part in enumerate(prepared) if not isinstance(part, SampleError)]
        if usable:
            rows = self._rows([prepared[row] for row in usable], [changes[row] for row in usable])
            for row, part in zip(usable, rows, strict=True):
                prepared[row] = part
        return prepared

    def prompt_length(self) -> int:
        """The tokens of the prompt with what stands before it, as sentence-transformers counts them."""
        if not self.prompt:
            return 0
        ids = self._encode([self.prompt], None)["input_ids"][0]
        return len(ids) - (bool(ids) and ids[-1] in self.tokenizer.all_special_ids)

    def _rows(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None]
    ) -> list[dict[str, list[int]] | SampleError]:
        """Token ids of texts and pairs that are changed as texts already."""
        first = [payload if isinstance(payload, str) else payload[0] for payload in payloads]
        second = [payload[1] for payload in payloads if isinstance(payload, tuple)]
        try:
            encoded = self._encode(
                [self._shortened(self.prompt + str(text)) for text in first],
                [self._shortened(text) for text in second] or None,
            )
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            if len(payloads) == 1:
                return [_refusal(payloads[0], error)]
            alone = zip(payloads, changes, strict=True)
            return [self._rows([payload], [change])[0] for payload, change in alone]
        names = [name for name in encoded if name in CHANNELS]
        rows = [{name: encoded[name][row] for name in names} for row in range(len(payloads))]
        if any(change is not None for change in changes):
            self._change_tokens(rows, encoded, changes)
        return [row if row["input_ids"] else SampleError("the text has no tokens") for row in rows]

    def _change_tokens(
        self, rows: list[dict[str, list[int]]], encoded: Any, changes: Sequence[Change | None]
    ) -> None:
        """Let each change at the ids of its row that come after the prompt."""
        mask = self.tokenizer.special_tokens_map.get("mask_token")  # `mask_token_id` logs an error for None
        mask_id = None if mask is None else self.tokenizer.convert_tokens_to_ids(mask)
        special = frozenset(self.tokenizer.all_special_ids)
        for number, (row, change) in enumerate(zip(rows, changes, strict=True)):
            if change is not None:
                ids, start = row["input_ids"], self._text_begins(encoded, number)
                row["input_ids"] = [*ids[:start], *change.tokens(ids[start:], special, mask_id)]

    def _text_begins(self, encoded: Any, row: int) -> int:
        """The place of the first token that is not of the prompt."""
        if not self.prompt:
            return 0
        if not self.tokenizer.is_fast:
            return self.prompt_length()
        # Not `prompt_length`: a blank that ends the prompt may be a token alone, and part of one before a text.
        encoding, end = encoded.encodings[row], len(self.prompt.rstrip())
        spans = zip(encoding.sequence_ids, encoding.offsets, strict=True)
        places = (place for place, (of, span) in enumerate(spans) if of == 0 and span[0] >= end)
        return next(places, len(encoding.offsets))

    def _encode(self, first: list[str], second: list[str] | None) -> Any:
        return self.tokenizer(
            first, second, truncation=True, max_length=self.max_length, return_attention_mask=False
        )

    def _shortened(self, text: str) -> str:
        """The beginning of a long text, with more tokens than are kept.

        A tokenizer cuts a pair into all pieces of the first with all of the second: two texts of 100,000
        characters took 18 s, and grew with the square.
        """
        size = CHARACTERS_A_TOKEN * self.max_length
        while size < len(text):
            head = text[:size].rpartition(" ")[0] or text[:size]
            if self._n_tokens(head) >= MARGIN * self.max_length:
                return head
            size *= GROWTH
        return text

    def _n_tokens(self, text: str) -> int:
        if not self.tokenizer.is_fast:
            return len(self.tokenizer.tokenize(text))
        # Of the tokenizer's core, for its wrapper would change the length that other threads rely on.
        encoding = self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
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


def _refusal(payload: Payload, error: Exception) -> SampleError:
    for text in (payload,) if isinstance(payload, str) else payload:
        try:
            str(text).encode("utf-8")
        except UnicodeEncodeError as bad:
            code = ord(bad.object[bad.start])
            return SampleError(
                f"the text has half a character (a lone surrogate, U+{code:04X}) at place {bad.start}"
            )
    return SampleError(f"the text cannot be tokenised: {error}")


def tokenizer_digest(files: Iterable[Path]) -> str:
    """BLAKE2b-128, in hex, of the files that make a tokenizer, whatever else lies beside them."""
    files = list(files)
    if any(path.name == "tokenizer.json" for path in files):
        # It holds all of the others; whether they lie beside it depends on who saved the model.
        files = [path for path in files if path.name in ("tokenizer.json", "tokenizer_config.json")]
    digest = blake2b(digest_size=16)
    for path in sorted(files, key=lambda path: path.name):
        if path.name in ("tokenizer.json", "tokenizer_config.json"):
            content = _without_inert(path)
        elif path.name in _PLAIN or path.suffix in (".model", ".spm"):
            content = path.read_bytes()
        else:
            continue
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _without_inert(path: Path) -> bytes:
    raw = path.read_bytes()
    try:
        value = json.loads(raw)
        return rfc8785.dumps({name: part for name, part in value.items() if name not in _INERT})
    except (ValueError, AttributeError, rfc8785.CanonicalizationError):
        return raw
