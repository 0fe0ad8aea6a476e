"""What comes with headstart: pipelines, and the scripts that make data which needs no download."""

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headstart.errors import ConfigError, HeadstartError
from headstart.files import make_directory, partial_path, write_folder
from headstart.options import nearest
from headstart.places import expanded

FOLDER, SUFFIX = "pipelines", ".yaml"
TEXTS = {"text_column": "text", "label_column": ["library"]}
FUNCTIONS = {"text_column": "text", "label_column": ["library", "kind", "sections", "log10_lines"]}
WRITTEN = {"input_column": "input", "target_column": "target"}
ANSWERS = {"question_column": "question", "context_column": "context", "answers_column": "answers"}
MADE: Mapping[str, Mapping[str, Any]] = {
    "digits": {},
    "docstrings": TEXTS,
    "comments": TEXTS,
    "functions": FUNCTIONS,
    "numbers": WRITTEN,
    "dates": WRITTEN,
    "questions": ANSWERS,
    "code_words": {},
}
"""What can be made, and how it is read."""
IMAGES = ("digits",)
SPLIT_OF_TEN = (*["train"] * 7, "validation", "test", "test")
SUFFIXES = {"digits": "", "functions": ".jsonl", "code_words": ".conll"}
"""Of what is made, where it is no CSV."""
SCRIPTS = {
    "numbers": "make_numbers.py",
    "dates": "make_numbers.py",
    "questions": "make_questions.py",
    "code_words": "make_code_words.py",
}
"""Scripts whose name is another one."""
MADE_MODELS = {"made:numbers": ("make_numbers.py", "make_model")}
"""Models of random weights that can be made: the script, and its function."""


def _places(name: str) -> list[Path]:
    """Where a folder lies: in the installed package or in the checkout."""
    package = Path(__file__).parents[1]
    return [package / "shipped" / name, package.parents[1] / name]


def shipped_pipelines() -> dict[str, Path]:
    """The pipelines that come with headstart, by name."""
    for folder in _places(FOLDER):
        if found := sorted(folder.glob(f"*{SUFFIX}")):
            return {path.stem: path for path in found}
    return {}


def find_pipeline(said: str) -> Path:
    """The file that is meant: a path, or the name of a pipeline that comes with headstart.

    ``pipelines/NAME.yaml`` means the one that comes with headstart where no such file is there.

    Raises
    ------
    ConfigError
        There is neither; the message names the nearest.
    """
    path, shipped = Path(expanded(said)), shipped_pipelines()
    if path.is_file():
        return path
    name = path.name.removesuffix(SUFFIX)
    if path.parent in (Path(), Path(FOLDER)) and name in shipped:
        return shipped[name]
    near = nearest(name, list(shipped))
    hint = f"did you mean {near}?" if near else f"those that come with headstart: {', '.join(shipped)}"
    raise ConfigError(f"there is no pipeline {said}; {hint}")


def data_script(name: str) -> Path:
    """A script of ``data/``.

    Raises
    ------
    HeadstartError
        It is not there.
    """
    for folder in _places("data"):
        if (folder / name).is_file():
            return folder / name
    raise HeadstartError(f"the demo's script {name} was not installed; run the demo from a checkout")


def made_path(name: str, rows: int | None, folder: Path, labelled: int | None = None) -> Path:
    """Where data lies once it is made."""
    size = f"-{rows}" if rows else ""
    size += f"-labelled-{labelled}" if labelled else ""
    return folder / f"{name}{size}{SUFFIXES.get(name, '.csv')}"


def make_data(name: str, rows: int | None, folder: Path, labelled: int | None = None) -> Path:
    """Make data, one of `MADE`, unless it is there: about so many samples, as many of each class; None for all.

    With ``labelled`` texts have a split, and of the train samples of each class so many alone keep their label.
    """
    target = made_path(name, rows, folder, labelled)
    if target.exists():
        return target
    make_directory(folder)
    if name in IMAGES:
        if rows is None:
            write_folder(target, _script("make_digits.py")["make_digits"])
        else:
            whole = make_data(name, None, folder)
            write_folder(target, lambda partial: _some_images(whole, partial, rows))
        return target
    partial = partial_path(target)  # a killed pipeline must not leave half a file that looks whole
    try:
        if labelled is not None:
            _some_labels(make_data(name, rows, folder), partial, labelled)
        elif rows is None:
            _script(SCRIPTS.get(name, "make_docstrings.py"))[f"make_{name}"](partial)
        else:
            _fewer(name)(make_data(name, None, folder), partial, rows)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _fewer(name: str) -> Callable[[Path, Path, int], None]:
    """What writes so many samples of a file into another."""
    if MADE[name] is WRITTEN:
        return _first_lines
    return {".conll": _some_sentences, ".jsonl": _some_objects}.get(SUFFIXES.get(name, ""), _some_lines)


def _script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(data_script(name)))


def made_model_path(spec: str, folder: Path) -> Path:
    """Where a model lies once it is made."""
    return folder / f"{spec.partition(':')[2]}-model"


def make_model(spec: str, folder: Path) -> Path:
    """Make a model, one of `MADE_MODELS`, unless it is there."""
    target = made_model_path(spec, folder)
    if not target.exists():
        make_directory(folder)
        script, function = MADE_MODELS[spec]
        write_folder(target, _script(script)[function])
    return target


def _first_lines(whole: Path, target: Path, rows: int) -> None:
    lines = whole.read_text("utf-8").splitlines(keepends=True)
    target.write_text("".join(lines[: rows + 1]), "utf-8")


def _some_lines(whole: Path, target: Path, rows: int) -> None:
    with open(whole, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    share = _share(rows, len({line["library"] for line in lines}))
    seen: Counter[str] = Counter()
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        for line in lines:
            seen[line["library"]] += 1
            if seen[line["library"]] <= share:
                writer.writerow(line)


def _some_labels(whole: Path, target: Path, labelled: int) -> None:
    """The same lines with a split; of each class a tenth is for validation, and two tenths are for the test."""
    with open(whole, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    seen: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*lines[0], "split"])
        writer.writeheader()
        for line in lines:
            name = line["library"]
            split = SPLIT_OF_TEN[seen[name] % len(SPLIT_OF_TEN)]
            seen[name] += 1
            kept[name] += split == "train"
            shown = name if split != "train" or kept[name] <= labelled else ""
            writer.writerow({**line, "library": shown, "split": split})


def _some_sentences(whole: Path, target: Path, rows: int) -> None:
    """Sentences from the first to the last."""
    sentences = whole.read_text("utf-8").strip().split("\n\n")
    chosen = sentences[:: max(len(sentences) // rows, 1)][:rows]
    target.write_text("\n\n".join(chosen) + "\n", "utf-8")


def _some_objects(whole: Path, target: Path, rows: int) -> None:
    lines = whole.read_text("utf-8").splitlines()
    libraries = [json.loads(line)["library"] for line in lines]
    share, seen = _share(rows, len(set(libraries))), Counter[str]()
    with open(target, "w", encoding="utf-8") as file:
        for line, library in zip(lines, libraries, strict=True):
            seen[library] += 1
            if seen[library] <= share:
                file.write(f"{line}\n")


def _some_images(whole: Path, target: Path, rows: int) -> None:
    classes = sorted(path for path in whole.iterdir() if path.is_dir())
    for folder in classes:
        (target / folder.name).mkdir()
        for image in sorted(folder.glob("*.png"))[: _share(rows, len(classes))]:
            shutil.copyfile(image, target / folder.name / image.name)


def _share(rows: int, n_classes: int) -> int:
    return max(1, rows // n_classes)
