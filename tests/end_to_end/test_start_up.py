"""A warm command imports nothing that it does not need. One process answers for all of them, the lightest first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs

from ..made_sets import clouds, make_set
from ..variants import variants
from .conftest import Result

Runner = Callable[..., Result]
MODELS = {"torch", "torchvision", "timm", "transformers"}
HEAVY = {*MODELS, "sklearn", "pandas"}
FITTED = ("ridge", "logistic", "centroid", "knn")
UNUSED = {*MODELS, "pandas", "scipy.stats", "scipy.optimize"}
"""What scikit-learn, pyarrow and searching imports drag in, and fitting, judging and saving a head do not use."""
ASK = """
import contextlib, io, json, sys
seen = []
import headstart
seen.append([0, "", sorted(sys.modules)])
from headstart.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["headstart", *words]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as error:
            code = error.code or 0
    seen.append([code, said.getvalue(), sorted(sys.modules)])
json.dump(seen, sys.stdout)
"""


def imported_by(*commands: tuple[object, ...]) -> list[tuple[set[str], str]]:
    """The modules that ``import headstart`` has imported, then each command; and what it said."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", ASK, words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert [code for code, _, _ in seen] == [0] * len(seen), seen
    return [(set(modules), said) for _, said, modules in seen]


@pytest.mark.parametrize("looks", variants([False, True], {False}), ids=["trains", "looks as well"])
def test_a_warm_command_imports_only_what_it_needs(
    headstart: Runner, photos: Path, table: Path, looks: bool
) -> None:
    X, y = clouds(120, apart=4)
    features = make_set(Path("made"), X, {"kind": [f"class {c}" for c in y]})
    for head in ("ridge", "centroid"):
        hs.fit_head(features, head=head, out=Path("runs") / head, plots="none")
    texts = ("extract", table, "--backbone", "bundled:all-minilm-l6-v2", "--set", "texts")
    images = ("extract", photos, "--backbone", "bundled:efficientnet-lite0", "--set", "images")
    for extract in (texts, images) if looks else (texts,):
        assert headstart(*extract).code == 0
    assert headstart("fit-head", "texts", "--head", "ridge", "--out", "run").code == 0
    made = ("made", "--cache", "made")
    needless: list[tuple[tuple[object, ...], set[str]]] = [
        (("--help",), {*HEAVY, "numpy", "pyarrow", "h5py", "pydantic"}),
        (("runs", "ls"), {*HEAVY, "numpy", "pyarrow"}),
        (("backbones", "ls"), MODELS),
        (("compare", "runs/ridge", "runs/centroid", "--out", "compared"), {*HEAVY, "h5py"}),
        (texts, HEAVY),
        *(((images, HEAVY),) if looks else ()),
        (("predict", "run", table, "--out", "p.csv"), HEAVY),
        *(
            (("fit-head", "made", "--cache", "made", "--head", head, "--out", head), UNUSED)
            for head in FITTED
        ),
        *(((("audit", *made), MODELS), (("rank", *made), MODELS)) if looks else ()),
        *(((("project", *made, "--out", "p.png"), MODELS),) if looks else ()),
        (("fit-head", "texts", "--head", "ridge", "--out", "another run"), MODELS),
    ]
    (package, _), *found = imported_by(*(command for command, _ in needless))
    assert not package & {*HEAVY, "numpy", "pyarrow", "pydantic", "typer"}
    for (command, names), (modules, _) in zip(needless, found, strict=True):
        assert modules & names == set(), command
    assert all("0 to do" in said for _, said in found[4 : 6 if looks else 5])
