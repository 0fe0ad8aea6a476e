"""A Ray cluster: joined or started, asked what it is made of, and given work; the one place that imports ray."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from headstart.devices import usable_cores
from headstart.errors import BackboneError, ConfigError, MissingDependencyError, first_line
from headstart.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.config import ClusterConfig

ANSWERS_WITHIN = 10.0  # seconds; an address that is silent for so long is taken to be nobody's
SETTINGS = b"\x00\x00\x00\x04"
"""How a frame of settings begins in HTTP/2, in which Ray's processes talk: its length (here: none), and its type."""
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS + bytes(5)
"""What a client says first there; a server answers with settings of its own."""
LOOK_AROUND = 1.0  # seconds between two looks for a signal
TRIES = 4  # of a task whose process or node dies
ASKED_SECONDS = 120.0  # for a node to start a process that imports headstart and looks at its files
STORE_BYTES = 256 << 20
"""For the objects of a cluster of our own: no vector is one, only names of samples and short texts."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",
    "RAY_task_oom_retries": str(TRIES - 1),
}
"""Nothing is reported to anybody, no worker is built anew, and those of a cluster of our own give way to nobody."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster, or what counts as one."""

    id: str
    host: str
    cpus: int
    gpus: float

    @property
    def name(self) -> str:
        """The host, and enough of the id to tell several on one host apart."""
        return f"{self.host} ({self.id[:8]})"


@dataclass(frozen=True, slots=True)
class Pool:
    """Actors that work side by side: how many, and the share of a node that each has to itself."""

    least: int
    most: int
    cpus: int
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node that cannot work, and why."""

    node: Node
    reason: str


class RayCluster:
    """A cluster that this process is connected to; see `open_cluster`."""

    def nodes(self) -> list[Node]:
        """Those that are alive and can be given work."""
        import ray

        listed: list[Any] = ray.nodes()  # type: ignore[no-untyped-call]
        alive = [node for node in listed if node["Alive"]]
        found = [
            Node(
                node["NodeID"],
                node["NodeManagerHostname"],
                int(node["Resources"].get("CPU", 0)),
                float(node["Resources"].get("GPU", 0)),
            )
            for node in alive
        ]
        return [node for node in found if node.cpus >= 1]

    def has_room(self, pool: Pool) -> bool:
        """Whether one worker at least can start now."""
        import ray

        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        return bool(free.get("CPU", 0) >= pool.cpus and free.get("GPU", 0) >= pool.gpus)

    def describe(self, pool: Pool) -> Iterator[str]:
        """What a user should know before a pool begins its work."""
        n = (
            counted(pool.least, "worker")
            if pool.least == pool.most
            else f"{pool.least} to {pool.most} workers"
        )
        yield f"{n} on a Ray cluster of {counted(len(self.nodes()), 'node')}"
        if not self.has_room(pool):
            yield "waiting for room on the cluster: others use what a worker needs"

    def share(self, value: Any) -> Any:
        """A value that each node gets once, to be given to `ask` or `map_tables`."""
        import ray

        return ray.put(value)

    def ask(self, question: Callable[..., str], nodes: Sequence[Node], *arguments: Any) -> list[Refusal]:
        """Ask each node at once; an answer that is not empty is the reason why it cannot work."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = ray.remote(question)
        answers = [
            task.options(
                num_cpus=0,
                max_retries=1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            ).remote(*arguments)
            for node in nodes
        ]
        reasons = [_reason(answer) for answer in answers]
        return [Refusal(node, reason) for node, reason in zip(nodes, reasons, strict=True) if reason]

    def map_tables(
        self, tables: Sequence[pa.Table], worker: type, arguments: Sequence[Any], pool: Pool
    ) -> Iterator[pa.Table]:
        """What a pool of actors of the class ``worker`` makes of each table, in the order in which they are done.

        What an actor had under way when it died is lost, and the others go on: who called looks at what is missing.
        """
        import ray.data

        most = min(pool.most, len(tables))
        least = min(pool.least, most)
        compute = ray.data.ActorPoolStrategy(
            min_size=least, max_size=most, initial_size=least, max_tasks_in_flight_per_actor=2
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = ray.data.from_arrow(list(tables)).map_batches(
                worker,
                batch_size=None,
                batch_format="pyarrow",
                compute=compute,
                fn_constructor_args=tuple(arguments),
                num_cpus=pool.cpus,
                num_gpus=pool.gpus or None,
                max_restarts=-1,  # elsewhere, if there is room
                max_task_retries=0,  # an actor may never come back, and its tables would wait for it
            )
        # Of this data set alone: a program may have others.
        context = answers.context
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_errored_blocks = -1
        yield from answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)

    def results(
        self, work: Callable[..., Any], tasks: Iterable[Sequence[Any]], pool: Pool
    ) -> Iterator[tuple[int, Any]]:
        """What a function makes of the arguments of each task, with its number, in the order in which they are done.

        An argument that is shared (`share`) comes as its value. A task is taken when there is room for it; one whose
        process or node died is given out again, up to ``TRIES`` times; those that run when nobody waits any more are
        told to stop.

        Raises
        ------
        BackboneError
            A task died each time.
        """
        import ray

        # A process that has used a GPU keeps memory of it: each task has one of its own there.
        function = ray.remote(max_calls=1)(work) if pool.gpus else ray.remote(work)
        remote = function.options(
            num_cpus=pool.cpus, num_gpus=pool.gpus or None, max_retries=TRIES - 1, retry_exceptions=False
        )
        left = iter(enumerate(tasks))
        running: dict[Any, int] = {}
        try:
            while True:
                for number, arguments in islice(left, pool.most - len(running)):
                    running[remote.remote(*arguments)] = number
                if not running:
                    return
                done, _ = ray.wait(list(running), timeout=LOOK_AROUND)
                for answer in done:
                    yield running.pop(answer), _answered(answer)
        finally:
            for answer in running:
                ray.cancel(answer)

    def serve(self, made: Callable[..., Any], *arguments: Any) -> Any:
        """An object of a class, in a process of its own that answers one call at a time.

        It may be given to tasks; it ends with this process.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # On this node: if another one dies, what all share does not die with it.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(made).options(num_cpus=0, max_restarts=0, scheduling_strategy=here)
        return Served(actor.remote(*arguments))


class Served:
    """An object that lives in a process of its own, whose methods are called from any process of the cluster."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._actor, name)
        return lambda *arguments: _answered(method.remote(*arguments))


def received(shared: Any) -> Any:
    """What `RayCluster.share` was given, on the node of this process."""
    import ray

    return ray.get(shared)


def _answered(answer: Any) -> Any:
    """What a task came to."""
    import ray

    try:
        return ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if error.cause is not None else error
        raise BackboneError(
            f"a task of the Ray cluster failed ({type(cause).__name__}: {first_line(cause)})"
        ) from None
    except ray.exceptions.RayError as error:
        raise BackboneError(
            f"work died again and again on the Ray cluster ({first_line(error)}): look at the nodes' memory"
        ) from None


def node_name() -> str:
    """The name of the node that this process works on."""
    import ray

    return f"{socket.gethostname()} ({ray.get_runtime_context().get_node_id()[:8]})"


@contextlib.contextmanager
def open_cluster(address: str | None, workers: int = 1) -> Iterator[RayCluster]:
    """Join the cluster at an address, or start one on this machine; it is left, or stopped, afterwards.

    A program that is connected to a cluster already stays so.

    Raises
    ------
    MissingDependencyError
        ray is not installed.
    ConfigError
        Nobody answers there, or another version of Ray or Python does.
    """
    ray = _import_ray(address)
    if ray.is_initialized():
        yield RayCluster()
        return
    if address is not None:
        _check_answers(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with _as_configuration(address, ray.exceptions.RayError), _without_stderr():
            ray.init(**_settings(address, workers))
        _hush()
        with contextlib.suppress(ValueError):  # a thread may not set handlers, and ray did not either
            signal.signal(signal.SIGTERM, handler)
        yield RayCluster()
    finally:
        ray.shutdown()


def _settings(address: str | None, workers: int) -> Mapping[str, Any]:
    common = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address is not None:
        return {**common, "address": address}
    return {
        **common,
        "address": "local",
        "num_cpus": max(usable_cores(), workers),
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
    }


def check_installed() -> None:
    """Raise a MissingDependencyError where there is no ray, before any work."""
    if find_spec("ray") is None:
        raise MissingDependencyError("ray", "--engine ray", "ray")


def _import_ray(address: str | None) -> Any:
    for name, value in QUIET.items():
        os.environ[name] = value
    locks = _locks() if address is None else {}
    os.environ |= locks
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
            import ray.data
    except ImportError as error:
        for name in locks:
            del os.environ[name]
        raise MissingDependencyError("ray", "--engine ray", "ray") from error
    return ray


def _locks() -> dict[str, str]:
    """Settings by which a cluster of our own, whose ports are open to the network, answers who knows its token alone.

    Ray reads them when it is imported, and never again.
    """
    if "ray" in sys.modules or any(name.startswith("RAY_AUTH") for name in os.environ):
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _check_answers(address: str) -> None:
    """Refuse an address that nobody listens at, in seconds: ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ConfigError(
            f"--ray-address takes HOST:PORT of a cluster's head, as `ray start --head` says, or auto (got {address!r})"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_WITHIN) as asked:
            asked.sendall(GREETING)
            if asked.recv(len(SETTINGS))[len(SETTINGS) - 1 :] != SETTINGS[-1:]:
                raise ConnectionError("it does not speak as Ray does")
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address} ({first_line(error)}); start one with `ray start --head`, or leave "
            "out --ray-address"
        ) from None


@contextlib.contextmanager
def _as_configuration(address: str | None, own: type[Exception]) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, own) as error:
        place = f"the Ray cluster at {address}" if address else "a Ray cluster on this machine"
        raise ConfigError(f"{place} cannot be used: {first_line(error)}") from error


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Ray's own library says there, whoever asks it not to, that it will say nothing there."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _hush() -> None:
    """Only we speak: what ray logs of the death of an actor is no news to whoever waits for the others."""
    for name in ("ray", "ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _reason(answer: Any) -> str:
    """What a node answered; or why it could not."""
    import ray

    try:
        reason: str = ray.get(answer, timeout=ASKED_SECONDS)
    except ray.exceptions.GetTimeoutError:
        return f"it did not answer within {ASKED_SECONDS:.0f} s"
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if error.cause is not None else error
        return f"headstart cannot be used there ({type(cause).__name__}: {first_line(cause)})"
    except ray.exceptions.RayError as error:
        return f"it could not be asked ({first_line(error)})"
    return reason


def pool_for(config: ClusterConfig, nodes: list[Node]) -> Pool:
    """How many workers, and the share of a node that each gets.

    Raises
    ------
    ConfigError
        The cluster has no such GPUs, or nothing to work on.
    """
    gpus = sum(node.gpus for node in nodes)
    if not nodes:
        raise ConfigError("the Ray cluster has no node with a CPU to work on; start one with `ray start`")
    if config.gpus_per_worker and max(node.gpus for node in nodes) < config.gpus_per_worker:
        raise ConfigError(
            f"--gpus-per-worker {config.gpus_per_worker:g}, and no node of the cluster has so many (it has {gpus:g} in "
            f"all); leave it out to compute on CPUs"
        )
    default = int(gpus / config.gpus_per_worker) if config.gpus_per_worker else len(nodes)
    least, most = config.least or config.most or default, config.most or default
    cpus = sum(node.cpus for node in nodes)
    share = min(cpus // most, min(node.cpus for node in nodes))
    return Pool(least, most, max(share, 1), config.gpus_per_worker)


def refuse(refusals: Sequence[Refusal]) -> None:
    """Stop before any work if a node cannot do it.

    Raises
    ------
    BackboneError
        Names the first of them.
    """
    if refusals:
        first, more = refusals[0], len(refusals) - 1
        others = f" (and {more} more)" if more else ""
        raise BackboneError(f"node {first.node.name}{others} is refused: {first.reason}")
