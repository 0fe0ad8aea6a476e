"""Runs of several labels side by side: a comparison for each label, on the samples that have it."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.comparison.comparison import (
    FILE,
    WIDTH,
    Comparison,
    check_target,
    comparison_html,
    comparison_text,
    csv_of,
    write_comparison,
)
from headstart.config import CompareConfig
from headstart.files import make_directory, write_durably, write_folder, write_json
from headstart.notebook import display, in_notebook
from headstart.places import expanded
from headstart.registry.labels import LABELS, titles_of

if TYPE_CHECKING:
    from headstart.types import Json, PlotFormat


@dataclass(frozen=True)
class LabelComparisons(Mapping[str, Comparison]):
    """A comparison for each label that all of the runs predict, by its name: ``found["mood"].best``."""

    parts: Mapping[str, Comparison]

    def __getitem__(self, label: str) -> Comparison:
        return self.parts[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def advice(self) -> tuple[str, ...]:
        """Which run to take, label by label."""
        return tuple(f"{label}: {said}" for label, part in self.items() for said in part.advice)

    @property
    def table(self) -> list[dict[str, Json]]:
        """A flat row for each run and label: ``pandas.DataFrame(comparisons.table)``."""
        return [{"label": label, **row} for label, part in self.items() for row in part.table]

    def to_json(self) -> dict[str, Json]:
        """For machines: what ``comparison.json`` holds."""
        return {LABELS: {label: part.to_json() for label, part in self.items()}}

    def show(self) -> None:
        """Show the tables and the advice of each label: in a notebook as tables, else as text on stdout."""
        from rich.console import Console

        if in_notebook():
            display(self)
            return
        print(self._text(Console().width if sys.stdout.isatty() else WIDTH))

    def save(self, path: str | os.PathLike[str], overwrite: bool = False, plots: PlotFormat = "png") -> Path:
        """Write a folder for each label and tables of all, whole or not at all; see `Comparison.save`."""
        target = Path(expanded(path))
        check_target(target, overwrite)
        CompareConfig(runs=[], plots=plots, seed=0)
        write_folder(target, lambda folder: self._write(folder, plots))
        return target

    def _write(self, folder: Path, plots: PlotFormat) -> None:
        write_json(folder / FILE, self.to_json())
        write_durably(folder / "comparison.csv", csv_of(self.table))
        folders = titles_of(list(self))
        for label, part in self.items():
            make_directory(folder / folders[label])
            write_comparison(part, folder / folders[label], plots)
        lines = ["# Label by label", *(f"- {sentence}" for sentence in self.advice)]
        links = [f"- [{label}]({name}/README.md)" for label, name in folders.items()]
        page = "\n".join([lines[0], "", *lines[1:], "", *links]) + "\n"
        write_durably(folder / "README.md", page.encode("utf-8"))

    def _text(self, width: int = WIDTH) -> str:
        return "\n\n".join(f"[{label}]\n{comparison_text(part, width)}" for label, part in self.items())

    def __repr__(self) -> str:
        return self._text()

    def _repr_html_(self) -> str:
        return "".join(
            f"<h3>{html.escape(label)}</h3>{comparison_html(part)}" for label, part in self.items()
        )
