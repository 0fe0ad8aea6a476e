"""``headstart cache …`` as a user types it: what it says, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from caches import commit, flip, put, shards, space_of
from typer.testing import CliRunner

from headstart.cache.store import Cache


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    cache = Cache(cache_root)
    cache.prepare()
    for start in range(0, 40, 10):
        put(cache, range(start, start + 10), age=30)
    commit(cache, range(30))
    return cache


def run(cache: Cache, *arguments: object) -> tuple[int, str, str]:
    from headstart.cli.app import app

    given = ["cache", *map(str, arguments), "--cache", str(cache.root)]
    done = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_compact(cache: Cache) -> None:
    code, out, _ = run(cache, "compact", "--quiet", "--json")
    (done,) = json.loads(out)
    assert (code, done["n_before"], done["n_after"]) == (0, 4, 1)
    assert "1 shards -> 1" in run(cache, "compact", "--format", "parquet", "--quiet")[1]
    assert shards(cache)[0].endswith(".parquet")
    code, _, err = run(cache, "compact", "--format", "csv")
    assert code == 2
    assert "hdf5 or parquet" in err
    flip(space_of(cache).shards_dir / shards(cache)[0])
    put(cache, range(3))
    code, out, _ = run(cache, "compact", "--quiet")
    assert code == 1
    assert "is corrupt" in out


def test_gc(cache: Cache) -> None:
    code, out, _ = run(cache, "gc", "--quiet")
    assert code == 0
    assert "10 rows" in out
    assert "--apply does it" in out
    code, out, _ = run(cache, "gc", "--apply", "--quiet", "--json")
    assert [item["n_rows"] for item in json.loads(out)["items"]] == [10]
    assert run(cache, "gc", "--grace", "-1")[0] == 2
    (cache.open_set("some").path / "set.json").write_text("{}")
    code, _, err = run(cache, "gc", "--apply")
    assert code == 1
    assert "verify --repair" in err


def test_verify_and_repair(cache: Cache) -> None:
    assert run(cache, "verify", "--quiet")[0] == 0
    flip(space_of(cache).shards_dir / shards(cache)[0])
    assert run(cache, "verify", "--quiet")[0] == 1
    code, out, _ = run(cache, "verify", "--repair", "--quiet")
    assert code == 0
    assert "moved to the trash" in out
    assert "2 problems, 2 of them repaired" in out


def test_export_and_import(cache: Cache, tmp_path: Path) -> None:
    code, out, _ = run(cache, "export", "some", tmp_path / "x.npz")
    assert code == 0
    assert "30 samples" in out
    code, _, err = run(cache, "export", "some", tmp_path / "x.npz")
    assert code == 2
    assert "--overwrite" in err
    assert run(cache, "export", "nothing", tmp_path / "y.npz")[0] == 1
    arguments = ("import", tmp_path / "x.npz", "--set", "back", "--backbone", "mine", "--quiet")
    code, out, _ = run(cache, *arguments, "--json")
    assert code == 0
    assert json.loads(out) == {"set": "back", "samples": 30, "new": 30}
    assert "0 of them new" in run(cache, *arguments)[1]
    assert run(cache, "import", tmp_path / "x.npz", "--set", "back")[0] == 2
    assert "imported:mine" in run(cache, "ls")[1]


def test_ls_and_show(cache: Cache) -> None:
    space_of(cache).record_use(3, 1)
    _, out, _ = run(cache, "ls")
    assert "40 rows" in out
    assert "created 30 days ago" in out
    assert "75% hits" in out
    shown = json.loads(run(cache, "show", "some")[1])
    assert shown["spaces"][space_of(cache).id]["hit_rate"] == 0.75
