"""Answers in a context keep the contract of tasks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from headstart.data.labels import read_labels
from headstart.errors import ConfigError, DataError
from headstart.tasks import open_task
from headstart.tasks.spans import MASKED
from headstart.testing.task import TaskContract
from headstart.types import Answer, LabelReading, Predictions, SpanGuess


def cell(*texts: str, start: int = 3) -> str:
    return json.dumps({"text": list(texts), "answer_start": [start] * len(texts)})


class TestSpans(TaskContract):
    kind = "spans"
    cells = (cell("Denver"), cell("the 49ers", "49ers"), None, cell(), cell("Santa Clara"), cell("24–10")) * 4

    def outputs(self, task, y, classes):
        found = np.empty(len(y), dtype=object)
        found[:] = [
            SpanGuess(answers[0] if answers else None, 1.0 + row, -1.0) for row, answers in enumerate(y)
        ]
        return found

    def test_losses_have_gradients(self, task, y, names):
        """Of the first and the last token, in a context of some tokens only."""
        logits = torch.zeros(2, 3, 5, 2, requires_grad=True)
        masked = torch.where(torch.arange(5)[:, None] < 4, logits, torch.full_like(logits, MASKED))
        targets = torch.tensor([[0.0, 0.0], [1.0, 3.0]])[:, None].expand(-1, 3, -1)
        for smoothing in (0.0, 0.1):
            losses = task.losses(masked, targets, None, smoothing)
            assert losses.shape == (2, 3)
            torch.testing.assert_close(losses, torch.full((2, 3), float(np.log(4))))
        losses.sum().backward()
        assert logits.grad is not None
        assert logits.grad[:, :, :4].abs().sum() > 0
        assert (logits.grad[:, :, 4] == 0).all()


def test_an_answer_without_a_token_has_no_loss() -> None:
    task = open_task("spans")
    logits, nowhere = torch.zeros(2, 1, 4, 2), torch.tensor([[[float("nan")] * 2], [[1.0, 2.0]]])
    losses = task.losses(logits, nowhere, None, 0.0)
    assert losses[0].item() == 0
    assert losses[1].item() == pytest.approx(np.log(4))


def test_a_token_is_right_where_start_and_end_are() -> None:
    logits = torch.zeros(2, 1, 4, 2)
    logits[:, 0, 1, 0] = logits[:, 0, 3, 1] = 1
    right = open_task("spans").right(logits, torch.tensor([[[1.0, 3.0]], [[1.0, 2.0]]]))
    assert right is not None
    assert right.tolist() == [[True], [False]]


def test_columns_say_where_an_answer_stands() -> None:
    outputs = np.empty(2, dtype=object)
    outputs[:] = [SpanGuess(Answer(4, 10, "Denver"), 3.5, -2.0), SpanGuess(None, 1.0, 4.0)]
    columns = open_task("spans").columns(outputs, (), ())
    assert {name: column.to_pylist() for name, column in columns.items()} == {
        "prediction": ["Denver", ""],
        "start": [4, None],
        "end": [10, None],
        "score": [3.5, 1.0],
        "no_answer_score": [-2.0, 4.0],
    }


def test_the_surest_of_the_worst_mistakes_come_first() -> None:
    import pyarrow as pa

    true = np.empty(3, dtype=object)
    true[:] = [(Answer(0, 6, "Denver"),), (Answer(0, 6, "Denver"),), (Answer(0, 10, "the Denver"),)]
    outputs = np.empty(3, dtype=object)
    outputs[:] = [
        SpanGuess(Answer(0, 1, text), score, 0.0)
        for text, score in (("x", 1.0), ("y", 2.0), ("Denver x", 9.0))
    ]
    said = Predictions(true, outputs, table=pa.table({"id": ["a", "b", "c"]}))
    mistakes = open_task("spans").mistakes(said, 5)
    assert mistakes is not None
    assert [mistake["id"] for mistake in mistakes] == ["b", "a", "c"]
    assert mistakes[2] == {
        "id": "c",
        "label": "the Denver",
        "prediction": "Denver x",
        "f1": pytest.approx(2 / 3),
    }


def test_train_needs_an_answer() -> None:
    y = np.empty(2, dtype=object)
    y[:] = [(), ()]
    with pytest.raises(
        DataError, match="none of the 2 train questions of set 's' has an answer in 'answers'"
    ):
        open_task("spans").check_train(y, (), "s", "answers")


def test_other_columns_are_no_answers() -> None:
    import pyarrow as pa

    lists = pa.chunked_array([pa.array([["a", "b"]])])
    with pytest.raises(ConfigError, match="--answers-column"):
        read_labels(lists, "tags", LabelReading("spans"), str)
    with pytest.raises(DataError, match="0: its answers 'Denver' are not JSON"):
        read_labels(pa.chunked_array([pa.array(["Denver"])]), "tags", LabelReading("spans"), str)
