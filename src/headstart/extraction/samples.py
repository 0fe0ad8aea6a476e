"""The samples of a set: scanned, with a limit on those that may fail; then labelled, with every split filled in."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import codes_by_name, keys_from_arrow, keys_to_arrow, names_by_code
from headstart.cache.layout import GROUP, LABEL
from headstart.cache.made_columns import with_made_columns
from headstart.cache.set_state import read_splits
from headstart.corrections.table import without
from headstart.data.growing import GrowingTable
from headstart.data.splits import NOT_GIVEN, complete_splits, count_shared, describe_making
from headstart.errors import ConfigError, DataError
from headstart.extraction.corrected import reapply, with_made_label
from headstart.groups import group_codes
from headstart.keys import (
    KEY_BYTES,
    contains,
    copies_among,
    first_by_key,
    pack,
    same_rows,
    search,
    slices,
    units_among,
    words,
)
from headstart.tasks import USUAL, open_task
from headstart.types import SPLITS, SampleBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from headstart.cache.corrections import Correction
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import KeyMemo, Progress, Source
    from headstart.extraction.corrected import Reapplied
    from headstart.keys import Copies
    from headstart.types import Failure, Grouping, Json, LabelKind


SHOWN_REASONS = 3
ENOUGH = 1000  # samples; a few bad ones at the beginning of a stream say nothing of its share
KEY = "key"
NAMES = ["id", "origin"]
AFTER_ID = 1


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many samples may fail."""

    n: float = math.inf  # in [0, inf]; infinity: any number
    share: float | None = None  # in [0, 1]: that share of the samples instead, once their number is known
    before: int = 0  # how many had failed before: those that the scan could not read

    @classmethod
    def parse(cls, text: str | int | None) -> FailureLimit:
        """What ``--max-failures`` says: a number, or a percentage.

        Raises `ConfigError` if it is neither.

        Examples
        --------
        >>> FailureLimit.parse("10").n, FailureLimit.parse("5%").share
        (10, 0.05)
        """
        if text is None:
            return NO_LIMIT
        try:
            if str(text).strip().endswith("%"):
                share = float(str(text).strip()[:-1]) / 100
                if not 0 <= share <= 1:
                    raise ValueError
                return cls(share=share)
            n = int(text)
            if n < 0:
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"--max-failures takes a number or a percentage, such as 100 or 5% (got {text!r})"
            ) from None
        return cls(n)

    def of(self, n_samples: int, failures: Sequence[Failure]) -> FailureLimit:
        """The limit for the rest of a run over so many samples, of which the scan refused some."""
        total = n_samples + len(failures)
        limit = FailureLimit(self.n if self.share is None else math.floor(self.share * total))
        limit.check(failures)
        return FailureLimit(limit.n, before=len(failures))

    def so_far(self, n_samples: int, failures: Sequence[Failure]) -> None:
        """Refuse to go on with a stream; a share is judged once there are enough samples to tell."""
        if self.share is None or n_samples + len(failures) >= ENOUGH:
            self.of(n_samples, failures)

    def check(self, failures: Sequence[Failure]) -> None:
        """Refuse to go on when too many samples have failed."""
        if self.n == math.inf:
            return
        n = self.before + len({(failure.id, failure.key) for failure in failures})
        if n > self.n:
            raise DataError(
                f"stopped: {n:,} samples have failed, more than --max-failures allows ({self.n:,}): "
                f"{_reasons(failures)}; what was computed is kept: mend the data, or raise the limit"
            )


NO_LIMIT = FailureLimit()


def _reasons(failures: Sequence[Failure]) -> str:
    counts = Counter(failure.reason for failure in failures)
    example = {failure.reason: failure.id for failure in reversed(failures)}
    shown = [
        f"{n:,} × {reason} (such as {example[reason]})" for reason, n in counts.most_common(SHOWN_REASONS)
    ]
    return "; ".join(shown) + ("; …" if len(counts) > SHOWN_REASONS else "")


@dataclass(frozen=True, slots=True)
class Samples:
    """All usable samples of a source, in its order."""

    table: pa.Table  # the columns of a `SampleBlock`, N rows
    keys: NDArray[np.uint8]
    failures: list[Failure]  # what the source could not read
    # What holds the table but for the keys, where it may be too large for the memory.
    rest: GrowingTable | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def __reduce__(self) -> tuple[Callable[..., Samples], tuple[Any, ...]]:
        # A worker names samples that fail, and needs no more.
        if self.rest is None:
            return Samples, (self.table.select(NAMES), self.keys, [])
        return _named, (self.rest, self.keys)

    def groups(self, n_rows: int) -> Iterator[pa.Table]:
        """The table, so many rows at a time, of which only the last ones are in memory."""
        for rows in slices(len(self), n_rows):
            yield self.table.slice(rows.start, rows.stop - rows.start)
            self.release()

    def release(self) -> None:
        """Give the memory of what was read of the table back to the system."""
        if self.rest is not None:
            self.rest.release()

    def corrected(self, table: pa.Table, left_out: Collection[int]) -> Samples:
        """The same with other labels, as a table of them has, and without some rows."""
        if not left_out:
            return replace(self, table=table)
        if len(left_out) == len(self):
            raise DataError(
                f"corrections drop all {len(self):,} samples that the data has; --drop-corrections ends them"
            )
        collector, out = SampleCollector(), sorted(left_out)
        collector.failures.extend(self.failures)
        for rows in slices(len(self)):
            low, high = bisect_left(out, rows.start), bisect_left(out, rows.stop)
            part = table.slice(rows.start, rows.stop - rows.start)
            collector.append(SampleBlock(without(part, [row - rows.start for row in out[low:high]])))
            self.release()
        return collector.samples()


def _named(rest: GrowingTable, keys: NDArray[np.uint8]) -> Samples:
    """The samples of another process."""
    return Samples(rest.whole().select(NAMES), keys, [], rest)


class SampleCollector:
    """Takes the blocks of a scan: the keys together, the other columns into a table that may grow large.

    ``failures``: those of all blocks.
    """

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._keys = bytearray()
        self._lengths: list[int] = []
        self._rest = GrowingTable()

    def append(self, block: SampleBlock) -> None:
        """Take the next block."""
        self.failures.extend(block.failures)
        # Copied: the keys of all samples stay, and must not keep alive what the block was made of.
        self._keys += keys_from_arrow(block.table.column(KEY)).tobytes()
        self._lengths.append(block.table.num_rows)
        self._rest.append(block.table.drop_columns([KEY]))

    def samples(self) -> Samples:
        """All samples; no block can come after that."""
        if not self._keys:
            detail = f": {self.failures[0].id}: {self.failures[0].reason}" if self.failures else ""
            raise DataError(f"no usable sample was found ({len(self.failures)} were skipped{detail})")
        keys = np.frombuffer(self._keys, dtype=np.uint8).reshape(-1, KEY_BYTES)
        table = self._rest.whole().add_column(AFTER_ID, KEY, self._key_column(keys))
        return Samples(table, keys, self.failures, self._rest)

    def _key_column(self, keys: NDArray[np.uint8]) -> pa.ChunkedArray:
        """The keys as a column that shares their memory, in the chunks that the blocks came in."""
        ends = np.cumsum([0, *self._lengths]).tolist()
        chunks = [keys_to_arrow(keys[start:end]) for start, end in pairwise(ends) if end > start]
        return pa.chunked_array(chunks, pa.binary(KEY_BYTES))


def register(source: Source, memo: KeyMemo, progress: Progress, limit: FailureLimit = NO_LIMIT) -> Samples:
    """Scan a source: ids, keys, splits and labels of every sample."""
    collector = SampleCollector()
    progress.begin("scanning", None)
    try:
        for block in source.scan(memo):
            collector.append(block)
            limit.check(collector.failures)
            progress.advance(block.table.num_rows)
    finally:
        progress.end()
    return collector.samples()


def samples_of(blocks: Iterable[SampleBlock]) -> Samples:
    """The blocks of a scan as one table."""
    collector = SampleCollector()
    for block in blocks:
        collector.append(block)
    return collector.samples()


@dataclass(frozen=True, slots=True)
class Labelled:
    """The samples of a set, with every split filled in."""

    samples: Samples
    splits: NDArray[np.int8]  # the split of each sample, as an index into ``SPLITS``
    labels: dict[str, list[str]]  # for each label column its names in order; none for regression
    kinds: dict[str, LabelKind]  # what the values of each label column are
    split: dict[str, Json]  # the seed, and what was made
    n_leaking: int  # keys that the data itself puts into more than one split
    again: Reapplied  # what became of the decisions that the set stands on

    @property
    def table(self) -> pa.Table:
        """All rows together."""
        return pa.concat_tables(self.groups(max(len(self.samples), 1)))

    def groups(self, n_rows: int) -> Iterator[pa.Table]:
        """The table of the set, so many rows at a time."""
        start = 0
        for group in self.samples.groups(n_rows):
            column = names_by_code(self.splits[start : start + group.num_rows], SPLITS)
            yield group.set_column(group.schema.get_field_index("split"), "split", column)
            start += group.num_rows

    def with_columns_of(self, earlier: FeatureSet | None) -> Labelled:
        """The same with columns of metadata that were made from features of an earlier state."""
        table = with_made_columns(self.samples.table, earlier)
        return (
            self if table is self.samples.table else replace(self, samples=replace(self.samples, table=table))
        )

    def counts(self) -> dict[str, int]:
        """Samples in all and in each split."""
        per_split = np.bincount(self.splits, minlength=len(SPLITS))
        return {"samples": len(self.samples), **dict(zip(SPLITS, per_split.tolist(), strict=True))}


def label_samples(
    samples: Samples,
    source: Source,
    earlier: FeatureSet | None,
    seed: int,
    corrections: Sequence[Correction] = (),
) -> Labelled:
    """Correct the labels that the data gives, order their names and complete the splits."""
    table = with_made_label(samples.table, corrections)
    columns = (name.removeprefix(LABEL) for name in table.column_names if name.startswith(LABEL))
    kinds = {name: source.label_kinds.get(name, USUAL) for name in columns}
    labels = {name: _names_in_order(table, source, name, kind) for name, kind in kinds.items()}
    again = reapply(table, corrections, labels, kinds)
    labels = {name: [*given, *again.classes.get(name, ())] for name, given in labels.items()}
    samples = samples.corrected(again.table, again.dropped)
    table = samples.table
    given = codes_by_name(table.column("split"), SPLITS, np.int8)
    samples.release()
    classes = _strata(table, labels, kinds)
    samples.release()
    copies = copies_among(samples.keys)
    grouping = _grouping(source, earlier)
    if grouping is None:
        before = _earlier(samples, copies, earlier, seed, kinds)
        splits = complete_splits(samples.keys, classes, given, before, seed, copies)
    else:
        splits = _split_by_group(samples, classes, given, earlier, seed, kinds)
    group = {} if grouping is None else {"group": grouping.name}
    made = {"seed": seed, "made": describe_making(given), **group}
    return Labelled(samples, splits, labels, kinds, made, count_shared(copies, splits), again)


def _grouping(source: Source, earlier: FeatureSet | None) -> Grouping | None:
    """What samples are kept together by: a set that was split without stays as it is, unless somebody asks."""
    found = source.grouping
    if found is None or found.is_asked or earlier is None or "group" in earlier.info["split"]:
        return found
    return None


def _split_by_group(
    samples: Samples,
    classes: NDArray[np.int32],
    given: NDArray[np.int8],
    earlier: FeatureSet | None,
    seed: int,
    kinds: Mapping[str, LabelKind],
) -> NDArray[np.int8]:
    """Complete the splits with groups on one side; what a set says that was split without them is of no use."""
    column = samples.table.column(GROUP)
    units = units_among(samples.keys, group_codes(column))
    before = np.full(len(samples), NOT_GIVEN, dtype=np.int8)
    if earlier is not None and "group" in earlier.info["split"]:
        before = _earlier(samples, copies_among(samples.keys), earlier, seed, kinds)
        of_unit = np.full(units.n_groups, NOT_GIVEN, dtype=np.int8)
        np.maximum.at(of_unit, units.groups, before[units.rows])
        before[units.rows] = of_unit[units.groups]
    return complete_splits(
        samples.keys, classes, given, before, seed, units, lambda row: column[row].as_py() or None
    )


def _names_in_order(table: pa.Table, source: Source, column: str, kind: LabelKind) -> list[str]:
    """The names that the source gives in order, else those that occur, sorted."""
    task = open_task(kind)
    if task.has_names and (given := source.label_names.get(column)):
        return list(given)
    return sorted(task.names_in(table.column(LABEL + column)))


def _strata(table: pa.Table, labels: dict[str, list[str]], kinds: dict[str, LabelKind]) -> NDArray[np.int32]:
    """Which samples are split alike, by the first label column."""
    for column, names in labels.items():
        return open_task(kinds[column]).strata(table.column(LABEL + column), names)
    return np.zeros(table.num_rows, dtype=np.int32)


def _earlier(
    samples: Samples, copies: Copies, earlier: FeatureSet | None, seed: int, kinds: Mapping[str, LabelKind]
) -> NDArray[np.int8]:
    """The split in which the set had each key before, under the same seed."""
    unknown = np.full(len(samples), NOT_GIVEN, dtype=np.int8)
    if earlier is None or earlier.info["split"]["seed"] != seed:
        return unknown
    # Numbers taken for classes have one sample each, and give no test split: read as numbers they do.
    if dict(kinds) != dict(earlier.label_kinds) and not earlier.info["counts"]["test"]:
        return unknown
    keys, splits = _known_splits(earlier)
    same = same_rows(keys, samples.keys)  # the usual case: of data that grew, all that were there before
    n = min(len(keys), len(samples))
    np.copyto(unknown[:n], splits[:n], where=same[:n])
    gone = np.ones(len(keys), dtype=bool)
    gone[:n] = ~same[:n]
    moved = ~same
    moved[copies.rows] = True  # of a key that was there twice, the first row counts
    if gone.any():
        moved |= contains(keys[gone], samples.keys)
    rows = np.flatnonzero(moved)
    unknown[rows] = NOT_GIVEN
    near = np.flatnonzero(contains(samples.keys[rows], keys))
    first = near[first_by_key(keys[near])]
    positions, found = search(*words(keys[first]), samples.keys[rows])
    unknown[rows[found]] = splits[first][positions[found]]
    return unknown


def _known_splits(earlier: FeatureSet) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """The keys of a set and their splits, those of samples that were dropped behind the others."""
    keys, splits = read_splits(earlier)
    dropped = {row.key: row.split for row in earlier.corrections if row.split}
    if not dropped:
        return keys, splits
    codes = np.array([SPLITS.index(split) for split in dropped.values()], dtype=np.int8)
    return np.concatenate([keys, pack(map(bytes.fromhex, dropped))]), np.concatenate([splits, codes])
