"""Tables made from seeds: every row is there with its own label, or named, or the table is refused; never others."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import DataError
from tests.data import oracle
from tests.data.conftest import scan

MOST_REFUSED = 0.2


def is_read(seed: int, folder: Path) -> bool:
    """Whether a table was read, and then to the letter; False if it was refused with a place."""
    made = oracle.make(seed, folder)
    try:
        found = scan(made.path, encoding=made.encoding)
    except DataError as error:
        return _is_refused(made, error)
    rows = list(zip(found.payloads(), found.column("label:label"), strict=True))
    assert rows == made.rows, (seed, found.source.description)
    assert len(found.failures) == made.n_ragged, (seed, found.failures)
    return True


def _is_refused(made: oracle.Made, error: DataError) -> bool:
    assert str(made.path) in str(error)
    return False


def read_all(seeds: range, folder: Path) -> None:
    """Most of these are read: a reader that refuses everything keeps its promise, too."""
    n_read = sum(is_read(seed, folder) for seed in seeds)
    assert n_read >= (1 - MOST_REFUSED) * len(seeds)


def test_tables_are_read_to_the_letter_or_refused(tmp_path: Path) -> None:
    read_all(range(50), tmp_path)


@pytest.mark.slow
def test_two_thousand_tables_are_read_to_the_letter_or_refused(tmp_path: Path) -> None:
    read_all(range(1000, 3000), tmp_path)
