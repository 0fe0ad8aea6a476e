"""A head on disk: it comes back bit for bit, and nothing that is not one gets in."""

from __future__ import annotations

import json
import pickle
import pickletools
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from headstart.errors import DataError, FormatError, StorageError
from headstart.heads import HEADS, open_head
from headstart.heads.answers import KeptAffine
from headstart.heads.predictor import AFFINE, Predictor, load_head, save_head

DENSE = [name for name in HEADS if name not in ("attention", "bilstm", "zero-shot")]
"""Without those that take several vectors a sample, or names of classes."""


@pytest.fixture
def folder(problem, tmp_path):
    """A folder with a saved logistic head."""
    save_head(open_head("logistic", {}, seed=0).fit(problem.X, problem.y), tmp_path)
    return tmp_path


def rewrite_json(folder, **entries):
    path = folder / "head.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def rewrite_tensors(folder, **tensors):
    """Put other tensors in, with a digest that fits."""
    path = folder / "head.safetensors"
    content = save({**load(path.read_bytes()), **tensors})
    path.write_bytes(content)
    rewrite_json(folder, digest=blake2b(content, digest_size=16).hexdigest())


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("binary", [False, True])
def test_a_loaded_head_predicts_bit_for_bit_the_same(problem, tmp_path, name, dtype, binary):
    X, y = problem.binary() if binary else (problem.X, problem.y)
    params = {"epochs": 2, "batch_size": 100} if name in ("linear", "mlp", "residual") else {}
    head = open_head(name, params, seed=4).fit(X.astype(dtype), y)
    save_head(head, tmp_path)
    loaded = load_head(tmp_path)
    assert type(loaded) is type(head)
    assert loaded.get_params() == head.get_params()
    X_test = problem.X_test.astype(dtype)
    assert loaded.predict_proba(X_test).tobytes() == head.predict_proba(X_test).tobytes()
    assert loaded.predict(X_test).tolist() == head.predict(X_test).tolist()
    assert {key: getattr(loaded, key) for key in head.fitted} == {
        key: getattr(head, key) for key in head.fitted
    }


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("n_rows", [1, 3, 300])
def test_bit_for_bit_holds_for_any_number_of_rows(tmp_path, name, n_rows):
    """BLAS takes other paths for other shapes and memory layouts, and they differ in the last bit."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 50)).astype(np.float32), rng.integers(5, size=300)
    head = open_head(
        name, {"epochs": 1, "batch_size": 100} if name in ("linear", "mlp", "residual") else {}, seed=0
    ).fit(X, y)
    save_head(head, tmp_path)
    decision = head.decision_function(X[:n_rows])
    assert load_head(tmp_path).decision_function(X[:n_rows]).tobytes() == decision.tobytes()


@pytest.mark.parametrize("name", [name for name in AFFINE if name != "zero-shot"])
@pytest.mark.parametrize("form", ["classes", "two classes", "labels", "number", "numbers"])
def test_a_kept_affine_head_answers_from_its_arrays_alone(problem, tmp_path, name, form):
    task = {"labels": "multi", "number": "regression", "numbers": "regression"}.get(form, "single")
    if (name, task) in {("centroid", "multi"), ("centroid", "regression"), ("logistic", "regression")}:
        pytest.skip("there is no such head")
    X, y = problem.binary() if form == "two classes" else (problem.X, problem.y)
    numbers = X[:, :3] @ np.arange(6.0).reshape(3, 2)
    y = {"labels": (numbers > 0).astype(int), "number": numbers[:, 0], "numbers": numbers}.get(form, y)
    made = Predictor(open_head(name, {}, seed=0, task=task).fit(X.astype(np.float32), y))
    made.save(tmp_path)
    kept = Predictor.load(tmp_path)
    assert isinstance(kept.answering, KeptAffine)
    assert (kept.task, kept.classes) == (made.task, made.classes)
    for rows in (problem.X_test.astype(np.float32), problem.X_test[:1], problem.X_test.astype(np.float16)):
        assert kept.outputs(rows).tobytes() == made.outputs(rows).tobytes()
        assert kept.answering.predict(rows).tolist() == made.head.predict(rows).tolist()
        if task != "regression":
            scores = kept.answering.decision_function(rows)
            assert scores.tobytes() == made.head.decision_function(rows).tobytes()
    assert type(kept.head) is type(made.head)
    with pytest.raises(DataError, match=r"shape \(2, 3\); the head was fitted on \(N, 12\)"):
        kept.outputs(np.zeros((2, 3)))
    rewrite_tensors(tmp_path, coef=np.zeros((1, 3)))
    with pytest.raises(StorageError, match="'coef' is float64"):
        Predictor.load(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        np.array(["chat", "zèbre 🦓", "", "line\nbreak"]),
        np.array(["a", "bb", "ccc", "dddd"], dtype=object),
        np.array([-3, 0, 7, 2**40]),
        np.array([-2.0, 0.0, 1.0, 5.0]),
    ],
)
def test_classes_come_back_as_they_were(problem, tmp_path, names):
    y = names[np.searchsorted(["cat", "dog", "eel", "fox"], problem.y)]
    save_head(open_head("ridge", {}, seed=0).fit(problem.X, y), tmp_path)
    classes = load_head(tmp_path).classes_
    assert classes.dtype == names.dtype
    assert classes.tolist() == sorted(names.tolist())


def test_parameters_from_a_numpy_grid_are_kept(problem, tmp_path):
    head = open_head("logistic", {}, seed=0).set_params(C=np.float32(0.5), max_iter=np.int64(50))
    save_head(head.fit(problem.X, problem.y), tmp_path)
    kept = load_head(tmp_path).get_params()
    assert kept == {**open_head("logistic", {}, seed=0).get_params(), "C": 0.5, "max_iter": 50}


def test_what_json_cannot_hold_is_refused_when_saving(problem, tmp_path):
    seeded = open_head("logistic", {}, seed=0).set_params(random_state=np.random.RandomState(0))
    with pytest.raises(StorageError, match="random_state"):
        save_head(seeded.fit(problem.X, problem.y), tmp_path)
    binary = open_head("ridge", {}, seed=0).fit(problem.X, problem.y)
    binary.classes_ = binary.classes_.astype("S")
    with pytest.raises(StorageError, match="cannot be kept"):
        save_head(binary, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(problem, tmp_path):
    head = open_head("ridge", {}, seed=0).fit(problem.X, problem.y)
    with pytest.raises(StorageError, match="nowhere"):
        save_head(head, tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r"cannot read .*nowhere"):
        load_head(tmp_path / "nowhere")


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_planted_pickle_is_refused_and_not_run(folder):
    target = folder / "boom"
    bomb = pickle.dumps(Bomb(target))
    (folder / "head.safetensors").write_bytes(bomb)
    rewrite_json(folder, digest=blake2b(bomb, digest_size=16).hexdigest())
    with pytest.raises(StorageError, match=r"head\.safetensors is not a safetensors file"):
        load_head(folder)
    (folder / "head.json").write_bytes(bomb)
    with pytest.raises(StorageError, match=r"head\.json"):
        load_head(folder)
    assert not target.exists()


def test_nothing_that_is_written_is_a_pickle(folder):
    for path in folder.iterdir():
        with pytest.raises((ValueError, IndexError)):
            list(pickletools.genops(path.read_bytes()))


@pytest.mark.parametrize("missing", ["head.json", "head.safetensors"])
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(StorageError, match=f"cannot read .*{missing}"):
        load_head(folder)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_named(folder, keep):
    path = folder / "head.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StorageError, match=r"head\.safetensors is not a safetensors file, or is cut short"):
        load_head(folder)


def test_a_flipped_bit_is_noticed(folder):
    path = folder / "head.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"not the file that head\.json was written with"):
        load_head(folder)


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b"{}", b"[" * 100_000])
def test_garbage_in_place_of_json_is_refused(folder, garbage):
    (folder / "head.json").write_bytes(garbage)
    with pytest.raises(StorageError, match=r"head\.json"):
        load_head(folder)


@pytest.mark.parametrize(
    "entries",
    [
        {"kind": "perceptron"},
        {"kind": 3},
        {"params": {"D": 1}},
        {"params": {"C": -1}},
        {"params": {"C": []}},
        {"params": []},
        {"n_features": "12"},
        {"fitted": None},
        {"classes": {}},
        {"classes": {"dtype": "<U3", "values": ["cat"]}},
        {"classes": {"dtype": "<U2", "values": ["cat", "dog", "eel", "fox"]}},
        {"classes": {"dtype": "<U3", "values": ["cat", "cat", "eel", "fox"]}},
        {"classes": {"dtype": "|O", "values": ["cat", ["dog"], "eel", "fox"]}},
        {"classes": {"dtype": "<i8", "values": ["cat", "dog", "eel", "fox"]}},
        {"classes": {"dtype": "<M8[s]", "values": ["cat", "dog", "eel", "fox"]}},
        {"classes": {"dtype": "nonsense", "values": ["cat", "dog", "eel", "fox"]}},
        {"classes": {"dtype": 7, "values": 7}},
        {"digest": 0},
    ],
)
def test_a_description_that_makes_no_sense_is_refused(folder, entries):
    rewrite_json(folder, **entries)
    with pytest.raises(StorageError, match=r"head\.json"):
        load_head(folder)


@pytest.mark.parametrize(
    "tensors",
    [
        {"coef": np.zeros((3, 12), np.float32)},
        {"coef": np.zeros((4, 11), np.float32)},
        {"coef": np.zeros((4, 12), np.int32)},
        {"mean": np.zeros((12, 1))},
        {"mean": np.full(12, np.nan)},
        {"intercept": np.array([0, 0, np.inf, 0], np.float32)},
        {"scale": np.zeros(12)},
        {"extra": np.zeros(3)},
    ],
)
def test_tensors_that_do_not_fit_are_refused(folder, tensors):
    rewrite_tensors(folder, **tensors)
    with pytest.raises(StorageError, match=next(iter(tensors))):
        load_head(folder)


def test_a_newer_format_is_named(folder):
    rewrite_json(folder, format=2)
    with pytest.raises(FormatError, match="format 2, and this version of headstart knows 1"):
        load_head(folder)


def test_another_estimator_is_not_kept(tmp_path):
    from sklearn.linear_model import Ridge

    with pytest.raises(StorageError, match="Ridge"):
        save_head(Ridge(), tmp_path)
