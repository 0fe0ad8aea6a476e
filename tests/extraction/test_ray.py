"""``--engine ray``: a cluster computes what this process computes, loses nothing, and refuses what is not the same."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import headstart as hs
from headstart import ray_cluster
from headstart.arrow import keys_from_arrow
from headstart.cache.space import space_at
from headstart.errors import ConfigError, HeadstartError
from headstart.extraction.ray_engine import RayEngine
from headstart.extraction.ray_rows import LEAST_ROWS, MOST_BYTES, reader_of, tables_of
from headstart.extraction.ray_worker import RayTask, reason_against
from headstart.ray_cluster import Node, Pool, pool_for
from headstart.testing.engine import assert_same, n_stored, vectors

from ..end_to_end.conftest import HERE, Result, in_process, some_texts, write_texts
from ..processes import Process, start
from ..raylets import add_nodes, head, on
from .computing import Task, pictures, plan

TEXTS = "py:tiny_backbones:texts"
Runner = Callable[..., Result]


@pytest.fixture(autouse=True)
def _in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    )


def command(data: Path, cache: str, *more: object, **environment: str) -> Process:
    words = ("extract", data, "--backbone", TEXTS, "--set", "s", "--cache", cache, "--json", *more)
    return start(*words, **environment)


def ended(process: Process) -> Result:
    out, err = process.communicate()
    assert "Traceback" not in err
    return Result(process.wait(), out, err)


def check_whole(data: Path, cache: str) -> None:
    """Each row once, each vector right, and a cache that is sound."""
    done = in_process("cache", "verify", "--cache", cache, "--json")
    assert done.json["findings"] == []
    features, expected = (
        hs.open_set("s", cache=cache),
        hs.extract(data, TEXTS, set="s", cache="alone", quiet=True),
    )
    assert n_stored(features) == len(features) == len(expected)
    assert_same(vectors(features), vectors(expected))


def test_a_cluster_that_the_command_starts_makes_what_one_process_makes(tmp_path: Path) -> None:
    data = write_texts(tmp_path / "texts.csv", some_texts(200))
    done = ended(command(data, "shared", "--engine", "ray", "--offline"))
    assert done.code == 0, done.err
    assert done.json["computed"] == 200
    assert "1 worker on a Ray cluster of 1 node" in done.err
    check_whole(data, "shared")


# What needs no cluster


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--engine", "spark"], "engine: Input should be 'local' or 'ray' (got 'spark')"),
        (["--engine", "ray", "--workers", "0"], "--workers is 1 to 256"),
        (["--engine", "ray", "--workers", "4:2"], "--workers is 1 to 256, the least first (got '4:2')"),
        (["--engine", "ray", "--workers", "many"], "--workers takes a number, or MIN:MAX with --engine ray"),
        (["--workers", "1:2"], "--workers 1:2 is for a cluster, and none is asked for; add --engine ray"),
        (["--ray-address", "auto"], "--ray-address auto is for a cluster"),
        (["--gpus-per-worker", "1"], "--gpus-per-worker 1.0 is for a cluster"),
        (["--engine", "ray", "--device", "cuda"], "--device cuda on a cluster needs --gpus-per-worker"),
        (["--engine", "ray", "--ray-address", "127.0.0.1:9"], "no Ray cluster answers at 127.0.0.1:9"),
        (["--engine", "ray", "--ray-address", "nonsense"], "--ray-address takes HOST:PORT"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(tmp_path: Path, options: Sequence[str], says: str) -> None:
    data = write_texts(tmp_path / "texts.csv", some_texts(3))
    done = in_process("extract", data, "--backbone", TEXTS, "--cache", "c", *options)
    assert (done.code, says in done.err) == (2, True), done.err
    assert not list(Path("c").glob("spaces/*/shards/*"))


def test_an_address_at_which_something_else_listens_is_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWERS_WITHIN", 0.2)
    data = write_texts(tmp_path / "texts.csv", some_texts(3))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        options = ("--engine", "ray", "--ray-address", address)
        done = in_process("extract", data, "--backbone", TEXTS, "--cache", "c", *options)
    assert done.code == 2
    assert f"no Ray cluster answers at {address} (timed out)" in done.err


@pytest.mark.parametrize(
    ("workers", "gpus", "expected"),
    [
        ((None, None), 0.0, Pool(3, 3, 4)),
        ((None, 2), 0.0, Pool(2, 2, 4)),
        ((1, 6), 0.0, Pool(1, 6, 3)),
        ((None, None), 0.5, Pool(4, 4, 4, 0.5)),
        ((None, 40), 0.0, Pool(40, 40, 1)),
    ],
)
def test_workers_share_the_nodes_out(workers: tuple[Any, Any], gpus: float, expected: Pool) -> None:
    from headstart.config import ClusterConfig

    nodes = [Node("a", "one", 4, 2), Node("b", "two", 8, 0), Node("c", "three", 8, 0)]
    assert pool_for(ClusterConfig(None, *workers, gpus), nodes) == expected


def test_gpus_that_no_node_has_are_refused() -> None:
    from headstart.config import ClusterConfig

    with pytest.raises(ConfigError, match=r"--gpus-per-worker 2, and no node of the cluster has so many"):
        pool_for(ClusterConfig(None, None, 1, 2.0), [Node("a", "one", 4, 1)])


@given(n=st.integers(1, 600), n_workers=st.integers(1, 40))
def test_every_row_is_in_one_table_and_no_unit_in_two(n: int, n_workers: int) -> None:
    task = _planned(n)
    tables = tables_of(task.work, np.arange(n), n_workers)
    rows = [row for table in tables for row in table.column("row").to_pylist()]
    assert sorted(rows) == sorted(task.work.todo.tolist())
    units = [unit for table in tables for unit in set(table.column("unit").to_pylist())]
    assert len(units) == len(set(units))
    assert all(table.num_rows >= LEAST_ROWS for table in tables[:-1])
    for table in tables:
        keys = task.samples.keys[table.column("row").to_pylist()]
        np.testing.assert_array_equal(keys_from_arrow(table.column("key")), keys)


_PLANS: dict[int, Task] = {}


def _planned(n: int) -> Task:
    if n not in _PLANS:
        _PLANS[n] = plan([text for text, _ in some_texts(n)], TEXTS, Path("planned"))
    return _PLANS[n]


def test_pictures_in_memory_are_sent_while_they_are_small(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = plan(pictures(4), "py:tiny_backbones:images", cache_root, modality="image")
    assert 0 < len(reader_of(task.source)) < MOST_BYTES
    monkeypatch.setattr("headstart.extraction.ray_rows.MOST_BYTES", 100)
    with pytest.raises(ConfigError, match=r"lie in the memory of this process.*write them to files"):
        reader_of(task.source)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[RayTask, pa.Table]]:
    """What a worker is told at first, and the first row, of a folder of pictures."""
    for number, content in enumerate(pictures(3)):
        (tmp_path / f"{number}.png").write_bytes(content)
    files = [str(tmp_path / f"{number}.png") for number in range(3)]
    task = plan(files, "py:tiny_backbones:images", tmp_path / "cache", modality="image")
    engine = RayEngine(task.opened, task.config, None, task.heard)  # type: ignore[arg-type]  no cluster is asked
    task.opened.prepare(task.work.spaces)
    with task.work.spaces[0].claims() as board:
        made = engine._task(task.work, reader_of(task.source), board.name, Pool(1, 1, 1))
        yield made, tables_of(task.work, np.arange(3), 1)[0]


def test_a_node_that_sees_the_same_can_work(told: tuple[RayTask, pa.Table]) -> None:
    assert reason_against(*told) == ""


def test_a_node_with_another_cache_is_refused(told: tuple[RayTask, pa.Table], tmp_path: Path) -> None:
    task, first = told
    space = space_at(tmp_path / "other", task.rows.spaces[0].recipe)
    task = replace(task, rows=replace(task.rows, spaces=(space,)))
    assert "other is not the cache that this command writes to" in reason_against(task, first)
    space.prepare()
    space.claims_dir.mkdir()
    (space.claims_dir / task.driver).write_text("another writer's")
    assert "is not the cache that this command writes to" in reason_against(task, first)


@pytest.mark.parametrize("package", ["torch", "numerics", "timm"])
def test_a_node_with_other_versions_is_refused(told: tuple[RayTask, pa.Table], package: str) -> None:
    task, first = told
    place = replace(task.place, versions={**task.place.versions, package: "0.0.1"})
    assert f"{package} " in (reason := reason_against(replace(task, place=place), first))
    assert "and here it is 0.0.1; install the same versions" in reason


def test_a_node_that_cannot_read_the_first_sample_is_refused(told: tuple[RayTask, pa.Table]) -> None:
    task, first = told
    path = Path(first.column("id")[0].as_py())
    content = path.read_bytes()
    path.unlink()
    assert "it cannot read" in reason_against(task, first)
    path.write_bytes(content + b"more")
    assert "is another file there" in reason_against(task, first)


# On three raylets


@pytest.fixture
def cluster() -> Iterator[Any]:
    with head() as made:
        yield made


def wait_for_shards(process: Process, cache: str, n: int) -> None:
    """Until so many shards are committed."""
    while process.poll() is None and len(list(Path(cache).glob("spaces/*/shards/*.h5"))) < n:
        time.sleep(0.05)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "many.csv", some_texts(3000))


@pytest.mark.slow
def test_a_node_that_is_killed_half_way_loses_nothing(cluster: Any, many: Path) -> None:
    nodes = add_nodes(cluster, TINY_SECONDS="0.01")
    process = command(many, "shared", *on(cluster, 3))
    wait_for_shards(process, "shared", 5)
    cluster.remove_node(nodes[1], allow_graceful=False)
    done = ended(process)
    assert done.code == 0, done.err
    check_whole(many, "shared")


@pytest.mark.slow
def test_a_driver_that_is_killed_and_started_again_goes_on(cluster: Any, many: Path) -> None:
    add_nodes(cluster, TINY_SECONDS="0.01")
    process = command(many, "shared", *on(cluster, 3))
    wait_for_shards(process, "shared", 5)
    process.kill()
    process.communicate()
    done = ended(command(many, "shared", *on(cluster, 3)))
    assert done.code == 0, done.err
    assert done.json["computed"] < 3000
    check_whole(many, "shared")


@pytest.mark.slow
def test_two_drivers_on_one_cache_share_the_work(cluster: Any, many: Path) -> None:
    add_nodes(cluster, 2, TINY_SECONDS="0.01")
    both = [command(many, "shared", *on(cluster, 1)) for _ in range(2)]
    done = [ended(process) for process in both]
    assert [each.code for each in done] == [0, 0], [each.err for each in done]
    computed = [each.json["computed"] for each in done]
    assert sum(computed) == 3000
    assert min(computed) > 0
    check_whole(many, "shared")


STRANGER = """
import os, subprocess, sys
from headstart.ray_cluster import open_cluster
with open_cluster(None):
    import ray
    address = ray.get_runtime_context().gcs_address
    known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    code = f"import ray; ray.init(address={address!r})"
    print(subprocess.run([sys.executable, "-c", code], env=known, capture_output=True).returncode)
"""


@pytest.mark.slow
def test_a_cluster_of_our_own_answers_no_stranger() -> None:
    done = subprocess.run([sys.executable, "-c", STRANGER], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"], done.stderr
    assert not done.stderr  # ray's own words among them


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_finished_and_leaves_no_process(tmp_path: Path, number: int) -> None:
    data = write_texts(tmp_path / "texts.csv", some_texts(3000))
    process = command(data, "shared", "--engine", "ray", TINY_SECONDS="0.01")
    wait_for_shards(process, "shared", 2)
    its_own = raylets_of(process.pid)
    assert its_own
    os.kill(process.pid, number)
    done = ended(process)
    assert done.code == 128 + number, done.err
    assert "what was finished is kept" in done.err
    assert not any(psutil.pid_exists(pid) for pid in its_own)
    again = ended(command(data, "shared"))
    assert 0 < again.json["computed"] < 3000
    check_whole(data, "shared")


def raylets_of(driver: int) -> list[int]:
    began = psutil.Process(driver).children(recursive=True)
    return [each.pid for each in began if each.name() == "raylet"]


@pytest.mark.slow
def test_a_node_with_other_weights_is_refused_by_its_name(cluster: Any, many: Path) -> None:
    (node,) = add_nodes(cluster, 1, TINY_WIDTH="24")
    done = ended(command(many, "shared", *on(cluster, 1)))
    assert done.code == 4, done.err
    assert f"({node.node_id[:8]}): refused: {TEXTS} is another one there than here (weights" in done.err
    assert not list(Path("shared").glob("spaces/*/shards/*.h5"))


@pytest.mark.slow
def test_a_node_with_other_packages_is_refused_before_any_work(
    cluster: Any, many: Path, tmp_path: Path
) -> None:
    (tmp_path / "site" / "timm-0.0.1.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "timm-0.0.1.dist-info" / "METADATA").write_text("Name: timm\nVersion: 0.0.1\n")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ["PYTHONPATH"]])
    (node,) = add_nodes(cluster, 1, PYTHONPATH=path)
    done = ended(command(many, "shared", *on(cluster, 1)))
    assert done.code == 1, done.err
    assert f"({node.node_id[:8]}) is refused: it has timm 0.0.1" in done.err


@pytest.mark.slow
def test_a_pool_that_may_grow_makes_the_same(cluster: Any, many: Path) -> None:
    add_nodes(cluster, 2)
    options = ("--engine", "ray", "--ray-address", cluster.address, "--workers", "1:2")
    done = ended(command(many, "shared", *options))
    assert done.code == 0, done.err
    assert "1 to 2 workers" in done.err
    check_whole(many, "shared")


def test_without_ray_the_error_names_the_extra_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    data = tmp_path / "not-even-looked-for.csv"
    with pytest.raises(HeadstartError, match=r"--engine ray needs ray.*pip install 'headstart\[ray\]'"):
        hs.extract(data, TEXTS, engine="ray", cache="c", quiet=True)
