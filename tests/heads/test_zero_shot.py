"""The head that names of classes make, and the linear head that starts from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.class_vectors import ClassVectors
from headstart.errors import ConfigError, DataError
from headstart.heads import open_head
from headstart.heads.answers import KeptAffine, unit
from headstart.heads.plain import plain_head
from headstart.heads.predictor import Predictor, save_head
from headstart.heads.torch_heads import Labelled, fit_stack

NAMES = ("shirt", "hat", "dress")
SHORT = {"epochs": 3, "lr": 0.05, "init": "zero-shot"}


def vectors(seed: int = 0, bias: float | None = None, width: int = 8) -> ClassVectors:
    draw = np.random.default_rng(seed)
    made = {name: unit(draw.normal(size=(3, width))).astype(np.float32) for name in ("photo", "text")}
    return ClassVectors(NAMES, made, 30.0, bias)


def clouds(n: int = 60, width: int = 8, seed: int = 1) -> tuple[Any, Any]:
    """Samples about the directions of the names, far enough away that the names alone are often wrong."""
    draw = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    X = vectors().directions()[codes] + 0.6 * draw.normal(size=(n, width)) + 0.5 * np.eye(width)[codes]
    return unit(X).astype(np.float32), np.array(NAMES)[codes]


def named(name: str, params: dict[str, Any] | None = None, of: ClassVectors | None = None) -> Any:
    head: Any = open_head(name, params or {}, seed=0)
    head.class_vectors = of or vectors()
    return head


@given(st.floats(0.1, 100), st.integers(0, 10))
def test_logits_are_cosines_times_the_scale_whatever_the_lengths(length: float, seed: int) -> None:
    X, _ = clouds(seed=seed)
    head = named("zero-shot").fit(X)
    assert head.classes_.tolist() == sorted(NAMES)
    expected = 30 * X @ vectors().directions().T
    order = [NAMES.index(name) for name in head.classes_]
    np.testing.assert_allclose(head.decision_function(length * X), expected[:, order], atol=1e-4)


def test_another_scale_and_other_templates_are_taken_if_asked_for() -> None:
    X, _ = clouds()
    head = named("zero-shot", {"templates": "text", "logit_scale": "5"}).fit(X)
    order = [NAMES.index(name) for name in head.classes_]
    expected = 5 * X @ vectors().directions("text").T
    np.testing.assert_allclose(head.decision_function(X), expected[:, order], atol=1e-5)
    with pytest.raises(
        ConfigError, match="templates='sketch' were not put through the model: photo, text were"
    ):
        named("zero-shot", {"templates": "sketch"}).fit(X)


def test_a_kept_head_answers_bit_for_bit_and_as_a_plain_torch_module(tmp_path: Path) -> None:
    X, _ = clouds()
    head = named("zero-shot").fit(X)
    save_head(head, tmp_path)
    loaded = Predictor.load(tmp_path)
    assert isinstance(loaded.answering, KeptAffine)
    assert loaded.answering.predict_proba(X).tobytes() == head.predict_proba(X).tobytes()
    assert loaded.head.predict_proba(X).tobytes() == head.predict_proba(X).tobytes()
    with torch.inference_mode():
        logits = plain_head(loaded).module(torch.from_numpy(3 * X)).numpy()
    np.testing.assert_allclose(logits, head.decision_function(X), atol=1e-4)


def test_several_labels_a_sample_are_told_by_a_sigmoid_in_their_own_order() -> None:
    X, _ = clouds()
    head = named("zero-shot", of=vectors(bias=-12.0)).fit(X, np.zeros((len(X), 3), dtype=np.int64))
    expected = 1 / (1 + np.exp(12 - 30 * X @ vectors().directions().T))
    np.testing.assert_allclose(head.predict_proba(X), expected, atol=1e-5)


def test_it_needs_names_features_of_their_width_and_two_classes() -> None:
    X, _ = clouds()
    with pytest.raises(ConfigError, match="made of the names of classes"):
        open_head("zero-shot", {}, seed=0).fit(X, None)
    with pytest.raises(DataError, match=r"features are 5 wide.* is 8 wide"):
        named("zero-shot").fit(X[:, :5])
    alone = ClassVectors(("hat",), {"photo": vectors().directions()[:1]}, 30.0)
    with pytest.raises(DataError, match="two classes; there is 'hat' alone"):
        named("zero-shot", of=alone).fit(X)
    with pytest.raises(ConfigError, match="set class_vectors"):
        open_head("linear", SHORT, seed=0).fit(*clouds())


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_a_linear_head_that_goes_none_of_the_way_is_the_zero_shot_head(scaling: str) -> None:
    X, y = clouds()
    zero = named("zero-shot").fit(X)
    linear = named("linear", {**SHORT, "blend": 0, "scaling": scaling}).fit(X, y)
    np.testing.assert_allclose(linear.decision_function(X), zero.decision_function(X), atol=1e-4)
    assert linear.blend_ == 0


def test_weights_lie_on_the_way_at_the_share_that_was_asked_for(tmp_path: Path) -> None:
    X, y = clouds()
    start, middle, end = (named("linear", {**SHORT, "blend": b}).fit(X, y) for b in (0, 0.25, 1))
    assert not np.allclose(start.coef_, end.coef_, atol=1e-3)
    np.testing.assert_allclose(middle.coef_, 0.75 * start.coef_ + 0.25 * end.coef_, atol=1e-5)
    save_head(middle, tmp_path)
    loaded = Predictor.load(tmp_path)
    assert loaded.head.predict_proba(X).tobytes() == middle.predict_proba(X).tobytes()


def test_auto_is_as_good_on_validation_as_any_share_of_the_way() -> None:
    (X, y), (X_val, y_val) = clouds(30), clouds(90, seed=5)
    auto = named("linear", SHORT).fit(X, y, X_val, y_val)
    accuracy = auto.score(X_val, y_val)
    for share in (0, 0.3, 0.65, 1):
        other = named("linear", {**SHORT, "blend": share}).fit(X, y, X_val, y_val)
        assert accuracy >= other.score(X_val, y_val)


def test_decay_pulls_towards_the_names_and_not_to_zero() -> None:
    X, y = clouds()
    zero = named("zero-shot").fit(X)
    pulled = named("linear", {**SHORT, "blend": 1, "weight_decay": 1000, "lr": 0.001, "epochs": 30}).fit(X, y)
    np.testing.assert_allclose(pulled.decision_function(X), zero.decision_function(X), atol=1)


def test_heads_that_differ_in_their_blend_and_rate_are_trained_in_one_stack_as_each_alone() -> None:
    (X, y), (X_val, y_val) = clouds(), clouds(30, seed=5)
    params = [{**SHORT, "blend": b, "lr": lr} for lr in (0.05, 0.01) for b in (0, 0.5, "auto")]
    stacked = [named("linear", each) for each in params]
    results = fit_stack(stacked, Labelled(X, y, X_val, y_val))
    assert results[0] is results[2] is not results[3]  # of one rate one is trained for all
    for each, head in zip(params, stacked, strict=True):
        alone = named("linear", each).fit(X, y, X_val, y_val)
        np.testing.assert_allclose(head.coef_, alone.coef_, atol=1e-5)
        assert head.blend_ == alone.blend_


def test_a_blend_is_a_share() -> None:
    for wrong in ("1.5", "-0.1", "some"):
        with pytest.raises(ConfigError, match=r"blend must be auto or a number in \[0, 1\], got"):
            open_head("linear", {"blend": wrong}, seed=0)
    assert open_head("linear", {"blend": "1"}, seed=0).get_params()["blend"] == 1
    with pytest.raises(ConfigError, match="init must be one of none, zero-shot"):
        open_head("linear", {"init": "zeroshot"}, seed=0)
