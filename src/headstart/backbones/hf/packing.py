"""Texts one behind the other in a single row: attention over sequences of their own lengths, and no padding.

A packed batch holds, beside the tokens of all texts as (1, T), where each text begins (``cumulative``) and where
each of its positions stands (``places``). Positions count from the beginning of each text. Whether a model can be
run so is not looked up in a list of names but tried: the same texts, packed and padded, must give the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from headstart.backbones.hf.models import quietly
from headstart.types import Activations

if TYPE_CHECKING:
    import torch

NAME = "headstart_packed"
"""How transformers knows the attention that looks whether texts are packed."""

CUMULATIVE, PLACES, MASK = "cumulative", "places", "attention_mask"
TOLERANCE = 1e-5  # in fp32, of a vector's largest value
LOW_TOLERANCE = 3e-2  # in 16 bits a number
LONG = 400  # words of the longest texts of a trial: two of them pass every usual table of positions
FOREIGN = ("position_bias", "softcap", "s_aux")  # what an attention may be asked for that none here does


@dataclass(frozen=True, slots=True)
class Sequences:
    """Where the texts of a row begin and end."""

    cumulative: torch.Tensor  # where each begins, and the end of the last
    longest: int


Attend: TypeAlias = (
    "Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Sequences, float | None, int | None], torch.Tensor]"
)
"""Queries, keys and values of shape (T, heads, d), the sequences, the scale, and how many tokens to either side
are seen (None: all of a text) to what each position reads, (T, heads, d)."""


class _Current(threading.local):
    """What the pass that a thread has under way is over; None: a padded batch."""

    sequences: Sequences | None = None
    attend: Attend | None = None


_current = _Current()


class CannotPackError(Exception):
    """An attention asks for what packed sequences cannot give."""


def varlen_attention() -> Attend | None:
    """The fused kernel of a GPU; None: this torch has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # torch < 2.10
        return None

    def attend(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        sequences: Sequences,
        scale: float | None,
        window: int | None,
    ) -> torch.Tensor:
        sees = (-1, -1) if window is None else (window, window)
        at, n = sequences.cumulative, sequences.longest
        read: Any = varlen_attn(query, key, value, at, at, n, n, scale=scale, window_size=sees)
        vectors: torch.Tensor = read
        return vectors

    return attend


def pack(prepared: Sequence[Mapping[str, Any]], names: Sequence[str], first: int) -> dict[str, torch.Tensor]:
    """Prepared texts as one row.

    ``prepared``: by name, a number a token; ``names``: what the model takes of them; ``first``: the number of
    the first position.
    """
    import torch

    lengths = torch.tensor([len(row[names[0]]) for row in prepared])
    ends = lengths.cumsum(0)
    columns = torch.arange(int(lengths.max()))
    mask = columns < lengths[:, None]
    joined = {
        name: torch.tensor([list(chain.from_iterable(row[name] for row in prepared))]) for name in names
    }
    return {
        **joined,
        "position_ids": (columns.expand(mask.shape)[mask] + first)[None],
        CUMULATIVE: torch.cat([torch.zeros(1, dtype=torch.int32), ends.int()]),
        PLACES: ((ends - lengths)[:, None] + columns) * mask,
        MASK: mask.long(),
    }


@dataclass(frozen=True, slots=True)
class Packing:
    """How a model is run over packed texts."""

    attend: Attend
    first: int = 0  # the number of the first position: 0, or what RoBERTa counts from

    def run(self, module: Any, batch: Mapping[str, torch.Tensor]) -> Any:
        """The output of a model for a packed batch; its hidden states are of shape (1, T, D)."""
        given = {name: part for name, part in batch.items() if name not in (CUMULATIVE, PLACES, MASK)}
        _current.sequences = Sequences(batch[CUMULATIVE], batch[PLACES].shape[1])
        _current.attend = self.attend
        try:
            return module(**given)
        finally:
            _current.sequences = None


def unpack(hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Hidden states of shape (1, T, D) as (B, longest, D); behind the end of a text stands anything."""
    return hidden[0][places]


class Trial(Protocol):
    """What a trial of packing runs: a model over the same texts, packed in some way, or padded."""

    def __call__(self, packing: Packing | None, /) -> Activations:
        """Hidden states of every layer; what the model pools by itself as well."""


def find_packing(module: Any, attend: Attend, firsts: Collection[int], trial: Trial) -> Packing | None:
    """How a model can be run over packed texts; None: it cannot, and is left as it was.

    ``module``: a model of transformers; ``firsts``: what the number of a first position could be.
    """
    import torch

    before = module.config._attn_implementation
    with quietly(), contextlib.suppress(Exception), torch.inference_mode():
        expected = trial(None)
        _register()
        module.set_attn_implementation(NAME)
        for first in firsts:
            packing = Packing(attend, first)
            with contextlib.suppress(Exception):  # it cannot be packed: any error says so
                if _agree(trial(packing), expected):
                    return packing
    with quietly(), contextlib.suppress(Exception):
        module.set_attn_implementation(before)
    return None


def trial_texts() -> list[str]:
    """Texts of different lengths, two of them long."""
    words = ["money", "transfer", "declined", "card", "exchange", "rate", "why"]
    return [
        " ".join((words * LONG)[start : start + n]) for start, n in ((0, LONG), (1, 3), (2, 40), (4, LONG))
    ]


def _agree(found: Activations, expected: Activations) -> bool:
    return (
        found.layers.keys() == expected.layers.keys()
        and all(_close(found.whole[name], vectors, None) for name, vectors in expected.whole.items())
        and all(_close(found.layers[n].hidden, e.hidden, e.mask) for n, e in expected.layers.items())
    )


def _close(found: torch.Tensor, expected: torch.Tensor, mask: torch.Tensor | None) -> bool:
    import torch

    if mask is not None:
        found, expected = found[:, : mask.shape[1]][mask], expected[:, : mask.shape[1]][mask]
    bound = TOLERANCE if expected.dtype == torch.float32 else LOW_TOLERANCE
    error = (found.float() - expected.float()).abs().amax(dim=-1)
    return bool((error <= bound * expected.float().abs().amax(dim=-1)).all())


def _register() -> None:
    """Tell transformers of the attention; a model uses it only where it is set to."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def attention(module: Any, query: Any, key: Any, value: Any, mask: Any, **asked: Any) -> tuple[Any, None]:
        if _current.sequences is None or _current.attend is None:
            read, _ = sdpa_attention_forward(module, query, key, value, mask, **asked)
            return read, None
        causal = asked.get("is_causal")
        causal = getattr(module, "is_causal", False) if causal is None else causal
        foreign = any(asked.get(name) is not None for name in FOREIGN)
        if mask is not None or causal or foreign or query.shape[1] != key.shape[1]:
            raise CannotPackError
        window = asked.get("sliding_window")
        sees = None if window is None else window - 1  # as flash attention counts it in transformers
        q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
        return _current.attend(q, k, v, _current.sequences, asked.get("scaling"), sees)[None], None

    def mask(*given: Any, **named: Any) -> Any:
        return sdpa_mask(*given, **named) if _current.sequences is None else None

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)
