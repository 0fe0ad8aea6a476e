"""Every kind of data keeps the contract of a source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.contracts import Source
from headstart.data import open_source
from headstart.testing.source import SourceContract

from .conftest import write_images, write_table
from .tars import SAMPLES, write_tar

OpenData = Callable[[], Source]
ROWS = {"text": ["red", "green", "naïve – 東京"], "label": ["a", "b", "a"], "split": ["train", "dev", "test"]}


class TestClassFolders(SourceContract):
    @pytest.fixture
    def open_data(self, tmp_path: Path) -> OpenData:
        write_images(tmp_path / "photos", "train/cat/1.png", "train/dog/2.png", "test/dog/3.png")
        return lambda: open_source(tmp_path / "photos")


class TestFoldersOfTexts(SourceContract):
    @pytest.fixture
    def open_data(self, tmp_path: Path) -> OpenData:
        for name in ("train/pos/1.txt", "train/neg/2.txt", "test/pos/3.txt"):
            (tmp_path / "reviews" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "reviews" / name).write_text(f"naïve – 東京 {name}", encoding="utf-8")
        return lambda: open_source(tmp_path / "reviews")


class TestFolderWithMetadata(SourceContract):
    @pytest.fixture
    def open_data(self, tmp_path: Path) -> OpenData:
        write_images(tmp_path / "photos", "1.png", "2.png")
        write_table(
            tmp_path / "photos" / "metadata.csv", {"file_name": ["1.png", "2.png"], "label": ["a", "b"]}
        )
        return lambda: open_source(tmp_path / "photos")


class TestTables(SourceContract):
    @pytest.fixture(params=["csv", "tsv", "jsonl", "parquet"])
    def open_data(self, request: pytest.FixtureRequest, tmp_path: Path) -> OpenData:
        path = write_table(tmp_path / f"texts.{request.param}", ROWS)
        return lambda: open_source(path)


class TestTars(SourceContract):
    @pytest.fixture
    def open_data(self, tmp_path: Path) -> OpenData:
        path = write_tar(tmp_path / "train-0.tar", SAMPLES)
        return lambda: open_source(path)


class TestSavedDataset(SourceContract):
    @pytest.fixture
    def open_data(self, tmp_path: Path) -> OpenData:
        datasets = pytest.importorskip("datasets")
        datasets.Dataset.from_dict({"text": ROWS["text"], "label": ROWS["label"]}).save_to_disk(
            tmp_path / "saved"
        )
        return lambda: open_source(tmp_path / "saved")


class TestMemory(SourceContract):
    @pytest.fixture(params=[["red", "green"], [("red", "green"), ("a", "b")]])
    def open_data(self, request: pytest.FixtureRequest) -> OpenData:
        texts = request.param
        return lambda: open_source(texts, modality="text" if isinstance(texts[0], str) else None)
