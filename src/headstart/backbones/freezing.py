"""Making a loaded module a frozen one on a device, and the digest of its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from hashlib import blake2b
from typing import TYPE_CHECKING

from headstart.errors import BackboneError, ConfigError

if TYPE_CHECKING:
    import torch

    from headstart.types import Precision


_CAST = "_headstart_cast"
_LIVE = "_headstart_live"


def best_precision(device: str) -> Precision:
    """What ``--precision auto`` means on a device for a new space."""
    import torch

    kind = torch.device(device).type
    return "bf16" if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def freeze(module: torch.nn.Module, device: str, precision: Precision) -> torch.nn.Module:
    """Put a module into eval mode, without gradients, on a device and in a dtype, in place.

    For int8 the weights of its linear layers are rounded from float32; everything else stays in it.

    Raises `ConfigError` if int8 is not for this device, or not for this module; `BackboneError` if it does not
    fit into the device's memory, or was cast to another dtype before: its weights are rounded by now, and
    casting them back would not undo it.
    """
    import torch

    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    before = getattr(module, _CAST, None)
    if before not in (None, precision):
        raise BackboneError(
            f"this model was cast to {before}; open the backbone anew to load it as {precision}"
        )
    if precision == "int8" and before is None:
        _quantize(module, device)
    setattr(module, _CAST, precision)
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    try:
        return module.eval().requires_grad_(False).to(device=device, dtype=dtype)
    except torch.OutOfMemoryError as error:
        raise BackboneError(f"the backbone does not fit into the memory of {device}") from error


def enable_gradients(module: torch.nn.Module, trainable: bool) -> torch.nn.Module:
    """Let gradients flow through a frozen module again, in place, to its own weights too if it is trainable."""
    setattr(module, _LIVE, True)
    return module.requires_grad_(trainable)


def grad_context(module: torch.nn.Module) -> contextlib.AbstractContextManager[object]:
    """What a module is run under: inference mode, or what the caller is in if it was made live."""
    import torch

    if getattr(module, _LIVE, False):
        return contextlib.nullcontext()
    # A compiler cannot slice a model's own buffers over shapes of all kinds in inference mode (torch 2.15).
    return torch.no_grad() if torch.compiler.is_compiling() else torch.inference_mode()


def is_int8(module: torch.nn.Module) -> bool:
    """Whether a module was frozen as int8."""
    return getattr(module, _CAST, None) == "int8"


def _quantize(module: torch.nn.Module, device: str) -> None:
    import torch

    from headstart.backbones.quantizing import quantize

    if torch.device(device).type != "cpu":
        raise ConfigError(
            f"--precision int8 runs on CPUs alone, and this would run on {device}; add --device cpu, or take "
            "--precision auto"
        )
    quantize(module)


def weights_digest(module: torch.nn.Module, leave_out: Collection[str] = ()) -> str:
    """BLAKE2b-128, in hex, of names, dtypes, shapes and bytes of a module's parameters and buffers.

    ``module``: as it was loaded, before any cast; ``leave_out``: prefixes of what takes no part in a feature
    (a classifier), or is not of the checkpoint (a pooler that was initialised at random).
    """
    import torch

    digest = blake2b(digest_size=16)
    prefixes = tuple(leave_out)
    for name, tensor in sorted(module.state_dict().items()):
        if prefixes and name.startswith(prefixes):
            continue
        plain = tensor.detach().cpu().contiguous()
        header = f"{name}\0{str(plain.dtype).removeprefix('torch.')}\0{tuple(plain.shape)}\0"
        digest.update(header.encode("utf-8"))
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def n_parameters(module: torch.nn.Module) -> int:
    """How many parameters a module has."""
    return sum(parameter.numel() for parameter in module.parameters())
