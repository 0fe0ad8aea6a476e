"""Few-shot protocols and learning curves of whole networks: a training for each draw that fit-head makes, too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.pooling import display_tap
from headstart.curves.draws import Protocol, identity_of, protocols_of
from headstart.curves.marks import Marker
from headstart.curves.record import Curve, Curves, JudgedDraw
from headstart.errors import ConfigError, DivergedError, StorageError
from headstart.files import make_directory, read_json, write_json
from headstart.fitting.protocols import described
from headstart.progress import Silence
from headstart.tasks import open_task
from headstart.tuning.phases import train
from headstart.tuning.report import finish
from headstart.tuning.state import settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.curves.draws import Draw
    from headstart.fitting.data import Splits
    from headstart.types import Json

RESULT = "result.json"


def check_draws(config: TuneConfig, raw: Splits) -> None:
    """Refuse what cannot be drawn, before anything is trained."""
    if not (config.shots or config.curve):
        if config.seeds > 1:
            raise ConfigError("--seeds is the number of draws of --shots and --curve; give one of them")
        return
    for protocol in protocols_of(config.shots, config.curve, raw["train"]):
        for _ in _draws(config, protocol):
            pass
    if config.init_head is not None:
        raise ConfigError(
            "--init-head begins with what all labels taught a head, and --shots and --curve are of few of them; leave "
            "it out"
        )


def tune_draws(
    config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress, state: Path
) -> Curves | None:
    """Train on each draw, and judge each on the same test samples; None where no protocol is asked for.

    A draw has the train samples that fit-head draws with its seed, which is the seed of its training as well; its best
    epoch is chosen on all validation samples. What is finished is kept in ``state``, and a draw that was interrupted
    goes on where it was.
    """
    if not (config.shots or config.curve):
        return None
    protocols = protocols_of(config.shots, config.curve, raw["train"])
    split = "test" if len(raw["test"]) else "validation"
    for line in described(protocols, raw, split):
        progress.say(line)
    marker, judged = Marker(raw[split]), []
    draws = [draw for protocol in protocols for draw in _draws(config, protocol)]
    progress.begin("draws", len(draws))
    try:
        for draw in draws:
            judged.append(_judged(config, features, raw, draw, marker, split, state / "draws" / draw.said))
            progress.advance(1)
    finally:
        progress.end()
    curve = Curve(config.strategy, tuple(judged), _about(config, raw))
    return Curves((curve,), protocols, marker, split, curve.name)


def _draws(config: TuneConfig, protocol: Protocol) -> Iterator[Draw]:
    for size in protocol.sizes:
        yield from (protocol.draw(size, config.seed + number) for number in range(config.seeds))


def _about(config: TuneConfig, raw: Splits) -> dict[str, Json]:
    ref = raw["train"].feature
    return {"strategy": config.strategy, "backbone": ref.backbone, "tap": display_tap(ref.tap)}


def _judged(
    config: TuneConfig,
    features: FeatureSet,
    raw: Splits,
    draw: Draw,
    marker: Marker,
    split: str,
    folder: Path,
) -> JudgedDraw:
    """What the training on a draw came to: what was kept of it, or else it is done now."""
    alone = {"seed": draw.seed, "shots": [], "curve": [], "seeds": 1}
    own = config.model_copy(update=alone)
    drawn = identity_of(raw["train"], draw)
    settings = {**settings_of(own), "drawn": drawn}
    if (kept := _kept(folder, settings)) is not None:
        marks = None if kept["marks"] is None else np.array(kept["marks"], dtype=np.float64)
        return JudgedDraw.of(draw, drawn, kept["scores"], marks)
    some = {**raw, "train": raw["train"].take(draw.rows)}
    try:
        training = train(own, features, some, Silence(), folder, [])
        predictor, splits = finish(own, training, some)
        said = predictor.said(splits[split].X, splits[split].targets)
        scores, found = open_task(marker.kind).scores(said), marker(said)
    except DivergedError:
        scores, found = {}, None
    _keep(
        folder, {"settings": settings, "scores": scores, "marks": None if found is None else found.tolist()}
    )
    return JudgedDraw.of(draw, drawn, scores, found)


def _kept(folder: Path, settings: dict[str, Json]) -> Any:
    """What a finished draw left; None if it has to be done. What was left by other settings is deleted."""
    try:
        kept = read_json(folder / RESULT)
        if kept["settings"] == settings:
            return kept
    except (OSError, StorageError, KeyError, TypeError):
        pass
    else:
        shutil.rmtree(folder)
    return None


def _keep(folder: Path, result: dict[str, Json]) -> None:
    """Keep the result of a training, and nothing of its weights."""
    shutil.rmtree(folder, ignore_errors=True)
    make_directory(folder)
    write_json(folder / RESULT, result)
