"""Texts to write: read with their references, judged, and written as predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headstart.contracts import Task
from headstart.data.labels import read_labels
from headstart.errors import ConfigError, DataError
from headstart.tasks import check_kind, open_task
from headstart.tasks.seq2seq import PADDING
from headstart.testing.task import TaskContract
from headstart.types import LabelReading, Predictions


class TestSeq2Seq(TaskContract):
    kind = "seq2seq"
    cells: Sequence[Any] = [["one text", "a text"], ["another one"], None, ["東京 é"], ["the last"]] * 4

    def outputs(self, task: Task, y: Any, classes: Sequence[str]) -> Any:
        outputs = np.empty(len(y), dtype=object)
        outputs[:] = [refs[-1] for refs in y]
        return outputs

    def test_losses_have_gradients(self, task: Task, y: Any, names: list[str]) -> None:
        torch = pytest.importorskip("torch")
        logits = torch.zeros(2, 3, 5, requires_grad=True)
        targets = torch.tensor([[1, 4, PADDING], [0, PADDING, PADDING]])
        for smoothing in (0.0, 0.1):
            losses = task.losses(logits, targets, None, smoothing)
            assert losses.shape == targets.shape
            assert losses[targets == PADDING].tolist() == [0.0, 0.0, 0.0]
            torch.testing.assert_close(losses[targets != PADDING], torch.full((3,), float(np.log(5))))
        losses.sum().backward()
        assert torch.isfinite(logits.grad).all()
        assert logits.grad.abs().sum() > 0


def read(cells: Sequence[Any], **reading: Any) -> Any:
    column = pa.chunked_array([pa.array(cells)])
    return read_labels(column, "target", LabelReading("seq2seq", **reading), lambda row: f"row {row}")


def test_a_text_a_cell_is_its_only_reference() -> None:
    column = read(["a b", "c|d;e", " x "])
    assert column.values.to_pylist() == [["a b"], ["c|d;e"], [" x "]]
    assert column.said == "texts to write"


def test_empty_texts_are_no_targets_and_are_named() -> None:
    column = read(["a", "", None, "  ", "b", ""])
    assert column.values.to_pylist() == [["a"], None, None, None, ["b"], None]
    assert column.said == "texts to write, 4 rows without one: row 1; row 2; row 3; …"


def test_lists_are_several_references() -> None:
    column = read([["a", "b"], [], None, ["c"]])
    assert column.values.to_pylist() == [["a", "b"], None, None, ["c"]]
    assert column.said == "texts to write, 1 with several references, 2 rows without one: row 1; row 2"


@pytest.mark.parametrize("refs", [["a", ""], ["a", None], [" "]])
def test_an_empty_reference_is_refused_by_its_place(refs: list[Any]) -> None:
    with pytest.raises(DataError, match=r"row 1: reference \d of \d in the target column 'target' is empty"):
        read([["x"], refs])


def test_numbers_are_texts_too() -> None:
    assert read([1, 2, None]).values.to_pylist() == [["1"], ["2"], None]


def test_no_column_is_taken_for_it_by_its_values() -> None:
    assert (
        read_labels(pa.chunked_array([["a long text", "another text"]]), "x", LabelReading(), str).kind
        == "single"
    )
    assert check_kind("seq2seq") == "seq2seq"


def test_names_of_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="label names are for classes"):
        read(["a"], names=("a",))


def test_mistakes_are_those_furthest_from_any_reference() -> None:
    true, outputs = np.empty(3, dtype=object), np.empty(3, dtype=object)
    true[:] = [("one two three",), ("the very same", "other"), ("one two three", "four")]
    outputs[:] = ["zzz", "other", "one two thre"]
    said = Predictions(true, outputs, table=pa.table({"id": ["a", "b", "c"]}))
    found = open_task("seq2seq").mistakes(said, 5)
    assert found is not None
    assert [(one["id"], one["label"]) for one in found] == [
        ("a", "one two three"),
        ("c", "one two three | four"),
    ]
    assert found[0]["chrf"] < found[1]["chrf"]


def test_a_run_without_a_text_for_a_sample_is_refused() -> None:
    table = pa.table({"label": [["a"], ["b"]], "prediction": ["a", None]})
    with pytest.raises(DataError, match="run one gives no text for 1 of 2 samples"):
        open_task("seq2seq").judge({"one": table})
