"""Few-shot protocols and learning curves of whole networks: a training for each draw that fit-head makes, too."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.pooling import display_tap
from headstart.curves.draws import identity_of, protocols_of
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

    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.curves.draws import Draw, Protocol
    from headstart.fitting.data import Splits
    from headstart.heads.predictor import Predictor
    from headstart.types import Json

RESULT = "result.json"


@dataclass(frozen=True)
class TuningDraws:
    """The draws that a network is tuned on, those that fit-head makes of the same set.

    The network of ``kept``, the first of the largest, is that of the run: a training costs too much to do one more, on
    all train samples, that nobody asked for (``--curve 100%`` does).
    """

    protocols: tuple[Protocol, ...]
    draws: tuple[Draw, ...]
    n_train: int

    @classmethod
    def of(cls, config: TuneConfig, raw: Splits) -> TuningDraws | None:
        """Those that are asked for; None if there are none. What cannot be drawn is refused.

        Raises
        ------
        ConfigError
            A size is out of range, or the head to begin with knows all labels.
        """
        if not (config.shots or config.curve):
            if config.seeds > 1:
                raise ConfigError("--seeds is the number of draws of --shots and --curve; give one of them")
            return None
        protocols = protocols_of(config.shots, config.curve, raw["train"])
        seeds = range(config.seed, config.seed + config.seeds)
        draws = tuple(each.draw(size, seed) for each in protocols for size in each.sizes for seed in seeds)
        if config.init_head is not None:
            raise ConfigError(
                "--init-head begins with what all labels taught a head, and --shots and --curve are of few of them; "
                "leave it out"
            )
        return cls(protocols, draws, len(raw["train"]))

    @property
    def kept(self) -> Draw:
        """The first of the largest."""
        return max(self.draws, key=lambda draw: len(draw.rows))

    @property
    def n_left_out(self) -> int:
        """Train samples that the network of the run has not seen."""
        return self.n_train - len(self.kept.rows)

    def report(self) -> dict[str, Json]:
        """On which draw the network of the run was tuned, for its report."""
        kept = self.kept
        about = {
            "protocol": kept.protocol,
            "size": kept.size,
            "seed": kept.seed,
            "n_left_out": self.n_left_out,
        }
        return {"drawn": about}


def drawn_of(raw: Splits, draw: Draw) -> Splits:
    """The same samples, with those of a draw alone to train on."""
    return {**raw, "train": raw["train"].take(draw.rows)}


def tune_draws(
    asked: TuningDraws,
    config: TuneConfig,
    features: FeatureSet,
    raw: Splits,
    tuned: tuple[Predictor, Splits],
    progress: Progress,
    state: Path,
) -> Curves:
    """Train on each draw, and judge each on the same test samples.

    The seed of a draw is that of its training as well; its best epoch is chosen on all validation samples. What is
    finished is kept in ``state``, and a draw that was interrupted goes on where it was. ``tuned`` is the network of the
    draw that is kept, with the samples as it reads them.
    """
    split = "test" if len(raw["test"]) else "validation"
    for line in described(asked.protocols, raw, split):
        progress.say(line)
    marker, judged = Marker(raw[split]), []
    progress.begin("draws", len(asked.draws))
    try:
        for draw in asked.draws:
            drawn = identity_of(raw["train"], draw)
            if draw is asked.kept:
                judged.append(JudgedDraw.of(draw, drawn, *_judge(*tuned, marker, split)))
            else:
                folder = state / "draws" / draw.said
                judged.append(_judged(config, features, raw, draw, drawn, marker, split, folder))
            progress.advance(1)
    finally:
        progress.end()
    curve = Curve(config.strategy, tuple(judged), _about(config, raw))
    return Curves((curve,), asked.protocols, marker, split, curve.name)


def _judge(
    predictor: Predictor, splits: Splits, marker: Marker, split: str
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """What a network scores on the samples of a split, and its marks."""
    said = predictor.said(splits[split].X, splits[split].targets)
    return open_task(marker.kind).scores(said), marker(said)


def _about(config: TuneConfig, raw: Splits) -> dict[str, Json]:
    ref = raw["train"].feature
    return {"strategy": config.strategy, "backbone": ref.backbone, "tap": display_tap(ref.tap)}


def _judged(
    config: TuneConfig,
    features: FeatureSet,
    raw: Splits,
    draw: Draw,
    drawn: str,
    marker: Marker,
    split: str,
    folder: Path,
) -> JudgedDraw:
    """What the training on a draw came to: what was kept of it, or else it is done now."""
    own = config.model_copy(update={"seed": draw.seed, "shots": [], "curve": [], "seeds": 1})
    settings = {**settings_of(own), "drawn": drawn}
    if (kept := _kept(folder, settings)) is not None:
        marks = None if kept["marks"] is None else np.array(kept["marks"], dtype=np.float64)
        return JudgedDraw.of(draw, drawn, kept["scores"], marks)
    some = drawn_of(raw, draw)
    scores, found = dict[str, float](), None
    try:
        training = train(own, features, some, Silence(), folder, [])
        scores, found = _judge(*finish(own, training, some), marker, split)
    except DivergedError:
        pass  # which the curve counts as no draw
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
