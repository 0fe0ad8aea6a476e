"""The drift of int8 is measured on the same sample everywhere, says what a head loses, and int8 is never a default."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import BackboneOptions
from headstart.backbones.pooling import pool
from headstart.cache.store import Cache
from headstart.contracts import Source
from headstart.data import open_source
from headstart.errors import ConfigError
from headstart.extraction.backbone import OpenedBackbone, load_model
from headstart.extraction.drift import A_CLASS, Drift, choose_sample, measure_drift
from headstart.extraction.samples import Samples, register
from headstart.keys import key_of
from headstart.progress import Silence

from ..backbones import tiny_vision
from ..extraction.computing import compute, pictures, plan, some_texts

MINILM = "bundled:all-minilm-l6-v2"
TOPICS = {
    "card": ["my card is lost", "the card was swallowed", "a new card never came", "please block my card"],
    "rain": ["it rains all day", "the storm is near", "clouds and more rain", "the sun is back again"],
    "cook": ["peel the onions", "boil the noodles", "bake it for an hour", "add salt to the soup"],
}


def table(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def topics(n_a_topic: int) -> list[tuple[str, str]]:
    """Texts of three topics, no two alike."""
    return [
        (f"{words[number % len(words)]}, for the {number}th time", topic)
        for topic, words in TOPICS.items()
        for number in range(n_a_topic)
    ]


def scanned(path: Path | Sequence[object], cache: Path) -> tuple[Source, Samples]:
    is_text = not isinstance(path, Path) and isinstance(path[0], str)
    source = open_source(path, modality="text" if is_text else None)  # type: ignore[arg-type]
    return source, register(source, Cache(cache).keys, Silence())


def opened(spec: str, cache: Path, source: Source) -> OpenedBackbone:
    return OpenedBackbone(spec, BackboneOptions(modality=source.modality), Cache(cache), Silence())


def measure(
    spec: str, data: Path | Sequence[object], cache: Path, taps: Sequence[str], n: int = 48
) -> dict[str, Drift]:
    source, samples = scanned(data, cache)
    return measure_drift(opened(spec, cache, source), source, samples, taps, "int8", Silence(), n)


# The sample


def chosen_texts(path: Path, cache: Path, n: int) -> list[str]:
    source, samples = scanned(path, cache)
    return sorted(str(source.payload(int(row))) for row in choose_sample(samples, n).rows)


def test_the_sample_is_the_same_in_whatever_order_the_data_comes(tmp_path: Path, cache_root: Path) -> None:
    rows = topics(30)
    shuffled = random.Random(0).sample(rows, len(rows))
    assert rows != shuffled
    first = chosen_texts(table(tmp_path / "a.csv", rows), cache_root, 24)
    assert first == chosen_texts(table(tmp_path / "b.csv", [*shuffled, *rows[:9]]), cache_root, 24)
    assert len(first) == 24


def test_the_sample_holds_whole_classes_equally(tmp_path: Path, cache_root: Path) -> None:
    rows = [*topics(20), *((f"rare {number}", "rare") for number in range(A_CLASS - 1)), ("no label", "")]
    _, samples = scanned(table(tmp_path / "a.csv", rows), cache_root)
    sample = choose_sample(samples, 30)
    assert sample.classes is not None
    assert np.unique(sample.classes, return_counts=True)[1].tolist() == [10, 10, 10]
    assert len(np.unique(choose_sample(samples, 2 * A_CLASS).classes)) == 2  # type: ignore[arg-type]
    labels = samples.table.column("label:label").to_pylist()
    assert {labels[row] for row in sample.rows} == set(TOPICS)


def test_without_enough_labels_the_sample_is_the_first_keys(tmp_path: Path, cache_root: Path) -> None:
    rows = [(text, "some" if number < A_CLASS else "other") for number, (text, _) in enumerate(topics(5))]
    _, samples = scanned(table(tmp_path / "a.csv", rows), cache_root)
    sample = choose_sample(samples, 6)
    assert sample.classes is None
    first = sorted(key_of("text", text) for text, _ in rows)[:6]
    assert sorted(samples.keys[row].tobytes() for row in sample.rows) == first


def test_labels_of_the_test_split_are_not_looked_at(tmp_path: Path, cache_root: Path) -> None:
    for split in ("train", "test"):
        rows = [(f"{split}: {text}", label) for text, label in topics(20)]
        table(tmp_path / f"{split}.csv", rows)
    source, samples = scanned(tmp_path, cache_root)
    rows = choose_sample(samples, 60).rows
    assert len(rows) == 60
    assert all(str(source.payload(int(row))).startswith("train") for row in rows)


# The measurement


def test_what_is_measured_is_how_far_int8_is_from_fp32(
    tmp_path: Path, tiny_bert: Path, cache_root: Path
) -> None:
    path = table(tmp_path / "a.csv", topics(16))
    source, samples = scanned(path, cache_root)
    backbone = opened(f"hf:{tiny_bert}", cache_root, source)
    drift = measure_drift(backbone, source, samples, ["final.mean", "final.tokens"], "int8", Silence(), 48)
    vectors = {}
    for precision in ("fp32", "int8"):
        backbone.release()
        model = load_model(backbone, "cpu", precision)  # type: ignore[arg-type]
        texts = [source.payload(int(row)) for row in choose_sample(samples, 48).rows]
        batch = model.collate(model.prepare(texts))
        vectors[precision] = pool(model.forward(batch), "final.mean").numpy().astype(np.float64)
    a, b = vectors["fp32"], vectors["int8"]
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    error = np.abs(a - b).max(axis=1) / np.abs(a).max(axis=1)
    found = drift["final.mean"]
    assert found.n_samples == 48
    assert found.cosine_mean == pytest.approx(cosine.mean(), abs=1e-5)
    assert found.cosine_min == pytest.approx(cosine.min(), abs=1e-5)
    assert found.largest_error == pytest.approx(error.max(), abs=1e-4)
    assert 0.99 < found.cosine_min < found.cosine_mean < 1
    assert found.accuracy is not None
    tokens = drift["final.tokens"]
    assert tokens.n_samples == 48
    assert 0.98 < tokens.cosine_min < 1
    assert tokens.accuracy is not None


@pytest.mark.slow
def test_a_tap_that_int8_destroys_shows_in_the_accuracy_though_the_cosine_is_one(
    tmp_path: Path, cache_root: Path
) -> None:
    # The class token of MiniLM's middle layers hardly varies: its differences are below one step of int8.
    drift = measure(MINILM, table(tmp_path / "a.csv", topics(16)), cache_root, ["3.cls", "final.mean"])
    assert drift["3.cls"].cosine_min > 0.999
    assert drift["3.cls"].accuracy is not None
    exact, found = drift["3.cls"].accuracy
    assert exact > found + 0.2
    assert 0.99 < drift["final.mean"].cosine_min < drift["final.mean"].cosine_mean < 1
    assert drift["final.mean"].accuracy is not None
    assert min(drift["final.mean"].accuracy) > 0.9
    assert abs(np.subtract(*drift["final.mean"].accuracy)) < 0.1


def test_a_set_says_it_in_plain_json(tmp_path: Path, tiny_bert: Path, cache_root: Path) -> None:
    labelled = measure(f"hf:{tiny_bert}", table(tmp_path / "a.csv", topics(16)), cache_root, ["final.mean"])
    entry = labelled["final.mean"].entry("int8")
    assert json.loads(json.dumps(entry)) == entry
    assert set(entry) == {"samples", "cosine", "largest_error", "head_accuracy"}
    assert set(entry["cosine"]) == {"mean", "min"}
    assert set(entry["head_accuracy"]) == {"fp32", "int8"}
    alone = measure(f"hf:{tiny_bert}", some_texts(30), cache_root, ["final.mean"])
    assert alone["final.mean"].entry("int8")["head_accuracy"] is None


def test_images_that_cannot_be_read_are_left_out(tmp_path: Path, cache_root: Path) -> None:
    spec = f"hf:{tiny_vision.vit(tmp_path / 'vit')}"
    given = [*pictures(20, (40, 40)), b"no image"]
    drift = measure(spec, given, cache_root, ["pooler", "final.tokens"], n=21)
    assert {tap: found.n_samples for tap, found in drift.items()} == {"pooler": 20, "final.tokens": 20}
    assert 0.99 < drift["pooler"].cosine_min < 1
    assert measure(spec, [b"no image", b"neither"], cache_root, ["pooler"]) == {}


def test_nothing_of_it_is_kept_and_the_model_can_be_loaded_again(tiny_bert: Path, cache_root: Path) -> None:
    source, samples = scanned(some_texts(20), cache_root)
    backbone = opened(f"hf:{tiny_bert}", cache_root, source)
    measure_drift(backbone, source, samples, ["final.mean"], "int8", Silence(), 16)
    assert not list(cache_root.rglob("*.h5"))
    load_model(backbone, "cpu", "fp32")


# int8 in a cache


def test_int8_is_stored_as_float16_under_a_recipe_of_its_own(tiny_bert: Path, cache_root: Path) -> None:
    task = plan(some_texts(12), f"hf:{tiny_bert}", cache_root, precision="int8")
    assert task.run().failures == []
    entries = task.work.spaces[0].recipe.entries
    assert (entries["compute"], entries["stored"]) == ("int8", "float16")
    assert task.features().values.dtype == np.float16
    exact = compute(some_texts(12), f"hf:{tiny_bert}", cache_root, precision="fp32")
    assert 0 < np.abs(task.features().values - exact).max() < 0.1 * np.abs(exact).max()


def test_int8_is_never_chosen_by_itself_not_even_where_a_space_holds_it(
    tiny_bert: Path, cache_root: Path
) -> None:
    texts = some_texts(12)
    plan(texts, f"hf:{tiny_bert}", cache_root, precision="int8", device="cpu").run()
    again = plan(texts, f"hf:{tiny_bert}", cache_root, device="cpu")
    assert again.work.precision == "fp32"
    assert len(again.work.todo) == len(texts)
    assert len(plan(texts, f"hf:{tiny_bert}", cache_root, precision="int8").work.todo) == 0


def test_an_extraction_in_int8_does_not_depend_on_how_its_batches_fell(
    tmp_path: Path, tiny_bert: Path
) -> None:
    texts = [*some_texts(40), "a word " * 20]
    spec, options = f"hf:{tiny_bert}", {"precision": "int8", "dtype": "float32"}
    one = compute(texts, spec, tmp_path / "one", batch_size=1, **options)
    many = compute(texts, spec, tmp_path / "many", batch_size=41, **options)
    assert (np.abs(one - many).max(axis=1) <= 1e-5 * np.abs(one).max(axis=1)).all()


def test_an_extraction_in_int8_of_a_convolutional_net_is_refused(cache_root: Path) -> None:
    task = plan(pictures(4), "bundled:efficientnet-lite0", cache_root, "image", precision="int8")
    with pytest.raises(ConfigError, match="has too few of them"):
        task.run()
    assert not list(cache_root.rglob("*.h5"))
