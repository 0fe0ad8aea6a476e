"""A fitted head with what belongs to it: the preparation of features, and the temperature of probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from headstart.errors import StorageError
from headstart.files import read_json, write_json
from headstart.heads.preparation import Preparation
from headstart.heads.storage import load_head, save_head
from headstart.tasks import open_task
from headstart.types import Predictions

if TYPE_CHECKING:
    from headstart.contracts import Head
    from headstart.types import LabelKind

CALIBRATION_FILE = "calibration.json"


@dataclass(frozen=True)
class Predictor:
    """From features to predictions."""

    head: Head
    preparation: Preparation = field(default_factory=Preparation)
    temperature: float = 1.0
    """Logits are divided by it; 1 where probabilities are the head's own."""

    @property
    def task(self) -> LabelKind:
        """What is predicted."""
        return self.head.task

    @property
    def classes(self) -> list[str]:
        """The names of the classes that the head knows; for several labels a sample, their numbers."""
        return [str(name) for name in getattr(self.head, "classes_", ())]

    def prepared(self, X: Any) -> Any:
        """Features as the head takes them."""
        return self.preparation(X) if self.preparation else X

    def logits(self, X: Any) -> NDArray[np.floating[Any]] | None:
        """What the temperature divides; None if there is nothing to calibrate."""
        return open_task(self.task).logits(self.head, self.prepared(X))

    def outputs(self, X: Any) -> NDArray[Any]:
        """What the head says of N samples, at the temperature: probabilities, numbers; see `Task.outputs`."""
        return open_task(self.task).outputs(self.head, self.prepared(X), self.temperature)

    def scores(self, X: Any, y: NDArray[Any]) -> dict[str, float]:
        """A few figures of its predictions for targets as heads take them; see `Task.scores`."""
        return open_task(self.task).scores(Predictions(y, self.outputs(X), self.classes))

    def save(self, folder: Path) -> None:
        """Write everything into a folder that exists."""
        save_head(self.head, folder)
        self.preparation.save(folder)
        if self.temperature != 1:
            write_json(folder / CALIBRATION_FILE, {"format": 1, "temperature": self.temperature})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        FormatError, StorageError
            A file is missing, or does not hold what it should.
        """
        path, temperature = folder / CALIBRATION_FILE, 1.0
        if path.exists():
            try:
                temperature = float(read_json(path)["temperature"])
            except (OSError, KeyError, TypeError, ValueError) as error:
                raise StorageError(f"cannot read {path}: {error}; fit the head again") from error
            if not (np.isfinite(temperature) and temperature > 0):
                raise StorageError(f"{path} has a temperature of {temperature}; fit the head again")
        return cls(load_head(folder), Preparation.load(folder), temperature)
