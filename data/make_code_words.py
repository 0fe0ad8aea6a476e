"""Gather "which words of this sentence are code?": real tagged words, made on this machine.

Usage: python make_code_words.py FILE.conll

Reads the docstrings of the installed scientific libraries out of their source files (nothing is imported or run). Their
authors marked what is code: ``literal``, `name`, :class:`Name`, :func:`name`. The marks are taken away, and become the
tags of the words that they enclosed (IOB2, types ``class``, ``function``, ``literal`` and ``name``). A sentence a
paragraph of the file, as CoNLL has it. The same versions give the same file, byte for byte.
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

OF_DOCSTRINGS = runpy.run_path(str(Path(__file__).with_name("make_docstrings.py")))
A_LIBRARY = 500  # sentences, at most
FILES_A_LIBRARY = 300
FEWEST, MOST = 5, 60  # words
ROLES = {
    "class": "class",
    "exc": "class",
    "func": "function",
    "meth": "function",
    "mod": "name",
    "attr": "name",
}
_MARKED = re.compile(r":(?P<role>\w+):`~?(?P<of_role>[^`<>]+)`|``(?P<literal>[^`]+)``|`(?P<name>[^`<>]+)`_?")
_WORD = re.compile(r"\w+(?:\.\w+)*|[^\w\s]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`:])")


def sentences(path: Path) -> Iterator[str]:
    """The sentences of the prose of a file's docstrings."""
    for docstring in OF_DOCSTRINGS["docstrings_in"](path):
        for paragraph in docstring.split("\n\n"):
            text = " ".join(paragraph.split())
            if not text.startswith((">>>", "..", "#", "*", "-")) and "---" not in text and ">>>" not in text:
                yield from _SENTENCE.split(text)


def tagged(sentence: str) -> list[tuple[str, str]]:
    """The words of a sentence with their tags; none if it has no code, or marks that do not close."""
    words: list[tuple[str, str]] = []
    place = 0
    for found in _MARKED.finditer(sentence):
        words += [(word, "O") for word in _WORD.findall(sentence[place : found.start()])]
        kind = (
            ROLES.get(found["role"], "name") if found["role"] else "literal" if found["literal"] else "name"
        )
        inside = _WORD.findall(found["of_role"] or found["literal"] or found["name"])
        words += [(word, f"{'I' if number else 'B'}-{kind}") for number, word in enumerate(inside)]
        place = found.end()
    words += [(word, "O") for word in _WORD.findall(sentence[place:])]
    is_sound = not any("`" in word for word, _ in words) and any(tag != "O" for _, tag in words)
    return words if is_sound and FEWEST <= len(words) <= MOST else []


def make_code_words(target: Path, n_files: int = FILES_A_LIBRARY) -> dict[str, int]:
    """Write the CoNLL file and return how many sentences each library gave."""
    counts, seen = {}, set[str]()
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", encoding="utf-8") as file:
        for library in OF_DOCSTRINGS["LIBRARIES"]:
            own = []
            for sentence in OF_DOCSTRINGS["gather"](library, sentences, n_files):
                words = tagged(sentence)
                lines = "".join(f"{word}\t{tag}\n" for word, tag in words)
                if words and lines not in seen and len(own) < A_LIBRARY:
                    own.append(lines)
                    seen.add(lines)
            file.writelines(f"{lines}\n" for lines in own)
            counts[library] = len(own)
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make_code_words(Path(sys.argv[1])))
