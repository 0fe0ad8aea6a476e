"""Multinomial logistic regression, as scikit-learn does it."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from headstart.heads.affine import AffineClassifier
from headstart.heads.parameters import SEEDS, Interval


class LogisticHead(AffineClassifier):
    """Multinomial logistic regression with an L2 penalty, fitted by L-BFGS.

    Parameters
    ----------
    C : float in (0, inf)
        Inverse strength of the penalty. Features are standardised, so that the default is weaker
        than it looks: a good value is far below scikit-learn's 1.
    max_iter : int in [1, inf)
    random_state : int
        L-BFGS draws nothing; kept for the solvers to come.

    Attributes
    ----------
    n_iter_ : int
        How many iterations it took.
    converged_ : bool
        False where it stopped at ``max_iter`` or could not improve any more.

    Examples
    --------
    >>> head = LogisticHead().fit([[0.0], [1.0], [2.0], [3.0]], ["cat", "cat", "dog", "dog"])
    >>> head.predict([[0.5], [9.0]]).tolist()
    ['cat', 'dog']
    """

    kind: ClassVar[str] = "logistic"
    intervals: ClassVar = {
        "C": Interval(0, open_low=True),
        "max_iter": Interval(1),
        "random_state": SEEDS,
    }
    fitted: ClassVar = ("n_iter_", "converged_")

    n_iter_: int
    converged_: bool

    def __init__(self, C: float = 0.03, max_iter: int = 1000, random_state: Any = 0) -> None:
        self.C = C
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on features (N, D) and labels (N,)."""
        Z, codes = self._begin(X, y)
        model = LogisticRegression(C=self.C, max_iter=self.max_iter, random_state=self.random_state)
        self.converged_ = _fit_quietly(model, Z, codes)
        self.n_iter_ = int(model.n_iter_.max())
        self._keep(model.coef_, model.intercept_)
        return self


def _fit_quietly(model: Any, Z: NDArray[Any], codes: NDArray[Any]) -> bool:
    """Fit; True if the solver did not complain that it has not converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(Z, codes)
    others = [each for each in caught if not issubclass(each.category, ConvergenceWarning)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return len(others) == len(caught)
