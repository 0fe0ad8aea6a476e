"""`headstart compare` says which run to take, in a terminal, as JSON and in a directory."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import headstart as hs

from ..made_sets import clouds, make_set
from .conftest import Result, drawn, some_texts, write_texts

Runner = Callable[..., Result]
TEXTS = "py:tiny_backbones:texts"


HEADS = ("ridge", "centroid", "knn")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three heads on one set."""
    folder = tmp_path_factory.mktemp("fitted")
    X, y = clouds(300, apart=3.0)
    features = make_set(folder / "cache", X, {"kind": [f"class {c}" for c in y]})
    for head in HEADS:
        hs.fit_head(features, head=head, out=folder / "runs" / head, plots="none")
    return folder / "runs"


@pytest.fixture
def runs(fitted: Path) -> list[Path]:
    shutil.copytree(fitted, "runs")
    return [Path("runs") / head for head in HEADS]


def report(path: Path) -> Any:
    return json.loads((path / "report.json").read_text())


def test_the_table_says_how_good_each_run_is_what_it_cost_and_what_to_take(
    headstart: Runner, runs: list[Path]
) -> None:
    done = headstart("compare", *runs)
    assert done.code == 0
    for run in runs:
        test = report(run)["metrics"]["test"]
        low, high = test["intervals"]["accuracy"]
        assert f"{test['accuracy']:.4f} [{low:.4f}, {high:.4f}]" in done.out
    assert "60 test samples" in done.out
    assert "against the best" in done.out
    assert "Take " in done.out


def test_json_has_all_of_it(headstart: Runner, runs: list[Path]) -> None:
    found = headstart("compare", *runs, "--json").json
    assert [run["run"] for run in found["runs"]] == ["ridge", "centroid", "knn"]
    accuracies = {run["run"]: run["metrics"]["accuracy"] for run in found["runs"]}
    assert accuracies[found["best"]] == max(accuracies.values())
    against = {run["run"]: run["against_best"] for run in found["runs"]}
    assert against.pop(found["best"]) is None
    for name, versus in against.items():
        gap = versus["differences"]["accuracy"]["value"]
        assert gap == pytest.approx(accuracies[name] - accuracies[found["best"]])
        assert gap == pytest.approx((versus["only_this"] - versus["only_other"]) / 60)
        assert 0 <= versus["p_value"] <= 1


def test_out_gives_a_table_plots_and_a_page(headstart: Runner, runs: list[Path]) -> None:
    done = headstart("compare", *runs, "--out", "compared", "--plots", "both")
    assert done.code == 0
    folder = Path("compared")
    assert done.err.strip() == "the comparison lies in compared"
    with open(folder / "comparison.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [
        pytest.approx(report(run)["metrics"]["test"]["accuracy"]) for run in runs
    ]
    assert json.loads((folder / "comparison.json").read_text())["n"] == 60
    page = (folder / "README.md").read_text("utf-8")
    for name in ("figures", "cost"):
        with Image.open(folder / "plots" / f"{name}.png") as image:
            assert min(image.size) > 100
        assert "ridge" in (folder / "plots" / f"{name}.svg").read_text("utf-8")
        assert f"![{name}](plots/{name}.png)" in page
    for sentence in headstart("compare", *runs, "--json").json["advice"]:
        assert f"- {sentence}" in page


def test_a_directory_that_holds_something_is_left_alone(headstart: Runner, runs: list[Path]) -> None:
    Path("compared").mkdir()
    (Path("compared") / "notes.txt").write_text("mine")
    done = headstart("compare", *runs, "--out", "compared")
    assert (done.code, done.out) == (2, "")
    assert "compared is not empty" in done.err
    for target in ("compared", runs[0]):
        done = headstart("compare", *runs, "--out", target, "--overwrite")
        assert done.code == 2
        assert "holds something else than a comparison" in done.err
    assert (Path("compared") / "notes.txt").read_text() == "mine"


def test_overwrite_replaces_a_comparison_as_a_whole(headstart: Runner, runs: list[Path]) -> None:
    assert headstart("compare", *runs, "--out", "compared").code == 0
    (Path("compared") / "stale.txt").write_text("of before")
    assert headstart("compare", *runs[:2], "--out", "compared").code == 2
    assert headstart("compare", *runs[:2], "--out", "compared", "--overwrite").code == 0
    assert len(json.loads(Path("compared/comparison.json").read_text())["runs"]) == 2
    assert not Path("compared/stale.txt").exists()


def test_what_cannot_be_written_leaves_what_was_there(
    headstart: Runner, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert headstart("compare", *runs, "--out", "compared").code == 0
    before = {path: path.read_bytes() for path in Path("compared").rglob("*") if path.is_file()}

    def full_disk(self: Any) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headstart.plots.Plot.png", full_disk)
    assert headstart(*drawn("compare", *runs, "--out", "compared", "--overwrite")).code == 1
    assert headstart(*drawn("compare", *runs, "--out", "new")).code == 1
    assert {path: path.read_bytes() for path in Path("compared").rglob("*") if path.is_file()} == before
    assert sorted(
        path.name for path in Path().iterdir() if "compared" in path.name or "new" in path.name
    ) == ["compared"]


def test_runs_that_do_not_match_end_with_4(headstart: Runner, runs: list[Path], cache_root: Path) -> None:
    X, y = clouds(300, apart=3.0)
    names = [f"class {c}" for c in y]
    contents = [f"other text {i}" for i in range(300)]
    other = make_set(cache_root, X, {"kind": names}, contents=contents, name="other")
    hs.fit_head(other, head="ridge", out="runs/other", plots="none")
    done = headstart("compare", *runs, "runs/other", "--out", "compared")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith(
        "error: run other lacks 60 of ridge's 60 test samples, e.g. s8, and has 60 others;"
    )
    assert len(done.err.splitlines()) == 1
    assert not Path("compared").exists()


def test_wrong_use_ends_with_2(headstart: Runner, runs: list[Path]) -> None:
    assert headstart("compare").code == 2
    assert "two runs or more" in headstart("compare", runs[0]).err
    assert "is given twice" in headstart("compare", runs[0], runs[0]).err
    assert headstart("compare", runs[0], "runs/nowhere").code == 1


def test_runs_of_one_name_are_told_apart_and_no_name_breaks_a_table(
    headstart: Runner, runs: list[Path]
) -> None:
    for place in ("a/ridge", "b/ridge", "[bold]|\x1b[31m"):
        shutil.copytree(runs[0], place)
    done = headstart("compare", "a/ridge", "b/ridge", "[bold]|\x1b[31m", "--out", "compared")
    assert done.code == 0
    names = [line.split()[0] for line in done.out.splitlines()[4:7]]
    assert names == ["a/ridge", "b/ridge", "[bold]|\\x1b[31m"]
    assert "\x1b" not in done.out
    assert "| [bold]\\|\\x1b[31m |" in Path("compared/README.md").read_text("utf-8")


def test_extraction_is_what_the_set_took_all_its_passes_together(headstart: Runner) -> None:
    def extract(n: int) -> float:
        write_texts(Path("texts.csv"), some_texts(n))
        done = headstart("extract", "texts.csv", "--backbone", TEXTS, "--set", "texts", "--json")
        assert done.code == 0, done.err
        (measured,) = json.loads((hs.open_set("texts").path / "set.json").read_text())["measured"].values()
        assert measured["timings"]["n"] > 0
        return float(measured["timings"]["seconds"])

    first = extract(80)
    for head in ("ridge", "centroid"):
        assert headstart("fit-head", "texts", "--head", head, "--out", f"runs/{head}").code == 0
    found = headstart("compare", "runs/ridge", "runs/centroid", "--json").json
    assert found["extract_seconds"] == pytest.approx(first)
    assert [run["cost"]["extract_is_estimated"] for run in found["runs"]] == [False, False]

    second = extract(160)
    for head in ("ridge", "centroid"):
        assert headstart("fit-head", "texts", "--head", head, "--out", f"grown/{head}").code == 0
    found = headstart("compare", "grown/ridge", "grown/centroid", "--json").json
    assert found["extract_seconds"] == pytest.approx(first + second)


def test_python_gives_the_same(
    headstart: Runner, runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = hs.compare([hs.load_run(runs[0]), runs[1], str(runs[2])])
    found.show()
    shown = capsys.readouterr().out
    assert shown == headstart("compare", *runs).out
    assert repr(found) + "\n" == shown
    assert [row["run"] for row in found.table] == ["ridge", "centroid", "knn"]
    assert found.save("compared") == Path("compared")
    assert "<td>ridge</td>" in found._repr_html_()
    assert hs.Comparison is type(found)
