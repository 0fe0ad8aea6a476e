"""A warm command imports nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Result

Runner = Callable[..., Result]
HEAVY = ("torch", "timm", "transformers", "sklearn", "pandas")


def imported_by(*arguments: object) -> tuple[set[str], str]:
    """The modules that a command has imported when it ends."""
    code = (
        "import sys\nfrom headstart.cli import main\nsys.argv = ['headstart', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as error:\n    code = error.code\n"
        "print('\\nCODE', code or 0, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    last = done.stdout.strip().splitlines()[-1].split()
    assert last[:2] == ["CODE", "0"], done.stderr
    return set(last[2:]), done.stderr


def test_help_imports_nothing_heavy() -> None:
    modules, _ = imported_by("--help")
    assert not modules & {*HEAVY, "numpy", "pyarrow", "h5py", "pydantic"}


def test_import_is_lazy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import headstart, sys; print(*sys.modules)"], capture_output=True, text=True
    )
    assert not set(done.stdout.split()) & {*HEAVY, "numpy", "pyarrow", "pydantic", "typer"}


@pytest.mark.parametrize("backbone", ["bundled:all-minilm-l6-v2", "bundled:efficientnet-lite0"])
def test_a_second_extract_imports_no_torch(process: Runner, photos: Path, table: Path, backbone: str) -> None:
    data = photos if "efficientnet" in backbone else table
    extract = ("extract", data, "--backbone", backbone, "--set", "s")
    assert process(*extract).code == 0
    modules, err = imported_by(*extract)
    assert not modules & set(HEAVY)
    assert "0 to do" in err


def test_a_scikit_learn_head_needs_no_torch(process: Runner, table: Path) -> None:
    process("extract", table, "--backbone", "bundled:all-minilm-l6-v2", "--set", "s")
    modules, _ = imported_by("fit-head", "s", "--head", "ridge", "--out", "run")
    assert "torch" not in modules
    modules, _ = imported_by("predict", "run", table, "--out", "p.csv")
    assert "torch" not in modules
