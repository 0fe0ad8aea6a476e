"""How well images and texts of a set of pairs find each other, by the vectors that a dual encoder gives both."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from headstart.arrow import keys_from_arrow
from headstart.backbones.pooling import JOINT, UNIT, display_tap
from headstart.cache.layout import GROUP
from headstart.columns import cell, columns
from headstart.errors import DataError
from headstart.groups import groups_in
from headstart.keys import ranks
from headstart.metrics.retrieval import Recall, first_right_ranks
from headstart.notebook import html_table

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.types import FeatureRef

MOST_PAIRS = 10_000
"""Pairs that are compared with each other; of more, so many are drawn by their keys."""


@dataclass(frozen=True, slots=True)
class PairFigures:
    """Recall and median rank both ways, over the pairs of one split."""

    images_by_text: Recall
    texts_by_image: Recall
    split: str

    @property
    def mean(self) -> float:
        """The mean of all six recalls."""
        return (self.images_by_text.mean + self.texts_by_image.mean) / 2


@dataclass(frozen=True, slots=True)
class RankedPairs:
    """How well one feature of a set of pairs brings them together."""

    backbone: str
    tap: str
    space: str
    width: int
    """Of one side."""
    pairs: PairFigures
    seconds: float


class PairRanking(list[RankedPairs]):
    """The features of a set of pairs, the best first, by the mean of all recalls; a notebook shows a table."""

    def table(self) -> tuple[list[str], list[list[str | float]]]:
        """A heading, and two rows for each feature: images that are found by texts, and texts by images."""
        header = ["backbone", "tap", "width", "finds", "R@1", "R@5", "R@10", "median rank", "of", "seconds"]
        rows: list[list[str | float]] = []
        for one in self:
            about = [cell(one.backbone, None), cell(one.tap, None), str(one.width)]
            for finds, found in sides_of(one.pairs):
                at = [found.recall_at_1, found.recall_at_5, found.recall_at_10]
                rank = f"{found.median_rank:g}"
                rows.append([*about, finds, *at, rank, f"{found.n_answers:,}", f"{one.seconds:.1f}"])
        return header, rows

    def lines(self) -> list[str]:
        """The same for a terminal."""
        return columns(*self.table())

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        header, rows = self.table()
        shown = [[f"{each:.4f}" if isinstance(each, float) else each for each in row] for row in rows]
        return html_table("pairs", header, shown)


def sides_of(figures: PairFigures) -> list[tuple[str, Recall]]:
    """What is found, in words, with how well."""
    return [("images by text", figures.images_by_text), ("texts by image", figures.texts_by_image)]


def pair_features(features: FeatureSet) -> list[FeatureRef]:
    """The features of a set of pairs of image and text that give both sides vectors of one space; else none."""
    if features.info["source"].get("modality") != "image-text":
        return []
    return [ref for ref in features.features if ref.view is None and ref.tap.removesuffix(UNIT) == JOINT]


def rank_pairs(features: FeatureSet, progress: Progress) -> PairRanking:
    """Measure every feature of a set of pairs on train alone; the best first."""
    refs = pair_features(features)
    ranked = []
    progress.begin("ranking", len(refs))
    try:
        for ref in refs:
            start = perf_counter()
            figures = pair_figures(features, ref, "train")
            width = features.mapped("train", display_tap(ref.tap), None, ref.backbone).shape[1] // 2
            tap, seconds = display_tap(ref.tap), perf_counter() - start
            ranked.append(RankedPairs(ref.backbone, tap, ref.space, width, figures, seconds))
            progress.advance(1)
    finally:
        progress.end()
    return PairRanking(sorted(ranked, key=lambda one: -one.pairs.mean))


def pair_figures(features: FeatureSet, ref: FeatureRef, split: str | None) -> PairFigures:
    """Recall and median rank both ways over the pairs of a split, or all; see `headstart.metrics.retrieval`.

    Raises
    ------
    DataError
        There are no two images.
    """
    held = features.held(split, display_tap(ref.tap), ref.backbone)
    table = held.columns(["key", *([GROUP] if GROUP in held.of.column_names else [])])
    rows = np.sort(np.argsort(ranks(keys_from_arrow(table.column("key"))))[:MOST_PAIRS])
    X = held.open(is_ragged=False).take(rows, "float32")
    # A group that was asked for, such as a patient, is no image: each pair is one of its own then.
    are_images = features.info.get("split", {}).get("group", "image") == "image"
    groups = groups_in(table) if are_images else None
    codes = np.arange(len(rows)) if groups is None else groups.codes[rows]
    _, first, image_of = np.unique(codes, return_index=True, return_inverse=True)
    if len(first) < 2:
        raise DataError(
            f"set {features.name!r} has {len(first)} images in {split or 'all'}, and figures of pairs take two or more"
        )
    half = X.shape[1] // 2
    for_images, for_texts = first_right_ranks(X[first, :half], X[:, half:], image_of)
    return PairFigures(
        Recall.of(for_texts, len(for_images)), Recall.of(for_images, len(for_texts)), split or "all"
    )
