"""Variants of one test: a few run with the fast tests, the others with the slow ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def variants(values: Iterable[Any], fast: Collection[Any]) -> list[Any]:
    """Parameters in their order; those that are not among ``fast`` are marked slow."""
    return [value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in values]
