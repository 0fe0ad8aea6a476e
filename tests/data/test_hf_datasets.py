"""Hugging Face data sets: folders that save_to_disk wrote, and what load_dataset loads or streams."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data import SourceOptions, open_source
from headstart.data.hub import parse_spec
from headstart.errors import ConfigError, DataError, MissingDependencyError, SampleError
from headstart.keys import key_of
from tests.data.conftest import MemoryMemo, scan, write_images, write_table

datasets = pytest.importorskip("datasets")

IMAGES = datasets.Features(
    {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat", "cow"])}
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What load_dataset copies belongs to the test; the hub is out of reach."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def png(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def images(numbers: range) -> Any:
    rows = {
        "image": [{"bytes": png(n), "path": f"{n}.png"} for n in numbers],
        "label": [n % 2 for n in numbers],
    }
    return datasets.Dataset.from_dict(rows, features=IMAGES)


def save(path: Path, features: dict[str, Any] | None = None, **columns: Any) -> Path:
    made = datasets.Dataset.from_dict(columns, features=features and datasets.Features(features))
    made.save_to_disk(path)
    return path


def test_images_are_read_as_they_were_saved(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": images(range(3)), "dev": images(range(3, 5))}).save_to_disk(tmp_path / "d")
    found = scan(tmp_path / "d")
    assert found.source.modality == "image"
    assert found.ids == ["train:1", "train:2", "train:3", "dev:1", "dev:2"]
    assert found.column("split") == ["train"] * 3 + ["validation"] * 2
    assert found.payloads() == [png(number) for number in range(5)]
    assert found.keys == [key_of("image", png(number)) for number in range(5)]
    assert found.column("label:label") == ["dog", "cat", "dog", "cat", "dog"]
    assert found.source.label_names == {"label": ("dog", "cat", "cow")}
    assert found.source.label_kinds == {"label": "single"}
    assert (found.source.rows_per_block, found.source.streams) == (1024, False)
    assert "100" not in found.source.description


def test_rows_that_were_chosen_before_saving_are_the_ones_read(tmp_path: Path) -> None:
    images(range(6)).select([4, 1]).save_to_disk(tmp_path / "d")
    found = scan(tmp_path / "d")
    assert found.payloads() == [png(4), png(1)]
    assert found.column("split") == [None, None]
    assert found.ids == ["d:1", "d:2"]


def test_images_may_lie_in_files(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png")
    features = {"image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}}
    rows = [{"bytes": None, "path": str(tmp_path / name)} for name in ("a.png", "gone.png")]
    save(tmp_path / "d", features, image=[*rows, {"bytes": b"", "path": None}])
    found = scan(tmp_path / "d")
    assert found.payloads() == [(tmp_path / "a.png").read_bytes()]
    assert [(failure.id, failure.kind) for failure in found.failures] == [
        ("d:2", "transient"),
        ("d:3", "permanent"),
    ]
    (tmp_path / "a.png").unlink()
    with pytest.raises(SampleError, match="missing"):
        found.source.payload(0)


def test_bytes_are_images(tmp_path: Path) -> None:
    found = scan(save(tmp_path / "d", photo=[b"one", b"two"]))
    assert found.payloads() == [b"one", b"two"]


def test_texts_pairs_and_pairs_with_images(tmp_path: Path) -> None:
    texts = scan(save(tmp_path / "t", text=["a b", " ", "c d"], label=["x", "y", None]))
    assert texts.payloads() == ["a b", "c d"]
    assert texts.keys == [key_of("text", "a b"), key_of("text", "c d")]
    assert texts.column("label:label") == ["x", None]
    pairs = scan(save(tmp_path / "p", sentence1=["a"], sentence2=["b"], idx=[7]))
    assert pairs.payloads() == [("a", "b")]
    assert pairs.column("meta:idx") == ["7"]
    both = save(tmp_path / "b", image=[b"one"], caption=["a cat"])
    with pytest.raises(ConfigError, match="--image-column image or --text-column caption"):
        open_source(both)
    found = scan(both, image_column="image", text_column="caption")
    assert found.source.modality == "image-text"
    assert found.payloads() == [(b"one", "a cat")]
    assert found.keys == [key_of("image-text", (b"one", "a cat"))]


def test_an_id_column_gives_the_ids(tmp_path: Path) -> None:
    assert scan(save(tmp_path / "d", text=["a b"], key=["k1"]), id_column="key").ids == ["k1"]


@pytest.mark.parametrize(
    ("feature", "values", "kind", "labels"),
    [
        (datasets.ClassLabel(names=["0.5", "1.5"]), [1, -1, None], "single", ["1.5", None, None]),
        (
            datasets.Sequence(datasets.ClassLabel(names=["x", "y"])),
            [[1, 0], [], None],
            "multi",
            [["y", "x"], [], None],
        ),
        (datasets.Sequence(datasets.Value("string")), [["a"], [], None], "multi", [["a"], [], None]),
        (datasets.Value("float32"), [0.5, 2.0, None], "regression", [0.5, 2.0, None]),
        (datasets.Value("int8"), [3, 1, None], "single", ["3", "1", None]),
        (datasets.Value("bool"), [True, False, None], "single", ["true", "false", None]),
    ],
)
def test_labels_are_what_the_features_say(
    tmp_path: Path, feature: Any, values: list[Any], kind: str, labels: list[Any]
) -> None:
    features = {"text": datasets.Value("string"), "label": feature}
    found = scan(save(tmp_path / "d", features, text=["a b", "c d", "e f"], label=values))
    assert found.source.label_kinds == {"label": kind}
    assert found.column("label:label") == labels


def test_given_names_replace_those_of_the_data(tmp_path: Path) -> None:
    images(range(2)).save_to_disk(tmp_path / "d")
    found = scan(tmp_path / "d", label_names=("Hund", "Katze", "Kuh"))
    assert found.column("label:label") == ["Hund", "Katze"]
    assert found.source.label_names == {"label": ("Hund", "Katze", "Kuh")}


def test_what_this_machine_has_met_is_not_hashed_again(tmp_path: Path, later: Any) -> None:
    images(range(4)).save_to_disk(tmp_path / "d")
    memo = MemoryMemo()
    scan(tmp_path / "d", memo)
    assert not memo.known  # it is too young
    later()
    first = scan(tmp_path / "d", memo)
    assert len(memo.known) == 4
    memo.n_unknown = 0
    assert scan(tmp_path / "d", memo).table == first.table
    assert memo.n_unknown == 0


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    images(range(2)).save_to_disk(tmp_path / "d")
    (arrow,) = (tmp_path / "d").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read as a save_to_disk folder"):
        open_source(tmp_path / "d")


@pytest.mark.parametrize(
    ("whole", "damaged", "says"),
    [
        (b"text number 2", b"text number \xff", "row 3: the text in column 'text' is not UTF-8"),
        (np.arange(5, dtype="<i4").tobytes(), np.array([0, 1, 1 << 30, 3, 4], "<i4").tobytes(), "is damaged"),
        (np.arange(5, dtype="<i4").tobytes(), np.array([0, 1, -9, 3, 4], "<i4").tobytes(), "is damaged"),
    ],
)
def test_damage_within_a_file_is_named(tmp_path: Path, whole: bytes, damaged: bytes, says: str) -> None:
    texts = [f"text number {row}" for row in range(4)] if whole.startswith(b"text") else list("abcd")
    (file,) = save(tmp_path / "d", text=texts, number=[5, 6, 7, 8]).glob("*.arrow")
    content = file.read_bytes()
    assert whole in content
    file.write_bytes(content.replace(whole, damaged))
    with pytest.raises(DataError, match=says):
        scan(tmp_path / "d", text_column="text")


def test_a_data_set_that_shrinks_during_the_run_ends_in_an_error(tmp_path: Path) -> None:
    """What is mapped and gone would end the process at the first look."""
    folder = tmp_path / "saved"
    images(range(5)).save_to_disk(folder)
    source = scan(folder).source
    assert source.payload(0) == png(0)
    (file,) = folder.glob("*.arrow")
    with open(file, "r+b") as cut:
        cut.truncate(100)
    with pytest.raises(SampleError, match="changed while it was being read"):
        source.payload(1)


def test_names_of_the_hub_are_read() -> None:
    spec = parse_spec("hf:nyu-mll/glue:sst2@1234")
    assert (spec.name, spec.config, spec.revision) == ("nyu-mll/glue", "sst2", "1234")
    assert parse_spec("hf:imdb").arguments() == {"path": "imdb", "name": None, "revision": None}
    with pytest.raises(ConfigError, match="names no data set"):
        parse_spec("hf:")


def test_without_a_network_one_line_says_so() -> None:
    with pytest.raises(DataError, match=r"hf:nobody/nothing: .* no copy in this machine's cache") as caught:
        open_source("hf:nobody/nothing")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="there is no file or folder /no/such"):
        open_source("hf:/no/such")


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("streaming", [False, True])
def test_files_are_read_by_the_library(tmp_path: Path, ending: str, streaming: bool) -> None:
    path = write_table(tmp_path / f"some{ending}", {"text": ["a b", "c d"], "label": ["x", "y"]})
    found = scan(f"hf:{path}", streaming=streaming)
    assert found.source.streams == streaming
    assert found.keys == [key_of("text", "a b"), key_of("text", "c d")]
    assert found.column("label:label") == ["x", "y"]
    assert found.ids == ["train:1", "train:2"]


@pytest.mark.parametrize("streaming", [None, True])
def test_a_folder_gives_the_same_whether_streamed_or_not(tmp_path: Path, streaming: bool | None) -> None:
    root = write_images(tmp_path / "d", "train/cat/1.png", "train/dog/2.png", "test/cat/3.png")
    source = open_source(f"hf:{root}", SourceOptions(streaming=streaming))
    keys, labels, splits = [], [], []
    row = 0
    for block in source.scan(MemoryMemo()):
        for key in block.table.column("key").to_pylist():
            assert key_of("image", source.payload(row)) == key
            row += 1
        keys += block.table.column("key").to_pylist()
        labels += block.table.column("label:label").to_pylist()
        splits += block.table.column("split").to_pylist()
    files = ["train/cat/1.png", "train/dog/2.png", "test/cat/3.png"]
    assert keys == [key_of("image", (root / name).read_bytes()) for name in files]
    assert labels == ["cat", "dog", "cat"]
    assert splits == ["train", "train", "test"]
    assert source.label_names == {"label": ("cat", "dog")}


def test_a_stream_holds_one_block(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {n}", "y": n / 2}) + "\n" for n in range(1200)))
    source = open_source(f"hf:{path}", SourceOptions(streaming=True))
    assert source.streams
    assert source.label_kinds == {"y": "regression"}
    sizes, n = [], 0
    for block in source.scan(MemoryMemo()):
        sizes.append(block.table.num_rows)
        assert source.payload(n) == f"text {n}"
        assert block.table.column("id")[0].as_py() == f"train:{n + 1}"
        if n:
            with pytest.raises(SampleError, match="has streamed by"):
                source.payload(n - 1)
        n += block.table.num_rows
        assert source.payload(n - 1) == f"text {n - 1}"
        with pytest.raises(SampleError):
            source.payload(n)
    assert sizes == [512, 512, 176]
    assert sum(block.table.num_rows for block in source.scan(MemoryMemo())) == 1200


def test_a_stream_of_large_samples_has_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.data.hub.BYTES", 1 << 20)
    save(tmp_path / "d", image=[bytes([n]) * 300_000 for n in range(1, 8)])
    (arrow,) = (tmp_path / "d").glob("*.arrow")
    source = open_source(f"hf:{arrow}", SourceOptions(streaming=True))
    assert [block.table.num_rows for block in source.scan(MemoryMemo())] == [4, 3]


def test_a_data_set_that_is_a_program_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataError):
        open_source(f"hf:{tmp_path / 'evil'}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("streaming", [False, True])
def test_images_may_be_named_beside_a_file(tmp_path: Path, streaming: bool) -> None:
    write_images(tmp_path, "photos/a.png")
    path = write_table(tmp_path / "some.csv", {"image": ["photos/a.png"], "label": ["x"]})
    source = open_source(f"hf:{path}", SourceOptions(streaming=streaming))
    (block,) = source.scan(MemoryMemo())
    assert block.table.column("key").to_pylist() == [key_of("image", source.payload(0))]


def test_several_configurations_must_be_chosen_from(tmp_path: Path) -> None:
    write_table(tmp_path / "d" / "a.csv", {"text": ["a b"]})
    write_table(tmp_path / "d" / "b.csv", {"text": ["c d"]})
    (tmp_path / "d" / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: a.csv\n- config_name: two\n  data_files: b.csv\n---\n"
    )
    with pytest.raises(ConfigError, match=r"choose a configuration with hf:.*:CONFIG; .*'one', 'two'"):
        open_source(f"hf:{tmp_path / 'd'}")
    assert scan(f"hf:{tmp_path / 'd'}:two").payloads() == ["c d"]


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(range(1)).save_to_disk(tmp_path / "d")
    monkeypatch.setitem(sys.modules, "datasets", None)
    for data in (tmp_path / "d", "hf:imdb"):
        with pytest.raises(MissingDependencyError, match=r"headstart\[hub\]"):
            open_source(data)
