"""Samples, and what a model says of them, as a report page reads them: made up to the contract between the two."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Page = dict[str, Any]

SPLITS = ["train", "validation", "test"]
CLASSES = [
    "ankle boot",
    "bag",
    "coat",
    "dress",
    "pullover",
    "sandal",
    "shirt",
    "sneaker",
    "t-shirt",
    "trouser",
]
COLOURS = ["black", "blue", "green", "red", "white"]


def packed(values: ArrayLike, dtype: str) -> dict[str, Any]:
    """An array as the page reads it."""
    array = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return {"b64": base64.b64encode(array.tobytes()).decode(), "dtype": dtype, "shape": list(array.shape)}


def category(name: str, names: Sequence[str], codes: ArrayLike, title: str | None = None) -> dict[str, Any]:
    """A column of names; -1 is none."""
    dtype = "uint8" if len(names) < 255 else "uint16"
    none = np.iinfo(dtype).max
    codes = np.asarray(codes)
    coded = packed(np.where(codes < 0, none, codes), dtype)
    return {
        "name": name,
        "title": title or name.removeprefix("meta:"),
        "kind": "category",
        "names": list(names),
        "codes": coded,
    }


def number(name: str, values: ArrayLike) -> dict[str, Any]:
    """A column of numbers; NaN is none."""
    return {
        "name": name,
        "title": name.removeprefix("meta:"),
        "kind": "number",
        "values": packed(values, "float32"),
    }


def webp(pixels: NDArray[np.uint8], quality: int = 60) -> str:
    """A picture as an address that holds it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def picture(code: int, rng: np.random.Generator) -> str:
    """Stripes whose width and colour say the class, with noise."""
    y, x = np.mgrid[:56, :56]
    stripes = ((x * (1 + code % 3) + y * (code % 4)) // (4 + code)) % 2
    colour = np.array([40 + 20 * code, 200 - 15 * code, 90 + 12 * (code % 5)])
    pixels = np.where(stripes[..., None], colour, 230) + rng.normal(0, 12, (56, 56, 1))
    return webp(pixels.clip(0, 255).astype(np.uint8))


class Made:
    """Samples of ten classes as blobs on a plane, with a model's probabilities."""

    def __init__(self, n: int = 400, classes: Sequence[str] = CLASSES, seed: int = 0) -> None:
        rng = self.rng = np.random.default_rng(seed)
        self.n, self.classes = n, list(classes)
        width = len(self.classes)
        self.label = rng.integers(0, width, n)
        angles = 2 * np.pi * np.arange(width) / width
        centres = 4 * np.stack([np.cos(angles), np.sin(angles)], 1)
        self.place = centres[self.label] + rng.normal(0, 1.1, (n, 2))
        logits = -((self.place[:, None] - centres[None]) ** 2).sum(2) / 2.2 + rng.normal(0, 0.6, (n, width))
        self.probabilities = np.exp(logits - logits.max(1, keepdims=True))
        self.probabilities /= self.probabilities.sum(1, keepdims=True)
        self.prediction = self.probabilities.argmax(1)
        self.split = rng.choice(3, n, p=[0.5, 0.15, 0.35])
        self.price = rng.lognormal(3, 0.6, n).astype(np.float32)
        self.price[::17] = np.nan
        self.colour = rng.integers(-1, len(COLOURS), n)

    @property
    def right(self) -> NDArray[np.bool_]:
        return self.label == self.prediction

    def samples(self, **entries: Any) -> Page:
        """The samples of a page, with a label column and pictures of each."""
        codes = [category("split", SPLITS, self.split), category("label", self.classes, self.label)]
        meta = [number("meta:price", self.price), category("meta:colour", COLOURS, self.colour)]
        images = [picture(code, self.rng) for code in self.label]
        return {
            "n": self.n,
            "ids": [
                f"images/{self.classes[code].replace(' ', '-')}/{row:05d}.png"
                for row, code in enumerate(self.label)
            ],
            "keys": packed(self.rng.integers(0, 256, (self.n, 16)), "uint8"),
            "columns": [*codes, *entries.pop("said", []), *meta],
            "labels": None,
            "texts": None,
            "thumbs": {"rows": packed(np.arange(self.n), "uint32"), "images": images},
            **entries,
        }

    def columns_said(self) -> list[Page]:
        """What a run says, as columns."""
        return [
            category("prediction", self.classes, self.prediction),
            number("confidence", self.probabilities.max(1)),
            category("right", ["wrong", "right"], self.right.astype(int)),
        ]

    def points(self) -> Page:
        return {
            "x": packed(self.place[:, 0], "float32"),
            "y": packed(self.place[:, 1], "float32"),
            "method": "PCA",
            "note": "61 % of the variance",
        }

    def neighbours(self, k: int = 5) -> Page:
        """The nearest of the training samples."""
        train = np.flatnonzero(self.split == 0)
        distances = ((self.place[:, None] - self.place[None, train]) ** 2).sum(2)
        distances[np.arange(self.n)[:, None] == train[None]] = np.inf
        near = np.argsort(distances, 1)[:, :k]
        cosine = 1 / (1 + np.take_along_axis(distances, near, 1))
        return {
            "rows": packed(np.arange(self.n), "uint32"),
            "near": packed(train[near], "uint32"),
            "cosine": packed(cosine, "float32"),
        }

    def run(self, name: str = "clothing-logistic", probabilities: str | None = "float32") -> Page:
        """What a run says of all samples but those it was trained on."""
        rows = np.flatnonzero(self.split > 0)
        shares = self.probabilities[rows]
        held = (
            None
            if probabilities is None
            else packed(shares * 255 if probabilities == "uint8" else shares, probabilities)
        )
        return {
            "name": name,
            "task": "single",
            "classes": self.classes,
            "figures": [figure for split in (2, 1) for figure in self.figures(split)],
            "curves": [self.shots()],
            "slices": self.slices(),
            "rows": packed(rows, "uint32"),
            "label": packed(self.label[rows], "uint8"),
            "prediction": packed(self.prediction[rows], "uint8"),
            "probabilities": held,
            "confidence": packed(shares.max(1), "float32"),
            "said": None,
            "expected": None,
        }

    def figures(self, split: int) -> list[Page]:
        of = self.split == split
        accuracy = float(self.right[of].mean())
        half = 1.96 * (accuracy * (1 - accuracy) / of.sum()) ** 0.5
        there = {
            "split": SPLITS[split],
            "interval": [accuracy - half, min(1.0, accuracy + half)],
            "reason": None,
        }
        loss = float(-np.log(self.probabilities[of, self.label[of]]).mean())
        return [
            {"name": "accuracy", "title": "accuracy", "value": accuracy, **there},
            {"name": "macro_f1", "title": "macro F1", "value": accuracy - 0.01, **there},
            {
                "name": "log_loss",
                "title": "log loss",
                "value": loss,
                **there,
                "interval": None,
                "reason": "too few samples of a class",
            },
        ]

    def shots(self) -> Page:
        """Two heads at three sizes."""
        rows = [
            {
                "name": head,
                "size": size,
                "share": None,
                "draws": 5,
                "values": [
                    {"mean": mean, "deviation": 0.0125, "interval": [mean - 0.05, mean + 0.05]},
                    {"mean": None if size == 1 else 2 - mean, "deviation": None, "interval": None},
                ],
            }
            for head, start in (("ridge", 0.5), ("<b>knn</b>", 0.4))
            for size, mean in ((1, start), (4, start + 0.2), (16, start + 0.3))
        ]
        return {
            "title": "Few shots", "noun": "of each class", "split": "test", "figures": ["accuracy", "log loss"],
            "rows": rows, "notes": ["95 % intervals over draws and samples", "From 4 of each class on ridge is ahead."],
        }  # fmt: skip

    def slices(self) -> list[Page]:
        """Accuracy by colour, by label and by price, worst first."""
        test = self.split == 2
        parts = [("meta:colour", name, self.colour == code) for code, name in enumerate(COLOURS)]
        parts += [("label", name, self.label == code) for code, name in enumerate(self.classes)]
        parts += [("meta:price", "12 to 30", (self.price >= 12) & (self.price <= 30))]
        found = []
        for column, value, of in parts:
            hits, rest = self.right[test & of], self.right[test & ~of]
            if len(hits) < 10:
                continue
            share = float(hits.mean()) if len(hits) else 0.0
            half = 1.96 * (share * (1 - share) / max(1, len(hits))) ** 0.5
            found.append(
                {
                    "column": column,
                    "value": value,
                    "split": "test",
                    "n": len(hits),
                    "figure": "accuracy",
                    "figure_value": share,
                    "interval": [max(0.0, share - half), min(1.0, share + half)],
                    "rest": float(rest.mean()),
                }
            )
        return sorted(found, key=lambda slice_: slice_["figure_value"])
