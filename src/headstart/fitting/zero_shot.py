"""Heads that start from the names of classes: what these are in the space of a feature, through the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from headstart.class_vectors import ClassVectors
from headstart.config import ComputeConfig
from headstart.errors import ConfigError, DataError
from headstart.extraction.beside import check_comparable, vectors_beside
from headstart.fitting.class_names import OPTION as CLASS_NAMES
from headstart.fitting.class_names import ClassName, ClassNames, class_names
from headstart.fitting.grids import TapChoice, as_grid, heads_of
from headstart.fitting.templates import DESCRIPTION, PLACE, Templates, read_templates
from headstart.heads import head_class
from headstart.heads.answers import unit
from headstart.heads.parameters import defaults
from headstart.tasks import open_task
from headstart.types import LOGITS, SPLITS
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig
    from headstart.contracts import Head, Progress
    from headstart.extraction.beside import VectorsBeside
    from headstart.fitting.data import FitData
    from headstart.types import FeatureRef, Json, LabelKind

INIT, TEMPLATES, NAMES = "init", "templates", "zero_shot"
"""Parameters of heads that start from names, and the entry of a report."""
HEAD = "zero-shot"
LOGIT_SCALE = 20.0
"""Of a model that has none of its own: what sentence-transformers multiplies cosines by when it trains by ranking
(MultipleNegativesRankingLoss)."""


@dataclass(frozen=True)
class NamedClasses:
    """What the names of classes are in the space of a feature, and what a report says of that."""

    vectors: ClassVectors
    report: Mapping[str, Json]


def asked_for_names(config: FitConfig, kind: LabelKind) -> FitConfig:
    """The configuration with what heads that start from names need: their parameter, and vectors of length 1.

    Raises
    ------
    ConfigError
        What was asked for is not for this head, or not for names.
    """
    names = heads_of(config)
    if config.init != "none":
        for name in names:
            if INIT not in defaults(head_class(name, kind)):
                raise ConfigError(
                    f"--init {config.init} gives first weights to a linear head; say --head linear"
                )
        config = config.model_copy(update={"params": {**config.params, INIT: config.init}})
    trained = HEAD in (config.params.get(INIT), *as_grid(config.sweep).get(INIT, []))
    if not trained and HEAD not in names:
        for option, given in (("--templates", config.templates), (CLASS_NAMES, config.class_names)):
            if given:
                raise ConfigError(
                    f"{option} is for heads that start from names of classes: --head {HEAD}, or --head linear "
                    f"--init {HEAD}"
                )
        return config
    if config.prepare not in ([], ["l2"]):
        raise ConfigError(
            "names of classes are compared with features as they are, by cosine, and --prepare changes these; leave it "
            "out"
        )
    if names == [HEAD] and (config.shots or config.curve):
        raise ConfigError(
            f"--shots and --curve are for heads that learn from samples, and a {HEAD} head does not; leave them out"
        )
    return config.model_copy(update={"prepare": ["l2"]}) if trained else config


def with_names(
    config: FitConfig,
    features: FeatureSet,
    heads: Sequence[Head],
    taps: Mapping[TapChoice, FitData],
    progress: Progress,
) -> tuple[Mapping[TapChoice, FitData], dict[str, Json]]:
    """What is fitted on with what the names of its classes are, and what a report says; as it is without such heads."""
    if not any(head.starts_from_names for head in heads) and HEAD not in as_grid(config.sweep).get(INIT, []):
        return taps, {}
    first = next(iter(taps.values())).raw["train"]
    _check_blend(config, heads, next(iter(taps.values())))
    names = class_names(config.class_names, first.names, first.column)
    found, report = {}, dict[str, "Json"]()
    for tap, data in taps.items():
        if len(data.raw["train"].features) > 1:
            raise ConfigError(
                "names of classes are compared with one feature; choose it with --tap and --backbone"
            )
        named = name_classes(config, features, data.raw["train"].feature, names, progress)
        if open_task(first.kind).form == "labels" and named.vectors.logit_bias is None:
            raise ConfigError(
                f"{data.raw['train'].feature.backbone} says which label is likeliest, and not how many apply: several "
                "labels a sample take a backbone that was trained by sigmoid, such as SigLIP; without one, fit --head "
                "logistic"
            )
        found[tap] = data.map(SPLITS, partial(replace, class_vectors=named.vectors))
        report = report or {NAMES: dict(named.report)}
    return found, report


def _check_blend(config: FitConfig, heads: Sequence[Head], data: FitData) -> None:
    """Refuse to choose a blend where nothing says which is best."""
    given = config.params.get("blend", "auto") if "blend" not in config.sweep else None
    if given == "auto" and any(head.trains_by_epochs for head in heads) and not len(data.raw["validation"]):
        raise ConfigError(
            "there are no validation samples to choose by how far trained weights go from the zero-shot ones; say "
            "--param blend=1 (all the way) or less"
        )


def name_classes(
    config: FitConfig, features: FeatureSet, ref: FeatureRef, names: ClassNames, progress: Progress
) -> NamedClasses:
    """Put the names of classes through the backbone of a feature, or through its other tower.

    Raises
    ------
    ConfigError
        The feature cannot be compared with texts.
    """
    modality = str(features.info["source"]["modality"])
    if modality not in ("image", "text"):
        raise ConfigError(
            f"set {features.name!r} holds samples of {modality}, and the name of a class is compared with an image or "
            "a text alone"
        )
    check_comparable(features, ref, "text")
    given = as_grid({TEMPLATES: config.sweep[TEMPLATES]})[TEMPLATES] if TEMPLATES in config.sweep else None
    chosen = [read_templates([one], modality) for one in given or []] or [
        read_templates(config.templates, modality)
    ]
    _check_descriptions(chosen, names)
    texts = {one.name: [_texts(each, one) for each in names.classes] for one in chosen}
    items = list(dict.fromkeys(text for of in texts.values() for part in of for text in part))
    compute = ComputeConfig.of({"cache": str(features.cache), "offline": config.offline})
    found = vectors_beside(features, ref, items, "text", compute, progress)
    _say(found, names, items, progress)
    directions = unit(_whole(found, items))
    places = {text: place for place, text in enumerate(items)}
    by_templates = {
        name: np.stack([_mean(directions[[places[text] for text in part]]) for part in of])
        for name, of in texts.items()
    }
    scale, bias = logits_of(found)
    report = _report(chosen, names, found, scale, bias)
    return NamedClasses(ClassVectors(names.labels, by_templates, scale, bias), report)


def logits_of(found: VectorsBeside) -> tuple[float, float | None]:
    """What makes logits of cosines, as the backbone was trained; or a scale that serves for texts."""
    own = found.info.provenance.get(LOGITS)
    return (own["scale"], own.get("bias")) if own else (LOGIT_SCALE, None)


def _check_descriptions(chosen: Sequence[Templates], names: ClassNames) -> None:
    lacking = [one for one in names.classes if not one.description]
    if lacking and any(one.take_descriptions for one in chosen):
        raise ConfigError(
            f"a template has {DESCRIPTION}, and the class {lacking[0].name!r} has no description; {CLASS_NAMES} takes "
            "a table with name and description"
        )


def _texts(one: ClassName, templates: Templates) -> list[str]:
    """What a model reads of a class: its name in each template; and its description, where no template has a place."""
    put = [
        text.replace(PLACE, one.text).replace(DESCRIPTION, one.description) for text in templates.sentences
    ]
    beside = [one.description] if one.description and not templates.take_descriptions else []
    return [*put, *beside]


def _whole(found: VectorsBeside, items: Sequence[str]) -> NDArray[np.float32]:
    if not found.held.all():
        reason = found.failures[0].reason if found.failures else "it has no vector"
        text = items[int(np.flatnonzero(~found.held)[0])]
        raise DataError(f"the class cannot be named {text!r}: {reason}")
    return found.X


def _mean(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = unit(directions.mean(axis=0, keepdims=True))[0]
    return mean


def _say(found: VectorsBeside, names: ClassNames, items: Sequence[str], progress: Progress) -> None:
    loaded = f"; {found.info.spec} was loaded for {found.n_computed:,} of them" if found.n_computed else ""
    progress.say(
        f"{counted(len(names.classes), 'class')} named by {names.said}: {counted(len(items), 'text')}{loaded}"
    )


def _report(
    chosen: Sequence[Templates], names: ClassNames, found: VectorsBeside, scale: float, bias: float | None
) -> dict[str, Json]:
    described = {str(one.label): one.description for one in names.classes} if names.has_descriptions else None
    return {
        "names_from": names.said,
        "names": {str(one.label): one.text for one in names.classes},
        **({"descriptions": described} if described else {}),
        "templates": {one.name: list(one.sentences) for one in chosen},
        "example": _texts(names.classes[0], chosen[0]),
        "logit_scale": scale,
        "logit_bias": bias,
        "scale_is_own": LOGITS in found.info.provenance and bool(found.info.provenance[LOGITS]),
        "n_computed": found.n_computed,
    }
