"""What a notebook shows: each thing once, as a table, and a bar while something is computed."""

from __future__ import annotations

import builtins
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.notebook import Html
from headstart.progress import open_progress

from .made_sets import make_set


class ZMQInteractiveShell:
    """What runs in the kernel of a notebook, by the name that libraries know it by."""

    kernel = object()


class Handle:
    def __init__(self, shown: list[Any]) -> None:
        self._shown = shown

    def update(self, value: Any) -> None:
        self._shown[-1] = value


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a notebook displays: IPython, as far as it is asked."""
    found: list[Any] = []

    def display(value: Any, display_id: bool = False, **options: Any) -> Handle | None:
        found.append(value)
        return Handle(found) if display_id else None

    ipython, of_display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    of_display.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", of_display)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    return found


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> hs.FeatureSet:
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    labels = ["<cat>" if row[0] > 0 else "dog" for row in X]
    return make_set(tmp_path_factory.mktemp("made") / "cache", X, {"pet": labels})


@pytest.fixture(scope="module")
def run(features: hs.FeatureSet) -> hs.Run:
    return hs.fit_head(features, "ridge", plots="none")


def test_a_set_and_a_run_show_what_they_are(features: hs.FeatureSet, run: hs.Run) -> None:
    html = features._repr_html_()
    assert "set made" in html
    assert "&lt;cat&gt;, dog" in html
    html = run._repr_html_()
    assert "<td>ridge</td>" in html
    assert "<td>test</td>" in html


def test_a_comparison_shows_itself_once(features: hs.FeatureSet, run: hs.Run, shown: list[Any]) -> None:
    comparison = hs.compare([run, hs.fit_head(features, "centroid", plots="none")])
    assert "ridge" in repr(comparison)  # a notebook asks for both
    assert "<td>ridge</td>" in comparison._repr_html_()
    assert shown == []
    assert comparison.show() is None
    assert shown == [comparison]


def test_a_comparison_writes_itself_once(
    features: hs.FeatureSet,
    run: hs.Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a kernel does
    comparison = hs.compare([run, hs.fit_head(features, "centroid", plots="none")])
    comparison.show()
    assert capsys.readouterr().out.rstrip() == repr(comparison)
    assert "\x1b" not in repr(comparison)


def test_a_bar_moves_and_goes(shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.notebook.UPDATE_EVERY", 0.0)
    progress = open_progress()
    progress.begin("scanning <all>", 10)
    progress.advance(4)
    assert 'scanning &lt;all&gt; <progress max="10" value="4">' in shown[-1]._repr_html_()
    progress.end()
    assert [one._repr_html_() for one in shown] == [""]


def test_the_runs_of_a_folder_show_themselves_the_best_first(
    features: hs.FeatureSet, run: hs.Run, tmp_path: Path
) -> None:
    hs.fit_head(features, "knn", plots="none", out=tmp_path / "b")
    hs.fit_head(features, "ridge", plots="none", out=tmp_path / "a")
    found = hs.runs(tmp_path, metric="validation.accuracy")
    assert {one.head_name for one in found} == {"knn", "ridge"}
    values = [row["validation.accuracy"] for row in found.table]
    assert values == sorted(values, reverse=True)
    assert "<td>knn</td>" in found._repr_html_()
    assert "knn" in repr(found)
    assert len(hs.runs(tmp_path, set="made")) == 2


def test_sets_that_are_open_are_looked_at_without_their_name(features: hs.FeatureSet) -> None:
    assert len(hs.audit(features, checks=["outliers", "duplicates"]).samples) == 60
    assert hs.rank(features)[0].metric == "accuracy"
    assert hs.project(features)._repr_png_()[1:4] == b"PNG"


def test_a_bar_that_is_gone_leaves_no_text_behind() -> None:
    """Where no HTML is shown, a display of a kernel is its text."""
    assert repr(Html("")) == ""
    assert repr(Html("scanning <progress></progress> 3 of 4")) == "scanning  3 of 4"


def test_what_is_inspected_shows_itself_as_tables(features: hs.FeatureSet) -> None:
    found = hs.audit(features, checks=["outliers", "duplicates"], outlier_z=0.5)
    html = found._repr_html_()
    assert "audit of made" in html
    assert "<td>outliers</td>" in html
    assert "&lt;cat&gt;" in html
    assert "<cat>" not in html
    assert repr(found).startswith("Audit('made', 60 samples: ")
    ranking = hs.rank(features)
    assert "<th>loo accuracy</th>" in ranking._repr_html_()
    assert f"<td>{ranking[0].loo:.4f}</td>" in ranking._repr_html_()


def test_an_evaluation_shows_its_figures_with_intervals(features: hs.FeatureSet, run: hs.Run) -> None:
    found = run.evaluate(features, name="<i>", cache=features.cache)
    html = found._repr_html_()
    assert "evaluation &lt;i&gt;" in html
    assert f"<td>{found.metrics['accuracy']:.4f} [" in html
    assert "<i>" not in html


def test_a_pipeline_shows_its_steps(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text,label\n" + "good,a\nbad,b\n" * 20)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nabout: One line.\ndata: texts.csv\nsteps:\n"
        "  features:\n    extract: {backbone: 'bundled:all-minilm-l6-v2'}\n"
        "  probe:\n    fit-head: {head: ridge}\n"
    )
    planned = hs.run_pipeline(tmp_path / "mine.yaml", dry_run=True, out=tmp_path / "out", quiet=True)
    assert "<td>probe</td><td>fit-head</td><td>to do</td>" in planned._repr_html_()


@pytest.mark.parametrize("kind", ["set", "run", "comparison", "audit", "ranking"])
def test_hostile_names_are_no_html(tmp_path: Path, kind: str) -> None:
    """Names of sets cannot hold a bracket; labels, metadata and backbones can."""
    bad = "<script>alert(1)</script>"
    X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    labels = {bad: [bad if row[0] > 0 else "b" for row in X]}
    made = make_set(tmp_path / "cache", {f"py:a:{bad}": X}, labels, meta={bad: [bad] * 40})
    run = hs.fit_head(made, "ridge", plots="none")
    shown = {
        "set": lambda: made,
        "run": lambda: run,
        "comparison": lambda: hs.compare([run, hs.fit_head(made, "centroid", plots="none")]),
        "audit": lambda: hs.audit(made, checks=["outliers"], outlier_z=0.1),
        "ranking": lambda: hs.rank(made),
    }[kind]()
    assert "<script" not in shown._repr_html_()


@pytest.mark.usefixtures("shown")
def test_no_library_asks_for_widgets_however_quiet_it_is() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        open_progress(quiet=True)
        warnings.warn("IProgress not found. Please update jupyter and ipywidgets.")
    assert said == []
