"""Words with tags, in the forms that people have: CoNLL files, lists in tables, cells, and in memory."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.cache.store import Cache
from headstart.data import SourceOptions, open_source
from headstart.data.given import Given
from headstart.data.sentences import Words, split_words
from headstart.errors import ConfigError, DataError
from headstart.extraction.samples import register
from headstart.keys import key_of
from headstart.progress import Silence


def scanned(source: Any, tmp_path: Path) -> Any:
    return register(source, Cache(tmp_path / "cache").keys, Silence())


def content(
    path: Path | Any, tmp_path: Path, **options: Any
) -> tuple[list[tuple[str, ...]], list[Any], list[str]]:
    """Words, tags and the reasons of failures."""
    source = open_source(path if not isinstance(path, Path) else str(path), SourceOptions(**options))
    samples = scanned(source, tmp_path)
    assert source.modality == "words"
    words = [tuple(source.payload(row)) for row in range(samples.table.num_rows)]
    assert [key_of("words", each) for each in words] == samples.table.column("key").to_pylist()
    labels = [name for name in samples.table.column_names if name.startswith("label:")]
    tags = samples.table.column(labels[0]).to_pylist() if labels else []
    return words, tags, [failure.reason for failure in samples.failures]


CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

-DOCSTART- -X- -X- O

# # # O
Peter NNP B-NP B-PER
"""


def test_conll_2003_has_documents_and_four_columns(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"  # as it is distributed
    path.write_text(CONLL_2003, "utf-8")
    words, tags, problems = content(path, tmp_path)
    assert words == [("EU", "rejects"), ("#", "Peter")]
    assert tags == [["B-ORG", "O"], ["O", "B-PER"]]
    assert not problems
    source = open_source(str(path))
    assert "CoNLL" in source.description
    assert "2 documents" in source.description
    assert list(source.label_kinds.items()) == [("ner_tags", "tags")]
    grouped = scanned(open_source(str(path), SourceOptions(group_column="document")), tmp_path)
    assert grouped.table.column("meta:group").to_pylist() == ["1", "2"]
    others = content(path, tmp_path, tags_column="pos_tags")[1]
    assert others == [["NNP", "VBZ"], ["#", "NNP"]]


def test_tabs_hashtags_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "test.conll"
    path.write_text(
        "# a comment\n#tag\tO\nat\tO\nNew\u00a0York\tB-place\n\n# id = 2\nx\tI-place\r\n\r\n", "utf-8"
    )
    words, tags, problems = content(path, tmp_path)
    assert words == [("#tag", "at", "New\u00a0York"), ("x",)]
    assert tags == [["O", "O", "B-place"], ["I-place"]]
    assert not problems
    assert "2 comments left out" in open_source(str(path)).description


def test_conll_u_has_words_in_its_second_column(tmp_path: Path) -> None:
    path = tmp_path / "train.conllu"
    rest = "\t_" * 6
    path.write_text(
        f"# text = vámonos al mar\n1-2\tvámonos\t_\t_{rest}\n1\tvamos\tir\tVERB{rest}\n2\tnos\tnos\tPRON{rest}\n"
        f"2.1\tx\tx\tX{rest}\n3\tmar\tmar\tNOUN{rest}\n",
        "utf-8",
    )
    words, tags, _ = content(path, tmp_path)
    assert words == [("vamos", "nos", "mar")]
    assert tags == [["VERB", "PRON", "NOUN"]]


def test_a_line_with_too_few_cells_is_a_failure_by_name(tmp_path: Path) -> None:
    path = tmp_path / "train.conll"
    path.write_text("EU B-ORG\nrejects\n\nPeter B-PER\n\nBlackburn I-PER\n", "utf-8")
    words, _, problems = content(path, tmp_path)
    assert words == [("Peter",), ("Blackburn",)]
    assert problems == ["line 2 has 1 cell, and others have 2: 'rejects'"]


def test_files_that_hold_no_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.conll"
    path.write_text("\n\n", "utf-8")
    with pytest.raises(DataError, match="holds no words"):
        open_source(str(path))
    path.write_bytes(b"caf\xe9 B-place\n")
    with pytest.raises(DataError, match="pass --encoding latin-1"):
        open_source(str(path))
    assert content(path, tmp_path, encoding="latin-1")[0] == [("café",)]
    path.write_text("a O\nb B-x\n", "utf-8")
    with pytest.raises(ConfigError, match="--columns names 3 columns"):
        open_source(str(path), SourceOptions(columns=("a", "b", "c")))


def test_a_folder_of_split_files(tmp_path: Path) -> None:
    for split, word in (("train", "EU"), ("test", "UN")):
        (tmp_path / f"{split}.conll").write_text(f"{word} B-ORG\n", "utf-8")
    source = open_source(str(tmp_path))
    table = scanned(source, tmp_path / "c").table
    assert sorted(zip(table.column("split").to_pylist(), table.column("id").to_pylist(), strict=True)) == [
        ("test", "test:1"), ("train", "train:1"),
    ]  # fmt: skip


ROWS = [
    {"id": "a", "tokens": ["EU", "rejects"], "ner_tags": ["B-ORG", "O"], "pos_tags": ["NNP", "VBZ"]},
    {"id": "b", "tokens": [], "ner_tags": [], "pos_tags": []},
    {"id": "c", "tokens": ["Peter"], "ner_tags": ["B-PER", "O"], "pos_tags": ["NNP"]},
    {"id": "d", "tokens": None, "ner_tags": None, "pos_tags": None},
    {"id": "e", "tokens": ["Rome"], "ner_tags": None, "pos_tags": None},
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "columns", "rows", "datasets"])
def test_lists_of_words_and_tags(kind: str, tmp_path: Path) -> None:
    data: Any = tmp_path / f"data.{kind}"
    if kind == "jsonl":
        data.write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(ROWS), data)
    elif kind == "columns":
        data = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    elif kind == "rows":
        data = ROWS
    else:
        datasets = pytest.importorskip("datasets")
        data = datasets.Dataset.from_list(ROWS)
    words, tags, problems = content(data, tmp_path)
    assert words == [("EU", "rejects"), (), ("Rome",)]
    assert tags == [["B-ORG", "O"], [], None]
    assert sorted(problems) == [
        "there are no words: the cell is empty",
        "there is 1 word, and 2 tags in 'ner_tags'",
    ]


def test_numbers_of_a_data_set_have_its_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["O", "B-PER", "I-PER"])
    features = datasets.Features(
        {"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(names)}
    )
    rows = {"tokens": [["Anna", "Lee"], ["x"]], "ner_tags": [[1, 2], [0]]}
    data = datasets.Dataset.from_dict(rows, features=features)
    assert content(data, tmp_path)[1] == [["B-PER", "I-PER"], ["O"]]
    data.save_to_disk(str(tmp_path / "saved"))
    assert content(tmp_path / "saved", tmp_path)[1] == [["B-PER", "I-PER"], ["O"]]


def test_cells_of_a_csv_by_name(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(
        'sentence,tags\nEU rejects,B-ORG O\n"[\'New York\', \'is\']","[""B-LOC"", ""O""]"\n', "utf-8"
    )
    words, tags, _ = content(path, tmp_path, words_column="sentence", tags_column="tags")
    assert words == [("EU", "rejects"), ("New York", "is")]
    assert tags == [["B-ORG", "O"], ["B-LOC", "O"]]


def test_lists_beside_a_text_are_labels_of_it(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    rows = [{"text": f"a long text {n}", "tags": ["a", "b"], "label": "x"} for n in range(4)]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert open_source(str(path)).modality == "text"


def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    with pytest.raises(ConfigError, match="--words-column with --text-column"):
        open_source(str(path), SourceOptions(words_column="tokens", text_column="id"))
    with pytest.raises(ConfigError, match=r"--tags-column tagz: there is no such column"):
        open_source(str(path), SourceOptions(tags_column="tagz"))


def test_words_in_memory_with_their_tags(tmp_path: Path) -> None:
    sentences, tags = [["New", "York"], ["is", "big", "."], None, []], [["B-p", "I-p"], ["O"], None, []]
    source = open_source(sentences, SourceOptions(label_kind="tags"), None, Given(labels=tags))
    samples = scanned(source, tmp_path)
    assert [tuple(source.payload(row)) for row in range(2)] == [("New", "York"), ()]
    assert [failure.reason for failure in samples.failures] == [
        "there are 3 words, and 1 tag in 'label'", "it is missing: None or NaN",
    ]  # fmt: skip
    assert open_source([["a", "b", "c"]]).modality == "words"
    texts = open_source(["New York is big."], modality="words")
    scanned(texts, tmp_path)
    assert texts.payload(0) == ("New", "York", "is", "big", ".")


def test_the_key_of_words_is_that_of_their_parts() -> None:
    from hashlib import blake2b

    parts = b"".join(len(word).to_bytes(8, "little") + word for word in (b"ab", b"c"))
    assert key_of("words", ("ab", "c")) == blake2b(b"words\0" + parts, digest_size=16).digest()
    assert key_of("words", ("ab", "c")) != key_of("words", ("a", "bc"))
    assert key_of("words", ("ab", "c")) != key_of("text-pair", ("ab", "c"))


@given(st.text())
def test_words_of_a_text_stand_where_they_say(text: str) -> None:
    words = split_words(text)
    assert words.text == text
    assert [text[start:end] for start, end in words.spans] == list(words)
    assert all(word and not any(map(str.isspace, word)) for word in words)
    assert "".join(words) == "".join(text.split())
    again = copy.copy(words)  # as another process gets it
    assert (again, again.text, list(again.spans)) == (words, text, list(words.spans))


def test_given_words_have_their_places() -> None:
    words = Words(["New York", "", "is"])
    assert [words.text[start:end] for start, end in words.spans] == ["New York", "", "is"]
