"""A head on the set before corrections is read where it lies, and fitted again where anything about it differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.registry.run import Run

from ..corrections.files import row
from ..made_sets import clouds, make_set


@pytest.fixture
def features(cache_root: Path) -> FeatureSet:
    X, y = clouds(150, 3, apart=4.0)
    labels = [f"c{(k + (n < 30)) % 3}" for n, k in enumerate(y.tolist())]
    return make_set(cache_root, X, {"kind": labels}, name="plain")


def corrected(features: FeatureSet, out: Path, **options: Any) -> Run:
    """A head on the set with its first labels put right."""
    labels = features.samples.column("label:kind").to_pylist()
    rows = [row(features, n, labels[n], f"c{(int(labels[n][1]) + 2) % 3}") for n in range(30)]
    table = pa.table({name: [one[name] for one in rows] for name in rows[0]})
    given = {"head": "ridge", "plots": "none", "quiet": True, **options}
    return hs.fit_head(features, corrections=table, out=out, **given)


def told_of(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = dict(run.report["corrections"])
    return found


def test_a_run_beside_it_is_not_fitted_again(features: FeatureSet, tmp_path: Path) -> None:
    hs.fit_head(features, head="ridge", plots="none", out=tmp_path / "first")
    beside = told_of(corrected(features, tmp_path / "second"))
    alone = told_of(corrected(features, tmp_path / "elsewhere" / "second"))
    assert beside.pop("run_before") == "first"
    assert "run_before" not in alone
    assert beside["test"] == alone["test"]


def test_what_corrections_led_to_is_what_the_next_ones_begin_with(
    features: FeatureSet, tmp_path: Path
) -> None:
    corrected(features, tmp_path / "first")
    state = hs.open_set("plain", cache=features.cache)
    rows = [row(state, 40, state.samples.column("label:kind")[40].as_py(), "c0")]
    table = pa.table({name: [one[name] for one in rows] for name in rows[0]})
    run = hs.fit_head(state, head="ridge", plots="none", corrections=table, out=tmp_path / "second")
    assert told_of(run)["run_before"] == "first"


def other_versions(run: Path) -> None:
    path = run / "environment.json"
    told = json.loads(path.read_text("utf-8"))
    told["packages"]["numpy"] = "1.0"
    path.write_text(json.dumps(told), "utf-8")


def no_predictions(run: Path) -> None:
    (run / "predictions.parquet").unlink()


def torn(run: Path) -> None:
    (run / "features.json").write_text('{"digest": ', "utf-8")


def odd_config(run: Path) -> None:
    (run / "config.yaml").write_text("just words", "utf-8")


def no_model(run: Path) -> None:
    for path in (run / "model").glob("*.json"):
        path.unlink()


@pytest.mark.parametrize("harm", [other_versions, no_predictions, torn, odd_config, no_model])
def test_what_is_damaged_or_of_other_versions_is_fitted_again(
    features: FeatureSet, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    hs.fit_head(features, head="ridge", plots="none", out=tmp_path / "first")
    harm(tmp_path / "first")
    assert "run_before" not in told_of(corrected(features, tmp_path / "second"))


@pytest.mark.parametrize(
    "options",
    [{"head": "knn"}, {"params": {"alpha": 3.0}}, {"seed": 1}, {"refit": True}, {"prepare": ["l2"]}],
)
def test_another_head_is_another(features: FeatureSet, tmp_path: Path, options: dict[str, Any]) -> None:
    hs.fit_head(features, head="ridge", plots="none", out=tmp_path / "first")
    assert "run_before" not in told_of(corrected(features, tmp_path / "second", **options))
