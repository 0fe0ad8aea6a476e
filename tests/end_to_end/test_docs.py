"""The documentation is true: its commands exist, its code runs, every command has help."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from .conftest import Result

Runner = Callable[..., Result]
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = (line for page in PAGES for block in blocks(page, "console") for line in block.splitlines())
    return sorted({line for line in lines if line.startswith("headstart ")})


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 6


@pytest.mark.parametrize("line", commands())
def test_every_command_and_option_in_the_docs_exists(headstart: Runner, line: str) -> None:
    words = shlex.split(line)[1:]
    name = words[:2] if words[0] in ("cache", "backbones", "runs") else words[:1]
    shown = headstart(*name, "--help")
    assert shown.code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.out, (option, shown.out)


def every_command() -> list[str]:
    from headstart.cli.app import app

    def names(group: Any, before: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            inner = getattr(command, "commands", None)
            yield from names(command, f"{before}{name} ") if inner else [before + name]

    return sorted(names(typer.main.get_command(app)))


@pytest.mark.parametrize("name", every_command())
def test_every_command_says_what_it_does(headstart: Runner, name: str) -> None:
    shown = headstart(*name.split(), "--help")
    assert shown.code == 0
    assert "Usage" in shown.out
    assert re.search(r"[A-Z][a-z]+ .*\.", shown.out)


@pytest.mark.parametrize("name", every_command())
def test_every_command_has_its_place_in_the_reference_and_in_a_page(name: str) -> None:
    assert f"## `headstart {name}`" in (ROOT / "docs" / "reference.md").read_text("utf-8")
    pages = "".join(page.read_text("utf-8") for page in PAGES if page.name != "reference.md")
    assert f"headstart {name}" in pages


def test_the_reference_is_what_the_commands_say() -> None:
    """`make docs` writes it anew."""
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.reference()


def test_the_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text("utf-8"))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE) or target == "make"


def test_the_backbone_in_the_how_to_works(
    headstart: Runner, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks(ROOT / "docs" / "own-backbone.md", "python")
    Path("my_backbone.py").write_text(code)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    (line,) = (line for line in commands() if "my_backbone" in line)
    done = headstart(*shlex.split(line)[1:], "--json")
    assert (done.code, done.json["computed"]) == (0, 60), done.err


def test_relative_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page.name, target)
