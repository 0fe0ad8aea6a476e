"""Whatever a user feeds in: a clear line, never a traceback, and what was good is kept."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs

from .conftest import IMAGES, TEXTS, Result, command, some_texts, write_image, write_texts

Runner = Callable[..., Result]


def skipped(name: str) -> dict[str, str]:
    return {failure.id: failure.reason for failure in hs.open_set(name).failures}


def test_bad_photos_are_named_and_the_good_are_kept(headstart: Runner, photos: Path) -> None:
    whole = (photos / "circle" / "000.png").read_bytes()
    (photos / "circle" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "circle" / "text.jpg").write_text("not an image at all")
    (photos / "square" / "empty.png").write_bytes(b"")
    extract = ("extract", photos, "--backbone", IMAGES, "--set", "p", "--json")
    first = headstart(*extract)
    assert (first.code, first.json["computed"], first.json["failures"]) == (0, 60, 3)
    assert set(skipped("p")) == {"circle/cut.jpg", "circle/text.jpg", "square/empty.png"}
    assert "could not prepare it" in skipped("p")["circle/text.jpg"]
    again = headstart(*extract)
    assert (again.json["computed"], again.json["failures"]) == (0, 3)
    assert "0 to do" in again.err
    strict = headstart(*extract, "--strict")
    assert strict.code == 3
    assert "failures.jsonl" in strict.err
    assert len(hs.open_set("p").arrays()[0]) == 60
    (photos / "circle" / "cut.jpg").write_bytes(write_image(photos.parent / "new.png", 99).read_bytes())
    mended = headstart(*extract)
    assert (mended.json["computed"], mended.json["failures"]) == (1, 2)
    verified = headstart("cache", "verify")
    assert verified.code == 0, verified.out


def test_empty_texts_are_named(headstart: Runner, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "t.csv", [*some_texts(30), ("", "class 0"), ("  ", "class 1")])
    result = headstart("extract", path, "--backbone", TEXTS, "--set", "t", "--json")
    assert (result.code, result.json["samples"], result.json["failures"]) == (0, 30, 2)
    assert set(skipped("t").values()) == {"the text is empty"}


def test_predictions_keep_a_row_for_every_input(headstart: Runner, photos: Path) -> None:
    headstart("extract", photos, "--backbone", IMAGES, "--set", "p")
    headstart("fit-head", "p", "--head", "ridge", "--out", "run")
    (photos / "circle" / "text.jpg").write_text("not an image at all")
    (photos / "circle" / "empty.jpg").write_bytes(b"")
    assert headstart("predict", "run", photos, "--out", "out.jsonl").code == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(rows) == 62
    bad = {row["id"]: row["error"] for row in rows if row["prediction"] is None}
    assert set(bad) == {"circle/text.jpg", "circle/empty.jpg"}
    assert all(bad.values())


@pytest.mark.parametrize(
    ("content", "options", "code", "says"),
    [
        (b"", (), 1, "empty"),
        (b"text,label\n", (), 1, "no"),
        (b"text,label\na b c,x\n", ("--text-column", "txt"), 2, "text"),
        (b"text,label\na b c,x\n", ("--label-column", "lable"), 2, "label"),
        ("text,label\ncafé au lait,x\n".encode("latin-1"), (), 1, "--encoding"),
    ],
)
def test_tables_that_cannot_be_read(
    headstart: Runner, content: bytes, options: tuple[str, ...], code: int, says: str
) -> None:
    Path("bad.csv").write_bytes(content)
    refused = headstart("extract", "bad.csv", "--backbone", TEXTS, *options)
    assert refused.code == code, refused.err
    assert says in refused.err
    assert len(refused.err.strip().splitlines()) <= 3


def test_another_encoding_is_read_when_it_is_named(headstart: Runner) -> None:
    rows = "".join(f"café numéro {row},classe {row % 2}\n" for row in range(20))
    Path("latin.csv").write_bytes(("text,label\n" + rows).encode("latin-1"))
    done = headstart("extract", "latin.csv", "--backbone", TEXTS, "--encoding", "latin-1", "--json")
    assert (done.code, done.json["computed"]) == (0, 20)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("extract", "no-such-folder", "--backbone", IMAGES), 1, "no-such-folder"),
        (("extract", "photos", "--backbone", "timm:resnet5O"), 2, "resnet50"),
        (("extract", "photos", "--backbone", "bundled:all-minilm-l6-v2"), 2, "image"),
        (("extract", "texts.csv", "--backbone", "bundled:efficientnet-lite0"), 2, "text"),
        (("extract", "photos", "--backbone", IMAGES, "--taps", "last.sum"), 2, "last.mean"),
        (("extract", "photos", "--backbone", IMAGES, "--set", "../out"), 2, "name of a set"),
        (("extract", "photos", "--backbone", IMAGES, "--precision", "fp8"), 2, "precision"),
        (("extract", "photos", "--backbone", IMAGES, "--device", "cuda:7"), 2, "cuda:7"),
        (("extract", "photos"), 2, "--backbone"),
        (("fit-head", "no-such-set"), 1, "no-such-set"),
        (("predict", "no-such-run", "photos"), 1, "not a run"),
        (("cache", "show", "nothing"), 1, "nothing"),
    ],
)
def test_wrong_usage(
    headstart: Runner, photos: Path, table: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    refused = headstart(*arguments)
    assert refused.code == code, refused.err
    assert says in refused.err


@pytest.mark.parametrize("command", ["extract", "cache ls", "cache verify"])
def test_an_unset_variable_is_not_the_current_folder(headstart: Runner, table: Path, command: str) -> None:
    data = (table, "--backbone", TEXTS) if command == "extract" else ()
    refused = headstart(*command.split(), *data, "--cache", "")
    assert refused.code == 2
    assert "--cache" in refused.err
    assert not Path("headstart.json").exists()


def test_names_that_no_file_could_hold_are_refused_at_once(headstart: Runner, photos: Path) -> None:
    odd = photos.rename(photos.parent / "caf\udce9")
    refused = headstart("extract", odd, "--backbone", IMAGES)
    assert refused.code == 1
    assert "caf\\xe9: the file's name is not UTF-8; rename it" in refused.err
    refused = headstart("cache", "ls", "--cache", odd)
    assert refused.code == 2
    assert "not UTF-8" in refused.err


def test_data_without_a_name_is_not_the_current_folder(headstart: Runner, photos: Path) -> None:
    refused = headstart("extract", "", "--backbone", IMAGES)
    assert refused.code == 2
    assert "DATA" in refused.err


def test_predictions_do_not_replace_what_is_read(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    headstart("fit-head", "t", "--head", "ridge", "--out", "run")
    (table.parent / "data").mkdir()
    split = table.rename(table.parent / "data" / "test.csv")
    before = split.read_bytes()
    for data, out in ((split, split), (split.parent, split), (split, "run/predictions.parquet")):
        refused = headstart("predict", "run", data, "--out", out)
        assert refused.code == 2
        assert "choose another --out" in refused.err
    assert split.read_bytes() == before
    for _ in range(2):
        assert headstart("predict", "run", split, "--out", "beside.csv").code == 0


def test_the_next_step_is_said_where_there_is_one(headstart: Runner, table: Path) -> None:
    Path("bare.csv").write_text("text\none\ntwo\n", encoding="utf-8")
    assert "next: headstart fit-head t" in headstart("extract", table, "--backbone", TEXTS, "--set", "t").err
    assert "next:" not in headstart("extract", "bare.csv", "--backbone", TEXTS, "--set", "b").err


def test_an_empty_cache_is_not_called_sound(headstart: Runner) -> None:
    checked = headstart("cache", "verify", "--cache", "no-such-cache")
    assert checked.code == 0
    assert "there is nothing in no-such-cache" in checked.out


def test_wrong_usage_of_fit_head(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    for arguments, says in (
        (("--head", "logistics"), "logistic"),
        (("--param", "D=1"), "C"),
        (("--param", "C=0"), "C"),
        (("--param", "C"), "NAME=VALUE"),
        (("--tap", "last.cls"), "it has"),
        (("--label", "colour"), "label"),
    ):
        refused = headstart("fit-head", "t", *arguments)
        assert refused.code == 2, (arguments, refused.err)
        assert says in refused.err


def test_one_class_only(headstart: Runner, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "t.csv", [(text, "same") for text, _ in some_texts(20)])
    assert headstart("extract", path, "--backbone", TEXTS, "--set", "t").code == 0
    refused = headstart("fit-head", "t")
    assert refused.code == 1
    assert "two classes" in refused.err
    assert "'same'" in refused.err


def test_no_labels(headstart: Runner, tmp_path: Path) -> None:
    Path("t.csv").write_text("text\n" + "".join(f"text number {row}\n" for row in range(20)))
    assert headstart("extract", "t.csv", "--backbone", TEXTS, "--set", "t").code == 0
    assert "no labels" in headstart("fit-head", "t").err


def test_a_label_in_test_that_train_lacks(headstart: Runner, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_texts(tmp_path / "data" / "train.csv", some_texts(40))
    write_texts(
        tmp_path / "data" / "test.csv", [*[(f"new {t}", y) for t, y in some_texts(9)], ("odd one", "rare")]
    )
    headstart("extract", tmp_path / "data", "--backbone", TEXTS, "--set", "t")
    fitted = headstart("fit-head", "t", "--head", "ridge", "--json")
    assert fitted.code == 0
    assert "'rare'" in fitted.err
    assert fitted.json["data"]["unseen_in_train"] == ["rare"]
    assert fitted.json["metrics"]["test"]["per_class"]["rare"]["recall"] == 0


def test_nan_from_a_backbone(headstart: Runner, tmp_path: Path) -> None:
    rows = some_texts(40)
    path = write_texts(tmp_path / "t.csv", [*rows, ("zebra", "class 0")])
    refused = headstart("extract", path, "--backbone", TEXTS, "--set", "t", TINY_NAN="all")
    assert refused.code == 1
    assert "NaN" in refused.err
    done = headstart("extract", path, "--backbone", TEXTS, "--set", "t", "--json", TINY_NAN="some")
    assert (done.code, done.json["computed"], done.json["failures"]) == (0, 40, 1)
    assert "NaN" in next(iter(skipped("t").values()))


def test_what_float16_cannot_hold(headstart: Runner, table: Path) -> None:
    refused = headstart("extract", table, "--backbone", TEXTS, "--dtype", "float16", TINY_SCALE="1e6")
    assert refused.code == 1
    assert "--dtype float32" in refused.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_to_write(headstart: Runner, table: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    refused = headstart("extract", table, "--backbone", TEXTS, "--cache", tmp_path / "locked" / "cache")
    assert refused.code == 1
    assert "permission" in refused.err


def test_a_place_that_cannot_be_written(headstart: Runner, table: Path) -> None:
    Path("file").write_text("here")
    for cache in ("file", "file/cache"):
        refused = headstart("extract", table, "--backbone", TEXTS, "--cache", cache)
        assert refused.code == 1
        assert "file" in refused.err


def test_a_disk_that_is_full_keeps_what_was_committed(headstart: Runner, table: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: writing fails half-way in the same place."""
    extract = command("extract", table, "--backbone", TEXTS, "--set", "t")
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); " + (
        "sys.argv = ['headstart', *sys.argv[1:]]; runpy.run_module('headstart', run_name='__main__')"
    )
    full = subprocess.run([sys.executable, "-c", limited, *extract[3:]], capture_output=True, text=True)
    assert full.returncode == 1, full.stderr
    assert "no space left" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(tmp_path.rglob("*.partial"))
    done = headstart("extract", table, "--backbone", TEXTS, "--set", "t", "--json")
    assert done.json["computed"] == 80
    assert headstart("cache", "verify").code == 0


def test_a_head_on_another_backbone_is_refused(headstart: Runner, table: Path, tmp_path: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    headstart("fit-head", "t", "--head", "ridge", "--out", "run")
    features = json.loads(Path("run/features.json").read_text())
    features["recipe"]["weights"] = "0" * 32
    Path("run/features.json").write_text(json.dumps(features))
    refused = headstart("predict", "run", table)
    assert refused.code == 4, refused.err
    assert "weights" in refused.err


def test_a_cache_of_a_newer_format(headstart: Runner, table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t", "--cache", "cache")
    Path("cache/headstart.json").write_text('{"format": 99}')
    refused = headstart("cache", "ls", "--cache", "cache")
    assert refused.code == 1
    assert "upgrade headstart" in refused.err


def test_a_cache_that_can_only_be_read_serves_a_warm_extract(
    process: Callable[..., Result], table: Path, tmp_path: Path
) -> None:
    """A read-only mount, where this user may make one; elsewhere there is nothing to see."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can mount")
    cache = tmp_path / "mounted"
    assert process("extract", table, "--backbone", TEXTS, "--set", "t", "--cache", cache).code == 0
    inner = " ".join(
        map(shlex.quote, command("extract", table, "--backbone", TEXTS, "--set", "t", "--cache", cache))
    )
    mount = f"mount --bind {shlex.quote(str(cache))} {shlex.quote(str(cache))}"
    script = f"{mount} && mount -o remount,ro,bind {shlex.quote(str(cache))} || exit 77; {inner}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("no mounting here")
    assert done.returncode == 0, done.stderr
    assert "0 computed" in done.stdout


def test_a_broken_set_says_what_mends_it(headstart: Callable[..., Result], table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    (hs.open_set("t").path / "set.json").write_text("{")
    done = headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    assert done.code == 1
    assert "headstart cache verify --repair" in done.err
    assert headstart("cache", "verify", "--repair").code == 0
    assert headstart("extract", table, "--backbone", TEXTS, "--set", "t").code == 0


def test_a_broken_run_is_named(headstart: Callable[..., Result], table: Path) -> None:
    headstart("extract", table, "--backbone", TEXTS, "--set", "t")
    headstart("fit-head", "t", "--out", "run")
    Path("run/labels.json").write_text("{}")
    done = headstart("predict", "run", table)
    assert done.code == 1
    assert "labels.json lacks 'column'" in done.err


def test_options_that_contradict_each_other(headstart: Callable[..., Result], table: Path) -> None:
    options = ("--backbone", TEXTS, "--taps", "pooler.l2", "--no-normalize")
    assert headstart("extract", table, *options).code == 2
    done = headstart("extract", table, "--backbone", TEXTS, "--label-column", ",")
    assert done.code == 2
    assert "names nothing" in done.err


def test_a_folder_of_weights_that_is_not_there(headstart: Callable[..., Result], table: Path) -> None:
    done = headstart("extract", table, "--backbone", "hf:/nowhere/model")
    assert done.code == 1
    assert "there is no folder /nowhere/model" in done.err
