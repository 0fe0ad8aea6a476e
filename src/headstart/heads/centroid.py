"""The nearest class mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from headstart.heads.answers import Affine, Floats, unit
from headstart.heads.estimators import SCALINGS, AffineHead, Classifier
from headstart.heads.parameters import Interval
from headstart.heads.rows import blocks, standardise


class CentroidHead(Classifier, AffineHead):
    """A sample is of the class whose mean is nearest; it needs one sample of a class.

    The logits are cosines over the temperature, or minus half the squared distances (but for what all
    classes share), so that the head is one matrix and one intercept.

    Parameters
    ----------
    metric : {"cosine", "euclidean"}
    temperature : float in (0, inf)
        Of the probabilities with ``cosine``; the predictions do not depend on it.
    scaling : {"standard", "none"}

    Examples
    --------
    >>> head = CentroidHead().fit([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]], ["cat", "cat", "dog"])
    >>> head.predict([[0.2, 2.0]]).tolist()
    ['cat']
    """

    kind: ClassVar[str] = "centroid"
    takes_labels: ClassVar[bool] = False
    intervals: ClassVar = {"temperature": Interval(0, open_low=True)}
    choices: ClassVar = {"metric": ("cosine", "euclidean"), "scaling": SCALINGS}

    def __init__(self, metric: str = "cosine", temperature: float = 0.07, scaling: str = "standard") -> None:
        self.metric = metric
        self.temperature = temperature
        self.scaling = scaling

    def _fit(self, features: Floats, targets: NDArray[Any], held: tuple[Any, Any]) -> None:
        sums = np.zeros((len(self.classes_), features.shape[1]))
        start = 0
        for block in blocks(features):
            Z = standardise(block, self.mean_, self.scale_)
            if self.metric == "cosine":
                Z = unit(Z)
            np.add.at(sums, targets[start : start + len(Z)], Z)
            start += len(Z)
        means = sums / np.bincount(targets)[:, None]
        if self.metric == "cosine":
            self._keep(unit(means) / self.temperature, np.zeros(len(means)), features.dtype)
        else:
            self._keep(means, -0.5 * np.square(means).sum(axis=1), features.dtype)

    @property
    def affine(self) -> Affine:
        """What it computes once it is fitted."""
        return replace(super().affine, is_unit=self.metric == "cosine")
