"""Converted models on disk: found by what they are, checked, bounded, and never half there."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import StorageError
from headstart.runtimes import kept as module
from headstart.runtimes.kept import DamagedError, KeptModel, KeptModels, Speed
from headstart.types import BackboneInfo

INFO = BackboneInfo("text:x", "text", "0" * 32, {"a": 1}, {"b": 2}, ("final.mean",), max_length=128)
MANIFEST = {"inputs": ["input_ids"], "errors": {"final.mean": 1e-7}, "plain": None}


def write(folder: Path) -> Mapping[str, Any]:
    (folder / "model.bin").write_bytes(b"weights" * 100)
    return MANIFEST


@pytest.fixture
def models(tmp_path: Path) -> KeptModels:
    return KeptModels(tmp_path / "models")


@pytest.fixture
def one(models: KeptModels) -> KeptModel:
    return models.keep(INFO, write)


def test_a_model_is_found_by_what_it_depends_on(models: KeptModels, one: KeptModel) -> None:
    found = models.find(INFO)
    assert found is not None
    assert found.manifest["errors"] == MANIFEST["errors"]
    assert found.read("model.bin") == b"weights" * 100
    for change in ({"weights": "1" * 32}, {"max_length": 64}, {"prompt": "query: "}, {"preprocessing": {}}):
        assert models.find(replace(INFO, **change)) is None  # type: ignore[arg-type]
    assert models.find(replace(INFO, spec="another name for it")) is not None


def test_other_versions_of_the_libraries_are_another_model(
    models: KeptModels, one: KeptModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_version", lambda name: "99" if name == "transformers" else "1")
    assert models.find(INFO) is None


def test_a_damaged_file_is_never_read(one: KeptModel) -> None:
    path = one.path / "model.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=r"model\.bin is not what was written"):
        one.read("model.bin")
    path.unlink()
    with pytest.raises(DamagedError, match="cannot be read"):
        one.read("model.bin")
    with pytest.raises(DamagedError):
        one.read("model.json")  # no digest is known of it


@pytest.mark.parametrize("content", [b"", b"{}", b'{"errors": {}, "digest": "00"}', b"\xff", b"[]"])
def test_a_damaged_description_is_dropped(models: KeptModels, one: KeptModel, content: bytes) -> None:
    (one.path / "model.json").write_bytes(content)
    assert models.find(INFO) is None
    assert not one.path.exists()


def test_compiled_forms_that_are_damaged_or_foreign_are_deleted(one: KeptModel) -> None:
    one.keep_compiled("abc", b"compiled")
    assert one.compiled("abc") == b"compiled"
    [path] = (one.path / "compiled").iterdir()
    path.write_bytes(b"another")
    assert one.compiled("abc") is None
    assert not path.exists()
    (one.path / "compiled" / "abc-foreign.blob").write_bytes(b"code")
    assert one.compiled("abc") is None


def test_a_model_that_cannot_be_converted_is_not_tried_again(models: KeptModels) -> None:
    models.refuse(INFO, "no rule for an operator")
    assert models.refusal(INFO) == "no rule for an operator"
    assert models.find(INFO) is None


def test_the_speed_is_remembered_by_machine(one: KeptModel) -> None:
    assert one.speed("EPYC") is None
    one.remember_speed("EPYC", Speed(1.23456, 0.0123456789))
    one.remember_speed("Xeon", Speed(0.9, 2.0))
    assert (one.speed("EPYC"), one.speed("Xeon")) == (Speed(1.235, 0.012346), Speed(0.9, 2.0))


@pytest.mark.parametrize("said", ["[]", '{"EPYC": 1.2}', '{"EPYC": {"gain": "x", "seconds": 1}}', "{"])
def test_a_speed_that_cannot_be_read_is_unknown(one: KeptModel, said: str) -> None:
    (one.path / module.SPEEDS).write_text(said)
    assert one.speed("EPYC") is None
    one.remember_speed("EPYC", Speed(2.0, 1.0))
    assert one.speed("EPYC") == Speed(2.0, 1.0)


def test_what_was_not_used_for_longest_goes_first_and_the_rest_is_within_the_bound(
    models: KeptModels,
) -> None:
    made = [models.keep(replace(INFO, weights=f"{n:032}"), write) for n in range(4)]
    for age, model in enumerate(reversed(made)):
        os.utime(model.path, (time.time() - age * 60,) * 2)
    models.find(replace(INFO, weights=f"{0:032}"))  # used just now
    size = sum(file.stat().st_size for file in made[0].path.iterdir())
    would = models.prune(most_bytes=2 * size + 10, dry_run=True)
    assert [path for path, _ in would] == [made[1].path, made[2].path]
    assert all(model.path.exists() for model in made)
    assert models.prune(most_bytes=2 * size + 10) == would
    assert [model.path.exists() for model in made] == [True, False, False, True]


def test_what_a_killed_process_left_is_never_found_and_goes(models: KeptModels, one: KeptModel) -> None:
    left = models.root / f"{one.path.name}.{2**22 + 1}-aa.partial"
    left.mkdir()
    (left / "model.xml").write_text("half")
    ours = models.root / f"{one.path.name}.{os.getpid()}-bb.partial"
    ours.mkdir()
    assert models.find(INFO) is not None
    assert (left.exists(), ours.exists()) == (False, True)


def test_an_error_while_writing_leaves_nothing(models: KeptModels) -> None:
    def full(folder: Path) -> Mapping[str, Any]:
        write(folder)
        raise StorageError("no space left")

    with pytest.raises(StorageError, match="no space left"):
        models.keep(INFO, full)
    assert list(models.root.iterdir()) == []


def test_a_directory_that_cannot_be_written_stops_nothing(
    models: KeptModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise StorageError("read-only")

    one = models.keep(INFO, write)
    for name in ("write_durably", "write_json", "write_folder", "make_directory"):
        monkeypatch.setattr(module, name, refused)
    one.keep_compiled("abc", b"compiled")
    one.remember_speed("EPYC", Speed(2.0, 1.0))
    models.refuse(INFO, "why")
    assert models.find(INFO) is not None
    assert one.compiled("abc") is None
