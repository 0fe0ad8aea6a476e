"""Texts that are longer than a backbone takes: how many there are, and what is done with them."""

from __future__ import annotations

from array import array
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pyarrow as pa

from headstart.arrow import keys_from_arrow, mask_of
from headstart.backbones.pooling import choose_taps
from headstart.backbones.portable import CountsTokens
from headstart.cache.token_counts import UNKNOWN
from headstart.errors import ConfigError, DataError, SampleError
from headstart.extraction.plan import spaces_for
from headstart.types import Failure, Precision, SampleBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from headstart.cache.space import Space
    from headstart.config import ExtractConfig
    from headstart.contracts import KeyMemo, Source
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.plan import ExtractionPlan
    from headstart.types import BackboneInfo, Grouping, Json, LabelKind, Modality, Payload

TEXTS = "texts"
NOUNS = {"text-pair": "pairs", "words": "sentences"}
SHOWN_IDS = 3
TEXTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class LongTexts:
    """How many texts are longer than a backbone takes."""

    max_length: int  # tokens
    samples: int
    longer: int  # samples
    longest: int  # tokens; 0 if no text is longer
    longest_is_more: bool  # the longest has even more: it was not counted to the end
    not_known: int  # samples of which nobody knows any more how long they are
    in_windows: bool  # they are read in parts, and not cut
    noun: str = TEXTS  # what they are called

    @property
    def is_worth_saying(self) -> bool:
        """Whether there is one, or may be."""
        return bool(self.longer or self.not_known)

    @property
    def entry(self) -> dict[str, Json]:
        """As ``set.json`` has it, without what is said beside it."""
        return {name: value for name, value in asdict(self).items() if name not in ("in_windows", "noun")}

    @property
    def entry_name(self) -> str:
        """What the entry is called."""
        return "windowed" if self.in_windows else "truncated"

    def __str__(self) -> str:
        done = "they are read in windows" if self.in_windows else "they are cut there"
        return f"{describe_long(self)}{f'; {done}' if self.longer else ''}"


def describe_long(found: LongTexts) -> str:
    """How many, and how long.

    Examples
    --------
    >>> describe_long(LongTexts(256, 3000, 412, 1803, False, 600, False))
    '412 of 3,000 texts are longer than 256 tokens; the longest has 1,803 (of 600 not known)'
    """
    are = "is" if found.longer == 1 else "are"
    said = f"{found.longer:,} of {found.samples:,} {found.noun} {are} longer than {found.max_length:,} tokens"
    if found.longer:
        said += f"; the longest has {'more than ' if found.longest_is_more else ''}{found.longest:,}"
    return said + (f" (of {found.not_known:,} not known)" if found.not_known else "")


def count_long(spaces: Sequence[Space], keys: NDArray[np.uint8]) -> LongTexts | None:
    """How many of the samples that have features are longer than the backbone takes; None: it reads no texts.

    ``spaces``: those of the taps of one backbone; no text is tokenised.
    """
    entries = spaces[0].recipe.entries
    most = entries.get("max_length")
    if not isinstance(most, int):
        return None
    counts = spaces[0].n_tokens(keys)
    for space in spaces[1:]:  # a tap that came later may know what one of an earlier version does not
        unknown = np.flatnonzero(counts == UNKNOWN)
        counts[unknown] = space.n_tokens(keys[unknown])
    unknown = np.flatnonzero(counts == UNKNOWN)
    n_unknown = int(spaces[0].held(keys[unknown]).sum()) if len(unknown) else 0
    return summarise(counts, most, n_unknown, "windows" in entries)


def summarise(
    counts: NDArray[np.int64], most: int, n_unknown: int = 0, in_windows: bool = False
) -> LongTexts:
    """The figures of counts, as `TokenCounts` gives them."""
    longer = np.abs(counts) > most
    longest = int(np.abs(counts).max(initial=0)) if longer.any() else 0
    return LongTexts(
        most, len(counts), int(longer.sum()), longest, bool((counts == -longest).any() and longest), n_unknown,
        in_windows,
    )  # fmt: skip


def long_of(plan: ExtractionPlan) -> LongTexts | None:
    """The same of the samples of a plan, as they are."""
    found = count_long([plan.spaces[number] for number in plan.spaces_of(0)], plan.samples.keys)
    return None if found is None else replace(found, noun=_noun(plan.source.modality))


def _noun(modality: Modality) -> str:
    return NOUNS.get(modality, TEXTS)


def check_on_long(on_long: str, info: BackboneInfo) -> None:
    """Refuse to say what to do with long texts where none is ever cut."""
    if on_long != "truncate" and info.max_length is None:
        raise ConfigError(
            f"--on-long {on_long} means nothing to {info.spec}, which cuts no text that headstart could measure; "
            "leave it out"
        )


class TokenCounter:
    """How many tokens texts have for one backbone: as its spaces remember, else as its tokenizer says."""

    def __init__(self, opened: OpenedBackbone, config: ExtractConfig) -> None:
        info, cache = opened.info, opened.cache
        taps = choose_taps(config.taps, info, config.normalize)
        self.spec = info.spec
        self.max_length = info.max_length or 0
        self._opened = opened
        self._spaces = [
            space
            for precision in get_args(Precision)
            for space in spaces_for(cache, info, taps, precision, config.dtype)
            if space.path.is_dir()
        ]
        self._found: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []

    def counts(self, source: Source, keys: NDArray[np.uint8], start: int) -> NDArray[np.int64]:
        """Of the samples from row ``start`` on, whose keys these are; see `TokenCounts`."""
        counts = np.full(len(keys), UNKNOWN, dtype=np.int64)
        for space in self._spaces:
            unknown = np.flatnonzero(counts == UNKNOWN)
            counts[unknown] = space.n_tokens(keys[unknown])
        unknown = np.flatnonzero(counts == UNKNOWN)
        for rows in np.split(unknown, range(TEXTS_AT_ONCE, len(unknown), TEXTS_AT_ONCE)):
            counts[rows] = self._tokenised(source, rows + start)
        longer = unknown[np.abs(counts[unknown]) > self.max_length]
        self._found.append((keys[longer], counts[longer]))
        return counts

    def _tokenised(self, source: Source, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        counts = np.full(len(rows), UNKNOWN, dtype=np.int64)
        backbone = self._opened.backbone()
        if not isinstance(backbone, CountsTokens):
            return counts
        payloads: dict[int, Payload] = {}
        for place, row in enumerate(rows.tolist()):
            try:
                payloads[place] = source.payload(row)
            except SampleError:
                continue  # whoever computes it says why
        if payloads:
            counts[list(payloads)] = backbone.count_tokens(list(payloads.values()))
        return counts

    def keep(self, spaces: Sequence[Space]) -> None:
        """Keep the counts of what was left out: nothing is computed of it, and the next command need not count it."""
        for keys, counts in self._found:
            for space in spaces:
                if len(keys) and space.recipe.entries.get("max_length") == self.max_length:
                    space.note_tokens(keys, counts)


class ShortTexts:
    """A source without the texts that are too long for a backbone, which are among the failures of its scan.

    With ``refuses`` there may be none: a `DataError` names the first of them.
    """

    def __init__(self, source: Source, counters: Sequence[TokenCounter], refuses: bool) -> None:
        self._source = source
        self._counters = counters
        self._refuses = refuses
        self._rows = array("q")
        self._long: list[Failure] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_counters": ()}  # a worker reads what is left

    @property
    def modality(self) -> Modality:
        return self._source.modality

    @property
    def rows_per_block(self) -> int | None:
        return self._source.rows_per_block

    @property
    def description(self) -> str:
        return self._source.description

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        return self._source.label_names

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        return self._source.label_kinds

    @property
    def found_columns(self) -> Mapping[str, str]:
        return self._source.found_columns

    @property
    def grouping(self) -> Grouping | None:
        return self._source.grouping

    @property
    def are_passages(self) -> bool:
        return self._source.are_passages

    @property
    def ignored(self) -> Mapping[str, int]:
        return self._source.ignored

    @property
    def streams(self) -> bool:
        return self._source.streams

    def read_ahead(self, row: int) -> None:
        """Of one that remains."""
        self._source.read_ahead(self._rows[row])

    def payload(self, row: int) -> Payload:
        return self._source.payload(self._rows[row])

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        start = 0
        self._counts: list[NDArray[np.int64]] = []
        for block in self._source.scan(memo):
            yield self._without_long(block, start)
            start += block.table.num_rows
        if self._refuses:
            self._refuse()

    def _without_long(self, block: SampleBlock, start: int) -> SampleBlock:
        table = block.table
        keys = keys_from_arrow(table.column("key"))
        counts = np.stack([counter.counts(self._source, keys, start) for counter in self._counters])
        most = np.array([counter.max_length for counter in self._counters])
        is_long = np.abs(counts) > most[:, None]
        self._counts.append(counts)
        kept: NDArray[np.bool_] = np.all(~is_long, axis=0)
        self._long += [
            _too_long(table, keys, row, counts[:, row], self._counters)
            for row in np.flatnonzero(~kept).tolist()
        ]
        if self._refuses and self._source.streams:
            self._refuse()  # the payloads of a stream are there but once: it is not read to its end first
        self._rows.extend((np.flatnonzero(kept) + start).tolist())
        if kept.all():
            return block
        failures = self._long[-int((~kept).sum()) :]
        return SampleBlock(table.filter(mask_of(kept)), [*block.failures, *failures])

    @property
    def left_out(self) -> str:
        """What the scan left out, for the user; empty if nothing was."""
        return f"{describe_long(self._found())}; they are left out" if self._long else ""

    def _found(self) -> LongTexts:
        counts = np.concatenate(self._counts, axis=1)
        place = next(n for n, c in enumerate(self._counters) if (np.abs(counts[n]) > c.max_length).any())
        found = summarise(counts[place], self._counters[place].max_length)
        return replace(found, noun=_noun(self.modality))

    def _refuse(self) -> None:
        if not self._long:
            return
        found = self._found()
        first = ", ".join(failure.id for failure in self._long[:SHOWN_IDS])
        raise DataError(
            f"{describe_long(found)}; the first: {first}; nothing of them was computed: --on-long truncate cuts them, "
            "windows reads all of them, skip leaves them out, and --max-length N takes more where the model does"
        )


def _too_long(
    table: pa.Table, keys: NDArray[np.uint8], row: int, counts: NDArray[np.int64],
    counters: Sequence[TokenCounter],
) -> Failure:  # fmt: skip
    """Why a sample is left out; it failed in no space, as another option, or another length, takes it."""
    n, counter = next((int(n), c) for n, c in zip(counts, counters, strict=True) if abs(n) > c.max_length)
    more = "more than " if n < 0 else ""
    return Failure(
        id=table.column("id")[row].as_py(),
        origin=table.column("origin")[row].as_py(),
        reason=f"it has {more}{abs(n):,} tokens, and {counter.spec} takes {counter.max_length:,} (--on-long skip)",
        key=keys[row].tobytes().hex(),
    )
