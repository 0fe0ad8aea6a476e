"""Labels as texts: there and back, and what is no label."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies

from headstart.corrections.texts import Cells, NoLabelError, label_texts
from headstart.data.answers import ANSWERS

WORDS = strategies.text(min_size=1).filter(lambda text: not text.isspace())
STRINGS = pa.list_(pa.string())
COLUMNS = [
    (pa.string(), "single", WORDS),
    (pa.float64(), "regression", strategies.floats(allow_nan=False, allow_infinity=False)),
    (STRINGS, "multi", strategies.lists(WORDS, unique=True)),
    (STRINGS, "tags", strategies.lists(WORDS)),
    (STRINGS, "seq2seq", strategies.lists(WORDS, min_size=1)),
]


@pytest.mark.parametrize(("type", "kind", "values"), COLUMNS, ids=[kind for _, kind, _ in COLUMNS])
@given(data=strategies.data())
def test_every_label_comes_back_as_it_was(type: pa.DataType, kind: str, values: Any, data: Any) -> None:
    labels = data.draw(strategies.lists(strategies.none() | values, max_size=5))
    texts = label_texts(pa.array(labels, type), kind)
    cells = Cells.of(type, kind)
    assert [cells.canonical(text) for text in texts] == texts
    back = cells.column(texts)
    assert back.type == type
    if kind == "multi":  # several labels of one sample have no order
        assert [label and sorted(label) for label in labels] == back.to_pylist()
    else:
        assert back.to_pylist() == labels


def test_answers_are_written_as_a_set_or_as_squad_has_them() -> None:
    cells = Cells.of(ANSWERS, "spans")
    ours = '[{"start": 6, "end": 12, "text": "Denver"}]'
    assert cells.canonical('{"text": ["Denver"], "answer_start": [6]}') == ours
    assert cells.canonical(ours) == ours
    assert cells.column([ours, "[]", ""]).to_pylist() == [
        [{"start": 6, "end": 12, "text": "Denver"}],
        [],
        None,
    ]


@pytest.mark.parametrize(
    ("type", "kind", "text", "said"),
    [
        (pa.string(), "single", "  ", "no name"),
        (pa.float64(), "regression", "many", "no finite number"),
        (pa.float64(), "regression", "1e999", "no finite number"),
        (pa.float64(), "regression", "1_000", "no finite number"),
        (pa.float64(), "regression", "nan", "no finite number"),
        (STRINGS, "multi", "a|b", "no JSON"),
        (STRINGS, "multi", '"a"', "no list"),
        (STRINGS, "multi", '["a", null]', "no name"),
        (STRINGS, "multi", '["a", [1]]', "no name"),
        (STRINGS, "multi", "null", "null"),
        (STRINGS, "tags", '["O", " "]', "no name"),
        (STRINGS, "tags", '["\\ud800"]', "does not fit"),
        (ANSWERS, "spans", '[{"start": 1}]', "answer"),
        (ANSWERS, "spans", '[{"start": "x", "end": 2, "text": "a"}]', "does not fit"),
        (pa.struct([("a", pa.int32())]), "single", "[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_label_is_refused(type: pa.DataType, kind: str, text: str, said: str) -> None:
    cells = Cells.of(type, kind)
    with pytest.raises(NoLabelError, match=said):
        cells.canonical(text)


def test_numbers_are_known_by_their_value() -> None:
    cells = Cells.of(pa.float64(), "regression")
    assert {cells.canonical(text) for text in ("3", "3.0", " 3", "+3e0")} == {"3"}
