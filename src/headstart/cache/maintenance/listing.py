"""`cache ls` and `cache show`: what is there, how old it is and how often it served.

Quick on a thousand spaces: rows are counted from indexes and the metadata of shards, and no shard is
checked or read. That is what `verify` is for.
"""

from __future__ import annotations

import contextlib
import datetime

from headstart.backbones.pooling import display_tap
from headstart.cache.formats import count_rows
from headstart.cache.index import peek_index
from headstart.cache.layout import SPACE_NAME
from headstart.cache.recipe import view_name
from headstart.cache.space import Space, read_uses
from headstart.cache.store import Cache
from headstart.errors import HeadstartError
from headstart.types import Json


def list_cache(cache: Cache) -> dict[str, Json]:
    """All sets and spaces of a cache, as JSON values."""
    return {
        "cache": str(cache.location),
        "sets": [_summarise_set(cache, name) for name in cache.set_names()],
        "spaces": [_summarise_space(cache, path.name) for path in cache.space_paths()],
    }


def show(cache: Cache, name: str) -> dict[str, Json]:
    """All that is known of one set or space, as JSON values.

    Raises
    ------
    DataError
        There is neither a set nor a space of that name.
    """
    if SPACE_NAME.fullmatch(name):
        cache.home.refresh_space(cache.root / "spaces" / name)
    if (cache.root / "spaces" / name).is_dir():
        space = cache.open_space(name)
        return {**_describe(space), "recipe": dict(space.recipe.entries), "names": space.shard_names()}
    features = cache.open_set(name)
    spaces = {entry["space"]: _summarise_space(cache, entry["space"]) for entry in features.info["features"]}
    return {
        "set": name,
        "digest": features.digest,
        "path": str(features.path),
        **features.info,
        "spaces": spaces,
        "failures": [
            {"id": failure.id, "reason": failure.reason, "kind": failure.kind}
            for failure in features.failures
        ],
    }


def _summarise_set(cache: Cache, name: str) -> dict[str, Json]:
    try:
        features = cache.open_set(name)
        return {
            "set": name,
            "samples": len(features),
            "classes": {column: len(names) for column, names in features.label_names.items()},
            "features": [
                {
                    "backbone": ref.backbone,
                    "tap": display_tap(ref.tap),
                    **({"view": ref.view} if ref.view else {}),
                    "space": ref.space,
                }
                for ref in features.features
            ],
            "created": features.info["created"],
        }
    except (HeadstartError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        return {"set": name, "problem": str(error)}


def _summarise_space(cache: Cache, space_id: str) -> dict[str, Json]:
    try:
        return _describe(cache.open_space(space_id))
    except (HeadstartError, OSError) as error:
        return {"space": space_id, "problem": str(error)}


def _describe(space: Space) -> dict[str, Json]:
    files = space.home.shard_files(space.shards_dir)
    space.home.refresh_uses(space.path)
    uses = read_uses(space.path)
    written = max((file.modified for file in files.values()), default=None)
    n_uses = uses.held + uses.computed
    return {
        "space": space.id,
        "rows": _count_rows(space, set(files)),
        "shards": len(files),
        "bytes": sum(file.n_bytes for file in files.values()),
        "tap": display_tap(str(space.recipe.entries.get("tap"))),
        "compute": space.recipe.entries.get("compute"),
        "stored": space.recipe.entries.get("stored"),
        "view": view_name(space.recipe.entries.get("view")),
        "created": _iso((space.path / "recipe.json").stat().st_mtime),
        "written": _iso(written),
        "used": _iso(uses.last),
        "held": uses.held,
        "computed": uses.computed,
        "hit_rate": round(uses.held / n_uses, 4) if n_uses else None,
    }


def _count_rows(space: Space, names: set[str]) -> int:
    """Rows; those that lie in several shards may count twice where the saved index is behind."""
    covered, n_rows = peek_index(space.index_path)
    if not set(covered) <= names:
        covered, n_rows = (), 0
    for name in names - set(covered):
        with contextlib.suppress(FileNotFoundError):
            space.home.fetch_shards(space.shards_dir, [name])
            n_rows += count_rows(space.shards_dir / name)
    return n_rows


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
