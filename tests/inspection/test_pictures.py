"""`headstart plots RUN` draws again what a run wrote, from its directory; and some of its features, where one asks."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import ConfigError, StorageError

from ..made_sets import clouds, make_set

N = 120


@pytest.fixture
def features(cache_root: Path) -> hs.FeatureSet:
    X, y = clouds(N, apart=4)
    labels: dict[str, Any] = {
        "kind": [f"class {c}" for c in y],
        "tags": [["a", "b"] if c == 0 else ["b"] if c == 1 else [] for c in y],
        "size": (X[:, 0] + y).tolist(),
    }
    return make_set(cache_root, X, labels, kinds={"tags": "multi", "size": "regression"})


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def drawn_again(run: Path, **options: Any) -> Mapping[str, bytes]:
    hs.draw_plots(run, out=run.parent / "again", **options)
    return files(run.parent / "again")


@pytest.mark.parametrize(
    "options",
    [
        {"head": "logistic", "label": "kind", "sweep": {"C": [0.1, 1.0]}, "curve": [20, 40], "seeds": 2},
        {"head": "linear", "label": "kind", "params": {"epochs": 3}, "prepare": ["standardise", "pca=4"]},
        {"head": "ridge", "label": "size"},
        {"head": "linear", "label": "tags", "params": {"epochs": 2}},
        {"head": "linear", "label": ["kind", "size"], "params": {"epochs": 2}},
        {"head": "mlp", "label": ["kind", "tags"], "params": {"epochs": 2}, "shared_trunk": True},
    ],
    ids=["a sweep and a curve", "epochs", "numbers", "several a sample", "two labels", "one trunk"],
)
def test_a_run_is_drawn_again_to_the_byte(
    features: hs.FeatureSet, tmp_path: Path, options: dict[str, Any]
) -> None:
    hs.fit_head(features, out=tmp_path / "run", plots="png", **options)
    written = files(tmp_path / "run" / "plots")
    assert len(written) > 2
    assert drawn_again(tmp_path / "run") == written


def test_svg_files_come_beside_the_png_files_of_the_run(features: hs.FeatureSet, tmp_path: Path) -> None:
    hs.fit_head(features, head="ridge", label="kind", out=tmp_path / "run", plots="both")
    written = files(tmp_path / "run" / "plots")
    assert {path.partition(".")[2] for path in written} == {"png", "svg"}
    assert drawn_again(tmp_path / "run", format="both") == written


def test_a_run_that_drew_nothing_is_drawn(features: hs.FeatureSet, tmp_path: Path) -> None:
    run = hs.fit_head(features, head="ridge", label="kind", out=tmp_path / "run", plots="none")
    assert list((tmp_path / "run" / "plots").iterdir()) == []
    assert {"confusion", "roc", "features"} <= set(hs.draw_plots(tmp_path / "run"))
    assert set(hs.draw_plots(run)) == set(
        hs.draw_plots(tmp_path / "run")
    )  # the run itself, and its directory


def test_features_schedules_and_projections_are_drawn_by_name(
    features: hs.FeatureSet, tmp_path: Path
) -> None:
    hs.fit_head(features, head="linear", label="kind", params={"epochs": 4}, out=tmp_path / "run")
    plots = hs.draw_plots(tmp_path / "run", only=["schedule", "distributions", "pca", "tsne"])
    assert list(plots) == ["schedule", "distributions", "pca", "tsne"]
    svgs = {name: plot.svg().decode("utf-8") for name, plot in plots.items()}
    assert "learning rate" in svgs["schedule"]
    assert all(
        f">{word}<" in svgs["distributions"] for word in ("class 0", "class 2", "length", "component 1")
    )
    assert "PCA of the features" in svgs["pca"]
    assert "class 1" in svgs["tsne"]


def test_of_several_labels_each_has_its_own_picture(features: hs.FeatureSet, tmp_path: Path) -> None:
    hs.fit_head(features, head="ridge", label=["kind", "size"], out=tmp_path / "run")
    assert list(hs.draw_plots(tmp_path / "run", only="pca")) == ["kind.pca", "size.pca"]
    assert list(hs.draw_plots(tmp_path / "run", only=["kind.confusion"])) == ["kind.confusion"]


def test_an_evaluation_is_drawn_again(features: hs.FeatureSet, tmp_path: Path, cache_root: Path) -> None:
    run = hs.fit_head(features, head="ridge", label=["kind", "size"], out=tmp_path / "run")
    run.evaluate(features, name="again", cache=cache_root)
    folder = tmp_path / "run" / "evaluations" / "again"
    hs.draw_plots(folder, out=tmp_path / "drawn")
    assert files(tmp_path / "drawn") == files(folder / "plots")


def test_without_the_set_everything_else_is_drawn(
    features: hs.FeatureSet, tmp_path: Path, cache_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hs.fit_head(features, head="ridge", label="kind", out=tmp_path / "run")
    shutil.rmtree(cache_root)
    plots = hs.draw_plots(tmp_path / "run", quiet=False)
    assert "confusion" in plots
    assert "features" not in plots
    assert "features is not drawn" in capsys.readouterr().err
    with pytest.raises(Exception, match="made"):
        hs.draw_plots(tmp_path / "run", only="features")


def test_mistakes_are_said(features: hs.FeatureSet, tmp_path: Path) -> None:
    hs.fit_head(features, head="ridge", label="kind", out=tmp_path / "run")
    with pytest.raises(ConfigError, match="did you mean 'confusion'"):
        hs.draw_plots(tmp_path / "run", only="confusoin")
    with pytest.raises(ConfigError, match="no learning rate"):
        hs.draw_plots(tmp_path / "run", only="schedule")
    with pytest.raises(ConfigError, match="format"):
        hs.draw_plots(tmp_path / "run", format="pdf")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--overwrite"):
        hs.draw_plots(tmp_path / "run", out=tmp_path / "run" / "plots")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        hs.draw_plots(tmp_path / "run", out=tmp_path / "file")
    (tmp_path / "run" / "metrics.jsonl").write_text("[1]\n")
    with pytest.raises(StorageError, match=r"metrics\.jsonl"):
        hs.draw_plots(tmp_path / "run")


def test_a_notebook_shows_all_of_them_and_no_name_is_taken_for_html(
    features: hs.FeatureSet, cache_root: Path
) -> None:
    X, y = clouds(N, apart=4)
    made = make_set(cache_root, X, {"<b>": [str(c) for c in y], "k": [str(c) for c in y]}, name="odd")
    run = hs.fit_head(made, head="ridge", label=["<b>", "k"])
    html = hs.draw_plots(run, only=["k.confusion"])._repr_html_()
    assert html.startswith('<p><img src="data:image/png;base64,iVBOR')
    assert "<b>" not in hs.draw_plots(run)._repr_html_()


def test_spreads_are_the_quantiles_of_each_group() -> None:
    from headstart.plots import spread_plot

    numbers = np.arange(101.0)
    masks = {"low": numbers < 51, "none": numbers > 1e9, "high": numbers >= 50}
    svg = spread_plot({"count": numbers}, masks).svg().decode("utf-8")
    assert ">low<" in svg
    assert ">none<" not in svg
