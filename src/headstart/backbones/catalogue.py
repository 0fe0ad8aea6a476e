"""Which backbones can be had on this machine, found without importing a model library."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.bundled import BUNDLES
from headstart.backbones.hub import hub_commit, torch_hub_folder
from headstart.errors import HeadstartError, WeightsUnavailableError

Modality = Literal["image", "text", "image-text"]

# How both libraries declare an architecture; importing them to count would take seconds.
_DECLARED = re.compile(r"^@register_model(?:\(\))?\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_HUB_FOLDER = "models--"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to take for a modality, unless you know better."""

    modality: Modality
    spec: str
    why: str
    here: bool = False  # whether its weights lie on this machine


@dataclass(frozen=True, slots=True)
class LocalBackbone:
    """A backbone whose weights a package ships, or that were downloaded."""

    spec: str
    where: Literal["package", "hub", "torch-hub"]
    here: bool = True
    missing: str = ""  # what to do to have it; empty where it is here


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What ``headstart backbones ls`` says."""

    recommended: list[Recommendation]
    local: list[LocalBackbone]
    architectures: dict[str, int]  # how many timm and torchvision can make
    matching: list[str]  # the specs that a pattern matches; empty without a pattern


RECOMMENDED = (
    Recommendation(
        "text", "bundled:all-minilm-l6-v2", "fast, 384 numbers a text, good for topics and intents"
    ),
    Recommendation("text", "bundled:all-mpnet-base-v2", "better and slower, 768 numbers"),
    Recommendation("text", "hf:intfloat/multilingual-e5-base", "a hundred languages"),
    Recommendation("image", "bundled:efficientnet-lite0", "fast on CPUs, ImageNet features"),
    Recommendation("image", "bundled:efficientnet-lite2", "larger images: better and slower"),
    Recommendation(
        "image",
        "timm:vit_small_patch16_dinov3.lvd1689m",
        "self-supervised: strong where images are unlike ImageNet; Meta's licence",
    ),
    Recommendation(
        "image",
        "timm:vit_small_patch14_dinov2.lvd142m",
        "its predecessor, Apache licence; sees 518 pixels, slower",
    ),
    Recommendation(
        "image-text", "hf:google/siglip2-base-patch16-224", "images and texts in one space, many languages"
    ),
    Recommendation("image-text", "hf:openai/clip-vit-base-patch32", "the same in English, faster"),
)


def catalogue(pattern: str | None = None) -> Catalogue:
    """Look around on this machine; no network.

    ``pattern``: of the architectures to list, such as ``*dinov3*``; without ``*`` any part of a name. Only
    with it are timm and torchvision imported.
    """
    local = [*_bundles(), *_hub(), *_torch_hub()]
    here = {backbone.spec for backbone in local if backbone.here}
    recommended = [
        Recommendation(known.modality, known.spec, known.why, known.spec in here) for known in RECOMMENDED
    ]
    counts = {library: len(_declared(library)) for library in ("timm", "torchvision")}
    return Catalogue(recommended, local, counts, _matching(pattern) if pattern else [])


def _bundles() -> list[LocalBackbone]:
    return [_bundle(f"bundled:{name}") for name in BUNDLES]


def _bundle(spec: str) -> LocalBackbone:
    try:
        open_backbone(spec, BackboneOptions())
    except WeightsUnavailableError as error:
        return LocalBackbone(spec, "package", here=False, missing=str(error).rpartition(": ")[2])
    except HeadstartError as error:
        return LocalBackbone(spec, "package", here=False, missing=str(error))
    return LocalBackbone(spec, "package")


def _hub() -> list[LocalBackbone]:
    """Models in the local Hugging Face cache; timm's own repositories by timm's names."""
    from huggingface_hub.constants import HF_HUB_CACHE

    found = []
    for folder in sorted(Path(HF_HUB_CACHE).glob(f"{_HUB_FOLDER}*")):
        repository = folder.name.removeprefix(_HUB_FOLDER).replace("--", "/")
        if hub_commit(repository) is not None:
            name = repository.removeprefix("timm/")
            found.append(LocalBackbone(f"timm:{name}" if name != repository else f"hf:{name}", "hub"))
    return found


def _torch_hub() -> list[LocalBackbone]:
    """Files that timm and torchvision fetched by URL; which model each is of, its name says."""
    files = sorted(torch_hub_folder().glob("*.pth")) + sorted(torch_hub_folder().glob("*.safetensors"))
    return [LocalBackbone(path.name, "torch-hub") for path in files]


def _declared(library: str) -> set[str]:
    """The architectures that a library declares."""
    found = importlib.util.find_spec(library)
    roots = list(found.submodule_search_locations or []) if found else []
    files = (path for root in roots for path in (Path(root) / "models").glob("*.py"))
    return {name for path in files for name in _DECLARED.findall(path.read_text("utf-8"))}


def _matching(pattern: str) -> list[str]:
    """The specs that a pattern matches: with weights by their tags, and bare names without any."""
    import timm
    from torchvision import models

    whole = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    tagged = timm.list_models(pretrained=True)
    bare = set(timm.list_models()) - {name.partition(".")[0] for name in tagged}
    names = {"timm": sorted([*tagged, *bare]), "torchvision": models.list_models(module=models)}
    return [f"{library}:{name}" for library, known in names.items() for name in _filtered(known, whole)]


def _filtered(names: Sequence[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]
