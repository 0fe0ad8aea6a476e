"""``headstart cache diff|doctor``: the cache beside the live data and the live backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from headstart import api
from headstart.api import shared
from headstart.cli.command import AsJson, Quiet, Said, made_from, write_result
from headstart.words import counted

if TYPE_CHECKING:
    from headstart.inspection.diff import Diff, FeatureDiff, SampleDiff
    from headstart.inspection.doctor import Examination

SHOWN_IDS, SHOWN_ENTRIES, WIDTH = 5, 8, 60


@made_from(
    api.extract,
    without=["split_seed", "retry_failed", "max_failures", "strict"],
    instead={"backbone": shared.Backbone},
)
def diff(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Say why an extract command would miss: what differs in the recipe, which samples are new."""
    from headstart.config import ExtractConfig
    from headstart.inspection.diff import diff as run
    from headstart.progress import open_progress

    found = run(said.config(ExtractConfig), open_progress(quiet))
    write_result(found, as_json, lambda: _diff_lines(found))


@made_from(api.doctor)
def doctor(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    seen = api.doctor(**said.values, quiet=quiet)
    write_result(seen, as_json, lambda: [line for one in seen for line in _doctor_lines(one)])
    if not all(examination.healthy for examination in seen):
        raise typer.Exit(4)


def _diff_lines(found: Diff) -> list[str]:
    lines = [line for feature in found.features for line in _feature_lines(feature)]
    lines.append(f"precision {found.precision}: {found.why}")
    if found.samples is None:
        lines.append("the set does not exist yet")
    else:
        lines += _sample_lines(found.samples)
    return lines


def _feature_lines(feature: FeatureDiff) -> list[str]:
    lines = [
        f"{feature.tap}{_view(feature.view)}: space {feature.space} holds {feature.n_held:,} of these samples, "
        f"{feature.n_missing:,} are missing{_some(feature.missing, feature.n_missing)}"
    ]
    for near in feature.nearest:
        lines.append(f"  space {near.space} holds {near.n_held:,} of them, and differs in:")
        for name, (there, meant) in list(near.differences.items())[:SHOWN_ENTRIES]:
            lines.append(f"    {name}: {_short(there)} there, {_short(meant)} here")
        if len(near.differences) > SHOWN_ENTRIES:
            lines.append(f"    … and {len(near.differences) - SHOWN_ENTRIES} more entries")
    return lines


def _sample_lines(samples: SampleDiff) -> list[str]:
    lines = [f"set {samples.set}: {samples.n_same:,} samples are as they were"]
    for word in ("new", "changed", "gone"):
        ids = getattr(samples, word)
        if ids:
            lines.append(f"  {len(ids):,} {word}{_some(ids, len(ids))}")
    return lines


def _doctor_lines(seen: Examination) -> list[str]:
    lines = [
        f"{seen.backbone} {seen.tap}{_view(seen.view)} (space {seen.space}): {counted(seen.n, 'sample')} recomputed; "
        f"cosine: least {seen.cosine_min:.6f}, median {seen.cosine_median:.6f}; largest error "
        f"{seen.largest_error:.1e} of the largest value"
    ]
    for row in seen.strangers:
        like = f"; it is the feature of {row.like}" if row.like else ""
        lines.append(f"  {row.id} does not belong: cosine {row.cosine:.4f}, error {row.error:.1e}{like}")
    for name, (then, now) in list(seen.differences.items())[:SHOWN_ENTRIES]:
        lines.append(f"  the backbone has changed: {name} was {_short(then)}, is {_short(now)}")
    lines += [f"  could not be recomputed: {failure}" for failure in seen.failures]
    lines.append("healthy" if seen.healthy else "NOT healthy")
    return lines


def _view(name: str | None) -> str:
    return f" view {name}" if name else ""


def _some(ids: tuple[str, ...], n: int) -> str:
    shown = ", ".join(ids[:SHOWN_IDS])
    return f" ({shown}{', …' if n > SHOWN_IDS else ''})" if shown else ""


def _short(value: Any) -> str:
    text = "absent" if value is None else repr(value)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
