"""How well images and texts of pairs find each other, counted as CLIP's and Flickr30k's authors count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import headstart as hs
from headstart.inspection.pairs import PairRanking
from headstart.metrics.retrieval import Recall, first_right_ranks
from tests.backbones.tiny_vision import clip


def by_sorting(images: np.ndarray, texts: np.ndarray, image_of: np.ndarray) -> tuple[list[int], list[int]]:
    """Ranks as one reads them off sorted lists."""
    left, right = (X / np.linalg.norm(X, axis=1, keepdims=True) for X in (images, texts))
    cosines = left @ right.T
    for_images = [
        1 + min(np.flatnonzero(image_of[np.argsort(-row)] == image)) for image, row in enumerate(cosines)
    ]
    for_texts = [
        1 + int(np.flatnonzero(np.argsort(-column) == image_of[text])[0])
        for text, column in enumerate(cosines.T)
    ]
    return for_images, for_texts


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(0, 20), st.integers(0, 10_000))
def test_ranks_are_those_of_sorted_lists(n_images: int, n_more: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    image_of = np.append(np.arange(n_images), draw.integers(0, n_images, n_more))
    images, texts = draw.normal(size=(n_images, 6)), draw.normal(size=(n_images + n_more, 6))
    found = first_right_ranks(images, texts, image_of)
    assert [each.tolist() for each in found] == list(by_sorting(images, texts, image_of))


def test_vectors_that_are_all_alike_find_nothing() -> None:
    for_images, for_texts = first_right_ranks(np.ones((20, 3)), np.ones((20, 3)), np.arange(20))
    assert Recall.of(for_images, 20) == Recall(0, 0, 0, 20, 20, 20)
    assert Recall.of(for_texts, 20).median_rank == 20


@pytest.fixture
def captioned(tmp_path: Path) -> hs.FeatureSet:
    """Eight images, two of which have a second caption."""
    draw = np.random.default_rng(0)
    pictures = [Image.fromarray(draw.integers(0, 256, (40, 30, 3), dtype=np.uint8)) for _ in range(8)]
    words = ["a cat", "a dog", "red shirt", "blue", "the trousers", "a photo", "of the cat", "a blue shirt"]
    pairs = [*zip(pictures, words, strict=True), (pictures[0], "the dog"), (pictures[3], "a red cat")]
    return hs.extract(
        pairs,
        backbone=f"hf:{clip(tmp_path / 'clip')}",
        taps=["joint", "pooler"],
        splits=["test"] * 3 + ["train"] * 5 + ["test", "train"],
    )


def expected(features: hs.FeatureSet, split: str) -> tuple[Recall, Recall]:
    rows = features.rows(split, tap="joint")
    names = rows.table.column("meta:group").to_pylist()
    images = list(dict.fromkeys(names))
    image_of = np.array([images.index(name) for name in names])
    halves = np.split(rows.X.astype(np.float64), 2, axis=1)
    first = [names.index(name) for name in images]
    for_images, for_texts = by_sorting(halves[0][first], halves[1], image_of)
    return Recall.of(np.array(for_texts), len(images)), Recall.of(np.array(for_images), len(names))


def test_rank_measures_pairs_without_labels_both_ways(captioned: hs.FeatureSet) -> None:
    ranking = hs.rank(captioned)
    assert isinstance(ranking, PairRanking)
    [one] = ranking  # of the pooler's vectors the sides are in no common space
    assert (one.tap, one.width, one.pairs.split) == ("joint", 24, "train")
    assert (one.pairs.images_by_text, one.pairs.texts_by_image) == expected(captioned, "train")
    assert one.pairs.images_by_text.n_answers < one.pairs.texts_by_image.n_answers  # captions share an image
    assert "images by text" in repr(ranking)
    assert "median rank" in ranking._repr_html_()


def test_a_page_says_how_well_pairs_find_each_other(captioned: hs.FeatureSet) -> None:
    page = captioned.report_page(tap="joint").html
    assert "images by text, test" in page
    assert all(str(each) in page for each in expected(captioned, "test"))
