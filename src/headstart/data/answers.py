"""Answers of questions with contexts, as data sets write them; in a table they are cells of JSON.

A cell is ``{"text": [...], "answer_start": [...]}``, as Hugging Face data sets have it, or a list of objects with one
``text`` and one ``answer_start`` each, as SQuAD's own files have it. Nothing in it: the context has no answer. No cell:
nobody has said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, strings
from headstart.errors import DataError
from headstart.types import Answer

TEXT, START = "text", "answer_start"
PARAGRAPHS = "paragraphs"
ANSWERS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("text", pa.string())]))
"""What a column of answers is in a set."""
NEAR = 3
"""Characters beside its offset where an answer is looked for, to say how far it is off."""
SHOWN = 40


class NoAnswersError(ValueError):
    """A cell that holds no answers, and why."""


def are_answers(kind: pa.DataType) -> bool:
    """Whether a column of Arrow holds answers: structs of texts and starts, or lists of structs of one each."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    inner = kind.value_type if is_list else kind
    return pa.types.is_struct(inner) and {TEXT, START} <= {field.name for field in inner}


def hold_answers(value: Any) -> bool:
    """The same of a value of JSON."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and {TEXT, START} <= first.keys()


def as_json(column: pa.ChunkedArray | pa.Array) -> pa.StringArray:
    """A column of answers as cells of JSON; null stays null."""
    return strings([None if cell is None else json.dumps(cell) for cell in column.to_pylist()])


def parsed(cell: str) -> list[Answer]:
    """The answers in a cell of JSON.

    Raises
    ------
    NoAnswersError
        It holds none, nor says that there is none.

    Examples
    --------
    >>> parsed('{"text": ["Denver"], "answer_start": [7]}'), parsed("[]")
    ([Answer(start=7, end=13, text='Denver')], [])
    """
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise NoAnswersError(f"its answers {cell[:SHOWN]!r} are not JSON") from error
    if isinstance(value, dict):
        texts, starts = _listed(value.get(TEXT)), _listed(value.get(START))
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        texts, starts = [each.get(TEXT) for each in value], [each.get(START) for each in value]
    else:
        raise NoAnswersError(
            f"its answers {cell[:SHOWN]!r} say not where they stand; write "
            '{"text": ["…"], "answer_start": [0]}'
        )
    if len(texts) != len(starts):
        raise NoAnswersError(f"it has {len(texts)} answers, and {len(starts)} say where one starts")
    return [_answer(*pair) for pair in zip(texts, starts, strict=True)]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _answer(text: Any, start: Any) -> Answer:
    if not isinstance(text, str) or not text.strip():
        raise NoAnswersError("one of its answers is empty; leave it out, or write no answers at all")
    try:
        place = int(start) if isinstance(start, str) else start
        if isinstance(place, float) and place.is_integer():
            place = int(place)
        if isinstance(place, bool) or not isinstance(place, int):
            raise ValueError
    except ValueError:
        raise NoAnswersError(
            f"the answer {text[:SHOWN]!r} starts at {start!r}, which is no number of a character"
        ) from None
    return Answer(place, place + len(text), text)


def misplaced(answers: Sequence[Answer], context: str) -> str | None:
    """Why one of the answers does not stand where it should; None: all do.

    Examples
    --------
    >>> misplaced([Answer(6, 12, "Denver")], "It is Denver.")
    >>> misplaced([Answer(5, 11, "Denver")], "It is Denver.")
    "the answer 'Denver' is not at character 5 of its context, where ' Denve' stands; it is at 6"
    """
    for start, end, text in answers:
        if not 0 <= start < len(context):
            return f"the answer {text[:SHOWN]!r} starts at character {start:,}, and its context has {len(context):,}"
        if context[start:end] == text:
            continue
        near = context.find(text, max(start - NEAR, 0), end + NEAR)
        elsewhere = near if near >= 0 else context.find(text)
        where = f"it is at {elsewhere:,}" if elsewhere >= 0 else "nor anywhere else in it"
        return (
            f"the answer {text[:SHOWN]!r} is not at character {start:,} of its context, where "
            f"{context[start:end][:SHOWN]!r} stands; {where}"
        )
    return None


def answers_column(rows: Sequence[Sequence[Answer] | None]) -> pa.ListArray:
    """Answers as the column of a set; None becomes null.

    Examples
    --------
    >>> answers_column([[Answer(0, 1, "a")], [], None]).to_pylist()
    [[{'start': 0, 'end': 1, 'text': 'a'}], [], None]
    """
    flat = [answer for row in rows for answer in row or ()]
    numbers = np.array([answer[:2] for answer in flat], dtype=np.int32).reshape(-1, 2)
    fields = [column_of(numbers[:, 0]), column_of(numbers[:, 1]), strings([answer.text for answer in flat])]
    values = pa.StructArray.from_arrays(fields, fields=list(ANSWERS.value_type))
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([len(row or ()) for row in rows], out=offsets[1:])
    known = np.array([row is not None for row in rows], dtype=bool)
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets)]
    return pa.Array.from_buffers(ANSWERS, len(rows), buffers, children=[values])


def squad_rows(
    path: Path, rows: Iterator[tuple[int, str, dict[str, Any] | None]]
) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
    """Rows of JSON; an article of SQuAD becomes a row for each of its questions.

    Raises
    ------
    DataError
        A paragraph has no context, or no list of questions.
    """
    n_before = 0
    for number, raw, row in rows:
        if row is None or not isinstance(row.get(PARAGRAPHS), list):
            yield number + n_before, raw, row
            continue
        n_before -= 1
        for question in _questions(path, number, row):
            n_before += 1
            # What is looked at in the writing of a row are escapes that no UTF-8 can write.
            yield number + n_before, raw if "\\u" in raw else "", question


def _questions(path: Path, number: int, article: dict[str, Any]) -> Iterator[dict[str, Any]]:
    title = article.get("title")
    for place, paragraph in enumerate(article[PARAGRAPHS], 1):
        where = f"{path}, article {number:,} ({title!r}), paragraph {place:,}"
        context = paragraph.get("context") if isinstance(paragraph, dict) else None
        asked = paragraph.get("qas") if isinstance(paragraph, dict) else None
        if not isinstance(context, str) or not isinstance(asked, list):
            raise DataError(f"{where}: it has no context with a list of questions (qas), as SQuAD has it")
        for one in asked:
            if not isinstance(one, dict):
                raise DataError(f"{where}: a question is {one!r}, and no object, as SQuAD has it")
            impossible = one.get("is_impossible") in (True, "true")
            answers = [] if impossible else one.get("answers")
            own = {"id": one.get("id"), "title": title, "context": context, "question": one.get("question")}
            # As a cell, so that articles of which no question has an answer have cells like others.
            yield own if answers is None else {**own, "answers": json.dumps(answers)}
