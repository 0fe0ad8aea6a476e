"""Temperature scaling: scikit-learn's calibrated probabilities, for every kind of label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from headstart.metrics import calibration
from headstart.metrics.calibration import fit_temperature, likeliest_factor, probabilities_at


def overconfident(n_classes):
    """A classifier that has seen too few rows, with validation and test rows."""
    X, y = make_classification(
        1200, 40, n_informative=8, n_classes=n_classes, flip_y=0.2, random_state=n_classes
    )
    head = LogisticRegression(C=100, max_iter=2000).fit(X[:200], y[:200])
    return head, (X[200:700], y[200:700]), (X[700:], y[700:])


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_calibrated_probabilities_are_scikit_learns(n_classes):
    head, (X_val, y_val), (X_test, y_test) = overconfident(n_classes)
    oracle = CalibratedClassifierCV(FrozenEstimator(head), method="temperature").fit(X_val, y_val)
    temperature = fit_temperature(head.decision_function(X_val), y_val)
    ours = probabilities_at(head.decision_function(X_test), temperature)
    np.testing.assert_allclose(ours, oracle.predict_proba(X_test), atol=1e-6)
    assert temperature > 1
    assert log_loss(y_test, ours) < log_loss(y_test, head.predict_proba(X_test))
    if n_classes > 2:
        beta = oracle.calibrated_classifiers_[0].calibrators[0].beta_
        assert temperature == pytest.approx(1 / float(beta), rel=1e-6)


def test_a_temperature_that_the_labels_were_drawn_with_is_found_again():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=(20_000, 5))
    codes = np.array([rng.choice(5, p=p) for p in softmax(logits / 2.5, axis=1)])
    assert fit_temperature(logits.astype(np.float32), codes) == pytest.approx(2.5, rel=0.03)
    Y = rng.random(logits.shape) < expit(logits / 0.4)
    assert fit_temperature(logits, Y.astype(int)) == pytest.approx(0.4, rel=0.03)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("multi", [False, True])
def test_no_temperature_beside_it_is_likelier_however_large_logits_are(scale, multi):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 4))
    codes = rng.integers(2, size=(200, 4)) if multi else rng.integers(4, size=200)
    if multi:
        codes |= logits > 0.3
    else:
        codes = np.where(rng.random(200) < 0.5, logits.argmax(axis=1), codes)
    logits *= scale

    def loss(temperature):
        p = probabilities_at(logits, temperature, multi=multi)
        return log_loss(codes.ravel(), p.ravel()) if multi else log_loss(codes, p)

    found = fit_temperature(logits, codes)
    assert 1e-2 * scale < found < 1e2 * scale
    assert loss(found) <= min(loss(found * 0.999), loss(found * 1.001))


def test_two_columns_and_their_difference_have_one_temperature():
    rng = np.random.default_rng(0)
    logits, codes = rng.normal(size=(500, 2)), rng.integers(2, size=500)
    ahead = logits[:, 1] - logits[:, 0]
    temperature = fit_temperature(logits, codes)
    assert temperature == pytest.approx(fit_temperature(ahead, codes), rel=1e-5)
    np.testing.assert_allclose(probabilities_at(logits, 3.0), probabilities_at(ahead, 3.0), atol=1e-12)


def test_rows_of_classes_that_the_head_does_not_know_are_left_out():
    rng = np.random.default_rng(0)
    logits, codes = rng.normal(size=(100, 3)), rng.integers(3, size=100)
    mixed = np.where(np.arange(100) < 30, -1, codes)
    assert fit_temperature(logits, mixed) == fit_temperature(logits[30:], codes[30:])
    assert fit_temperature(logits, np.full(100, -1)) == 1.0
    assert fit_temperature(logits[:0], codes[:0]) == 1.0


def test_validation_data_without_a_mistake_makes_no_head_certain():
    assert fit_temperature(np.array([[3.0, -3.0], [-3.0, 3.0]]), np.array([0, 1])) == 1.0
    assert fit_temperature(np.array([3.0, -3.0]), np.array([1, 0])) == 1.0
    assert fit_temperature(np.array([[3.0, -3.0], [3.0, 3.0]]), np.array([[1, 0], [1, 1]])) == 1.0


def test_probabilities_keep_their_dtype_and_overflow_nowhere():
    logits = np.array([[1e4, -1e4, 0], [5, 5, 5]], dtype=np.float32)
    with np.errstate(all="raise", under="ignore"):
        single, multi = probabilities_at(logits, 0.01), probabilities_at(logits, 0.01, multi=True)
    assert single.dtype == multi.dtype == np.float32
    np.testing.assert_allclose(single, [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(multi[0], [1, 0, 0.5])


@pytest.mark.parametrize("seed", [0, 9, 17, 23, 27, 34])
def test_a_search_ends_where_it_has_converged(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(500, 7))
    codes = (logits * draw.uniform(0.2, 4) + draw.gumbel(size=logits.shape)).argmax(axis=1)
    looks: list[float] = []
    slope = calibration._softmax_slope

    def counted(logits: Any, codes: Any, factor: float) -> tuple[float, float]:
        looks.append(factor)
        return slope(logits, codes, factor)

    monkeypatch.setattr(calibration, "_softmax_slope", counted)
    factor = likeliest_factor(logits, codes, (-3.0, 3.0))
    assert len(looks) < 15
    assert abs(slope(logits, codes, factor)[0]) < 1e-9
