"""From texts to token ids: the prompt, the cut or the windows, long texts in linear time; what decides the ids."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import rfc8785

from headstart.backbones.hf.passages import passage_windows
from headstart.backbones.images import change_texts
from headstart.errors import SampleError
from headstart.token_rows import TokenRow, Windows

if TYPE_CHECKING:
    from tokenizers import Encoding

    from headstart.contracts import Change
    from headstart.types import Payload


CHARACTERS_A_TOKEN = 32  # more than any usual text has
MARGIN = 2  # so many times the tokens that are kept: the end of what was cut off cannot reach them
GROWTH = 4
COUNTED = 4096  # characters of a text that is counted to its end, although only its beginning is needed
OVERLAP = 4  # windows share one of so many parts of the room that a text has in them
CHANNELS = ("input_ids", "token_type_ids")
MASK_OF_SPECIAL = "special_tokens_mask"
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
class Encoded:
    """What a tokenizer makes of texts."""

    inputs: Mapping[str, Sequence[Sequence[int]]]  # a row for each text, by the name of each input
    encodings: (
        Sequence[Encoding] | None
    )  # what says where a token comes from; of slow tokenizers there is none


class Tokenizer(Protocol):
    """What `TextInput` asks of a tokenizer: that of transformers, or its core alone."""

    @property
    def special_ids(self) -> frozenset[int]:
        """The ids of its special tokens."""

    @property
    def mask_id(self) -> int | None:
        """The token that stands for a hidden one; None: it has none."""

    def n_special(self, pair: bool) -> int:
        """How many special tokens stand around a text, or a pair."""

    def n_alone(self, text: str) -> int:
        """The tokens of a text, without special ones."""

    def encode(self, first: list[str], second: list[str] | None, max_length: int | None) -> Encoded:
        """Ids of texts, or of pairs, cut to a length; None: uncut, with `MASK_OF_SPECIAL` among the inputs."""


@dataclass(frozen=True, slots=True)
class TextInput:
    """How texts become token ids."""

    tokenizer: Tokenizer
    max_length: int  # tokens a text, or a pair, is cut to
    prompt: str = ""  # put before every text; of a pair before the first
    in_windows: bool = False  # a longer text is read in overlapping parts, and not cut
    is_passage: bool = False  # these are pairs, whose second text is read in parts; see `passage_windows`

    def __post_init__(self) -> None:
        # A tokenizer is told the length when it is first asked, and not while another thread works.
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

    def _around(self, encoded: Encoded, row: int) -> tuple[int, int]:
        """How many tokens stand before a text, those of the prompt among them, and how many behind it."""
        mask = encoded.inputs[MASK_OF_SPECIAL][row]
        texts = [place for place, is_special in enumerate(mask) if not is_special] or [len(mask)]
        return self._text_begins(encoded, row) if self.prompt else texts[0], len(mask) - 1 - texts[-1]

    def prompt_length(self) -> int:
        """The tokens of the prompt with what stands before it, as sentence-transformers counts them."""
        if not self.prompt:
            return 0
        ids = self._encode([self.prompt], None).inputs["input_ids"][0]
        return len(ids) - (bool(ids) and ids[-1] in self.tokenizer.special_ids)

    def _rows(self, payloads: Sequence[Payload], changes: Sequence[Change | None]) -> list[Any | SampleError]:
        """Token ids of texts and pairs that are changed as texts already."""
        whole = [self._texts_of(payload) for payload in payloads]
        try:
            given = whole if self.in_windows else [tuple(map(self._shortened, texts)) for texts in whole]
            encoded = self._encode(
                [texts[0] for texts in given], [texts[1] for texts in given if len(texts) > 1] or None
            )
            cut = [row for row, read in enumerate(given) if read != whole[row]]
            counts = {row: self._n_of_long(whole[row]) for row in cut}
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            if len(payloads) == 1:
                return [_refusal(payloads[0], error)]
            alone = zip(payloads, changes, strict=True)
            return [self._rows([payload], [change])[0] for payload, change in alone]
        channels = {name: part for name, part in encoded.inputs.items() if name in CHANNELS}
        rows = [
            TokenRow(
                {name: part[row] for name, part in channels.items()}, self._n_tokens(encoded, row, texts)
            )
            for row, texts in enumerate(given)
        ]
        if any(change is not None for change in changes):
            self._change_tokens(rows, encoded, changes)
        for number, n in counts.items():
            rows[number].n_tokens = n or -rows[number].n_tokens
        prepared = (
            self._passages(rows, encoded)
            if self.is_passage
            else [self._in_windows(row, encoded, number) for number, row in enumerate(rows)]
        )
        usable = zip(rows, prepared, strict=True)
        return [part if row["input_ids"] else SampleError("the text has no tokens") for row, part in usable]

    def _passages(self, rows: Sequence[TokenRow], encoded: Encoded) -> list[Windows | SampleError]:
        """Pairs whose second text is read in parts, however short it is."""
        assert encoded.encodings is not None  # which the backbone looked at
        overlap = self.overlap
        pairs = zip(rows, encoded.encodings, strict=True)
        return [passage_windows(row, encoding, self.max_length, overlap) for row, encoding in pairs]

    def _texts_of(self, payload: Payload) -> tuple[str, ...]:
        """The text, or both of a pair; the prompt stands before the first."""
        parts = payload if isinstance(payload, tuple) else (payload,)
        return (self.prompt + str(parts[0]), *map(str, parts[1:]))

    def _n_tokens(self, encoded: Encoded, row: int, texts: Sequence[str]) -> int:
        """How many tokens a row had before it was cut."""
        kept = len(encoded.inputs["input_ids"][row])
        if self.in_windows or kept < self.max_length:
            return kept
        special = self.tokenizer.n_special(len(texts) > 1)
        if encoded.encodings is None:
            return max(kept, self._n_whole(texts))
        encoding = encoded.encodings[row]
        if len(texts) > 1:
            return _n_of_pair(encoding, special) or max(kept, self._n_whole(texts))
        # What was cut off is there already, in pieces that have special tokens of their own.
        return kept + sum(len(piece) - special for piece in encoding.overflowing)

    def _n_of_long(self, texts: Sequence[str]) -> int | None:
        """How many tokens texts have of which the beginning was read; None: they are too long to be counted."""
        return None if max(map(len, texts)) > COUNTED else self._n_whole(texts)

    def _n_whole(self, texts: Sequence[str]) -> int:
        """How many tokens a text, or a pair, has with its special ones."""
        return self.tokenizer.n_special(len(texts) > 1) + sum(map(self.tokenizer.n_alone, texts))

    def _in_windows(self, row: TokenRow, encoded: Encoded, number: int) -> TokenRow | Windows:
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
        self, rows: Sequence[TokenRow], encoded: Encoded, changes: Sequence[Change | None]
    ) -> None:
        """Let each change at the ids of its row that come after the prompt."""
        mask_id, special = self.tokenizer.mask_id, self.tokenizer.special_ids
        for number, (row, change) in enumerate(zip(rows, changes, strict=True)):
            if change is not None:
                ids, start = row["input_ids"], self._text_begins(encoded, number)
                row["input_ids"] = [*ids[:start], *change.tokens(ids[start:], special, mask_id)]

    def _text_begins(self, encoded: Encoded, row: int) -> int:
        """The place of the first token that is not of the prompt."""
        if not self.prompt:
            return 0
        if encoded.encodings is None:
            return self.prompt_length()
        # Not `prompt_length`: a blank that ends the prompt may be a token alone, and part of one before a text.
        encoding, end = encoded.encodings[row], len(self.prompt.rstrip())
        spans = zip(encoding.sequence_ids, encoding.offsets, strict=True)
        places = (place for place, (of, span) in enumerate(spans) if of == 0 and span[0] >= end)
        return next(places, len(encoding.offsets))

    def _encode(self, first: list[str], second: list[str] | None) -> Encoded:
        return self.tokenizer.encode(first, second, None if self.in_windows else self.max_length)

    def _shortened(self, text: str) -> str:
        """The beginning of a long text, with more tokens than are kept.

        A tokenizer cuts a pair into all pieces of the first with all of the second: two texts of 100,000
        characters took 18 s, and grew with the square.
        """
        size = CHARACTERS_A_TOKEN * self.max_length
        while size < len(text):
            head = text[:size].rpartition(" ")[0] or text[:size]
            if self.tokenizer.n_alone(head) >= MARGIN * self.max_length:
                return head
            size *= GROWTH
        return text


def _n_of_pair(encoding: Encoding, special: int) -> int | None:
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
