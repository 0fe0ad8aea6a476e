"""Any estimator of scikit-learn as a head: ``--head py:sklearn.ensemble:RandomForestClassifier``.

It is kept by skops in ``head.skops``, which no code is run from: a file of somebody else that names a type which is not
among those that estimators of scikit-learn are made of is refused, until its user trusts the type by name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from headstart.errors import ConfigError, StorageError, TrustError
from headstart.heads.answers import Floats
from headstart.heads.estimators import Classifier, ClosedFormHead, Regressor, Shapes, Tensors
from headstart.heads.scikit import BaseEstimator, check_is_fitted, is_classifier, is_regressor, validate_data
from headstart.own_code import load_own
from headstart.trust import is_own, is_trusted, remember

SKOPS_FILE = "head.skops"
SMALLEST = 1e-12
KNOWN_TYPES = (
    r"sklearn\.tree\._tree\.Tree",
    r"sklearn\.ensemble\._hist_gradient_boosting\.(predictor\.TreePredictor|binning\._BinMapper)",
    r"sklearn\.neighbors\._(kd|ball)_tree\.(KD|Ball)Tree(32|64)?",
    r"sklearn\.metrics\._dist_metrics\.\w+Distance(32|64)?",
    r"sklearn\.neural_network\._stochastic_optimizers\.\w+Optimizer",
    r"sklearn\.gaussian_process\.kernels\.\w+",
    r"sklearn\.gaussian_process\._gpc\._BinaryGaussianProcessClassifierLaplace",
    r"sklearn\.calibration\._(CalibratedClassifier|SigmoidCalibration)",
    r"sklearn\._loss\.\w+(\.\w+)?",
)
"""Types that skops does not trust of itself, and that hold nothing but numbers in estimators of scikit-learn."""


def is_known_type(name: str) -> bool:
    """Whether a type may be made when a head is read, whoever wrote it."""
    return any(re.fullmatch(pattern, name) for pattern in KNOWN_TYPES)


def check_types(names: Sequence[str], content: bytes, place: Path) -> None:
    """Refuse types that a file names, unless they are known or trusted, or the file is this user's own.

    Raises
    ------
    TrustError
        The message says how to trust them.
    """
    foreign = [name for name in names if not is_known_type(name) and not is_trusted(*_parts_of(name))]
    if not foreign or is_own(content):
        return
    module = _parts_of(foreign[0])[0]
    raise TrustError(
        f"{place} names the types {', '.join(foreign[:5])}, which no estimator of scikit-learn is made of, and "
        "headstart did not write that file for you on this machine, so nothing was imported; if you know and trust "
        f"them, say --trust {module} (in Python trust=[{module!r}]), or fit the head anew"
    )


def _parts_of(type_name: str) -> tuple[str, str]:
    """Module and name of a type.

    Examples
    --------
    >>> _parts_of("package.module.Estimator")
    ('package.module', 'Estimator')
    """
    module, _, name = type_name.rpartition(".")
    return module, name


def is_estimator(spec: str) -> bool:
    """Whether ``py:package.module:name`` is an estimator; imports it."""
    made = load_own(spec, "Estimator")
    return inspect.isclass(made) and issubclass(made, BaseEstimator)


class _SklearnHead(ClosedFormHead):
    """What classifiers and regressors share.

    Parameters
    ----------
    spec : str
        The estimator, as ``py:package.module:name``.
    **params
        Its own.
    """

    kind: ClassVar[str] = "sklearn"
    kept: ClassVar[tuple[str, ...]] = ()
    scaling = "none"
    estimator_: Any

    def __init__(self, spec: str = "", **params: Any) -> None:
        self.spec, self.params = spec, params

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What it was made with."""
        return {"spec": self.spec, **self.params}

    def set_params(self, **params: Any) -> Self:
        """Change some of them."""
        self.spec = params.pop("spec", self.spec)
        self.params = {**self.params, **params}
        return self

    def files(self) -> dict[str, bytes]:
        """The estimator, as skops keeps it."""
        skops = _skops()
        content = cast("bytes", skops.dumps(self.estimator_))
        if not all(map(is_known_type, skops.get_untrusted_types(data=content))):
            remember(content, values=(), names_code=False)
        return {SKOPS_FILE: content}

    def read_files(self, folder: Path, digests: Mapping[str, str]) -> None:
        """Read what `files` gave, of types that are known alone."""
        self.estimator_ = read_estimator(folder / SKOPS_FILE, digests.get(SKOPS_FILE, ""))

    def _shapes(self, tensors: Tensors, n_outputs: int, n_features: int) -> Shapes:
        return {}

    def _made(self) -> Any:
        """The estimator, unfitted."""
        _skops()  # before any work is done
        return load_own(self.spec, "Estimator")(**self.params)

    def _checked(self, X: Any) -> Floats:
        check_is_fitted(self, "estimator_")
        return cast("Floats", validate_data(self, X, dtype=(np.float32, np.float64), reset=False))


class SklearnHead(Classifier, _SklearnHead):
    """A classifier of scikit-learn; several labels a sample are as many of it, one for each label."""

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        from sklearn.multioutput import MultiOutputClassifier

        made = self._made()
        if not is_classifier(made):
            raise ConfigError(f"{self.spec} is no classifier; for classes and labels take one that is")
        self.estimator_ = (MultiOutputClassifier(made) if self.is_multi_ else made).fit(features, targets)

    def _scores(self, X: Any) -> Floats:
        """Logarithms of its probabilities; of one that has none, what it decides by."""
        features = self._checked(X)
        if self.is_multi_:
            each = [_of_second(one, features) for one in self.estimator_.estimators_]
            return np.stack(each, axis=1)
        return _logits(self.estimator_, features, len(self.classes_))


class SklearnRegressor(Regressor, _SklearnHead):
    """A regressor of scikit-learn."""

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        made = self._made()
        if not is_regressor(made):
            raise ConfigError(f"{self.spec} is no regressor; for numbers take one that is")
        self.estimator_ = made.fit(features, targets[:, 0] if targets.shape[1] == 1 else targets)

    def _scores(self, X: Any) -> Floats:
        numbers = np.asarray(self.estimator_.predict(self._checked(X)), dtype=np.float64)
        return numbers.reshape(len(numbers), -1)


@cache
def head_of(spec: str, kind: type[Any]) -> type[Any]:
    """The head class of a spec, which knows the parameters of its estimator."""
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(load_own(spec, "Estimator").__init__).parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    return type(kind.__name__, (kind,), {"known": {"spec": spec, **known}, "__module__": kind.__module__})


def parsed(value: Any) -> Any:
    """A parameter from a command line, by what it looks like: the defaults of estimators are often None.

    Examples
    --------
    >>> parsed("50"), parsed("0.5"), parsed("none"), parsed("True"), parsed("sqrt"), parsed(3)
    (50, 0.5, None, True, 'sqrt', 3)
    """
    if not isinstance(value, str):
        return value
    words: dict[str, Any] = {"none": None, "true": True, "false": False}
    if value.lower() in words:
        return words[value.lower()]
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def read_estimator(path: Path, digest: str) -> Any:
    """The estimator of a file whose digest is as ``head.json`` says.

    Raises
    ------
    StorageError
        It is missing, or another file.
    TrustError
        It names types that are neither known nor trusted.
    """
    skops = _skops()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; fit the head again") from error
    if blake2b(content, digest_size=16).hexdigest() != digest:
        raise StorageError(f"{path} is not the file that head.json was written with; fit the head again")
    try:
        named: Sequence[str] = skops.get_untrusted_types(data=content)
        check_types(named, content, path)
        estimator = skops.loads(content, trusted=list(named))
    except TrustError:
        raise
    except Exception as error:  # a zip file, a schema and arrays, any of which may be broken
        raise StorageError(f"{path} is no estimator that skops can read ({type(error).__name__})") from error
    if not isinstance(estimator, BaseEstimator):
        raise StorageError(f"{path} holds a {type(estimator).__name__}, and no estimator; fit the head again")
    return estimator


def _skops() -> Any:
    try:
        from skops import io
    except ImportError as error:
        raise ConfigError("a head of scikit-learn is kept by skops: pip install skops") from error
    return io


def _logits(estimator: Any, features: Floats, n_classes: int) -> Floats:
    if hasattr(estimator, "predict_proba"):
        return np.log(np.maximum(np.asarray(estimator.predict_proba(features), dtype=np.float64), SMALLEST))
    if hasattr(estimator, "decision_function"):
        found = np.asarray(estimator.decision_function(features), dtype=np.float64)
        return np.stack([-found / 2, found / 2], axis=1) if found.ndim == 1 else found
    chosen = np.eye(n_classes)[np.asarray(estimator.predict(features), dtype=np.int64)]
    return np.log(np.maximum(chosen, SMALLEST))


def _of_second(estimator: Any, features: Floats) -> NDArray[np.float64]:
    """Log odds that a label applies, (N,); of one that training always or never saw as sure as can be."""
    if len(estimator.classes_) < 2:
        return np.full(len(features), np.log(1 / SMALLEST) * (1 if estimator.classes_[0] == 1 else -1))
    logits = _logits(estimator, features, 2)
    ahead: NDArray[np.float64] = logits[:, 1] - logits[:, 0]
    return ahead
