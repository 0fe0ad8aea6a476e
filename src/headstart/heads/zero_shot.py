"""The class whose name is nearest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from headstart.errors import ConfigError, DataError
from headstart.heads.answers import Affine
from headstart.heads.estimators import AffineHead, Classifier, OneClassError
from headstart.heads.parameters import Interval, check


class ZeroShotHead(Classifier, AffineHead):
    """A sample is of the class whose name is nearest by cosine, in a space that names and samples share.

    Nothing is learnt: its ``class_vectors`` (`headstart.class_vectors.ClassVectors`) say all, and samples are looked at
    for how wide they are. For several labels a sample the backbone must have been trained by sigmoid.

    Parameters
    ----------
    templates : str
        Which templates the names were put into; the first ones if nothing is said.
    logit_scale : float in (0, inf) or "auto"
        What cosines are multiplied by; ``auto``: as the backbone was trained.

    Attributes
    ----------
    logit_scale_, logit_bias_ : float

    References
    ----------
    Radford et al., Learning Transferable Visual Models From Natural Language Supervision (2021).

    Examples
    --------
    >>> from headstart.class_vectors import ClassVectors
    >>> head = ZeroShotHead(logit_scale=10.0)
    >>> head.class_vectors = ClassVectors(("dog", "cat"), {"photo": np.eye(2, dtype=np.float32)}, 100.0)
    >>> head.fit(np.zeros((1, 2))).predict([[3.0, 1.0], [0.0, 2.0]]).tolist()
    ['dog', 'cat']
    >>> head.decision_function([[3.0, 4.0]]).round(4).tolist()
    [-2.0]
    """

    kind: ClassVar[str] = "zero-shot"
    fits_beside: ClassVar[bool] = False
    learns_from_labels: ClassVar[bool] = False
    starts_from_names: ClassVar[bool] = True
    fitted: ClassVar[tuple[str, ...]] = (*Classifier.fitted, "logit_scale_", "logit_bias_")
    intervals: ClassVar = {"logit_scale": Interval(0, open_low=True, auto=True)}
    choices: ClassVar = {}

    def __init__(self, templates: str = "", logit_scale: float | str = "auto") -> None:
        self.templates = templates
        self.logit_scale = logit_scale

    def fit(
        self, X: ArrayLike, y: Any = None, X_val: ArrayLike | None = None, y_val: ArrayLike | None = None
    ) -> Self:
        """Take over what the names of the classes are; ``y`` says whether a sample has several of them.

        Raises
        ------
        ConfigError
            Nobody said what the names are, or a parameter cannot have this value.
        DataError
            Samples are not as wide as the names, or there is only one class.
        """
        check(self)
        known = self.class_vectors
        if known is None:
            raise ConfigError(
                "a zero-shot head is made of the names of classes: set its class_vectors, as headstart fit-head does"
            )
        if (width := np.shape(X)[1]) != known.width:
            raise DataError(
                f"features are {width} wide, and what names of classes are compared by is {known.width} wide"
            )
        if len(known.names) < 2:
            raise OneClassError(f"a head needs at least two classes; there is {known.names[0]!r} alone")
        self.is_multi_ = y is not None and np.ndim(y) == 2
        names = np.array(known.names, dtype=np.str_)
        # Of several labels a sample the columns of y are meant, of one the sorted names, as other heads have them.
        order = np.arange(len(names)) if self.is_multi_ else np.argsort(names, kind="stable")
        self.classes_ = order if self.is_multi_ else names[order]
        self.logit_scale_ = float(known.logit_scale if self.logit_scale == "auto" else self.logit_scale)
        self.logit_bias_ = float(known.logit_bias or 0.0)
        self.n_features_in_ = width
        self.mean_, self.scale_ = np.zeros(width), np.ones(width)
        directions = known.directions(self.templates)[order]
        self._keep(
            directions * np.float32(self.logit_scale_), np.full(len(order), self.logit_bias_), np.float32
        )
        return self

    @property
    def affine(self) -> Affine:
        """What it computes once it is fitted."""
        return replace(super().affine, is_unit=True)
