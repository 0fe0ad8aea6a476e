"""What was suggested to be labelled is the first queue of a page, and what is decided there comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.errors import ConfigError, DataError, MismatchError

from .conftest import TEXTS, data_of
from .contract import decoded


def queue_of(page: dict[str, Any]) -> dict[str, Any]:
    return next(queue for queue in page["queues"] if queue["name"] == "suggestions")


@pytest.fixture
def bare() -> hs.FeatureSet:
    texts = [f"text {'abc' if row % 2 else 'xyw'} number {row}" for row in range(60)]
    return hs.extract(texts, TEXTS, set="bare", quiet=True)


def test_suggestions_of_a_set_without_labels_are_its_first_queue(bare: hs.FeatureSet) -> None:
    suggested = hs.suggest(bare, budget=7, out="next.csv")
    page = data_of(bare, suggestions="next.csv")
    assert page["queues"][0] == queue_of(page)
    assert [page["samples"]["ids"][row] for row in decoded(queue_of(page)["rows"])] == suggested.ids
    assert set(queue_of(page)["suggested"]) == {""}


def test_guesses_of_a_head_go_with_them(text_set: hs.FeatureSet, text_run: hs.Run, tmp_path: Path) -> None:
    first = text_set.samples.column("id")[0].as_py()
    (tmp_path / "next.csv").write_text(
        "key,id,label,old,new,action,note,digest,predicted\n"
        f"{text_set.samples.column('key')[0].as_py().hex()},{first},label,,,,margin,{text_set.digest},class 1\n",
        "utf-8",
    )
    for subject in (text_set, text_run):
        queue = queue_of(data_of(subject, suggestions="next.csv"))
        assert queue["suggested"] == ["class 1"]


def test_what_is_filled_in_already_is_left_out_and_said(bare: hs.FeatureSet) -> None:
    hs.suggest(bare, budget=5, out="next.csv")
    header, *lines = Path("next.csv").read_text("utf-8").splitlines()
    lines[0] = lines[0].replace(",label,,,", ",label,,bee,")
    Path("next.csv").write_text("\n".join([header, *lines]), "utf-8")
    page = data_of(bare, suggestions="next.csv")
    assert queue_of(page)["n"] == 4
    assert any("1 suggestion of the file decided already" in note for note in page["notes"])


def test_a_file_of_another_set_or_of_none_is_refused(bare: hs.FeatureSet, text_set: hs.FeatureSet) -> None:
    hs.suggest(bare, budget=5, out="next.csv")
    with pytest.raises(MismatchError, match="of another set"):
        data_of(text_set, suggestions="next.csv")
    with pytest.raises(DataError, match="cannot be read"):
        data_of(bare, suggestions="nowhere.csv")
    with pytest.raises(ConfigError, match="of a set or of one run"):
        data_of(bare, bare, suggestions="next.csv")
