"""What every head must do: inherit from `HeadContract` and make one.

::

    class TestMyHead(HeadContract):
        @pytest.fixture
        def head(self) -> Head:
            return open_head("mine", {}, seed=0)

The data are three well separated classes; a head that takes sequences overrides ``classes``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.base import clone

from headstart.heads.predictor import Predictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Data = tuple[Any, NDArray[Any]]

NAMES = np.array(["ape", "bee", "cat"])


def clouds(n: int = 150, width: int = 8, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Three classes around centres that lie apart, and their names."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % len(NAMES)
    centres = 4 * rng.normal(size=(len(NAMES), width))
    return (centres[codes] + rng.normal(size=(n, width))).astype(np.float32), NAMES[codes]


class HeadContract:
    """Tests that every classifier passes."""

    @pytest.fixture
    def classes(self) -> Data:
        """Features that the head takes, and the names of their classes."""
        return clouds()

    def test_it_learns_what_is_easy(self, head: Any, classes: Data) -> None:
        """It knows the classes by name, and tells clouds apart."""
        X, y = classes
        fitted = head.fit(X, y)
        assert fitted is head
        assert head.classes_.tolist() == NAMES.tolist()
        assert float(np.mean(head.predict(X) == y)) > 0.9

    def test_probabilities_are_probabilities(self, head: Any, classes: Data) -> None:
        """Rows sum to one, and the most probable class is what is predicted."""
        X, y = classes
        probabilities = head.fit(X, y).predict_proba(X)
        assert probabilities.shape == (len(y), len(NAMES))
        assert float(probabilities.min()) >= 0
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-5)
        assert (head.classes_[probabilities.argmax(axis=1)] == head.predict(X)).all()

    def test_the_same_seed_gives_the_same_head(self, head: Any, classes: Data) -> None:
        """A clone learns bit for bit the same, and nothing of it before it is fitted."""
        X, y = classes
        other = clone(head)
        assert other.get_params() == head.get_params()
        one, two = (each.fit(X, y).predict_proba(X) for each in (head, other))
        assert one.tobytes() == two.tobytes()

    def test_it_leaves_the_features_as_they_are(self, head: Any, classes: Data) -> None:
        """What the cache maps may be read-only, and is shared."""
        X, y = classes
        before = X.tobytes()
        head.fit(X, y).predict(X)
        assert X.tobytes() == before

    def test_it_is_kept_without_pickle(self, head: Any, classes: Data, tmp_path: Path) -> None:
        """Arrays in safetensors, the rest in JSON; it comes back bit for bit."""
        X, y = classes
        predictor = Predictor(head.fit(X, y))
        predictor.save(tmp_path)
        assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".py"}
        again = Predictor.load(tmp_path)
        assert again.outputs(X).tobytes() == predictor.outputs(X).tobytes()
        assert again.classes == predictor.classes

    def test_what_it_fitted_is_finite(self, head: Any, classes: Data) -> None:
        """No weight is NaN or infinite."""
        X, y = classes
        assert all(np.isfinite(tensor).all() for tensor in head.fit(X, y).tensors().values())
