"""``headstart backbones ls|show|prepare``."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart import api
from headstart.cli.command import AsJson, Said, guarded, made_from, write_result

if TYPE_CHECKING:
    from headstart.backbones.catalogue import Catalogue, LocalBackbone
    from headstart.extraction.prepare import Prepared
    from headstart.inspection.backbones import Description

app = typer.Typer(help="Find a backbone, and see what it offers.", no_args_is_help=True)

PLACES = {
    "package": "weights from packages",
    "hub": "in the Hugging Face cache",
    "torch-hub": "files of weights in torch's cache",
}


@app.command("ls")
@guarded
def ls(
    filter: Annotated[
        str | None,
        typer.Option("--filter", metavar="PATTERN", help="List what matches of timm and torchvision."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the backbones that can be had on this machine, and those to start with; asks no network."""
    from headstart.backbones.catalogue import catalogue

    found = catalogue(filter)
    nothing = f"nothing matches {filter!r}; try a part of a name, such as dinov3"
    write_result(found, as_json, lambda: (found.matching if filter else _catalogue_lines(found)) or [nothing])


@app.command("show")
@made_from(api.describe_backbone)
def show(said: Said, as_json: AsJson = False) -> None:
    found = api.describe_backbone(**said.values)
    write_result(found, as_json, lambda: _description_lines(found))


@app.command("prepare")
@made_from(api.prepare_backbone)
def prepare(said: Said, as_json: AsJson = False) -> None:
    found = api.prepare_backbone(**said.values)
    write_result(found, as_json, lambda: _prepared_lines(found))


def _prepared_lines(found: Prepared) -> list[str]:
    done = "is converted already" if found.was_there else f"converted in {found.seconds:.0f} s"
    gain = f", {found.gain:.1f} × as fast as torch a thread" if found.gain else ""
    start = "starts without torch" if found.starts_without_torch else "torch prepares its samples"
    size = f"{found.n_bytes / 1e6:,.0f} MB in {found.path}"
    return [f"{found.spec} {done}: largest error {found.largest_error:.1g}{gain}; {start}; {size}"]


def _catalogue_lines(found: Catalogue) -> list[str]:
    lines = ["recommended"]
    for modality, group in groupby(found.recommended, key=lambda known: known.modality):
        for known in group:
            place = "here" if known.here else _lacks(known.spec)
            lines.append(f"  {modality:<11}{known.spec:<42}{place:<15}{known.why}")
    for where, title in PLACES.items():
        lines += ["", title, *_local_lines([local for local in found.local if local.where == where])]
    counts = ", ".join(f"{library} {count:,}" for library, count in found.architectures.items())
    return [*lines, "", f"architectures: {counts}; headstart backbones ls --filter dinov3 lists some"]


def _lacks(spec: str) -> str:
    return "not installed" if spec.startswith("bundled:") else "to fetch"


def _local_lines(local: list[LocalBackbone]) -> list[str]:
    if not local:
        return ["  none"]
    return [f"  {one.spec:<42}{'here' if one.here else one.missing}".rstrip() for one in local]


def _description_lines(found: Description) -> list[str]:
    default, *others = (f"{tap.tap} ({_count(tap.n_features)})" for tap in found.taps)
    rows = [
        ("backbone", found.spec),
        ("takes", found.modality),
        ("default tap", default),
        ("other taps", ", ".join(others)),
        ("layers", _layers(found)),
        ("parameters", _count(found.parameters)),
        ("max length", f"{found.max_length} tokens" if found.max_length else ""),
        ("prompt", repr(found.prompt) if found.prompt else ""),
        ("query prompt", repr(found.query_prompt) if found.query_prompt else ""),
        ("document prompt", repr(found.document_prompt) if found.document_prompt else ""),
        ("architecture", _pairs(found.architecture)),
        ("preprocessing", _pairs(found.preprocessing)),
        ("weights", found.weights),
        *((name, _plain(value)) for name, value in found.provenance.items()),
    ]
    return [f"{name + ':':<17}{value}" for name, value in rows if value]


def _layers(found: Description) -> str:
    if not found.layers:
        return "none by number"
    widths = groupby(found.layers, key=lambda layer: layer.n_features)
    runs = [(list(group), width) for width, group in widths]
    parts = [
        f"{group[0].tap}–{group[-1].tap} ({_count(width)})"
        if len(group) > 1
        else f"{group[0].tap} ({_count(width)})"
        for group, width in runs
    ]
    norm = "last is after one more norm" if found.closing_norm else f"last is {found.layers[-1].tap}"
    return f"{', '.join(parts)}; -1 is {found.layers[-1].tap}, {norm}"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return _pairs(value)
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
