"""Trials of a search on a Ray cluster: given out to its nodes, which read the shared cache and answer with figures."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from headstart.cache.store import Cache
from headstart.errors import BackboneError, HeadstartError, remade
from headstart.ray_cluster import Pool, RayCluster, node_name, open_cluster, pool_for, refuse
from headstart.ray_workplace import COMPUTING, Workplace

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import ClusterConfig
    from headstart.contracts import Progress

T = TypeVar("T")
R = TypeVar("R")
TOKEN = "shared-with-nodes"
FITTING = ("scikit-learn", "scipy", "peft")
"""Packages of which another version may fit another head."""


@dataclass(frozen=True, slots=True)
class TrialPlace:
    """What all nodes are told: where trials find their features, and where they leave what they train."""

    workplace: Workplace
    cache: str
    set: str
    digest: str
    folder: str | None
    token: str

    def reason_against(self) -> str:
        """Why this node cannot run trials, by its packages, its cache and the folder; empty if it can."""
        self.workplace.enter()
        if reason := self.workplace.reason_against():
            return reason
        try:
            Cache(self.cache).open_set(self.set, self.digest)
        except HeadstartError as error:
            return f"it cannot read the set ({error}); let --cache name a folder that all nodes share"
        if self.folder is not None and _read(Path(self.folder, TOKEN)) != self.token:
            return (
                f"its {self.folder} is not the folder that this command writes to; let --out name one that all nodes "
                "share"
            )
        return ""


class TrialNodes:
    """Nodes that are ready for trials; see `open_trials`."""

    def __init__(self, cluster: RayCluster, workplace: Workplace, pool: Pool) -> None:
        self._cluster, self._pool = cluster, pool
        self._shared = cluster.share(workplace)

    @property
    def n_at_once(self) -> int:
        """Trials that run side by side where the cluster has room for all."""
        return self._pool.most

    def answers(self, work: Callable[[T, Workplace], R], tasks: Iterable[T]) -> Iterator[tuple[int, R]]:
        """What a function makes of each task, with its number, in the order in which they are done.

        A task is taken when there is room for it; one whose node died is done again, elsewhere. An error of the
        function is raised here, with the node's name.
        """
        arguments = ((work, task, self._shared) for task in tasks)
        for number, found in self._cluster.results(_worked, arguments, self._pool):
            if isinstance(found, _Stopped):
                raise remade(found.kind, found.text)
            yield number, found

    def serve(self, made: Callable[..., T], *arguments: Any) -> T:
        """An object of the driver's that trials may call, and the driver, one at a time; see `RayCluster.serve`."""
        served: T = self._cluster.serve(made, *arguments)
        return served


@dataclass(frozen=True, slots=True)
class _Stopped:
    """An error of a trial, which its class may not be made of again."""

    kind: str
    text: str


def _worked(work: Callable[[Any, Workplace], Any], task: Any, workplace: Workplace) -> Any:
    """What a function makes of a task, on a node; or what stopped it."""
    workplace.enter()
    if workplace.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # ray hides no GPU from a task that asked for none
    try:
        return work(task, workplace)
    except HeadstartError as error:
        return _Stopped(type(error).__name__, f"node {node_name()}: {error}")
    except Exception as error:
        return _Stopped(BackboneError.__name__, f"node {node_name()}: {type(error).__name__}: {error}")


@contextmanager
def open_trials(
    config: ClusterConfig, features: FeatureSet, folder: Path | None, offline: bool, progress: Progress
) -> Iterator[TrialNodes]:
    """Join or start a cluster, and ask each node whether it sees the same set, and the same ``folder``.

    Raises
    ------
    BackboneError
        Names a node that does not.
    ConfigError
        There is no such cluster.
    """
    with open_cluster(config.address, config.most or 1) as cluster:
        pool = pool_for(config, cluster.nodes())
        for said in cluster.describe(pool):
            progress.say(said)
        workplace = Workplace.here(pool, offline, (*COMPUTING, *FITTING))
        with _marked(folder) as token:
            place = TrialPlace(
                workplace,
                str(features.cache),
                features.name,
                features.digest,
                None if folder is None else str(folder.absolute()),
                token,
            )
            refuse(cluster.ask(TrialPlace.reason_against, cluster.nodes(), place))
        yield TrialNodes(cluster, workplace, pool)


@contextmanager
def _marked(folder: Path | None) -> Iterator[str]:
    """A word that lies in the folder meanwhile, which need not be there, and is as it was afterwards."""
    token = secrets.token_hex(16)
    if folder is None:
        yield token
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        Path(folder, TOKEN).write_text(token)
        yield token
    finally:
        Path(folder, TOKEN).unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty: a search was interrupted here
            folder.rmdir()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
