"""What the parts ask of each other. `headstart.testing` has a test suite for each."""

from headstart.contracts.data import KeyMemo, Payloads, ShardFormat, ShardReader, Source
from headstart.contracts.engine import Engine
from headstart.contracts.heads import BesideHead, Head, PathHead
from headstart.contracts.models import Backbone, Batch, Change, FrozenModel, ModelInputs, Runtime
from headstart.contracts.progress import Progress
from headstart.contracts.task import Distillable, Task

__all__ = [
    "Backbone",
    "Batch",
    "BesideHead",
    "Change",
    "Distillable",
    "Engine",
    "FrozenModel",
    "Head",
    "KeyMemo",
    "ModelInputs",
    "PathHead",
    "Payloads",
    "Progress",
    "Runtime",
    "ShardFormat",
    "ShardReader",
    "Source",
    "Task",
]
