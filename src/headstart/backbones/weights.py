"""Reading weights from a file without running anything in it, and matching them with a model."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import BackboneError, WeightsUnavailableError, first_line

if TYPE_CHECKING:
    import torch


SHOWN = 3


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, or of a torch file that holds nothing but tensors.

    Raises `BackboneError` if there is no such file, or it holds something else; nothing in it is ever run.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsUnavailableError(f"there is no file of weights at {path}") from None
    except pickle.UnpicklingError as error:
        raise BackboneError(
            f"{path} holds more than tensors and was not loaded, because unpickling it could run code; "
            "convert it to safetensors where you trust it"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BackboneError(f"{path} is not a readable file of weights: {first_line(error)}") from error
    except Exception as error:
        if type(error).__name__ == "SafetensorError":
            raise BackboneError(f"{path} is not a readable safetensors file: {error}") from error
        raise
    for name in ("state_dict", "model", "state_dict_ema"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping) or not all(isinstance(t, torch.Tensor) for t in loaded.values()):
        raise BackboneError(f"{path} does not hold a state dict of tensors")
    return dict(loaded)


def load_into(
    model: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    path: Path,
    in_order: bool,
    classifier: Sequence[str],
) -> None:
    """Load weights into a model, exactly.

    ``in_order``: the names differ, and the tensors stand in the model's order; every shape and dtype is
    compared all the same; ``classifier``: prefixes of weights that may be missing or of another shape, since
    no feature reads them. Raises `BackboneError` if a tensor is missing, unexpected, or of another shape.
    """
    state = _renamed(model, state, path) if in_order else _without_module_prefix(state)
    own = model.state_dict()
    free = tuple(classifier)
    state = {name: tensor for name, tensor in state.items() if not (free and name.startswith(free))}
    needed = {name for name in own if not (free and name.startswith(free))}
    needed -= {name for name in needed - state.keys() if _is_spare(name, own, state)}
    wrong = [name for name in needed & state.keys() if own[name].shape != state[name].shape]
    for problem, names in (
        ("lacks", needed - state.keys()),
        ("has tensors that the model has not:", state.keys() - needed),
        ("has another shape for", wrong),
    ):
        if names:
            shown = ", ".join(sorted(names)[:SHOWN]) + (", …" if len(names) > SHOWN else "")
            raise BackboneError(f"{path} does not fit the model: it {problem} {shown}")
    model.load_state_dict(versioned(state, model), strict=False)


def versioned(state: Mapping[str, Any], model: torch.nn.Module) -> OrderedDict[str, Any]:
    """Tensors by name with the versions of the modules that they are for, which a plain mapping has lost.

    MNASNet refuses weights that do not say theirs.
    """
    tensors = OrderedDict(state)
    tensors._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    return tensors


def _is_spare(name: str, own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a missing tensor changes nothing: only training reads it, or it is another name of one."""
    if name.endswith(".num_batches_tracked"):  # files of old versions of torch lack this counter
        return True
    place = (own[name].data_ptr(), own[name].shape)
    return any((tensor.data_ptr(), tensor.shape) == place for other, tensor in own.items() if other in state)


def _renamed(
    model: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    own = model.state_dict()
    pairs = list(zip(own.items(), state.items(), strict=False))
    if len(own) != len(state) or any(a.shape != b.shape or a.dtype != b.dtype for (_, a), (_, b) in pairs):
        raise BackboneError(f"the tensors of {path} are not those of the model; reinstall the package")
    return {name: tensor for (name, _), (_, tensor) in pairs}


def _without_module_prefix(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if state and all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return dict(state)
