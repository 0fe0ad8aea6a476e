"""compare: the curves of runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import headstart as hs

from ..made_sets import clouds, make_set

N = 600


@pytest.fixture
def features(cache_root: Path) -> hs.FeatureSet:
    """Six classes: with few labels the centroid does well, and elongated clouds need more than that."""
    X, y = clouds(N, 6, apart=3.5)
    X[:, 0] *= 6
    return make_set(cache_root, X, {"kind": [f"class {c}" for c in y]})


def test_curves_stand_beside_each_other_and_the_better_is_named(
    features: hs.FeatureSet, tmp_path: Path
) -> None:
    options = {"shots": [1, 4, 16], "curve": ["10%", "100%"], "seeds": 6, "plots": "none"}
    ridge = hs.fit_head(features, head="ridge", out=tmp_path / "ridge", **options)
    knn = hs.fit_head(features, head="knn", out=tmp_path / "knn", **options)
    found = hs.compare([tmp_path / "ridge", tmp_path / "knn"])
    assert [each.protocol for each in found.curves] == ["shots", "curve"]
    shots = found.curves[0]
    for name, run in (("ridge", ridge), ("knn", knn)):
        for row in run.report["shots"]:
            point = shots.points[name][row["size"]]
            assert point.value == pytest.approx(row["mean"]["accuracy"])
            assert point.interval == pytest.approx(row["interval"]["accuracy"])
    assert shots.sentences[0] in found.advice
    text = repr(found)
    assert "shots: accuracy by samples of each class" in text
    assert f"what {shots.best} is ahead by" in text
    assert shots.sentences[0] in text
    found.save(tmp_path / "compared")
    kept = json.loads((tmp_path / "compared" / "comparison.json").read_text("utf-8"))
    assert [each["protocol"] for each in kept["curves"]] == ["shots", "curve"]
    assert {"shots.png", "curve.png"} <= {path.name for path in (tmp_path / "compared" / "plots").iterdir()}
    assert shots.sentences[0] in (tmp_path / "compared" / "README.md").read_text("utf-8")
    in_memory = hs.compare([ridge, knn])
    assert in_memory.curves[0].leads["knn" if shots.best == "ridge" else "ridge"] == next(
        iter(shots.leads.values())
    )


def test_the_difference_is_that_of_the_same_draws_and_samples(features: hs.FeatureSet) -> None:
    runs = [hs.fit_head(features, head=head, shots=[4], seeds=6) for head in ("ridge", "knn")]
    [curves] = hs.compare(runs).curves
    [leads] = curves.leads.values()
    values = {run.head_name: run.report["shots"][0]["values"]["accuracy"] for run in runs}
    other = next(iter(curves.leads))
    gap = np.mean(values[curves.best]) - np.mean(values[other])
    assert leads[0].value == pytest.approx(gap)
    assert leads[0].is_paired
    assert leads[0].interval is not None
    half = (leads[0].interval[1] - leads[0].interval[0]) / 2
    alone = [point[4].interval for point in curves.points.values()]
    assert half < max((high - low) / 2 for low, high in filter(None, alone)) * 1.5


def test_runs_without_curves_are_compared_as_before(features: hs.FeatureSet) -> None:
    plain, curved = hs.fit_head(features, head="ridge"), hs.fit_head(features, head="knn", shots=[2])
    assert hs.compare([plain, curved]).curves == ()
    assert "curves" not in hs.compare([plain, curved]).to_json()


def test_several_curves_of_one_run_are_called_after_their_heads(features: hs.FeatureSet) -> None:
    many = hs.fit_head(features, sweep={"head": ["ridge", "centroid"]}, shots=[1, 8], seeds=4)
    one = hs.fit_head(features, head="knn", shots=[1, 8], seeds=4)
    [curves] = hs.compare([many, one]).curves
    assert [name.split()[-1] for name in curves.points] == ["ridge", "centroid", "knn"]
    assert curves.n_tests == 4
