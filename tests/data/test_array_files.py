"""IDX files and numpy's archives: images by the rule of arrays in memory, damage by name, and nothing unpickled."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.contracts import Source
from headstart.data import open_source
from headstart.errors import ConfigError, DataError, SampleError
from headstart.testing.source import SourceContract
from tests.data.conftest import MemoryMemo, scan

TYPES = {"uint8": 8, "float32": 0x0D, "int32": 0x0C}


def digits(n: int, *more: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (n, 5, 6, *more), dtype=np.uint8)


def write_idx(path: Path, values: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, TYPES[str(values.dtype)], values.ndim, *values.shape)
    content = head + values.astype(values.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_mnist(folder: Path, ending: str = "") -> Path:
    for number, (word, n) in enumerate((("train", 4), ("t10k", 3))):
        write_idx(folder / f"{word}-images-idx3-ubyte{ending}", digits(n, seed=number))
        write_idx(folder / f"{word}-labels-idx1-ubyte{ending}", np.arange(n, dtype=np.uint8))
    return folder


class TestIdx(SourceContract):
    @pytest.fixture(params=["", ".gz"])
    def open_data(self, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Source]:
        folder = write_mnist(tmp_path / "mnist", request.param)
        return lambda: open_source(folder)


class TestNpz(SourceContract):
    @pytest.fixture(params=[np.savez, np.savez_compressed])
    def open_data(self, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Source]:
        request.param(
            tmp_path / "a.npz", x_train=digits(3), y_train=[1, 0, 1], x_test=digits(2, seed=1), y_test=[0, 1]
        )
        return lambda: open_source(tmp_path / "a.npz")


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_mnist_as_it_comes(ending: str, tmp_path: Path) -> None:
    write_mnist(tmp_path, ending)
    (tmp_path / "README").write_text("about")
    found = scan(tmp_path)
    assert found.ids == ["t10k:0", "t10k:1", "t10k:2", "train:0", "train:1", "train:2", "train:3"]
    assert found.column("split") == ["test"] * 3 + ["train"] * 4
    assert found.column("label:label") == list("0120123")
    assert "'t10k' as test" in found.source.description
    assert "1 other file ignored (README)" in found.source.description
    # The same images in memory are the same samples.
    assert found.keys == scan(list(digits(3, seed=1))).keys + scan(list(digits(4))).keys


def test_of_a_file_that_is_there_compressed_as_well_the_plain_one_is_read(tmp_path: Path) -> None:
    write_mnist(tmp_path / "FashionMNIST" / "raw")
    write_mnist(tmp_path / "FashionMNIST" / "raw", ".gz")
    assert len(scan(tmp_path).ids) == 7
    assert len(scan(tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").ids) == 4


def test_tables_beside_arrays_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "p.csv").write_text("text,label\none two,a\n")
    with pytest.raises(ConfigError, match=r"both arrays of images .* and tables \(p\.csv\)"):
        scan(tmp_path)


def test_images_without_labels_are_said_to_have_none(tmp_path: Path) -> None:
    found = scan(write_idx(tmp_path / "train-images-idx3-ubyte", digits(2)))
    assert "no labels beside train-images-idx3-ubyte" in found.source.description
    with pytest.raises(DataError, match="holds labels; give the file of their images"):
        scan(write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(2, dtype=np.uint8)))


def test_a_word_that_is_no_split_is_refused_with_what_it_seems_to_mean(tmp_path: Path) -> None:
    for word in ("emnist-letters-train", "emnist-letters-test"):
        write_idx(tmp_path / f"{word}-images-idx3-ubyte", digits(2))
    with pytest.raises(ConfigError, match="--split-map emnist-letters-test=test,emnist-letters-train=train"):
        scan(tmp_path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _other_magic(path: Path) -> None:
    path.write_bytes(b"\1\2\3\4" + path.read_bytes()[4:])


def _cut_gzip(path: Path) -> None:
    path.rename(path.with_name(path.name + ".gz"))
    path.with_name(path.name + ".gz").write_bytes(
        gzip.compress(path.with_name(path.name + ".gz").read_bytes())[:-20]
    )


def _gzip_of_less(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(content[:-3]))


def _huge(path: Path) -> None:
    path.unlink()
    head = struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**31)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(head + bytes(1000)))


def _too_few_labels(path: Path) -> None:
    write_idx(path.with_name("train-labels-idx1-ubyte"), np.arange(3, dtype=np.uint8))


def _cut_head(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, "train-images-idx3-ubyte is cut short: 4 × 5 × 6 values"),
        (_longer, "holds more than it says"),
        (_other_magic, "is no IDX file: it begins with 01 02 03 04"),
        (_cut_gzip, "is it cut short"),
        (_gzip_of_less, "is cut short"),
        (_huge, r"says that it holds 4294967295 × .* in \d+ compressed bytes"),
        (_too_few_labels, "holds 4 images, and 'train-labels-idx1-ubyte' 3 labels"),
        (_cut_head, "is cut short"),
    ],
)
def test_damage_to_an_idx_file_is_named(damage: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    damage(write_mnist(tmp_path) / "train-images-idx3-ubyte")
    with pytest.raises(DataError, match=said):
        scan(tmp_path)


def test_names_say_what_is_in_an_archive(tmp_path: Path) -> None:
    parts = {"train": 3, "val": 2, "test": 2}
    images = {f"{word}_images": digits(n, 3, seed=n) for word, n in parts.items()}
    labels = {f"{word}_labels": np.arange(n).reshape(n, 1) for word, n in parts.items()}
    np.savez(tmp_path / "pathmnist.npz", **images, **labels)
    found = scan(tmp_path)
    assert found.column("split") == ["train"] * 3 + ["validation"] * 2 + ["test"] * 2
    assert found.column("label:label") == list("0120101")
    for names in (("X", "y"), ("images", "labels"), ("data", "target")):
        np.savez(tmp_path / "one.npz", **{names[0]: digits(3) / 255, names[1]: ["cat", "dog", "cat"]})
        found = scan(tmp_path / "one.npz")
        assert (found.column("split"), found.column("label:label")) == ([None] * 3, ["cat", "dog", "cat"])
        assert found.keys == scan(list(digits(3))).keys  # floats in [0, 1] are the same pixels


def test_several_labels_an_image_are_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "chest.npz", images=digits(3), labels=np.array([[1, 0], [1, 1], [0, 0]]))
    found = scan(tmp_path / "chest.npz", label_kind="multi")
    assert found.column("label:label") == [["0"], ["0", "1"], []]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_train": digits(3), "y_train": [1]}, "holds 3 images, and 'y_train' 1 labels"),
        ({"X": digits(3).reshape(3, 30)}, "an array of 3 × 30, and no images"),
        ({"X": digits(3).astype("int64")}, r"int64; .* floats in \[0, 1\]"),
        ({"X": digits(3) * 1.0}, r"from 0 to 2\d\d; .*twice|floats in \[0, 1\]"),
        ({"X": np.array([{}, {}, {}])}, "'X' holds Python objects, and to read those runs code"),
        ({"mean": digits(1), "std": digits(1)}, r"'mean' \(1 × 5 × 6\), .* no array is called as images are"),
        ({"X": np.asfortranarray(digits(3))}, "column by column; .*ascontiguousarray"),
        ({"x_train": digits(2), "x_extra": digits(2)}, "'extra' is no name of a split"),
        ({"X": digits(0)}, "no images"),
    ],
)
def test_what_is_no_data_set_of_images_is_refused(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises((DataError, ConfigError), match=said):
        scan(tmp_path / "a.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_to_an_archive_is_named(save: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save(path, X=digits(40), y=np.arange(40) % 2)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"a\.npz cannot be read as npz"):
        scan(path)
    content[300] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz, 'X' is damaged|a\.npz cannot be read as npz"):
        scan(path)


def test_a_known_image_is_not_read_again_and_a_changed_file_gives_none(
    tmp_path: Path, later: Callable[[], None]
) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, X=digits(4))
    later()
    memo = MemoryMemo()
    first = scan(path, memo)
    assert (memo.n_unknown, scan(path, memo).keys) == (4, first.keys)
    assert memo.n_unknown == 4
    assert first.payloads()[2].startswith(b"P5\n# L\n6 5\n255\n")
    np.savez_compressed(path, X=digits(4, seed=9))
    with pytest.raises(SampleError, match="has changed"):
        first.source.payload(0)
