"""From raw inputs to predictions in three commands, and the backbone paid for once."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import headstart as hs

from .conftest import CLASSES, IMAGES, TEXTS, Result, drawn, some_texts, write_image, write_texts

Runner = Callable[..., Result]
RUN_FILES = {
    "config.yaml", "report.json", "metrics.jsonl", "predictions.parquet", "labels.json", "environment.json",
    "features.json", "split.parquet", "model", "plots", "README.md",
}  # fmt: skip


def test_three_commands_from_photos_to_predictions(headstart: Runner, photos: Path) -> None:
    extracted = headstart("extract", photos, "--backbone", IMAGES, "--set", "photos", "--json")
    assert extracted.code == 0
    assert extracted.json["computed"] == extracted.json["samples"] == 60
    fitted = headstart(*drawn("fit-head", "photos", "--head", "ridge", "--out", "run", "--json"))
    assert fitted.json["metrics"]["test"]["accuracy"] > 0.9
    assert Path("run/plots/confusion.png").stat().st_size > 1000
    assert {path.name for path in Path("run").iterdir()} == RUN_FILES
    assert headstart("predict", "run", photos, "--out", "out.csv").code == 0
    with open("out.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert sum(row["prediction"] == row["id"].split("/")[0] for row in rows) > 54
    assert sum(float(rows[0][f"p:{name}"]) for name in CLASSES) == pytest.approx(1, abs=1e-5)


def test_texts_with_each_head(headstart: Runner, table: Path) -> None:
    assert headstart("extract", table, "--backbone", TEXTS, "--set", "texts").code == 0
    for head in ("logistic", "ridge", "linear"):
        done = headstart("fit-head", "texts", "--head", head, "--json")
        assert done.json["metrics"]["test"]["accuracy"] > 0.9
    out = headstart("predict", "runs/texts-linear", table, "--quiet").out
    assert out.splitlines()[0] == '"id","prediction","p:class 0","p:class 1"'
    out = headstart("predict", "runs/texts-linear", table, "--quiet", "--label-column", "label").out
    assert out.splitlines()[0] == '"id","label","prediction","p:class 0","p:class 1"'


def test_the_same_in_python(photos: Path) -> None:
    features = hs.extract(photos, backbone=IMAGES, quiet=True)
    X, y = features.arrays("train")
    assert X.dtype == np.float32
    assert y.dtype == np.int64
    assert len(X) == len(y) == features.info["counts"]["train"]
    run = hs.fit_head(features, head="logistic")
    some = sorted(photos.rglob("*.png"))[:5]
    predicted = run.predict([str(path) for path in some])
    assert predicted.column("id").to_pylist() == [str(path) for path in some]
    saved = hs.load_run(run.save("saved"))
    assert saved.predict([str(path) for path in some]).equals(predicted)
    assert hs.open_set(features.name).digest == features.digest


def test_the_embedder_is_a_scikit_learn_transformer(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = zip(*some_texts(40), strict=True)
    pipeline = make_pipeline(hs.Embedder(TEXTS), LogisticRegression())
    assert pipeline.fit(texts, labels).score(texts, labels) > 0.9


def test_only_new_samples_are_computed(headstart: Runner, photos: Path, tmp_path: Path) -> None:
    def computed(data: Path) -> int:
        result = headstart("extract", data, "--backbone", IMAGES, "--set", "photos", "--json")
        assert result.code == 0, result.err
        labels = hs.open_set("photos").samples
        for name, label in zip(labels["id"].to_pylist(), labels["label:label"].to_pylist(), strict=True):
            assert name.startswith(f"{label}/")
        return int(result.json["computed"])

    assert computed(photos) == 60
    assert computed(photos) == 0
    for number in range(100, 150):
        write_image(photos / "circle" / f"{number}.png", number)
    assert computed(photos) == 50
    (photos / "square").rename(photos / "box")
    assert computed(photos) == 0
    moved = Path(shutil.move(photos, tmp_path / "elsewhere"))
    assert computed(moved) == 0
    shutil.copy(moved / "box" / "001.png", moved / "circle" / "copy.png")
    assert computed(moved) == 0


def test_relabelled_and_shuffled_tables_cost_nothing(headstart: Runner, tmp_path: Path) -> None:
    rows = some_texts(40)
    path = write_texts(tmp_path / "texts.csv", rows)
    extract = ("extract", path, "--backbone", TEXTS, "--set", "texts", "--json")
    assert headstart(*extract).json["computed"] == 40
    before = dict(_column_by_text("split"))
    relabelled = [(text, label.upper()) for text, label in reversed(rows)]
    write_texts(path, relabelled)
    assert headstart(*extract).json["computed"] == 0
    assert {label for _, label in _column_by_text("label:label")} == {"CLASS 0", "CLASS 1"}
    assert dict(_column_by_text("split")) == before


def _column_by_text(column: str) -> list[tuple[bytes, str]]:
    table = hs.open_set("texts").samples
    return list(zip(table["key"].to_pylist(), table[column].to_pylist(), strict=True))


def test_the_same_photo_under_two_names_is_computed_once(headstart: Runner, photos: Path) -> None:
    for path in list(photos.rglob("*.png")):
        shutil.copy(path, path.with_name("copy-" + path.name))
    result = headstart("extract", photos, "--backbone", IMAGES, "--json").json
    assert (result["samples"], result["computed"]) == (120, 60)


def test_what_changes_a_number_is_another_space(headstart: Runner, table: Path) -> None:
    def space(*options: object) -> str:
        result = headstart("extract", table, "--backbone", TEXTS, "--json", *options)
        assert result.code == 0, result.err
        return str(result.json["spaces"][0])

    plain = space()
    others = [space("--taps", "last.max"), space("--dtype", "float16"), space("--precision", "bf16")]
    assert len({plain, *others}) == 4
    assert space("--batch-size", "3") == plain
    assert space("--device", "cpu", "--precision", "fp32") == plain
    assert space("--format", "parquet") == plain


def test_both_formats_give_the_same(headstart: Runner, table: Path) -> None:
    arrays = []
    for shard_format in ("hdf5", "parquet"):
        cache = f"cache-{shard_format}"
        headstart(
            "extract", table, "--backbone", TEXTS, "--set", "t", "--cache", cache, "--format", shard_format
        )
        arrays.append(hs.open_set("t", cache=cache).arrays())
        assert headstart("cache", "verify", "--cache", cache).code == 0
    scale = np.abs(arrays[0][0]).max()  # batches differ from run to run, so equal within the tolerance
    np.testing.assert_allclose(arrays[0][0], arrays[1][0], atol=1e-5 * scale)
    np.testing.assert_array_equal(arrays[0][1], arrays[1][1])


def test_one_seed_gives_one_result(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    for head in ("logistic", "ridge", "linear"):
        for out in ("a", "b"):
            headstart("fit-head", "t", "--head", head, "--seed", "7", "--out", f"{head}-{out}")
        a, b = (pq.read_table(f"{head}-{out}/predictions.parquet") for out in ("a", "b"))
        assert a.equals(b)


def test_a_configuration_repeats_its_run(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    headstart("fit-head", "t", "--head", "ridge", "--param", "alpha=3", "--out", "a")
    assert headstart("fit-head", "--config", "a/config.yaml", "--out", "b").code == 0
    assert pq.read_table("a/predictions.parquet").equals(pq.read_table("b/predictions.parquet"))
    assert json.loads(Path("b/report.json").read_text())["head"]["params"]["alpha"] == 3


def test_a_run_is_not_overwritten_by_accident(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    assert headstart("fit-head", "t", "--out", "run", "--head", "ridge").code == 0
    refused = headstart("fit-head", "t", "--out", "run", "--head", "ridge")
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert headstart("fit-head", "t", "--out", "run", "--head", "ridge", "--overwrite").code == 0


def test_cache_ls_and_show_tell_what_is_there(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    listing = headstart("cache", "ls", "--json").json
    assert [entry["set"] for entry in listing["sets"]] == ["t"]
    assert listing["spaces"][0]["rows"] == 80
    shown = json.loads(headstart("cache", "show", "t").out)
    assert shown["labels"] == {"label": ["class 0", "class 1"]}
    recipe = json.loads(headstart("cache", "show", listing["spaces"][0]["space"]).out)["recipe"]
    assert recipe["compute"] == "fp32"
