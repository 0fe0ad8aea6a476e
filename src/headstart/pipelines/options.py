"""What each command may be told in a pipeline, and how it becomes the command's own configuration."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import Field

from headstart.config import (
    ColumnConfig,
    Config,
    ExtractConfig,
    FitConfig,
    PredictConfig,
    TuneConfig,
)
from headstart.pipelines.made_data import MADE
from headstart.types import PlotFormat


class DataConfig(ColumnConfig):
    """The data of a pipeline: where it lies, or what makes it, and how it is read."""

    path: str | None = None
    make: str | None = None
    rows: int | None = Field(None, ge=1)


class CompareConfig(Config):
    """Options of a comparison; without ``runs`` it is of all before it, without ``set`` on what each was tested."""

    runs: list[str] = Field(default_factory=list)
    set: str | None = None
    seed: int = Field(0, ge=0)
    plots: PlotFormat = "png"


class PredictStep(PredictConfig):
    """Options of predictions."""

    run: str


class ExportStep(Config):
    """Options of an export."""

    run: str
    to: Literal["hf", "onnx", "timm"]
    offline: bool = False


@dataclass(frozen=True)
class Verb:
    """A command that a step can be.

    Parameters
    ----------
    left_out : frozenset of str
        Options of the command that a pipeline decides itself.
    sets, runs : tuple of str
        Options that name an earlier step: an extract step, or one that leaves a run.
    """

    config: type[Config]
    left_out: frozenset[str] = frozenset()
    sets: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The options that it takes."""
        return [name for name in self.config.model_fields if name not in self.left_out]


# A fine-tuning reads its data and makes its inputs as the set does that it trains on.
_OF_THE_SET = frozenset(
    {
        *ColumnConfig.model_fields, "data", "max_length", "image_size", "crop_pct", "prompt", "weights", "split_seed",
        "format",
    }
)  # fmt: skip
VERBS: Mapping[str, Verb] = {
    "extract": Verb(ExtractConfig, frozenset({"cache"})),
    "fit-head": Verb(FitConfig, frozenset({"cache", "digest"}), ("set",)),
    "fine-tune": Verb(TuneConfig, frozenset({"cache", "digest"}) | _OF_THE_SET, ("set",), ("init_head",)),
    "compare": Verb(CompareConfig, frozenset(), ("set",), ("runs",)),
    "predict": Verb(PredictStep, frozenset({"cache"}), (), ("run",)),
    "export": Verb(ExportStep, frozenset(), (), ("run",)),
}
LEAVES_A_RUN = ("fit-head", "fine-tune")


def as_written(config: type[Config], name: str, value: Any) -> Any:
    """A value as the configuration takes it: where it takes a list, one thing or several with commas will do.

    Examples
    --------
    >>> as_written(TuneConfig, "epochs", 3), as_written(TuneConfig, "unfreeze", [0, 2, "all"])
    ([3], ['0', '2', 'all'])
    """
    if name == "sweep" and isinstance(value, str):
        from headstart.fitting.grids import parse_sweep

        return parse_sweep(value)
    item = _item_of(config.model_fields[name].annotation)
    if item is None or isinstance(value, Mapping):
        return value
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    listed = value if isinstance(value, list) else [value]
    return [str(part) if item is str and isinstance(part, int | float) else part for part in listed]


def _item_of(annotation: Any) -> Any:
    """What a list holds; None: the option takes something else than a list, or that as well."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _item_of(kinds[0]) if len(kinds) == 1 else None
    return get_args(annotation)[0] if get_origin(annotation) is list else None


def check_made(name: str) -> str | None:
    """Why data of this name cannot be made; None: it can."""
    return (
        None
        if name in MADE
        else f"nothing is called {name!r} that could be made; there are {', '.join(MADE)}"
    )
