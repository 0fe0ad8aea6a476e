"""`cache ls` and `cache show`: what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.errors import HeadstartError
from headstart.pooling import display_tap

if TYPE_CHECKING:
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.types import Json


def list_cache(cache: Cache) -> dict[str, Json]:
    """All sets and spaces of a cache, as JSON values."""
    return {
        "cache": str(cache.root),
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
    if (cache.root / "spaces" / name).is_dir():
        space = cache.open_space(name)
        return {**_describe(space), "recipe": dict(space.recipe.entries), "shards": space.shard_names()}
    features = cache.open_set(name)
    return {
        "set": name,
        "digest": features.digest,
        "path": str(features.path),
        **features.info,
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
                {"backbone": ref.backbone, "tap": display_tap(ref.tap), "space": ref.space}
                for ref in features.features
            ],
            "created": features.info["created"],
        }
    except (HeadstartError, KeyError, TypeError) as error:
        return {"set": name, "problem": str(error)}


def _summarise_space(cache: Cache, space_id: str) -> dict[str, Json]:
    try:
        return _describe(cache.open_space(space_id))
    except HeadstartError as error:
        return {"space": space_id, "problem": str(error)}


def _describe(space: Space) -> dict[str, Json]:
    names = space.shard_names()
    return {
        "space": space.id,
        "rows": len(space),
        "shards": len(names),
        "bytes": sum((space.shards_dir / name).stat().st_size for name in names),
        "tap": display_tap(str(space.recipe.entries.get("tap"))),
        "compute": space.recipe.entries.get("compute"),
        "stored": space.recipe.entries.get("stored"),
    }
