"""The digest of loaded weights."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def weights_digest(module: torch.nn.Module, leave_out: Collection[str] = ()) -> str:
    """BLAKE2b-128, in hex, of names, dtypes, shapes and bytes of a module's parameters and buffers.

    Parameters
    ----------
    module : torch.nn.Module
        As it was loaded, before any cast.
    leave_out : collection of str
        Prefixes of what takes no part in a feature (a classifier), or is not of the checkpoint (a
        pooler that was initialised at random).
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
