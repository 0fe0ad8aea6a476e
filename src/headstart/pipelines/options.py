"""What each command may be told in a pipeline, and how it becomes the command's own configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from headstart.config import (
    ColumnConfig,
    CompareConfig,
    Config,
    ExtractConfig,
    FitConfig,
    PredictConfig,
    TuneConfig,
)
from headstart.options import item_of, members, split
from headstart.pipelines.made_data import MADE


class DataConfig(ColumnConfig):
    """The data of a pipeline: where it lies, or what makes it, and how it is read."""

    path: str | None = None
    make: str | None = None
    rows: int | None = Field(None, ge=1)


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
    """A command that a step can be: options that a pipeline decides itself, and those that name earlier steps."""

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
    """A value as the configuration takes it: where that is a list, several with commas between will do.

    Examples
    --------
    >>> as_written(TuneConfig, "unfreeze", "0, 2,all"), as_written(TuneConfig, "epochs", 3)
    (['0', '2', 'all'], 3)
    """
    if name == "sweep" and isinstance(value, str):
        from headstart.fitting.grids import parse_sweep

        return parse_sweep(value)
    kind = config.model_fields[name].annotation
    # Where one thing is as good as a list of them, a comma may be part of it.
    is_list = item_of(kind) is not None and str not in members(kind)
    return split(value) if is_list and isinstance(value, str) else value


def check_made(name: str) -> str | None:
    """Why data of this name cannot be made; None: it can."""
    return (
        None
        if name in MADE
        else f"nothing is called {name!r} that could be made; there are {', '.join(MADE)}"
    )
