"""Committing a set: an immutable folder, then one atomic change of which is in force."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from types import EllipsisType
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from headstart.cache.corrections import ENTRY, FILE, LINEAGE, KeptCorrections
from headstart.cache.home import in_force
from headstart.cache.layout import PLAIN_SET, SET_FORMAT, check_no_link
from headstart.cache.set_state import failures_to_jsonl
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.files import (
    make_directory,
    partial_path,
    storage_errors,
    sweep_partials,
    sync_directory,
    write_durably,
)
from headstart.trust import remember
from headstart.types import Failure, Json

ROWS_PER_GROUP = 65_536
MEASURED = "measured"
"""What an extraction measured of itself; like the time not part of a set's digest."""
NOT_DIGESTED = (MEASURED, LINEAGE)


class SampleRows(Protocol):
    """A table of samples that need not be in memory as a whole."""

    def groups(self, n_rows: int) -> Iterator[pa.Table]:
        """All rows, so many at a time; the same whenever it is asked."""


def commit_set(
    cache: Cache,
    name: str,
    samples: pa.Table | SampleRows,
    info: Mapping[str, Json],
    failures: Sequence[Failure],
    replaces: str | EllipsisType | None = ...,
    corrections: KeptCorrections | None = None,
) -> FeatureSet | None:
    """Write a set, and make it the one in force; a set that exists in this very state is kept.

    Parameters
    ----------
    samples : pyarrow.Table or SampleRows
        ``id``, ``key``, ``split``, ``origin``, ``label:<name>``…, ``meta:<name>``….
    info : mapping
        What ``set.json`` says besides its format, its digest and the time.
    replaces : str, optional
        The digest that this state was made on top of; None: there was no set. Left out: whatever
        is in force.
    corrections : KeptCorrections, optional
        Decisions that its labels stand on.

    Returns
    -------
    FeatureSet or None
        None, and nothing is changed, if another process has committed another state meanwhile.
    """
    folder = cache.set_dir(name)
    if corrections is not None:
        info = {**info, ENTRY: corrections.entry}
    if not os.access(cache.root, os.W_OK) and _is_in_force(folder, samples, info, failures):
        return cache.open_set(name)  # a cache that can only be read, and nothing to write into it
    check_no_link(cache.root, folder)
    make_directory(folder)
    sweep_partials(folder)
    partial = partial_path(folder / "new")
    with storage_errors(folder):
        try:
            partial.mkdir()
            digest = _write(partial, samples, info, failures)
            if corrections is not None:
                write_durably(partial / FILE, corrections.content)
            target = folder / digest
            if not (target / "set.json").exists():
                try:
                    os.rename(partial, target)
                except OSError:
                    if not (target / "set.json").exists():  # another process committed the same state: fine
                        raise
                sync_directory(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    cache.home.publish_state(folder / digest)
    return cache.open_state(folder, digest) if cache.home.swap_current(folder, digest, replaces) else None


def _is_in_force(
    folder: Path, samples: pa.Table | SampleRows, info: Mapping[str, Json], failures: Sequence[Failure]
) -> bool:
    """Whether the set is in this very state already; written elsewhere to see."""
    current = in_force(folder)
    with tempfile.TemporaryDirectory() as scratch:
        return current is not None and _write(Path(scratch), samples, info, failures) == current


def _write(
    folder: Path, samples: pa.Table | SampleRows, info: Mapping[str, Json], failures: Sequence[Failure]
) -> str:
    """Write the three files and return the digest of what they say, without what differs from run to run.

    The digest of a file of corrections is in ``info``.
    """
    said = {name: value for name, value in info.items() if name not in NOT_DIGESTED}
    format = SET_FORMAT if ENTRY in info else PLAIN_SET
    state = json.dumps({"format": format, **said}, sort_keys=True, ensure_ascii=False)
    jsonl = failures_to_jsonl(failures)
    groups = _slices(samples) if isinstance(samples, pa.Table) else samples.groups(ROWS_PER_GROUP)
    first = next(groups)
    with pq.ParquetWriter(
        folder / "samples.parquet", first.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        for group in chain([first], groups):  # the bytes are those of all of them written as one table
            writer.write_table(group, row_group_size=ROWS_PER_GROUP)
    digest = blake2b(digest_size=8)
    for part in (state.encode("utf-8"), jsonl):
        digest.update(len(part).to_bytes(8, "little") + part)
    with open(folder / "samples.parquet", "rb") as file:
        hashlib.file_digest(file, lambda: digest)
        os.fsync(file.fileno())
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    content = json.dumps({"format": format, **info, "created": created}, indent=2, ensure_ascii=False)
    remember(content.encode("utf-8") + b"\n")
    write_durably(folder / "set.json", content.encode("utf-8") + b"\n")
    write_durably(folder / "failures.jsonl", jsonl)
    return digest.hexdigest()


def _slices(table: pa.Table) -> Iterator[pa.Table]:
    n_rows = max(table.num_rows, 1)  # a table without rows has a schema as well
    return (table.slice(start, ROWS_PER_GROUP) for start in range(0, n_rows, ROWS_PER_GROUP))
