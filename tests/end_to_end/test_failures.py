"""What failed, for how long, and for which feature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs
from headstart.data.folders import FolderSource
from headstart.errors import DataError, SampleError

from ..processes import start
from .conftest import IMAGES, TEXTS, Result, some_texts, write_image, write_texts

Runner = Callable[..., Result]


def test_a_disk_that_comes_back_is_read_again(
    headstart: Runner, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract = ("extract", photos, "--backbone", IMAGES, "--set", "p", "--json")
    payload = FolderSource.payload

    def stale(source: FolderSource, row: int) -> bytes:
        if row == 3:
            raise SampleError("stale file handle")
        return payload(source, row)

    with monkeypatch.context() as broken:
        broken.setattr(FolderSource, "payload", stale)
        assert headstart(*extract).json["failures"] == 1
    assert [failure.kind for failure in hs.open_set("p").failures] == ["transient"]
    again = headstart(*extract)
    assert (again.json["computed"], again.json["failures"]) == (1, 0)


def test_permanent_failures_are_retried_when_asked(headstart: Runner, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "t.csv", [*some_texts(40), ("zebra", "class 0")])
    extract = ("extract", path, "--backbone", TEXTS, "--set", "t", "--json")
    assert headstart(*extract, TINY_NAN="some").json["failures"] == 1
    assert headstart(*extract).json["computed"] == 0
    retried = headstart(*extract, "--retry-failed").json
    assert (retried["computed"], retried["failures"]) == (1, 0)


def test_one_bad_sample_never_blocks_a_set(headstart: Runner, tmp_path: Path) -> None:
    """The good ones are held, and all that is left to do is one sample that gives NaN."""
    rows = some_texts(40)
    path = write_texts(tmp_path / "t.csv", rows)
    extract = ("extract", path, "--backbone", TEXTS, "--set", "t", "--json")
    assert headstart(*extract).json["computed"] == 40
    write_texts(path, [*rows, ("zebra", "class 0")])
    done = headstart(*extract, TINY_NAN="some")
    assert (done.code, done.json["failures"]) == (0, 1), done.err


def test_a_failure_of_one_backbone_is_not_one_of_another(headstart: Runner, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "t.csv", [*some_texts(40), ("zebra", "class 0")])
    assert headstart("extract", path, "--backbone", TEXTS, "--set", "t", TINY_NAN="some").code == 0
    other = headstart(
        "extract", path, "--backbone", TEXTS, "--taps", "last.max", "--set", "t", "--strict", "--json"
    )
    assert (other.code, other.json["failures"]) == (0, 0), other.err
    assert len(hs.open_set("t").failures) == 1
    assert headstart("cache", "verify").code == 0


def test_two_backbones_at_once_both_end_up_in_the_set(headstart: Runner, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "t.csv", some_texts(150))
    both = [
        start(
            "extract",
            path,
            "--backbone",
            TEXTS,
            "--taps",
            tap,
            "--set",
            "t",
            "--dtype",
            "float32",
            TINY_SECONDS="0.01",
        )
        for tap in ("last.max", "last.mean")
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert {ref.tap for ref in hs.open_set("t").features} == {"final.max", "final.mean"}
    assert headstart("cache", "verify").code == 0


def test_a_set_that_grew_is_sound_and_says_what_is_missing(headstart: Runner, photos: Path) -> None:
    first = ("extract", photos, "--backbone", IMAGES, "--set", "p")
    second = (*first, "--taps", "last.max")
    assert headstart(*first).code == 0
    write_image(photos / "circle" / "another.png", 999)
    assert headstart(*second).code == 0
    assert headstart("cache", "verify").code == 0
    refused = headstart("fit-head", "p", "--tap", "pooler")
    assert refused.code == 4
    assert "run headstart extract" in refused.err
    assert headstart("fit-head", "p", "--tap", "last.max").code == 0


def test_inputs_that_cannot_be_used_at_all(headstart: Runner, photos: Path) -> None:
    features = hs.extract(photos, backbone=IMAGES, quiet=True)
    run = hs.fit_head(features, head="ridge")
    Path("bad.jpg").write_text("not an image")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        run.predict(["bad.jpg"])


def test_test_samples_stay_test_samples_when_the_data_gains_splits(headstart: Runner, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = some_texts(60)
    write_texts(path, rows)
    headstart("extract", path, "--backbone", TEXTS, "--set", "t")
    before = hs.open_set("t").samples
    tested = {
        key for key, split in zip(before["key"], before["split"], strict=True) if split.as_py() == "test"
    }
    lines = ["text,label,split", *(f"{text},{label}," for text, label in rows), "brand new,class 0,test"]
    path.write_text("\n".join(lines) + "\n")
    assert headstart("extract", path, "--backbone", TEXTS, "--set", "t", "--split-column", "split").code == 0
    after = hs.open_set("t").samples
    assert {
        key for key, split in zip(after["key"], after["split"], strict=True) if split.as_py() == "test"
    } > tested


def test_a_file_added_to_a_model_folder_is_seen(headstart: Runner, table: Path, tiny_bert: Path) -> None:
    extract = ("extract", table, "--backbone", f"hf:{tiny_bert}", "--set", "t", "--json")
    assert headstart(*extract).code == 0
    assert headstart(*extract).json["computed"] == 0
    kinds = {"Transformer": "", "Pooling": "1_Pooling"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds.items())
    ]
    (tiny_bert / "1_Pooling").mkdir()
    (tiny_bert / "1_Pooling" / "config.json").write_text(
        '{"word_embedding_dimension": 32, "pooling_mode_mean_tokens": true}'
    )
    (tiny_bert / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    (tiny_bert / "modules.json").write_text(json.dumps(modules))
    changed = headstart(*extract)
    assert changed.code == 0
    assert changed.json["computed"] == 80


def test_an_option_that_would_be_ignored_is_refused(headstart: Runner, table: Path, photos: Path) -> None:
    for arguments in (
        (photos, "--backbone", "bundled:efficientnet-lite0", "--max-length", 5),
        (photos, "--backbone", IMAGES, "--crop-pct", 0.5),
        (table, "--backbone", "bundled:all-minilm-l6-v2", "--weights", "w.pth"),
    ):
        refused = headstart("extract", *arguments)
        assert refused.code == 2
        assert "means nothing" in refused.err


def test_copies_of_a_bad_sample_do_not_make_a_held_space_look_incomplete(
    headstart: Runner, photos: Path
) -> None:
    """Else ``--precision auto`` would leave the bf16 space that holds everything, and compute all again."""
    for name in ("x", "y", "z"):
        (photos / "circle" / f"{name}.png").write_bytes(b"no image")
    extract = ("extract", photos, "--backbone", IMAGES, "--set", "p", "--json")
    first = headstart(*extract, "--precision", "bf16").json
    again = headstart(*extract).json
    assert first["failures"] == again["failures"] == 3
    assert (again["computed"], again["spaces"]) == (0, first["spaces"])
    said = headstart("cache", "diff", photos, "--backbone", IMAGES, "--set", "p", "--json", "-q")
    (feature,) = json.loads(said.out)["features"]
    assert (feature["space"], feature["n_missing"]) == (first["spaces"][0], 0)


def test_a_head_from_a_table_of_images_predicts_a_folder_of_them(
    headstart: Runner, photos: Path, tmp_path: Path
) -> None:
    paths = sorted(path for path in photos.rglob("*.png"))
    rows = "".join(f"{path},{path.parent.name}\n" for path in paths)
    (tmp_path / "t.csv").write_text(f"photo,label\n{rows}", "utf-8")
    headstart("extract", tmp_path / "t.csv", "--backbone", IMAGES, "--set", "t", "--image-column", "photo")
    headstart("fit-head", "t", "--head", "ridge", "--out", "run")
    for data in (photos, paths[0], tmp_path / "t.csv"):
        done = headstart("predict", "run", data)
        assert done.code == 0, done.err


def test_an_import_keeps_what_is_known_of_samples_that_failed(headstart: Runner, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "t.csv", [*some_texts(40), ("zebra", "class 0")])
    headstart("extract", path, "--backbone", TEXTS, "--set", "t", TINY_NAN="some")
    headstart("extract", path, "--backbone", TEXTS, "--set", "whole", "--dtype", "float16")
    headstart("cache", "export", "whole", "x.npz")
    assert headstart("cache", "import", "x.npz", "--set", "t", "--backbone", "mine").code == 0
    features = hs.open_set("t")
    assert [len(features.rows(backbone=backbone)) for backbone in ("imported:mine", TEXTS)] == [41, 40]
    assert features.info["counts"]["failures"] == 1
