"""Fine-tuning of what a program holds: as extract takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import ConfigError

from .changes import WORDS, image_backbone

QUICK: dict[str, Any] = {"epochs": 1, "plots": "none"}


def some_texts(n: int = 45) -> tuple[list[str], list[str]]:
    names = [list(WORDS)[row % 3] for row in range(n)]
    return [f"{WORDS[name].split()[row % 4]} {row}" for row, name in enumerate(names)], names


@pytest.fixture
def spec(tiny_bert: Path) -> str:
    return f"hf:{tiny_bert}"


def test_texts_with_labels_are_the_samples_of_a_file(spec: str, tmp_path: Path, one_thread: None) -> None:
    texts, labels = some_texts()
    splits = ["train", "train", "test"] * 15
    run = hs.fine_tune(texts, spec, labels=labels, splits=splits, out=tmp_path / "tuned", **QUICK)
    rows = [f"{text},{name},{split}" for text, name, split in zip(texts, labels, splits, strict=True)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label,split", *rows]))
    as_file = hs.fine_tune(tmp_path / "texts.csv", spec, **QUICK)
    assert run.report["metrics"] == as_file.report["metrics"]
    features = hs.open_set(run.report["provenance"]["set"])
    with pytest.raises(ConfigError, match="made of data in memory; give the data itself"):
        hs.fine_tune(features, **QUICK)


def test_other_data_under_the_name_of_a_set_asks_for_replace(
    spec: str, one_thread: None, tmp_path: Path
) -> None:
    texts, labels = some_texts()
    hs.extract(texts, spec, labels=labels, set="t", quiet=True)
    other = [f"{text} other" for text in texts]
    with pytest.raises(ConfigError, match=r"would become another one.*pass --replace"):
        hs.fine_tune(other, spec, labels=labels, set="t", **QUICK)
    run = hs.fine_tune(other, spec, labels=labels, set="t", replace=True, out=tmp_path / "run", **QUICK)
    assert hs.open_set("t").digest == run.features["digest"]
    assert "replace" not in (tmp_path / "run" / "config.yaml").read_text()


@pytest.mark.slow
def test_tables(spec: str, one_thread: None) -> None:
    pd, datasets = pytest.importorskip("pandas"), pytest.importorskip("datasets")
    texts, labels = some_texts()
    table = {"text": texts, "label": labels}
    items = iter(zip(texts, [0, 1, 2] * 15, strict=True))
    held = (pd.DataFrame(table), datasets.Dataset.from_dict(table), items)
    found = [hs.fine_tune(data, spec, **QUICK).report["metrics"] for data in held]
    assert found[0] == found[1]
    assert found[2]["train"]["n"] == found[0]["train"]["n"]
    stream = datasets.Dataset.from_dict(table).to_iterable_dataset()
    with pytest.raises(ConfigError, match="is read once, and training goes over the data many times"):
        hs.fine_tune(stream, spec, **QUICK)


@pytest.mark.slow
def test_an_interrupted_training_of_other_samples_is_not_taken_up(
    spec: str, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, labels = some_texts()
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "stops.py").write_text("def stop(record):\n    raise KeyboardInterrupt\n")
    about: dict[str, Any] = {"labels": labels, "out": tmp_path / "tuned", **QUICK, "epochs": 3}
    with pytest.raises(KeyboardInterrupt):
        hs.fine_tune(texts, spec, callback="py:stops:stop", **about)
    with pytest.raises(ConfigError, match="its settings are others: set was"):
        hs.fine_tune([f"{text} x" for text in texts], spec, resume=True, **about)
    done = hs.fine_tune(texts, spec, resume=True, **about)
    assert done.report["epochs"]["run"] == 3


@pytest.mark.slow
def test_pixels(tmp_path: Path, one_thread: None) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 128, (24, 3, 32, 32)).astype(np.uint8)
    pixels[::2] += 100
    labels = ["light", "dark"] * 12
    splits = ["train", "train", "train", "train", "test", "validation"] * 4
    about: dict[str, Any] = {"labels": labels, "splits": splits, **QUICK}
    about |= image_backbone("test_efficientnet", tmp_path)
    arrays = hs.fine_tune(pixels, layout="NCHW", **about)
    images = [Image.fromarray(one.transpose(1, 2, 0)) for one in pixels]
    pictures = hs.fine_tune(images, **about)
    assert arrays.report["metrics"] == pictures.report["metrics"]
