"""Every head keeps the contract of a head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.heads import HEADS, open_head
from headstart.testing.head import HeadContract, clouds

BY_EPOCHS = {"epochs": 6, "lr": 0.1, "batch_size": 50}


class TestHeads(HeadContract):
    @pytest.fixture(params=[name for name in HEADS if name not in ("attention", "bilstm", "zero-shot")])
    def head(self, request: pytest.FixtureRequest) -> Any:
        params = {"linear": BY_EPOCHS, "mlp": BY_EPOCHS, "residual": {**BY_EPOCHS, "width": 32}}
        return open_head(request.param, params.get(request.param, {}), seed=0)


class TestAttention(HeadContract):
    @pytest.fixture
    def head(self) -> Any:
        return open_head("attention", BY_EPOCHS, seed=0)

    @pytest.fixture
    def classes(self) -> Any:
        """The same classes as three layers of a backbone, side by side."""
        X, y = clouds()
        return np.stack([X, X[:, ::-1], X], axis=1), y
