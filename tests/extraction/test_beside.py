"""Queries and names of classes meet the features of a set in one space, through its own backbone and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart.config import ComputeConfig
from headstart.errors import ConfigError, MismatchError
from headstart.extraction.beside import VectorsBeside, vectors_beside
from headstart.progress import Silence
from tests.backbones.tiny_vision import clip

TEXTS = ["a photo of a cat", "a dog", "cat"]


@pytest.fixture
def images() -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (40, 30, 3), dtype=np.uint8)) for _ in range(3)]


def _beside(features: Any, items: Any, modality: Any, tap: str | None = None, **more: Any) -> VectorsBeside:
    config = ComputeConfig(cache=str(features.cache))
    return vectors_beside(features, features.feature(tap), items, modality, config, Silence(), **more)


def test_a_text_meets_images_as_the_model_itself_compares_them(
    tmp_path: Path, images: list[Image.Image]
) -> None:
    from transformers import CLIPModel, CLIPProcessor

    folder = clip(tmp_path / "clip")
    features = hs.extract(images, backbone=f"hf:{folder}", taps=["joint"])
    found = _beside(features, TEXTS, "text")
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    with torch.inference_mode():
        expected = model(**processor(text=TEXTS, images=images, return_tensors="pt", padding=True))
    X = features.rows().X
    cosines = (X / np.linalg.norm(X, axis=1, keepdims=True)) @ (
        found.X / np.linalg.norm(found.X, axis=1, keepdims=True)
    ).T
    logits = cosines * model.logit_scale.exp().item()
    np.testing.assert_allclose(logits, expected.logits_per_image.numpy(), atol=1e-4)
    assert found.n_computed == 3
    assert _beside(features, TEXTS, "text").n_computed == 0


def test_an_input_of_the_samples_own_kind_has_the_feature_that_a_sample_has(
    tmp_path: Path, images: list[Image.Image]
) -> None:
    features = hs.extract(images, backbone=f"hf:{clip(tmp_path / 'clip')}", taps=["joint"])
    found = _beside(features, images[::-1], "image")
    assert found.n_computed == 0
    np.testing.assert_array_equal(found.X, features.rows().X[::-1])


def test_a_prompt_makes_a_space_of_its_own(tiny_bert: Path) -> None:
    features = hs.extract(TEXTS, backbone=f"hf:{tiny_bert}")
    plain, asked = _beside(features, TEXTS, "text"), _beside(features, TEXTS, "text", prompt="query: ")
    assert plain.n_computed == 0
    assert asked.n_computed == 3
    prompted = hs.extract(TEXTS, backbone=f"hf:{tiny_bert}", prompt="query: ", set="prompted")
    np.testing.assert_array_equal(asked.X, prompted.rows().X)


def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, tiny_bert: Path, images: list[Image.Image]
) -> None:
    texts = hs.extract(TEXTS, backbone=f"hf:{tiny_bert}", taps=["last.mean", "last.tokens"])
    with pytest.raises(ConfigError, match="cannot be compared with images: only a dual encoder"):
        _beside(texts, images, "image", "last.mean")
    with pytest.raises(ConfigError, match="several vectors a sample"):
        _beside(texts, TEXTS, "text", "last.tokens")
    folder = clip(tmp_path / "clip")
    pooled = hs.extract(images, backbone=f"hf:{folder}", taps=["pooler"])
    with pytest.raises(ConfigError, match="only a dual encoder, such as CLIP"):
        _beside(pooled, TEXTS, "text")
    pairs = hs.extract([("a", "b"), ("c", "d")], backbone=f"hf:{tiny_bert}")
    with pytest.raises(ConfigError, match="samples of text-pair"):
        _beside(pairs, TEXTS, "text")


def test_another_model_at_the_same_place_is_refused(tmp_path: Path, images: list[Image.Image]) -> None:
    import os

    folder = clip(tmp_path / "clip")
    features = hs.extract(images, backbone=f"hf:{folder}", taps=["joint"])
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["visual_projection.weight"] += 1
    save_file(weights, file, {"format": "pt"})
    os.utime(file, ns=(1, 1))
    with pytest.raises(MismatchError, match="is not the backbone"):
        _beside(features, TEXTS, "text")
