"""What extracting a set anew under its name changes: said; or refused, where it would become another set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, nulls_of, numbers_of
from headstart.cache.layout import LABEL
from headstart.cache.set_state import read_splits
from headstart.data.answers import as_json
from headstart.errors import ConfigError
from headstart.keys import contains, first_by_key, same_rows, search, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress, Source
    from headstart.extraction.samples import Samples
    from headstart.types import LabelKind

_BETWEEN = "\x1f"
_NO = column_of(np.zeros(1, dtype=np.int8))[0]


def check_changes(earlier: FeatureSet, source: Source, samples: Samples, progress: Progress) -> None:
    """Say how the samples of a set change.

    Raises
    ------
    ConfigError
        It would hold samples of another modality, labels of another kind, or none of the samples that it holds.
    """
    check_kinds(earlier, source)
    keys, _ = read_splits(earlier)
    if not len(keys):
        return
    stays = contains(keys, samples.keys)
    if not stays.any():
        raise _another(earlier, f"none of its {len(keys):,} samples is in the data")
    n_gone = len(keys) - int(contains(samples.keys, keys).sum())
    counts = {
        "more": len(samples) - int(stays.sum()),
        "gone": n_gone,
        "relabelled": _count_relabelled(earlier, keys, samples),
    }
    said = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    if said:
        progress.say(
            f"set {earlier.name} changes: of {len(keys):,} samples {int(stays.sum()):,} stay; {said}"
        )


def check_kinds(earlier: FeatureSet, source: Source) -> None:
    """Refuse samples of another modality, and labels of another kind.

    Raises
    ------
    ConfigError
        They are.
    """
    modality = earlier.info["source"]["modality"]
    if modality != source.modality:
        raise _another(earlier, f"it holds {modality} samples, and the data {source.modality} samples")
    before, now = earlier.label_kinds, source.label_kinds
    for name in _compared(before, now):
        if before[name] != now[name]:
            raise _another(
                earlier, f"its labels {name!r} are of the kind {before[name]}, and now {now[name]}"
            )


def _compared(before: Mapping[str, LabelKind], now: Mapping[str, LabelKind]) -> list[str]:
    return [name for name in before if name in now]


def _another(earlier: FeatureSet, why: str) -> ConfigError:
    return ConfigError(
        f"set {earlier.name!r} would become another one: {why}; pass --replace to make it anew, or give the new one "
        "another name (--set NAME; in a pipeline its option set) to keep both"
    )


def _count_relabelled(earlier: FeatureSet, keys: NDArray[np.uint8], samples: Samples) -> int:
    """How many samples that stay have a label that none of their copies had, in the columns that both have."""
    there = set(earlier.column_names)
    names = [name for name in samples.table.column_names if name.startswith(LABEL) and name in there]
    rows = np.flatnonzero(~_same_labels(earlier, keys, samples, names))
    samples.release()
    if not names or not len(rows):
        return 0
    near = np.flatnonzero(contains(samples.keys[rows], keys))
    distinct = words(keys[near[first_by_key(keys[near])]])
    before, _ = search(*distinct, keys[near])
    after, found = search(*distinct, samples.keys[rows])
    rows, after = rows[found], after[found]
    changed = np.zeros(len(rows), dtype=bool)
    for name in names:
        was = _comparable(earlier.columns([name]).column(name).take(column_of(near)))
        now = _comparable(samples.table.column(name).take(column_of(rows)))
        changed |= _are_new(was, before, now, after)
    samples.release()
    return int(changed.sum())


def _same_labels(
    earlier: FeatureSet, keys: NDArray[np.uint8], samples: Samples, names: Sequence[str]
) -> NDArray[np.bool_]:
    """Which samples are in the same row as before, with the same labels; of data that grew, nearly all."""
    same = same_rows(keys, samples.keys)
    start = 0
    for group in earlier.groups(names):
        stop = min(start + group.num_rows, len(same))
        for name in names if start < stop else ():
            was, now = (
                _comparable(part)
                for part in (
                    group.column(name).slice(0, stop - start),
                    samples.table.column(name).slice(start, stop - start),
                )
            )
            same[start:stop] &= _are_alike(was, now)
        samples.release()
        start += group.num_rows
    return same


def _are_alike(was: Any, now: Any) -> NDArray[np.bool_]:
    """Which of as many labels are the same, or missing on both sides."""
    if was.type != now.type:
        return np.zeros(len(was), dtype=bool)
    equal = numbers_of(pc.fill_null(pc.equal(was, now).cast(pa.int8()), _NO))
    alike: NDArray[np.bool_] = (equal != 0) | (nulls_of(was) & nulls_of(now))
    return alike


def _comparable(column: pa.ChunkedArray) -> Any:
    if not pa.types.is_list(column.type):
        return column
    if pa.types.is_nested(column.type.value_type):
        return pa.chunked_array([as_json(column)])
    return pc.binary_join(column, _BETWEEN)


def _are_new(was: Any, before: Any, now: Any, after: Any) -> Any:
    """Which of the labels ``now`` no sample of the same number had: ``before`` and ``after`` are numbers of keys."""
    if was.type != now.type:
        return np.zeros(len(now), dtype=bool)
    known = pc.unique(pa.chunked_array([*was.chunks, *now.chunks], was.type))
    pairs = [
        np.asarray(number, dtype=np.int64) * len(known) + numbers_of(pc.index_in(labels, known))
        for labels, number in ((was, before), (now, after))
    ]
    return ~np.isin(pairs[1], pairs[0])
