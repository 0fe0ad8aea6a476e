"""Tags keep the contract of tasks, and read what people have under its names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from headstart.data.labels import read_labels
from headstart.data.sentences import split_words
from headstart.errors import DataError
from headstart.tasks import open_task
from headstart.testing.task import TaskContract
from headstart.types import PADDING, UNSEEN, LabelReading, Tagging


def tagging(tags: np.ndarray, n_classes: int) -> Tagging:
    probabilities = np.full((len(tags), n_classes), 0.1 / max(n_classes - 1, 1), np.float32)
    probabilities[np.arange(len(tags)), tags] = 0.9
    return Tagging(tags, probabilities)


class TestEntities(TaskContract):
    kind = "tags"
    cells = (["B-a", "I-a", "O"], ["O", "B-b"], None, ["B-b", "B-a", "I-a"], []) * 4

    def outputs(self, task, y, classes):
        found = np.empty(len(y), dtype=object)
        names = ["O", "B-a", "I-a", "B-b"]  # as the data is read: outside first, then by type
        for row, tags in enumerate(y):
            found[row] = tagging(
                np.array([classes.index(names[tag]) for tag in tags], dtype=np.int64), len(classes)
            )
        return found

    def worse(self, outputs):
        found = outputs.copy()
        for row, said in enumerate(outputs):
            found[row] = tagging((said.tags + 1) % said.probabilities.shape[1], said.probabilities.shape[1])
        return found


class TestPartsOfSpeech(TestEntities):
    cells = (["NN", "VB"], ["DT", "NN"], None, ["VB"], ["NN", "DT", "VB"]) * 4

    def outputs(self, task, y, classes):
        found = np.empty(len(y), dtype=object)
        for row, tags in enumerate(y):
            found[row] = tagging(tags, len(classes))
        return found


def read(cells, names=None, coded=False):
    column = pa.chunked_array([pa.array(cells)])
    return read_labels(
        column, "ner_tags", LabelReading("tags", names=names, coded=coded), lambda row: f"row {row}"
    )


def test_schemes_are_told_by_their_tags_and_iob1_is_read_as_iob2() -> None:
    found = read([["I-a", "I-a", "B-a", "O", "I-b"], ["O"]])
    assert found.values.to_pylist() == [["B-a", "I-a", "B-a", "O", "B-b"], ["O"]]
    assert "IOB2" in found.said
    assert "IOB1 read as IOB2" in found.said
    assert found.names == ("O", "B-a", "I-a", "B-b")
    for tags, name in (
        (["S-a", "B-b", "E-b"], "IOBES"),
        (["U-a", "B-b", "L-b"], "BILOU"),
        (["B-a", "I-a"], "IOB2"),
    ):
        assert name in read([tags]).said
        assert read([tags]).values.to_pylist() == [tags]


def test_what_breaks_the_scheme_is_kept_and_counted() -> None:
    found = read([["O", "I-a"], ["B-a", "I-a", "O", "B-b"], ["B-a", "B-a"]])
    assert found.values.to_pylist()[0] == ["O", "I-a"]
    assert "1 different sequences of tags break the scheme" in found.said


def test_numbers_are_tags_by_the_names_that_are_given() -> None:
    assert read([[0, 1], [2]], names=("O", "B-a", "I-a")).values.to_pylist() == [["O", "B-a"], ["I-a"]]
    with pytest.raises(DataError, match=r"row 1: the label is '7', but the 3 label names"):
        read([[0, 1], [0, 7]], names=("O", "B-a", "I-a"))


def test_alternatives_are_taken_for_the_first() -> None:
    found = read([["B-a,B-b", "O"], ["B-b", "I-b"]])
    assert found.values.to_pylist() == [["B-a", "O"], ["B-b", "I-b"]]
    assert "1 words with alternatives" in found.said


def test_unknown_schemes_and_words_without_a_tag_are_refused() -> None:
    with pytest.raises(DataError, match=r"begin with B, M, X and are of no scheme"):
        read([["B-a", "M-a", "X-a"]])
    with pytest.raises(DataError, match=r"row 1: a word has no tag in 'ner_tags'"):
        read([["O"], ["B-a", None]])


def test_one_tag_alone_teaches_nothing() -> None:
    task, found = open_task("tags"), read([["O", "O"], ["O"], []])
    y = task.encode(pa.chunked_array([found.values]), found.names)
    with pytest.raises(DataError, match="at least two tags"):
        task.check_train(y, found.names, "a set", "ner_tags")


def test_losses_are_sums_over_the_words_that_are_there() -> None:
    task = open_task("tags")
    logits = torch.randn(2, 1, 3, 4, requires_grad=True)
    targets = torch.tensor([[0, 2, 1, PADDING], [3, UNSEEN, PADDING, PADDING]], dtype=torch.int16)
    losses = task.losses(logits, targets, None, 0.0)
    words = -logits.log_softmax(-1)[:, 0]
    expected = [words[0, 0, 0] + words[0, 1, 2] + words[0, 2, 1], words[1, 0, 3]]
    assert losses.shape == (2, 1)
    torch.testing.assert_close(losses[:, 0], torch.stack(expected))
    losses.sum().backward()
    assert logits.grad is not None
    right = logits.detach().zero_()
    for row, tags in enumerate(targets):
        for place, tag in enumerate(tags[:3]):
            right[row, 0, place, max(int(tag), 0)] = 1
    assert task.right(right, targets)[:, 0].tolist() == [True, False]  # an unseen tag cannot be right


def test_entities_stand_where_they_do_in_the_text() -> None:
    task, text = open_task("tags"), "In  New York, Anna\u2019s"
    classes = ["B-loc", "B-per", "I-loc", "O"]
    tags = np.array([3, 0, 2, 3, 1, 3], dtype=np.int64)
    outputs = np.empty(1, dtype=object)
    outputs[0] = tagging(tags, 4)
    columns = task.columns(outputs, classes, classes)
    assert columns["entities"].to_pylist()[0][0] == {
        "type": "loc", "first_word": 1, "end_word": 3, "score": pytest.approx(0.9),
    }  # fmt: skip
    found = task.beside(columns, [split_words(text)])
    assert found["words"].to_pylist() == [["In", "New", "York", ",", "Anna", "\u2019s"]]
    entities = found["entities"].to_pylist()[0]
    assert [entity["text"] for entity in entities] == ["New York", "Anna"]
    assert [text[entity["start"] : entity["end"]] for entity in entities] == ["New York", "Anna"]
    given = task.beside(columns, [("In", "New", "York", ",", "Anna", "x")])["entities"].to_pylist()[0]
    assert (given[0]["start"], given[0]["end"]) == (3, 11)  # with one blank between words
