"""What a run makes of whatever a program holds, and how that shows itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from headstart.errors import DataError
from headstart.prediction_table import SHOWN_ROWS, PredictionTable
from headstart.registry.run import Run

from .conftest import PIXELS, TEXTS

FOUR = ["a red thing", "a blue thing", "red", "blue"]


def test_one_text_is_one_row(run: Run) -> None:
    found = run.predict("a red thing")
    assert len(found) == 1
    assert found.labels == run.predict(["a red thing"]).labels
    assert set(found.labels) <= {"warm", "cold"}
    assert found.classes == ["cold", "warm"]
    np.testing.assert_allclose(found.probabilities.sum(axis=1), [1.0])


@pytest.mark.parametrize("index", [[5, 9, 11, 12], [0, 2, 1, 3], ["a", "b", "c", "d"]])
def test_positions_count_whatever_an_index_says(run: Run, index: list[Any]) -> None:
    expected = run.predict(FOUR).labels
    frame = pd.DataFrame({"text": FOUR}, index=index)
    for data in (frame["text"], frame, pa.table({"text": FOUR}), (text for text in FOUR)):
        found = run.predict(data)
        assert (found.labels, found.ids) == (expected, ["0", "1", "2", "3"])


def test_what_could_not_be_used_stands_where_it_stood(run: Run) -> None:
    series = pd.Series([FOUR[0], "  ", None, FOUR[1]], index=[3, 1, 2, 0])
    found = run.predict(series)
    assert [found.labels[1], found.labels[2]] == [None, None]
    assert found.errors == {1: "the text is empty", 2: "it is missing: None or NaN"}
    assert np.isnan(found.probabilities[1:3]).all()
    assert not np.isnan(found.probabilities[[0, 3]]).any()
    assert "the text is empty" in repr(found)


def test_an_image_in_any_form_is_one_row(image_run: Run, tmp_path: Path) -> None:
    picture = Image.fromarray(PIXELS[0])
    expected = image_run.predict(PIXELS[:1]).labels
    assert image_run.predict(picture).labels == expected
    assert image_run.predict(PIXELS[0]).labels == expected
    assert image_run.predict(pd.DataFrame({"image": [picture]})).labels == expected
    picture.save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert image_run.predict(path).labels == expected


def test_a_path_that_is_not_there_is_no_text(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .*reviews\.csv"):
        run.predict(str(tmp_path / "reviews.csv"))
    pd.DataFrame({"text": FOUR}).to_csv(tmp_path / "reviews.csv")
    assert run.predict(str(tmp_path / "reviews.csv")).labels == run.predict(FOUR).labels


def test_all_that_users_call_of_an_arrow_table_is_there(run: Run) -> None:
    found = run.predict(FOUR)
    assert found.column_names == ["id", "prediction", "p:cold", "p:warm"]
    assert found.column("prediction").to_pylist() == found.labels == found["prediction"].to_pylist()
    assert found.num_rows == len(found.to_pylist()) == 4
    assert pa.table(found).equals(found.table)
    assert found.equals(run.predict(FOUR))
    assert found == run.predict(FOUR)
    assert found.to_pandas()["prediction"].tolist() == found.labels
    assert list(found) == found.labels
    assert found[0]["prediction"] == found.labels[0]
    assert found[1:3].labels == found.labels[1:3]


def test_it_shows_itself_in_a_terminal_and_in_a_notebook(run: Run) -> None:
    shown = repr(run.predict(["a <red> thing", *TEXTS]))
    assert shown.splitlines()[0].split() == ["input", "id", "prediction", "cold", "warm"]
    assert "a <red> thing" in shown
    assert shown.endswith("… 25 rows in all")
    html = run.predict(["a <red> thing", *TEXTS])._repr_html_()
    assert "a &lt;red&gt; thing" in html
    assert html.count("<tr>") == SHOWN_ROWS + 1


def test_many_classes_are_shown_by_the_likeliest() -> None:
    chances = {f"p:c{number}": [number / 45, None] for number in range(10)}
    found = PredictionTable(pa.table({"id": ["0", "1"], "prediction": ["c9", None], **chances}))
    assert "c9 0.200, c8 0.178, c7 0.156" in repr(found)
    assert repr(found).splitlines()[2].split() == ["1", "–", "–"]


def test_numbers_have_no_probabilities() -> None:
    found = PredictionTable(pa.table({"id": ["0", "1"], "prediction": [1.5, 2.25]}))
    assert (found.labels, found.classes, found.probabilities.shape) == ([1.5, 2.25], [], (2, 0))
    assert "1.5" in repr(found)
    assert "2.25" in found._repr_html_()
