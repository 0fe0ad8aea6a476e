"""Questions with contexts: SQuAD's own files, and tables in its columns; answers that are not there are named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data import SourceOptions, open_source
from headstart.errors import ConfigError, DataError
from headstart.extraction.samples import label_samples, samples_of
from tests.data.conftest import MemoryMemo, scan

CONTEXT = "Denver beat Carolina 24–10 in Santa Clara."
QUESTION = {"question": "Who won?", "context": CONTEXT}
RIGHT = {"text": ["Denver", "Denver"], "answer_start": [0, 0]}


def answer(text: str, context: str = CONTEXT) -> dict[str, Any]:
    return {"text": text, "answer_start": context.index(text)}


def squad(n_articles: int = 3, v2: bool = False) -> dict[str, Any]:
    """A file as SQuAD writes it: two paragraphs an article with two questions each."""

    def qas(article: int, paragraph: int) -> list[dict[str, Any]]:
        name = f"{article}-{paragraph}"
        first = {
            "id": f"{name}-a",
            "question": f"Who won in {name}?",
            "answers": [answer("Denver"), answer("Den")],
        }
        second: dict[str, Any] = {
            "id": f"{name}-b",
            "question": f"Where, {name}?",
            "answers": [answer("Santa Clara")],
        }
        if v2:
            first["is_impossible"] = False
            second |= {"is_impossible": True, "answers": [], "plausible_answers": [answer("Carolina")]}
        return [first, second]

    paragraphs = [
        [{"context": CONTEXT, "qas": qas(article, paragraph)} for paragraph in range(2)]
        for article in range(n_articles)
    ]
    data = [{"title": f"Bowl {n}", "paragraphs": each} for n, each in enumerate(paragraphs)]
    return {"version": "v2.0" if v2 else "1.1", "data": data}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


@pytest.mark.parametrize("v2", [False, True])
def test_a_file_of_squad_is_its_questions(v2: bool, tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(squad(v2=v2)), "utf-8")
    found = scan(path)
    assert found.source.modality == "text-pair"
    assert found.source.are_passages
    assert found.source.label_kinds == {"answers": "spans"}
    assert found.table.num_rows == 12
    rows = found.table.to_pylist()
    assert [row["id"] for row in rows[:3]] == ["0-0-a", "0-0-b", "0-1-a"]
    assert [row["origin"] for row in rows[:3]] == ["dev.json:1", "dev.json:2", "dev.json:3"]
    assert {row["meta:group"] for row in rows} == {"Bowl 0", "Bowl 1", "Bowl 2"}
    assert found.source.payload(0) == ("Who won in 0-0?", CONTEXT)
    assert rows[0]["label:answers"] == [
        {"start": 0, "end": 6, "text": "Denver"},
        {"start": 0, "end": 3, "text": "Den"},
    ]
    # An empty list: the context has no answer. It is not the same as no label.
    assert rows[1]["label:answers"] == ([] if v2 else [{"start": 30, "end": 41, "text": "Santa Clara"}])
    assert rows[0]["meta:context"] == CONTEXT


def test_questions_without_answers_are_not_labelled(tmp_path: Path) -> None:
    content = squad()
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            del paragraph["qas"][1]["answers"]
    path = tmp_path / "test.json"
    path.write_text(json.dumps(content), "utf-8")
    labels = scan(path).table.column("label:answers").to_pylist()
    assert labels[1] is None
    assert labels[0]


FORMS = {
    "texts and starts": {"text": ["Denver"], "answer_start": [0]},
    "one of each": {"text": "Denver", "answer_start": 0},
    "objects": [{"text": "Denver", "answer_start": 0}],
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_read_in_all_their_forms(form: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{**QUESTION, "answers": FORMS[form]}, {**QUESTION, "question": "?"}])
    labels = scan(path).table.column("label:answers").to_pylist()
    assert labels == [[{"start": 0, "end": 6, "text": "Denver"}], None]


@pytest.mark.parametrize("ending", ["parquet", "arrow", "csv", "jsonl"])
@pytest.mark.parametrize("are_objects", [False, True])
def test_columns_of_every_table_are_the_same(ending: str, are_objects: bool, tmp_path: Path) -> None:
    cells: list[Any] = [
        {"text": ["Denver", "Den"], "answer_start": [0, 0]},
        {"text": [], "answer_start": []},
        None,
    ]
    if are_objects:
        cells = [[answer("Denver"), answer("Den")], [], None]
    asked = [f"Who won {n}?" for n in range(3)]
    path = tmp_path / f"a.{ending}"
    plain = {"id": ["x", "y", "z"], "question": asked, "context": [CONTEXT] * 3}
    if ending in ("parquet", "arrow"):
        table = pa.table({**plain, "answers": cells})
        if ending == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
    elif ending == "csv":
        written = ["" if cell is None else json.dumps(cell).replace('"', '""') for cell in cells]
        rows = [f'{n},{q},"{CONTEXT}","{a}"' for n, (q, a) in enumerate(zip(asked, written, strict=True))]
        path.write_text("\n".join(["id,question,context,answers", *rows]), "utf-8")
    else:
        write(
            path,
            [
                dict(zip((*plain, "answers"), row, strict=True))
                for row in zip(*plain.values(), cells, strict=True)
            ],
        )
    found = scan(path)
    assert found.table.column("label:answers").to_pylist() == [
        [{"start": 0, "end": 6, "text": "Denver"}, {"start": 0, "end": 3, "text": "Den"}],
        [],
        None,
    ]
    assert found.source.label_kinds == {"answers": "spans"}


def test_tables_in_memory_and_data_sets_are_read_alike() -> None:
    datasets = pytest.importorskip("datasets")
    rows = {
        "question": ["Who won?"],
        "context": [CONTEXT],
        "answers": [{"text": ["Denver"], "answer_start": [0]}],
    }
    for data in (rows, pa.table(rows), datasets.Dataset.from_dict(rows)):
        source = open_source(data)
        assert source.are_passages
        [block] = source.scan(MemoryMemo())
        assert block.table.column("label:answers").to_pylist() == [[{"start": 0, "end": 6, "text": "Denver"}]]


BAD = {
    "off by one": ({"text": ["Denver"], "answer_start": [1]}, r"not at character 1 .* 'enver ' stands; it is at 0"),
    "nowhere": ({"text": ["Dallas"], "answer_start": [0]}, "where 'Denver' stands; nor anywhere else in it"),
    "beyond": ({"text": ["Denver"], "answer_start": [900]}, r"starts at character 900, and its context has 42"),
    "before": ({"text": ["Denver"], "answer_start": [-1]}, "starts at character -1"),
    "empty": ({"text": [" "], "answer_start": [0]}, "one of its answers is empty"),
    "no number": ({"text": ["Denver"], "answer_start": ["first"]}, "starts at 'first', which is no number"),
    "half": ({"text": ["Denver"], "answer_start": [0.5]}, "starts at '0.5', which is no number"),
    "fewer starts": ({"text": ["Denver", "Den"], "answer_start": [0]}, "has 2 answers, and 1 say where"),
    "texts alone": (["Denver"], "say not where they stand"),
    "no objects": ('"Denver"', "say not where they stand"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_an_answer_that_is_not_there_is_a_named_failure(name: str, tmp_path: Path) -> None:
    cell, reason = BAD[name]
    good = [{**QUESTION, "question": f"Who won {n}?", "answers": RIGHT} for n in range(3)]
    if isinstance(cell, list | str):
        cell = json.dumps(cell) if isinstance(cell, list) else cell
    rows = [*good[:1], {**QUESTION, "id": 1, "answers": cell}, *good[1:]]
    found = scan(write(tmp_path / "a.jsonl", rows))
    assert found.table.num_rows == 3
    [failure] = found.failures
    assert failure.id == "a:2"
    assert failure.origin == "a.jsonl:2"
    assert re.search(reason, failure.reason), failure.reason


@pytest.mark.parametrize("empty", ["question", "context"])
@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_question_or_context_is_a_named_failure(
    empty: str, text: str | None, tmp_path: Path
) -> None:
    good = {**QUESTION, "answers": RIGHT}
    found = scan(write(tmp_path / "a.jsonl", [good, {**good, empty: text, "answers": None}]))
    assert [(failure.id, failure.reason) for failure in found.failures] == [("a:2", f"the {empty} is empty")]


def test_places_are_characters_and_not_bytes(tmp_path: Path) -> None:
    context = "naïve 東京 \U0001f642 Denver"
    row = {"question": "Who?", "context": context, "answers": {"text": ["Denver"], "answer_start": [11]}}
    [found] = scan(write(tmp_path / "a.jsonl", [row])).table.column("label:answers").to_pylist()
    assert found == [{"start": 11, "end": 17, "text": "Denver"}]


def test_columns_of_other_names_are_named_by_options(tmp_path: Path) -> None:
    row = {
        "asked": "Who?",
        "story": CONTEXT,
        "gold": {"text": ["Denver"], "answer_start": [0]},
        "theme": "sports",
    }
    path = write(tmp_path / "a.jsonl", [row, {**row, "asked": "Who won?"}])
    found = scan(path, question_column="asked", context_column="story", answers_column="gold")
    assert found.source.label_kinds == {"gold": "spans"}
    assert found.table.column("meta:group").to_pylist() == [CONTEXT] * 2
    assert found.table.column("meta:theme").to_pylist() == ["sports"] * 2
    with pytest.raises(ConfigError, match="no column looks like contexts"):
        open_source(str(path), SourceOptions(question_column="asked", answers_column="gold"))
    with pytest.raises(
        ConfigError, match=r"--answers-column golden: there is no such column.*did you mean 'gold'"
    ):
        open_source(str(path), SourceOptions(answers_column="golden"))
    with pytest.raises(ConfigError, match="'asked' cannot be both --question-column and --context-column"):
        open_source(str(path), SourceOptions(question_column="asked", context_column="asked"))


def test_answers_without_a_column_of_contexts_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"question": "Who?", "story": CONTEXT, "answers": RIGHT}])
    with pytest.raises(ConfigError, match=r"no column is called 'context'; name .* with --context-column"):
        open_source(str(path))
    assert scan(path, context_column="story").table.num_rows == 1


def test_inputs_to_predict_need_no_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [QUESTION, {**QUESTION, "question": "Where?"}])
    source = open_source(str(path), SourceOptions(labels=False), "text-pair")
    assert source.are_passages
    assert source.label_kinds == {}
    # Where nobody wants pairs it is what it always was.
    assert open_source(str(path)).modality == "text"


def test_a_damaged_file_of_squad_says_where(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = squad()
    del content["data"][1]["paragraphs"][1]["context"]
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(DataError, match=r"article 2 \('Bowl 1'\), paragraph 2: it has no context"):
        open_source(str(path))
    content["data"][1]["paragraphs"][1] = {"context": "x", "qas": ["Who?"]}
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(DataError, match="a question is 'Who\\?', and no object"):
        open_source(str(path))


def test_questions_on_one_article_are_on_one_side_of_made_splits(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps(squad(12)), "utf-8")
    source = open_source(str(path))
    labelled = label_samples(samples_of(source.scan(MemoryMemo())), source, None, seed=0)
    assert labelled.split["group"] == "title"
    split_of: dict[str, set[int]] = {}
    for group, split in zip(
        labelled.samples.table.column("meta:group").to_pylist(), labelled.splits.tolist(), strict=True
    ):
        split_of.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in split_of.values())
    assert len(set.union(*split_of.values())) == 3


def test_without_titles_a_context_is_a_group(tmp_path: Path) -> None:
    rows = [
        {**QUESTION, "question": f"{n}?", "context": f"{CONTEXT} {n // 3}", "answers": RIGHT}
        for n in range(9)
    ]
    source = open_source(str(write(tmp_path / "a.jsonl", rows)))
    assert source.grouping is not None
    assert (source.grouping.name, source.grouping.is_asked) == ("context", False)


def test_ids_that_come_twice_are_no_ids(tmp_path: Path) -> None:
    rows = [{"id": "same", **QUESTION, "question": f"{n}?", "answers": RIGHT} for n in range(2)]
    assert scan(write(tmp_path / "a.jsonl", rows)).table.column("id").to_pylist() == ["a:1", "a:2"]
