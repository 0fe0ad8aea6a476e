"""Linear support vector machines, as scikit-learn's liblinear finds them."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC, LinearSVR

from headstart.devices import seed_of
from headstart.heads.answers import Floats
from headstart.heads.estimators import CLASS_WEIGHTS, SCALINGS, AffineHead, Classifier, Regressor
from headstart.heads.parameters import SEEDS, Interval
from headstart.heads.rows import standardise


class _SVM(AffineHead):
    is_thread_safe: ClassVar[bool] = False  # it listens to the warnings of its solver
    kind: ClassVar[str] = "svm"
    intervals: ClassVar = {"C": Interval(0, open_low=True), "max_iter": Interval(1), "random_state": SEEDS}

    n_iter_: int
    converged_: bool

    def _solve(
        self, model: Any, features: NDArray[np.floating[Any]], columns: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fit each column of targets, codes or numbers (N, T); matrix (n_outputs, D) and intercepts."""
        # The penalty of liblinear is on the intercept too: centred features keep it small.
        centre = self._centre(features)
        Z = standardise(features, centre, self.scale_)
        models, self.converged_ = [], True
        for targets in columns.T:
            if (targets == targets[0]).all():
                models.append((np.zeros((1, Z.shape[1])), np.array([targets[0]], dtype=float), 1))
                continue
            self.converged_ &= _fit_quietly(model, Z, targets)
            models.append((np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), int(model.n_iter_)))
        self.n_iter_ = max(n for *_, n in models)
        coef, intercept = (np.concatenate([model[part] for model in models]) for part in (0, 1))
        return coef, intercept - coef @ centre if self.scaling == "none" else intercept


class SVMHead(Classifier, _SVM):
    """A linear support vector machine for each class against the others, with squared hinge loss.

    It has **no calibrated probabilities**: ``predict_proba`` is the softmax of the decision values.

    Parameters
    ----------
    C : float in (0, inf)
        Inverse strength of the penalty, on standardised features.
    max_iter : int in [1, inf)
    class_weight : {"none", "balanced"}
    scaling : {"standard", "none"}
    random_state : int
        Decides the order in which samples are visited.

    Attributes
    ----------
    n_iter_ : int
        How many iterations the slowest machine took.
    converged_ : bool

    Examples
    --------
    >>> head = SVMHead(C=1.0).fit([[0.0], [1.0], [2.0], [3.0]], ["cat", "cat", "dog", "dog"])
    >>> head.predict([[0.5], [9.0]]).tolist()
    ['cat', 'dog']
    """

    choices: ClassVar = {"scaling": SCALINGS, "class_weight": CLASS_WEIGHTS}
    fitted: ClassVar = (*Classifier.fitted, "n_iter_", "converged_")

    def __init__(
        self,
        C: float = 0.003,
        max_iter: int = 1000,
        class_weight: str = "none",
        scaling: str = "standard",
        random_state: Any = 0,
    ) -> None:
        self.C = C
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.scaling = scaling
        self.random_state = random_state

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        # All classes in one call: liblinear copies the features in each.
        columns = np.where(targets > 0, 1, -1) if self.is_multi_ else targets[:, None]
        model = LinearSVC(
            C=self.C,
            max_iter=self.max_iter,
            class_weight=None if self.class_weight == "none" else "balanced",
            random_state=seed_of(self.random_state),
        )
        self._keep(*self._solve(model, features, columns), features.dtype)


class SVMRegressor(Regressor, _SVM):
    """Linear support vector regression.

    Parameters
    ----------
    C : float in (0, inf)
        Inverse strength of the penalty, on standardised features and targets.
    epsilon : float in [0, inf)
        Errors up to this, in deviations of the target, count nothing.
    max_iter : int in [1, inf)
    scaling : {"standard", "none"}
    random_state : int
    """

    intervals: ClassVar = {**_SVM.intervals, "epsilon": Interval(0)}
    fitted: ClassVar = (*Regressor.fitted, "n_iter_", "converged_")

    def __init__(
        self,
        C: float = 0.01,
        epsilon: float = 0.1,
        max_iter: int = 1000,
        scaling: str = "standard",
        random_state: Any = 0,
    ) -> None:
        self.C = C
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.scaling = scaling
        self.random_state = random_state

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        mean, deviation = targets.mean(axis=0), targets.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        model = LinearSVR(
            C=self.C,
            epsilon=self.epsilon,
            loss="squared_epsilon_insensitive",
            dual="auto",
            max_iter=self.max_iter,
            random_state=seed_of(self.random_state),
        )
        coef, intercept = self._solve(model, features, (targets - mean) / deviation)
        self._keep(coef * deviation[:, None], intercept * deviation + mean, features.dtype)


def _fit_quietly(model: Any, Z: NDArray[Any], targets: NDArray[Any]) -> bool:
    """Fit; True if the solver did not complain that it has not converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(Z, targets)
    others = [each for each in caught if not issubclass(each.category, ConvergenceWarning)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return len(others) == len(caught)
