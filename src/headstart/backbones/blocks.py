"""Reading a model layer by layer: where its blocks are, and what enters and leaves each of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from headstart.errors import NoBlocksError
from headstart.types import Activations, Positions

if TYPE_CHECKING:
    import torch

BLOCK = "block"
"""What the layer is called that is all that leaves a block: ``block3``, counted from 1."""


class _ReachedError(Exception):
    """Nothing deeper than this layer is wanted: leaves the forward pass."""


class _Watch(threading.local):
    """What the pass that a thread has under way should keep."""

    def __init__(self) -> None:
        self.kept: dict[str, torch.Tensor] | None = None
        self.wanted: frozenset[str] = frozenset()
        self.last: str | None = None

    def sees(self, layer: str, hidden: torch.Tensor) -> None:
        if self.kept is None or layer not in self.wanted:
            return
        self.kept[layer] = hidden
        if layer == self.last:
            raise _ReachedError


@dataclass(frozen=True)
class Blocks:
    """The blocks of a model, first to last."""

    # Empty where the model's layers cannot be read by number. They are hooked for good: several threads may
    # run the model at once, and hooks that come and go would change a dictionary that others iterate.
    modules: Sequence[torch.nn.Module] = field(default_factory=tuple)
    _watch: _Watch = field(default_factory=_Watch, repr=False, compare=False)

    def __post_init__(self) -> None:
        for number, module in enumerate(self.modules, 1):
            self._hook(number, module)

    def __len__(self) -> int:
        return len(self.modules)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers, from what enters the first block; none where there are no blocks."""
        return tuple(str(number) for number in range(len(self) + 1)) if self.modules else ()

    @contextlib.contextmanager
    def kept(self, layers: Collection[str], stop: bool = False) -> Iterator[dict[str, torch.Tensor]]:
        """Keep the hidden states of layers while this thread runs the model inside.

        ``layers``: ``"0"`` is what enters the first block, ``"k"`` what leaves the k-th, before any closing
        norm. Names that are no number are passed over; ``stop``: leave the block of code as soon as the
        deepest of these layers is there. The forward pass fills what it yields.
        """
        numbered = [layer for layer in layers if layer.isdigit()]
        watch = self._watch
        watch.kept, watch.wanted = {}, frozenset(numbered)
        watch.last = max(numbered, key=int) if stop and numbered else None
        try:
            with contextlib.suppress(_ReachedError):
                yield watch.kept
        finally:
            watch.kept = None

    def _hook(self, number: int, module: torch.nn.Module) -> None:
        watch = self._watch
        if number == 1:

            def enters(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
                watch.sees("0", given[0] if given else named["hidden_states"])

            module.register_forward_pre_hook(enters, with_kwargs=True)

        def leaves(_: Any, given: Any, output: Any) -> None:
            watch.sees(str(number), output[0] if isinstance(output, tuple) else output)

        module.register_forward_hook(leaves)


def read_blocks(
    blocks: Blocks, run: Callable[[], object], layers: Collection[str], channels_last: bool = False
) -> Activations:
    """All that leaves blocks, tokens before the patches among it, in a pass that ends behind the deepest.

    ``run``: the pass; ``layers``: ``block1`` …; ``channels_last``: whether maps are (B, H, W, D) rather than
    (B, D, H, W). Raises `NoBlocksError` if there is no such block, or neither tokens nor a map leave it.
    """
    numbers = [layer.removeprefix(BLOCK) for layer in layers]
    with blocks.kept(numbers, stop=True) as kept:
        run()
    if missing := [number for number in numbers if number not in kept]:
        raise NoBlocksError(f"it has {len(blocks)} blocks that can be told apart, and no number {missing[0]}")
    return Activations(
        {f"{BLOCK}{number}": Positions(positions_of(kept[number], channels_last)) for number in numbers}
    )


class BlockReader:
    """Reads what leaves the blocks of a model. Threads may share it.

    The blocks are watched from its first call on: hooks would stand in the way of a compiler.

    ``modules``: gives the blocks, first to last; ``run``: a pass over a batch, as far as the last block at
    least.
    """

    def __init__(
        self,
        modules: Callable[[], Sequence[torch.nn.Module]],
        run: Callable[[torch.Tensor], object],
        channels_last: bool = False,
    ) -> None:
        self._modules, self._run, self._channels_last = modules, run, channels_last
        self._lock = threading.Lock()
        self._blocks: Blocks | None = None

    def __call__(self, batch: torch.Tensor, layers: Collection[str]) -> Activations:
        """Layers by name for a batch (B, 3, H, W); see `read_blocks`."""
        with self._lock:
            if self._blocks is None:
                self._blocks = Blocks(tuple(self._modules()))
        return read_blocks(self._blocks, partial(self._run, batch), layers, self._channels_last)


def positions_of(states: torch.Tensor, channels_last: bool = False) -> torch.Tensor:
    """What leaves a block as (B, T, D): tokens as they are, maps row by row."""
    if getattr(states, "ndim", 0) == 3:
        return states
    if getattr(states, "ndim", 0) != 4:
        raise NoBlocksError("what leaves its blocks is neither tokens nor a map")
    return states.flatten(1, 2) if channels_last else states.flatten(2).transpose(1, 2)


def block_list(model: torch.nn.Module, n_blocks: int | None) -> Sequence[torch.nn.Module]:
    """The list of so many blocks that stands nearest to the model itself.

    ``n_blocks``: as the configuration says; None or 0: it says nothing, so none are found. Empty where there is
    no such list of modules of one kind, or where several stand equally near.
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
    return list(nearest[0]) if len(nearest) == 1 else []
