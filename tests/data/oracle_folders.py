"""Folders and tars made from a seed, with what is in them: samples with split and label, and all that is none."""

from __future__ import annotations

import json
import os
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import normalize

from tests.data.tars import add

Sample = tuple[str | None, str | None, bytes]
"""Split, label and content."""
CLASSES = ("cat", "Dog 2", " pad ", "caf\u00e9", "cafe\u0301", "n01440764", "a.b", "10", "2", "ünï")
SPLITS = {
    "train": "train",
    "Training": "train",
    "dev": "validation",
    "val": "validation",
    "eval": "validation",
}
SPLITS |= {"test": "test", "holdout": "test"}
IMAGES = (".png", ".JPG", ".jfif", ".avif", ".tiff", ".webp", ".jp2")
OTHERS = ("README", "Thumbs.db", "notes.md", "list.xml")


@dataclass
class Made:
    """What was made, the options to read it with, and what must come out of it."""

    root: Path
    options: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    failures: set[str] = field(default_factory=set)
    n_ignored: int = 0
    refused: str | None = None
    """What a refusal must name, where nothing else is right."""

    def label(self, name: str) -> str | None:
        """A name as a class."""
        return normalize("NFC", name.strip()) or None


def make(seed: int, folder: Path) -> Made:
    """A folder or tars of any layout."""
    rng = random.Random(seed)
    root = folder / f"d{seed}"
    root.mkdir()
    return (_Folder(rng, root) if rng.random() < 0.7 else _Tars(rng, root)).made


class _Folder:
    def __init__(self, rng: random.Random, root: Path) -> None:
        self.rng, self.made, self.n = rng, Made(root), 0
        self.form = rng.choice(["image", "image", "text", "numbered", "bare"])
        self.base = "data/" if rng.random() < 0.15 else ""
        self.nesting = rng.choice(["none", "none", "none", "all", "mixed"])
        self.last = rng.random() < 0.3
        if self.last:
            self.made.options["class_from"] = "last"
        classes = rng.sample(CLASSES, rng.randint(2, 4))
        layout: Callable[[list[str]], None] = rng.choice(
            [self._flat, self._classes, self._splits, self._splits]
        )
        layout(classes)
        self._trouble()

    @property
    def is_text(self) -> bool:
        return self.form != "image"

    def _name(self) -> str:
        self.n += 1
        if self.form == "image":
            return f"f{self.n}{self.rng.choice(IMAGES)}"
        return {"text": f"f{self.n}.txt", "numbered": f"{49960 + self.n}", "bare": f"file{self.n}x"}[
            self.form
        ]

    def _write(self, folder: str, content: bytes, name: str | None = None) -> str:
        path = self.base + folder + (name or self._name())
        (self.made.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.made.root / path).write_bytes(content)
        return path

    def _content(self) -> bytes:
        word = self.rng.choice(["same", "other", "très"])
        return f"{word} {self.rng.randint(0, 3)}\r\n".encode()

    def _sample(self, folder: str, split: str | None, label: str | None) -> None:
        content = self._content()
        path = self._write(folder, content)
        self.made.samples[path] = split, None if label is None else self.made.label(label), content

    def _several(self, folder: str, split: str | None, label: str | None) -> None:
        for _ in range(self.rng.randint(2, 4)):
            self._sample(folder, split, label)

    def _class(self, above: str, name: str, split: str | None, deep: bool) -> None:
        if not deep:
            self._several(f"{above}{name}/", split, name)
            return
        for below in ("x1", "y 2"):
            self._several(f"{above}{name}/{below}/", split, below if self.last else name)

    def _class_folders(self, above: str, classes: list[str], split: str | None) -> None:
        mixed = self.nesting == "mixed"
        for place, name in enumerate(classes):
            self._class(above, name, split, self.nesting == "all" or (mixed and place == 0))
        if mixed and not self.last:
            self.made.refused = "--class-from"
        if self.rng.random() < 0.2:  # beside the class folders
            self._stray(above, split)

    def _stray(self, above: str, split: str | None) -> None:
        if self.is_text:
            self._write(above, b"a list of files")
            self.made.n_ignored += 1
        elif not (self.base and not above):  # a file beside the classes, and the folder is one itself
            self._sample(above, split, None)

    def _flat(self, classes: list[str]) -> None:
        self.base = ""
        self._several("", None, None)

    def _classes(self, classes: list[str]) -> None:
        if self.nesting == "none" and self.rng.random() < 0.1:
            classes.append("train")
        self._class_folders("", classes, None)

    def _splits(self, classes: list[str]) -> None:
        names = list({SPLITS[name]: name for name in self.rng.sample(list(SPLITS), 5)}.values())
        has_classes = self.rng.random() < 0.7
        names = names if len(names) > 1 else [*names, "test" if SPLITS[names[0]] == "train" else "train"]
        for name in names:
            if has_classes and not (SPLITS[name] == "test" and self.rng.random() < 0.2):
                self._class_folders(f"{name}/", classes, SPLITS[name])
            else:
                self._several(f"{name}/", SPLITS[name], None)
        train = next((name for name in names if SPLITS[name] == "train"), None)
        if train and has_classes and self.rng.random() < 0.3:
            self._several(f"{train}/unsup/", "train", None)
        if self.rng.random() < 0.2:
            self._write("", self._content())
            self.made.n_ignored += 1
        if self.rng.random() < 0.25:
            self._unknown(has_classes, classes)

    def _unknown(self, has_classes: bool, classes: list[str]) -> None:
        """A folder whose name is no split, left out, mapped, or refused."""
        meant = self.rng.choice([None, "none", "validation"])
        split = None if meant == "none" else meant
        before, n_ignored = dict(self.made.samples), self.made.n_ignored
        nested, self.nesting = self.nesting, "none" if self.nesting == "mixed" else self.nesting
        for name in classes if has_classes else [""]:
            if name:
                self._class("ood/", name, split, self.nesting == "all")
            else:
                self._several("ood/", split, None)
        self.nesting = nested
        if meant is None:
            self.made.refused = "--split-map ood="
            return
        self.made.options["split_map"] = {"ood": meant}
        if meant == "none":
            self.made.n_ignored = n_ignored + len(self.made.samples) - len(before)
            self.made.samples = before

    def _trouble(self) -> None:
        """What is no sample, in folders that are there."""
        folders = sorted({os.path.dirname(path) for path in self.made.samples})
        most = len(self.made.samples) // 2 - 1 if self.is_text else len(OTHERS)  # texts are more than half
        for name in OTHERS[: max(most, 0)]:
            if self.rng.random() < 0.2:
                self._put(self.rng.choice(folders), name, b"about")
                self.made.n_ignored += 1
        if self.rng.random() < 0.3:
            self._put(self.rng.choice(folders), f".hidden{self._name()}", b"x")
            self.made.n_ignored += 1
        for content in (b"", b" \n" if self.is_text else b"", b"\xe9t\xe9" if self.is_text else b""):
            if self.rng.random() < 0.2:
                self.made.failures.add(self._put(self.rng.choice(folders), self._name(), content))
        if self.rng.random() < 0.2:
            path = os.path.join(self.rng.choice(folders), self._name())
            (self.made.root / path).symlink_to("nowhere")
            self.made.failures.add(path)
        if self.rng.random() < 0.2:
            folder = self.rng.choice(folders)
            (self.made.root / folder / "around").symlink_to(self.made.root)
            self.made.n_ignored += 1

    def _put(self, folder: str, name: str, content: bytes) -> str:
        path = os.path.join(folder, name)
        (self.made.root / path).write_bytes(content)
        return path


class _Tars:
    def __init__(self, rng: random.Random, root: Path) -> None:
        self.rng, self.made = rng, Made(root)
        names = rng.choice(
            [("train-0", "train-1", "test-0"), ("dev", "train"), ("data",), ("s-000", "s-001")]
        )
        splits: dict[str, str | None] = {name: SPLITS.get(name.partition("-")[0]) for name in names}
        if splits.get("dev") and rng.random() < 0.5:
            splits["extra"] = rng.choice([None, "test"])
            if splits["extra"]:
                self.made.options["split_map"] = {"extra": "test"}
            else:
                self.made.refused = "--split-map extra="
        self.form = rng.choice(["cls", "json", "none"])
        self.names = rng.choice([("cat", " dog ", "caf\u00e9"), ("0", "1", "10")])
        for name, split in splits.items():
            with tarfile.open(root / f"{name}.tar", "w") as tar:
                self._fill(tar, name, split)

    def _fill(self, tar: tarfile.TarFile, name: str, split: str | None) -> None:
        for number in range(self.rng.randint(2, 6)):
            key = self.rng.choice(["", "./dir/", "a b/", "caf\u00e9/"]) + f"{number:04}"
            self._one(tar, f"{name}/{key.removeprefix('./')}", key, split, number)
        if self.rng.random() < 0.3:
            add(tar, "README", b"about")
            self.made.n_ignored += 1

    def _one(self, tar: tarfile.TarFile, id: str, key: str, split: str | None, number: int) -> None:
        trouble = self.rng.random() < 0.25 and number > 0
        label = (
            None
            if self.form == "none" or (number > 0 and self.rng.random() < 0.2)
            else self.rng.choice(self.names)
        )
        content = f"picture {self.rng.randint(0, 3)}".encode()
        if not trouble:
            add(tar, f"{key}.{self.rng.choice(['jpg', 'PNG', 'jfif'])}", content)
            self.made.samples[id] = split, None if label is None else self.made.label(label), content
        else:
            kind = self.rng.choice(["empty", "link", "twice", "lacks"])
            self.made.failures.add(id)
            if kind == "empty":
                add(tar, f"{key}.jpg", b"")
            elif kind == "link":
                add(tar, f"{key}.jpg", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
            elif kind == "twice":
                add(tar, f"{key}.jpg", content)
                add(tar, f"{key}.jpg", content)
            else:
                add(tar, f"{key}.txt.gz", content)
        if self.form == "cls" and label is not None:
            add(tar, f"{key}.cls", label.encode())
        if self.form == "json":
            add(tar, f"{key}.json", json.dumps({"label": label, "width": 3}).encode())
