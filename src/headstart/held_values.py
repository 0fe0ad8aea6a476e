"""Values of a configuration that a program may hold: a file keeps where they lie, and nothing of what is in memory."""

from __future__ import annotations

import os
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer


def _place(data: Any) -> str | None:
    """Where data lies; None of what a program holds."""
    return os.fspath(data) if isinstance(data, str | os.PathLike) else None


def _as_several(given: Any) -> Any:
    """One thing or several as a list."""
    return given if isinstance(given, list | tuple) or given is None else [given]


def _places(several: list[Any]) -> list[str]:
    return [place for one in several if (place := _place(one)) is not None]


Data = Annotated[Any, PlainSerializer(_place)]
Corrections = Annotated[list[Any], BeforeValidator(_as_several), PlainSerializer(_places)]
"""Files of corrections, and tables of them."""
