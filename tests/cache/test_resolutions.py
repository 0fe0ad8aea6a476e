"""What a backbone resolved to is remembered as long as its files are what they were."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from headstart.cache.memos import ResolutionMemo, find_known, record_known
from headstart.types import BackboneInfo

KEY = {"spec": "hf:/models/bert", "options": {}, "versions": {"torch": "2.8"}}
INFO = BackboneInfo(
    spec="hf:/models/bert",
    modality="text",
    weights="ab" * 16,
    architecture={"layers": 2},
    preprocessing={"lower": True, "size": [224, 224]},
    taps=("final.mean", "final.cls"),
    max_length=128,
    provenance={"torch": "2.8"},
)


@pytest.fixture
def memo(tmp_path: Path) -> ResolutionMemo:
    return ResolutionMemo(tmp_path / "resolutions")


@pytest.fixture
def source_files(tmp_path: Path) -> list[Path]:
    """Two files that a resolution read."""
    paths = [tmp_path / "config.json", tmp_path / "model.safetensors"]
    for path in paths:
        path.write_text("content")
    return paths


def a_minute_later() -> int:
    """A time at which the witnesses are no longer young."""
    return time.time_ns() + 60 * 10**9


def test_it_remembers(memo: ResolutionMemo, source_files: list[Path]) -> None:
    memo.put(KEY, INFO, source_files, a_minute_later())
    assert memo.get(KEY) == INFO
    assert memo.get({**KEY, "options": {"max_length": 64}}) is None


@pytest.mark.parametrize("change", ["content", "times", "gone", "another file"])
def test_a_changed_witness_makes_it_forget(
    change: str, memo: ResolutionMemo, source_files: list[Path]
) -> None:
    memo.put(KEY, INFO, source_files, a_minute_later())
    witness = source_files[1]
    match change:
        case "content":
            stat = witness.stat()
            witness.write_text("CONTENT")
            os.utime(witness, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # ctime tells all the same
        case "times":
            os.utime(witness, (0, 0))
        case "gone":
            witness.unlink()
        case "another file":
            (witness.parent / "new").write_text("content")
            (witness.parent / "new").rename(witness)
    assert memo.get(KEY) is None


def test_a_young_witness_is_not_remembered(memo: ResolutionMemo, tmp_path: Path) -> None:
    young = tmp_path / "young"
    young.write_text("content")
    memo.put(KEY, INFO, [young], time.time_ns())
    assert memo.get(KEY) is None


def test_a_witness_that_changed_while_the_model_was_loading_is_not_remembered(
    memo: ResolutionMemo, source_files: list[Path]
) -> None:
    began = time.time_ns() - 60 * 10**9
    memo.put(KEY, INFO, source_files, began)
    assert memo.get(KEY) is None


def test_a_folder_may_be_a_witness(memo: ResolutionMemo, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    memo.put(KEY, INFO, [folder], a_minute_later())
    assert memo.get(KEY) == INFO
    (folder / "adapter.json").write_text("{}")
    assert memo.get(KEY) is None


def test_a_wrong_answer_is_forgotten(memo: ResolutionMemo, source_files: list[Path]) -> None:
    memo.forget(KEY)
    memo.put(KEY, INFO, source_files, a_minute_later())
    memo.forget(KEY)
    assert memo.get(KEY) is None


def test_without_witnesses_nothing_is_remembered(memo: ResolutionMemo) -> None:
    memo.put(KEY, INFO, [], a_minute_later())
    assert memo.get(KEY) is None


@pytest.mark.parametrize(
    "content", ["", "[]", "null", "{}", '{"witnesses": [], "info": {}}', '{"witnesses": {}, "info": {}}']
)
def test_a_broken_record_is_none(content: str, memo: ResolutionMemo, source_files: list[Path]) -> None:
    memo.put(KEY, INFO, source_files, a_minute_later())
    (path,) = memo.folder.iterdir()
    path.write_text(content)
    assert memo.get(KEY) is None


def test_what_lies_beside_a_space_is_found_by_the_spec(tmp_path: Path) -> None:
    spaces = [tmp_path / "a", tmp_path / "b", tmp_path / "none"]
    spec = {"spec": "hf:/models/bert", "options": {}}
    for space in spaces[:2]:
        space.mkdir()
        record_known(space, spec, INFO)
        record_known(space, spec, INFO)
    assert find_known(spaces, spec) == [INFO]
    assert find_known(spaces, {**spec, "options": {"max_length": 3}}) == []
    (record,) = (tmp_path / "a" / "known").iterdir()
    assert set(json.loads(record.read_text())) == {"spec", "info"}
    (tmp_path / "a" / "known" / "broken.json").write_text("[]")
    assert find_known(spaces, spec) == [INFO]
