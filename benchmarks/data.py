"""The texts and images that are measured: from a folder that the user gives, else from this repository.

The folder may hold ``banking77/train.csv`` (columns ``text``, ``category``) and ``clothing/train/<class>/*.jpg``.
Whatever it lacks is made here, and the page says so.
"""

from __future__ import annotations

import csv
import io
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
SHORT = (6, 20)  # tokens of a text that stands for a customer's question
ABOUT_FIFTY = (45, 55)


@dataclass(frozen=True)
class Corpus:
    """Texts, and what they are."""

    said: str
    texts: list[str]


@dataclass(frozen=True)
class Photos:
    """A folder of class folders, its files, and what they are."""

    said: str
    folder: Path

    @property
    def paths(self) -> list[Path]:
        """In the order of ImageFolder."""
        return sorted(path for path in self.folder.glob("*/*") if path.is_file())


class Data:
    """Makes and finds what is measured.

    Parameters
    ----------
    given : Path, optional
        The user's folder.
    scratch : Path
        Where what is made goes.
    tokenizer : callable
        Of the text backbone, fast: it tells how long a text is.
    """

    def __init__(self, given: Path | None, scratch: Path, tokenizer: Any) -> None:
        self._given = given
        self._scratch = scratch
        self._tokenizer = tokenizer

    def short_texts(self, n: int) -> Corpus:
        """Customers' questions, or the beginnings of docstrings."""
        path = self._given / "banking77" / "train.csv" if self._given else None
        if path and path.is_file():
            return self._described("banking77", spread(_column(path), n))
        return self._described("beginnings of docstrings", self._cut(SHORT, n))

    def long_texts(self, n: int) -> Corpus:
        """The demo's docstrings, long and of mixed length."""
        return self._described("docstrings", spread(self._docstrings(), n))

    def texts_of_fifty(self, n: int) -> Corpus:
        """The docstrings, cut to about fifty tokens each."""
        return self._described("docstrings cut to about 50 tokens", self._cut(ABOUT_FIFTY, n))

    def many_texts(self, n: int) -> Corpus:
        """The docstrings over and over, each time with another number before them."""
        again = (f"{number} {text}" for number, text in enumerate(cycle(self._docstrings())))
        return self._described("numbered docstrings", list(islice(again, n)))

    def photos(self, n: int) -> Photos:
        """The clothing photos, or pictures of their size; of more than there are parts of others."""
        folder = self._scratch / f"photos-{n}"
        given = self._given / "clothing" / "train" if self._given else None
        found = sorted(given.glob("*/*.jpg")) if given else []
        said = "clothing photos" if found else "generated JPEGs of 400 × 533 pixels"
        if len(found) < n and found:
            said += f", {len(found):,} of them whole, the others parts of these"
        if not folder.exists():
            write_files(folder, _copies(found, n) if found else generated_jpegs(n))
        return Photos(f"{n:,} {said}", folder)

    def small_images(self, n: int) -> Photos:
        """The demo's digits."""
        folder = self._scratch / f"digits-{n}"
        if not folder.exists():
            whole = self._scratch / "digits"
            _make("make_digits.py", whole)
            chosen = spread(sorted(whole.glob("*/*.png")), n)
            write_files(folder, ((f"{path.parent.name}/{path.name}", path.read_bytes()) for path in chosen))
        return Photos(f"{len(Photos('', folder).paths):,} digits of 64 × 64 pixels (PNG)", folder)

    @lru_cache  # noqa: B019 (one object for the life of the process)
    def _docstrings(self) -> list[str]:
        path = self._scratch / "docstrings.csv"
        if not path.exists():
            _make("make_docstrings.py", path)
        return _column(path)

    def _cut(self, between: tuple[int, int], n: int) -> list[str]:
        """Texts of so many tokens, specials counted."""
        low, high = between
        draw = random.Random(0)
        encoded = self._tokenizer(self._docstrings(), return_offsets_mapping=True, verbose=False)
        marked = zip(self._docstrings(), encoded["offset_mapping"], strict=True)
        # The first and the last mark are those of the special tokens.
        cut = {text[: marks[draw.randint(low, high) - 2][1]] for text, marks in marked if len(marks) >= high}
        return spread(sorted(cut), n)

    def _described(self, name: str, texts: list[str]) -> Corpus:
        lengths = [len(ids) for ids in self._tokenizer(texts, verbose=False)["input_ids"]]
        mean = sum(lengths) / len(lengths)
        span = f"{min(lengths)} to {max(lengths)} tokens, {mean:.0f} on average"
        return Corpus(f"{len(texts):,} texts ({name}), {span}", texts)


def write_csv(path: Path, texts: Sequence[str]) -> Path:
    """Texts as a table of one column, for a command."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    return path


def spread(items: Sequence[Any], n: int) -> list[Any]:
    """At most so many items, evenly spread."""
    n = min(n, len(items))
    return [items[i * len(items) // n] for i in range(n)]


def generated_jpegs(n: int) -> Iterator[tuple[str, bytes]]:
    """Pictures that cost about what a photo costs to decode."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for number in range(n):
        coarse = generator.integers(0, 256, (50, 38, 3), dtype=np.uint8)
        smooth = np.asarray(
            Image.fromarray(coarse).resize((400, 533), Image.Resampling.BICUBIC), dtype=np.int16
        )
        grain = generator.integers(-12, 13, smooth.shape, dtype=np.int16)
        held = io.BytesIO()
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(held, "JPEG", quality=90)
        yield f"{number % 4}/{number:06d}.jpg", held.getvalue()


def part_of(jpeg: bytes, seed: int) -> bytes:
    """A picture without a margin of up to a twentieth on each side, encoded anew."""
    from PIL import Image

    draw, held = random.Random(seed), io.BytesIO()
    with Image.open(io.BytesIO(jpeg)) as image:
        width, height = image.size
        left, top, right, bottom = (draw.randint(0, side // 20) for side in (width, height, width, height))
        image.crop((left, top, width - right, height - bottom)).save(held, "JPEG", quality=90)
    return held.getvalue()


def _copies(found: Sequence[Path], n: int) -> Iterator[tuple[str, bytes]]:
    chosen = spread(found, n)
    for number, path in enumerate(islice(cycle(chosen), n)):
        again, content = number // len(chosen), path.read_bytes()
        content = part_of(content, number) if again else content
        yield f"{path.parent.name}/{again:03d}-{path.name}", content


def write_files(folder: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """Files by their names below a folder, which appears when all are there."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name, content in files:
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_bytes(content)
    partial.rename(folder)


def _make(script: str, target: Path) -> None:
    subprocess.run(
        [sys.executable, REPOSITORY / "data" / script, target], check=True, stdout=subprocess.DEVNULL
    )


def _column(path: Path) -> list[str]:
    with open(path, encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]
