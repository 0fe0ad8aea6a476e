"""Variants of one test, and examples of a property: a few run with the fast tests, all of them with the slow ones."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

import pytest

ALL_EXAMPLES = "HEADSTART_TEST_ALL_EXAMPLES"  # `make test-slow` sets it


def variants(values: Iterable[Any], fast: Collection[Any]) -> list[Any]:
    """Parameters in their order; those that are not among ``fast`` are marked slow."""
    return [value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in values]


def cases(values: Iterable[tuple[Any, ...]], fast: Collection[Any]) -> list[Any]:
    """The same for parameters of several names each."""
    return [value if value in fast else pytest.param(*value, marks=pytest.mark.slow) for value in values]


def examples(n: int) -> int:
    """So many examples of a property in the slow tests, and a third of them in the fast ones."""
    return n if ALL_EXAMPLES in os.environ else max(n // 3, 10)
