"""The page of a set: the map of its features, and what an audit finds in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.cache.corrections import ENTRY, counts_said
from headstart.corrections.table import MADE
from headstart.errors import DataError
from headstart.inspection.pairs import pair_features, pair_figures, sides_of
from headstart.reporting.content import Findings, columns_of, content_of
from headstart.reporting.labels import PageLabel
from headstart.reporting.queues import audited
from headstart.reporting.samples import set_and_label, whole_set
from headstart.reporting.suggested import suggested_queue
from headstart.reporting.vectors import page_spec, vectors_of
from headstart.tasks import USUAL
from headstart.types import SPLITS

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.reporting.config import ReportConfig
    from headstart.types import Json


def set_page(
    features: FeatureSet, config: ReportConfig, notes: list[str], progress: Progress
) -> dict[str, Json]:
    """What the page of a set holds."""
    label = label_of(features, config, notes)
    samples = whole_set(features, label)
    vectors = vectors_of(features, config, None, notes)
    queues = [] if config.suggestions is None else [suggested_queue(config.suggestions, samples, notes)]
    judged = label if features.label_names else None
    found, near_train = audited(features, judged, vectors, config.audit, notes, progress)
    columns = columns_of(samples, [], notes)
    findings = Findings(samples, vectors, [*queues, *found], columns=columns, near_train=near_train)
    return {
        "kind": "set",
        "title": features.name,
        "about": [*about_set(features), *about_pairs(features)],
        **set_and_label(samples),
        **content_of(findings, config, notes, progress),
    }


def label_of(features: FeatureSet, config: ReportConfig, notes: list[str]) -> PageLabel:
    """The label column that is asked for, else the first; if the set has none, the one that corrections make."""
    if not features.label_names and config.label in (None, MADE):
        notes.append(f"the set has no labels; those that are given here make the column {MADE!r}")
        return PageLabel(MADE, USUAL, ())
    column = features.label_column(config.label)
    others = [name for name in features.label_names if name != column]
    if others and config.label is None:
        notes.append(
            f"the set has several label columns, and this page is of {column!r}; --label shows another: "
            f"{', '.join(map(repr, others))}"
        )
    return PageLabel(column, features.label_kinds[column], features.label_names[column])


def about_set(features: FeatureSet) -> list[list[str]]:
    """Facts, a line each; none of them says where anything lies on this machine."""
    counts = features.info["counts"]
    splits = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if counts.get(split))
    backbones = dict.fromkeys(page_spec(ref.backbone) for ref in features.features)
    facts = {
        "samples": f"{len(features):,}" + (f" ({splits})" if splits else ""),
        "labels": ", ".join(features.label_names),
        "features of": ", ".join(backbones),
        "state": features.digest,
        "corrections": counts_said(features.info.get(ENTRY, {})),
        "failures": f"{counts['failures']:,}" if counts.get("failures") else "",
    }
    return [[name, value] for name, value in facts.items() if value]


def about_pairs(features: FeatureSet) -> list[list[str]]:
    """Of pairs of image and text, how well these find each other in test, or in all where it has no two images."""
    refs = pair_features(features)
    found = []
    for ref in refs:
        try:
            figures = pair_figures(features, ref, "test")
        except DataError:
            try:
                figures = pair_figures(features, ref, None)
            except DataError:  # one image in all
                continue
        of = f" of {page_spec(ref.backbone)}" if len(refs) > 1 else ""
        found += [[f"{finds}{of}, {figures.split}", str(recall)] for finds, recall in sides_of(figures)]
    return found
