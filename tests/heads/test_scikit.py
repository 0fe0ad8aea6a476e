"""Modules that are imported when they are used, and not before."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from headstart.heads.scikit import Later, postponed

NAME = "this"
"""A module of the standard library that nobody has imported."""


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, NAME, raising=False)


def test_what_is_imported_meanwhile_is_there_when_it_is_used() -> None:
    with postponed(NAME):
        this = import_module(NAME)
    assert isinstance(this, Later)
    assert NAME not in sys.modules
    assert this.d["A"] == "N"
    assert not isinstance(sys.modules[NAME], Later)
    assert sys.modules[NAME] is import_module(NAME)


def test_what_is_used_meanwhile_is_imported_then() -> None:
    with postponed(NAME):
        from this import d

        assert not isinstance(sys.modules[NAME], Later)
    assert d["A"] == "N"
    assert NAME in sys.modules


def test_what_is_there_already_and_what_is_not_installed_stay_so() -> None:
    with postponed("json", "no_such_module"):
        assert not isinstance(sys.modules["json"], Later)
        with pytest.raises(ImportError):
            import_module("no_such_module")


def test_an_error_meanwhile_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError), postponed(NAME):
        _ = 1 / 0
    assert NAME not in sys.modules


IN_A_PACKAGE = """
import numpy
from headstart.heads.scikit import Later, postponed

with postponed("numpy.f2py"):
    assert isinstance(numpy.f2py, Later)
assert "f2py" not in vars(numpy)
assert callable(numpy.f2py.run_main)
assert not isinstance(numpy.f2py, Later)
"""


def test_a_part_of_a_package_is_found_there_and_afterwards_is_not() -> None:
    subprocess.run([sys.executable, "-c", IN_A_PACKAGE], check=True)
