"""What is done to features before a head sees them: fitted on the training rows, kept with the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from headstart.errors import ConfigError, DataError, StorageError
from headstart.files import read_json, write_durably, write_json
from headstart.heads.rows import blocks, moments

STEPS = ("standardise", "l2", "pca", "whiten")
TENSORS_FILE, JSON_FILE = "preparation.safetensors", "preparation.json"
SMALLEST = 1e-12
SMALLEST_SHARE = 1e-7
"""Of the largest variance: a component that varies less is rounding noise, and is not whitened."""


@dataclass(frozen=True)
class Step:
    """One step, fitted: with ``mean`` (D,) and ``matrix`` (K, D) or ``scale`` (D,), for ``l2`` with nothing."""

    kind: str
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Changed features, shape (N, K), a block of rows at a time."""
        if "mean" in self.arrays and X.shape[1] != (width := self.arrays["mean"].shape[0]):
            raise DataError(f"features are {X.shape[1]} wide, and were {width} when this was fitted")
        parts = [self._change(block) for block in blocks(X)]
        return np.concatenate(parts) if parts else X.astype(np.float32)

    @property
    def is_whole(self) -> bool:
        """Whether it has the arrays of its kind, and all of them are numbers."""
        wanted = {"l2": set(), "standardise": {"mean", "scale"}}.get(self.kind, {"mean", "matrix"})
        arrays = self.arrays
        return arrays.keys() == wanted and all(np.isfinite(array).all() for array in arrays.values())

    def _change(self, X: NDArray[Any]) -> NDArray[np.float32]:
        if self.kind == "l2":
            norms = np.linalg.norm(X, axis=1, keepdims=True)
            changed = X / np.maximum(norms, SMALLEST)
        elif self.kind == "standardise":
            changed = (X - self.arrays["mean"]) / self.arrays["scale"]
        else:
            changed = (X - self.arrays["mean"]) @ self.arrays["matrix"].T
        single: NDArray[np.float32] = changed.astype(np.float32, copy=False)
        return single


@dataclass(frozen=True)
class Preparation:
    """Steps, one after the other; none: features are as they are.

    Examples
    --------
    >>> X = np.array([[3.0, 4.0], [0.0, 2.0]], dtype=np.float32)
    >>> Preparation.fit(["l2"], X, seed=0)(X).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 1.0]]
    """

    steps: tuple[Step, ...] = ()

    @classmethod
    def fit(cls, specs: Sequence[str], X: NDArray[Any], seed: int) -> Self:
        """Fit steps on training features.

        Parameters
        ----------
        specs : sequence of str
            ``standardise``, ``l2``, ``pca=K`` (K components) or ``whiten=K`` (K components of variance 1);
            without ``=K`` as many components as there are.
        X : ndarray of float, shape (N, D)
        seed : int
            Of the randomised solver that scikit-learn's PCA takes for large problems.

        Raises
        ------
        ConfigError
            There is no such step, or there are fewer components than asked for.
        """
        steps: list[Step] = []
        for spec in specs:
            steps.append(_fit_step(spec, X, seed))
            X = steps[-1](X)
        return cls(tuple(steps))

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __call__(self, X: NDArray[Any]) -> NDArray[Any]:
        """Prepared features, shape (N, K)."""
        for step in self.steps:
            X = step(X)
        return X

    def save(self, folder: Path) -> None:
        """Write the steps into a folder that exists; nothing where there are none."""
        if not self.steps:
            return
        arrays = {
            f"{number}.{name}": np.ascontiguousarray(array)
            for number, step in enumerate(self.steps)
            for name, array in step.arrays.items()
        }
        write_durably(folder / TENSORS_FILE, save(arrays))
        write_json(folder / JSON_FILE, {"format": 1, "steps": [step.kind for step in self.steps]})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        StorageError
            A file does not hold what it should.
        """
        if not (folder / JSON_FILE).exists():
            return cls()
        try:
            kinds = read_json(folder / JSON_FILE)["steps"]
            arrays = load((folder / TENSORS_FILE).read_bytes())
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise StorageError(f"cannot read {folder / JSON_FILE}: {error}; fit the head again") from error
        steps = [
            Step(kind, {n.partition(".")[2]: a for n, a in arrays.items() if n.startswith(f"{number}.")})
            for number, kind in enumerate(kinds)
        ]
        if not all(step.kind in STEPS and step.is_whole for step in steps):
            raise StorageError(f"{folder / JSON_FILE} describes no preparation; fit the head again")
        return cls(tuple(steps))


def _fit_step(spec: str, X: NDArray[Any], seed: int) -> Step:
    kind, _, given = spec.partition("=")
    if kind not in STEPS or (given and kind in ("l2", "standardise")):
        raise ConfigError(f"there is no preparation {spec!r}; it can be standardise, l2, pca=K or whiten=K")
    if kind == "l2":
        return Step(kind)
    if kind == "standardise":
        return Step(kind, dict(zip(("mean", "scale"), moments(X), strict=True)))
    from sklearn.decomposition import PCA

    most = min(X.shape)
    if given and not (given.isdigit() and 1 <= int(given) <= most):
        raise ConfigError(
            f"{kind}={given}: the number of components must be in [1, {most}], for {X.shape[0]:,} training "
            f"samples of {X.shape[1]} dimensions"
        )
    model = PCA(int(given) if given else most, random_state=seed).fit(X)
    matrix = model.components_
    if kind == "whiten":
        variance = model.explained_variance_
        is_noise = variance < SMALLEST_SHARE * variance.max()
        matrix = matrix / np.sqrt(np.where(is_noise, 1.0, variance))[:, None]
        matrix[is_noise] = 0.0
    return Step(kind, {"mean": model.mean_.astype(np.float32), "matrix": matrix.astype(np.float32)})
