"""What is read of a backbone, from the command to the prediction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import headstart as hs

from .conftest import Result

Runner = Callable[..., Result]


def test_a_layer_by_number_from_extract_to_predict(headstart: Runner, tiny_bert: Path, table: Path) -> None:
    """-1 of a BERT is its end, since no norm comes after it; -2 is layer 1."""
    backbone = f"hf:{tiny_bert}"
    taps = "-1.mean,last.mean,2.mean,-2.cls+mean,0.max"
    done = headstart("extract", table, "--backbone", backbone, "--set", "s", "--taps", taps, "--json")
    assert done.code == 0, done.err
    features = hs.open_set("s")
    assert [ref.tap for ref in features.features] == ["final.mean", "1.cls+mean", "0.max"]
    assert features.feature("-2.cls+mean") == features.feature("1.cls+mean")
    assert features.feature("-1.mean").tap == "final.mean"
    assert features.arrays("train", tap="-2.cls+mean")[0].shape[1] == 64
    fitted = headstart("fit-head", "s", "--tap", "-2.cls+mean", "--out", "run")
    assert fitted.code == 0, fitted.err
    predicted = headstart("predict", "run", table, "--out", "p.jsonl")
    assert predicted.code == 0, predicted.err
    assert len(Path("p.jsonl").read_text().splitlines()) == 80
    refused = headstart("extract", table, "--backbone", backbone, "--taps", "7.mean")
    assert refused.code == 2
    assert "layers 0 to 2" in refused.err


def test_normalize_scales_to_length_one(headstart: Runner, tiny_bert: Path, table: Path) -> None:
    options = ("--backbone", f"hf:{tiny_bert}", "--set", "s", "--taps", "last.mean,pooler")
    assert headstart("extract", table, *options, "--normalize").code == 0
    assert headstart("extract", table, *options).code == 0
    features = hs.open_set("s")
    assert {ref.tap for ref in features.features} == {"final.mean", "pooler", "final.mean.l2", "pooler.l2"}
    raw, unit = (features.arrays("train", tap=tap)[0] for tap in ("last.mean", "last.mean.l2"))
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5, atol=1e-7)


def test_a_prompt_is_another_space_and_travels_to_predict(
    headstart: Runner, tiny_bert: Path, tmp_path: Path
) -> None:
    rows = "".join(f"text number {row} {'abc' if row % 2 else 'xyz'},{row % 2}\n" for row in range(40))
    (tmp_path / "t.csv").write_text(f"text,label\n{rows}", "utf-8")
    (tmp_path / "prompted.csv").write_text(f"text,label\n{rows.replace('text ', 'query: text ')}", "utf-8")
    backbone = f"hf:{tiny_bert}"
    for name, file, options in (
        ("plain", "t.csv", ()), ("asked", "t.csv", ("--prompt", "query: ")), ("written", "prompted.csv", ())
    ):  # fmt: skip
        assert (
            headstart("extract", tmp_path / file, "--backbone", backbone, "--set", name, *options).code == 0
        )
    vectors = {name: hs.open_set(name).rows() for name in ("plain", "asked", "written")}
    spaces = {name: rows.feature.space for name, rows in vectors.items()}
    assert spaces["plain"] == spaces["written"] != spaces["asked"]
    np.testing.assert_allclose(vectors["asked"].X, vectors["written"].X, rtol=1e-4, atol=1e-6)
    assert headstart("fit-head", "asked", "--out", "run").code == 0
    assert json.loads(Path("run/features.json").read_text())["options"]["prompt"] == "query: "
    Path("new.csv").write_text("text\na text that is new\n", "utf-8")
    assert headstart("predict", "run", "new.csv", "--out", "p.csv").code == 0


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_embedder_reads_the_same(tiny_bert: Path, pooling: str) -> None:
    texts = ["one text", "another text", "a third one"]
    raw = hs.Embedder(f"hf:{tiny_bert}", tap=f"-1.{pooling}").transform(texts)
    unit = hs.Embedder(f"hf:{tiny_bert}", tap=f"last.{pooling}", normalize=True).transform(texts)
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5, atol=1e-7)
