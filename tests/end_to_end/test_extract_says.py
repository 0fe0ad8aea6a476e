"""What `headstart extract` says at its end: samples without a label, and the command that comes next."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import TEXTS, Result

Runner = Callable[..., Result]


def write_jsonl(values: list[Any], **more: list[Any]) -> Path:
    columns = {"text": [f"text number {row}" for row in range(len(values))], "label": values, **more}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path = Path("data.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def extract(headstart: Runner, data: Path, *options: str) -> Result:
    done = headstart("extract", data, "--backbone", TEXTS, "--set", "some", *options)
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize(
    ("values", "command"),
    [
        (["a", "b"] * 20, "fit-head some"),
        ([["a"], ["a", "b"], []] * 20, "fit-head some"),
        ([0.5, 1.25, -3.0] * 20, "fit-head some --head ridge"),
    ],
    ids=["single", "multi", "regression"],
)
def test_the_command_that_comes_next_works_for_every_kind_of_label(
    headstart: Runner, values: list[Any], command: str
) -> None:
    done = extract(headstart, write_jsonl(values))
    assert done.err.splitlines()[-1].endswith(f"next: headstart {command}")
    assert "no label" not in done.out
    fitted = headstart(*command.split())
    assert fitted.code == 0, fitted.err


def test_samples_without_a_label_are_counted_once(headstart: Runner) -> None:
    data = write_jsonl(["a", "b", None, "a"] * 10)
    said = [line for line in extract(headstart, data).out.splitlines() if "no label" in line]
    assert said == ["10 of 40 samples have no label in 'label'; heads leave them out"]
    assert extract(headstart, data, "--json").json["unlabelled"] == {"label": 10}
    both = extract(headstart, data, "--taps", "last.max")
    assert both.out.count("no label") == 1


def test_of_several_columns_each_is_counted_and_one_with_labels_comes_next(headstart: Runner) -> None:
    data = write_jsonl([None] * 20, price=[None, 2.0] * 10)
    done = extract(headstart, data, "--label-column", "label,price", "--label-kind", "regression")
    assert "20 of 20 samples have no label in 'label'" in done.out
    assert "10 of 20 samples have no label in 'price'" in done.out
    assert done.err.splitlines()[-1].endswith("next: headstart fit-head some --head ridge --label price")


def test_one_class_alone_is_nothing_to_learn(headstart: Runner) -> None:
    assert "next:" not in extract(headstart, write_jsonl(["a", None] * 10)).err


def test_without_labels_nothing_is_said_of_heads(headstart: Runner) -> None:
    Path("bare.csv").write_text("text\n" + "".join(f"text number {row}\n" for row in range(20)))
    done = extract(headstart, Path("bare.csv"))
    assert "no label" not in done.out
    assert "next:" not in done.err
