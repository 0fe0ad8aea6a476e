"""What a sentence-transformers folder says of itself, and what it puts after the pooling.

Sources: sentence-transformers 6.2, `base/model.py`, `base/modules/` and
`sentence_transformer/modules/pooling.py`. Its files are read; none of its code is run.

Imported when it is used: torch is needed to define a module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import torch

from headstart.backbones.hf.models import MODEL_SETTINGS, read_part
from headstart.backbones.prompts import DeclaredPrompts, prompts_in
from headstart.backbones.weights import load_into, read_state_dict
from headstart.errors import BackboneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.backbones.hf.models import HubModel


MODULES = "modules.json"
KINDS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
LENGTH_SETTINGS = tuple(f"sentence_{kind}_config.json" for kind in KINDS)
WEIGHTS = ("model.safetensors", "pytorch_model.bin")

_POOLINGS = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "sqrt",
    "weightedmean": "weighted",
    "lasttoken": "eos",
}
# As older releases wrote them, in the order in which they are concatenated.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# What would turn a text into other tokens, or a model into another one.
_UNSUPPORTED = (
    "tokenizer_name_or_path", "processing_kwargs", "tokenizer_args", "processor_kwargs", "config_args",
    "config_kwargs",
)  # fmt: skip
# By name, never by import: a configuration could name anything.
_ACTIVATIONS = {
    kind.__name__: kind
    for kind in (
        torch.nn.Identity, torch.nn.Tanh, torch.nn.ReLU, torch.nn.GELU, torch.nn.SiLU, torch.nn.Sigmoid,
        torch.nn.Mish, torch.nn.ELU, torch.nn.SELU, torch.nn.LeakyReLU, torch.nn.ReLU6, torch.nn.Softplus,
        torch.nn.Hardtanh, torch.nn.Hardswish, torch.nn.LogSigmoid, torch.nn.Softsign, torch.nn.Tanhshrink,
    )
}  # fmt: skip
_VECTOR = "sentence_embedding"


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to a pooled vector."""

    kind: Literal["dense", "normalize"]
    folder: str = ""  # where its weights lie, within the model's folder
    config: Mapping[str, Any] = field(default_factory=dict)  # what its ``config.json`` says


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """How the authors of a model make a vector of a text."""

    # The folder of the encoder, within the model's folder; old versions gave it one of its own.
    encoder: str = "."
    # ours, in the order in which they are concatenated; empty for a folder of transformers alone.
    poolings: tuple[str, ...] = ()
    # What follows the pooling and has weights, or stands before something that has.
    steps: tuple[Step, ...] = ()
    unit: bool = False  # the vector is scaled to length 1 in the end
    max_length: int | None = None
    lower_case: bool = False
    prompts: DeclaredPrompts = field(default_factory=DeclaredPrompts)
    include_prompt: bool = True  # whether the tokens of the prompt take part in the pooling

    @property
    def tap(self) -> str | None:
        """The canonical tap that the authors read; None where they do not say."""
        if not self.poolings:
            return None
        plain = "sentence" if self.steps else f"final.{'+'.join(self.poolings)}"
        return plain + (".l2" if self.unit else "")


def sentence_settings(source: HubModel) -> SentenceSettings:
    """Read the settings of a model; defaults where it is none of sentence-transformers."""
    source.fetch([MODULES])
    modules = read_part(source, MODULES)
    if modules is None:
        return SentenceSettings()
    kinds, folders = _chain(source, modules)
    lengths = [f"{folders[0]}/{name}" for name in LENGTH_SETTINGS]
    source.fetch([MODEL_SETTINGS, *LENGTH_SETTINGS, *(f"{folder}/config.json" for folder in folders[1:])])
    model = read_part(source, MODEL_SETTINGS) or {}
    encoder: dict[str, Any] = next(filter(None, (read_part(source, name) for name in lengths)), {})
    configs = [read_part(source, f"{folder}/config.json") or {} for folder in folders]
    _check(source, model, encoder)
    steps = [
        Step("dense" if kind == "Dense" else "normalize", folder, config)
        for kind, folder, config in zip(kinds[2:], folders[2:], configs[2:], strict=True)
        if kind != "Dropout"
    ]
    unit = bool(steps) and steps[-1].kind == "normalize"
    while steps and steps[-1].kind == "normalize":
        steps.pop()
    source.fetch([f"{step.folder}/{name}" for step in steps if step.kind == "dense" for name in WEIGHTS])
    length = encoder.get("max_seq_length")
    return SentenceSettings(
        encoder=folders[0],
        poolings=_poolings(source, configs[1]),
        steps=tuple(steps),
        unit=unit,
        max_length=length if isinstance(length, int) else None,
        lower_case=bool(encoder.get("do_lower_case")),
        prompts=prompts_in(model),
        include_prompt=configs[1].get("include_prompt", True),
    )


def _chain(source: HubModel, modules: Any) -> tuple[list[str], list[str]]:
    """The kinds and the folders of the modules, if they are a chain that can be run here."""
    try:
        types = [module["type"] for module in modules]
        folders = [str(PurePosixPath(module["path"])) for module in modules]
    except (TypeError, KeyError) as error:
        raise BackboneError(f"{source.spec} has a {MODULES} that is none; restore it") from error
    kinds = [name.rpartition(".")[2] if name.startswith("sentence_transformers.") else name for name in types]
    known = kinds[:2] == ["Transformer", "Pooling"] and {*kinds[2:]} <= {"Dense", "Normalize", "Dropout"}
    if not known:
        raise BackboneError(
            f"{source.spec} is made of {', '.join(kinds)}; only Transformer, Pooling, then Dense, Normalize "
            "or Dropout can be run: wrap it as a py: backbone"
        )
    for folder in folders:
        if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
            raise BackboneError(f"{source.spec} names the folder {folder!r} outside itself in {MODULES}")
    if folders[0] != "." and not source.is_folder:
        raise BackboneError(
            f"{source.spec} keeps its encoder in {folders[0]}, as old versions did; save it again with "
            "sentence-transformers, and use that folder"
        )
    return kinds, folders


def _check(source: HubModel, model: Mapping[str, Any], encoder: Mapping[str, Any]) -> None:
    """Refuse what would give other numbers than the library."""
    kind = model.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise BackboneError(f"{source.spec} is a {kind}, which gives no single vector of a text")
    unsupported = [name for name in _UNSUPPORTED if encoder.get(name)]
    if "message" in (encoder.get("modality_config") or {}):
        unsupported.append("modality_config with chat messages")
    if encoder.get("transformer_task", "feature-extraction") != "feature-extraction":
        unsupported.append(f"transformer_task {encoder['transformer_task']!r}")
    if unsupported:
        raise BackboneError(
            f"{source.spec} sets {unsupported[0]} for sentence-transformers, which is not supported: "
            "wrap it as a py: backbone"
        )


def _poolings(source: HubModel, config: Mapping[str, Any]) -> tuple[str, ...]:
    modes = config.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if config.get(flag)]
    modes = [modes] if isinstance(modes, str) else list(modes) or ["mean"]
    unknown = [mode for mode in modes if mode not in _POOLINGS]
    if unknown:
        raise BackboneError(f"{source.spec} pools by {unknown[0]!r}; known are {', '.join(_POOLINGS)}")
    return tuple(_POOLINGS[mode] for mode in modes)


class Dense(torch.nn.Module):
    """A linear layer, its activation and, where it has one, its residual connection.

    Source: sentence-transformers 6.2, `base/modules/dense.py`; the weights have its names.
    """

    def __init__(
        self, n_in: int, n_out: int, bias: bool, activation: torch.nn.Module, residual: bool
    ) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(n_in, n_out, bias=bias)
        self.activation = activation
        self.has_residual = residual
        if residual and n_in != n_out:
            self.residual = torch.nn.Linear(n_in, n_out, bias=False)

    @property
    def description(self) -> str:
        """What its weights do not show."""
        residual = " residual" if self.has_residual else ""
        return f"dense {type(self.activation).__name__}{residual}"

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """From (B, n_in) to (B, n_out)."""
        out: torch.Tensor = self.activation(self.linear(vectors))
        if not self.has_residual:
            return out
        return out + (self.residual(vectors) if hasattr(self, "residual") else vectors)


class Normalize(torch.nn.Module):
    """Scales vectors to length 1."""

    description = "normalize"

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """From (B, D) to (B, D)."""
        return torch.nn.functional.normalize(vectors, dim=1)


class SentenceHead(torch.nn.Sequential):
    """Dense layers and what stands between them."""

    @property
    def description(self) -> list[str]:
        """What the weights do not show."""
        return [str(module.description) for module in self]


def sentence_head(source: HubModel, steps: Sequence[Step]) -> SentenceHead:
    """The modules that follow the pooling, with their weights."""
    modules = [_dense(source, step) if step.kind == "dense" else Normalize() for step in steps]
    for step in steps:
        if step.config.get("module_input_name", _VECTOR) != _VECTOR:
            raise BackboneError(
                f"{source.spec} applies {step.folder} to single tokens, which is not supported"
            )
    return SentenceHead(*modules).eval()


def _dense(source: HubModel, step: Step) -> Dense:
    config = step.config
    activation = _activation(source.spec, config)
    try:
        dense = Dense(
            int(config["in_features"]),
            int(config["out_features"]),
            bool(config.get("bias", True)),
            activation,
            bool(config.get("use_residual", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BackboneError(f"{source.spec}: {step.folder}/config.json describes no dense layer") from error
    paths = [path for name in WEIGHTS if (path := source.file(f"{step.folder}/{name}"))]
    if not paths:
        raise BackboneError(f"{source.spec} has no weights in {step.folder}; expected {' or '.join(WEIGHTS)}")
    state = read_state_dict(paths[0])
    dense = dense.to(next(iter(state.values())).dtype)
    load_into(dense, state, paths[0], in_order=False, classifier=())
    return dense


def _activation(spec: str, config: Mapping[str, Any]) -> torch.nn.Module:
    name = str(config.get("activation_function", "torch.nn.Tanh"))
    kind = _ACTIVATIONS.get(name.rpartition(".")[2]) if name.startswith("torch.nn.") else None
    if kind is None:
        raise BackboneError(
            f"{spec} has a dense layer with the activation {name!r}; known are those of torch.nn: "
            f"{', '.join(_ACTIVATIONS)}"
        )
    return kind()
