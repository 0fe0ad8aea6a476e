"""What a run says of the samples of a set, as logits by key: computed once, and kept in a space of their own."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import rfc8785

from headstart.arrow import keys_from_arrow
from headstart.cache.formats import shard_format
from headstart.cache.recipe import NUMERICS, Recipe
from headstart.config import PredictConfig
from headstart.errors import HeadstartError
from headstart.evaluation.set_source import SetSource
from headstart.keys import contains, first_by_key
from headstart.prediction.stage import read_inputs
from headstart.registry.run import BACKBONE_DIR, MODEL_DIR
from headstart.tasks import open_task
from headstart.types import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.contracts import Progress
    from headstart.registry.run import Run
    from headstart.types import Json

TAP, TEACHER, LIBRARY = "logits", "teacher", "headstart"
NOT_OF_THE_HEAD = (BACKBONE_DIR, "adapter")
"""Folders of a model whose weights the recipe of its features names."""


def digest_of(run: Run) -> str:
    """What decides a run's logits, BLAKE2b-128 in hex: the recipes of what it reads, and the files of its head."""
    folder = run.folder / MODEL_DIR
    parts = run.features.get("parts", [run.features])
    files = {
        path.relative_to(folder).as_posix(): blake2b(path.read_bytes(), digest_size=16).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in NOT_OF_THE_HEAD
    }
    said: Json = {"features": [Recipe(part["recipe"]).id for part in parts], "files": files}
    return blake2b(rfc8785.dumps(said), digest_size=16).hexdigest()


def recipe_of(run: Run, digest: str, folds: Mapping[str, Json] | None = None) -> Recipe:
    """The recipe of a run's logits, or of those that come from folds of what it was trained on."""
    teacher: dict[str, Json] = {
        "digest": digest,
        "task": run.task,
        "classes": list(run.labels["classes"]),
        **({"folds": dict(folds)} if folds else {}),
    }
    return Recipe({
        "weights": TEACHER, "architecture": {"library": LIBRARY}, "preprocessing": {}, "tap": TAP,
        "compute": "fp32", "stored": "float32", "numerics": NUMERICS, TEACHER: teacher,
    })  # fmt: skip


def ask(
    run: Run,
    space: Space,
    cache: Cache,
    features: FeatureSet,
    keys: NDArray[np.uint8],
    about: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Compute what a space lacks of a run's logits for samples of a set; features come from the cache where it can."""
    keys = keys[first_by_key(keys)]
    held = space.held(keys)
    missing = keys[~held]
    space.record_use(int(held.sum()), len(missing))
    if not len(missing):
        return
    rows = np.flatnonzero(contains(missing, keys_from_arrow(features.columns(["key"]).column("key"))))
    progress.say(
        f"asking the teacher about {len(missing):,} of {len(keys):,} samples; the cache holds the rest"
    )
    config = PredictConfig(data=features.name, with_inputs=False, cache=str(cache.root), **about)
    try:
        inputs = read_inputs(run, SetSource(features, (), rows), config, progress)
    except HeadstartError as error:
        raise type(error)(
            f"the teacher reads {run.backbone} at {run.tap}, of which the cache lacks features of this set: {error}"
        ) from error
    outputs = run.predictor.outputs(inputs.X)
    keep(space, cache, inputs.samples.keys[inputs.held], logits_of(run.task, outputs))


def logits_of(kind: str, outputs: NDArray[Any]) -> NDArray[np.float32]:
    """A teacher's outputs as logits (N, C)."""
    task: Any = open_task(kind)
    found: NDArray[np.float32] = task.teacher_logits(outputs)
    return found


def keep(space: Space, cache: Cache, keys: NDArray[np.uint8], logits: NDArray[np.float32]) -> None:
    """Commit logits, of each key the first."""
    cache.prepare()
    space.prepare()
    rows = first_by_key(keys)
    space.commit(Features(keys[rows], logits[rows]), shard_format("hdf5"))


def read(
    space: Space, keys: NDArray[np.uint8], n_columns: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Logits of keys, shape (N, C), and which are held; zeros where they are not."""
    held = space.held(keys)
    found = np.zeros((len(keys), n_columns), dtype=np.float32)
    if held.any():
        found[held] = space.gather(keys[held]).values
    return found, held
