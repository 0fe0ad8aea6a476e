"""Where things live: imports point one way, file by file, and no module hides a public function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx

import headstart

from .processes import Process

SOURCE = Path(headstart.__file__).parents[1]

FACE = {"cli", "api", "testing", "__main__"}
DEEDS = {
    "extraction", "fitting", "tuning", "prediction", "evaluation", "comparison", "inspection", "pipelines", "exporting",
    "distillation", "reporting", "labelling", "clustering", "retrieval", "sharing",
}  # fmt: skip
FOUNDATION = ("contracts", "types", "errors")


def modules() -> dict[str, Path]:
    """Every module of the package, by name."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (SOURCE / "headstart").rglob("*.py")
    }


@cache
def imports() -> dict[str, set[str]]:
    """What each module imports of the others: anywhere in the file, type checking included."""
    known = modules()
    return {name: set(_imported(path, known)) - {name} for name, path in known.items()}


def _imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in known or node.module in known:
                    yield name if name in known else node.module


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that all reach each other."""
    graph = networkx.DiGraph((name, target) for name, targets in edges.items() for target in targets)
    return [sorted(group) for group in networkx.strongly_connected_components(graph) if len(group) > 1]


def package_of(module: str) -> str:
    return f"{module}.".split(".")[1]


def test_no_file_imports_itself_in_the_end() -> None:
    assert list(circles(imports())) == []


def test_what_a_deed_stands_on_knows_no_deed() -> None:
    upward = [
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if package_of(name) not in {"", *FACE, *DEEDS} and package_of(target) in FACE | DEEDS
    ]
    assert upward == []


def test_deeds_do_not_know_the_command_line() -> None:
    upward = [
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if package_of(name) in DEEDS and package_of(target) in FACE
    ]
    assert upward == []


def test_the_foundation_stands_on_nothing_else() -> None:
    for place, name in enumerate(FOUNDATION):
        within = {
            target
            for module, targets in imports().items()
            if package_of(module) == name
            for target in targets
        }
        assert {package_of(target) for target in within} <= set(FOUNDATION[place:])


def test_public_functions_stay_callable_after_every_module_is_imported() -> None:
    names = sorted(name for name in modules() if not name.endswith("__main__"))
    code = (
        "import importlib, headstart\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print([n for n in headstart.__all__ if not callable(getattr(headstart, n))])"
    )
    out, err = Process(code).communicate()
    assert out.strip().splitlines()[-1:] == ["[]"], err
