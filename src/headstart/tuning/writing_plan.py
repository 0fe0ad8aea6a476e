"""What of a model that writes is trained when: from a strategy to phases, and their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.errors import ConfigError
from headstart.options import did_you_mean
from headstart.tuning.strategies import LORA, OF_WRITING, STRATEGIES, Defaults, Phase, each_of, unfrozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.config import TuneConfig

CROSS_ATTENTION, DECODER, OWN, LAST, ALL, ADAPTERS = (
    "cross-attention", "decoder", "own", "last", "all", "adapters",
)  # fmt: skip
"""What trains: the attention to the encoder; the decoder; all that the encoder has not; the last blocks, counted over
encoder and decoder; everything; adapters beside it."""
WHOLE = Defaults(lr=3e-4, kept_by="loss")
PART = Defaults(lr=1e-3, kept_by="loss")
SCRATCH = Defaults(epochs=30, lr=1e-3, kept_by="loss")


@dataclass(frozen=True, slots=True)
class WritingPhase(Phase):
    """One stretch of training of the same ``part``; of the last blocks ``n_blocks`` train."""

    part: str = ALL
    encoder_is_frozen: bool = False


def defaults_of_writing(strategy: str) -> Defaults:
    """The defaults of a strategy; a decoder beside a frozen encoder takes larger steps than a whole network."""
    if encoder_stays(strategy):
        return PART
    return {"lora": LORA, "scratch": SCRATCH}.get(strategy, WHOLE)


def encoder_stays(strategy: str) -> bool:
    """Whether the encoder is frozen from the first epoch to the last."""
    return strategy in (*OF_WRITING, "frozen") or strategy.startswith("last:")


def plan_writing(config: TuneConfig, n_encoder: int, n_decoder: int) -> list[WritingPhase]:
    """The phases that a configuration asks for, of a model with so many blocks on either side.

    Raises
    ------
    ConfigError
        There is no such strategy, the model cannot follow it, or numbers do not fit the phases.
    """
    known, spec = defaults_of_writing(config.strategy), str(config.backbone or config.data)
    parts = _parts(config.strategy, config.unfreeze, n_encoder, n_decoder, spec)
    each = zip(
        parts, each_of("epochs", config.epochs or [known.epochs], parts),
        each_of("lr", config.lr or [known.lr], parts), strict=True,
    )  # fmt: skip
    return [
        WritingPhase(n, int(epochs), float(lr), float(lr), part, is_frozen)
        for (part, n, is_frozen), epochs, lr in each
    ]


def _parts(
    strategy: str, unfreeze: Sequence[str], n_encoder: int, n_decoder: int, spec: str
) -> list[tuple[str, int | None, bool]]:
    """Of each phase what trains, how many of the last blocks, and whether the encoder is frozen."""
    if unfreeze and strategy != "gradual":
        raise ConfigError(
            f"--unfreeze says what gradual trains in each phase, and means nothing to {strategy}"
        )
    alone: dict[str, tuple[str, int | None, bool]] = {
        "full": (ALL, None, False), "scratch": (ALL, None, False), "lora": (ADAPTERS, None, False),
        "frozen": (OWN, None, True), "decoder": (DECODER, None, True),
        "cross-attention": (CROSS_ATTENTION, None, True),
    }  # fmt: skip
    if strategy in alone:
        return [alone[strategy]]
    last = strategy.removeprefix("last:")
    if strategy != "gradual" and not (last != strategy and last.isdigit() and int(last)):
        known = [*STRATEGIES, *OF_WRITING]
        raise ConfigError(
            f"there is no strategy {strategy!r}{did_you_mean(strategy, known, 'write one of', len(known))}"
        )
    if not n_decoder:
        raise ConfigError(
            f"the decoder of {spec} cannot be divided into blocks, which {strategy} needs; take decoder, frozen, full "
            "or lora"
        )
    if strategy == "gradual":
        return [_unfrozen(n, n_encoder, n_decoder, spec) for n in _steps(unfreeze, n_decoder)]
    if int(last) > n_decoder:
        raise ConfigError(
            f"the decoder of {spec} has {n_decoder} blocks, fewer than the {last} that {strategy} would train; take "
            "decoder, or gradual, which goes on into the encoder"
        )
    return [(LAST, int(last), True)]


def _steps(unfreeze: Sequence[str], n_decoder: int) -> list[int | None]:
    """How many of the last blocks each phase trains: by default half of the decoder, the decoder, everything."""
    if unfreeze:
        return unfrozen(unfreeze)
    half = n_decoder // 2
    return [*([half] if half else []), n_decoder, None]


def _unfrozen(n: int | None, n_encoder: int, n_decoder: int, spec: str) -> tuple[str, int | None, bool]:
    if n == 0:
        raise ConfigError(
            "--unfreeze 0 is for a head on a backbone, and a model that writes has none; begin with the last block of "
            "the decoder, such as 1,2,all"
        )
    if n is not None and n > n_encoder + n_decoder:
        raise ConfigError(
            f"{spec} has {n_encoder} blocks in its encoder and {n_decoder} in its decoder, fewer than the {n} that "
            "gradual would train"
        )
    return (ALL, None, False) if n is None else (LAST, n, n <= n_decoder)
