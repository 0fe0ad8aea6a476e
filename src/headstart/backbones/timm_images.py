"""Backbones of timm: any of its image models, under the transform that timm resolves."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.digest import n_parameters, weights_digest
from headstart.backbones.freezing import freeze
from headstart.backbones.hub import hub_files
from headstart.backbones.images import FrozenImageModel
from headstart.backbones.loading import loading_failures
from headstart.backbones.state_dicts import load_into, read_state_dict
from headstart.backbones.timm_blocks import block_reader
from headstart.backbones.timm_reading import Reading, probe, read
from headstart.backbones.torch_hub import torch_hub_files
from headstart.backbones.tunable import WEIGHTS
from headstart.errors import BackboneError, ConfigError
from headstart.network import forbid_network, hub_is_reachable
from headstart.types import BackboneInfo

if TYPE_CHECKING:
    import torch

    from headstart.backbones.options import BackboneOptions
    from headstart.backbones.portable import Portable
    from headstart.backbones.tunable import BackboneSaver
    from headstart.types import Precision

REMEDY = "fetch the weights where there is a network, pass --weights FILE, or choose a bundled: backbone"


class TimmBackbone:
    """A model of timm, by its name.

    Parameters
    ----------
    spec : str
        As the user wrote it.
    name : str
        timm's name, e.g. ``resnet50.a1_in1k``.
    options : BackboneOptions
    bundled : Path, optional
        A file of weights whose tensors stand in the order of the model's own.
    """

    def __init__(self, spec: str, name: str, options: BackboneOptions, bundled: Path | None = None) -> None:
        self.spec = spec
        self._name = name
        self._options = options
        self._bundled = bundled

    def cache_key(self) -> Mapping[str, Any]:
        """Spec, options and the versions that could resolve it otherwise."""
        versions = {package: metadata.version(package) for package in ("timm", "torch")}
        return {"spec": self.spec, "options": self._options.given(), "versions": versions}

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
            provenance={
                "versions": self.cache_key()["versions"],
                "parameters": n_parameters(model),
                "files": sorted(path.name for path in self.source_files()),
            },
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

    def tunable(self, tap: str) -> BackboneSaver:
        """Its weights, under the names of timm."""

        def keep(folder: Path) -> tuple[str, BackboneOptions]:
            from safetensors.torch import save_model

            save_model(self._model, str(folder / WEIGHTS))
            return f"timm:{self._name}", replace(self._options, weights=folder / WEIGHTS)

        return keep

    def portable(self, tap: str) -> Portable:
        """The model as transformers wraps it, with the transform that timm resolved.

        Raises
        ------
        ConfigError
            The wrapper does not give what the tap reads.
        """
        from headstart.backbones.portable import Portable, reading_of

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
            raise ConfigError(_unknown(self._name, timm.list_models(pretrained=True) + timm.list_models()))
        given = self._bundled or self._options.weights
        remedy = REMEDY if given is None else "choose another --image-size, or leave it out"
        with loading_failures(self.spec, self._options.offline and given is None, remedy):
            if given is None and self._options.offline:
                self._check_local()
            elif given is None and not hub_is_reachable():
                forbid_network()
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


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return f"timm has no model {name!r}{hint}"
