"""What the names of classes are in the space of a feature: one direction for each class, and how cosines are scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassVectors:
    """Directions of C classes in the space of a feature.

    Parameters
    ----------
    names : tuple of str
        The classes, as the label column or the user has them.
    by_templates : mapping of str to ndarray of float32, shape (C, D)
        Rows of length 1, in the order of ``names``, by what the templates are called that they were made with.
    logit_scale : float in (0, inf)
        What cosines are multiplied by.
    logit_bias : float, optional
        What is added then, of a model that was trained by sigmoid; None if its logits say only which class is
        likelier.
    """

    names: tuple[str, ...]
    by_templates: Mapping[str, NDArray[np.float32]]
    logit_scale: float
    logit_bias: float | None = None

    @property
    def width(self) -> int:
        """D."""
        return int(next(iter(self.by_templates.values())).shape[1])

    def directions(self, templates: str = "") -> NDArray[np.float32]:
        """Rows of length 1, (C, D), as some templates make them; the first if nothing is said."""
        if not templates:
            return next(iter(self.by_templates.values()))
        if templates not in self.by_templates:
            raise ConfigError(
                f"templates={templates!r} were not put through the model: {', '.join(self.by_templates)} were"
            )
        return self.by_templates[templates]
