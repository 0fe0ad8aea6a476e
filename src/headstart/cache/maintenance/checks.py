"""Is one shard, one index, one state of a set what it says it is?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.arrow import keys_from_arrow
from headstart.cache.formats import open_shard
from headstart.cache.index import Index, empty_index, load_index
from headstart.cache.sets import FeatureSet, open_feature_set
from headstart.cache.shards import DigestCheck
from headstart.errors import FormatError, HeadstartError
from headstart.keys import KEY_BYTES, first_occurrences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.space import Space
    from headstart.cache.store import Cache
ROWS_AT_A_TIME = 16_384
Verdict = Literal["sound", "corrupt", "newer", "gone"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at something gave.

    Parameters
    ----------
    verdict : {"sound", "corrupt", "newer", "gone"}
        newer: of a format that this version does not know, which is no damage.
    problem : str
        Empty if it is sound or gone.
    keys : ndarray of uint8, shape (N, 16)
        Of a shard: its keys, as far as they can be read.
    """

    verdict: Verdict
    problem: str
    keys: NDArray[np.uint8]


def check_shard(path: Path, recipe: str, digests: DigestCheck) -> Checked:
    """Read a whole shard, whatever this machine has checked before.

    Parameters
    ----------
    path : Path
    recipe : str
        What it must carry, as canonical JSON.
    digests : DigestCheck
    """
    none = np.empty((0, KEY_BYTES), dtype=np.uint8)
    try:
        _refuse_newer(path)
        digests.check(path, again=True)
        reader = open_shard(path)
        keys = np.array(reader.keys())
        problem = _problem_of(path, reader.recipe, recipe, keys)
        if not problem and any(not np.isfinite(block).all() for block in _blocks(path, len(keys))):
            problem = "holds a value that is not finite"
        return Checked("corrupt" if problem else "sound", problem, keys)
    except FileNotFoundError:
        return Checked("gone", "", none)
    except FormatError as error:
        return Checked("newer", str(error), none)
    except HeadstartError as error:
        return Checked("corrupt", str(error), none)


def check_index(space: Space, keys: Mapping[str, NDArray[np.uint8]]) -> str:
    """What is wrong with the saved index, given the keys of the space's shards; empty: nothing."""
    if not space.index_path.exists():
        return ""
    saved = load_index(space.index_path, list(keys))
    if not saved.shards:
        covers = load_index(space.index_path, None)
        return "" if covers.shards else "cannot be read"
    true = empty_index().extended({name: keys[name] for name in saved.shards})
    return "" if _is_same(saved, true) else "does not say where the rows are"


def check_state(cache: Cache, folder: Path, digest: str) -> tuple[Verdict, str]:
    """What is wrong with one state of a set, all of its files read."""
    try:
        features = open_feature_set(folder, cache.open_space, digest)
        _read_with_checksums(features)
        n_samples, n_named = features.samples.num_rows, len(features)
        keys_from_arrow(features.samples.column("key"))
        _ = features.features, features.label_names, features.failures
    except FormatError as error:
        return "newer", str(error)
    except (HeadstartError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return "corrupt", f"cannot be read: {error}"
    if n_samples != n_named:
        return "corrupt", f"has {n_samples} rows where set.json says {n_named}"
    return "sound", ""


def _refuse_newer(path: Path) -> None:
    """Raise FormatError for a newer shard; anything else that is wrong is found later.

    First of all, because a newer format may also take its digest otherwise, and what is merely newer
    must never be dropped as corrupt.
    """
    try:
        open_shard(path)
    except (FormatError, FileNotFoundError):
        raise
    except HeadstartError:
        return


def _problem_of(path: Path, carried: str, recipe: str, keys: NDArray[np.uint8]) -> str:
    if carried != recipe:
        return "carries another recipe than its space"
    if not len(keys) or f"{keys[:, 0].min():02x}" != path.name[:2]:
        return "its name does not begin with its first bucket"
    if len(first_occurrences(keys)) != len(keys):
        return "holds a key twice"
    return ""


def _blocks(path: Path, n_rows: int) -> Iterator[NDArray[np.floating]]:
    reader = open_shard(path)
    for start in range(0, n_rows, ROWS_AT_A_TIME):
        yield reader.features(np.arange(start, min(start + ROWS_AT_A_TIME, n_rows))).values


def _is_same(one: Index, other: Index) -> bool:
    columns = ("hi", "lo", "shard", "row")
    return one.shards == other.shards and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in columns
    )


def _read_with_checksums(features: FeatureSet) -> None:
    """Read the samples with the checksums of their pages, where the file has them."""
    path = features.path / "samples.parquet"
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            file.read()
    except pa.ArrowException as error:
        raise OSError(f"{path}: {error}") from error
