"""Reading a model layer by layer: where its blocks are, and what enters and leaves each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of a model, first to last.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
        Empty where the model's layers cannot be read by number.
    """

    modules: Sequence[torch.nn.Module] = field(default_factory=tuple)

    def __len__(self) -> int:
        return len(self.modules)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers, from what enters the first block; none where there are no blocks."""
        return tuple(str(number) for number in range(len(self) + 1)) if self.modules else ()

    @contextlib.contextmanager
    def kept(self, layers: Collection[str]) -> Iterator[dict[str, torch.Tensor]]:
        """Keep the hidden states of layers while the model runs inside.

        Parameters
        ----------
        layers : collection of str
            ``"0"`` is what enters the first block, ``"k"`` what leaves the k-th, before any closing norm.

        Yields
        ------
        dict of str to Tensor
            Filled by the forward pass.
        """
        kept: dict[str, torch.Tensor] = {}
        handles = [self._hook(layer, kept) for layer in dict.fromkeys(layers)]
        try:
            yield kept
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, layer: str, kept: dict[str, torch.Tensor]) -> Any:
        if int(layer) == 0:

            def enters(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
                kept[layer] = given[0] if given else named["hidden_states"]

            return self.modules[0].register_forward_pre_hook(enters, with_kwargs=True)

        def leaves(_: Any, given: Any, output: Any) -> None:
            kept[layer] = output[0] if isinstance(output, tuple) else output

        return self.modules[int(layer) - 1].register_forward_hook(leaves)


def find_blocks(model: torch.nn.Module, n_blocks: int | None) -> Blocks:
    """The list of so many blocks that stands nearest to the model itself.

    Parameters
    ----------
    model : torch.nn.Module
    n_blocks : int, optional
        As the configuration says; None or 0: it says nothing, so none are found.

    Returns
    -------
    Blocks
        Empty where there is no such list of modules of one kind, or where several stand equally near.
    """
    import torch

    lists = [
        (name.count("."), module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList)
        and len(module) == n_blocks
        and len({type(part) for part in module}) == 1
    ]
    nearest = [modules for depth, modules in lists if depth == min(lists, key=lambda found: found[0])[0]]
    # ALBERT runs one block many times and a decoder has a list of its own: no list, or the nearest. XLM has
    # a list of its attentions and another of what follows them: neither is one of blocks.
    return Blocks(tuple(nearest[0])) if len(nearest) == 1 else Blocks()


def has_closing_norm(last_block: torch.Tensor | None, final: torch.Tensor) -> bool:
    """Whether anything stands between what the last block gave and the model's last hidden state.

    Parameters
    ----------
    last_block, final : Tensor
        Of one forward pass.
    """
    import torch

    return last_block is not final and (last_block is None or not torch.equal(last_block, final))
