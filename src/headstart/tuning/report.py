"""The run that fine-tuning leaves: a tuned backbone, a head, and what both cost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.options import BackboneOptions
from headstart.cache.recipe import make_recipe
from headstart.cache.store import Cache
from headstart.extraction.backbone import OpenedBackbone
from headstart.files import make_directory
from headstart.fitting.report import make_record
from headstart.heads.predictor import Predictor
from headstart.heads.sequences import Sequences
from headstart.registry.run import BACKBONE_DIR, IN_RUN, place_backbone
from headstart.samples import are_sequences
from headstart.training.loop import TrainingResult
from headstart.tuning.contrastive import ContrastiveSetup
from headstart.tuning.passages import TunedTokens
from headstart.tuning.state import is_held
from headstart.tuning.whole_model import counts_of
from headstart.tuning.writing import WritingSetup

if TYPE_CHECKING:
    from headstart.backbones.portable import BackboneSaver
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.fitting.data import Splits
    from headstart.fitting.report import FitOutcome
    from headstart.registry.run import Run
    from headstart.samples import LabelledSamples
    from headstart.tuning.phases import PhasedTraining
    from headstart.tuning.setup import TrainingSetup
    from headstart.types import Json


def finish(config: TuneConfig, training: PhasedTraining, raw: Splits) -> tuple[Predictor, Splits]:
    """What predicts from now on, and the same samples as it reads them."""
    setup = training.setup
    if isinstance(setup, WritingSetup):
        head = setup.head(config, training.history)
        return Predictor(head), setup.encoded(training.phases[-1], raw)
    splits = tuned_splits(training, raw)
    if isinstance(setup, ContrastiveSetup):
        return Predictor(setup.fit_head(config, splits)), splits
    predictor = Predictor(finished_head(training))
    settle(predictor.head, splits)
    return predictor, splits


def finished_head(training: PhasedTraining) -> Any:
    """The head with the weights that it was trained to, as `fit-head` would have it."""
    output: Any = training.setup.model.head.output
    weights = {f"output.{name}": tensor.detach().cpu() for name, tensor in output.state_dict().items()}
    return training.setup.head.finish(TrainingResult(weights, training.history, training.best_epoch))


def tuned_splits(training: PhasedTraining, raw: Splits) -> Splits:
    """The same samples with features of the tuned backbone; what the last phase left as it was is not run again."""
    setup = training.setup
    if raw["train"].beside:
        return {split: _tuned_passages(setup, split, part) for split, part in raw.items()}
    width = len(setup.head.mean_)
    with setup.short_cut(training.phases[-1], setup.samples) as samples:
        read = {split: part.outputs(setup.model.features) for split, part in samples.items()}
    # Behind the train samples with a label stand those that a teacher alone spoke of.
    own = {split: read.get(split, [])[: len(part)] for split, part in raw.items()}
    return {split: replace(part, X=_features(own[split], part, width)) for split, part in raw.items()}


def _features(read: Sequence[Any], part: LabelledSamples, width: int) -> Any:
    """Features of samples, in the form that they had."""
    if not are_sequences(part.X):
        return np.stack(read).astype(np.float32) if len(read) else np.empty((0, width), dtype=np.float32)
    values = np.concatenate([np.empty((0, width), dtype=np.float32), *read])
    return Sequences(values, np.cumsum([0, *map(len, read)]))


def _tuned_passages(setup: TrainingSetup, split: str, part: LabelledSamples) -> LabelledSamples:
    """Questions with contexts, their tokens computed when they are asked for: all of them would fill the memory."""
    if split not in setup.samples:
        return part
    tokens = TunedTokens(setup.samples[split], part.X.width, part.X.longest)
    return replace(part, X=replace(part.X, tokens=tokens))


def settle(head: Any, splits: Splits) -> None:
    """What a head chooses once it has weights, on validation samples if there are any."""
    part = splits["validation"] if len(splits["validation"]) else splits["train"]
    head.settle(part.X, part.targets)


def tuned_record(
    config: TuneConfig,
    asked: TuneConfig,
    outcome: FitOutcome,
    training: PhasedTraining,
    state: Path,
    progress: Progress,
) -> Run:
    """The record of a fine-tuned run; its model is copied from the folder ``state``."""
    setup, features = training.setup, outcome.features
    record = make_record(outcome.config, replace(outcome, history=training.history), progress)
    folder = state / BACKBONE_DIR
    where = None if setup.keep is None else _save_backbone(setup.keep, folder)
    data = features.name if is_held(config.data) else os.fspath(config.data)
    repeats = asked.model_copy(update={"set": features.name, "digest": features.digest, "data": data})
    n_seen = len(setup.samples["train"]) * len(training.history)
    report = {
        **record.report,
        "method": {
            "name": "fine-tune", "strategy": config.strategy, "part_size": training.part_size,
            **({"unfreeze": config.unfreeze} if config.unfreeze else {}),
            **({"init_head": str(config.init_head)} if config.init_head else {}),
        },
        "head": {"name": outcome.predictor.head.kind, "params": setup.params(config)},
        **setup.short_cut.to_json(),
        "epochs": {"best": training.best_epoch, "run": len(training.history)},
        "samples_per_second": n_seen / max(training.seconds, 1e-9),
        "cost": {
            "model_bytes": _model_bytes(folder, outcome, isinstance(setup, WritingSetup)),
            "parameters": training.n_trained,
            "total_parameters": counts_of(setup.model.parameters())["total"], **training.held,
        },
    }  # fmt: skip

    def save_model_files(target: Path) -> None:
        outcome.predictor.save(target)
        if where is not None:
            shutil.copytree(folder, target / BACKBONE_DIR)
        if (state / "adapter").is_dir():
            shutil.copytree(state / "adapter", target / "adapter")

    described = dict(setup.described)
    if where is not None:
        described = _describe_tuned(setup.described, where, folder, progress)
    return record.replaced(
        config=repeats.dump(), report=report, features=described, save_model=save_model_files
    )


def _model_bytes(folder: Path, outcome: FitOutcome, writes: bool) -> int:
    """Of what predicts: the tuned backbone, and a decoder; a linear head is next to nothing."""
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    head = outcome.predictor.head
    return n_bytes + (sum(part.nbytes for part in head.tensors().values()) if writes else 0)


def _save_backbone(keep: BackboneSaver, folder: Path) -> dict[str, Json]:
    """Write the tuned backbone; how it is opened again, as ``features.json`` has it, with its place in a run."""
    shutil.rmtree(folder, ignore_errors=True)
    make_directory(folder)
    folder = folder.resolve()
    spec, options = keep(folder)
    given = options.given()
    if options.weights:
        given["weights"] = f"{IN_RUN}/{options.weights.relative_to(folder)}"
    return {"located": spec.replace(str(folder), IN_RUN), "options": given}


def _describe_tuned(
    described: Mapping[str, Json], where: Mapping[str, Json], folder: Path, progress: Progress
) -> dict[str, Json]:
    """The tuned backbone as ``features.json`` has it, opened again from what was written."""
    placed = place_backbone({**described, **where}, folder)
    options = dict(placed["options"])
    weights = options.pop("weights", None)
    opened = OpenedBackbone(
        placed["located"],
        BackboneOptions(
            weights=Path(weights) if weights else None, modality=described["modality"], **options
        ),
        Cache(described["cache"]),
        progress,
    )

    def tuned(part: Mapping[str, Json]) -> dict[str, Json]:
        recipe = make_recipe(opened.info, str(part["recipe"]["tap"]), "fp32", "float32")
        return {**part, **where, "space": recipe.id, "recipe": dict(recipe.entries)}

    beside = [tuned(part) for part in described.get("beside", ())]
    return {**tuned(described), **({"beside": beside} if beside else {})}
