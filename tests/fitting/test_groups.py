"""Runs on samples in groups: figures, predictions, comparison and page say over how many groups."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.cli.figures import figures_line
from headstart.trust import trust

from ..made_sets import clouds, make_set

N, OF_GROUP = 400, 5


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    X, y = clouds(N // OF_GROUP, apart=2.0)
    X, y = np.repeat(X, OF_GROUP, axis=0), np.repeat(y, OF_GROUP)
    X += np.random.default_rng(1).normal(size=X.shape).astype(np.float32) / 4
    splits = np.repeat(["train", "train", "test", "validation"] * (N // OF_GROUP // 4), OF_GROUP)
    groups = np.repeat([f"patient {g}" for g in range(N // OF_GROUP)], OF_GROUP)
    labels = {"y": [f"class {code}" for code in y]}
    cache = tmp_path_factory.mktemp("cache")
    return make_set(cache, X, labels, splits.tolist(), meta={"group": groups.tolist()})


def test_a_run_on_groups_says_so_everywhere(features: FeatureSet, tmp_path: Path) -> None:
    runs = [
        hs.fit_head(features, head=head, out=tmp_path / head, plots="none") for head in ("ridge", "centroid")
    ]
    metrics = runs[0].report["metrics"]["test"]
    assert (metrics["n"], metrics["n_groups"]) == (100, 20)
    assert figures_line("test", "single", metrics).endswith("(100 samples, intervals over 20 groups)")
    assert "intervals" not in figures_line("train", "single", runs[0].report["metrics"]["train"])
    low, high = metrics["intervals"]["accuracy"]
    naive = 2 * 1.96 * (metrics["accuracy"] * (1 - metrics["accuracy"]) / 100) ** 0.5
    assert high - low > 1.5 * naive
    assert "On test they are intervals over 20 groups." in (tmp_path / "ridge" / "README.md").read_text()
    table = pq.read_table(tmp_path / "ridge" / "predictions.parquet")
    assert table.column_names[:5] == ["id", "key", "split", "label", "meta:group"]
    comparison = hs.compare(runs, out=tmp_path / "compared", plots="none")
    assert comparison.n_groups == 20
    assert "95 % intervals over 20 groups" in str(comparison)
    assert json.loads((tmp_path / "compared" / "comparison.json").read_text())["n_groups"] == 20
    assert comparison.runs[0].intervals["accuracy"] == metrics["intervals"]["accuracy"]


def test_a_run_of_an_older_version_has_the_groups_of_the_other(features: FeatureSet, tmp_path: Path) -> None:
    for head in ("ridge", "centroid"):
        hs.fit_head(features, head=head, out=tmp_path / head, plots="none")
    place = tmp_path / "ridge" / "predictions.parquet"
    pq.write_table(pq.read_table(place).drop_columns(["meta:group"]), place)
    comparison = hs.compare([tmp_path / "ridge", tmp_path / "centroid"])
    assert comparison.n_groups == 20
    other = tmp_path / "centroid" / "predictions.parquet"
    pq.write_table(pq.read_table(other).drop_columns(["meta:group"]), other)
    assert hs.compare([tmp_path / "ridge", tmp_path / "centroid"]).n_groups is None


def test_a_column_that_is_called_group_and_that_nobody_asked_for_groups_nothing(tmp_path: Path) -> None:
    """Such as control and treatment: two groups of patients are no two patients."""
    lines = [
        f"note {n} of {'abc' if n % 2 else 'xyz'},class {n % 2},{'control' if n % 3 else 'treated'}"
        for n in range(60)
    ]
    (tmp_path / "notes.csv").write_text("\n".join(["text,label,group", *lines]))
    trust("tests.end_to_end.tiny_backbones")
    where = {"cache": tmp_path / "cache", "quiet": True}
    plain = hs.extract(
        tmp_path / "notes.csv", "py:tests.end_to_end.tiny_backbones:texts", set="plain", **where
    )
    asked = hs.extract(tmp_path / "notes.csv", "py:tests.end_to_end.tiny_backbones:texts", set="asked",
                       group_column="group", split_seed=1, **where)  # fmt: skip
    assert "meta:group" in plain.samples.column_names
    run = hs.fit_head(plain, head="ridge", plots="none")
    assert "n_groups" not in run.report["metrics"]["test"]
    assert run.report["metrics"]["test"]["intervals"]["accuracy"] is not None
    assert "meta:group" not in run.predictions_of("test").column_names
    assert {row["value"] for row in run.report["errors"]["errors_by"]["group"]} == {"control", "treated"}
    assert asked.is_grouped
    assert not plain.is_grouped
