"""The same images as files, in tars, in Parquet and in saved data sets are the same samples."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import headstart as hs
from headstart.cache.space import read_uses
from headstart.cache.store import Cache

from .conftest import CLASSES, IMAGES, TEXTS, Result

Runner = Callable[..., Result]
N = 90


def png(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def images(n: int = N) -> list[tuple[str, str, bytes]]:
    """Name, class and bytes."""
    return [(f"{number:06d}", CLASSES[number % 3], png(number)) for number in range(n)]


def as_files(folder: Path, rows: list[tuple[str, str, bytes]]) -> Path:
    for name, label, content in rows:
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{name}.png").write_bytes(content)
    return folder


def as_tars(folder: Path, rows: list[tuple[str, str, bytes]], a_tar: int = 40) -> Path:
    folder.mkdir()
    for start in range(0, len(rows), a_tar):
        with tarfile.open(folder / f"shard-{start // a_tar:03d}.tar", "w") as tar:
            for name, label, content in rows[start : start + a_tar]:
                for ending, payload in (("png", content), ("cls", label.encode())):
                    info = tarfile.TarInfo(f"{name}.{ending}")
                    info.size = len(payload)
                    tar.addfile(info, io.BytesIO(payload))
    return folder


def as_parquet(path: Path, rows: list[tuple[str, str, bytes]], struct: bool = False) -> Path:
    contents = [content for _, _, content in rows]
    column = [{"bytes": content, "path": None} for content in contents] if struct else contents
    table = pa.table({"image": column, "label": [label for _, label, _ in rows]})
    pq.write_table(table, path, row_group_size=25)
    return path


def as_saved(folder: Path, rows: list[tuple[str, str, bytes]]) -> Path:
    import datasets

    data = {
        "image": [{"bytes": c, "path": None} for _, _, c in rows],
        "label": [label for _, label, _ in rows],
    }
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
    )
    coded = {**data, "label": [CLASSES.index(label) for label in data["label"]]}
    datasets.Dataset.from_dict(coded, features=features).save_to_disk(folder)
    return folder


def contents(name: str) -> dict[bytes, str]:
    """The label of each key."""
    table = hs.open_set(name).samples
    column = next(column for column in table.column_names if column.startswith("label:"))
    return dict(zip(table.column("key").to_pylist(), table.column(column).to_pylist(), strict=True))


def test_every_container_gives_the_same_samples_in_one_space(headstart: Runner, tmp_path: Path) -> None:
    rows = images()
    data = {
        "files": as_files(tmp_path / "files", rows),
        "tars": as_tars(tmp_path / "tars", rows),
        "bytes": as_parquet(tmp_path / "bytes.parquet", rows),
        "struct": as_parquet(tmp_path / "struct.parquet", rows, struct=True),
        "saved": as_saved(tmp_path / "saved", rows),
    }
    computed = {}
    for name, path in data.items():
        done = headstart("extract", path, "--backbone", IMAGES, "--set", name, "--json")
        assert done.code == 0, done.err
        computed[name] = done.json["computed"]
    assert computed == {"files": N, "tars": 0, "bytes": 0, "struct": 0, "saved": 0}
    assert len(Cache().space_paths()) == 1
    assert all(contents(name) == contents("files") for name in data)


@pytest.mark.parametrize("container", ["tars", "bytes", "saved"])
def test_each_container_alone_gives_the_features_of_files(
    headstart: Runner, tmp_path: Path, container: str
) -> None:
    """Read in the order of the container, and not by bucket, the features are the same."""
    rows = images()
    headstart("extract", as_files(tmp_path / "files", rows), "--backbone", IMAGES, "--set", "files")
    make = {"tars": as_tars, "bytes": as_parquet, "saved": as_saved}[container]
    path = make(tmp_path / ("c.parquet" if container == "bytes" else "c"), rows)
    options = ("--backbone", IMAGES, "--set", "c", "--cache", tmp_path / "other")
    assert headstart("extract", path, *options, "--json").json["computed"] == N
    assert headstart("extract", path, *options, "--json").json["computed"] == 0
    files, other = hs.open_set("files").rows(), hs.open_set("c", tmp_path / "other").rows()
    assert files.feature.space == other.feature.space
    place = {key: row for row, key in enumerate(files.table.column("key").to_pylist())}
    order = [place[key] for key in other.table.column("key").to_pylist()]
    np.testing.assert_allclose(other.X, files.X[order], rtol=1e-5, atol=1e-6)


def test_a_stream_is_extracted_block_by_block(headstart: Runner, tmp_path: Path) -> None:
    rows = images(1200)
    (tmp_path / "hub").mkdir()
    as_parquet(tmp_path / "hub" / "train.parquet", rows, struct=True)
    extract = (
        "extract",
        f"hf:{tmp_path / 'hub'}",
        "--backbone",
        IMAGES,
        "--set",
        "s",
        "--streaming",
        "--json",
    )
    first = headstart(*extract)
    assert first.code == 0, first.err
    assert first.json["computed"] == 1200
    assert "block by block" in first.err
    assert headstart(*extract).json["computed"] == 0
    features = hs.open_set("s")
    assert len(features.samples) == 1200
    (space,) = [Cache().open_space(path.name) for path in Cache().space_paths()]
    assert len(space.shard_names()) == 1  # shards grow across blocks
    files = as_parquet(tmp_path / "plain.parquet", rows)
    assert headstart("extract", files, "--backbone", IMAGES, "--set", "p", "--json").json["computed"] == 0


def test_a_stream_that_brings_a_sample_twice(headstart: Runner, tmp_path: Path) -> None:
    rows = images(700)
    (tmp_path / "hub").mkdir()
    as_parquet(tmp_path / "hub" / "train.parquet", [*rows, *rows], struct=True)
    done = headstart(
        "extract", f"hf:{tmp_path / 'hub'}", "--backbone", IMAGES, "--set", "s", "--streaming", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["samples"] == 1400
    assert len(hs.open_set("s").arrays("train")[0]) > 700
    (space,) = Cache().space_paths()
    assert (read_uses(space).held, read_uses(space).computed) == (0, 700)
    assert headstart("cache", "verify").code == 0


def test_a_block_that_is_bad_as_a_whole_does_not_stop_a_stream(headstart: Runner, tmp_path: Path) -> None:
    """What the blocks before it gave is not committed yet, and proves all the same that the model works."""
    texts = [f"text {number}" for number in range(512)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in [*texts, "zebra"]))
    extract = ("extract", f"hf:{tmp_path / 't.jsonl'}", "--backbone", TEXTS, "--set", "s", "--streaming")
    done = headstart(*extract, "--json", TINY_NAN="some")
    assert done.code == 0, done.err
    assert (done.json["computed"], done.json["failures"]) == (512, 1)


def test_a_stream_that_goes_wrong_is_stopped(headstart: Runner, tmp_path: Path) -> None:
    rows = [
        (name, label, b"no image" + name.encode() if int(name) % 2 else content)
        for name, label, content in images(600)
    ]
    (tmp_path / "hub").mkdir()
    as_parquet(tmp_path / "hub" / "train.parquet", rows, struct=True)
    done = headstart(
        "extract", f"hf:{tmp_path / 'hub'}", "--backbone", IMAGES, "--streaming", "--max-failures", "10%"
    )
    assert done.code == 1
    assert "more than --max-failures allows" in done.err


def test_a_stream_is_predicted_block_by_block(headstart: Runner, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    as_parquet(tmp_path / "hub" / "train.parquet", images(1200), struct=True)
    headstart("extract", as_files(tmp_path / "files", images()), "--backbone", IMAGES, "--set", "s")
    headstart("fit-head", "s", "--head", "ridge", "--out", "run")
    for streaming, out in (("--streaming", "a.parquet"), ("--no-streaming", "b.parquet")):
        done = headstart("predict", "run", f"hf:{tmp_path / 'hub'}", streaming, "--out", out)
        assert done.code == 0, done.err
    streamed, copied = (pq.read_table(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert streamed.column("prediction").null_count == 0
    likely = [
        np.stack([table.column(f"p:{name}").to_numpy() for name in CLASSES], 1)
        for table in (streamed, copied)
    ]
    np.testing.assert_allclose(*likely, atol=1e-5)  # other batches round otherwise
    best = np.sort(likely[0])
    clear = best[:, -1] - best[:, -2] > 2 * np.abs(likely[0] - likely[1]).max()
    assert clear.mean() > 0.5
    assert streamed.column("prediction").filter(clear) == copied.column("prediction").filter(clear)


def test_the_doctor_says_that_a_stream_cannot_be_had_again(headstart: Runner, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    as_parquet(tmp_path / "hub" / "train.parquet", images(), struct=True)
    data = f"hf:{tmp_path / 'hub'}"
    headstart("extract", data, "--backbone", IMAGES, "--set", "s", "--streaming")
    done = headstart("cache", "doctor", "s")
    assert done.code == 2
    assert "pass --data" in done.err
    assert headstart("cache", "doctor", "s", "--data", tmp_path / "hub" / "train.parquet").code == 0


def test_bad_samples_at_the_beginning_of_a_stream_are_no_share(headstart: Runner, tmp_path: Path) -> None:
    rows = images(1500)
    rows[:20] = [(name, label, b"no image" + name.encode()) for name, label, _ in rows[:20]]
    (tmp_path / "hub").mkdir()
    as_parquet(tmp_path / "hub" / "train.parquet", rows, struct=True)
    extract = ("extract", f"hf:{tmp_path / 'hub'}", "--backbone", IMAGES, "--streaming", "--json")
    done = headstart(*extract, "--max-failures", "2%")
    assert (done.code, done.json["failures"]) == (0, 20), done.err


def test_pairs_of_image_and_text(headstart: Runner, tmp_path: Path) -> None:
    """One sample is both: another text, or another image, is another sample."""
    folder = as_files(tmp_path / "files", images(6))
    lines = [
        {"image": f"files/{label}/{name}.png", "caption": f"a {label}", "label": label}
        for name, label, _ in images(6)
    ]
    data = folder.parent / "pairs.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    options = ("--image-column", "image", "--text-column", "caption", "--set", "pairs")
    done = headstart("extract", data, "--backbone", "py:tiny_backbones:pairs", *options, "--json")
    assert done.code == 0, done.err
    assert done.json["computed"] == 6
    lines[0]["caption"] = "quite another"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    again = headstart("extract", data, "--backbone", "py:tiny_backbones:pairs", *options, "--json")
    assert again.json["computed"] == 1
    refused = headstart(
        "extract", data, "--backbone", TEXTS, "--image-column", "image", "--text-column", "caption"
    )
    assert refused.code == 2
    assert "takes texts" in refused.err


@pytest.mark.slow
def test_a_hundred_thousand_images_in_every_container(process: Runner, tmp_path: Path) -> None:
    """Files, tars and Parquet: the same keys, the same features, one space, and no work the second time."""
    rows = images(100_000)
    data = {
        "files": as_files(tmp_path / "files", rows),
        "tars": as_tars(tmp_path / "tars", rows, a_tar=10_000),
        "bytes": as_parquet(tmp_path / "bytes.parquet", rows),
    }
    for name, path in data.items():
        extract = (
            "extract",
            path,
            "--backbone",
            IMAGES,
            "--set",
            name,
            "--cache",
            tmp_path / f"{name}-cache",
        )
        assert process(*extract, "--json").json["computed"] == 100_000
        assert process(*extract, "--json").json["computed"] == 0
    sets = {name: hs.open_set(name, tmp_path / f"{name}-cache").rows() for name in data}
    assert len({rows.feature.space for rows in sets.values()}) == 1
    sorted_rows = {}
    for name, found in sets.items():
        keys = np.array(found.table.column("key").to_pylist())
        order = np.argsort(keys)
        sorted_rows[name] = (keys[order], found.X[order])
    for name in ("tars", "bytes"):
        assert (sorted_rows[name][0] == sorted_rows["files"][0]).all()
        np.testing.assert_allclose(sorted_rows[name][1], sorted_rows["files"][1], rtol=1e-5, atol=1e-6)
