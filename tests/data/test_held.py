"""Whatever a program holds goes in: its samples, their order, their labels, splits, ids and groups are kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from headstart.backbones.images import decode_image
from headstart.data.given import Given
from headstart.data.objects import HeldSamples, as_inputs, hold, names_data
from headstart.errors import ConfigError, DataError
from headstart.keys import key_of
from tests.data.conftest import Scan, scan

TEXTS = ["one bad day", "a good one", "all bad", "so good"]
LABELS = ["neg", "pos", "neg", "pos"]
FRAME = pd.DataFrame({"text": TEXTS, "label": LABELS}, index=[7, 7, 0, 2])
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
PICTURES = [Image.fromarray(pixels) for pixels in PIXELS]


def looked_at(data: Any, modality: Any = "text", **given: Any) -> Scan:
    return scan(data, modality=modality, given=Given(**given))


class Pictures(torch.utils.data.Dataset[Any]):
    """As those of torchvision are."""

    classes = ("cat", "dog")

    def __init__(self) -> None:
        self.targets = [0, 1, 0, 1]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> Any:
        return PICTURES[place], self.targets[place]


class Columns:
    """A table of a library that speaks Arrow's C stream, as polars and DuckDB do."""

    def __init__(self, **columns: Any) -> None:
        self._table = pa.table(columns)
        self.columns = list(columns)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


def coded() -> datasets.Dataset:
    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    rows = {"text": TEXTS, "label": [0, 1, 0, 1]}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def generated() -> Iterator[str]:
    yield from TEXTS


@pytest.mark.parametrize(
    "data",
    [
        FRAME,
        pa.table({"text": TEXTS, "label": LABELS}),
        pa.table({"text": pa.array(TEXTS, pa.string_view()), "label": LABELS}),
        Columns(text=TEXTS, label=LABELS),
        Columns(text=TEXTS, label=pa.array(LABELS, pa.string_view()).dictionary_encode()),
        FRAME.astype({"label": "category"}),
        {"text": TEXTS, "label": LABELS},
        [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)],
        coded(),
        coded().select([3, 2, 1, 0]).select([3, 2, 1, 0]),
    ],
    ids=[
        "pandas",
        "arrow",
        "string views",
        "c stream",
        "categories",
        "pandas categories",
        "columns",
        "rows",
        "Dataset",
        "selected",
    ],
)
def test_tables_of_every_library_are_the_same_samples(data: Any) -> None:
    found = looked_at(data)
    assert found.payloads() == TEXTS
    assert found.ids == ["0", "1", "2", "3"]  # positions, whatever an index says
    assert found.column("label:label") == LABELS


@pytest.mark.parametrize(
    "data",
    [TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, dtype=object), pd.Series(TEXTS, index=[5, 9, 0, 1]),
     pa.array(TEXTS), pa.chunked_array([TEXTS]), coded()["text"], pd.Index(TEXTS), generated],
    ids=["list", "tuple", "numpy", "objects", "Series", "Array", "ChunkedArray", "Column", "Index", "generator"],
)  # fmt: skip
@pytest.mark.parametrize(
    "labels", [LABELS, pd.Series(LABELS, index=[3, 2, 1, 0]), pa.array(LABELS), np.array(LABELS)]
)
def test_columns_of_every_library_are_the_same_samples(data: Any, labels: Any) -> None:
    found = looked_at(data() if callable(data) else data, labels=labels)
    assert found.payloads() == TEXTS
    assert found.ids == ["0", "1", "2", "3"]
    assert found.column("label:label") == LABELS


def test_a_stream_of_rows_is_read_as_it_comes() -> None:
    found = scan(coded().to_iterable_dataset(), modality="text", given=Given())
    assert found.source.streams
    assert found.column("label:label") == LABELS
    assert found.column("split") == [None] * 4
    assert found.keys == [key_of("text", text) for text in TEXTS]


@pytest.mark.parametrize("kind", [datasets.DatasetDict, dict])
def test_splits_of_a_dictionary_are_kept(kind: Any) -> None:
    found = looked_at(kind(train=coded(), dev=coded()))
    assert found.column("split") == ["train"] * 4 + ["validation"] * 4
    with pytest.raises(ConfigError, match="'extra' is no name of a split"):
        looked_at(kind(train=coded(), extra=coded()))


def test_labels_splits_ids_and_groups_go_with_their_samples() -> None:
    found = looked_at(
        TEXTS,
        labels=[1, 0, None, 1],
        splits=["train", "dev", None, "test"],
        ids=list("abcd"),
        groups=[7, 7, 8, 8],
    )
    assert found.column("label:label") == ["1", "0", None, "1"]
    assert found.column("split") == ["train", "validation", None, "test"]
    assert found.ids == list("abcd")
    assert found.column("meta:group") == ["7", "7", "8", "8"]
    assert found.source.grouping is not None
    assert "'dev' as validation" in found.source.description
    of_frame = looked_at(FRAME, labels=[0.5, 1.5, 2.5, 4], ids=list("abcd"), groups=[7, 7, 8, 8])
    assert of_frame.source.label_kinds == {"label": "regression"}
    assert (of_frame.ids, of_frame.column("meta:group")) == (list("abcd"), ["7", "7", "8", "8"])


def test_labels_may_be_several_and_in_several_columns() -> None:
    several = looked_at(TEXTS, labels=[["a", "b"], ["b"], [], ["a"]])
    assert several.source.label_kinds == {"label": "multi"}
    assert looked_at(TEXTS, labels=torch.eye(4, dtype=torch.int64)).source.label_kinds == {"label": "multi"}
    columns = looked_at(TEXTS, labels={"mood": LABELS, "stars": [1.5, 2.5, 3.5, 4.5]})
    assert columns.source.label_kinds == {"mood": "single", "stars": "regression"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": LABELS[:3]}, "labels= has 3 values for 4 samples"),
        ({"splits": ["train", "extra", "test", "test"]}, "row 1: 'extra' in the split column"),
        ({"ids": list("aabc")}, "'a' in column 'id' is not unique"),
        ({"labels": "label"}, "labels= is 'label'; give one value a sample"),
        ({"labels": [1, "a", object(), 2]}, "labels= holds values of several types"),
    ],
)
def test_what_does_not_fit_beside_the_samples_is_refused(given: Any, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        looked_at(TEXTS, **given)


def test_what_is_given_beside_a_path_is_refused(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="labels= goes with samples in memory"):
        looked_at(tmp_path / "a.csv", labels=LABELS)


def test_missing_samples_are_named_and_the_others_keep_their_labels() -> None:
    found = looked_at(pd.Series([TEXTS[0], None, TEXTS[2], float("nan")]), labels=LABELS)
    assert (found.ids, found.column("label:label")) == (["0", "2"], ["neg", "neg"])
    assert [(failure.id, failure.reason) for failure in found.failures] == [
        ("1", "it is missing: None or NaN"), ("3", "it is missing: None or NaN"),
    ]  # fmt: skip


FLOATS = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize(
    "data",
    [PIXELS, torch.from_numpy(PIXELS), PIXELS.transpose(0, 3, 1, 2), FLOATS, FLOATS.numpy().astype("float64"),
     list(PIXELS), list(FLOATS), PICTURES, iter(PICTURES), pd.Series(PICTURES), Pictures(),
     torch.utils.data.TensorDataset(FLOATS), pd.DataFrame({"image": PICTURES}), {"image": PICTURES}],
    ids=["NHWC", "tensor", "NCHW", "floats", "doubles", "arrays", "tensors", "Pillow", "generator", "Series", "torch",
         "TensorDataset", "DataFrame", "columns"],
)  # fmt: skip
def test_images_are_known_by_mode_and_pixels_whatever_holds_them(data: Any) -> None:
    found = looked_at(data, "image")
    assert found.keys == looked_at(PIXELS, "image").keys
    assert found.keys == [key_of("image", payload) for payload in found.payloads()]  # a worker looks again
    for payload, pixels in zip(found.payloads(), PIXELS, strict=True):
        np.testing.assert_array_equal(np.asarray(decode_image(payload)), pixels)
    assert "known by their pixels" in found.source.description


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_an_image_of_any_mode_is_read_as_its_file_would_be(mode: str) -> None:
    picture = (
        PICTURES[0].convert("L").convert("I").convert("I;16") if mode == "I;16" else PICTURES[0].convert(mode)
    )
    found = looked_at([picture], "image")
    kept = io.BytesIO()
    picture.save(kept, "TIFF")
    as_file, as_pixels = (
        np.asarray(decode_image(content)) for content in (kept.getvalue(), found.payloads()[0])
    )
    if mode != "I;16":  # of which a file of Pillow keeps what it was converted from
        np.testing.assert_array_equal(as_pixels, as_file)
    assert found.keys != looked_at([picture.convert("HSV")], "image").keys


def test_files_in_any_form_are_known_by_their_bytes(tmp_path: Path) -> None:
    PICTURES[0].save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    opened = io.BytesIO(content)
    opened.read()
    found = looked_at(
        [content, opened, bytearray(content), tmp_path / "a.png", str(tmp_path / "a.png")], "image"
    )
    assert set(found.keys) == {key_of("image", content)}
    assert found.ids == ["0", "1", "2", str(tmp_path / "a.png"), str(tmp_path / "a.png")]
    assert looked_at(pd.DataFrame({"image": [content, content]}), "image").keys == found.keys[:2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PIXELS.astype("int64"), "holds int64; images in arrays are uint8, or floats in"),
        ((FLOATS - 0.5) / 0.5, "leave out the transform that normalises"),
        (PIXELS.astype("float32"), r"from 0 to 255; images in arrays"),
        (np.full((2, 8, 8, 3), np.nan), "from nan to nan"),
        (list((FLOATS - 0.5) / 0.5), "leave out the transform"),
        (np.zeros((2, 3, 8, 3), np.uint8), "say which: layout='HWC' or layout='CHW'"),
        (np.zeros((3, 8, 8), np.uint8), "say which: layout='CHW' or layout='NHW'"),
        (np.zeros((2, 8, 8, 5), np.uint8), "is no image"),
        (np.zeros((20, 384)), "is no images"),
        (torch.utils.data.DataLoader(Pictures()), "give the data set that it reads"),
        (3, "int holds no samples"),
        (Image.new("F", (8, 8)), "does not say what is white"),
    ],
)
def test_arrays_that_could_be_misread_are_refused_with_the_remedy(data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        looked_at(data, "image")


def test_layout_says_the_order_of_the_axes() -> None:
    odd = PIXELS[:, :3]
    for data, layout in ((odd, "NHWC"), (odd.transpose(0, 3, 1, 2), "NCHW"), (list(odd), "HWC")):
        assert (
            looked_at(data, "image", layout=layout).keys
            == looked_at(list(map(Image.fromarray, odd)), "image").keys
        )
    assert len(looked_at(np.zeros((3, 8, 8), np.uint8), "image", layout="NHW").ids) == 3
    with pytest.raises(ConfigError, match="does not fit"):
        looked_at(PIXELS, "image", layout="CHW")
    with pytest.raises(ConfigError, match="there is no layout 'WHC'"):
        hold(PIXELS, "WHC")


def test_a_data_set_of_torch_brings_its_labels_and_their_names() -> None:
    found = looked_at(Pictures(), "image")
    assert found.column("label:label") == ["cat", "dog", "cat", "dog"]
    part = looked_at(torch.utils.data.Subset(Pictures(), [3, 0]), "image")
    assert (part.column("label:label"), part.keys) == (["dog", "cat"], [found.keys[3], found.keys[0]])
    pairs = looked_at([(text, number % 2) for number, text in enumerate(TEXTS)])
    assert (pairs.payloads(), pairs.column("label:label")) == (TEXTS, ["0", "1", "0", "1"])
    with pytest.raises(ConfigError, match="each sample brings its own"):
        looked_at(Pictures(), "image", labels=LABELS)


class Flipped(Pictures):
    """Whose transform draws anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self._n_read = 0

    def __getitem__(self, place: int) -> Any:
        self._n_read += 1
        return PIXELS[place, :, :: (-1) ** self._n_read], self.targets[place]


def test_a_data_set_that_draws_its_images_anew_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="item 0 is another each time it is read; leave out the random transform"
    ):
        looked_at(Flipped(), "image")


def test_pairs_of_image_and_text_share_their_image() -> None:
    found = looked_at([(PICTURES[0], "a"), (PICTURES[0], "b"), (PICTURES[1], "c")], "image-text")
    groups = found.column("meta:group")
    assert (groups[0] == groups[1], groups[0] == groups[2]) == (True, False)


@pytest.mark.parametrize(
    ("text", "is_data"),
    [("what a lovely film", False), ("fine", False), ("", False), ("9/10 would watch", False), ("reviews.csv", True),
     ("gone/reviews", True), ("a.jpg", True), ("hf:imdb", True), ("-", True), ("three\nlines\n/", False)],
)  # fmt: skip
def test_a_string_is_data_if_it_is_there_or_looks_like_a_path(text: str, is_data: bool) -> None:
    assert names_data(text, "text") is is_data
    assert names_data(text, "image")


def test_one_sample_is_as_good_as_a_list_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a film").write_text("x")
    assert as_inputs("a film", "text") == "a film"  # it exists
    assert as_inputs("a lovely film", "text") == HeldSamples(["a lovely film"])
    assert as_inputs(("a", "b"), "text-pair") == HeldSamples([("a", "b")])
    for one in (PICTURES[0], PIXELS[0], b"bytes"):
        assert len(as_inputs(one, "image").items) == 1
