"""What every page holds, checked entry by entry: shapes, types and ranges of what the front end reads."""

from __future__ import annotations

import json
import math
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = ("uint8", "uint16", "uint32", "float32")
KINDS = ("single", "multi", "regression", "tags", "spans", "seq2seq")
QUEUES = ("suggestions", "mistakes", "label_errors", "duplicates", "leaks", "group_leaks", "outliers")
TOP = {
    "format", "kind", "title", "about", "version", "created", "notes", "set", "label", "samples", "points",
    "neighbours", "runs", "comparison", "queues",
}  # fmt: skip


def decoded(packed: Mapping[str, Any]) -> NDArray[Any]:
    """A typed array."""
    assert set(packed) == {"b64", "dtype", "shape"}
    assert packed["dtype"] in TYPES
    array = np.frombuffer(
        b64decode(packed["b64"], validate=True), np.dtype(packed["dtype"]).newbyteorder("<")
    )
    assert array.size == math.prod(packed["shape"])
    return array.reshape(packed["shape"])


def none_of(packed: Mapping[str, Any]) -> int:
    """The code that means none."""
    return int(np.iinfo(packed["dtype"]).max)


def check_page(page: Mapping[str, Any]) -> None:
    """Check a whole page; it is JSON without numbers that JSON has no word for."""
    json.dumps(page, allow_nan=False)
    assert set(page) - {"matters"} == TOP
    assert page["format"] == 1
    assert page["kind"] in ("run", "set", "runs")
    assert len(page["runs"]) == {"run": 1, "set": 0, "runs": 2}[page["kind"]]
    assert (page["comparison"] is not None) == (page["kind"] == "runs")
    assert all(isinstance(note, str) and note for note in page["notes"])
    assert all(len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in page["about"])
    assert all(isinstance(page[name], str) for name in ("title", "version", "created"))
    if page["set"] is not None:
        assert set(page["set"]) == {"name", "digest"}
        assert len(page["set"]["digest"]) == 16
    _check_samples(page)
    n = page["samples"]["n"]
    if page["points"] is not None:
        assert set(page["points"]) == {"x", "y", "method", "note"}
        assert all(decoded(page["points"][axis]).shape == (n,) for axis in "xy")
        assert {page["points"][axis]["dtype"] for axis in "xy"} == {"float32"}
    if page["neighbours"] is not None:
        _check_neighbours(page["neighbours"], n)
    for run in page["runs"]:
        check_run(run, page)
    for queue in page["queues"]:
        check_queue(queue, n)
    assert len({queue["name"] for queue in page["queues"]}) == len(page["queues"])
    if page["comparison"] is not None:
        check_comparison(page["comparison"], page)


def _check_samples(page: Mapping[str, Any]) -> None:
    samples, label = page["samples"], page["label"]
    assert set(samples) == {"n", "ids", "keys", "columns", "labels", "texts", "thumbs"}
    n = samples["n"]
    assert len(samples["ids"]) == n
    assert all(isinstance(each, str) for each in samples["ids"])
    assert samples["keys"]["dtype"] == "uint8"
    assert decoded(samples["keys"]).shape == (n, 16)
    names = [column["name"] for column in samples["columns"]]
    assert len(set(names)) == len(names)
    for column in samples["columns"]:
        check_column(column, n)
    if label is not None:
        assert set(label) == {"column", "kind", "names"}
        assert label["kind"] in KINDS
        if label["kind"] == "single":
            assert samples["labels"] is None
            assert next(c["names"] for c in samples["columns"] if c["name"] == "label") == label["names"]
        else:
            assert len(samples["labels"]) == n
            assert all(isinstance(each, str) for each in samples["labels"])
    if samples["texts"] is not None:
        assert len(samples["texts"]) == n
        assert all(isinstance(each, str) for each in samples["texts"])
    if samples["thumbs"] is not None:
        rows = _check_rows(samples["thumbs"]["rows"], n)
        assert len(rows) == len(samples["thumbs"]["images"]) == len(np.unique(rows))
        assert all(image.startswith("data:image/webp;base64,") for image in samples["thumbs"]["images"])


def check_column(column: Mapping[str, Any], n: int) -> None:
    """A column to filter by."""
    if column["kind"] == "number":
        assert set(column) == {"name", "title", "kind", "values"}
        assert column["values"]["dtype"] == "float32"
        values = decoded(column["values"])
        assert values.shape == (n,)
        assert not np.isinf(values).any()
        return
    assert column["kind"] == "category"
    assert set(column) == {"name", "title", "kind", "names", "codes"}
    assert len(set(column["names"])) == len(column["names"])
    _check_codes(column["codes"], n, len(column["names"]))


def _check_codes(packed: Mapping[str, Any], n: int, n_names: int) -> NDArray[Any]:
    codes = decoded(packed)
    assert codes.shape == (n,)
    assert n_names <= none_of(packed)
    assert ((codes < n_names) | (codes == none_of(packed))).all()
    return codes


def _check_rows(packed: Mapping[str, Any], n: int) -> NDArray[Any]:
    rows = decoded(packed)
    assert packed["dtype"] == "uint32"
    assert (rows < n).all()
    return rows


def _check_neighbours(near: Mapping[str, Any], n: int) -> None:
    rows, found, cosine = _check_rows(near["rows"], n), decoded(near["near"]), decoded(near["cosine"])
    assert len(np.unique(rows)) == len(rows)
    assert found.shape == cosine.shape == (len(rows), found.shape[1])
    assert ((found < n) | (found == none_of(near["near"]))).all()
    assert (found != rows[:, None]).all()
    known = np.isfinite(cosine)
    assert (np.abs(cosine[known]) <= 1 + 1e-6).all()


def check_run(run: Mapping[str, Any], page: Mapping[str, Any]) -> None:
    """A run: what is said of its p samples."""
    assert set(run) == {
        "name", "task", "classes", "figures", "slices", "rows", "label", "prediction", "probabilities", "confidence",
        "said", "expected", "curves",
    }  # fmt: skip
    rows = _check_rows(run["rows"], page["samples"]["n"])
    p, n_classes = len(rows), len(run["classes"])
    assert len(np.unique(rows)) == p
    assert run["task"] in KINDS
    assert (run["label"] is not None) == (run["prediction"] is not None) == (run["task"] == "single")
    assert (run["said"] is not None) == (run["expected"] is not None) == (run["task"] != "single")
    if run["task"] == "single":
        _check_codes(run["label"], p, n_classes)
        _check_codes(run["prediction"], p, n_classes)
    else:
        assert len(run["said"]) == len(run["expected"]) == p
    if run["probabilities"] is not None:
        assert run["probabilities"]["dtype"] in ("uint8", "float32")
        assert decoded(run["probabilities"]).shape == (p, n_classes)
    if run["confidence"] is not None:
        confidence = decoded(run["confidence"])
        assert confidence.shape == (p,)
        assert (np.isnan(confidence) | ((confidence >= 0) & (confidence <= 1))).all()
    for figure in run["figures"]:
        assert set(figure) == {"split", "name", "title", "value", "interval", "reason"}
        assert math.isfinite(figure["value"])
        _check_interval(figure["interval"])
    for curve in run["curves"]:
        check_curve(curve)
    for one in run["slices"]:
        assert set(one) == {"column", "value", "split", "n", "figure", "figure_value", "interval", "rest"}
        _check_slice(one, page)
        assert one["n"] >= 10
        _check_interval(one["interval"])


def check_curve(curve: Mapping[str, Any]) -> None:
    """A table of draws: each row has a value of each figure."""
    assert set(curve) == {"title", "noun", "split", "figures", "rows", "notes"}
    for row in curve["rows"]:
        assert set(row) == {"name", "size", "share", "draws", "values"}
        assert len(row["values"]) == len(curve["figures"])
        for value in row["values"]:
            assert set(value) == {"mean", "deviation", "interval"}
            _check_interval(value["interval"])


def _check_slice(one: Mapping[str, Any], page: Mapping[str, Any]) -> None:
    """A click on it filters: its column is on the page, and has the value, or its value is a range of numbers."""
    column = next(c for c in page["samples"]["columns"] if c["name"] == one["column"])
    if column["kind"] == "category":
        assert one["value"] in column["names"]
        return
    low, high = map(np.float32, map(float, one["value"].split(" to ")))
    assert low <= high


def _check_interval(interval: list[float] | None) -> None:
    if interval is not None:
        low, high = interval
        assert low <= high


def check_queue(queue: Mapping[str, Any], n: int) -> None:
    """A queue of samples to look at."""
    assert set(queue) == {
        "name", "title", "about", "rows", "other", "suggested", "score", "score_title", "n",
    }  # fmt: skip
    assert queue["name"] in QUEUES
    rows = _check_rows(queue["rows"], n)
    assert 0 < len(rows) <= queue["n"]
    if queue["other"] is not None:
        other = _check_rows(queue["other"], n)
        assert len(other) == len(rows)
        assert (other != rows).all()
    if queue["suggested"] is not None:
        assert len(queue["suggested"]) == len(rows)
        assert all(isinstance(each, str) for each in queue["suggested"])
    if queue["score"] is not None:
        assert decoded(queue["score"]).shape == rows.shape
        assert isinstance(queue["score_title"], str)


def check_comparison(found: Mapping[str, Any], page: Mapping[str, Any]) -> None:
    """How two runs differ."""
    assert set(found) == {"figures", "only_a", "only_b", "p_value", "n", "slices", "note"}
    for figure in found["figures"]:
        assert set(figure) == {"name", "title", "a", "b", "difference", "interval"}
        assert math.isclose(figure["difference"], figure["b"] - figure["a"], abs_tol=1e-9)
        _check_interval(figure["interval"])
    for one in found["slices"]:
        assert set(one) == {"column", "value", "n", "a", "b", "gained", "lost"}
        _check_slice(one, page)
        assert one["gained"] + one["lost"] <= one["n"]
    flip = next((c for c in page["samples"]["columns"] if c["name"] == "flip"), None)
    if flip is not None:
        codes = decoded(flip["codes"])
        gained, lost = (int((codes == flip["names"].index(name)).sum()) for name in ("gained", "lost"))
        assert (gained, lost) == (found["only_b"], found["only_a"])


def column_of(page: Mapping[str, Any], name: str) -> list[Any]:
    """A column's values: names, or numbers; None for none."""
    column = next(c for c in page["samples"]["columns"] if c["name"] == name)
    if column["kind"] == "number":
        return [None if np.isnan(value) else float(value) for value in decoded(column["values"])]
    names, none = column["names"], none_of(column["codes"])
    return [None if code == none else names[code] for code in decoded(column["codes"]).tolist()]


def queue_of(page: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A queue by its name."""
    return next(queue for queue in page["queues"] if queue["name"] == name)
