"""Correcting a set: decisions are read and weighed, and what they come to is committed as a new state of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headstart.arrow import keys_from_arrow
from headstart.cache.commit import commit_set
from headstart.cache.corrections import ENTRY, LINEAGE, Correction, Sample, lineage, turn_of
from headstart.cache.store import Cache
from headstart.columns import cell
from headstart.corrections.asked import Asked
from headstart.corrections.checks import check_label
from headstart.corrections.file import read_files
from headstart.corrections.resolve import grouped, stamped
from headstart.corrections.state import correct_samples, given_names, kept, places_of
from headstart.corrections.summary import Corrected, label_shown, summarise
from headstart.corrections.table import cells_of, rows_of, texts_of, with_label
from headstart.errors import DataError, HeadstartError, MismatchError
from headstart.keys import contains, pack
from headstart.types import SPLITS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from headstart.cache.corrections import Identity
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.corrections.state import CorrectedSamples
    from headstart.corrections.texts import Cells
    from headstart.types import Failure, Json


def correct(features: FeatureSet, given: Any, progress: Progress) -> Corrected:
    """Correct the labels of a set: no feature is computed, and its state in force becomes another one.

    Raises
    ------
    DataError
        A file cannot be read, or a row of it.
    MismatchError
        Corrections are of another set, of samples that this one has not, or contradict each other; nothing is changed.
    """
    files = tuple(read_files(given))
    for file in files:
        if file.n_open:
            n = len(file.rows) + file.n_open
            progress.say(f"{file.name}: {file.n_open:,} of {n:,} rows are not filled in, and change nothing")
        elif not file.rows:
            progress.say(f"{file.name} holds no corrections")
    cache = Cache(features.cache)
    while True:
        # Corrections add up, whatever state was opened; a run that is repeated on a state that has all of them stays
        # with that.
        target = cache.open_set(features.name)
        asked = Asked.of(files, features, target)
        if asked.are_known_to(features):
            target = features
        done = _corrected(cache, target, asked)
        if done is not None:
            break
    if done.before.digest != features.digest:
        progress.say(
            f"set {features.name} is in another state by now: {done.before.digest} is corrected, and not "
            f"{features.digest}"
        )
    for line in done.lines():
        progress.say(line)
    return done


def _corrected(cache: Cache, target: FeatureSet, asked: Asked) -> Corrected | None:
    """Commit what decisions make of a state; None if another process has committed another one meanwhile."""
    table, before = with_label(target.samples), {row.identity for row in target.corrections}
    cells = cells_of(table.schema, target.label_kinds)
    new = [row for row in asked.rows if row.identity not in before]
    places = places_of(table, [*target.corrections, *asked.rows])
    _check_known(new, places, target, asked.places)
    rows = _with_given(new, table, target, places, cells)
    for row in rows:
        check_label(row, target, places, asked.places[row.identity])
    found = correct_samples(table, [*target.corrections, *rows], cells, places)
    _check_clashes(found, {row.sample for row in rows}, asked.places)
    if len(found.dropped) == table.num_rows:
        raise DataError(f"corrections drop all {table.num_rows:,} samples of set {target.name!r}; keep some")
    after = _commit(cache, target, found, cells) if rows else target
    if after is None:
        return None
    return summarise(target, after, asked.files, asked.rows, places, found, cells)


def _commit(
    cache: Cache, target: FeatureSet, found: CorrectedSamples, cells: Mapping[str, Cells]
) -> FeatureSet | None:
    names = given_names(target)
    held = kept(found.rows, found.outcome, names, cells)
    assert held is not None  # there are rows
    table = found.remaining
    failures = _failures_left(target, table)
    info = {
        **(_info(cache, target, table, len(failures)) if found.dropped else _said(target)),
        "labels": {column: [*names[column], *held.classes.get(column, ())] for column in names},
        # So that corrections made for a state that gc took are known to be of this set.
        LINEAGE: {**lineage(target.info), target.digest: turn_of(target.info)},
    }
    return commit_set(cache, target.name, table, info, failures, replaces=target.digest, corrections=held)


def _check_known(
    rows: Sequence[Correction], places: Mapping[Sample, Any], target: FeatureSet, at: Mapping[Identity, str]
) -> None:
    """Refuse samples that the set has not, nor had when the corrections were made."""
    known = {*places, *(row.sample for row in target.corrections)}
    strange = [row for row in rows if row.sample not in known]
    for digest, some in grouped(strange, lambda row: row.digest).items():
        try:
            earlier = Cache(target.cache).open_set(target.name, digest)
            known |= set(rows_of(earlier.samples, {row.sample for row in some}))
        except HeadstartError:
            continue
    strange = [row for row in strange if row.sample not in known]
    if strange:
        first = strange[0]
        more = f" (nor {len(strange) - 1:,} more)" if len(strange) > 1 else ""
        raise MismatchError(
            f"{at[first.identity]}: set {target.name!r} has no sample {cell(first.id)!r} of key {first.key}{more}; "
            "corrections name samples by both; nothing was changed"
        )


def _with_given(
    new: Sequence[Correction],
    table: pa.Table,
    target: FeatureSet,
    places: Mapping[Sample, list[int]],
    cells: Mapping[str, Cells],
) -> list[Correction]:
    """New rows with what the data gives, and the turn in which they count."""
    held = grouped(target.corrections, _about)
    now = texts_of(table, places, {(row.sample, row.label) for row in new}, cells)
    rows: list[Correction] = []
    for about, some in grouped(new, _about).items():
        known = held.get(about, [])
        # Of a sample that is not there at the moment, nobody knows what its data gives.
        given = known[0].given if known else now.get(about, some[0].old)
        filled = [replace(row, given=given) for row in some]
        rows += stamped(filled, known, now.get(about, given), turn_of(target.info))
    return rows


def _about(row: Correction) -> tuple[Sample, str]:
    return row.sample, row.label


def _check_clashes(
    found: CorrectedSamples, samples: Collection[Sample], places: Mapping[Identity, str]
) -> None:
    """Refuse decisions that contradict each other, about samples of which something new is said."""
    clashes = {sample: pair for sample, pair in found.outcome.clashes.items() if sample in samples}
    if not clashes:
        return
    (_, id), (first, second) = min(clashes.items())
    told = [f"{_wish(row)} ({places.get(row.identity, 'kept with the set')})" for row in (first, second)]
    more = f", as they do about {len(clashes) - 1:,} more samples" if len(clashes) > 1 else ""
    raise MismatchError(
        f"corrections disagree about sample {cell(id)!r}: {told[0]}, and {told[1]}{more}; keep one of them, or "
        "decide on the set as it is now; nothing was changed"
    )


def _wish(row: Correction) -> str:
    """What a row asks for."""
    if row.action == "relabel":
        return f"{row.label} {label_shown(row.old)} to {label_shown(row.new)}"
    return f"{row.action} ({row.label} {label_shown(row.old)})"


def _said(target: FeatureSet) -> dict[str, Json]:
    """What set.json says, without what is said anew with every state."""
    left_out = ("format", "created", ENTRY, LINEAGE)
    return {name: value for name, value in target.info.items() if name not in left_out}


def _info(cache: Cache, target: FeatureSet, table: pa.Table, n_failures: int) -> dict[str, Json]:
    """The same of fewer samples."""
    info, keys = _said(target), keys_from_arrow(table.column("key"))
    splits = Counter(table.column("split").to_pylist())
    counts = {"samples": len(keys), **{split: splits[split] for split in SPLITS}, "failures": n_failures}
    entries = [
        {**entry, "rows": _count_held(cache, entry["space"], keys)} if "rows" in entry else entry
        for entry in info["features"]
    ]
    before = info["counts"]
    return {**info, "features": entries, "counts": {name: counts.get(name, before[name]) for name in before}}


def _count_held(cache: Cache, space: str, keys: NDArray[np.uint8]) -> int:
    try:
        return int(cache.open_space(space).held(keys).sum())
    except HeadstartError:
        return 0  # as an extraction has it


def _failures_left(target: FeatureSet, table: pa.Table) -> list[Failure]:
    """The failures of samples that are still there."""
    failures = target.failures
    keys = keys_from_arrow(table.column("key"))
    there = contains(keys, pack(bytes.fromhex(failure.key) for failure in failures if failure.key))
    found = iter(there.tolist())
    return [failure for failure in failures if not failure.key or next(found)]
