"""What a stage is asked to do: the arguments of a public function, checked.

The defaults are those of the function's signature. A mistake raises `ConfigError`; loading what `dump` gave repeats a
run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from headstart.backbones.options import BackboneOptions
from headstart.backbones.pooling import TOKENS
from headstart.cache.open_home import check_offline
from headstart.curves.draws import check_size
from headstart.data import SourceOptions
from headstart.data.given import Given
from headstart.data.options import check_class_from, check_quoting
from headstart.data.pixels import check_layout
from headstart.data.splits import parse_split_map
from headstart.errors import ConfigError
from headstart.held_values import Corrections, Data
from headstart.options import Positive, Range, Rate, Seed, Share, as_field, defaults, nearest
from headstart.tasks import check_kind
from headstart.trust import is_own
from headstart.types import Modality, PlotFormat
from headstart.yaml_file import read_yaml

IN_WINDOWS = (
    "fine-tuning reads a text in one pass, and --on-long windows in several; leave it out, and texts are cut "
    "(--max-length N where the model takes more), or fit a head on windows: extract --on-long windows, then fit-head"
)
"""Why a backbone cannot be trained on features that are means over windows."""
MOST_WORKERS = 256
"""One for each unit of work."""
SplitSeed = Annotated[int, Range(ge=-(2**63), lt=2**63)]
TrainSize = Annotated[int | str, AfterValidator(check_size)]


class Config(BaseModel):
    """The base of all configurations: frozen, and strict about names."""

    # One command uses one of them: what checks the values is built then.
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)
    function: ClassVar[str] = ""
    """The public function whose arguments these are."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if cls.function:
            for name, value in defaults(cls.function).items():
                if field := cls.model_fields.get(name):
                    field.default = as_field(field.annotation, value)

    def __init__(self, **values: Any) -> None:
        known = type(self).model_fields
        given = {
            name: as_field(known[name].annotation, value) if name in known else value
            for name, value in values.items()
        }
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise ConfigError(_explain(error, known)) from error
        if "cache" in known and getattr(self, "offline", False):
            check_offline(getattr(self, "cache"))  # noqa: B009  not all have one

    @classmethod
    def of(cls, arguments: Mapping[str, Any], **changes: Any) -> Self:
        """The configuration that a function's arguments make; those that it does not know are left out."""
        return cls(**{**{name: arguments[name] for name in cls.model_fields if name in arguments}, **changes})

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
        _, values = read_yaml(path, "configuration")
        if not isinstance(values, dict):
            raise ConfigError(f"{path} is not a configuration: expected names and values")
        if values.get("cache") and "cache" not in (changes or {}) and not cls.may_write_where(path):
            raise ConfigError(
                f"{path} names the cache {values['cache']!r}, and headstart did not write that file for you on this "
                "machine; say --cache, and new features go there"
            )
        return cls(**{**values, **(changes or {})})

    @classmethod
    def may_write_where(cls, path: Path) -> bool:
        """Whether features may be written to the cache that a file names: none are, or the file is the user's own."""
        return not issubclass(cls, ComputeConfig) or is_own(path.read_bytes())


class ColumnConfig(Config):
    """Which columns of a table play which role; what is left out is detected."""

    function = "extract"
    text_column: str | None
    text_pair_column: str | None
    image_column: str | None
    words_column: str | None
    tags_column: str | None
    input_column: str | None
    target_column: str | None
    question_column: str | None
    context_column: str | None
    answers_column: str | None
    label_column: list[str] | None
    id_column: str | None
    split_column: str | None
    split_map: Annotated[dict[str, str], BeforeValidator(parse_split_map)]
    group_column: str | None
    encoding: str
    header: bool | None
    columns: list[str] | None
    delimiter: str | None
    quoting: Annotated[str, AfterValidator(check_quoting)]
    class_from: Annotated[str, AfterValidator(check_class_from)]
    label_names: list[str] | None
    label_kind: Annotated[str, AfterValidator(check_kind)]
    label_separator: str | None
    streaming: bool | None

    def source_options(self, labels: bool = True) -> SourceOptions:
        """The same as the sources take it."""
        values = {name: getattr(self, name) for name in ColumnConfig.model_fields}
        lists = (values.pop(name) for name in ("label_column", "label_names", "columns"))
        label_columns, label_names, columns = (tuple(given) if given else None for given in lists)
        return SourceOptions(
            label_columns=label_columns,
            label_names=label_names,
            columns=columns,
            labels=labels,
            **values,
        )


class HeldConfig(Config):
    """What is said of samples that a program holds; of no meaning to a shell."""

    layout: Annotated[str | None, AfterValidator(check_layout)] = None

    def given(self) -> Given:
        """The same as the sources take it."""
        names = [each.name for each in fields(Given)]
        return Given(**{name: getattr(self, name) for name in names if name in type(self).model_fields})


class GivenConfig(HeldConfig):
    """What is said beside such samples, which no file can keep."""

    labels: Any = Field(None, exclude=True)
    splits: Any = Field(None, exclude=True)
    ids: Any = Field(None, exclude=True)
    groups: Any = Field(None, exclude=True)


class ComputeConfig(Config):
    """How to compute; none of it changes which space a feature belongs to."""

    function = "extract"
    cache: str | None
    device: str
    batch_size: Positive | None
    workers: Annotated[int, Range(ge=1, le=MOST_WORKERS)] | None
    format: Literal["hdf5", "parquet"]
    offline: bool

    @property
    def runs_with(self) -> Literal["auto", "torch", "openvino"]:
        """What runs the model; where nobody can choose it is torch."""
        return "torch"

    @property
    def cluster(self) -> ClusterConfig | None:
        """The cluster to compute on; None: this machine."""
        return None


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """A Ray cluster, and how many workers it is to have: None, one for each node or GPU."""

    address: str | None  # None: one on this machine, for as long as the command runs
    least: int | None
    most: int | None
    gpus_per_worker: float


ON_CLUSTER = ("least_workers", "ray_address", "gpus_per_worker")
"""What only means something on a cluster."""


class EngineConfig(Config):
    """Where to compute: on this machine, or on a cluster."""

    function = "extract"
    workers: Annotated[int, Range(ge=1, le=MOST_WORKERS)] | None
    engine: Literal["local", "ray"]
    ray_address: str | None
    gpus_per_worker: Annotated[float, Range(ge=0, le=64)] | None

    @property
    def least(self) -> int | None:
        """The least number of workers of a cluster."""
        return None

    @property
    def cluster(self) -> ClusterConfig | None:
        """The cluster to compute on; None: this machine."""
        if self.engine != "ray":
            return None
        return ClusterConfig(self.ray_address, self.least, self.workers, self.gpus_per_worker or 0.0)

    def check_engine(self, device: str = "auto") -> None:
        """Refuse what only means something on a cluster where none is asked for."""
        if self.engine == "ray":
            if device.startswith("cuda") and not self.gpus_per_worker:
                raise ConfigError("--device cuda on a cluster needs --gpus-per-worker, such as 1; add it")
            return
        said = {
            f"--workers {self.least}:{self.workers}": self.least,
            f"--ray-address {self.ray_address}": self.ray_address,
            f"--gpus-per-worker {self.gpus_per_worker}": self.gpus_per_worker,
        }
        if given := [option for option, value in said.items() if value is not None]:
            raise ConfigError(f"{given[0]} is for a cluster, and none is asked for; add --engine ray")

    @property
    def without_engine(self) -> list[str]:
        """What has no meaning on this machine alone, and is not mentioned, so that nobody's key changes by it."""
        usual = {"engine": "local", **dict.fromkeys(ON_CLUSTER)}
        return [name for name, value in usual.items() if getattr(self, name, value) == value]


class TrialsConfig(EngineConfig):
    """Where to compute the trials of a search."""

    function = "fit_head"

    def check_trials(self, searches: bool, device: str = "auto") -> None:
        """Refuse a cluster where there is nothing to spread over it."""
        self.check_engine(device)
        if self.engine == "ray" and not searches:
            raise ConfigError(
                "--engine ray spreads the trials of a search over a cluster; add --sweep, or leave it out"
            )


class RuntimeConfig(ComputeConfig):
    """How to compute, where the user may choose what runs the model."""

    runtime: Literal["auto", "torch", "openvino"]

    @property
    def runs_with(self) -> Literal["auto", "torch", "openvino"]:
        """What runs the model."""
        return self.runtime


def _parse_workers(text: str) -> tuple[int | None, int]:
    """The least and the greatest number of workers that ``N`` or ``MIN:MAX`` means; no least one if it is one number.

    Raises `ConfigError` if it means none.
    """
    numbers = text.split(":")
    if len(numbers) > 2 or not all(number.strip().isdecimal() for number in numbers):
        raise ConfigError(f"--workers takes a number, or MIN:MAX with --engine ray (got {text!r})")
    least, most = int(numbers[0]), int(numbers[-1])
    if not 1 <= least <= most <= MOST_WORKERS:
        raise ConfigError(f"--workers is 1 to {MOST_WORKERS}, the least first (got {text!r})")
    return (least if len(numbers) > 1 else None), most


class ExtractConfig(ColumnConfig, EngineConfig, RuntimeConfig, GivenConfig):
    """What `extract` is asked for."""

    data: Data
    backbone: str
    more_backbones: list[str] = Field(default_factory=list)
    least_workers: Positive | None = None
    set: str | None
    replace: bool
    drop_corrections: bool
    taps: list[str] | None
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"]
    dtype: Literal["float16", "float32"] | None
    max_length: Positive | None
    on_long: Literal["truncate", "windows", "skip", "refuse"]
    image_size: Positive | None
    crop_pct: Annotated[float, Range(gt=0, le=1)] | None
    weights: Path | None
    prompt: str | None
    normalize: bool | None
    views: Annotated[int, Range(ge=0, le=1000)]
    augment: str
    view_seed: Seed
    split_seed: SplitSeed
    strict: bool
    max_failures: str | int | None
    retry_failed: bool

    def __init__(self, **values: Any) -> None:
        if isinstance(values.get("backbone"), list | tuple) and values["backbone"]:
            values["backbone"], *values["more_backbones"] = values["backbone"]
        if isinstance(values.get("workers"), str):
            values["least_workers"], values["workers"] = _parse_workers(values["workers"])
        super().__init__(**values)
        self.check_engine(self.device)

    @property
    def least(self) -> int | None:
        """The least number of workers of a cluster."""
        return self.least_workers

    @model_serializer(mode="wrap")
    def _without_corrections(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Corrections that do not end are not mentioned, so that no step of a pipeline is another one for them."""
        values: dict[str, Any] = dump(self)
        unsaid = [*self.without_engine, *([] if self.drop_corrections else ["drop_corrections"])]
        return {name: value for name, value in values.items() if name not in unsaid}

    @property
    def backbones(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys([self.backbone, *self.more_backbones]))

    def each_backbone(self) -> list[Self]:
        """The same for one backbone at a time."""
        return [self.model_copy(update={"backbone": one, "more_backbones": []}) for one in self.backbones]

    def backbone_options(self, modality: Modality | None) -> BackboneOptions:
        """The same as the backbones take it, for samples of a modality."""
        names = ("weights", "max_length", "image_size", "crop_pct", "prompt", "offline")
        options: dict[str, Any] = {name: getattr(self, name) for name in names}
        in_windows: Literal["windows", "passages"] = "passages" if modality == "text-pair" else "windows"
        return BackboneOptions(
            **options, on_long=in_windows if self.on_long == "windows" else None, modality=modality
        )

    def for_passages(self) -> Self:
        """The same for questions with contexts, of which all tokens are kept, unless vectors of pairs are asked for."""
        if self.taps and not any(TOKENS in tap for tap in self.taps):
            return self
        if self.on_long in ("skip", "refuse"):
            raise ConfigError(
                f"--on-long {self.on_long} is for texts that would be cut, and contexts of questions are read in "
                "windows; leave it out"
            )
        return self.model_copy(update={"on_long": "windows"})


FROM_NAMES = ("init", "templates", "class_names", "offline")
"""What heads that start from names of classes are told."""
TEACHER, FEATURES = "teacher", "teacher_features"
OF_LOGITS = ("distill_temperature", "distill_alpha", "teacher_folds")
"""How a teacher's logits are learnt from."""
OF_FEATURES = ("feature_weight",)


class TaughtConfig(Config):
    """Who teaches a student, and how; of `fit_head` and `fine_tune`."""

    function = "fit_head"
    teacher: Path | None
    distill_temperature: Annotated[float, Range(gt=0)]
    distill_alpha: Annotated[float, Range(ge=0, le=1)]
    teacher_folds: Annotated[int, Range(ge=2)] | None

    @model_serializer(mode="wrap")
    def _without_teacher(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What has no meaning without a teacher is left out, so that nobody's key or settings change by it."""
        values: dict[str, Any] = dump(self)
        meaningless = [] if self.teacher is not None else [TEACHER, *OF_LOGITS]
        if values.get(FEATURES) is None:
            meaningless += [FEATURES, *OF_FEATURES]
        meaningless += [] if values.get("corrections") else ["corrections"]
        meaningless += self._unused()
        return {name: value for name, value in values.items() if name not in meaningless}

    def _unused(self) -> list[str]:
        """What else has no meaning here, and is left out for the same reason."""
        return []


class FitConfig(TrialsConfig, TaughtConfig):
    """What `fit_head` is asked for."""

    function = "fit_head"
    set: str
    corrections: Corrections
    head: str
    tap: str | list[str] | None
    backbone: str | list[str] | None
    label: str | list[str] | None
    shared_trunk: bool | None
    loss_weights: dict[str, float] | None
    views: bool
    prepare: list[str]
    neighbours: Literal["exact", "approximate"]
    params: dict[str, Any]
    sweep: dict[str, Any]
    search: Literal["grid", "optuna"]
    trials: Annotated[int, Range(ge=1, le=10_000)]
    seeds: Annotated[int, Range(ge=1, le=1000)]
    folds: Annotated[int, Range(ge=2)] | None
    shots: list[int]
    curve: list[TrainSize]
    refit: bool
    init: Literal["none", "zero-shot"]
    templates: list[str]
    class_names: str | list[str] | None
    offline: bool
    calibrate: bool
    mapped: bool | None
    track: list[str]
    callback: list[str]
    plots: PlotFormat
    seed: Seed
    cache: str | None
    digest: str | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.check_trials(bool(self.sweep) or self.search == "optuna")
        if self.workers is not None and self.engine != "ray":
            raise ConfigError(
                f"--workers {self.workers} is for a cluster, and none is asked for; add --engine ray"
            )

    def _unused(self) -> list[str]:
        fields = type(self).model_fields
        of_names = [name for name in FROM_NAMES if getattr(self, name) == fields[name].default]
        return [*of_names, *self.without_engine, *([] if self.workers else ["workers"])]

    def for_label(self, column: str) -> Self:
        """The same for one label column."""
        return self.model_copy(update={"label": column})

    @property
    def choices(self) -> list[tuple[str | None, str | None]]:
        """The features to fit on, as tap and backbone: each tap of each backbone."""
        taps: list[Any] = self.tap if isinstance(self.tap, list) else [self.tap]
        backbones: list[Any] = self.backbone if isinstance(self.backbone, list) else [self.backbone]
        return [(tap, backbone) for backbone in backbones or [None] for tap in taps or [None]]


def _check_trainable(on_long: str) -> str:
    if on_long == "windows":
        raise ConfigError(IN_WINDOWS)
    return on_long


class TuneConfig(ColumnConfig, TrialsConfig, ComputeConfig, GivenConfig, TaughtConfig):
    """What `fine_tune` is asked for; what is None is chosen by the strategy."""

    function = "fine_tune"
    data: Data
    backbone: str | None
    strategy: str
    unfreeze: list[str]
    init_head: Path | None
    teacher_features: str | None
    feature_weight: Annotated[float, Range(ge=0)]
    set: str | None
    replace: bool = Field(exclude=True)
    digest: str | None = None
    tap: str | None
    label: str | None
    epochs: list[Annotated[int, Range(ge=1, le=100_000)]] | None = Field(min_length=1)
    lr: list[Rate] | None = Field(min_length=1)
    head_lr: list[Rate] | None = Field(min_length=1)
    weight_decay: Annotated[float, Range(ge=0)] | None
    layer_decay: Annotated[float, Range(gt=0, le=1)]
    schedule: Literal["constant", "linear", "cosine", "step", "one-cycle"] | None
    warmup_share: Share | None
    patience: Positive | None
    clip_norm: Annotated[float, Range(gt=0)]
    label_smoothing: Share
    class_weight: Literal["none", "balanced"]
    dropout: Share
    part_size: Positive | None
    gradient_checkpointing: bool
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    augment: str | None
    pair_loss: Literal["supcon", "cosine"]
    lora_rank: Positive
    lora_alpha: Annotated[float, Range(gt=0)]
    lora_dropout: Share
    cut_cache: bool
    num_beams: Annotated[int, Range(ge=1, le=128)]
    max_new_tokens: Annotated[int, Range(ge=1, le=100_000)] | None
    sweep: dict[str, Any]
    search: Literal["grid", "optuna"]
    trials: Annotated[int, Range(ge=1, le=10_000)]
    shots: list[int]
    curve: list[TrainSize]
    seeds: Annotated[int, Range(ge=1, le=1000)]
    calibrate: bool
    track: list[str]
    callback: list[str]
    plots: PlotFormat
    seed: Seed
    max_length: Positive | None
    on_long: Annotated[Literal["truncate", "windows", "skip", "refuse"], AfterValidator(_check_trainable)]
    image_size: Positive | None
    crop_pct: Annotated[float, Range(gt=0, le=1)] | None
    weights: Path | None
    prompt: str | None
    split_seed: SplitSeed

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.check_trials(bool(self.sweep), self.device)

    def _unused(self) -> list[str]:
        return [*self.without_engine, *([] if self.shots or self.curve else ["shots", "curve", "seeds"])]


class DoctorConfig(ComputeConfig):
    """What `doctor` is asked for."""

    function = "doctor"
    set: str
    samples: Positive
    seed: Seed
    tap: str | None
    backbone: str | None
    data: Data

    def reading(self, columns: Mapping[str, Any]) -> ColumnConfig:
        """How the set says that its data was read; labels are of no interest, nor how other data streamed."""
        dropped = [name for name in columns if "label" in name or (name == "streaming" and self.data)]
        return ColumnConfig(**{name: value for name, value in columns.items() if name not in dropped})


class PredictConfig(ColumnConfig, RuntimeConfig, HeldConfig):
    """What `predict` is asked for."""

    function = "predict"
    data: Data
    with_inputs: bool
    num_beams: Annotated[int, Range(ge=1, le=128)] | None
    max_new_tokens: Annotated[int, Range(ge=1, le=100_000)] | None


class EvaluateConfig(ColumnConfig, RuntimeConfig, GivenConfig):
    """What `evaluate` is asked for."""

    function = "evaluate"
    data: Data
    name: str | None
    split: str | None
    num_beams: Annotated[int, Range(ge=1, le=128)] | None
    max_new_tokens: Annotated[int, Range(ge=1, le=100_000)] | None
    plots: PlotFormat
    seed: Seed


class CompareConfig(Config):
    """What a comparison of a pipeline is asked for; without ``set`` it is on what each run was tested on."""

    function = "compare"
    runs: list[str]
    set: str | None = None
    label: str | None = None
    plots: PlotFormat
    seed: Seed


def _explain(error: ValidationError, known: Iterable[str]) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]).replace("_", "-")
    if first["type"] == "extra_forbidden":
        near = nearest(name.replace("-", "_"), known)
        return f"there is no option {name!r}" + (
            f"; did you mean {near.replace('_', '-')!r}?" if near else ""
        )
    value = "" if first["type"] == "missing" else f" (got {first['input']!r})"
    return f"{name}: {first['msg']}{value}"
