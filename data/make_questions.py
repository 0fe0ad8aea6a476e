"""Gather "what may this parameter be?": questions on docstrings whose answers stand in them, made on this machine.

Usage: python make_questions.py FILE.csv

Reads the docstrings of the installed scientific libraries out of their source files (nothing is imported or run). Where
one lists parameters as numpydoc does, ``name : int or None``, it is a context; the questions ask for what the type of a
parameter is, and the answers are what their authors wrote behind the colon. One question of three is about a parameter
that another docstring has, and has no answer. Columns ``id``, ``title``, ``context``, ``question``, ``answers`` as
SQuAD has them, and ``library``. The same versions give the same file, byte for byte.
"""

from __future__ import annotations

import csv
import json
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

OF_DOCSTRINGS = runpy.run_path(str(Path(__file__).with_name("make_docstrings.py")))
A_LIBRARY = 150  # questions, at most
FILES_A_LIBRARY = 300
FEWEST, LONGEST = 3, 800  # parameters, and characters of a context
_SECTION = re.compile(r"^Parameters\n-{5,}\n(?P<list>.*?)(?=^\w[^\n]*\n-{5,}$|\Z)", re.MULTILINE | re.DOTALL)
_PARAMETER = re.compile(r"^(?P<name>[a-z_]\w*) : (?P<type>\S[^\n]*)$", re.MULTILINE)


def contexts(path: Path) -> Iterator[str]:
    """The docstrings of a file that list parameters, as far as these."""
    for docstring in OF_DOCSTRINGS["docstrings_in"](path):
        found = _SECTION.search(docstring)
        if found and len(_PARAMETER.findall(found["list"])) >= FEWEST:
            context = docstring[: found.end()].strip()
            if len(context) <= LONGEST and "\x00" not in context:
                yield context


def questions(context: str, other: str) -> Iterator[tuple[str, dict[str, list[object]]]]:
    """Two questions on a context, and one on a parameter of another that this one has not."""
    asked = list(_PARAMETER.finditer(context))
    for found in (asked[0], asked[-1]):
        place = {"text": [found["type"]], "answer_start": [found.start("type")]}
        yield f"What is the type of {found['name']}?", place
    names = {found["name"] for found in asked}
    strange = next((name for name, _ in _PARAMETER.findall(other) if name not in names), None)
    if strange and not re.search(rf"\b{strange}\b", context):
        yield f"What is the type of {strange}?", {"text": [], "answer_start": []}


def make_questions(target: Path, n_files: int = FILES_A_LIBRARY) -> dict[str, int]:
    """Write the table and return how many questions each library gave."""
    counts = {}
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "context", "question", "answers", "library"])
        for library in OF_DOCSTRINGS["LIBRARIES"]:
            found, n = OF_DOCSTRINGS["gather"](library, contexts, n_files), 0
            for place, context in enumerate(found):
                for question, answers in questions(context, found[place - 1]):
                    if n == A_LIBRARY:
                        break
                    title, n = f"{library} {place}", n + 1
                    writer.writerow(
                        [f"{library}-{n}", title, context, question, json.dumps(answers), library]
                    )
            counts[library] = n
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make_questions(Path(sys.argv[1])))
