"""OpenVINO itself: imported without its converter where only models are run, and always without its telemetry."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import Any

from headstart.errors import BackboneError

CONVERTER = "openvino.tools.ovc"
TELEMETRY = "openvino_telemetry"
"""What OpenVINO imports, where it is installed, to tell its makers of every import."""


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
        with _hidden(TELEMETRY, CONVERTER):
            return importlib.import_module("openvino")
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
