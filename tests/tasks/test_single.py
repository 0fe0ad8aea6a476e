"""One class per sample keeps the contract of tasks."""

from __future__ import annotations

import numpy as np

from headstart.testing.task import TaskContract


class TestSingle(TaskContract):
    kind = "single"
    cells = ("cat", "dog", None, "eel", "dog") * 4

    def outputs(self, task, y, classes):
        return np.full((len(y), len(classes)), 0.1) + 0.7 * np.eye(len(classes))[y]
