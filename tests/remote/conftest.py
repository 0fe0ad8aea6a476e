"""A bucket of its own for each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .servers import new_bucket, s3_server

# The helpers of these tests serve those of buckets as well.
HELPERS = [str(Path(__file__).parents[1] / name) for name in ("cache", "property")]
sys.path += HELPERS


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as found:
        yield found


@pytest.fixture
def bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return new_bucket()
