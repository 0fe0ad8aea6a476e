"""OpenVINO itself: imported without its converter where only models are run, and always without its telemetry."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

from headstart.errors import BackboneError

CONVERTER = "openvino.tools.ovc"
TELEMETRY = "openvino_telemetry"
"""What OpenVINO imports, where it is installed, to tell its makers of every import."""
_first = threading.Lock()


def openvino_version() -> str | None:
    """The version that is installed; None: it is not."""
    try:
        return metadata.version("openvino")
    except metadata.PackageNotFoundError:
        return None


@cache
def openvino() -> Any:
    """The library.

    Its converter is left out: it takes two thirds of the import's time.

    Raises
    ------
    BackboneError
        It is not installed here, or has no build for this processor.
    """
    try:
        with _first, _hidden(TELEMETRY, CONVERTER):
            library = importlib.import_module("openvino")
            _fill_tables(library)
            return library
    except ImportError as error:
        raise BackboneError(
            f"openvino cannot be imported ({error}); install it (pip install openvino), or use --runtime torch"
        ) from error


@cache
def converter() -> Any:
    """The function that makes a model of OpenVINO from an exported program of torch."""
    openvino()
    with _hidden(TELEMETRY):
        return importlib.import_module(CONVERTER).convert_model


def _fill_tables(library: Any) -> None:
    """Let it make its tables of types, before several threads need them.

    Whoever needs one first makes it under a lock, and lets go of the interpreter meanwhile: a second thread then waits
    for the lock and keeps the interpreter, so that neither goes on, ever (seen in 2026.4.1).
    """
    library.Type.f32.to_dtype()
    _ = library.Tensor(np.zeros(1, np.float32), shared_memory=True).data


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Let an import fail as if these modules were not installed, unless somebody has imported them before."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is what makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
