"""Taps and poolings: where a feature is read, and how many positions become one vector.

A tap is written ``<layer>.<pooling>``, or names what the model itself pools: ``pooler``, ``joint``,
``sentence``. A layer is ``last`` (after the closing norm), or a number: from the input (0 is what enters
the first block), or below 0 from the end (-1 is the last block). Poolings joined by ``+`` are
concatenated. The pooling ``tokens`` keeps every position: as many vectors a sample as it has. Of a sample that is
words, ``words`` keeps one vector a word, that of its first token, ``words-last`` of its last, and ``words-mean`` their
mean; a word without tokens has a vector of zeros. ``.l2`` at the end scales each vector to length 1.

In a recipe a tap has one name: ``last`` is ``final``, a layer is counted from the input, and the last
block of a model without a closing norm is ``final``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.errors import ConfigError
from headstart.types import Tokens

if TYPE_CHECKING:
    import torch

    from headstart.types import Activations, BackboneInfo, Positions, StoredDtype

JOINT = "joint"
"""Where a dual encoder has images and texts in one space."""
WHOLE = ("pooler", JOINT, "sentence")
POOLINGS = ("cls", "mean", "max", "eos", "gem", "sqrt", "weighted")
TOKENS = "tokens"
WORDS = ("words", "words-mean", "words-last")
FINAL = "final"
UNIT = ".l2"
PLACES = "places.tokens"
"""The tap that says where in the second text of a pair each of its tokens stands; it is read of no layer."""
OVER_TOKENS = ("mean", "max", "gem", "sqrt", "weighted")
"""Poolings that say something of a part of a text, too."""
_TAP = re.compile(r"(?P<layer>last|final|-?\d+)\.(?P<poolings>[a-z-]+(\+[a-z]+)*)")


def canonical_tap(tap: str, n_layers: int = 0, first_layer: int = 0, closing_norm: bool = True) -> str:
    """The one name that a tap has in recipes.

    Raises `ConfigError` if there is no such tap.

    Examples
    --------
    >>> canonical_tap("last.mean"), canonical_tap("-4.cls", n_layers=12)
    ('final.mean', '9.cls')
    """
    tap = tap.strip()
    whole, unit = tap.removesuffix(UNIT), UNIT if tap.endswith(UNIT) else ""
    if whole in WHOLE:
        return whole + unit
    if tap == PLACES:
        return tap
    match = _TAP.fullmatch(whole)
    names = match["poolings"].split("+") if match else []
    is_alone = len(names) == 1 and names[0] in (TOKENS, *WORDS)
    unknown = [] if is_alone else [name for name in names if name not in POOLINGS]
    if match is None or unknown:
        raise ConfigError(
            f"there is no tap {tap!r}; write {', '.join(WHOLE)}, or a layer and a pooling: last.mean, "
            f"-4.cls, 2.max; poolings: {', '.join(POOLINGS)}; "
            f"or {TOKENS} for all positions; of words: {', '.join(WORDS)}"
        )
    layer = _canonical_layer(match["layer"], tap, n_layers, first_layer, closing_norm)
    return f"{layer}.{match['poolings']}{unit}"


def _canonical_layer(layer: str, tap: str, n_layers: int, first: int, closing_norm: bool) -> str:
    if layer in ("last", FINAL):
        return FINAL
    number = int(layer) if int(layer) >= 0 and layer[0] != "-" else n_layers + 1 + int(layer)
    if not n_layers or not first <= number <= n_layers:
        there = (
            f"it has layers {first} to {n_layers} (-1 is {n_layers})"
            if n_layers
            else "its layers cannot be read by number"
        )
        raise ConfigError(f"there is no layer for the tap {tap!r}: {there}")
    return FINAL if number == n_layers and not closing_norm else str(number)


def display_tap(tap: str) -> str:
    """A canonical tap as users write it.

    Examples
    --------
    >>> display_tap("final.mean"), display_tap("9.cls")
    ('last.mean', '9.cls')
    """
    return "last" + tap.removeprefix(FINAL) if tap.startswith(f"{FINAL}.") else tap


def reads_of(taps: Sequence[str]) -> tuple[str, ...]:
    """What canonical taps read of a model: numbered layers, ``final``, or what it pools itself.

    Examples
    --------
    >>> reads_of(["final.mean", "9.cls", "9.mean.l2", "pooler.l2"])
    ('final', '9', 'pooler')
    """
    return tuple(dict.fromkeys(tap.partition(".")[0] for tap in taps))


def is_ragged(tap: str) -> bool:
    """Whether a canonical tap keeps all positions of a sample, rather than one vector.

    Examples
    --------
    >>> is_ragged("final.tokens.l2"), is_ragged("final.mean")
    (True, False)
    """
    return tap.removesuffix(UNIT).partition(".")[2] in (TOKENS, *WORDS)


def is_of_words(tap: str) -> bool:
    """Whether a canonical tap keeps a vector for each word of a sample.

    Examples
    --------
    >>> is_of_words("final.words-mean.l2"), is_of_words("final.tokens")
    (True, False)
    """
    return tap.removesuffix(UNIT).partition(".")[2] in WORDS


def tokens_tap(tap: str) -> str:
    """The tap that has all tokens where another keeps words, without their scaling.

    Examples
    --------
    >>> tokens_tap("9.words-mean.l2")
    '9.tokens'
    """
    return f"{tap.partition('.')[0]}.{TOKENS}"


def choose_taps(
    asked: Sequence[str] | None, info: BackboneInfo, normalize: bool | None = None
) -> tuple[str, ...]:
    """The canonical taps to read: those asked for, or the backbone's own.

    ``normalize``: True: scale every vector to length 1; False: none; None: as the taps say. Raises
    `ConfigError` if the backbone does not have one of them.
    """
    is_passage = bool(info.windows) and "tokens" in (info.windows or {})
    own = f"{FINAL}.{TOKENS}" if is_passage else info.default_tap
    asked = [tap for tap in asked or () if tap.strip() != PLACES]
    taps = [_offered(tap, info) for tap in asked] if asked else [own]
    if normalize is False and (scaled := [tap for tap in asked or () if tap.strip().endswith(UNIT)]):
        raise ConfigError(f"--no-normalize and the tap {scaled[0]!r} say different things; leave one out")
    if normalize is not None:
        taps = [tap.removesuffix(UNIT) + (UNIT if normalize else "") for tap in taps]
    if is_passage:
        _check_tokens(taps)
        taps.append(PLACES)
    elif info.windows and info.modality != "words":
        _check_windows(taps, info)
    return tuple(dict.fromkeys(taps))


def stored_as(tap: str, dtype: StoredDtype) -> StoredDtype:
    """The dtype that a tap is stored in where others are stored in ``dtype``: float16 knows no place behind 2048."""
    return "float32" if tap == PLACES else dtype


def _check_tokens(taps: Sequence[str]) -> None:
    """Refuse to make one vector of a pair that is read in windows."""
    for tap in taps:
        if not is_ragged(tap):
            raise ConfigError(
                f"--on-long windows keeps the tokens of a pair, one by one, and {display_tap(tap)} makes one vector of "
                "them, of which nobody knows what the windows count; choose --taps last.tokens, cut pairs (--on-long "
                "truncate), leave long ones out (skip), or put both texts into one column"
            )


def _check_windows(taps: Sequence[str], info: BackboneInfo) -> None:
    """Refuse to average over the windows of a text what is read at one place of it, or at all of them."""
    for tap in taps:
        plain = tap.removesuffix(UNIT)
        read = str(info.architecture["sentence"][0]) if plain == "sentence" else plain.partition(".")[2]
        if not set(read.split("+")) <= set(OVER_TOKENS):
            raise ConfigError(
                f"--on-long windows averages over the parts of a text, and {display_tap(tap)} reads "
                f"{'all of its tokens' if is_ragged(tap) else 'one token of it'}; choose a tap that pools over tokens, "
                "such as --taps last.mean, or --on-long truncate"
            )


def _offered(asked: str, info: BackboneInfo) -> str:
    tap = canonical_tap(asked, info.n_layers, info.first_layer, info.closing_norm)
    plain = tap.removesuffix(UNIT)
    offered = {name.removesuffix(UNIT) for name in info.taps}
    layer, _, poolings = plain.partition(".")
    # All positions can be had wherever their mean can.
    at_end = (
        [f"{FINAL}.{name}" for name in poolings.replace(TOKENS, "mean").split("+")] if poolings else [plain]
    )
    if (info.modality == "words") != is_of_words(tap):
        own = (
            "has a vector for each word, and these samples are no words"
            if is_of_words(tap)
            else "is of whole texts"
        )
        raise ConfigError(
            f"the tap {display_tap(tap)!r} {own}; "
            + (
                "choose one of "
                if info.modality == "words"
                else "give words (--words-column, a CoNLL file), or one of "
            )
            + ", ".join(display_tap(name) for name in info.taps)
        )
    # Every pooling of a numbered layer is one that the model has at its end.
    lacking = layer.isdigit() and set(poolings.split("+")) & set(info.layers_lack)
    if lacking or (plain not in offered and not all(name in offered for name in at_end)):
        names = ", ".join(display_tap(name) for name in info.taps)
        layers = f"; layers by number: {info.first_layer} to {info.n_layers}" if info.n_layers else ""
        raise ConfigError(
            f"{info.spec} has no tap {display_tap(tap)!r} (it is not part of the model, or the "
            f"checkpoint does not have its weights); it offers: {names}{layers}"
        )
    return tap


def read_tap(activations: Activations, tap: str) -> torch.Tensor | Tokens:
    """Read one canonical tap of a batch: a vector a sample as `pool` does, or all of its positions."""
    import torch

    if not is_ragged(tap):
        return pool(activations, tap)
    positions = _positions(activations, tap)
    n, length, _ = positions.hidden.shape
    if positions.mask is None:
        lengths = torch.full((n,), length, device=positions.hidden.device)
        values = positions.hidden.flatten(0, 1).float()
    else:
        lengths, values = positions.mask.sum(dim=1), positions.hidden[positions.mask].float()
    return Tokens(torch.nn.functional.normalize(values, dim=1) if tap.endswith(UNIT) else values, lengths)


def pool(activations: Activations, tap: str) -> torch.Tensor:
    """Read one canonical tap of a batch that is one vector a sample.

    ``tap``: canonical, one that the backbone offers. Pooled in fp32 whatever the
    compute dtype. Positions outside the mask do not take part.
    """
    from headstart.portable.poolings import pooled, unit

    plain = tap.removesuffix(UNIT)
    if plain in WHOLE:
        vectors = _present(activations.whole.get(plain), tap).float()
    else:
        positions = _positions(activations, tap)
        names = plain.partition(".")[2].split("+")
        if "cls" in names:
            _present(positions.cls, tap)
        vectors = pooled(positions, names)
    return unit(vectors) if tap.endswith(UNIT) else vectors


def _positions(activations: Activations, tap: str) -> Positions:
    positions = activations.layers.get(tap.partition(".")[0])
    if positions is None:
        raise ConfigError(f"the backbone gave nothing to read at {display_tap(tap)!r}")
    return positions


def _present(tensor: torch.Tensor | None, tap: str) -> torch.Tensor:
    if tensor is None:
        raise ConfigError(f"the backbone gave nothing to read at {display_tap(tap)!r}")
    return tensor
