"""Backbones of timm: any model with a feature head, under the transform that timm resolves."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
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
from headstart.errors import BackboneError, ConfigError
from headstart.types import Activations, BackboneInfo

if TYPE_CHECKING:
    import torch

    from headstart.backbones.options import BackboneOptions
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

    def memo_key(self) -> Mapping[str, Any]:
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
            taps=_offered_taps(model),
            provenance={
                "versions": self.memo_key()["versions"],
                "parameters": n_parameters(model),
                "files": sorted(path.name for path in self.witnesses()),
            },
        )

    def witnesses(self) -> Sequence[Path]:
        """The files that the weights were read from."""
        given = self._bundled or self._options.weights
        if given is not None:
            return [given]
        hub_id = self._model.default_cfg.get("hf_hub_id")
        if hub_id and (files := hub_files(hub_id)):
            return files
        return _torch_hub_file(self._model.default_cfg.get("url"))

    def load(self, device: str, precision: Precision) -> FrozenImageModel:
        """The model, frozen, on a device."""
        from timm.data import create_transform

        transform = create_transform(**self._data_config, is_training=False)
        module = freeze(self._model, device, precision)
        return FrozenImageModel(module, transform, lambda batch: _read(module, batch))

    @cached_property
    def _model(self) -> Any:
        import timm

        if not timm.is_model(self._name):
            raise ConfigError(_unknown(self._name, timm.list_models(pretrained=True) + timm.list_models()))
        given = self._bundled or self._options.weights
        with loading_failures(self.spec, self._options.offline, REMEDY):
            if given is None and self._options.offline:
                self._check_local()
            model = timm.create_model(self._name, pretrained=given is None, **self._model_arguments())
        if given is not None:
            load_into(model, read_state_dict(given), given, self._bundled is not None, _classifier(model))
        return model.eval()

    def _check_local(self) -> None:
        """Refuse weights that timm would fetch by a plain URL: no setting of a library stops that."""
        import timm

        config = timm.get_pretrained_cfg(self._name, allow_unregistered=True)
        if config is not None and not config.hf_hub_id and not _torch_hub_file(config.url):
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


def _offered_taps(model: torch.nn.Module) -> tuple[str, ...]:
    has_cls = _prefix_tokens(model) > 0 and getattr(model, "cls_token", None) is not None
    return ("pooler", *(("final.cls",) if has_cls else ()), "final.mean", "final.max")


def _prefix_tokens(model: torch.nn.Module) -> int:
    return int(getattr(model, "num_prefix_tokens", 0))


def _read(model: Any, batch: torch.Tensor) -> Activations:
    """Pre-logits, and the last positions: spatial ones, or patches without class and registers."""
    features = model.forward_features(batch)
    if not hasattr(features, "ndim"):
        raise BackboneError("this timm model gives several feature maps at once, which is not supported yet")
    pooled = model.forward_head(features, pre_logits=True)
    pooled = pooled.flatten(1) if pooled.ndim > 2 else pooled
    prefix = _prefix_tokens(model)
    if features.ndim == 4:
        channels_last = str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")
        hidden = features.flatten(1, 2) if channels_last else features.flatten(2).transpose(1, 2)
        return Activations(hidden=hidden, pooled=pooled)
    if features.ndim == 2:
        return Activations(hidden=features.unsqueeze(1), pooled=pooled)
    cls = features[:, 0] if prefix else None
    return Activations(hidden=features[:, prefix:], cls=cls, pooled=pooled)


def _classifier(model: Any) -> tuple[str, ...]:
    """The prefixes of the classifier's weights, which no feature depends on."""
    names = model.default_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return f"timm has no model {name!r}{hint}"


def _torch_hub_file(url: str | None) -> list[Path]:
    if not url:
        return []
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return [path] if path.is_file() else []
