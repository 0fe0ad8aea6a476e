"""The data sets of the tutorials as people get them: read without an option, or by the one that the refusal names."""

from __future__ import annotations

import gzip
import pickle
import re
import shlex
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.splits import parse_split_map
from headstart.errors import DataError, HeadstartError
from tests.data.conftest import Scan, scan, write_images

pytestmark = pytest.mark.filterwarnings("ignore")  # the lines to run leave files to be closed by Python


def write(path: Path, *lines: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(lines).encode(encoding))


def asked(refused: HeadstartError, option: str) -> str:
    """What a refusal says behind an option."""
    found = re.search(rf"--{option} ('[^']*'|\S+?)(?=[,;]? |[,;]?$)", str(refused))
    assert found, refused
    return shlex.split(found[1])[0]


def scan_as_told(data: Path, *options: str, **said: Any) -> Scan:
    """Scan; on each refusal take the option that it names, in this order."""
    if not options:
        return scan(data, **said)
    with pytest.raises(HeadstartError) as refused:
        scan(data, **said)
    value: Any = asked(refused.value, options[0])
    if options[0] == "split-map":
        value = {**said.get("split_map", {}), **parse_split_map(value)}
    elif options[0] == "columns":
        value = tuple(value.split(","))
    return scan_as_told(data, *options[1:], **{**said, options[0].replace("-", "_"): value})


def scan_with_label(found: Scan, data: Path) -> Scan:
    """Scan again what had no label, with the column that was said to be perhaps meant."""
    assert "no labels (--label-column 'column 2'" in found.source.description, found.source.description
    again = scan(data, label_columns=("column 2",), split_map=found.source._names._given)  # type: ignore[attr-defined]
    return Scan(again.source, again.table.rename_columns({"label:column 2": "label:label"}), again.failures)


def run_line(error: DataError) -> None:
    """Run the line of Python that a refusal ends with."""
    command = shlex.split(str(error)[str(error).index("python -c ") :])
    assert command[:2] == ["python", "-c"]
    exec(command[2], {})


def labels_of(found: Scan) -> dict[str | None, set[str | None]]:
    """The labels in each split."""
    by_split: dict[str | None, set[str | None]] = {}
    for split, label in zip(found.column("split"), found.column("label:label"), strict=True):
        by_split.setdefault(split, set()).add(label)
    return by_split


def test_imdb(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for kind in ("pos", "neg"):
            for number in range(2):
                write(tmp_path / split / kind / f"{number}_9.txt", f"a film {split} {kind} {number}")
            write(tmp_path / split / f"urls_{kind}.txt", "http://www.imdb.com/title/tt0064354/usercomments")
        write(tmp_path / split / "labeledBow.feat", "9 0:9 1:1")
    write(tmp_path / "train" / "unsup" / "0_0.txt", "a film that nobody judged")
    for name in ("README", "imdb.vocab", "imdbEr.txt", "train/urls_unsup.txt", "train/unsupBow.feat"):
        write(tmp_path / name, "about")
    found = scan(tmp_path)
    assert Counter(found.column("split")) == {"train": 5, "test": 4}
    assert labels_of(found) == {"train": {"pos", "neg", None}, "test": {"pos", "neg"}}
    assert sum(found.source.ignored.values()) == 11


@pytest.mark.parametrize("header", [True, False])
def test_ag_news(header: bool, tmp_path: Path) -> None:
    for split, n in (("train", 12), ("test", 8)):
        rows = [f'"{i % 4 + 1}","{split} title {i}","The description, of {split} {i}"' for i in range(n)]
        write(tmp_path / f"{split}.csv", *(["Class Index,Title,Description"] if header else []), *rows)
    write(tmp_path / "classes.txt", "World", "Sports", "Business", "Sci/Tech")
    found = scan_as_told(tmp_path, "text-column")
    (label,) = found.source.label_kinds
    assert Counter(found.column(f"label:{label}")) == dict.fromkeys("1234", 5)
    assert found.payloads()[0] == "The description, of test 0"
    first, second = ("Title", "Description") if header else ("column 2", "column 3")
    with pytest.raises(HeadstartError) as refused:
        scan(tmp_path)
    both = shlex.split(str(refused.value).rpartition("with ")[2])
    assert both == ["--text-column", first, "--text-pair-column", second]
    pairs = scan(tmp_path, text_column=first, text_pair_column=second)
    assert pairs.payloads()[0] == ("test title 0", "The description, of test 0")


def test_sst2(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        rows = [f'a "fine {split} sentence {i} \t{i % 2}' for i in range(8)]
        write(tmp_path / f"{split}.tsv", "sentence\tlabel", *rows)
    write(tmp_path / "test.tsv", "index\tsentence", *(f"{i}\tthe hidden sentence {i}" for i in range(4)))
    found = scan(tmp_path)
    assert labels_of(found) == {"train": {"0", "1"}, "validation": {"0", "1"}, "test": {None}}
    assert found.payloads()[0] == 'a "fine dev sentence 0 '


def test_trec(tmp_path: Path) -> None:
    lines = [
        "DESC:manner How did it end ?",
        "HUM:ind Who was F\xe9 ?",
        "ENTY:cremat What films are there ?",
    ] * 3
    for name in ("train_5500.label", "TREC_10.label"):
        write(tmp_path / name, *(f"{line} {number}" for number, line in enumerate(lines)), encoding="latin-1")
    found = scan_as_told(tmp_path, "encoding")
    assert found.column("label:label")[:3] == ["DESC:manner", "HUM:ind", "ENTY:cremat"]
    assert (len(found.ids), found.payloads()[1]) == (9, "Who was Fé ? 1")
    assert "TREC_10.label, taken by --split-map TREC=test" in found.source.description
    both = scan(tmp_path, encoding="latin-1", split_map=parse_split_map("TREC=test"))
    assert Counter(both.column("split")) == {"train": 9, "test": 9}


def test_yelp_and_dbpedia(tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = [f'"{i % 2 + 1}","The {split} place {i} is ""good"",\\n and big"' for i in range(8)]
        write(tmp_path / "yelp" / f"{split}.csv", *rows)
        rows = [f'{i % 14 + 1},"Title {i}"," The {split} company {i}, based in X."' for i in range(42)]
        write(tmp_path / "dbpedia" / f"{split}.csv", *rows)
    for name in ("yelp/readme.txt", "dbpedia/readme.txt", "dbpedia/classes.txt"):
        write(tmp_path / name, "about")
    yelp = scan(tmp_path / "yelp")
    assert labels_of(yelp) == {"train": {"1", "2"}, "test": {"1", "2"}}
    assert yelp.payloads()[0] == 'The test place 0 is "good",\\n and big'
    dbpedia = scan(tmp_path / "dbpedia")
    assert Counter(dbpedia.column("label:label")) == {str(number): 6 for number in range(1, 15)}
    assert dbpedia.payloads()[0] == " The test company 0, based in X."
    assert "2 other files ignored (classes.txt, readme.txt)" in dbpedia.source.description


def test_twenty_newsgroups(tmp_path: Path) -> None:
    for folder, first in (("20news-bydate-train", 49960), ("20news-bydate-test", 59960)):
        for topic in ("alt.atheism", "comp.os.ms-windows.misc"):
            for number in range(first, first + 2):
                write(
                    tmp_path / folder / topic / str(number),
                    "From: somebody",
                    "",
                    f"{topic} {number} \xe9",
                    encoding="latin-1",
                )
    found = scan_as_told(tmp_path, "split-map", encoding="latin-1")
    topics = {"alt.atheism", "comp.os.ms-windows.misc"}
    assert labels_of(found) == {"train": topics, "test": topics}
    reasons = {failure.reason for failure in scan(tmp_path / "20news-bydate-train").failures}
    assert reasons == {"the text is not utf-8; pass --encoding latin-1 (or what it was written in)"}
    assert labels_of(scan(tmp_path / "20news-bydate-train", encoding="latin-1")) == {None: topics}


def test_cola_as_it_is_published(tmp_path: Path) -> None:
    for name, n in (("in_domain_train", 8), ("in_domain_dev", 6), ("out_of_domain_dev", 6)):
        rows = [f"gj04\t{i % 2}\t{'' if i % 2 else '*'}\tThe sentence {i} of {name}." for i in range(n)]
        write(tmp_path / f"{name}.tsv", *rows)
    found = scan_with_label(scan_as_told(tmp_path, "split-map"), tmp_path)
    assert Counter(found.column("split")) == {"train": 8, "validation": 12}
    assert labels_of(found) == {"train": {"0", "1"}, "validation": {"0", "1"}}
    assert "The sentence 0 of in_domain_train." in found.payloads()


def test_cola_of_glue(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        rows = [f"gj04\t{i % 2}\t{'' if i % 2 else '*'}\tThe sentence {i} of {split}." for i in range(8)]
        write(tmp_path / f"{split}.tsv", *rows)
    write(tmp_path / "test.tsv", "index\tsentence", *(f"{i}\tThe hidden sentence {i}." for i in range(4)))
    found = scan_with_label(scan_as_told(tmp_path, "split-map"), tmp_path)
    assert labels_of(found) == {"train": {"0", "1"}, "validation": {"0", "1"}}
    assert found.payloads()[0] == "The sentence 0 of dev."


def test_cats_and_dogs_of_kaggle(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"train/{pet}.{i}.jpg" for pet in ("cat", "dog") for i in range(3)))
    write_images(tmp_path, "test1/1.jpg", "test1/2.jpg")
    found = scan_as_told(tmp_path, "split-map")
    assert labels_of(found) == {"train": {"cat", "dog"}, "test": {None}}
    assert labels_of(scan(tmp_path / "train")) == {None: {"cat", "dog"}}


def test_cats_and_dogs_of_microsoft(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"PetImages/{pet}/{i}.jpg" for pet in ("Cat", "Dog") for i in range(2)))
    (tmp_path / "PetImages" / "Cat" / "666.jpg").touch()
    write(tmp_path / "PetImages" / "Cat" / "Thumbs.db", "?")
    write(tmp_path / "readme[1].txt", "about")
    found = scan(tmp_path)
    assert labels_of(found) == labels_of(scan(tmp_path / "PetImages")) == {None: {"Cat", "Dog"}}
    assert [(f.id, f.reason) for f in found.failures] == [("PetImages/Cat/666.jpg", "empty file")]
    assert found.source.ignored == {"other": 2}


@pytest.mark.parametrize("has_splits", [True, False])
def test_flowers_102(has_splits: bool, tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    write_images(tmp_path, *(f"jpg/image_{number:05}.jpg" for number in range(1, 7)))
    scipy_io.savemat(tmp_path / "imagelabels.mat", {"labels": [[77, 77, 3, 3, 77, 3]]})
    if has_splits:
        ids = {"trnid": [[2, 3]], "valid": [[1, 4]], "tstid": [[5, 6]]}
        scipy_io.savemat(tmp_path / "setid.mat", ids)
    with pytest.raises(
        DataError, match=r"imagelabels\.mat, of MATLAB; write them into a metadata\.csv"
    ) as refused:
        scan(tmp_path)
    run_line(refused.value)
    found = scan(tmp_path)
    assert found.by_id("label:label")["jpg/image_00003.jpg"] == "3"
    assert Counter(found.column("label:label")) == {"77": 3, "3": 3}
    if has_splits:
        assert found.by_id("split")["jpg/image_00002.jpg"] == "train"
        assert Counter(found.column("split")) == {"train": 2, "validation": 2, "test": 2}


def test_flowers_102_in_folders(tmp_path: Path) -> None:
    names = [
        f"{split}/{label}/image_{label}.jpg" for split in ("train", "valid", "test") for label in (1, 2, 10)
    ]
    found = scan(write_images(tmp_path, *names))
    assert labels_of(found) == {split: {"1", "2", "10"} for split in ("train", "validation", "test")}
    assert found.source.label_names == {"label": ("1", "2", "10")}


def test_cifar_in_folders(tmp_path: Path) -> None:
    names = [
        f"{split}/{label}/{i:04}.png"
        for split in ("train", "test")
        for label in ("frog", "ship")
        for i in (1, 2)
    ]
    assert labels_of(scan(write_images(tmp_path, *names))) == {
        split: {"frog", "ship"} for split in ("train", "test")
    }


@pytest.mark.parametrize(
    "names", [("data_batch_{}", "test_batch", b"labels"), ("train", "test", b"fine_labels")]
)
def test_cifar_in_pickles(names: tuple[str, str, bytes], tmp_path: Path) -> None:
    train, test, key = names
    rng = np.random.default_rng(0)
    for number in range(1, 6):
        for name in (train.format(number), test):
            batch = {b"data": rng.integers(0, 255, (2, 3072), dtype=np.uint8), key: [number % 2, 1]}
            (tmp_path / name).write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError, match="unpickling runs whatever code the file holds") as refused:
        scan(tmp_path)
    with pytest.raises(DataError, match="unpickling runs"):
        scan(tmp_path / test)
    run_line(refused.value)
    found = scan(tmp_path / "cifar.npz")
    assert Counter(found.column("split")) == {"train": 10 if "{" in train else 2, "test": 2}
    pixels = batch[b"data"][0].reshape(3, 32, 32).transpose(1, 2, 0)  # the last written is of test
    assert found.payloads()[-2].endswith(pixels.tobytes())


def test_fashion_mnist(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for word, split, n in (("train", "train", 4), ("t10k", "test", 2)):
        images, labels = rng.integers(0, 255, (n, 28, 28), dtype=np.uint8), np.arange(n, dtype=np.uint8)
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
        head = struct.pack(">4B3I", 0, 0, 8, 3, n, 28, 28), struct.pack(">4BI", 0, 0, 8, 1, n)
        raw = tmp_path / "FashionMNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for name, start, values in (("images-idx3", head[0], images), ("labels-idx1", head[1], labels)):
            (raw / f"{word}-{name}-ubyte.gz").write_bytes(gzip.compress(start + values.tobytes()))
            (raw / f"{word}-{name}-ubyte").write_bytes(start + values.tobytes())
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    found, again = scan(tmp_path / "FashionMNIST"), scan(tmp_path / "mnist.npz")
    assert labels_of(found) == labels_of(again) == {"train": set("0123"), "test": set("01")}
    assert sorted(found.keys) == sorted(again.keys)


def test_imagenette(tmp_path: Path) -> None:
    classes = ("n01440764", "n02102040")
    names = [
        f"{split}/{label}/{label}_{i}.jpeg" for split in ("train", "val") for label in classes for i in (1, 2)
    ]
    write_images(tmp_path, *names)
    rows = [f"{name},{name.split('/')[1]},{name.startswith('val')}" for name in names]
    write(tmp_path / "noisy_imagenette.csv", "path,noisy_labels_0,is_valid", *rows)
    found = scan(tmp_path)
    assert labels_of(found) == {"train": {*classes}, "validation": {*classes}}
    assert (
        "left aside beside them, to be given by its own path: noisy_imagenette.csv"
        in found.source.description
    )


def test_matlab_and_pickles_alone(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    images = np.random.default_rng(0).integers(0, 255, (8, 8, 3, 5), dtype=np.uint8)
    scipy_io.savemat(tmp_path / "train_32x32.mat", {"X": images, "y": np.arange(5).reshape(5, 1)})
    with pytest.raises(
        DataError, match=r"is of MATLAB; convert it once, and give \S+train_32x32\.npz"
    ) as refused:
        scan(tmp_path / "train_32x32.mat")
    run_line(refused.value)
    found = scan(tmp_path / "train_32x32.npz")
    assert found.column("label:label") == list("01234")
    assert found.payloads()[1].endswith(np.ascontiguousarray(images[..., 1]).tobytes())
    (tmp_path / "t.pkl").write_bytes(
        pickle.dumps([{"text": "red", "label": "a"}, {"text": "green", "label": "b"}])
    )
    with pytest.raises(DataError, match="is a pickle, and headstart reads none") as refused:
        scan(tmp_path / "t.pkl")
    run_line(refused.value)
    assert scan(tmp_path / "t.parquet", modality="text").column("label:label") == ["a", "b"]


def test_archives_and_single_arrays_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"photos\.zip is packed; unpack it once \(unzip\)"):
        scan(tmp_path / "photos.zip")
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 4), dtype=np.uint8))
    with pytest.raises(DataError, match=r"x\.npy is one array") as refused:
        scan(tmp_path / "x.npy")
    run_line(refused.value)
    assert len(scan(tmp_path / "x.npz").ids) == 3
