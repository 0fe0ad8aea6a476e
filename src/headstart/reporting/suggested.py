"""The queue of samples that were suggested to be labelled, from the file that `suggest` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.corrections.file import read_lines
from headstart.corrections.table import rows_of
from headstart.errors import MismatchError
from headstart.reporting.queues import Queue
from headstart.suggestions import PREDICTED
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.reporting.samples import PageSamples


def suggested_queue(path: str, samples: PageSamples, notes: list[str]) -> Queue:
    """The suggestions of a file that are not decided yet, in its order, as rows of the page's samples.

    Raises
    ------
    DataError
        The file cannot be read, or is none of corrections.
    MismatchError
        It is of another set.
    """
    _, lines = read_lines(Path(path))
    waiting = [values for values, _ in lines if not (values["action"] or values["new"])]
    found = rows_of(samples.table, {(values["key"].strip().lower(), values["id"]) for values in waiting})
    if waiting and not found:
        raise MismatchError(
            f"{path} suggests {counted(len(waiting), 'sample')}, none of which is on this page; it is of another set"
        )
    rows, predicted = list[int](), list[str]()
    for values in waiting:
        for row in found.get((values["key"].strip().lower(), values["id"]), ()):
            rows.append(row)
            predicted.append(values.get(PREDICTED, ""))
    _say_missing(lines_decided=len(lines) - len(waiting), n_gone=len(waiting) - len(rows), notes=notes)
    about = (
        "Samples without a label that would be worth one, the first first; relabel says what each of them is."
    )
    return Queue("suggestions", about, np.array(rows, dtype=np.int64), len(rows), suggested=predicted)


def _say_missing(lines_decided: int, n_gone: int, notes: list[str]) -> None:
    if lines_decided:
        notes.append(
            f"{counted(lines_decided, 'suggestion')} of the file decided already, and left out of the queue"
        )
    if n_gone > 0:
        notes.append(f"{counted(n_gone, 'suggestion')} of samples that are not on this page")
