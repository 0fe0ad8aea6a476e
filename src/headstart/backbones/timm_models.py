"""Backbones of timm: any of its image models, under the transform that timm resolves."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import BlockReader, positions_of
from headstart.backbones.freezing import freeze, weights_digest
from headstart.backbones.hub import hub_files, loading_failures, torch_hub_files
from headstart.backbones.image_models import FrozenImageModel, LibraryBackbone
from headstart.backbones.portable import Portable, reading_of
from headstart.backbones.weights import load_into, read_state_dict
from headstart.errors import BackboneError, ConfigError, first_line
from headstart.network import forbid_hub, hub_is_reachable
from headstart.types import AT_END, Activations, BackboneInfo, Positions

if TYPE_CHECKING:
    import torch

    from headstart.backbones.options import BackboneOptions
    from headstart.types import Precision

ROUNDING = 1e-5
AFTER_BLOCKS = ("norm", "head", "fc", "classifier", "conv_head", "bn2")
"""What timm calls the modules behind its last block, at the beginning of their names."""


class TimmBackbone(LibraryBackbone):
    """A model of timm, by its name there, such as ``resnet50.a1_in1k``.

    ``bundled``: a file of weights whose tensors stand in the order of the model's own.
    """

    library = "timm"

    def __init__(self, spec: str, name: str, options: BackboneOptions, bundled: Path | None = None) -> None:
        super().__init__(spec, name, options)
        self._bundled = bundled

    def resolve(self) -> BackboneInfo:
        """Load the model and describe it."""
        model = self._model
        config = self._data_config
        return BackboneInfo(
            spec=self.spec,
            modality="image",
            weights=weights_digest(model, _classifier(model)),
            architecture={"library": "timm", "name": model.default_cfg.get("architecture", self._name)},
            preprocessing={"library": "timm", **{name: _plain(value) for name, value in config.items()}},
            taps=self._reading.taps,
            n_layers=self._reading.n_layers,
            layers_lack=self._reading.layers_lack,
            first_layer=1,
            closing_norm=self._reading.closing_norm,
            provenance=self.provenance(),
        )

    def source_files(self) -> Sequence[Path]:
        """The files that the weights were read from."""
        given = self._bundled or self._options.weights
        if given is not None:
            return [given]
        hub_id = self._model.default_cfg.get("hf_hub_id")
        if hub_id and (files := hub_files(hub_id)):
            return files
        return torch_hub_files(self._model.default_cfg.get("url"))

    def load(self, device: str, precision: Precision) -> FrozenImageModel:
        """The model, frozen, on a device."""
        from timm.data import create_transform

        transform = create_transform(**self._data_config, is_training=False)
        reading = self._reading  # before the weights are cast and moved
        module = freeze(self._model, device, precision)
        return FrozenImageModel(
            module, transform, lambda batch, reads: read(module, reading, batch, reads), block_reader(module)
        )

    def portable(self, tap: str) -> Portable:
        """The model as transformers wraps it, with the transform that timm resolved.

        Raises `ConfigError` if the wrapper does not give what the tap reads.
        """
        read, _, poolings = tap.removesuffix(".l2").partition(".")
        reading = self._reading
        if (reading.patches_in_layer and read == "final") or (read.isdigit() and "cls" in poolings):
            raise ConfigError(
                f"{self.spec} read at {tap!r} cannot be taken along; fit the head on another tap"
            )
        if read.isdigit():  # of the wrapper's maps, which are counted from 0 and have no tokens before them
            made = {**reading_of(tap), "read": str(int(read) - 1)}
        else:
            last, has_cls = reading.channels_last, reading.has_cls
            made = reading_of(tap, n_prefix=reading.n_prefix, has_cls=has_cls, channels_last=last)
        config = {
            "model_type": "timm_wrapper",
            "architecture": self._model.default_cfg.get("architecture", self._name),
            "model_args": self._model_arguments(),
        }
        data_config = {name: _plain(value) for name, value in self._data_config.items()}
        return Portable(self._model, "image", config, made, _save_nothing, data_config=data_config)

    @cached_property
    def _model(self) -> Any:
        import timm

        if not timm.is_model(self._name):
            known = timm.list_models(pretrained=True) + timm.list_models()
            raise self.unknown("model", self._name, known)
        given = self._bundled or self._options.weights
        remedy = self.remedy if given is None else "choose another --image-size, or leave it out"
        with loading_failures(self.spec, self._options.offline and given is None, remedy):
            if given is None and self._options.offline:
                self._check_local()
            elif given is None and not hub_is_reachable():
                forbid_hub()
            model = timm.create_model(self._name, pretrained=given is None, **self._model_arguments())
        if given is not None:
            self._fill(model, given)
        return model.eval()

    def _fill(self, model: Any, path: Path) -> None:
        """Load a file of weights; for another image size, with position embeddings resampled."""
        size = self._options.image_size
        state = read_state_dict(path)
        try:
            if size and self._bundled is None:
                state = _resampled(model, state)
            load_into(model, state, path, self._bundled is not None, _classifier(model))
        except BackboneError as error:
            if size is None:
                raise
            raise BackboneError(f"{error}; was it made for --image-size {size}?") from error

    @cached_property
    def _reading(self) -> Reading:
        return probe(self._model, self._data_config["input_size"], self.spec)

    def _check_local(self) -> None:
        """Refuse weights that timm would fetch by a plain URL: no setting of a library stops that."""
        import timm

        config = timm.get_pretrained_cfg(self._name, allow_unregistered=True)
        if config is not None and not config.hf_hub_id and not torch_hub_files(config.url):
            raise FileNotFoundError(f"{config.url or 'no weights'} is not here")

    def _model_arguments(self) -> dict[str, Any]:
        import timm

        size = self._options.image_size
        config = timm.get_pretrained_cfg(self._name, allow_unregistered=True)
        # Models whose weights depend on the size take it when they are made; others take any image.
        return {"img_size": size} if size and config is not None and config.fixed_input_size else {}

    @cached_property
    def _data_config(self) -> dict[str, Any]:
        from timm.data import resolve_model_data_config

        size = self._options.image_size
        overrides: dict[str, Any] = {"input_size": (3, size, size)} if size else {}
        if self._options.crop_pct:
            overrides["crop_pct"] = self._options.crop_pct
        config: dict[str, Any] = {**resolve_model_data_config(self._model), **overrides}
        return config


def _classifier(model: Any) -> tuple[str, ...]:
    """The prefixes of the classifier's weights, which no feature depends on."""
    names = model.default_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _resampled(model: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Position embeddings for another image size, as timm makes them of its own checkpoints."""
    fit = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    return state if fit is None else dict(fit(state, model))


def _save_nothing(folder: Path) -> None:
    """The transform of a timm model is part of its configuration."""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class Reading:
    """What one image showed of a timm model."""

    channels_last: bool  # whether ``forward_features`` gives (B, …, D) rather than (B, D, …)
    n_prefix: int  # tokens before the patches: class, distillation and register tokens
    has_cls: bool  # whether the first of them is a class token
    has_head: bool  # whether ``forward_head`` pools to one vector
    n_layers: int = 0  # how many maps ``forward_intermediates`` gives on the way to the same last features
    closing_norm: bool = True  # whether the last features differ from the last of these maps
    # The last features are class tokens alone (PiT): the patches are those of the last layer.
    patches_in_layer: bool = False
    # Whether the maps of the layers carry the class token (it joins late in CaiT, VOLO …)
    cls_in_layers: bool = True

    @property
    def layers_lack(self) -> tuple[str, ...]:
        """Poolings of the last positions that numbered layers do not have."""
        return ("cls",) if self.has_cls and not self.cls_in_layers else ()

    @property
    def taps(self) -> tuple[str, ...]:
        """The canonical taps at the end of the model; the first is where timm reads it."""
        return (
            *(("pooler",) if self.has_head else ()),
            *(("final.cls",) if self.has_cls else ()),
            "final.mean",
            "final.max",
            "final.gem",
        )


def probe(model: Any, input_size: Sequence[int], spec: str) -> Reading:
    """Show a model one image of noise, and look at what it gives."""
    import torch

    image = torch.rand(1, *input_size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            features = model.forward_features(image)
            has_head = _has_head(model, features)
            same, maps = _intermediates(model, image, features)
    except (
        RuntimeError,
        ValueError,
        AssertionError,
        TypeError,
        AttributeError,
        NotImplementedError,
    ) as error:
        reason = first_line(error)
        raise BackboneError(
            f"{spec} cannot take an image of {'×'.join(map(str, input_size[1:]))} pixels (timm's "
            f"{type(model).__name__}: {reason}); choose another --image-size, or another backbone"
        ) from error
    return _described(model, _last(features, spec), maps, same, has_head)


def read(model: Any, reading: Reading, batch: torch.Tensor, reads: Collection[str] = AT_END) -> Activations:
    """One forward pass: the pre-logits, the last positions, and the numbered layers that are asked for.

    ``batch`` (B, 3, H, W).
    """
    asked = sorted(int(name) for name in reads if name.isdigit())
    if asked and not any(name in AT_END for name in reads):
        return _read_layers(model, reading, batch, asked)
    wanted = sorted({*asked, reading.n_layers}) if reading.patches_in_layer else asked
    if wanted:
        indices = [number - 1 for number in wanted]
        features, maps = model.forward_intermediates(batch, indices=indices, **_arguments(model))
    else:
        features, maps = model.forward_features(batch), ()
    read_maps = {number: _of_map(kept, reading) for number, kept in zip(wanted, maps, strict=True)}
    final = _of_features(features[-1] if isinstance(features, list | tuple) else features, reading)
    if reading.patches_in_layer:
        final = Positions(read_maps[reading.n_layers].hidden, cls=final.cls)
    pools = reading.has_head and "pooler" in reads
    whole = {"pooler": model.forward_head(features, pre_logits=True).flatten(1)} if pools else {}
    return Activations({"final": final} | {str(number): read_maps[number] for number in asked}, whole)


def _read_layers(model: Any, reading: Reading, batch: torch.Tensor, asked: Sequence[int]) -> Activations:
    """Numbered layers alone: the pass ends with the deepest of them, where the model can stop."""
    indices = [number - 1 for number in asked]
    maps = model.forward_intermediates(
        batch, indices=indices, stop_early=True, intermediates_only=True, **_arguments(model)
    )
    return Activations(
        {str(number): _of_map(kept, reading) for number, kept in zip(asked, maps, strict=True)}
    )


def _arguments(model: Any) -> dict[str, Any]:
    # Asked for without there being any, prefix tokens make some models of timm stumble.
    return {"norm": False} | ({"return_prefix_tokens": True} if _has_prefix_in_layers(model) else {})


def _has_prefix_in_layers(model: Any) -> bool:
    accepts = "return_prefix_tokens" in inspect.signature(model.forward_intermediates).parameters
    return accepts and getattr(model, "num_prefix_tokens", 0) > 0


def _intermediates(model: Any, image: torch.Tensor, features: Any) -> tuple[bool, list[torch.Tensor]]:
    """The maps of all layers, and whether the same pass gives the last features as well."""
    if not hasattr(model, "forward_intermediates"):
        return False, []
    last, maps = model.forward_intermediates(image, **_arguments(model))
    maps = [kept[0] if isinstance(kept, list | tuple) else kept for kept in maps]
    return _equal(last, features), maps


def _equal(first: Any, second: Any) -> bool:
    """Whether two outputs are one but for rounding, measured by their largest value."""
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_equal, first, second))
    if getattr(first, "shape", None) != getattr(second, "shape", ...):
        return False
    return bool((first - second).abs().max() <= ROUNDING * second.abs().max())


def _has_head(model: Any, features: Any) -> bool:
    """Whether timm pools to one vector: encoders of larger models have no head, or one that pools nothing."""
    try:
        pooled = model.forward_head(features, pre_logits=True)
    except (AttributeError, NotImplementedError, TypeError):
        return False
    return hasattr(pooled, "ndim") and pooled.ndim >= 2 and pooled.shape[2:].numel() == 1


def _last(features: Any, spec: str) -> torch.Tensor:
    """The last map or tokens, where a model gives those of several scales or branches."""
    last = features[-1] if isinstance(features, list | tuple) and features else features
    if not hasattr(last, "ndim") or not 2 <= last.ndim <= 4:
        raise BackboneError(
            f"{spec} cannot be read: its forward_features gives {type(last).__name__}, neither a map nor "
            "tokens; choose another backbone"
        )
    found: torch.Tensor = last
    return found


def _described(
    model: Any, last: torch.Tensor, maps: list[torch.Tensor], same: bool, has_head: bool
) -> Reading:
    grid = maps[-1].shape if maps else None
    channels_last = _channels_last(model, last, grid)
    n_tokens = last.shape[1] if last.ndim == 3 and channels_last else 0
    n_patches = grid[2:].numel() if grid is not None else n_tokens
    lone = same and 0 < n_tokens < n_patches and hasattr(model, "cls_token")
    n_prefix = getattr(model, "num_prefix_tokens", None)
    guessed = n_prefix is None and n_tokens > 0
    if guessed:
        n_prefix = n_tokens if lone else max(n_tokens - n_patches, 0)
    has_cls = bool(n_prefix) and (guessed or getattr(model, "cls_token", None) is not None)
    n_layers = len(maps) if same else 0
    cls_in_layers = bool(maps) and _has_prefix_in_layers(model)
    reading = Reading(channels_last, n_prefix or 0, has_cls, has_head, n_layers, True, lone, cls_in_layers)
    return _with_closing_norm(reading, last, maps)


def _with_closing_norm(reading: Reading, last: torch.Tensor, maps: list[torch.Tensor]) -> Reading:
    if not reading.n_layers:
        return reading
    at_end = _of_map(maps[-1], reading).hidden
    final = at_end if reading.patches_in_layer else _of_features(last, reading).hidden
    return replace(reading, closing_norm=not _equal(at_end, final))


def _channels_last(model: Any, last: torch.Tensor, grid: torch.Size | None) -> bool:
    if last.ndim == 4:
        return has_channels_last(model)
    # EfficientViM gives (B, D, T); all others that give tokens give (B, T, D).
    first = last.ndim == 3 and grid is not None and last.shape[1:] == (grid[1], grid[2:].numel())
    return not first


def _of_features(features: torch.Tensor, reading: Reading) -> Positions:
    if features.ndim == 2:
        return Positions(features.unsqueeze(1))
    if features.ndim == 4:
        return Positions(positions_of(features, reading.channels_last))
    tokens = features if reading.channels_last else features.transpose(1, 2)
    return Positions(tokens[:, reading.n_prefix :], cls=tokens[:, 0] if reading.has_cls else None)


def _of_map(kept: Any, reading: Reading) -> Positions:
    """A map (B, D, H, W), or that and the tokens before the patches."""
    spatial, prefix = kept if isinstance(kept, list | tuple) else (kept, None)
    cls = prefix[:, 0] if prefix is not None and reading.has_cls else None
    return Positions(positions_of(spatial), cls=cls)


def depths_of(model: Any) -> tuple[int, dict[str, int]]:
    """How many blocks there are, and the depth of every parameter by name: 0 before the first block, then its number,
    and one more behind the last."""
    from timm.models import group_parameters

    groups = dict(group_parameters(model, model.group_matcher(coarse=True)))
    last = max(groups)
    is_behind = all(name.startswith(AFTER_BLOCKS) for name in groups[last])
    depths = {name: depth for depth, names in groups.items() for name in names}
    return (last - 1 if is_behind else last), depths


def block_names(model: Any) -> list[str]:
    """The name of the module that each block is, from the first to before the first that is no module of its own.

    The last often is none: timm counts what stands behind it, such as the closing norm, to the same group.
    """
    n_blocks, depths = depths_of(model)
    inside: dict[int, set[str]] = {number: set() for number in range(1, n_blocks + 1)}
    for name, depth in depths.items():
        if depth in inside:
            inside[depth].add(name)
    found: dict[frozenset[str], str] = {}
    for name, module in model.named_modules():
        if name:  # the outermost of several that hold the same comes first
            found.setdefault(frozenset(f"{name}.{part}" for part, _ in module.named_parameters()), name)
    names = (found.get(frozenset(held)) for held in inside.values())
    return [name for name in itertools.takewhile(lambda name: name is not None, names) if name]


def has_channels_last(model: Any) -> bool:
    """Whether its maps are (B, H, W, D) rather than (B, D, H, W)."""
    return str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")


def block_reader(model: Any) -> BlockReader:
    """What reads the blocks of a model."""

    def modules() -> list[torch.nn.Module]:
        return [model.get_submodule(name) for name in block_names(model)]

    return BlockReader(modules, model.forward_features, has_channels_last(model))
