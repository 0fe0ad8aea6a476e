"""The trials of a cache's upkeep, in a bucket: whoever looks after it or is killed, no vector changes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from test_upkeep import Upkeep

from headstart.remote.store import Store

from .servers import new_bucket


@contextlib.contextmanager
def at_request(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Do something right before the n-th request that changes objects, those of claims and clocks aside."""
    count = itertools.count()

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def request(store: Store, paths: Any, *arguments: Any) -> Any:
            path = paths if isinstance(paths, str) else next(iter(paths), "clock")
            if not path.startswith("clock") and "/claims/" not in path and next(count) == number:
                act()
            return real(store, paths, *arguments)

        return request

    with (
        mock.patch.object(Store, "_put", wrapped(Store._put)),
        mock.patch.object(Store, "copy", wrapped(Store.copy)),
        mock.patch.object(Store, "delete", wrapped(Store.delete)),
    ):
        yield


class BucketUpkeep(Upkeep):
    def new_cache(self) -> str:
        return f"{new_bucket()}/cache"

    def shard_paths(self) -> list[Path]:
        home, paths = self.cache.home, []
        for space in self.cache.space_paths():
            names = home.shard_names(space / "shards")
            home.fetch_shards(space / "shards", names)
            paths += [space / "shards" / name for name in names]
        return sorted(paths)

    def damage(self, shard: Path, position: int) -> None:
        store, name = self.cache.home.objects.store, shard.relative_to(self.cache.root).as_posix()
        content = bytearray(store.read(name))
        content[position] ^= 0x10
        store.write(name, bytes(content))

    def at_step(self, number: int, act: Callable[[], object]) -> contextlib.AbstractContextManager[None]:
        return at_request(number * 2, act)


@pytest.mark.usefixtures("bucket")
class TestBucketUpkeep(BucketUpkeep.TestCase):  # type: ignore[misc]
    settings = settings(max_examples=1, stateful_step_count=4, deadline=None)


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
class TestLongBucketUpkeep(BucketUpkeep.TestCase):  # type: ignore[misc]
    settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
