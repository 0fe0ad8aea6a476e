"""Recipes: everything that can change a number, and nothing else.

The id of a space is the first 16 hex digits of the SHA-256 of its recipe as canonical JSON
(RFC 8785). Entries at their default are left out, so that an entry which a later version adds
re-keys nothing that exists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import rfc8785

from headstart.types import BackboneInfo, Json, Precision, StoredDtype

NUMERICS = 1
"""Raised when our own code changes a number that it used to compute otherwise."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a feature was made with, as JSON values.

    Use `make_recipe`, or `Recipe` on what ``recipe.json`` holds: entries of a later version are kept as they are.
    """

    entries: Mapping[str, Json]

    @property
    def canonical(self) -> str:
        """The recipe as canonical JSON (RFC 8785)."""
        return rfc8785.dumps(dict(self.entries)).decode("utf-8")

    @property
    def id(self) -> str:
        """The id of the space, 16 hex digits."""
        return hashlib.sha256(self.canonical.encode("utf-8")).hexdigest()[:16]

    def differences(self, other: Recipe) -> dict[str, tuple[Json, Json]]:
        """The entries, dotted, in which two recipes differ, with both values."""
        mine, theirs = _flatten(self.entries), _flatten(other.entries)
        names = sorted(mine.keys() | theirs.keys())
        return {
            name: (mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)
        }


def make_recipe(
    info: BackboneInfo,
    tap: str,
    compute: Precision,
    stored: StoredDtype,
    view: Mapping[str, Json] | None = None,
) -> Recipe:
    """The recipe of one tap of a backbone.

    Parameters
    ----------
    info : BackboneInfo
    tap : str
        Canonical, e.g. ``final.mean``.
    compute : {"fp32", "bf16", "fp16", "int8"}
        The dtype of weights and activations; int8 of linear layers alone. Pooling is always in fp32.
    stored : {"float16", "float32"}
    view : mapping, optional
        How the sample was changed before the model saw it: the entry of a `headstart.augmentation.View`.
        Left out for the plain feature.
    """
    entries: dict[str, Json] = {
        "weights": info.weights,
        "architecture": dict(info.architecture),
        "preprocessing": dict(info.preprocessing),
        "tap": tap,
        "compute": compute,
        "stored": stored,
        "numerics": NUMERICS,
    }
    optional = {
        "max_length": info.max_length,
        "windows": dict(info.windows) if info.windows else None,
        "code": dict(info.code) if info.code else None,
        "view": dict(view) if view else None,
        "prompt": info.prompt or None,
    }
    entries.update({name: value for name, value in optional.items() if value is not None})
    return Recipe(entries)


def view_name(entry: Json) -> str | None:
    """What the view of a recipe is called in a set; None for the plain feature.

    Examples
    --------
    >>> view_name({"augmentation": "default", "number": 3, "seed": 0, "of": "image"})
    'default:3'
    >>> view_name({"augmentation": "py:mine:cut", "number": 3, "seed": 7, "version": "1"})
    'py:mine:cut:3@7'
    """
    if not entry:
        return None
    if not isinstance(entry, Mapping) or not entry.keys() >= {"augmentation", "number", "seed"}:
        return str(entry)  # of a later version
    seed = f"@{entry['seed']}" if entry["seed"] else ""
    return f"{entry['augmentation']}:{entry['number']}{seed}"


def _flatten(entries: Mapping[str, Json], prefix: str = "") -> dict[str, Json]:
    flat: dict[str, Json] = {}
    for name, value in entries.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
