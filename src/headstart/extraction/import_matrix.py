"""import: a matrix of features that something else computed becomes a set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cache.claims import ClaimBoard
from headstart.cache.commit import commit_set
from headstart.cache.exchange.importing import (
    SCHEME,
    check_imported,
    fill_imported,
    imported_recipe,
    imported_spec,
)
from headstart.cache.exchange.matrices import Matrix, open_matrix
from headstart.cache.formats import FormatName, shard_format
from headstart.cache.layout import check_set_name
from headstart.cache.store import Cache
from headstart.errors import ConfigError, HeadstartError
from headstart.extraction.imported_samples import ImportedSamples, read_samples
from headstart.extraction.labels import Labelled, label_samples
from headstart.keys import contains, pack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.contracts import Progress
    from headstart.types import Failure, Json


@dataclass(frozen=True, slots=True)
class ImportConfig:
    """What to import, and as what.

    Parameters
    ----------
    path : Path
        ``.npy``, ``.npz``, ``.h5`` or ``.parquet``.
    set, backbone : str
        What to call the set, and what computed the features.
    ids : Path, optional
        A text file of one id a line, or a table with a column of them; None: the file has them.
    id_column, split_column, features_column : str, optional
    label_columns : sequence of str
    split_seed : int
    format : {"hdf5", "parquet"}
    cache : str, optional
    keys : ndarray of uint8, shape (N, 16), optional
        The keys of the samples; None: those of the file, else made of the ids.
    """

    path: Path
    set: str
    backbone: str
    ids: Path | None = None
    id_column: str | None = None
    split_column: str | None = None
    features_column: str | None = None
    label_columns: Sequence[str] = ()
    split_seed: int = 0
    format: FormatName = "hdf5"
    cache: str | None = None
    keys: NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Imported:
    """A set, and how many rows its space did not hold before."""

    features: FeatureSet
    n_samples: int
    n_new: int


def import_features(config: ImportConfig, progress: Progress) -> Imported:
    """Put a matrix into a space of its own, and commit a set over it.

    Raises
    ------
    DataError
        Ids, features or splits cannot be used; the message names the row. Nothing was written.
    MismatchError
        The cache holds another vector under one of the keys. Nothing was written.
    """
    check_set_name(config.set)
    if not config.backbone.strip():
        raise ConfigError("--backbone is empty; say what computed the features")
    matrix = open_matrix(config.path, config.features_column)
    imported = read_samples(matrix, config)
    keys = imported.samples.keys
    cache = Cache(config.cache)
    space = cache.space(imported_recipe(config.backbone, matrix.dtype))
    check_imported(space, keys, matrix, progress)
    cache.prepare()
    space.prepare()
    with ClaimBoard(space.claims_dir):  # until a set refers to the rows, so that no gc takes them
        n_new = fill_imported(space, keys, matrix, shard_format(config.format), progress)
        features = _commit(cache, config, matrix, imported, space)
    space.save_index()
    space.record_use(len(keys) - n_new, n_new)
    return Imported(features, len(keys), n_new)


def _commit(
    cache: Cache, config: ImportConfig, matrix: Matrix, imported: ImportedSamples, space: Space
) -> FeatureSet:
    """Commit the set, on top of whatever it is by now."""
    while True:
        earlier = cache.find_set(config.set)
        # It says names and kinds of labels as a source does, and is asked for nothing else.
        labelled = label_samples(imported.samples, imported, earlier, config.split_seed)  # type: ignore[arg-type]
        entries = _feature_entries(cache, config, imported, space, earlier)
        failures = _failures(earlier, entries, imported)
        features = commit_set(
            cache,
            config.set,
            labelled.table,
            _describe(_source(matrix, entries, earlier), labelled, entries, failures),
            failures,
            replaces=earlier.digest if earlier else None,
        )
        if features is not None:
            return features


def _feature_entries(
    cache: Cache,
    config: ImportConfig,
    imported: ImportedSamples,
    space: Space,
    earlier: FeatureSet | None,
) -> list[dict[str, Json]]:
    """This feature first, then those that the set had of these samples."""
    spec = imported_spec(config.backbone)
    entries: list[dict[str, Json]] = [
        {
            "backbone": spec,
            "tap": "pooler",
            "view": None,
            "space": space.id,
            "options": {},
            "rows": len(imported.samples),
        }
    ]
    for entry in earlier.info["features"] if earlier else []:
        if (entry["backbone"], entry["tap"]) != (spec, "pooler"):
            n_rows = _count_held(cache, entry["space"], imported)
            entries += [{**entry, "rows": n_rows}] if n_rows else []
    return entries


def _failures(
    earlier: FeatureSet | None, entries: Sequence[dict[str, Json]], imported: ImportedSamples
) -> list[Failure]:
    """Why some of these samples lack a feature that the set had."""
    spaces = {entry["space"] for entry in entries}
    failures = [failure for failure in earlier.failures if failure.space in spaces] if earlier else []
    present = contains(imported.samples.keys, pack(bytes.fromhex(failure.key) for failure in failures))
    return [failure for failure, is_present in zip(failures, present, strict=True) if is_present]


def _count_held(cache: Cache, space_id: str, imported: ImportedSamples) -> int:
    try:
        return int(cache.open_space(space_id).held(imported.samples.keys).sum())
    except HeadstartError:
        return 0


def _source(
    matrix: Matrix, entries: Sequence[dict[str, Json]], earlier: FeatureSet | None
) -> dict[str, Json]:
    """Where the samples are: where the set's extracted features found them, else in the file."""
    if earlier and any(not entry["backbone"].startswith(SCHEME) for entry in entries):
        source: dict[str, Json] = earlier.info["source"]
        return source
    return {
        "location": os.path.abspath(matrix.path),
        "description": f"features imported from {matrix.path.name}",
        "modality": matrix.about.get("modality"),
        "columns": {},
    }


def _describe(
    source: dict[str, Json],
    labelled: Labelled,
    entries: Sequence[dict[str, Json]],
    failures: Sequence[Failure],
) -> dict[str, Json]:
    """What set.json says."""
    kinds = {column: kind for column, kind in labelled.kinds.items() if kind != "single"}
    return {
        "source": source,
        "labels": labelled.labels,
        **({"label_kinds": kinds} if kinds else {}),
        "features": list(entries),
        "counts": {**labelled.counts(), "failures": len(failures)},
        "split": labelled.split,
    }
