"""Push and pull: sets copied between this cache and one that lies elsewhere, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.cache.home import in_force
from headstart.cache.layout import STATE_NAME, check_set_name
from headstart.errors import ConfigError, DataError
from headstart.sharing.incoming import pull_set
from headstart.sharing.outgoing import push_set
from headstart.sharing.transfer import Asked, Transfer

if TYPE_CHECKING:
    from headstart.cache.store import Cache
    from headstart.contracts import Progress
    from headstart.sharing.place import CachePlace


def push(
    cache: Cache,
    place: CachePlace,
    names: Sequence[str] | None,
    digest: str | None,
    new_name: str | None,
    replace: bool,
    dry_run: bool,
    progress: Progress,
) -> list[Transfer]:
    """Copy sets of a cache elsewhere; without names all of them."""
    chosen = _chosen(names, cache.set_names(), str(cache.location), digest, new_name)
    done = []
    for name in chosen:
        features = cache.open_set(name, digest)
        is_earlier = digest is not None and in_force(cache.set_dir(name)) != digest
        asked = Asked(new_name or name, is_earlier, replace, dry_run)
        done.append(push_set(features, cache, place, asked, progress))
    return done


def pull(
    cache: Cache,
    place: CachePlace,
    names: Sequence[str] | None,
    digest: str | None,
    new_name: str | None,
    replace: bool,
    dry_run: bool,
    progress: Progress,
) -> list[Transfer]:
    """Copy sets of a cache elsewhere to this one; without names all of them."""
    chosen = _chosen(names, place.set_names() if names is None else (), place.said, digest, new_name)
    done = []
    for name in chosen:
        is_earlier = digest is not None and place.in_force(name) != digest
        asked = Asked(new_name or name, is_earlier, replace, dry_run)
        done.append(pull_set(name, digest, place, cache, asked, progress))
    return done


def _chosen(
    names: Sequence[str] | None, there: Sequence[str], place: str, digest: str | None, new_name: str | None
) -> list[str]:
    """The sets that are meant, each once."""
    chosen = list(dict.fromkeys(there if names is None else names))
    if not chosen:
        raise DataError(f"there is no set in {place}")
    if len(chosen) > 1 and (digest or new_name):
        raise ConfigError("--digest and --as are of one set; name it")
    if digest is not None and not STATE_NAME.fullmatch(digest):
        raise ConfigError(
            f"--digest {digest!r} is no digest of a set: 16 hex digits; `headstart cache show SET` has it"
        )
    for name in [*chosen, *([new_name] if new_name else [])]:
        check_set_name(name)
    return chosen
