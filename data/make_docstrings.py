"""Gather "which library does this docstring come from?": a real text set, made on this machine.

Usage: python make_docstrings.py FILE.csv

Reads the docstrings of the installed scientific libraries out of their source files (nothing is
imported or run), masks the names of all of them, drops duplicates, and writes the columns ``text``
and ``library``. The same versions give the same file, byte for byte. `make_comments` does the same with the comments
in the code: the same question in another language. `make_functions` gives each docstring four labels: ``library``;
``kind``, what it documents; ``sections``, those that it has, whether they are within the text or cut off; and
``log10_lines`` of the code below it, which classes lack.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

LIBRARIES = {
    "numpy": ("numpy", "np"),
    "scipy": ("scipy",),
    "sklearn": ("sklearn", "scikit-learn", "scikits", "scikit"),
    "torch": ("torch", "pytorch", "aten", "libtorch"),
    "matplotlib": ("matplotlib", "mpl", "pyplot", "plt"),
    "transformers": ("transformers", "huggingface", "hugging face"),
    "pyarrow": ("pyarrow", "arrow", "pa"),
    "h5py": ("h5py", "hdf5", "h5"),
}
A_CLASS = 400  # at most
FILES_A_LIBRARY = 300  # at most; a spread of them, since reading all takes half a minute
SHORTEST, LONGEST = 60, 400  # characters: the first sentences say what a function is about
MASK = "[library]"
_NAMES = sorted({name for names in LIBRARIES.values() for name in names}, key=len, reverse=True)
_MASKED = re.compile(r"(?<![a-z])(?:" + "|".join(map(re.escape, _NAMES)) + r")(?![a-z])", re.IGNORECASE)


def gather(library: str, read: Callable[[Path], Iterator[str]], n_files: int) -> list[str]:
    """The masked texts of so many files of a library, in an order that depends on them alone."""
    return sorted({text for path in _files(library, n_files) for text in read(path)}, key=_rank)


def _files(library: str, n_files: int) -> list[Path]:
    """So many files of a library, in an order that depends on their names alone."""
    found = importlib.util.find_spec(library)
    roots = list(found.submodule_search_locations or []) if found else []
    paths = [(str(path.relative_to(root)), path) for root in roots for path in Path(root).rglob("*.py")]
    return [path for _, path in sorted(paths, key=lambda pair: _rank(pair[0]))[:n_files]]


def _rank(text: str) -> bytes:
    return blake2b(text.encode("utf-8")).digest()


def docstrings_in(path: Path) -> Iterator[str]:
    """The docstrings of the functions and classes of a source file that is no test."""
    if "tests" in path.parts or path.name.startswith("test_"):
        return
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (docstring := ast.get_docstring(node)):
            yield docstring


def _docstrings(path: Path) -> Iterator[str]:
    for docstring in docstrings_in(path):
        yield from _masked(docstring)


def _comments(path: Path) -> Iterator[str]:
    """Comments of whole lines, those below one another as one; a licence above the code is none."""
    if "tests" in path.parts or path.name.startswith("test_"):
        return
    try:
        lines = path.read_text("utf-8").splitlines()
    except (ValueError, OSError):
        return
    below_code, block = False, list[str]()
    for line in [*lines, ""]:
        stripped = line.strip()
        if stripped.startswith("#"):
            block.append(stripped.lstrip("# "))
            continue
        if block and below_code:
            yield from _masked(" ".join(block))
        below_code, block = below_code or bool(stripped), []


SECTIONS = {"parameters": "parameters|args|arguments", "returns": "returns?|yields?", "raises": "raises",
            "examples": "examples?", "notes": "notes?"}  # fmt: skip
_HEADING = {
    name: re.compile(rf"^\s*(?:{words})\s*(?::\s*$|\n\s*-{{3,}})", re.IGNORECASE | re.MULTILINE)
    for name, words in SECTIONS.items()
}


def _described(path: Path) -> Iterator[dict[str, Any]]:
    """Masked docstrings with what they document, their sections, and how long the code is."""
    if "tests" in path.parts or path.name.startswith("test_"):
        return
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError, OSError):
        return
    within = {child for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for child in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (docstring := ast.get_docstring(node)):
            is_class = isinstance(node, ast.ClassDef)
            lines = (node.end_lineno or 0) - (node.body[0].end_lineno or 0)  # of the code below the docstring
            for text in _masked(docstring):
                yield {
                    "text": text,
                    "kind": "class" if is_class else "method" if node in within else "function",
                    "sections": [name for name, heading in _HEADING.items() if heading.search(docstring)],
                    "log10_lines": None if is_class or lines < 1 else round(math.log10(lines), 3),
                }


def make_functions(target: Path, n_files: int = FILES_A_LIBRARY) -> dict[str, int]:
    """Write JSON lines of docstrings with four labels and return how many texts each library gave."""
    by_library: dict[str, dict[str, dict[str, Any]]] = {library: {} for library in LIBRARIES}
    for library, rows in by_library.items():
        for path in _files(library, n_files):
            for row in _described(path):
                rows.setdefault(row["text"], row)
    owners = Counter(text for rows in by_library.values() for text in rows)
    counts = {}
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", encoding="utf-8") as file:
        for library, rows in by_library.items():
            own = sorted((text for text in rows if owners[text] == 1), key=_rank)[:A_CLASS]
            file.writelines(json.dumps({**rows[text], "library": library}) + "\n" for text in own)
            counts[library] = len(own)
    return counts


def _masked(text: str) -> Iterator[str]:
    masked = _MASKED.sub(MASK, " ".join(text.split()))[:LONGEST]
    if len(masked) >= SHORTEST:
        yield masked


def make_docstrings(target: Path, n_files: int = FILES_A_LIBRARY) -> dict[str, int]:
    """Write the CSV of docstrings and return how many texts each library gave."""
    return _make(target, _docstrings, n_files)


def make_comments(target: Path, n_files: int = FILES_A_LIBRARY) -> dict[str, int]:
    """Write the CSV of comments and return how many texts each library gave."""
    return _make(target, _comments, n_files)


def _make(target: Path, read: Callable[[Path], Iterator[str]], n_files: int) -> dict[str, int]:
    by_library = {library: gather(library, read, n_files) for library in LIBRARIES}
    owners: dict[str, set[str]] = {}
    for library, texts in by_library.items():
        for text in texts:
            owners.setdefault(text, set()).add(library)
    counts = {}
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "library"])
        for library, texts in by_library.items():
            # A text that two libraries share says nothing of where it comes from.
            own = [text for text in texts if len(owners[text]) == 1][:A_CLASS]
            writer.writerows([text, library] for text in own)
            counts[library] = len(own)
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python make_docstrings.py FILE.csv")
    made = make_docstrings(Path(sys.argv[1]))
    print(f"{sum(made.values()):,} texts in {sys.argv[1]}: {made}")
