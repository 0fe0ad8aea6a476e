"""What a stage is asked to do: the command's options, checked.

A mistake raises `ConfigError`; loading what `dump` gave repeats a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from headstart.backbones.options import BackboneOptions
from headstart.data import SourceOptions
from headstart.errors import ConfigError
from headstart.tasks import check_kind
from headstart.types import Modality


class Config(BaseModel):
    """The base of all configurations: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from error

    def dump(self) -> str:
        """The configuration as YAML."""
        values = self.model_dump(mode="json", exclude_none=True)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    @classmethod
    def load(cls, path: Path, changes: Mapping[str, Any] | None = None) -> Self:
        """Read what `dump` wrote, with changes.

        Raises
        ------
        ConfigError
            It is no YAML mapping, or has a name or value that does not belong.
        """
        try:
            values = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())  # of YAML's errors each takes several lines
            raise ConfigError(f"cannot read the configuration {path}: {reason}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path} is not a configuration: expected names and values")
        return cls(**{**values, **(changes or {})})


class ColumnConfig(Config):
    """Which columns of a table play which role; what is left out is detected."""

    text_column: str | None = None
    text_pair_column: str | None = None
    image_column: str | None = None
    label_column: list[str] | None = None
    id_column: str | None = None
    split_column: str | None = None
    encoding: str = "utf-8"
    label_names: list[str] | None = None
    label_kind: Annotated[str, AfterValidator(check_kind)] = "auto"
    label_separator: str | None = None
    streaming: bool | None = None

    def source_options(self, labels: bool = True) -> SourceOptions:
        """The same as the sources take it."""
        return SourceOptions(
            text_column=self.text_column,
            text_pair_column=self.text_pair_column,
            image_column=self.image_column,
            label_columns=tuple(self.label_column) if self.label_column else None,
            id_column=self.id_column,
            split_column=self.split_column,
            encoding=self.encoding,
            label_names=tuple(self.label_names) if self.label_names else None,
            label_kind=self.label_kind,
            label_separator=self.label_separator,
            streaming=self.streaming,
            labels=labels,
        )


class ComputeConfig(Config):
    """How to compute; none of it changes which space a feature belongs to."""

    cache: str | None = None
    device: str = "auto"
    batch_size: int | None = Field(None, ge=1)
    workers: int | None = Field(None, ge=1, le=256)
    format: Literal["hdf5", "parquet"] = "hdf5"
    offline: bool = False


class ExtractConfig(ColumnConfig, ComputeConfig):
    """Options of ``headstart extract``."""

    data: Any
    backbone: str
    more_backbones: list[str] = Field(default_factory=list)
    set: str | None = None
    taps: list[str] | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    dtype: Literal["float16", "float32"] | None = None
    max_length: int | None = Field(None, ge=1)
    image_size: int | None = Field(None, ge=1)
    crop_pct: float | None = Field(None, gt=0, le=1)
    weights: Path | None = None
    prompt: str | None = None
    normalize: bool | None = None
    views: int = Field(0, ge=0, le=1000)
    augment: str = "default"
    view_seed: int = Field(0, ge=0, lt=2**32)
    split_seed: int = Field(0, ge=-(2**63), lt=2**63)
    strict: bool = False
    max_failures: str | int | None = None
    retry_failed: bool = False

    @property
    def backbones(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys([self.backbone, *self.more_backbones]))

    def each_backbone(self) -> list[Self]:
        """The same for one backbone at a time."""
        return [self.model_copy(update={"backbone": one, "more_backbones": []}) for one in self.backbones]

    def backbone_options(self, modality: Modality | None) -> BackboneOptions:
        """The same as the backbones take it, for samples of a modality."""
        return BackboneOptions(
            weights=self.weights,
            max_length=self.max_length,
            image_size=self.image_size,
            crop_pct=self.crop_pct,
            prompt=self.prompt,
            modality=modality,
            offline=self.offline,
        )


class FitConfig(Config):
    """Options of ``headstart fit-head``."""

    set: str
    head: str = "logistic"
    tap: str | list[str] | None = None
    backbone: str | list[str] | None = None
    label: str | None = None
    views: bool = True
    prepare: list[str] = Field(default_factory=list)
    params: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, Any] = Field(default_factory=dict)
    search: Literal["grid", "optuna"] = "grid"
    trials: int = Field(50, ge=1, le=10_000)
    seeds: int = Field(1, ge=1, le=1000)
    folds: int | None = Field(None, ge=2)
    shots: list[int] = Field(default_factory=list)
    curve: list[int] = Field(default_factory=list)
    refit: bool = False
    calibrate: bool = True
    mapped: bool | None = None
    track: list[str] = Field(default_factory=list)
    callback: list[str] = Field(default_factory=list)
    seed: int = Field(0, ge=0, lt=2**32)
    cache: str | None = None
    digest: str | None = None

    @property
    def choices(self) -> list[tuple[str | None, str | None]]:
        """The features to fit on, as tap and backbone: each tap of each backbone."""
        taps: list[Any] = self.tap if isinstance(self.tap, list) else [self.tap]
        backbones: list[Any] = self.backbone if isinstance(self.backbone, list) else [self.backbone]
        return [(tap, backbone) for backbone in backbones or [None] for tap in taps or [None]]


class TuneConfig(ColumnConfig, ComputeConfig):
    """Options of ``headstart fine-tune``; what is None is chosen by the strategy."""

    data: Any
    backbone: str | None = None
    strategy: str = "full"
    unfreeze: list[str] = Field(default_factory=list)
    init_head: Path | None = None
    set: str | None = None
    digest: str | None = None
    tap: str | None = None
    label: str | None = None
    epochs: list[Annotated[int, Field(ge=1, le=100_000)]] | None = Field(None, min_length=1)
    lr: list[Annotated[float, Field(ge=0, lt=1e6)]] | None = Field(None, min_length=1)
    head_lr: list[Annotated[float, Field(ge=0, lt=1e6)]] | None = Field(None, min_length=1)
    weight_decay: float | None = Field(None, ge=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    schedule: Literal["constant", "linear", "cosine", "step", "one-cycle"] | None = None
    warmup_share: float | None = Field(None, ge=0, lt=1)
    patience: int | None = Field(None, ge=1)
    clip_norm: float = Field(1.0, gt=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weight: Literal["none", "balanced"] = "none"
    dropout: float = Field(0.0, ge=0, lt=1)
    part_size: int | None = Field(None, ge=1)
    gradient_checkpointing: bool = False
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    augment: str | None = None
    lora_rank: int = Field(8, ge=1)
    lora_alpha: float = Field(16.0, gt=0)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    cut_cache: bool = True
    sweep: dict[str, Any] = Field(default_factory=dict)
    search: Literal["grid", "optuna"] = "grid"
    trials: int = Field(20, ge=1, le=10_000)
    calibrate: bool = True
    track: list[str] = Field(default_factory=list)
    callback: list[str] = Field(default_factory=list)
    seed: int = Field(0, ge=0, lt=2**32)
    max_length: int | None = Field(None, ge=1)
    image_size: int | None = Field(None, ge=1)
    crop_pct: float | None = Field(None, gt=0, le=1)
    weights: Path | None = None
    prompt: str | None = None
    split_seed: int = Field(0, ge=-(2**63), lt=2**63)


class DoctorConfig(ComputeConfig):
    """Options of ``headstart cache doctor``."""

    set: str
    samples: int = Field(32, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)
    tap: str | None = None
    backbone: str | None = None
    data: Any = None

    def reading(self, columns: Mapping[str, Any]) -> ColumnConfig:
        """How the set says that its data was read; labels are of no interest, nor how other data streamed."""
        dropped = [name for name in columns if "label" in name or (name == "streaming" and self.data)]
        return ColumnConfig(**{name: value for name, value in columns.items() if name not in dropped})


class PredictConfig(ColumnConfig, ComputeConfig):
    """Options of ``headstart predict``."""

    data: Any


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]).replace("_", "-")
    if first["type"] == "extra_forbidden":
        return f"there is no option {name!r}"
    value = "" if first["type"] == "missing" else f" (got {first['input']!r})"
    return f"{name}: {first['msg']}{value}"
