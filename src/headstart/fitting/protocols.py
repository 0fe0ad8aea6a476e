"""Few-shot protocols and learning curves: the same heads on less and less training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from headstart.backbones import short_name
from headstart.backbones.pooling import display_tap
from headstart.curves.draws import identity_of, protocols_of
from headstart.curves.marks import Marker
from headstart.curves.record import Curve, Curves, JudgedDraw
from headstart.curves.report import NOUNS, rare_said
from headstart.fitting.trials import MOST_NUMBERS, Trial, TrialResult, prepared, run_trials
from headstart.heads import head_class

if TYPE_CHECKING:
    from headstart.config import FitConfig
    from headstart.contracts import Progress
    from headstart.curves.draws import Draw, Protocol
    from headstart.fitting.data import Splits
    from headstart.fitting.head_training import HeadTraining
    from headstart.samples import LabelledSamples
    from headstart.types import Json


def measure_curves(rivals: Sequence[HeadTraining], kept: HeadTraining) -> Curves | None:
    """The curves of heads on several choices of features, ``kept`` among them; None where no protocol is asked for.

    Each size is drawn anew with each of ``seeds`` seeds; a larger draw of a seed holds the smaller, and all heads have
    the same draws. Features, which are not prepared yet, are prepared on what was drawn. Whatever is chosen within a
    fit is chosen on the set's validation samples, all of them; parameters that a sweep chose, once on all train
    samples. Figures are of the test samples, or of the validation samples where there are none.
    """
    config, progress = kept.config, kept.progress
    if not (config.shots or config.curve):
        return None
    trainings = list(rivals) or [kept]
    names, raws = names_of(trainings), _of_shared([each.data.raw for each in trainings], progress)
    protocols = protocols_of(config.shots, config.curve, raws[0]["train"])
    split = "test" if len(raws[0]["test"]) else "validation"
    for line in described(protocols, raws[0], split):
        progress.say(line)
    marker = Marker(raws[0][split])
    n_fits = len(trainings) * config.seeds * sum(len(protocol.sizes) for protocol in protocols)
    progress.begin("fits", n_fits)
    try:
        curves = [
            Curve(name, tuple(_judged(each.config, protocols, raw, split, marker, progress)), _about(each))
            for name, each, raw in zip(names, trainings, raws, strict=True)
        ]
    finally:
        progress.end()
    is_kept = [(each.config, id(each.data)) == (config, id(kept.data)) for each in trainings]
    return Curves(tuple(curves), protocols, marker, split, names[is_kept.index(True)])


def _judged(
    config: FitConfig,
    protocols: Sequence[Protocol],
    raw: Splits,
    split: str,
    marker: Marker,
    progress: Progress,
) -> list[JudgedDraw]:
    """All draws of all sizes, those of a size together, as far as the memory goes."""
    at_once = max(MOST_NUMBERS // sum(samples.n_numbers for samples in raw.values()), 1)
    found = []
    for protocol in protocols:
        for size in protocol.sizes:
            draws = [protocol.draw(size, config.seed + number) for number in range(config.seeds)]
            trials = [replace(_trial_on(draw, config, raw, split), marker=marker) for draw in draws]
            results: list[TrialResult] = []
            for start in range(0, len(trials), at_once):
                some = trials[start : start + at_once]
                results += run_trials(config.head, marker.kind, some, progress.advance)
            found += [
                JudgedDraw.of(draw, identity_of(raw["train"], draw), one.scores, one.marks)
                for draw, one in zip(draws, results, strict=True)
            ]
    return found


def _trial_on(draw: Draw, config: FitConfig, raw: Splits, split: str) -> Trial:
    """A fit on some of the training samples, which alone decide how features are prepared."""
    drawn = raw["train"].take(draw.rows)
    if head_class(config.head, drawn.kind).takes_unlabelled:
        drawn = raw["train"].with_others_unlabelled(draw.rows)
    train, validation, judge = prepared(config.prepare, config.seed, drawn, raw["validation"], raw[split])
    return Trial(config.params, draw.seed, train, validation if len(validation) else None, judge)


def described(protocols: Sequence[Protocol], raw: Splits, split: str) -> list[str]:
    """What the draws are judged on and chosen by, and which classes have fewer samples than a size asks for."""
    n, n_validation = len(raw[split]), len(raw["validation"])
    if split == "validation":
        lines = [
            f"there are no test samples: figures are of {n:,} validation samples, which fits choose by too"
        ]
    elif n_validation:
        lines = [
            f"a draw has {n_validation:,} validation samples to choose by, and {n:,} test samples to be judged on"
        ]
    else:
        lines = [
            "there are no validation samples: a draw that chooses something holds some of its own back for it"
        ]
    for protocol in protocols:
        rare = [(size, found) for size in protocol.sizes if (found := protocol.rare(size))]
        lines += [f"{size:,} {NOUNS[protocol.name]}: {rare_said(found)}" for size, found in rare]
    return lines


def names_of(trainings: Sequence[HeadTraining]) -> list[str]:
    """What each is called: by the head, and by what of its features tells it from others."""
    abouts = [_about(each) for each in trainings]
    parts = [[about["head"], short_name(about["backbone"]), about["tap"]] for about in abouts]
    if len({about["backbone"] for about in abouts}) > len({part[1] for part in parts}):
        parts = [[part[0], about["backbone"], part[2]] for part, about in zip(parts, abouts, strict=True)]
    varied = [place for place in range(3) if len({part[place] for part in parts}) > 1] or [0]
    found = [" ".join(part[place] for place in varied if place < 2) for part in parts]
    if len(set(found)) < len(found):  # a tap that follows from the backbone need not be said
        found = [" ".join(part[place] for place in varied) for part in parts]
    return found


def _about(training: HeadTraining) -> dict[str, Json]:
    refs = training.data.raw["train"].features
    return {
        "head": training.config.head,
        "backbone": " + ".join(dict.fromkeys(ref.backbone for ref in refs)),
        "tap": " + ".join(dict.fromkeys(display_tap(ref.tap) for ref in refs)),
        "params": {name: str(value) for name, value in training.config.params.items()},
    }


def _of_shared(raws: Sequence[Splits], progress: Progress) -> list[Splits]:
    """The samples that have all features: else draws, and what they are judged on, would differ."""
    ids = [{split: part.table.column("id") for split, part in raw.items()} for raw in raws]
    if all(each[split].equals(ids[0][split]) for each in ids for split in each):
        return list(raws)
    found: list[Splits] = []
    for raw in raws:
        shared: dict[str, LabelledSamples] = {}
        for split, part in raw.items():
            own, others = part.table.column("id"), [each[split].combine_chunks() for each in ids]
            kept = np.all([pc.is_in(own, other).to_pylist() for other in others], axis=0)
            shared[split] = part.take(np.flatnonzero(kept))
        found.append(shared)
    n = sum(len(part) for part in found[0].values())
    progress.say(f"curves are of the {n:,} samples that have all features")
    return found
