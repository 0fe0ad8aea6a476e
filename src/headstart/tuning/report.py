"""The run that fine-tuning leaves: a tuned backbone, a head, and what both cost."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
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
from headstart.registry.run import BACKBONE_DIR, IN_RUN, place_backbone
from headstart.training.loop import Trained as TrainedHead
from headstart.tuning.whole_model import counts_of

if TYPE_CHECKING:
    from headstart.backbones.portable import BackboneSaver
    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.contracts import Progress
    from headstart.fitting.report import FitOutcome
    from headstart.registry.run import Run
    from headstart.samples import LabelledSamples
    from headstart.tuning.parts import TrainingSetup
    from headstart.tuning.phases import PhasedTraining
    from headstart.tuning.session import TrainingResult
    from headstart.tuning.strategies import Phase
    from headstart.types import Json


def finished_head(parts: TrainingSetup, trained: PhasedTraining) -> Any:
    """The head with the weights that it was trained to, as `fit-head` would have it."""
    output = parts.model.head.output
    weights = {f"output.{name}": tensor.detach().cpu() for name, tensor in output.state_dict().items()}
    return parts.head.finish(TrainedHead(weights, trained.history, trained.best_epoch))


def tuned_data(
    parts: TrainingSetup, raw: Mapping[str, LabelledSamples], last: Phase
) -> dict[str, LabelledSamples]:
    """The same samples with features of the tuned backbone; what the last phase left as it was is not run again."""
    empty = np.empty((0, len(parts.head.mean_)), dtype=np.float32)
    with parts.short_cut(last, parts.samples) as samples:
        return {
            split: replace(
                part, X=samples[split].outputs(parts.model.features) if split in samples else empty
            )
            for split, part in raw.items()
        }


def save_backbone(keep: BackboneSaver, folder: Path) -> dict[str, Json]:
    """Write the tuned backbone into a folder; how it is opened again, with its place in a run for the folder.

    Returns
    -------
    dict
        ``located`` and ``options``, as ``features.json`` has them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    make_directory(folder)
    folder = folder.resolve()
    spec, options = keep(folder)
    given = options.given()
    if options.weights:
        given["weights"] = f"{IN_RUN}/{options.weights.relative_to(folder)}"
    return {"located": spec.replace(str(folder), IN_RUN), "options": given}


def describe_tuned(
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
    recipe = make_recipe(opened.info, str(described["recipe"]["tap"]), "fp32", "float32")
    return {**described, **where, "space": recipe.id, "recipe": dict(recipe.entries)}


def tuned_record(
    config: TuneConfig,
    outcome: FitOutcome,
    session: TrainingResult,
    timings: Mapping[str, float],
    more: Mapping[str, Json],
    state: Path,
    progress: Progress,
) -> Run:
    """The record of a fine-tuned run; its model is copied from the folder ``state``."""
    parts, trained = session.parts, session.trained
    record = make_record(outcome.config, outcome, timings, more, progress)
    folder = state / BACKBONE_DIR
    where = save_backbone(parts.keep, folder)
    features = describe_tuned(parts.described, where, folder, progress)
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    report = {
        **record.report,
        "method": {
            "name": "fine-tune", "strategy": config.strategy, "part_size": trained.part_size,
            **({"unfreeze": config.unfreeze} if config.unfreeze else {}),
            **({"init_head": str(config.init_head)} if config.init_head else {}),
        },
        "head": {"name": "linear", "params": {"dropout": config.dropout}},
        **({"cut": dict(parts.cut)} if parts.cut["spaces"] else {}),
        "epochs": {"best": trained.best_epoch, "run": len(trained.history)},
        "samples_per_second": len(parts.samples["train"]) * len(trained.history) / max(trained.seconds, 1e-9),
        "cost": {
            "model_bytes": n_bytes, "parameters": session.n_trained,
            "total_parameters": counts_of(parts.model.parameters())["total"], **session.held,
        },
    }  # fmt: skip

    def save_model_files(target: Path) -> None:
        outcome.predictor.save(target)
        shutil.copytree(folder, target / BACKBONE_DIR)
        if (state / "adapter").is_dir():
            shutil.copytree(state / "adapter", target / "adapter")

    return record.replaced(
        plot_format=config.plots,
        config=resolved(config, outcome.features).dump(), report=report, features=features,
        save_model=save_model_files,
    )  # fmt: skip


def resolved(config: TuneConfig, features: FeatureSet) -> TuneConfig:
    """The configuration with the set that it was used on; loading it repeats the run."""
    return config.model_copy(
        update={"set": features.name, "digest": features.digest, "data": _plain(config.data)}
    )


def _plain(data: Any) -> Any:
    return str(data) if hasattr(data, "__fspath__") else data
