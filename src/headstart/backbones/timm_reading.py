"""How the outputs of a timm model are read: its last positions, its pre-logits, its layers by number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import positions_of
from headstart.backbones.timm_blocks import has_channels_last
from headstart.errors import BackboneError
from headstart.types import AT_END, Activations, Positions

if TYPE_CHECKING:
    import torch

ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Reading:
    """What one image showed of a timm model.

    Parameters
    ----------
    channels_last : bool
        Whether ``forward_features`` gives (B, …, D) rather than (B, D, …).
    n_prefix : int
        Tokens before the patches: class, distillation and register tokens.
    has_cls : bool
        Whether the first of them is a class token.
    has_head : bool
        Whether ``forward_head`` pools to one vector.
    n_layers : int
        How many maps ``forward_intermediates`` gives on the way to the same last features.
    closing_norm : bool
        Whether the last features differ from the last of these maps.
    patches_in_layer : bool
        The last features are class tokens alone (PiT): the patches are those of the last layer.
    cls_in_layers : bool
        Whether the maps of the layers carry the class token (it joins late in CaiT, VOLO …).
    """

    channels_last: bool
    n_prefix: int
    has_cls: bool
    has_head: bool
    n_layers: int = 0
    closing_norm: bool = True
    patches_in_layer: bool = False
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
    """Show a model one image of noise, and look at what it gives.

    Raises
    ------
    BackboneError
        It cannot take images of this size, or gives something that is no map and no tokens.
    """
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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackboneError(
            f"{spec} cannot take an image of {'×'.join(map(str, input_size[1:]))} pixels (timm's "
            f"{type(model).__name__}: {reason}); choose another --image-size, or another backbone"
        ) from error
    return _described(model, _last(features, spec), maps, same, has_head)


def read(model: Any, reading: Reading, batch: torch.Tensor, reads: Collection[str] = AT_END) -> Activations:
    """One forward pass: the pre-logits, the last positions, and the numbered layers that are asked for.

    Parameters
    ----------
    batch : Tensor, shape (B, 3, H, W)
    reads : collection of str
        As in `FrozenModel.forward`; numbers from 1, as timm's ``forward_intermediates`` counts from 0.
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
    import inspect

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
    import dataclasses

    if not reading.n_layers:
        return reading
    at_end = _of_map(maps[-1], reading).hidden
    final = at_end if reading.patches_in_layer else _of_features(last, reading).hidden
    return dataclasses.replace(reading, closing_norm=not _equal(at_end, final))


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
