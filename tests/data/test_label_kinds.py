"""Labels are one class, several, or a number: as the data shows, or as the user says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.label_cells import clean_label
from headstart.errors import ConfigError, DataError
from tests.data.conftest import Scan, scan, write_image, write_images, write_table

from ..variants import examples


def labelled(path: Path, labels: list[Any], **options: Any) -> Scan:
    """A table of texts with these labels, read."""
    texts = [f"text number {row}" for row in range(len(labels))]
    return scan(write_table(path, {"text": texts, "label": labels}), **options)


class TestSeveral:
    """Multi-label columns."""

    @pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
    def test_lists_are_several_labels(self, tmp_path: Path, ending: str) -> None:
        found = labelled(tmp_path / f"t{ending}", [["a", "b"], ["b"], [], None])
        assert found.column("label:label") == [["a", "b"], ["b"], [], None]
        assert found.source.label_kinds == {"label": "multi"}
        assert found.source.label_names == {"label": ()}
        assert "labels in 'label' (multi-label, 2 classes)" in found.source.description

    @pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
    def test_integers_in_lists_are_in_numerical_order_or_get_names(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"t{ending}"
        assert labelled(path, [[10], [9, 2]]).source.label_names == {"label": ("2", "9", "10")}
        named = labelled(path, [[1], [0, 1]], label_names=("cat", "dog"))
        assert named.column("label:label") == [["dog"], ["cat", "dog"]]
        assert named.source.label_names == {"label": ("cat", "dog")}
        with pytest.raises(DataError, match=rf"t{ending}, row 2: the label is '2', but the 2 label names"):
            labelled(path, [[1], [0, 2]], label_names=("cat", "dog"))

    def test_a_label_given_twice_counts_once_and_a_blank_one_not_at_all(self, tmp_path: Path) -> None:
        found = labelled(tmp_path / "t.jsonl", [["b", "a", "b"], ["", None, "a", " "]])
        assert found.column("label:label") == [["b", "a"], ["a"]]

    @pytest.mark.parametrize(
        ("cells", "lists"),
        [
            (["a|b", "b", ""], [["a", "b"], ["b"], None]),
            (["a; b", "c,d"], [["a", "b"], ["c,d"]]),
            (["a, b", "a"], [["a", "b"], ["a"]]),
            (["a", "b"], [["a"], ["b"]]),
            (['["a", "b"]', "[]", "[3]"], [["a", "b"], [], ["3"]]),
            (['["a|b"]', "a|c"], [["a|b"], ["a", "c"]]),
            (["a||b|", " | "], [["a", "b"], []]),
        ],
    )
    def test_cells_are_split_on_request(self, tmp_path: Path, cells: list[str], lists: list[Any]) -> None:
        assert labelled(tmp_path / "t.csv", cells, label_kind="multi").column("label:label") == lists

    def test_the_separator_given_is_used_and_means_several(self, tmp_path: Path) -> None:
        found = labelled(tmp_path / "t.csv", ["a b|c", "[x]"], label_separator=" ")
        assert found.column("label:label") == [["a", "b|c"], ["[x]"]]
        assert "split at ' '" in found.source.description

    @pytest.mark.parametrize("cell", ["['a', 'b']", "[a]", '[["a"]]', "[" * 5000 + "]"])
    def test_brackets_that_are_no_json_list_are_named(self, tmp_path: Path, cell: str) -> None:
        with pytest.raises(DataError, match=r"t\.csv, row 2: \[.*is no JSON list of labels"):
            labelled(tmp_path / "t.csv", ["a", cell], label_kind="multi")

    def test_one_column_a_label_becomes_one(self, tmp_path: Path) -> None:
        columns = {
            "text": list("abcde"),
            "rain": [1, 0, "", "", "1.0"],
            "snow": ["Yes", "no", "", "", "no"],
            "fog": ["true", "False", "", "true", "false"],
        }
        path = write_table(tmp_path / "t.csv", columns)
        found = scan(path, label_columns=("snow", "rain", "fog"), label_kind="multi")
        assert found.column("label:labels") == [["snow", "rain", "fog"], [], None, ["fog"], ["rain"]]
        assert found.source.label_names == {"labels": ("snow", "rain", "fog")}
        assert found.source.label_kinds == {"labels": "multi"}
        assert "one column each, blank cells taken for no: 2" in found.source.description
        assert [name for name in found.table.column_names if name.startswith("meta:")] == []

    def test_a_cell_that_is_neither_yes_nor_no_is_named(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["a", "b"], "rain": [1, -1], "fog": [0, 0]})
        with pytest.raises(DataError, match=r"t\.csv, row 2: '-1' in the label column 'rain' is neither yes"):
            scan(path, label_columns=("rain", "fog"), label_kind="multi")

    def test_two_columns_of_lists_stay_two(self, tmp_path: Path) -> None:
        columns = {"text": ["a"], "genre": [["x"]], "mood": [["y", "z"]]}
        path = write_table(tmp_path / "t.parquet", columns)
        found = scan(path, label_columns=("genre", "mood"), label_kind="multi")
        assert found.column("label:genre") + found.column("label:mood") == [["x"], ["y", "z"]]

    @pytest.mark.parametrize(
        ("second", "reason"),
        [
            ('"b"', "is no list, but other lines hold lists"),
            ("3", "is no list, but other lines hold lists"),
            ('[["b"]]', "holds a list or an object within a list"),
            ('["b", {"c": 1}]', "holds a list or an object within a list"),
        ],
    )
    def test_lists_that_are_not_all_alike_are_named(self, tmp_path: Path, second: str, reason: str) -> None:
        path = tmp_path / "t.jsonl"
        path.write_text(f'{{"text": "x", "labels": ["a", 1]}}\n\n{{"text": "y", "labels": {second}}}\n')
        with pytest.raises(DataError, match=rf"t\.jsonl, line 3: 'labels' {reason}"):
            scan(path)
        assert len(scan(path, labels=False).ids) == 2

    def test_lists_in_one_file_and_plain_values_in_another_are_named(self, tmp_path: Path) -> None:
        write_table(tmp_path / "train.jsonl", {"text": ["a"], "label": [["x"]]})
        write_table(tmp_path / "test.jsonl", {"text": ["b"], "label": ["x"]})
        with pytest.raises(DataError, match=r"test\.jsonl: 'label' holds plain values, but lists in other"):
            scan(tmp_path)

    def test_a_test_file_without_lists_is_unlabelled(self, tmp_path: Path) -> None:
        write_table(tmp_path / "train.jsonl", {"text": ["a"], "label": [["x"]]})
        write_table(tmp_path / "test.jsonl", {"text": ["b"], "label": [None]})
        assert scan(tmp_path).by_id("label:label") == {"test:1": None, "train:1": ["x"]}

    def test_lists_beyond_a_block_stay_with_their_rows(self, tmp_path: Path) -> None:
        lists = [[f"c{row % 7}"] if row % 3 else None for row in range(20_000)]
        assert labelled(tmp_path / "t.jsonl", lists).column("label:label") == lists


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).filter(str.strip)


@given(lists=st.lists(st.none() | st.lists(NAMES.map("_".__add__), unique=True, max_size=4), min_size=1))
@settings(max_examples=examples(40), deadline=None)
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_any_lists_of_labels_come_back(
    ending: str, lists: list[list[str] | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = labelled(tmp_path_factory.getbasetemp() / f"lists{ending}", [*lists, ["_"]])
    # A label that is given twice counts once, and what nobody sees makes no label.
    cleaned = [None if cell is None else list(dict.fromkeys(map(clean_label, cell))) for cell in lists]
    assert found.column("label:label") == [*cleaned, ["_"]]


class TestNumbers:
    """Regression columns."""

    @pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
    def test_numbers_that_are_not_all_integers_are_numbers(self, tmp_path: Path, ending: str) -> None:
        found = labelled(tmp_path / f"t{ending}", [1.0, 2.5, None, -3e-05])
        assert found.column("label:label") == [1.0, 2.5, None, -3e-05]
        assert found.source.label_kinds == {"label": "regression"}
        assert found.source.label_names == {"label": ()}
        assert "numbers, so regression; --label-kind single would" in found.source.description

    def test_integers_are_numbers_only_on_request(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        assert labelled(path, ["3", "4.0"]).source.label_kinds == {"label": "single"}
        found = labelled(path, ["3", "", " 4 ", "nan"], label_kind="regression")
        assert found.column("label:label") == [3.0, None, 4.0, None]

    @pytest.mark.parametrize("label", ["inf", "-Infinity", "1e999", "about 3", "1,5", "0x10", "1_000"])
    def test_what_is_no_finite_number_is_a_class_or_is_named(self, tmp_path: Path, label: str) -> None:
        path = tmp_path / "t.csv"
        assert labelled(path, ["1.5", label]).source.label_kinds == {"label": "single"}
        with pytest.raises(DataError, match=r"t\.csv, row 2: .* is not a finite number"):
            labelled(path, ["1.5", label], label_kind="regression")

    def test_numbers_have_no_names(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="label names are for classes"):
            labelled(tmp_path / "t.csv", ["1", "2"], label_kind="regression", label_names=("a", "b"))
        with pytest.raises(DataError, match=r"the label is '1\.5'"):
            labelled(tmp_path / "t.csv", ["1.5", "1"], label_names=("a", "b"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_kind": "single"}, "'label' holds lists, which --label-kind single cannot be"),
        ({"label_kind": "regression"}, "'label' holds lists, which --label-kind regression cannot be"),
        ({"label_separator": ""}, "--label-separator is empty"),
        ({"label_separator": "|", "label_kind": "single"}, "not for --label-kind single"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        labelled(tmp_path / "t.jsonl", [["a"]], **options)


def test_the_names_of_classes_in_a_hugging_face_file_are_used(tmp_path: Path) -> None:
    label = {"_type": "ClassLabel", "names": ["dog", "cat"]}
    features = {"label": label, "tags": {"feature": label, "_type": "List"}, "text": {"_type": "Value"}}
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], None]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "t.parquet")
    found = scan(tmp_path / "t.parquet")
    assert found.column("label:label") == ["cat", "dog", None]
    assert found.source.label_names == {"label": ("dog", "cat")}
    tags = scan(tmp_path / "t.parquet", label_columns=("tags",))
    assert tags.column("label:tags") == [["dog", "cat"], [], None]
    own = scan(tmp_path / "t.parquet", label_columns=("tags",), label_names=("d", "c"))
    assert own.column("label:tags") == [["d", "c"], [], None]
    numbers = scan(tmp_path / "t.parquet", label_kind="regression")
    assert numbers.column("label:label") == [1.0, 0.0, -1.0]
    for odd in ("[]", "null", '{"info": {"features": {"label": {"_type": "ClassLabel"}}}}', "{"):
        pq.write_table(table.replace_schema_metadata({"huggingface": odd}), tmp_path / "t.parquet")
        assert scan(tmp_path / "t.parquet").column("label:label") == ["1", "0", "-1"]


def test_class_folders_are_single_labels(tmp_path: Path) -> None:
    found = scan(write_images(tmp_path, "cat/a.png", "dog/b.png"), label_kind="single")
    assert found.source.label_kinds == {"label": "single"}
    assert scan(tmp_path / "cat").source.label_kinds == {}
    with pytest.raises(ConfigError, match="--label-kind is for tables"):
        scan(tmp_path, label_kind="multi")
    assert scan([write_image(tmp_path / "c.png")]).source.label_kinds == {}
