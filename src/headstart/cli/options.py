"""Options that several commands share, each said once, in groups that a command takes as a whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

Command = TypeVar("Command", bound=Callable[..., None])


def _not_empty(value: str | None) -> str | None:
    """Refuse what an unset shell variable leaves: as a path it would mean the current folder."""
    if value == "":
        raise typer.BadParameter("it is empty; is a variable of the shell unset?")
    return value


def _nameable(value: str | None) -> str | None:
    """Refuse a folder that files within it, which are UTF-8, could not name."""
    if value and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise typer.BadParameter(f"the name {value!r} is not UTF-8; choose another")
    return _not_empty(value)


Cache = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="The cache. Default: $HEADSTART_CACHE, else yours.",
        callback=_nameable,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show tracebacks.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what lies there.")]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        callback=_not_empty,
        help="Folder of images, table (CSV, TSV, JSONL, Parquet), split files, WebDataset tars, "
        "a saved data set, or hf:NAME.",
    ),
]
BackboneSpec = Annotated[
    str,
    typer.Option(
        "--backbone",
        metavar="SPEC",
        help="timm:NAME, torchvision:NAME, hf:NAME, bundled:NAME or py:MODULE:FACTORY; "
        "see headstart backbones ls.",
    ),
]

BackboneSpecs = Annotated[
    list[str],
    typer.Option(
        "--backbone",
        metavar="SPEC",
        help="timm:NAME, torchvision:NAME, hf:NAME, bundled:NAME or py:MODULE:FACTORY; "
        "see headstart backbones ls. Several: one after the other, over data that is scanned once.",
    ),
]

Group = Mapping[str, tuple[Any, Any]]
"""Parameters of a command by name: what typer is told, and the default."""


def option(kind: Any, *names: str, **says: Any) -> Any:
    """What typer is told of a parameter."""
    return Annotated[kind, typer.Option(*names, **says)]


def _column(name: str, help: str) -> Any:
    return option(str | None, name, metavar="NAME", help=help)


def panel(title: str, group: Group) -> Group:
    """A group whose options stand together in the help."""
    for said, _ in group.values():
        said.__metadata__[0].rich_help_panel = title
    return group


READING: Group = panel(
    "Reading the data",
    {
        "text_column": (_column("--text-column", "Texts."), None),
        "text_pair_column": (_column("--text-pair-column", "The second text of each pair."), None),
        "image_column": (_column("--image-column", "Images: paths or bytes."), None),
        "label_column": (
            option(str | None, "--label-column", metavar="NAMES", help="One, or several by comma."),
            None,
        ),
        "label_kind": (
            option(
                str,
                "--label-kind",
                help="auto, single, multi (several a sample), regression, or py:package.module:factory.",
            ),
            "auto",
        ),
        "label_separator": (
            option(str | None, "--label-separator", help="Between the labels of a cell, for multi."),
            None,
        ),
        "label_names": (
            option(
                str | None, "--label-names", metavar="NAMES", help="Of integer labels 0 to n - 1, by comma."
            ),
            None,
        ),
        "id_column": (_column("--id-column", "Ids. Default: file and row."), None),
        "split_column": (_column("--split-column", "train, validation or test."), None),
        "encoding": (option(str, "--encoding", help="Of CSV, TSV and JSONL files."), "utf-8"),
        "streaming": (
            option(
                bool | None,
                "--streaming/--no-streaming",
                help="Read an hf: data set without keeping it. Default: where it is large.",
            ),
            None,
        ),
    },
)
"""How data is read."""

BACKBONE: Group = panel(
    "Which features",
    {
        "taps": (
            option(
                str | None,
                "--taps",
                help="By comma: pooler, joint, sentence, or layer.pooling: last.mean, -4.cls, last.cls+mean.",
            ),
            None,
        ),
        "normalize": (
            option(
                bool | None,
                "--normalize/--no-normalize",
                help="Scale each vector to length 1. Default: as the model's authors do.",
            ),
            None,
        ),
        "prompt": (
            option(
                str | None,
                "--prompt",
                help="Put before each text: words, or the name of one of the model's own prompts.",
            ),
            None,
        ),
        "precision": (option(str, "--precision", help="auto, fp32, bf16, fp16, or int8 (CPU)."), "auto"),
        "dtype": (
            option(str | None, "--dtype", help="Stored as float16 or float32. Default: as computed."),
            None,
        ),
        "max_length": (option(int | None, "--max-length", help="Tokens a text is cut to."), None),
        "image_size": (option(int | None, "--image-size", help="Side of the image, pixels."), None),
        "crop_pct": (option(float | None, "--crop-pct", help="Share the centre crop keeps."), None),
        "weights": (
            option(
                Path | None,
                "--weights",
                metavar="FILE",
                help="Local weights for a timm: or torchvision: backbone.",
            ),
            None,
        ),
    },
)
"""Which features of a backbone are meant: all of it is part of the recipe."""

VIEWS: Group = panel(
    "Views",
    {
        "views": (
            option(
                int, "--views", min=0, metavar="N", help="Changed views of each sample to extract as well."
            ),
            0,
        ),
        "augment": (
            option(str, "--augment", help="What changes them: default, randaugment or py:MODULE:FUNCTION."),
            "default",
        ),
        "view_seed": (option(int, "--view-seed", min=0, help="Of what is drawn for them."), 0),
    },
)
"""Which augmented views are kept beside the plain feature: all of it is part of their recipes."""

COMPUTING: Group = panel(
    "Computing",
    {
        "format": (
            option(str, "--format", help="Of new shards: hdf5 (speed) or parquet (exchange)."),
            "hdf5",
        ),
        "device": (option(str, "--device", help="auto, cpu, cuda, cuda:1, mps …"), "auto"),
        "batch_size": (
            option(int | None, "--batch-size", min=1, help="Samples a batch; changes no feature."),
            None,
        ),
        "workers": (
            option(
                int | None,
                "--workers",
                min=1,
                metavar="N",
                help="Processes that share the work. Default: one a GPU, one on a CPU.",
            ),
            None,
        ),
        "offline": (option(bool, "--offline", help="Open no network socket."), False),
    },
)
"""How features are computed: none of it changes a number."""


def takes(*groups: Group) -> Callable[[Command], Command]:
    """Let a command take groups of options, as keyword arguments after its own."""

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=said)
            for group in groups
            for name, (said, default) in group.items()
        ]
        command.__signature__ = own.replace(parameters=[*named, *shared])  # type: ignore[attr-defined]
        return command

    return decorate


def listed(names: str | None) -> list[str] | None:
    """Names by comma, as a list; None where none were given."""
    if names is None:
        return None
    found = [name.strip() for name in names.split(",") if name.strip()]
    if not found:
        from headstart.errors import ConfigError

        raise ConfigError(f"{names!r} names nothing; write one or several names, by comma")
    return found


def as_options(given: dict[str, Any], *lists: str) -> dict[str, Any]:
    """A command's arguments as a configuration takes them.

    Parameters
    ----------
    given : dict
        ``locals()`` of the command.
    *lists : str
        The names of those that are lists by comma.
    """
    given = {**given, **given.get("options", {})}
    for_the_shell = {
        "options",
        "quiet",
        "verbose",
        "as_json",
        "out",
        "overwrite",
        "config",
        "run",
        "param",
        "context",
        "resume",
    }
    return {
        name: listed(value) if name in lists else value
        for name, value in given.items()
        if name not in for_the_shell
    }


def said(context: typer.Context, values: dict[str, Any], **written: str) -> dict[str, Any]:
    """Those of a command's options that stand on its command line; ``written`` says what an option became."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    names = {
        written.get(name, name)
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }
    return {name: value for name, value in values.items() if name in names}


def write_json(value: Any, indent: int | None = None) -> None:
    """Write a result to stdout for machines: JSON, a dataclass as an object."""
    import dataclasses
    import json

    def plain(part: Any) -> Any:
        return dataclasses.asdict(part) if dataclasses.is_dataclass(part) else str(part)  # type: ignore[arg-type]

    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False, default=plain))
