"""``hs.evaluate`` of what a program holds, of sets, and with runs of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import ConfigError, DataError

from .conftest import IMAGES, TEXTS, some_texts, write_image, write_texts


@pytest.fixture
def run(tmp_path: Path) -> Any:
    write_texts(tmp_path / "train.csv", some_texts(60))
    features = hs.extract("train.csv", TEXTS, set="t", quiet=True)
    return hs.fit_head(features, "ridge", out="run", plots="none")


def unseen(n: int) -> tuple[list[str], list[str]]:
    texts, labels = zip(*some_texts(n), strict=True)
    return [f"{text} again" for text in texts], list(labels)


def test_texts_with_labels_ids_and_groups(run: Any) -> None:
    texts, labels = unseen(30)
    groups = [f"writer {row // 3}" for row in range(30)]
    ids = [f"text {row}" for row in range(30)]
    found = run.evaluate(texts, labels=labels, ids=ids, groups=groups, name="held", plots="none")
    assert found.predictions.column("id").to_pylist() == ids
    assert (found.metrics["n"], found.metrics["n_groups"]) == (30, 10)
    assert found.path == Path("run/evaluations/held")
    write_texts(Path("same.csv"), list(zip(texts, labels, strict=True)))
    as_file = run.evaluate("same.csv", plots="none")
    assert as_file.metrics["accuracy"] == found.metrics["accuracy"]
    assert "n_groups" not in as_file.metrics
    half = run.evaluate(texts, labels=labels, splits=["test", "train"] * 15, name="half", plots="none")
    assert half.metrics["n"] == 15
    with pytest.raises(ConfigError, match="labels= goes with samples in memory"):
        hs.evaluate(run, "same.csv", labels=labels, name="x")
    with pytest.raises(DataError, match="has no labels"):
        run.evaluate(texts, name="x")


def test_a_data_frame_and_a_data_set_of_hugging_face(run: Any) -> None:
    pd, datasets = pytest.importorskip("pandas"), pytest.importorskip("datasets")
    texts, labels = unseen(18)
    frame = pd.DataFrame({"text": texts, "label": labels})
    found = run.evaluate(frame, name="frame", plots="none")
    classes = datasets.ClassLabel(names=sorted(set(labels)))
    data = datasets.Dataset.from_dict({"text": texts, "label": labels}).cast_column("label", classes)
    other = run.evaluate(data, name="data", plots="none")
    assert found.metrics == other.metrics
    assert found.metrics["n"] == 18


def test_a_set_by_name_and_as_it_is(run: Any) -> None:
    found = hs.evaluate("run", "t", plots="none")
    own = run.report["metrics"]["test"]
    assert found.metrics == own
    assert (found.path, found.report["data"]["split"]) == (Path("run/evaluations/t"), "test")
    texts, labels = unseen(30)
    labels[:3] = ["class 9"] * 3
    fresh = hs.extract(texts, TEXTS, labels=labels, set="fresh", quiet=True)
    everything = run.evaluate(fresh, split="all", name="all", plots="none")
    assert everything.metrics["n"] == 30
    data = everything.report["data"]
    assert (data["unknown_to_run"], data["n_unknown_to_run"]) == (["class 9"], 3)
    with pytest.raises(DataError, match="neither data nor a set 'frsh'; did you mean 'fresh'"):
        hs.evaluate("run", "frsh")
    with pytest.raises(ConfigError, match="a set has its own"):
        hs.evaluate("run", fresh, labels=labels)


def test_a_set_without_the_features_of_the_run_is_read_again(run: Any, tmp_path: Path) -> None:
    texts, labels = unseen(24)
    write_texts(tmp_path / "fresh.csv", list(zip(texts, labels, strict=True)))
    hs.extract("fresh.csv", TEXTS, taps="last.max", set="other", quiet=True)
    found = hs.evaluate("run", "other", split="all", plots="none")
    as_file = hs.evaluate("run", "fresh.csv", plots="none")
    assert found.metrics == as_file.metrics
    new = [f"{text} and again" for text in texts]
    held = hs.extract(new, TEXTS, taps="last.max", labels=labels, set="held", cache="elsewhere", quiet=True)
    with pytest.raises(ConfigError, match="was made of data in memory"):
        hs.evaluate("run", held, cache="a-third", split="all", name="x")


def test_several_taps_side_by_side(tmp_path: Path) -> None:
    write_texts(tmp_path / "train.csv", some_texts(60))
    features = hs.extract("train.csv", TEXTS, taps=["last.mean", "last.max"], set="t", quiet=True)
    run = hs.fit_head(features, "ridge", tap=["last.mean", "last.max"], out="run", plots="none")
    texts, labels = unseen(12)
    found = run.evaluate(texts, labels=labels, name="held", plots="none")
    predicted = run.predict(texts)
    assert found.predictions.column("prediction").to_pylist() == predicted.labels


def test_pixels_with_their_layout(tmp_path: Path) -> None:
    for number in range(60):
        write_image(
            tmp_path / "photos" / ("circle", "square", "triangle")[number % 3] / f"{number}.png", number
        )
    run = hs.fit_head(hs.extract("photos", IMAGES, quiet=True), "ridge", plots="none")
    pixels = np.zeros((6, 3, 3, 3), dtype=np.uint8)
    pixels[np.arange(6), np.arange(6) % 3] = 200
    labels = ["circle", "square", "triangle"] * 2
    with pytest.raises(ConfigError, match="layout="):
        run.evaluate(pixels, labels=labels)
    found = run.evaluate(pixels, labels=labels, layout="NCHW")
    assert found.metrics["n"] == 6
    assert found.path is None


@pytest.mark.parametrize("strategy", ["full", pytest.param("lora", marks=pytest.mark.slow), "frozen"])
def test_runs_of_whole_networks(tiny_bert: Path, tmp_path: Path, strategy: str) -> None:
    if strategy == "lora":
        pytest.importorskip("peft")
    write_texts(tmp_path / "train.csv", some_texts(48))
    backbone = f"hf:{tiny_bert}"
    features = hs.extract("train.csv", backbone, set="t", quiet=True)
    tuned = hs.fine_tune(features, strategy=strategy, epochs=1, out="tuned", plots="none")
    head = hs.fit_head(features, "ridge", out="head", plots="none")
    texts, labels = unseen(20)
    write_texts(tmp_path / "fresh.csv", list(zip(texts, labels, strict=True)))
    found = [run.evaluate("fresh.csv", plots="none") for run in (tuned, head)]
    assert found[0].predictions.column("prediction").to_pylist() == tuned.predict(texts).labels
    compared = hs.compare(["tuned", "head"], on="fresh")
    assert compared.n == 20
    assert [one.figures["accuracy"] for one in compared.runs] == [each.metrics["accuracy"] for each in found]
    of_set = hs.evaluate("tuned", "t", plots="none")
    assert of_set.metrics["accuracy"] == pytest.approx(tuned.report["metrics"]["test"]["accuracy"])
