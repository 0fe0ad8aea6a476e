"""Embedder is a whole transformer of scikit-learn's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import headstart as hs
from headstart.errors import ConfigError, DataError

SPEC = "py:tiny_backbones:texts"
FRAME = pd.DataFrame(
    {"text": ["red thing", "blue thing", "red one", "blue one"], "source": list("aabb")}, index=[3, 1, 2, 0]
)
Y = ["warm", "cold", "warm", "cold"]


@pytest.fixture(autouse=True)
def tiny_backbones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "end_to_end"))
    yield
    sys.modules.pop("tiny_backbones", None)


@pytest.mark.parametrize(
    "X",
    [FRAME["text"], FRAME[["text"]], pa.table({"text": FRAME["text"].tolist()}), np.array(FRAME["text"]),
     FRAME[["text"]].to_numpy(), iter(FRAME["text"].tolist())],
    ids=["Series", "DataFrame", "Arrow", "array", "array of a column", "generator"],
)  # fmt: skip
def test_rows_stay_rows_whatever_holds_them(X: Any) -> None:
    found = hs.Embedder(SPEC).transform(X)
    np.testing.assert_array_equal(found, hs.Embedder(SPEC).transform(FRAME["text"].tolist()))


def test_two_columns_are_pairs_and_more_are_refused() -> None:
    pairs = hs.Embedder(SPEC).transform(FRAME[["text", "source"]])
    expected = hs.Embedder(SPEC).transform(list(zip(FRAME["text"], FRAME["source"], strict=True)))
    np.testing.assert_array_equal(pairs, expected)
    with pytest.raises(ConfigError, match="takes one column, or two as pairs, and there are 3; choose"):
        hs.Embedder(SPEC).transform(FRAME.assign(more=1))


def test_images_go_in_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    embedder = hs.Embedder("py:tiny_backbones:images")
    expected = embedder.transform(pixels)
    pictures = [Image.fromarray(one) for one in pixels]
    for X in (pictures, pd.DataFrame({"image": pictures}), pd.Series(pictures)):
        np.testing.assert_array_equal(embedder.transform(X), expected)


def test_features_have_names_before_and_after() -> None:
    embedder = hs.Embedder(SPEC)
    names = embedder.get_feature_names_out()
    X = embedder.fit_transform(FRAME["text"])
    assert (
        list(names) == list(embedder.get_feature_names_out()) == [f"embedder{i}" for i in range(X.shape[1])]
    )
    assert len(embedder.set_params(backbone="py:tiny_backbones:images").get_feature_names_out()) > 0


def test_a_data_frame_comes_out_where_it_is_asked_for() -> None:
    embedder = hs.Embedder(SPEC).set_output(transform="pandas")
    found = embedder.fit_transform(FRAME[["text"]])
    assert list(found.columns) == list(embedder.get_feature_names_out())
    assert list(found.index) == [3, 1, 2, 0]
    assert embedder.fit_transform(FRAME["text"].tolist()).shape == found.shape


def test_it_takes_a_column_of_a_column_transformer() -> None:
    columns = ColumnTransformer(
        [("text", hs.Embedder(SPEC), "text"), ("source", OneHotEncoder(), ["source"])]
    )
    pipeline = make_pipeline(columns.set_output(transform="default"), LogisticRegression())
    assert list(pipeline.fit(FRAME, Y).predict(FRAME)) == Y
    names = list(pipeline[0].get_feature_names_out())
    assert names[0] == "text__embedder0"
    assert names[-2:] == ["source__source_a", "source__source_b"]
    both = ColumnTransformer([("text", hs.Embedder(SPEC), ["text"])]).fit(FRAME)
    np.testing.assert_array_equal(both.transform(FRAME), hs.Embedder(SPEC).transform(FRAME["text"]))


def test_it_is_cloned_searched_and_saved_without_pickle() -> None:
    pipeline = make_pipeline(hs.Embedder(SPEC), LogisticRegression())
    search = GridSearchCV(pipeline, {"embedder__tap": ["last.mean", "last.max"]}, cv=2).fit(FRAME["text"], Y)
    assert search.best_params_["embedder__tap"] in ("last.mean", "last.max")
    assert clone(search.best_estimator_[0]).get_params() == search.best_estimator_[0].get_params()
    content = skops.io.dumps(pipeline.fit(FRAME["text"], Y))
    assert skops.io.get_untrusted_types(data=content) == ["headstart.extraction.embedder.Embedder"]
    loaded = skops.io.loads(content, trusted=["headstart.extraction.embedder.Embedder"])
    np.testing.assert_array_equal(loaded.predict(FRAME["text"]), pipeline.predict(FRAME["text"]))


@pytest.mark.parametrize("X", [["fine", None], pd.Series(["fine", float("nan")]), ["fine", " "]])
def test_an_input_that_cannot_be_used_is_named(X: Any) -> None:
    with pytest.raises(DataError, match="input 1 cannot be used"):
        hs.Embedder(SPEC).transform(X)


def test_one_input_and_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="X is one input"):
        hs.Embedder(SPEC).transform("red thing")
    with pytest.raises(DataError, match="no samples were given"):
        hs.Embedder(SPEC).transform([])
