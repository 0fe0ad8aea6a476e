"""A number per sample keeps the contract of tasks."""

from __future__ import annotations

from headstart.testing.task import TaskContract


class TestRegression(TaskContract):
    kind = "regression"
    cells = (0.5, 1.0, None, -2.25, 3.0) * 4

    def outputs(self, task, y, classes):
        return y
