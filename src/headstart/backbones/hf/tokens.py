"""From texts to token ids: the prompt, the cut or the windows, long texts in linear time; what decides the ids."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from headstart.backbones.images import change_texts
from headstart.errors import SampleError
from headstart.types import TokenRow, Windows

if TYPE_CHECKING:
    from headstart.contracts import Change
    from headstart.types import Payload


CHARACTERS_A_TOKEN = 32  # more than any usual text has
MARGIN = 2  # so many times the tokens that are kept: the end of what was cut off cannot reach them
GROWTH = 4
OVERLAP = 4  # windows share one of so many parts of the room that a text has in them
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
    in_windows: bool = False  # a longer text is read in overlapping parts, and not cut

    def __post_init__(self) -> None:
        # A fast tokenizer is told the length when it is first asked, and not while another thread works.
        self._encode(["a"], None)

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """A `TokenRow` of each text, `Windows` where it is read in parts, or why there is none.

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

    @property
    def overlap(self) -> int:
        """How many tokens two windows share that are next to each other."""
        encoded = self._encode([self.prompt + "a"], None)
        begins, closing = self._around(encoded, 0)
        return (self.max_length - begins - closing) // OVERLAP

    def _around(self, encoded: Any, row: int) -> tuple[int, int]:
        """How many tokens stand before a text, those of the prompt among them, and how many behind it."""
        mask = encoded["special_tokens_mask"][row]
        texts = [place for place, is_special in enumerate(mask) if not is_special] or [len(mask)]
        return self._text_begins(encoded, row) if self.prompt else texts[0], len(mask) - 1 - texts[-1]

    def prompt_length(self) -> int:
        """The tokens of the prompt with what stands before it, as sentence-transformers counts them."""
        if not self.prompt:
            return 0
        ids = self._encode([self.prompt], None)["input_ids"][0]
        return len(ids) - (bool(ids) and ids[-1] in self.tokenizer.all_special_ids)

    def _rows(self, payloads: Sequence[Payload], changes: Sequence[Change | None]) -> list[Any | SampleError]:
        """Token ids of texts and pairs that are changed as texts already."""
        whole = [self._texts_of(payload) for payload in payloads]
        try:
            given = whole if self.in_windows else [tuple(map(self._shortened, texts)) for texts in whole]
            encoded = self._encode(
                [texts[0] for texts in given], [texts[1] for texts in given if len(texts) > 1] or None
            )
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            if len(payloads) == 1:
                return [_refusal(payloads[0], error)]
            alone = zip(payloads, changes, strict=True)
            return [self._rows([payload], [change])[0] for payload, change in alone]
        names = [name for name in encoded if name in CHANNELS]
        rows = [
            TokenRow({name: encoded[name][row] for name in names}, self._n_tokens(encoded, row, texts))
            for row, texts in enumerate(given)
        ]
        if any(change is not None for change in changes):
            self._change_tokens(rows, encoded, changes)
        for row, (read, texts) in zip(rows, zip(given, whole, strict=True), strict=True):
            if read != texts:  # there are more than were looked at
                row.n_tokens = -row.n_tokens
        prepared = [self._in_windows(row, encoded, number) for number, row in enumerate(rows)]
        usable = zip(rows, prepared, strict=True)
        return [part if row["input_ids"] else SampleError("the text has no tokens") for row, part in usable]

    def _texts_of(self, payload: Payload) -> tuple[str, ...]:
        """The text, or both of a pair; the prompt stands before the first."""
        parts = payload if isinstance(payload, tuple) else (payload,)
        return (self.prompt + str(parts[0]), *map(str, parts[1:]))

    def _n_tokens(self, encoded: Any, row: int, texts: Sequence[str]) -> int:
        """How many tokens a row had before it was cut."""
        kept: int = len(encoded["input_ids"][row])
        if self.in_windows or kept < self.max_length:
            return kept
        special = int(self.tokenizer.num_special_tokens_to_add(pair=len(texts) > 1))
        if not self.tokenizer.is_fast:
            return max(kept, special + sum(map(self._n_alone, texts)))
        encoding = encoded.encodings[row]
        if len(texts) > 1:
            found = _n_of_pair(encoding, special)
            return found or max(kept, special + sum(map(self._n_alone, texts)))
        # What was cut off is there already, in pieces that have special tokens of their own.
        return kept + sum(len(piece) - special for piece in encoding.overflowing)

    def _in_windows(self, row: TokenRow, encoded: Any, number: int) -> TokenRow | Windows:
        """A row that is longer than the model takes, in parts of that length; each begins and ends as a text does."""
        n = len(row["input_ids"])
        if n <= self.max_length:
            return row
        begins, closing = self._around(encoded, number)
        room, last = self.max_length - begins - closing, n - closing
        starts = range(begins, last - self.overlap, room - self.overlap)
        spans = [(start, min(start + room, last)) for start in starts]

        def part(channel: Sequence[int], start: int, end: int) -> array[int]:
            return array("i", [*channel[:begins], *channel[start:end], *channel[last:]])

        rows = [
            TokenRow({name: part(channel, *span) for name, channel in row.items()}, row.n_tokens)
            for span in spans
        ]
        return Windows(rows, [end - start for start, end in spans], row.n_tokens)

    def _change_tokens(
        self, rows: Sequence[TokenRow], encoded: Any, changes: Sequence[Change | None]
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
        if self.in_windows:
            return self.tokenizer(
                first, second, return_attention_mask=False, return_special_tokens_mask=True, verbose=False
            )
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
            if self._n_alone(head) >= MARGIN * self.max_length:
                return head
            size *= GROWTH
        return text

    def _n_alone(self, text: str) -> int:
        """The tokens of a text, without special ones."""
        if not self.tokenizer.is_fast:
            return len(self.tokenizer.tokenize(text))
        # Of the tokenizer's core, for its wrapper would change the length that other threads rely on.
        encoding = self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        return len(encoding.ids) + sum(len(piece.ids) for piece in encoding.overflowing)


def _n_of_pair(encoding: Any, special: int) -> int | None:
    """How many tokens a pair has that was cut into all pieces of one text with all of the other; None: not clear.

    The lengths of the pieces say it: to tokenise both texts once more would take a twentieth of the model's own time.
    """
    pieces = [encoding, *encoding.overflowing]
    if len(pieces) == 1:
        return len(encoding)
    owners = encoding.sequence_ids
    if not {0, 1} <= set(owners):
        return None
    first, behind = owners.index(0), owners[::-1].index(1)
    starts = [piece.token_to_chars(first) for piece in pieces]
    ends = [piece.token_to_chars(len(piece) - 1 - behind) for piece in pieces]
    n_first, n_second = len(set(starts)), len(set(ends))  # in how many pieces either text was cut
    if n_first * n_second != len(pieces) or None in starts or None in ends:
        return None
    lengths = [len(piece) - special for piece in pieces]
    with_same = sum(n for n, start in zip(lengths, starts, strict=True) if start == starts[0])
    second: int = with_same - n_second * owners.count(0)
    return (sum(lengths) - n_first * second) // n_second + second + special


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
