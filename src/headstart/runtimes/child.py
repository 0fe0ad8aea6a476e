"""The process that converts a model beside the work of another: it is told what on its standard input.

Its task was pickled by its parent a moment before, and lies in no file. The end of that input is the end of the parent.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from typing import TYPE_CHECKING

from headstart.runtimes.kept import KeptModels

if TYPE_CHECKING:
    from headstart.runtimes.background import ConversionTask

PARENT_GONE = 3
"""The exit code where nobody waits for the model any more."""


def main() -> None:
    """Convert, keep, and end."""
    task: ConversionTask = pickle.load(sys.stdin.buffer)  # noqa: S301  from the parent, through a pipe
    threading.Thread(target=_end_with_parent, name="headstart-parent", daemon=True).start()
    _convert(task)
    os._exit(0)  # torch's threads need not be waited for


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(PARENT_GONE)


def _convert(task: ConversionTask) -> None:
    from headstart.backbones import open_backbone
    from headstart.runtimes.conversion import NotConvertibleError, convert

    kept = KeptModels()
    backbone = open_backbone(task.spec, task.options)
    if backbone.resolve().weights != task.info.weights:
        return  # it changed: the parent's features are of what it was
    try:
        convert(backbone.load("cpu", "fp32"), task.info, task.examples, kept)
    except NotConvertibleError as error:
        kept.refuse(task.info, str(error))


if __name__ == "__main__":
    main()
