"""Folders and tars from seeds: every file is there with its own label, or named with its reason, or all is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import ConfigError
from tests.data import oracle_folders
from tests.data.conftest import scan

MOST_REFUSED = 0.25


def is_read(seed: int, folder: Path) -> bool:
    """Whether it was read, and then every file of it; False if it was refused, with the option that decides."""
    made = oracle_folders.make(seed, folder)
    if made.refused is not None:
        with pytest.raises(ConfigError, match=made.refused):
            scan(made.root, **made.options)
        return False
    found = scan(made.root, **made.options)
    said = (seed, found.source.description)
    labels = found.column("label:label") if found.source.label_kinds == {"label": "single"} else None
    if labels is None:
        labels = (
            found.column("label:cls") if "label:cls" in found.table.column_names else [None] * len(found.ids)
        )
    contents = [text.encode() if isinstance(text, str) else text for text in found.payloads()]
    rows = zip(found.column("split"), labels, contents, strict=True)
    assert dict(zip(found.ids, rows, strict=True)) == made.samples, said
    assert {failure.id for failure in found.failures} == made.failures, said
    assert all(failure.reason for failure in found.failures)
    assert sum(found.source.ignored.values()) == made.n_ignored, said
    return True


def read_all(seeds: range, folder: Path) -> None:
    """Most are read: a reader that refuses everything keeps its promise, too."""
    n_read = sum(is_read(seed, folder) for seed in seeds)
    assert n_read >= (1 - MOST_REFUSED) * len(seeds)


def test_folders_and_tars_are_read_whole_or_refused(tmp_path: Path) -> None:
    read_all(range(12), tmp_path)


@pytest.mark.slow
def test_five_hundred_folders_and_tars_are_read_whole_or_refused(tmp_path: Path) -> None:
    read_all(range(1000, 1500), tmp_path)
