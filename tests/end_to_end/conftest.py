"""Real commands on real files, in fresh folders."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from ..processes import start

HERE = Path(__file__).parent
IMAGES, TEXTS = "py:tiny_backbones:images", "py:tiny_backbones:texts"
CLASSES = ("circle", "square", "triangle")


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.strip().splitlines()[-1])


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def headstart() -> Callable[..., Result]:
    """Run a command in this process (quick)."""
    return in_process


def in_process(*arguments: object, stdin: bytes | None = None, **environment: str) -> Result:
    """No exception of any kind may escape from a command."""
    with CliRunner().isolation(input=stdin, env=environment) as (out, err, _):
        with pytest.raises(SystemExit) as ended:
            command_line().main(undrawn(arguments), prog_name="headstart")
        sys.stdout.flush()
        sys.stderr.flush()
        said = [stream.getvalue().decode("utf-8", "replace") for stream in (out, err)]
    assert "Traceback" not in "".join(said)
    return Result(int(ended.value.code or 0), *said)


@cache
def command_line() -> Any:
    """The command with all that it holds; typer takes thirty milliseconds to make it."""
    from headstart.cli.app import app

    return typer.main.get_command(app)


@pytest.fixture
def process() -> Callable[..., Result]:
    """Run a command in a process of its own."""

    def run(*arguments: object, **environment: str) -> Result:
        started = start(*undrawn(arguments), **environment)
        out, err = started.communicate()
        assert "Traceback" not in err
        return Result(started.wait(), out, err)

    return run


@cache
def drawing() -> tuple[str, ...]:
    """The commands that take ``--plots``."""
    return tuple(
        name
        for name, command in command_line().commands.items()
        if any("--plots" in option.opts for option in command.params)
    )


def undrawn(arguments: Sequence[object]) -> list[str]:
    """A command that draws no plots; a test that is about plots says so."""
    words = [str(argument) for argument in arguments]
    needless = words[:1] and words[0] in drawing() and not {"--plots", "--help"} & {*words}
    return [*words, "--plots", "none"] if needless else words


def drawn(*arguments: object) -> list[str]:
    """A command that draws its plots."""
    words = [str(argument) for argument in arguments]
    return [*words, "--plots", "png"] if words[0] in drawing() else words


def command(*arguments: object) -> list[str]:
    """What a shell runs: an interpreter that begins with nothing."""
    return [sys.executable, "-m", "headstart", *(str(argument) for argument in arguments)]


def write_image(path: Path, number: int, side: int = 12) -> Path:
    """A small picture that differs from number to number, and from class to class by its colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = CLASSES.index(path.parent.name) if path.parent.name in CLASSES else 0
    pixels = np.random.default_rng(number).integers(0, 120, (side, side, 3), dtype=np.uint8)
    pixels[..., colour] += 120
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """60 small photos in three classes."""
    for number in range(60):
        write_image(tmp_path / "photos" / CLASSES[number % 3] / f"{number:03d}.png", number)
    return tmp_path / "photos"


def write_texts(
    path: Path, rows: Sequence[tuple[str, str]], header: tuple[str, str] = ("text", "label")
) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def some_texts(n: int) -> list[tuple[str, str]]:
    """Texts of two classes that a count of letters tells apart."""
    return [
        (f"{'abc' if row % 2 else 'xyw'} number {row} " + "ox" * (row % 7), f"class {row % 2}")
        for row in range(n)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A CSV of 80 texts in two classes."""
    return write_texts(tmp_path / "texts.csv", some_texts(80))


@pytest.fixture
def run(headstart: Callable[..., Result], tmp_path: Path) -> Path:
    """A ridge on the features of sixty texts."""
    path = write_texts(tmp_path / "train.csv", some_texts(60))
    assert headstart("extract", path, "--backbone", TEXTS, "--set", "t").code == 0
    assert headstart("fit-head", "t", "--head", "ridge", "--out", "run").code == 0
    return tmp_path / "run"
