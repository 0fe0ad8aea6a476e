"""What label cells mean: no class is made, lost or merged by how cells are written."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import ConfigError, DataError
from tests.data.conftest import Scan, scan, write_table

TEXT = [".csv", ".tsv", ".jsonl", ".parquet"]


def labelled(path: Path, labels: Sequence[Any], **options: Any) -> Scan:
    texts = [f"text number {row}" for row in range(len(labels))]
    return scan(write_table(path, {"text": texts, "label": labels}), **options)


class TestNames:
    """One class has one name, however its cells are written."""

    @pytest.mark.parametrize("ending", TEXT)
    def test_blanks_around_a_name_make_no_class(self, tmp_path: Path, ending: str) -> None:
        found = labelled(tmp_path / f"t{ending}", ["pos ", "neg", "pos", "\u00a0neg"])
        assert found.column("label:label") == ["pos", "neg", "pos", "neg"]
        assert "2 classes, 2 other spellings (blanks, Unicode) taken for the same" in found.source.description

    def test_forms_of_unicode_make_no_class(self, tmp_path: Path) -> None:
        forms = [unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")]
        found = labelled(tmp_path / "t.csv", [*forms, "bar"])
        assert found.column("label:label") == ["caf\u00e9", "caf\u00e9", "bar"]

    def test_numbers_with_blanks_are_numbers(self, tmp_path: Path) -> None:
        found = labelled(tmp_path / "t.csv", ["1 ", "0", "1", " 0"])
        assert found.source.label_names == {"label": ("0", "1")}

    @pytest.mark.parametrize("ending", TEXT)
    def test_truth_values_have_one_name_in_every_format(self, tmp_path: Path, ending: str) -> None:
        is_text = ending in (".csv", ".tsv")
        cells = ["True", "FALSE", "true"] if is_text else [True, False, True]
        assert labelled(tmp_path / f"t{ending}", cells).column("label:label") == ["true", "false", "true"]
        assert labelled(tmp_path / f"n{ending}", [1, 0, 1]).column("label:label") == ["1", "0", "1"]

    def test_no_and_on_are_names(self, tmp_path: Path) -> None:
        found = labelled(tmp_path / "t.csv", ["no", "on", "010", "yes"])
        assert found.column("label:label") == ["no", "on", "010", "yes"]


class TestOddCells:
    """A cell that is no number among numbers."""

    @pytest.mark.parametrize("odd", ["N/A", "inf", "1e999", "12 km"])
    def test_one_odd_cell_leaves_a_column_of_numbers_and_is_named(self, tmp_path: Path, odd: str) -> None:
        cells = [odd if row == 7 else f"{row}.5" for row in range(40)]
        found = labelled(tmp_path / "t.csv", cells)
        assert found.source.label_kinds == {"label": "regression"}
        assert found.column("label:label")[6:9] == [6.5, None, 8.5]
        assert "39 of 40 are numbers; " in found.source.description
        assert f"t.csv, row 8 is {odd!r}, taken for no label" in found.source.description
        with pytest.raises(DataError, match=r"row 8: .* is not a finite number"):
            scan(tmp_path / "t.csv", label_kind="regression")

    def test_many_odd_cells_are_classes(self, tmp_path: Path) -> None:
        cells = ["low" if row % 3 else f"{row}.5" for row in range(40)]
        assert labelled(tmp_path / "t.csv", cells).source.label_kinds == {"label": "single"}

    def test_an_odd_cell_among_integers_is_named(self, tmp_path: Path) -> None:
        found = labelled(tmp_path / "t.csv", ["N/A" if row == 7 else row % 3 for row in range(40)])
        assert "4 classes, 39 of 40 are numbers; " in found.source.description
        assert "row 8 is 'N/A'" in found.source.description

    def test_decimal_commas_are_said(self, tmp_path: Path) -> None:
        found = labelled(tmp_path / "t.csv", [f"{row % 2},{row % 10}" for row in range(40)])
        assert "decimal commas; with points they would be numbers" in found.source.description


class TestVectors:
    """Several labels as vectors of 0 and 1."""

    @pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
    @pytest.mark.parametrize("kind", [int, float, bool])
    def test_vectors_are_labels_by_place(self, tmp_path: Path, ending: str, kind: type) -> None:
        vectors = [[kind(row % 2), kind(row % 3 == 0), kind(0)] for row in range(6)]
        found = labelled(tmp_path / f"t{ending}", vectors)
        assert found.column("label:label") == [["1"], ["0"], [], ["0", "1"], [], ["0"]] or found.column(
            "label:label"
        ) == [[str(place) for place, part in enumerate(vector) if part] for vector in vectors]
        assert found.source.label_names == {"label": ("0", "1", "2")}
        assert "0/1 vectors of 3 by place" in found.source.description
        named = scan(tmp_path / f"t{ending}", label_names=("a", "b", "c"))
        assert named.column("label:label")[3] == ["a", "b"]
        with pytest.raises(ConfigError, match="vectors of 3, and there are 2 label names"):
            scan(tmp_path / f"t{ending}", label_names=("a", "b"))

    def test_lists_of_other_lengths_are_lists_of_names(self, tmp_path: Path) -> None:
        found = labelled(tmp_path / "t.jsonl", [[0, 1], [1], []])
        assert found.column("label:label") == [["0", "1"], ["1"], []]

    def test_shares_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"row 2: the list in the label column 'label' holds 0\.5"):
            labelled(tmp_path / "t.jsonl", [[1.0, 0.0], [0.5, 0.0]])


class TestMinusOne:
    """What -1 stands for."""

    @pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
    def test_a_test_split_of_nothing_else_has_no_labels(self, tmp_path: Path, ending: str) -> None:
        write_table(tmp_path / f"train{ending}", {"text": ["a", "b"], "label": [0, 1]})
        write_table(tmp_path / f"test{ending}", {"text": ["c", "d"], "label": [-1, -1]})
        found = scan(tmp_path)
        assert found.by_id("label:label") == {"test:1": None, "test:2": None, "train:1": "0", "train:2": "1"}
        assert "-1 taken for no label (test has nothing else)" in found.source.description

    def test_by_a_split_column_and_for_numbers_too(self, tmp_path: Path) -> None:
        columns = {
            "text": list("abcd"),
            "label": [0.5, 1.5, -1, -1],
            "split": ["train", "train", "dev", "test"],
        }
        found = scan(write_table(tmp_path / "t.csv", columns))
        assert found.column("label:label") == [0.5, 1.5, None, None]

    def test_beside_others_in_train_it_is_a_class_and_that_is_said(self, tmp_path: Path) -> None:
        columns = {
            "text": list("abcd"),
            "label": [-1, 0, 1, -1],
            "split": ["train", "train", "train", "test"],
        }
        found = scan(write_table(tmp_path / "t.csv", columns))
        assert found.source.label_names == {"label": ("-1", "0", "1")}
        assert "-1 among them" in found.source.description
        assert labelled(tmp_path / "u.csv", [-1, 0, 1]).source.label_names == {"label": ("-1", "0", "1")}


class TestColumns:
    """Which column holds the labels."""

    @pytest.mark.parametrize("name", ["topic", "Stars", "rating", "genre", "emotion", "category", "target"])
    def test_the_names_that_people_use(self, tmp_path: Path, name: str) -> None:
        columns = {"text": [f"text number {row}" for row in range(6)], name: list("ababab")}
        assert scan(write_table(tmp_path / "t.csv", columns)).column(f"label:{name}") == list("ababab")

    def test_a_usual_name_wins_over_a_rarer_one(self, tmp_path: Path) -> None:
        columns = {"text": list("abcd"), "rating": [1, 2, 1, 2], "label": list("xyxy")}
        found = scan(write_table(tmp_path / "t.csv", columns))
        assert found.column("meta:rating") == ["1", "2", "1", "2"]

    def test_two_rarer_names_are_said(self, tmp_path: Path) -> None:
        columns = {"text": list("abcd"), "rating": [1, 2, 1, 2], "genre": list("xyxy")}
        found = scan(write_table(tmp_path / "t.csv", columns))
        assert (
            "no labels (--label-column rating, --label-column genre could be meant)"
            in found.source.description
        )

    def test_without_a_known_name_it_says_which_could_be_meant(self, tmp_path: Path) -> None:
        columns = {"text": list("abcd"), "nr": [1, 2, 3, 4], "mood": list("xyxy")}
        found = scan(write_table(tmp_path / "t.csv", columns))
        assert "no labels (--label-column mood could be meant)" in found.source.description
        assert "no labels;" in scan(tmp_path / "t.csv", labels=False).source.description + ";"
