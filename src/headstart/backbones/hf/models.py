"""What all models of transformers share: where they lie, how they load, what their configuration and a trial say."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import Blocks, block_list
from headstart.backbones.hub import (
    fetch_file,
    hub_commit,
    hub_files,
    hub_folder,
    is_offline,
    loading_failures,
)
from headstart.backbones.options import side_of
from headstart.backbones.prompts import DeclaredPrompts, known_prompts, prompts_in
from headstart.errors import BackboneError, WeightsUnavailableError
from headstart.network import hub_is_reachable
from headstart.types import Positions

if TYPE_CHECKING:
    import torch

    from headstart.backbones.options import BackboneOptions
    from headstart.backbones.portable import BackboneSaver


MODEL_SETTINGS = "config_sentence_transformers.json"
REMEDY = "check the name or the folder, fetch it where there is a network, or choose a bundled: backbone"

# Entries of a configuration that change no hidden state in eval mode.
_INERT = {
    "_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache",
    "gradient_checkpointing", "id2label", "label2id", "problem_type", "num_labels", "return_dict",
    "output_hidden_states", "output_attentions", "finetuning_task", "tokenizer_class",
}  # fmt: skip
PATCH_POOLINGS = ("mean", "max", "gem")
_TOKENS = ("cls_token", "class_embedding", "class_token", "distillation_token", "register_tokens")


class HubModel:
    """A model of transformers, by a local folder or by its name on the hub."""

    def __init__(self, spec: str, name: str, options: BackboneOptions) -> None:
        self.spec = spec
        self.name = name
        self.options = options

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine."""
        return os.path.isdir(self.name)

    @property
    def root(self) -> Path | None:
        """The folder of this machine that holds its files; None where it is not here yet."""
        return Path(self.name) if self.is_folder else hub_folder(self.name)

    @property
    def commit(self) -> str | None:
        """The commit of the hub that this machine's copy stands at."""
        return None if self.is_folder else hub_commit(self.name)

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the libraries that could load it otherwise."""
        return {name: metadata.version(name) for name in ("transformers", "tokenizers", "torch")}

    @property
    def files(self) -> list[Path]:
        """All files of it on this machine."""
        return [path for path in self.source_files() if path.is_file()]

    @cached_property
    def config(self) -> Any:
        """Its configuration, without its weights."""
        import transformers

        if self.name.startswith((os.sep, ".", "~")) and not self.is_folder:
            raise WeightsUnavailableError(f"{self.spec}: there is no folder {self.name}")
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        with self.failures():
            return transformers.AutoConfig.from_pretrained(self.name, **self.where())

    def cache_key(self) -> Mapping[str, Any]:
        """Spec, options and the versions that could resolve it otherwise."""
        spec = f"hf:{Path(self.name).resolve()}" if self.is_folder else self.spec
        options = {**self.options.given(), **side_of(self.spec, self.options)}
        return {"spec": spec, "options": options, "versions": self.versions}

    def source_files(self) -> Sequence[Path]:
        """All files of the model's folder, as far as they lie on this machine."""
        if not self.is_folder:
            return hub_files(self.name)
        folder = Path(self.name)
        inside = (path for path in folder.rglob("*") if ".git" not in path.parts)
        # The folders as well: a file that appears in one may be read in another's place.
        return [folder, *sorted(path for path in inside if path.is_file() or path.is_dir())]

    def load(self, auto: Any, **arguments: Any) -> tuple[Any, tuple[str, ...]]:
        """The model by one of transformers' classes, in eval mode, and what the checkpoint lacks of it."""
        with self.failures():
            model, report = auto.from_pretrained(
                self.name, dtype="auto", output_loading_info=True, **self.where(), **arguments
            )
        return model.eval(), tuple(report["missing_keys"])

    def part(self, auto: Any) -> Any:
        """Its tokenizer, image processor …, by one of transformers' classes."""
        with self.failures():
            return auto.from_pretrained(self.name, **self.where())

    def fetch(self, names: Sequence[str]) -> None:
        """Bring files that no class of transformers would, where they are not here yet."""
        if self.is_folder or self.options.offline or is_offline() or not hub_is_reachable():
            return
        with self.failures():
            for name in names:
                fetch_file(self.name, name)

    def file(self, name: str) -> Path | None:
        """Where one of its files lies on this machine, by its path within the model's folder."""
        path = None if self.root is None else self.root / name
        return path if path is not None and path.is_file() else None

    def where(self) -> dict[str, Any]:
        """Where to load from: a commit that is here is never looked up again on the hub."""
        if self.is_folder:
            return {"local_files_only": True, "trust_remote_code": False}
        if self.commit is not None:
            local = self.options.offline
            return {"local_files_only": local, "trust_remote_code": False, "revision": self.commit}
        local = self.options.offline or not hub_is_reachable()
        return {"local_files_only": local, "trust_remote_code": False}

    def provenance(self, n_parameters: int) -> dict[str, Any]:
        """What made the features, for people."""
        return {
            "versions": self.versions,
            "parameters": n_parameters,
            "commit": self.commit,
            "files": sorted(path.name for path in self.files),
        }

    def failures(self) -> contextlib.AbstractContextManager[None]:
        """Turns whatever a library raises while it loads into a `BackboneError`."""
        return loading_failures(self.spec, self.options.offline, REMEDY)


class HubPart:
    """What the backbones of transformers share, whatever they read of a model."""

    def __init__(self, source: HubModel) -> None:
        self.spec = source.spec
        self._source = source
        self._options = source.options

    def cache_key(self) -> Mapping[str, Any]:
        """Spec, options and the versions that could resolve it otherwise."""
        return self._source.cache_key()

    def source_files(self) -> Sequence[Path]:
        """All files of the model's folder, as far as they lie on this machine."""
        return self._source.source_files()

    def declared_prompts(self) -> DeclaredPrompts:
        """See `DeclaresPrompts`."""
        source, known = self._source, known_prompts(self._source.name)
        source.fetch([MODEL_SETTINGS])
        if source.root is None and not known.by_name:
            raise WeightsUnavailableError(
                f"{self.spec} is not on this machine, so nobody can say what its authors put before a query; fetch it, "
                "or give the prompt (an empty one: none)"
            )
        said = prompts_in(read_part(source, MODEL_SETTINGS) or {})
        # sentence-transformers writes empty prompts into every folder that it saves.
        return said if any(said.by_name.values()) or not known.by_name else known

    def declared_similarity(self) -> str | None:
        """See `DeclaresSimilarity`."""
        self._source.fetch([MODEL_SETTINGS])
        said = read_part(self._source, MODEL_SETTINGS) or {}
        return said.get("similarity_fn_name") or None

    def saver(
        self, module: Any, save_inputs: Callable[[Path], None], options: BackboneOptions
    ) -> BackboneSaver:
        """Writes a model and what prepares its inputs, as transformers keeps them."""

        def save(folder: Path) -> tuple[str, BackboneOptions]:
            with quietly():
                module.save_pretrained(str(folder))
                save_inputs(folder)
            return f"hf:{folder}", options

        return save


def read_part(source: HubModel, name: str) -> Any:
    """A JSON file of a model; None if it has none."""
    path = source.file(name)
    if path is None:
        return None
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} cannot be read as JSON ({error}); restore it") from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the bars and remarks of transformers, which say nothing that we do not."""
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


def computed_weights(module: Any) -> frozenset[str]:
    """The names of weights that no checkpoint keeps, and nothing trains: sines and cosines of positions."""
    return frozenset(
        f"{name}.{weight}"
        for name, part in module.named_modules()
        if "Sinusoidal" in type(part).__name__
        for weight, _ in part.named_parameters(recurse=False)
    )


def departures(config: Any) -> dict[str, Any]:
    """Where a configuration departs from its class's defaults.

    Only that: entries which a later transformers adds at their default must not re-key a cache.
    """
    try:
        defaults = type(config)().to_dict()
    except (TypeError, ValueError):
        defaults = {}
    entries = sorted(config.to_dict().items())
    changed = {name: value for name, value in entries if defaults.get(name, ...) != value}
    return {"model_type": config.model_type} | {
        name: value for name, value in changed.items() if name not in _INERT
    }


@dataclass(frozen=True, slots=True)
class Layout:
    """How the positions of an image model are laid out."""

    # The tokens before the patches: the class token, then a distillation token or registers.
    n_prefix: int = 0
    reads_patches: bool = True  # whether what follows them is one position a patch

    @property
    def poolings(self) -> tuple[str, ...]:
        """What can be read of a layer."""
        return (("cls",) if self.n_prefix else ()) + (PATCH_POOLINGS if self.reads_patches else ())

    def positions(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> Positions:
        """Patches to pool and the class token; a map (B, C, H, W) gives a position a pixel."""
        if hidden.ndim == 4:
            return Positions(hidden.flatten(2).transpose(1, 2))
        cls = hidden[:, 0] if self.n_prefix else None
        return Positions(hidden[:, self.n_prefix :], mask, cls)


def layout_of(tower: torch.nn.Module, config: Any, pixels: torch.Tensor, final: torch.Tensor) -> Layout:
    """The layout of a model's last hidden state.

    ``config``: of the tower; ``pixels``, ``final``: of one forward pass: what entered, and the last hidden
    state.
    """
    if final.ndim != 3:
        return Layout()
    named = ((name.rpartition(".")[2], parameter) for name, parameter in tower.named_parameters())
    n_prefix = sum(tensor.numel() // tensor.shape[-1] for name, tensor in named if name in _TOKENS)
    n_patches = _n_patches(config, pixels)
    n_found = final.shape[1] - n_prefix
    # YOLOS puts detection tokens after the patches: nothing says which positions are which.
    return Layout(n_prefix, not n_prefix or n_patches is None or n_found == n_patches)


@dataclass(frozen=True, slots=True)
class Depth:
    """Which layers of a model can be read by number."""

    blocks: Blocks
    # 1 for stages of different widths, where what enters the first is not like what leaves it.
    first_layer: int = 0
    closing_norm: bool = True  # as in `BackboneInfo`

    @property
    def n_layers(self) -> int:
        """The number of the last layer; 0: none can be read."""
        return len(self.blocks)


def candidate_blocks(tower: torch.nn.Module, config: Any) -> Blocks:
    """The blocks, or the stages of a hierarchical model; whether they can be read shows in a trial."""
    depths = getattr(config, "depths", None)
    n_blocks = len(depths) if depths else getattr(config, "num_hidden_layers", None)
    return Blocks(tuple(block_list(tower, n_blocks)))


def depth_of(blocks: Blocks, config: Any, kept: Mapping[str, torch.Tensor], final: torch.Tensor) -> Depth:
    """What can be read by number, after a trial that kept every layer.

    ``config``: of the tower; ``kept``: what each layer gave; ``final``: the last hidden state of the same
    forward pass.
    """
    import torch

    staged = bool(getattr(config, "depths", None))
    layers = [kept.get(str(number)) for number in range(int(staged), len(blocks) + 1)]
    like_final = [
        layer is not None and layer.ndim == final.ndim and (staged or layer.shape == final.shape)
        for layer in layers
    ]
    if not blocks.modules or not all(like_final):
        return Depth(Blocks())
    last = layers[-1]
    assert last is not None
    return Depth(blocks, int(staged), closing_norm=last is not final and not torch.equal(last, final))


def _n_patches(config: Any, pixels: torch.Tensor) -> int | None:
    size = getattr(config, "patch_size", None)
    if size is None or pixels.ndim != 4:
        return None
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int((pixels.shape[-2] // height) * (pixels.shape[-1] // width))
