"""`cache diff` says why a command misses; `cache doctor` says whether a cache belongs to its backbone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Result, some_texts, write_texts

Runner = Callable[..., Result]
TEXTS = "py:tiny_backbones:texts"


def diff(headstart: Runner, *arguments: object) -> dict:
    done = headstart("cache", "diff", *arguments, "--backbone", TEXTS, "--set", "s", "--json", "-q")
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


def test_a_command_that_misses_nothing(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "s")
    found = diff(headstart, table)
    assert [(f["n_held"], f["n_missing"], f["nearest"]) for f in found["features"]] == [(80, 0, [])]
    assert found["samples"] == {"set": "s", "n_same": 80, "new": [], "changed": [], "gone": []}


def test_the_entry_of_the_recipe_that_differs_is_named(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "s")
    (feature,) = diff(headstart, table, "--dtype", "float16")["features"]
    assert feature["n_missing"] == 80
    assert feature["nearest"][0]["differences"] == {"stored": ["float32", "float16"]}
    assert feature["nearest"][0]["n_held"] == 80
    said = headstart("cache", "diff", table, "--backbone", TEXTS, "--set", "s", "--taps", "last.max").out
    assert "tap: 'pooler' there, 'final.max' here" in said


def test_samples_that_are_new_changed_and_gone_are_named(headstart: Runner, tmp_path: Path) -> None:
    rows = some_texts(20)
    ids = [(f"id-{number}", text, label) for number, (text, label) in enumerate(rows)]
    data = tmp_path / "d.csv"

    def write(rows: list[tuple[str, str, str]]) -> None:
        data.write_text("id,text,label\n" + "".join(",".join(row) + "\n" for row in rows), "utf-8")

    write(ids)
    options = ("--id-column", "id")
    headstart("extract", data, "--backbone", TEXTS, "--set", "s", *options)
    write([("id-0", "quite another text", "class 0"), *ids[2:], ("id-new", "one more text", "class 1")])
    found = diff(headstart, data, *options)
    assert found["samples"] == {
        "set": "s", "n_same": 18, "new": ["id-new"], "changed": ["id-0"], "gone": ["id-1"]
    }  # fmt: skip
    assert found["features"][0]["missing"] == ["id-0", "id-new"]


def test_a_set_that_is_not_there_yet(headstart: Runner, table: Path) -> None:
    assert diff(headstart, table)["samples"] is None
    assert "does not exist yet" in headstart("cache", "diff", table, "--backbone", TEXTS, "--set", "s").out


def test_a_healthy_cache(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "s", "--taps", "pooler,last.max")
    done = headstart("cache", "doctor", "s", "--samples", "10", "--json", "-q")
    assert done.code == 0
    for seen in json.loads(done.out):
        assert seen["n"] == 10
        assert seen["strangers"] == []
        assert seen["differences"] == {}
        assert seen["largest_error"] < 1e-5
    assert "healthy" in headstart("cache", "doctor", "s").out


def test_rows_that_do_not_belong_are_named(headstart: Runner, table: Path) -> None:
    """A backbone that computes otherwise than it says: only recomputing can tell."""
    headstart("extract", table, "--backbone", TEXTS, "--set", "s")
    done = headstart("cache", "doctor", "s", "--samples", "5", TINY_SCALE="1.5")
    assert done.code == 4
    assert done.out.count("does not belong") == 5
    assert "NOT healthy" in done.out


def test_a_row_of_another_sample_is_recognised(headstart: Runner, tmp_path: Path, cache_root: Path) -> None:
    import numpy as np

    from headstart.cache.formats import shard_format
    from headstart.cache.store import Cache
    from headstart.types import Features

    data = write_texts(tmp_path / "t.csv", some_texts(6))
    headstart("extract", data, "--backbone", TEXTS, "--set", "s", "--cache", cache_root)
    (path,) = Cache(cache_root).space_paths()
    space = Cache(cache_root).open_space(path.name)
    (shard,) = space.shard_names()
    whole = space.reader(shard).features()
    values = np.asarray(whole.values)[[1, 0, *range(2, 6)]]
    keys = np.array(whole.keys)
    (space.shards_dir / shard).unlink()
    space = Cache(cache_root).open_space(path.name)
    space.commit(Features(keys, values), shard_format("hdf5"))
    done = headstart("cache", "doctor", "s", "--cache", cache_root)
    assert done.code == 4
    assert done.out.count("it is the feature of t:") == 2


def test_a_backbone_that_has_changed_is_said(headstart: Runner, tiny_bert: Path, table: Path) -> None:
    from transformers import BertModel

    headstart("extract", table, "--backbone", f"hf:{tiny_bert}", "--set", "s")
    BertModel.from_pretrained(tiny_bert).double().float().save_pretrained(tiny_bert)
    assert headstart("cache", "doctor", "s").code == 0
    model = BertModel.from_pretrained(tiny_bert)
    model.encoder.layer[1].output.dense.weight.data *= 1.5
    model.save_pretrained(tiny_bert)
    done = headstart("cache", "doctor", "s")
    assert done.code == 4
    assert "the backbone has changed: weights" in done.out


@pytest.mark.parametrize("moved", [True, False])
def test_data_that_has_moved(headstart: Runner, table: Path, moved: bool) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "s")
    place = table.rename(table.with_name("elsewhere.csv"))
    if moved:
        assert headstart("cache", "doctor", "s", "--data", place).code == 0
        return
    done = headstart("cache", "doctor", "s")
    assert done.code == 1
    assert "pass --data" in done.err


def test_samples_that_cannot_be_recomputed_prove_nothing(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "s")
    done = headstart("cache", "doctor", "s", TINY_NAN="all")
    assert done.code == 1
    assert "none of the 32 samples could be recomputed" in done.err


def test_imported_features_have_no_backbone_to_compare_with(headstart: Runner, tmp_path: Path) -> None:
    data = tmp_path / "d.csv"
    data.write_text("a,b,label\n" + "".join(f"{text},other,{label}\n" for text, label in some_texts(20)))
    headstart("extract", data, "--backbone", TEXTS, "--set", "s", "--text-column", "a")
    headstart("cache", "export", "s", "x.npz")
    headstart("cache", "import", "x.npz", "--set", "s", "--backbone", "mine")
    done = headstart("cache", "doctor", "s")
    assert done.code == 0, done.err
    assert "imported:mine" in done.err
    assert "healthy" in done.out
    alone = headstart("cache", "doctor", "s", "--backbone", "imported:mine")
    assert alone.code == 2
    assert "were imported" in alone.err
    # What the set says of its data stands: a head on the extracted features still knows its column.
    headstart("fit-head", "s", "--head", "ridge", "--backbone", TEXTS, "--out", "run")
    assert headstart("predict", "run", data).code == 0
    headstart("fit-head", "s", "--head", "ridge", "--backbone", "imported:mine", "--out", "other")
    table = tmp_path / "new.csv"
    table.write_text("a,b\nquite new,x\n")
    refused = headstart("predict", "other", table)
    assert refused.code == 2
    assert "no backbone is known" in refused.err
