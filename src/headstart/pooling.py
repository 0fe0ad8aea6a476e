"""Taps and poolings: where a feature is read, and how many positions become one vector.

A tap is written ``<layer>.<pooling>``, or ``pooler`` for the model's own. ``last`` is what leaves
the closing norm; in a recipe it is called ``final``, so that one tap has one name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headstart.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from headstart.types import Activations

LAYER_NAMES = {"last": "final", "final": "final"}
POOLINGS = ("cls", "mean", "max")


def canonical_tap(tap: str) -> str:
    """The one name that a tap has in recipes.

    Raises
    ------
    ConfigError
        There is no such tap.

    Examples
    --------
    >>> canonical_tap("last.mean")
    'final.mean'
    """
    tap = tap.strip()
    if tap == "pooler":
        return tap
    layer, _, pooling = tap.partition(".")
    if layer not in LAYER_NAMES or pooling not in POOLINGS:
        offered = ", ".join(["pooler", *(f"last.{name}" for name in POOLINGS)])
        raise ConfigError(f"there is no tap {tap!r}; choose from: {offered}")
    return f"{LAYER_NAMES[layer]}.{pooling}"


def display_tap(tap: str) -> str:
    """A canonical tap as users write it.

    Examples
    --------
    >>> display_tap("final.mean")
    'last.mean'
    """
    return "last" + tap.removeprefix("final") if tap.startswith("final.") else tap


def choose_taps(asked: Sequence[str] | None, offered: Sequence[str], spec: str) -> tuple[str, ...]:
    """The canonical taps to read: those asked for, or the backbone's own.

    Raises
    ------
    ConfigError
        The backbone does not have one of them.
    """
    if not asked:
        return (offered[0],)
    taps = tuple(dict.fromkeys(canonical_tap(tap) for tap in asked))
    for tap in taps:
        if tap not in offered:
            names = ", ".join(display_tap(name) for name in offered)
            raise ConfigError(
                f"{spec} has no tap {display_tap(tap)!r} (it is not part of the model, or the "
                f"checkpoint does not have its weights); it offers: {names}"
            )
    return taps


def pool(activations: Activations, tap: str) -> torch.Tensor:
    """Read one canonical tap of a batch.

    Parameters
    ----------
    activations : Activations
    tap : str
        Canonical, one that the backbone offers.

    Returns
    -------
    Tensor of float32, shape (B, D)
        Pooled in fp32 whatever the compute dtype. Positions outside the mask do not take part.
    """
    if tap == "pooler":
        return _present(activations.pooled, tap).float()
    return _POOLING[tap.removeprefix("final.")](activations)


def _present(tensor: torch.Tensor | None, tap: str) -> torch.Tensor:
    if tensor is None:
        raise ConfigError(f"the backbone gave nothing to read at {display_tap(tap)!r}")
    return tensor


def _cls(activations: Activations) -> torch.Tensor:
    return _present(activations.cls, "final.cls").float()


def _mean(activations: Activations) -> torch.Tensor:
    hidden = _present(activations.hidden, "final.mean").float()
    if activations.mask is None:
        return hidden.mean(dim=1)
    weights = activations.mask.to(hidden.dtype).unsqueeze(-1)
    # where(), not a product: 0 × infinity in a padded position would spread NaN.
    total = hidden.where(weights.bool(), hidden.new_zeros(())).sum(dim=1)
    return total / weights.sum(dim=1).clamp(min=1)


def _max(activations: Activations) -> torch.Tensor:
    hidden = _present(activations.hidden, "final.max").float()
    if activations.mask is None:
        return hidden.amax(dim=1)
    return hidden.masked_fill(~activations.mask.unsqueeze(-1), float("-inf")).amax(dim=1)


_POOLING: dict[str, Callable[[Activations], torch.Tensor]] = {
    "cls": _cls,
    "mean": _mean,
    "max": _max,
}
