"""A Ray cluster of several nodes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NODE_BYTES = 80 << 20


@contextmanager
def head() -> Iterator[Any]:
    """A head, on which nothing is computed."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=_node(num_cpus=0))
    try:
        yield made
    finally:
        made.shutdown()


def add_nodes(cluster: Any, n: int = 3, **environment: str) -> list[Any]:
    """Nodes of one core each."""
    added = [cluster.add_node(**_node(num_cpus=1), env_vars=environment or None) for _ in range(n)]
    cluster.wait_for_nodes()
    return added


def on(cluster: Any, workers: int) -> tuple[object, ...]:
    """The options of a command."""
    return "--engine", "ray", "--ray-address", cluster.address, "--workers", workers


def _node(**more: Any) -> dict[str, Any]:
    return {"object_store_memory": NODE_BYTES, "include_dashboard": False, **more}
