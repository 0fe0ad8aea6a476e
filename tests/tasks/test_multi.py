"""Several labels per sample keep the contract of tasks."""

from __future__ import annotations

import numpy as np

from headstart.testing.task import TaskContract


class TestMulti(TaskContract):
    kind = "multi"
    cells = (["a"], ["a", "b"], None, [], ["c"]) * 4

    def outputs(self, task, y, classes):
        return np.where(y > 0, 0.9, 0.2)
