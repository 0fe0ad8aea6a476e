"""Data that needs no download: made by the scripts of ``data/`` on this machine."""

from __future__ import annotations

import csv
import os
import runpy
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.files import make_directory, partial_path, write_folder
from headstart.pipelines.demo import data_script

TEXTS = {"text_column": "text", "label_column": ["library"]}
MADE: Mapping[str, Mapping[str, Any]] = {"digits": {}, "docstrings": TEXTS, "comments": TEXTS}
"""What can be made, and how it is read."""


def made_path(name: str, rows: int | None, folder: Path) -> Path:
    """Where it lies once it is made."""
    size = f"-{rows}" if rows else ""
    return folder / (f"{name}{size}" if name == "digits" else f"{name}{size}.csv")


def make_data(name: str, rows: int | None, folder: Path) -> Path:
    """Make data, unless it is there.

    Parameters
    ----------
    name : str
        One of `MADE`.
    rows : int, optional
        About so many samples, as many of each class; None: all.
    folder : Path
    """
    target = made_path(name, rows, folder)
    if target.exists():
        return target
    make_directory(folder)
    if name != "digits":
        _texts(name, target, rows)
    elif rows is None:
        write_folder(target, _script("make_digits.py")["make_digits"])
    else:
        whole = make_data(name, None, folder)
        write_folder(target, lambda partial: _some_images(whole, partial, rows))
    return target


def _script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(data_script(name)))


def _texts(name: str, target: Path, rows: int | None) -> None:
    """Beside its place first: a killed pipeline must not leave half a file that looks whole."""
    partial = partial_path(target)
    try:
        if rows is None:
            _script("make_docstrings.py")[f"make_{name}"](partial)
        else:
            _some_lines(make_data(name, None, target.parent), partial, rows)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _some_lines(whole: Path, target: Path, rows: int) -> None:
    with open(whole, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    share = _share(rows, len({line["library"] for line in lines}))
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(_first_of_each(lines, share))


def _first_of_each(lines: list[dict[str, str]], share: int) -> Iterator[dict[str, str]]:
    seen: Counter[str] = Counter()
    for line in lines:
        seen[line["library"]] += 1
        if seen[line["library"]] <= share:
            yield line


def _some_images(whole: Path, target: Path, rows: int) -> None:
    classes = sorted(path for path in whole.iterdir() if path.is_dir())
    share = _share(rows, len(classes))
    for folder in classes:
        (target / folder.name).mkdir()
        for image in sorted(folder.glob("*.png"))[:share]:
            shutil.copyfile(image, target / folder.name / image.name)


def _share(rows: int, n_classes: int) -> int:
    return max(1, rows // n_classes)
