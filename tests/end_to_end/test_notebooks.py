"""The notebooks run top to bottom, and whatever they show is shown, once."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
MOST_BYTES = 700_000
"""Of a notebook with its outputs."""
BUNDLED = '"bundled:all-minilm-l6-v2"'


def cells(notebook: Path) -> list[str]:
    """The code of a notebook."""
    content = json.loads(notebook.read_text("utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def run_cells(codes: list[str]) -> list[Any]:
    """What the last line of each cell is, as a kernel runs them."""
    names: dict[str, Any] = {}
    shown = []
    for code in codes:
        *lines, last = ast.parse(code).body
        if not isinstance(last, ast.Expr):
            exec(compile(ast.Module([*lines, last], []), "cell", "exec"), names)
            continue
        exec(compile(ast.Module(lines, []), "cell", "exec"), names)
        shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))  # noqa: S307 - as a kernel does
    return shown


@pytest.fixture
def notebook(in_a_fresh_folder: Path) -> Path:
    for path in NOTEBOOKS.iterdir():
        shutil.copy(path, in_a_fresh_folder)
    return in_a_fresh_folder / "dataframe.ipynb"


def check(shown: list[Any]) -> None:
    frame, features, run, predicted, comparison = (value._repr_html_() for value in shown)
    assert "<table" in frame
    assert "160 (" in features
    assert "negative, positive" in features
    assert "<td>ridge</td>" in run
    assert "what a lovely film" in predicted
    assert "<td>knn</td>" in comparison


def test_from_a_data_frame_to_a_comparison_in_ten_lines(
    notebook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = cells(notebook)
    assert sum(bool(line.strip()) for code in codes for line in code.splitlines()) == 10
    assert any(BUNDLED in code for code in codes)
    tiny = [code.replace(BUNDLED, '"py:tiny_backbones:texts"') for code in codes]
    tiny = [code.replace("head=", "plots='none', head=") for code in tiny]
    shown = run_cells(tiny)
    check(shown)
    assert capsys.readouterr().out == ""  # nothing is printed beside what is displayed
    assert len(shown[3]) == 1


@pytest.mark.slow
def test_the_notebook_with_its_own_backbone(notebook: Path) -> None:
    if importlib.util.find_spec("nbclient") and importlib.util.find_spec("ipykernel"):
        import nbclient
        import nbformat

        done = nbclient.NotebookClient(nbformat.read(notebook, 4), timeout=300).execute()
        outputs = [out for cell in done.cells for out in cell.get("outputs", ())]
        shown = [out.data for out in outputs if out.output_type == "execute_result"]
        assert ["text/html" in data for data in shown] == [True] * 5
        bars = [out.data for out in outputs if out.output_type == "display_data"]
        assert bars
        assert all(text == "" for data in bars for text in data.values()), "a bar goes when all is done"
        assert "Warning" not in "".join(out.text for out in outputs if out.output_type == "stream")
        return
    shown = run_cells(cells(notebook))
    check(shown)
    assert shown[3].labels == ["positive"]


def outputs(notebook: Path) -> Iterator[dict[str, Any]]:
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        yield from cell.get("outputs", ())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_small_and_of_no_machine(name: str) -> None:
    path = NOTEBOOKS / f"{name}.ipynb"
    assert path.stat().st_size < MOST_BYTES
    content = path.read_text("utf-8")
    for stranger in ("/tmp/", "/home/", "/root/", "/work/", "site-packages", "Traceback"):
        assert stranger not in content
    assert not [out for out in outputs(path) if out["output_type"] == "error"]
    assert not [out for out in outputs(path) if "Warning" in "".join(out.get("text", ()))]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_told_as_a_tutorial(name: str) -> None:
    """It begins with why, says what it takes and what to expect, and its links lead somewhere."""
    content = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text("utf-8"))
    texts = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "markdown"]
    assert texts[0].startswith("# ")
    assert "headstart[bundled" in texts[0]
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", "".join(texts)):
        assert (NOTEBOOKS / target).exists(), target
    assert f"notebooks/{name}.ipynb" in (ROOT / "docs" / "visualising.md").read_text("utf-8")
    if name != "dataframe":
        assert "What to expect" in texts[0] or "costs" in texts[0]
        assert any(out.get("data") for out in outputs(NOTEBOOKS / f"{name}.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "dataframe"])
def test_a_notebook_runs_from_top_to_bottom(
    in_a_fresh_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(in_a_fresh_folder / "cache"))  # and it is as before in the end
    shown = run_cells(cells(NOTEBOOKS / f"{name}.ipynb"))
    assert len(shown) > 3
    for value in shown:
        for representation in ("_repr_html_", "_repr_png_"):
            if hasattr(value, representation):
                assert getattr(value, representation)()
