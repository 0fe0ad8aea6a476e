"""fine-tune: train the backbone with its head, on the very samples and splits that heads are fitted on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from headstart.cache.store import Cache
from headstart.config import ON_CLUSTER, ColumnConfig, ExtractConfig, FitConfig, TuneConfig
from headstart.data.objects import HeldStream
from headstart.distillation.asked import check_asked
from headstart.errors import ConfigError
from headstart.extraction.stage import IN_MEMORY, extract, set_name
from headstart.fitting.evaluation import calibrated, evaluate_splits, left_uncalibrated
from headstart.fitting.report import FitOutcome
from headstart.network import forbid_network
from headstart.options import did_you_mean
from headstart.places import is_there
from headstart.tasks import AUTO, open_task
from headstart.tracking import epoch_logs, tell_run, tracking
from headstart.training.callbacks import ShowEpochs, own_callbacks
from headstart.tuning.state import check_resumable, is_held
from headstart.tuning.strategies import check_options
from headstart.tuning.writing_plan import encoder_stays

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.fitting.data import Splits
    from headstart.registry.run import Run
    from headstart.tuning.search import TuneTrial
    from headstart.types import Json


OF_DATA = ("max_length", "on_long", "image_size", "crop_pct", "prompt", "weights", *ColumnConfig.model_fields)


def fine_tune(config: TuneConfig, progress: Progress, state: Path) -> Run:
    """Train a whole network, or as much of it as the strategy says, then report on every split.

    Checkpoints and the tuned weights lie in the folder ``state``; what an interrupted training left there is taken up.
    """
    from headstart.tuning.draws import tune_draws
    from headstart.tuning.given import open_samples
    from headstart.tuning.phases import train
    from headstart.tuning.report import finish, tuned_record
    from headstart.tuning.weights import keep_adapters

    check_options(config)
    if config.cluster is not None and is_held(config.data):
        raise ConfigError(
            "--engine ray trains on other machines, and the data is in the memory of this program; write it to files "
            "that they see"
        )
    asked, work = config, state
    more: dict[str, Any] = {}
    own = own_callbacks(config.callback)
    with tracking(config, f"{_data_said(config)}-{config.strategy}", progress) as tracker:
        start = perf_counter()
        if config.offline:
            forbid_network()
        features = _features(config, progress)
        if is_held(config.data):
            config = asked = config.model_copy(update={"set": features.name, "digest": features.digest})
            check_resumable(state, config)
        check_asked(config)
        samples = open_samples(config, features, progress)
        raw, draws = samples.raw, samples.draws
        more |= samples.taught
        if config.sweep:
            best, more["sweep"] = _searched(config, features, raw, progress, state)
            config, work = best.config, best.state
        callbacks = [ShowEpochs(progress), *epoch_logs(tracker), *own]
        training = train(config, features, raw, progress, work, callbacks)
        keep_adapters(training.setup.adapted, state / "adapter")
        tuned = predictor, splits = finish(config, training, raw)
        if config.calibrate:
            predictor = calibrated(predictor, splits["validation"])
            more |= left_uncalibrated(predictor, splits["validation"], progress)
        judged = splits if training.setup.judges_train else _without_train(splits)
        evaluation = evaluate_splits(predictor, judged, config.seed)
        evaluated = perf_counter()
        curves = tune_draws(draws, config, features, samples.whole, tuned, progress, state) if draws else None
        more |= {**curves.report(), **draws.report()} if curves and draws else {}
        end = perf_counter()
        timings = {
            "load": training.began - start, "fit": training.seconds, "to_best": training.seconds_to_best,
            "evaluate": evaluated - training.ended, **({"draws": end - evaluated} if draws else {}),
            "total": end - start,
        }  # fmt: skip
        as_fit = _as_fit(config, features, predictor.head.kind)
        outcome = FitOutcome(
            as_fit, features, splits, predictor, evaluation, timings, more,
            marks=curves.table() if curves else None, n_left_out=draws.n_left_out if draws else 0,
        )  # fmt: skip
        run = tuned_record(config, asked, outcome, training, state, progress)
        if tracker:
            tell_run(tracker, run)
    return run


def _searched(
    config: TuneConfig, features: FeatureSet, raw: Splits, progress: Progress, state: Path
) -> tuple[TuneTrial, dict[str, Json]]:
    """The best training of a sweep, whose trials are run here or on the nodes of a cluster."""
    from headstart.tuning.search import checked_grid, run_here, search

    n_validation = len(raw["validation"])
    if config.cluster is None:
        return search(config, n_validation, progress, state, run_here(features, raw, progress))
    from headstart.devices import pick_device
    from headstart.ray_trials import open_trials
    from headstart.tuning.on_nodes import run_on

    checked_grid(config, n_validation)
    with open_trials(config.cluster, features, state, config.offline, progress) as nodes:
        run = run_on(nodes, config, features, progress)
        best, report = search(config, n_validation, progress, state, run, nodes.serve)
    # What was trained there is loaded and judged here, on what this machine has.
    device = str(pick_device("auto"))
    update = {"device": device, **({"precision": "auto"} if device == "cpu" else {})}
    return replace(best, config=best.config.model_copy(update=update)), report


def _features(config: TuneConfig, progress: Progress) -> FeatureSet:
    """The set to train on: one that is there, or the data, extracted as fit-head would need it."""
    cache = Cache(config.cache)
    name = config.data
    if isinstance(name, HeldStream):
        raise ConfigError(
            "an IterableDataset is read once, and training goes over the data many times; keep it first: "
            "datasets.Dataset.from_list(list(data))"
        )
    is_set = isinstance(name, str) and name in cache.set_names()
    if is_set and is_there(name):
        is_set = config.backbone is None and config.set is None
        if is_set:
            progress.say(
                f"{name} is the set of that name; for the data that lies in ./{name}, say which --backbone"
            )
    if is_set or config.digest is not None:
        features = cache.open_set(str(config.set or name), config.digest)
        if config.backbone is not None and config.backbone not in _backbones(features):
            raise ConfigError(
                f"set {features.name!r} has no features of {config.backbone}"
                f"{did_you_mean(config.backbone, _backbones(features), 'it has')} "
                f"(extract adds those of another: headstart extract DATA --set {features.name} --backbone …)"
            )
        _check_of_set(config)
        for said in features.long_texts_said():
            progress.say(said)
        return features
    if config.backbone is None:
        if isinstance(name, str) and not is_there(name):
            cache.open_set(name)  # says which sets there are
        raise ConfigError("say which backbone to train: --backbone SPEC")
    done = extract(_as_extract(config), progress)
    for counts in done.counts.values():
        progress.say(str(counts))
    return done.features


def _without_train(splits: Splits) -> Splits:
    """The splits that say something of new data; where there is no sample in any of them, all."""
    others = {split: part for split, part in splits.items() if split != "train"}
    return others if any(map(len, others.values())) else splits


def _data_said(config: TuneConfig) -> str:
    return IN_MEMORY if is_held(config.data) else str(config.data)


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
    own = {"augment", "batch_size", "precision", "workers", "engine", *ON_CLUSTER}
    names = set(ExtractConfig.model_fields) & set(TuneConfig.model_fields) - own
    values = {name: getattr(config, name) for name in names}
    taps = [config.tap] if config.tap else _taps_of_states(config)
    return ExtractConfig(**{**values, "taps": taps, "dtype": "float32", "precision": "fp32"})


def _taps_of_states(config: TuneConfig) -> list[str] | None:
    """All positions, where it is said that texts are to be written and a decoder reads no more than that."""
    is_written = config.target_column is not None or _is_of_texts(config.label_kind)
    return ["last.tokens"] if is_written and encoder_stays(config.strategy) else None


def _is_of_texts(kind: str) -> bool:
    return kind != AUTO and open_task(kind).form == "texts"


def _as_fit(config: TuneConfig, features: FeatureSet, head: str) -> FitConfig:
    """The configuration of a head on the same samples."""
    names = ("tap", "backbone", "label", "seed", "cache", "calibrate", "plots")
    values: dict[str, Any] = {name: getattr(config, name) for name in names}
    return FitConfig(**{"set": features.name, "digest": features.digest, "head": head, **values})


def run_name(config: TuneConfig) -> str:
    """What a run is called where nobody says it."""
    name = config.set or set_name(None, config.data, *([config.backbone] if config.backbone else []))
    if config.backbone is None:
        name = str(config.set or config.data)
    return f"{name}-{config.strategy.replace(':', '-')}"
