"""YAML means what people write: a name stays a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.config import ColumnConfig
from headstart.pipelines.document import read_document
from headstart.yaml_file import parse_yaml, values_of


def load(text: str) -> Any:
    return values_of(parse_yaml(text), "here")


@pytest.mark.parametrize(
    "text", ["no", "yes", "on", "off", "n", "Y", "010", "007", "1:30", "2020-01-01", "1e3"]
)
def test_what_version_1_1_took_for_something_else_is_a_text(text: str) -> None:
    assert load(f"[{text}]") == [text]
    assert load(f"{text}: x") == {text: "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-1", -1),
        ("0", 0),
        ("1.5", 1.5),
        ("1.5e-3", 0.0015),
        ("~", None),
    ],
)
def test_truth_values_and_numbers_are_what_they_are(text: str, value: Any) -> None:
    assert load(f"a: {text}") == {"a": value}


@pytest.mark.parametrize(
    "names", [["no", "yes"], ["off", "on"], ["010", "011"], ["true", "false"], ["1", "2.5"]]
)
def test_label_names_of_a_pipeline_stay_as_written(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"name: p\ndata: {{path: t.csv, label_column: on, label_names: [{', '.join(names)}]}}\n")
    data = read_document(path).values["data"]
    del data["path"]
    config = ColumnConfig(**data)
    assert (config.label_names, config.label_column) == (names, ["on"])
