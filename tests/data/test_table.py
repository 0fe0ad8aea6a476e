"""A table is read as a user would read it: which column is what, and what its rows are called."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from headstart.data import SourceOptions, open_source
from headstart.errors import ConfigError, SampleError
from headstart.keys import key_of
from tests.data.conftest import MemoryMemo, scan, write_image, write_images, write_table

TEXTS = ["I am still waiting on my card?", 'a "quoted", text', "two\nlines"]
LABELS = ["arrival", "other", "arrival"]
ENDINGS = [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_texts_and_labels_are_found_in_every_format(tmp_path: Path, ending: str) -> None:
    path = write_table(
        tmp_path / f"bank{ending}", {"text": TEXTS, "category": LABELS, "note": ["x", "y", "z"]}
    )
    found = scan(path)
    assert found.payloads() == TEXTS
    assert found.keys == [key_of("text", text) for text in TEXTS]
    assert found.ids == ["bank:1", "bank:2", "bank:3"]
    assert found.column("origin") == [f"bank{ending}:{row}" for row in (1, 2, 3)]
    assert found.column("label:category") == LABELS
    assert found.column("meta:note") == ["x", "y", "z"]
    assert found.column("split") == [None, None, None]
    assert found.source.modality == "text"
    assert "3 rows: texts in 'text', labels in 'category' (2 classes)" in found.source.description


def test_shuffling_and_relabelling_change_no_key(tmp_path: Path) -> None:
    rows = [(f"text number {row}", f"label {row % 3}") for row in range(200)]
    before = scan(
        write_table(tmp_path / "a.csv", dict(zip(("text", "label"), zip(*rows, strict=True), strict=True)))
    )
    random.Random(1).shuffle(rows)
    shuffled = {"label": [f"new {label}" for _, label in rows], "text": [text for text, _ in rows]}
    after = scan(write_table(tmp_path / "b.csv", shuffled))
    assert sorted(after.keys) == sorted(before.keys)
    meaning = dict(zip(before.keys, before.column("label:label"), strict=True))
    assert [f"new {meaning[key]}" for key in after.keys] == after.column("label:label")


def test_a_table_larger_than_a_block_keeps_its_order(tmp_path: Path) -> None:
    texts = ["" if row == 5 else f"text {row}" for row in range(20_000)]
    found = scan(write_table(tmp_path / "t.csv", {"text": texts, "label": ["x"] * len(texts)}))
    assert found.table.num_rows == 19_999
    assert found.source.payload(4) == "text 4"
    assert found.source.payload(19_998) == "text 19999"
    assert found.ids[-1] == "t:20000"


class TestColumns:
    """Which column is what."""

    def test_an_option_wins_over_a_name(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["a"], "other": ["b"], "label": ["c"], "kind": ["d"]})
        found = scan(path, text_column="other", label_columns=("kind",))
        assert found.payloads() == ["b"]
        assert found.column("label:kind") == ["d"]
        assert found.column("meta:label") == ["c"]

    def test_names_are_found_in_whatever_case(self, tmp_path: Path) -> None:
        found = scan(write_table(tmp_path / "t.csv", {"Sentence": ["a"], "LABEL": ["b"]}))
        assert found.column("label:LABEL") == ["b"]

    def test_the_only_column_of_words_is_the_text(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"nr": [1], "wording": ["how do I pay"], "y": ["pay"]})
        assert scan(path).payloads() == ["how do I pay"]

    def test_two_columns_of_words_are_ambiguous(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"one": ["how do I"], "two": ["pay for it"], "y": ["pay"]})
        with pytest.raises(ConfigError, match=r"'one', 'two' could each be the text; .*--text-column one"):
            scan(path)

    def test_two_text_names_are_ambiguous_but_text_itself_wins(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="'title', 'body' could each be the text"):
            scan(write_table(tmp_path / "t.csv", {"title": ["a"], "body": ["b"]}))
        assert scan(write_table(tmp_path / "u.csv", {"title": ["a"], "text": ["b"]})).payloads() == ["b"]

    def test_two_label_names_are_ambiguous_but_label_itself_wins(self, tmp_path: Path) -> None:
        columns = {"text": ["a"], "category": ["b"], "sentiment": ["c"]}
        path = write_table(tmp_path / "t.csv", columns)
        with pytest.raises(
            ConfigError, match=r"'category', 'sentiment' could each be the label; .*--label-column"
        ):
            scan(path)
        both = scan(path, label_columns=("category", "sentiment"))
        assert both.column("label:category") + both.column("label:sentiment") == ["b", "c"]
        assert scan(path, labels=False).column("meta:sentiment") == ["c"]
        path = write_table(tmp_path / "u.csv", columns | {"label": ["d"]})
        assert scan(path).column("label:label") == ["d"]

    def test_no_column_of_texts_names_the_columns(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"height": [1], "when": ["2020-01-01 10:00"], "label": ["x"]})
        with pytest.raises(ConfigError, match=r"among 'height', 'when', 'label'; name it with --text-column"):
            scan(path)

    @pytest.mark.parametrize(
        "names",
        [
            ("sentence1", "sentence2"),
            ("premise", "hypothesis"),
            ("Question1", "question2"),
            ("question", "answer"),
        ],
    )
    def test_known_pairs_are_pairs(self, tmp_path: Path, names: tuple[str, str]) -> None:
        path = write_table(tmp_path / "t.csv", {names[0]: ["ab"], names[1]: ["c"], "label": ["yes"]})
        found = scan(path)
        assert found.source.modality == "text-pair"
        assert found.payloads() == [("ab", "c")]
        assert found.keys == [key_of("text-pair", ("ab", "c"))]
        assert scan(path, text_column=names[0]).source.modality == "text"

    def test_a_pair_can_be_asked_for(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["a"], "context": ["b"]})
        assert scan(path, text_pair_column="context").payloads() == [("a", "b")]
        path = write_table(tmp_path / "u.csv", {"one": ["a"], "two": ["b"]})
        assert scan(path, text_column="two", text_pair_column="one").payloads() == [("b", "a")]
        with pytest.raises(ConfigError, match="needs --text-column"):
            scan(path, text_pair_column="two")

    def test_a_missing_column_names_the_nearest(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["a"], "category": ["b"]})
        with pytest.raises(
            ConfigError, match=r"--label-column categry: .*'text', 'category'; did you mean 'category'"
        ):
            scan(path, label_columns=("categry",))

    def test_a_column_cannot_have_two_roles(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["a"], "category": ["b"]})
        with pytest.raises(ConfigError, match="'text' cannot be both --text-column and --label-column"):
            scan(path, text_column="text", label_columns=("text",))

    def test_a_table_of_images_and_texts_asks_or_takes_what_is_wanted(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png")
        path = write_table(tmp_path / "t.csv", {"image": ["a.png"], "caption": ["a cat"]})
        with pytest.raises(ConfigError, match=r"--image-column image or --text-column caption, or both"):
            scan(path)
        assert scan(path, modality="image").source.modality == "image"
        assert scan(path, modality="text").payloads() == ["a cat"]
        assert scan(path, image_column="image").source.modality == "image"


class TestLabels:
    """What labels are called."""

    @pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
    def test_integers_are_in_numerical_order(self, tmp_path: Path, ending: str) -> None:
        columns = {"text": ["a", "b", "c"], "label": [10, 9, 2]}
        found = scan(write_table(tmp_path / f"t{ending}", columns))
        assert found.column("label:label") == ["10", "9", "2"]
        assert found.source.label_names == {"label": ("2", "9", "10")}

    def test_names_are_left_to_be_sorted(self, tmp_path: Path) -> None:
        found = scan(write_table(tmp_path / "t.csv", {"text": ["a", "b"], "label": ["x", "9"]}))
        assert found.source.label_names == {"label": ()}

    @pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
    def test_integers_get_the_names_given(self, tmp_path: Path, ending: str) -> None:
        path = write_table(tmp_path / f"t{ending}", {"text": ["a", "b", "c"], "label": [1, 0, None]})
        found = scan(path, label_names=("cat", "dog"))
        assert found.column("label:label") == ["dog", "cat", None]
        assert found.source.label_names == {"label": ("cat", "dog")}

    @pytest.mark.parametrize("ending", [".csv", ".parquet"])
    def test_floats_that_stand_for_integers_are_integers(self, tmp_path: Path, ending: str) -> None:
        path = write_table(tmp_path / f"t{ending}", {"text": ["a", "b", "c"], "label": [1.0, None, 2.0]})
        assert scan(path).column("label:label") == ["1", None, "2"]

    def test_other_numbers_stay_as_they_are_as_classes(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["a", "b"], "label": ["1.0", "2.5"]})
        assert scan(path, label_kind="single").column("label:label") == ["1.0", "2.5"]

    @pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
    def test_booleans_are_true_and_false(self, tmp_path: Path, ending: str) -> None:
        path = write_table(tmp_path / f"t{ending}", {"text": ["a", "b"], "label": [True, False]})
        assert scan(path).column("label:label") == ["true", "false"]

    @pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
    def test_an_empty_label_is_no_label(self, tmp_path: Path, ending: str) -> None:
        path = write_table(tmp_path / f"t{ending}", {"text": list("abcd"), "label": ["x", "", None, " "]})
        assert scan(path).column("label:label") == ["x", None, None, None]

    def test_not_available_is_a_label_like_any_other(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["NA", "null"], "label": ["NA", "null"]})
        assert scan(path).column("label:label") == ["NA", "null"]
        assert scan(path).payloads() == ["NA", "null"]

    def test_categories_of_parquet_are_labels(self, tmp_path: Path) -> None:
        columns = {"text": ["a", "b"], "label": pa.array(["x", "y"]).dictionary_encode()}
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        assert scan(tmp_path / "t.parquet").column("label:label") == ["x", "y"]


class TestSplits:
    """Where splits come from."""

    def test_a_split_column_is_found_by_name_and_content(self, tmp_path: Path) -> None:
        columns = {"text": list("abc"), "Split": ["train", "dev", ""]}
        found = scan(write_table(tmp_path / "t.csv", columns))
        assert found.column("split") == ["train", "validation", None]
        assert "splits in 'Split'" in found.source.description

    def test_a_column_of_folds_is_no_split(self, tmp_path: Path) -> None:
        found = scan(write_table(tmp_path / "t.csv", {"text": list("ab"), "fold": ["1", "2"]}))
        assert found.column("split") == [None, None]
        assert found.column("meta:fold") == ["1", "2"]

    def test_files_named_by_split_are_splits(self, tmp_path: Path) -> None:
        for name in ("train", "dev", "test"):
            write_table(tmp_path / f"{name}.csv", {"text": [f"{name} text"], "label": ["x"]})
        (tmp_path / "README.md").write_text("about")
        found = scan(tmp_path)
        assert dict(zip(found.ids, found.column("split"), strict=True)) == {
            "validation:1": "validation",
            "test:1": "test",
            "train:1": "train",
        }
        assert "1 other file ignored (README.md)" in found.source.description
        assert "named by split" in found.source.description

    def test_the_shards_of_a_split_are_counted_on(self, tmp_path: Path) -> None:
        for shard in (0, 1):
            columns = {"text": [f"{shard} {row}" for row in range(3)], "label": [0, 1, 0]}
            write_table(tmp_path / f"train-0000{shard}-of-00002.parquet", columns)
        found = scan(tmp_path)
        assert found.ids == [f"train:{row}" for row in range(1, 7)]
        assert found.column("origin")[3] == "train-00001-of-00002.parquet:1"
        assert set(found.column("split")) == {"train"}

    def test_test_rows_without_labels_are_unlabelled(self, tmp_path: Path) -> None:
        write_table(tmp_path / "train.csv", {"text": ["a"], "label": ["x"]})
        write_table(tmp_path / "test.csv", {"text": ["b"]})
        assert scan(tmp_path).by_id("label:label") == {"test:1": None, "train:1": "x"}

    def test_a_single_table_in_a_folder_is_taken(self, tmp_path: Path) -> None:
        write_table(tmp_path / "reviews.csv", {"text": ["a"], "label": ["x"]})
        found = scan(tmp_path)
        assert (found.ids, found.column("split")) == (["reviews:1"], [None])


class TestIds:
    """What samples are called."""

    def test_an_id_column_gives_the_ids(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"text": ["a", "b"], "key": ["k1", "k2"]})
        found = scan(path, id_column="key")
        assert found.ids == ["k1", "k2"]
        assert found.column("origin") == ["t.csv:1", "t.csv:2"]
        assert "meta:key" not in found.table.column_names

    def test_rows_that_cannot_be_read_keep_their_numbers(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text('\n\ntext,label\na,1\n\nb\n"c\nd",2\ne,3,4\nf,5\n')
        found = scan(tmp_path / "t.csv")
        assert found.ids == ["t:1", "t:3", "t:5"]
        assert found.payloads() == ["a", "c\nd", "f"]
        assert [(f.id, f.origin, f.reason) for f in found.failures] == [
            ("t:2", "t.csv:2", "1 values where the header has 2"),
            ("t:4", "t.csv:4", "3 values where the header has 2"),
        ]

    def test_lines_of_jsonl_are_numbered_as_in_an_editor(self, tmp_path: Path) -> None:
        (tmp_path / "t.jsonl").write_text('{"text": "a"}\n\n{"text": "b"}\n')
        assert scan(tmp_path / "t.jsonl").ids == ["t:1", "t:3"]


class TestImages:
    """Images named in a table."""

    def test_paths_are_relative_to_the_table_or_absolute(self, tmp_path: Path) -> None:
        write_images(tmp_path / "data", "images/a.png", "images/b.png")
        elsewhere = write_image(tmp_path / "elsewhere.png", 7)
        names = ["images/b.png", "images/a.png", str(elsewhere)]
        path = write_table(tmp_path / "data" / "t.csv", {"file_name": names, "label": ["x", "y", "z"]})
        found = scan(path)
        contents = [(tmp_path / "data" / name).read_bytes() for name in names]
        assert found.source.modality == "image"
        assert found.payloads() == contents
        assert found.keys == [key_of("image", content) for content in contents]
        assert found.ids == ["t:1", "t:2", "t:3"]

    def test_the_keys_are_those_of_the_folder(self, tmp_path: Path) -> None:
        write_images(tmp_path / "photos", "cat/a.png", "dog/b.png")
        path = write_table(tmp_path / "t.csv", {"path": ["photos/cat/a.png", "photos/dog/b.png"]})
        memo = MemoryMemo()
        assert scan(path, memo).keys == scan(tmp_path / "photos", memo).keys

    def test_missing_and_empty_images_are_named(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png")
        (tmp_path / "zero.png").touch()
        (tmp_path / "folder.png").mkdir()
        names = ["a.png", "gone.png", "", "zero.png", "folder.png", "nul\0.png"]
        found = scan(write_table(tmp_path / "t.csv", {"image": names}))
        assert found.ids == ["t:1"]
        assert [(f.id, f.reason, f.kind) for f in found.failures][:4] == [
            ("t:2", "gone.png: the file is missing", "transient"),
            ("t:3", "the image path is empty", "permanent"),
            ("t:4", "zero.png: empty file", "permanent"),
            ("t:5", "folder.png: it is not a file", "transient"),
        ]
        assert found.failures[4].id == "t:6"

    def test_an_image_that_vanishes_after_the_scan_is_named(self, tmp_path: Path) -> None:
        path = write_table(tmp_path / "t.csv", {"image": [write_image(tmp_path / "a.png").name]})
        source = open_source(path, SourceOptions())
        list(source.scan(MemoryMemo()))
        (tmp_path / "a.png").unlink()
        with pytest.raises(SampleError, match=r"a\.png: the file is missing"):
            source.payload(0)
