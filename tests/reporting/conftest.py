"""Runs and sets to make pages of: real data in files, through real extractions and fits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.progress import Silence
from headstart.reporting.config import ReportConfig
from headstart.reporting.stage import page_data

from .contract import check_page

BACKBONES = Path(__file__).parents[1] / "end_to_end"
IMAGES, TEXTS = "py:tiny_backbones:images", "py:tiny_backbones:texts"
SHAPES = ("circle", "square", "triangle")


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(BACKBONES))
    monkeypatch.setenv("PYTHONPATH", str(BACKBONES), prepend=os.pathsep)


def data_of(subject: Any, other: Any = None, **options: Any) -> dict[str, Any]:
    """What the page holds, checked against the contract with the front end."""
    defaults: dict[str, Any] = {"method": "pca", "seed": 0}
    found = page_data(subject, other, ReportConfig(**{**defaults, **options}), Silence())
    check_page(found)
    return found


def write_picture(path: Path, number: int, side: int = 40) -> Path:
    """A picture that differs from number to number, and from class to class by its colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 120, (side, side, 3), dtype=np.uint8)
    pixels[..., SHAPES.index(path.parent.name)] += 60
    Image.fromarray(pixels).save(path)
    return path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A table as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def some_rows(n: int) -> list[dict[str, Any]]:
    """Texts of two classes, with what is known of them; every twentieth label is wrong."""
    return [
        {
            "text": f"{'abc' if row % 2 else 'xyw'} number {row} " + "ox" * (row % 7),
            "label": f"class {(row + (row % 20 == 3)) % 2}",
            "camera": ["red", "green", None, "blue"][row % 4],
            "price": round(row * 1.25, 2),
        }
        for row in range(n)
    ]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """90 photos in three classes, one of which is there twice."""
    for number in range(90):
        write_picture(tmp_path / "photos" / SHAPES[number % 3] / f"{number:03d}.png", number)
    first = tmp_path / "photos" / "circle" / "000.png"
    (tmp_path / "photos" / "circle" / "copy.png").write_bytes(first.read_bytes())
    return tmp_path / "photos"


@pytest.fixture
def photo_set(photos: Path) -> hs.FeatureSet:
    return hs.extract(photos, IMAGES, set="photos", quiet=True)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "texts.jsonl", some_rows(240))


@pytest.fixture
def text_set(table: Path) -> hs.FeatureSet:
    return hs.extract(table, TEXTS, set="texts", text_column="text", label_column="label", quiet=True)


@pytest.fixture
def text_run(text_set: hs.FeatureSet) -> hs.Run:
    return hs.fit_head(text_set, "ridge", out="runs/ridge", plots="none")
