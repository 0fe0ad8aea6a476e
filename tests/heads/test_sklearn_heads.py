"""Estimators of scikit-learn as heads, kept by skops."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import ConfigError, StorageError, TrustError
from headstart.fitting.search import open_heads
from headstart.heads import open_head
from headstart.heads.predictor import load_head, save_head
from headstart.heads.sklearn_heads import KNOWN_TYPES, SKOPS_FILE, is_known_type, parsed

from ..made_sets import clouds

skops = pytest.importorskip("skops.io")

FOREST = "py:sklearn.ensemble:RandomForestClassifier"
X, CODES = clouds(60, apart=5)
NAMES = np.array(["red", "green", "blue"])[CODES]
BOTH = np.stack([CODES == 0, CODES > 0], axis=1).astype(np.int64)


@pytest.mark.parametrize(
    ("spec", "y", "task"),
    [
        (FOREST, NAMES, "single"),
        (FOREST, BOTH, "multi"),
        ("py:sklearn.svm:LinearSVC", NAMES, "single"),
        ("py:sklearn.neighbors:KNeighborsRegressor", CODES * 1.5, "regression"),
    ],
)
def test_it_predicts_the_same_when_it_is_read_again(spec: str, y: Any, task: str, tmp_path: Path) -> None:
    given = {"n_estimators": "5", "max_depth": "none"} if spec == FOREST else {}
    head: Any = open_head(spec, given, seed=1, task=task).fit(X, y)
    save_head(head, tmp_path)
    again: Any = load_head(tmp_path)
    np.testing.assert_array_equal(again.predict(X), head.predict(X))
    assert again.get_params() == head.get_params()
    assert again.task == task
    if task != "regression":
        np.testing.assert_array_equal(again.predict_proba(X), head.predict_proba(X))
    if task == "single":
        assert (again.predict(X) == NAMES).mean() > 0.9


def test_probabilities_are_the_estimators_own() -> None:
    from sklearn.ensemble import RandomForestClassifier

    ours: Any = open_head(FOREST, {"n_estimators": 5}, seed=3).fit(X, NAMES)
    theirs = RandomForestClassifier(n_estimators=5, random_state=3).fit(X, CODES)
    wanted = theirs.predict_proba(X)[:, [2, 1, 0]]  # blue, green, red
    np.testing.assert_allclose(ours.predict_proba(X).argmax(axis=1), wanted.argmax(axis=1))


def test_a_foreign_type_is_not_made(tmp_path: Path) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    head: Any = open_head(FOREST, {"n_estimators": 2}, seed=0).fit(X, NAMES)
    save_head(head, tmp_path)
    hostile = skops.dumps(make_pipeline(FunctionTransformer(json.dumps), head.estimator_))
    (tmp_path / SKOPS_FILE).write_bytes(hostile)
    with pytest.raises(StorageError, match=r"head\.skops is not the file that head\.json was written with"):
        load_head(tmp_path)
    said = json.loads((tmp_path / "head.json").read_text())
    said["files"] = {SKOPS_FILE: blake2b(hostile, digest_size=16).hexdigest()}
    (tmp_path / "head.json").write_text(json.dumps(said))
    with pytest.raises(TrustError, match=r"names the types json\.dumps, .* say --trust json "):
        load_head(tmp_path)


def test_reading_one_imports_nothing_that_its_spec_names(tmp_path: Path) -> None:
    head: Any = open_head(FOREST, {"n_estimators": 2}, seed=0).fit(X, NAMES)
    save_head(head, tmp_path)
    path = tmp_path / "head.json"
    path.write_text(path.read_text().replace("py:sklearn.ensemble:", "py:no_such_module:"))
    np.testing.assert_array_equal(load_head(tmp_path).predict(X), head.predict(X))


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match="no parameter 'n_estimator'; did you mean 'n_estimators'"):
        open_head(FOREST, {"n_estimator": 3}, seed=0)
    with pytest.raises(ConfigError, match="is no regressor; for numbers take one that is"):
        open_head(FOREST, {}, seed=0, task="regression").fit(X, CODES * 1.0)


def test_its_parameters_are_swept() -> None:
    from headstart.config import FitConfig

    config = FitConfig(set="any", head=FOREST, sweep={"n_estimators": [2, 4], "max_depth": [3]})
    [head] = open_heads(config, "single")
    assert head.kind == "sklearn"


def test_types_are_known_whole() -> None:
    assert is_known_type("sklearn.tree._tree.Tree")
    assert not is_known_type("sklearn.tree._tree.Tree.os.system")
    assert not is_known_type("os.system")
    assert all(pattern.startswith("sklearn") for pattern in KNOWN_TYPES)
    assert [parsed(value) for value in ("3", "0.1", "None", "false", "sqrt")] == [3, 0.1, None, False, "sqrt"]
