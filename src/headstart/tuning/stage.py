"""fine-tune: train the backbone with its head, on the very samples and splits that heads are fitted on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from headstart.cache.store import Cache
from headstart.config import ColumnConfig, ExtractConfig, FitConfig, TuneConfig
from headstart.errors import ConfigError
from headstart.extraction.stage import extract, set_name
from headstart.files import make_directory
from headstart.fitting.callbacks import ShowEpochs, Track, finish, own_callbacks, tracking
from headstart.fitting.data import check_train, read_splits
from headstart.fitting.evaluation import calibrated, evaluate_splits
from headstart.fitting.report import FitOutcome
from headstart.heads.predictor import Predictor
from headstart.network import forbid_network
from headstart.registry.run import check_free
from headstart.tuning.defaults import settings_of
from headstart.tuning.state import check_loop, check_resumable

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.registry.run import Run


OF_DATA = ("max_length", "image_size", "crop_pct", "prompt", "weights", *ColumnConfig.model_fields)


def fine_tune(config: TuneConfig, progress: Progress, state: Path) -> Run:
    """Train a whole network, or as much of it as the strategy says, then report on every split.

    Parameters
    ----------
    config : TuneConfig
    progress : Progress
    state : Path
        A folder for checkpoints and the tuned weights; what an interrupted training left there is taken up.
    """
    from headstart.tuning.adapters import merge_adapters, save_adapters
    from headstart.tuning.report import finished_head, resolved, tuned_data, tuned_record
    from headstart.tuning.search import search
    from headstart.tuning.session import train

    asked, more, work = config, {}, state
    own = own_callbacks(config.callback)
    with tracking(config, f"{config.data}-{config.strategy}", progress) as tracker:
        start = perf_counter()
        if config.offline:
            forbid_network()
        features = _features(config, progress)
        raw = read_splits(features, [(config.tap, config.backbone)], config.label)
        check_train(raw["train"], features.name)
        if config.sweep:
            config, work, more["sweep"] = search(config, features, raw, progress, state)
        callbacks = [ShowEpochs(progress), *([Track(tracker)] if tracker else []), *own]
        session = train(config, features, raw, progress, work, callbacks)
        parts, trained = session.parts, session.trained
        if parts.adapted is not None:
            save_adapters(parts.adapted, state / "adapter")
            merge_adapters(parts.adapted)
        bare, data = Predictor(finished_head(parts, trained)), tuned_data(parts, raw, session.phases[-1])
        if config.calibrate:
            bare = calibrated(bare, data["validation"])
        found = evaluate_splits(bare, data, config.seed)
        end = perf_counter()
        timings = {
            "load": session.loaded - start, "fit": trained.seconds, "to_best": trained.seconds_to_best,
            "evaluate": end - session.ended, "total": end - start,
        }  # fmt: skip
        as_fit = _as_fit(config, features)
        outcome = FitOutcome(as_fit, features, data, bare, found)
        record = tuned_record(config, outcome, session, timings, more, state, progress)
        record = record.replaced(config=resolved(asked, features).dump())
        if tracker:
            finish(tracker, record)
    return record


def _features(config: TuneConfig, progress: Progress) -> FeatureSet:
    """The set to train on: one that is there, or the data, extracted as fit-head would need it."""
    cache = Cache(config.cache)
    name = config.data
    is_set = isinstance(name, str) and name in cache.set_names()
    if is_set and os.path.exists(os.path.expanduser(name)):
        is_set = config.backbone is None and config.set is None
        if is_set:
            progress.say(
                f"{name} is the set of that name; for the data that lies in ./{name}, say which --backbone"
            )
    if is_set or config.digest is not None:
        features = cache.open_set(str(config.set or name), config.digest)
        if config.backbone is not None and config.backbone not in _backbones(features):
            raise ConfigError(
                f"set {features.name!r} has no features of {config.backbone}; it has {', '.join(_backbones(features))} "
                f"(extract adds those of another: headstart extract DATA --set {features.name} --backbone …)"
            )
        _check_of_set(config)
        return features
    if config.backbone is None:
        if isinstance(name, str) and not os.path.exists(os.path.expanduser(name)):
            cache.open_set(name)  # says which sets there are
        raise ConfigError("say which backbone to train: --backbone SPEC")
    return extract(_as_extract(config), progress).features


def _check_of_set(config: TuneConfig) -> None:
    """Refuse options that were decided when the set was extracted."""
    given = [name for name in OF_DATA if getattr(config, name) != TuneConfig.model_fields[name].default]
    if given and config.digest is None:
        raise ConfigError(
            f"--{given[0].replace('_', '-')} was decided when the set was extracted; give the data instead of the set, "
            "or leave it out"
        )


def _backbones(features: FeatureSet) -> list[str]:
    return list(dict.fromkeys(entry["backbone"] for entry in features.info["features"]))


def _as_extract(config: TuneConfig) -> ExtractConfig:
    names = set(ExtractConfig.model_fields) & set(type(config).model_fields) - {
        "augment",
        "batch_size",
        "precision",
        "workers",
    }
    values = {name: getattr(config, name) for name in names}
    taps = [config.tap] if config.tap else None
    return ExtractConfig(**{**values, "taps": taps, "dtype": "float32", "precision": "fp32"})


def _as_fit(config: TuneConfig, features: FeatureSet) -> FitConfig:
    """The configuration of a head on the same samples."""
    names = ("tap", "backbone", "label", "seed", "cache", "calibrate")
    values: dict[str, Any] = {name: getattr(config, name) for name in names}
    return FitConfig(**{"set": features.name, "digest": features.digest, "head": "linear", **values})


def run_name(config: TuneConfig) -> str:
    """What a run is called where nobody says it."""
    name = config.set or set_name(None, config.data, *([config.backbone] if config.backbone else []))
    if config.backbone is None:
        name = str(config.set or config.data)
    return f"{name}-{config.strategy.replace(':', '-')}"


def prepare_state(config: TuneConfig, target: Path, resume: bool, overwrite: bool) -> Path:
    """The folder of a training's state, after a look at what lies there and at the run itself.

    Raises
    ------
    ConfigError
        There is a run already, an interrupted training that nobody asked to go on with or to replace, or one of
        other settings.
    """
    check_free(target, overwrite)
    make_directory(target.parent)
    state = target.with_name(f".{target.name}.training")
    if state.exists() and resume:
        check_loop(state)
        check_resumable(state, settings_of(config))
    elif state.exists() and overwrite:
        shutil.rmtree(state)
    elif state.exists():
        raise ConfigError(
            f"{state} holds a training that was interrupted; --resume goes on with it, --overwrite begins anew"
        )
    return state
