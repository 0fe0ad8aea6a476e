"""Pooling sees the positions of the mask, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.backbones.pooling import POOLINGS, canonical_tap, choose_taps, display_tap, pool, reads_of
from headstart.errors import ConfigError
from headstart.types import Activations, BackboneInfo, Positions

from ..variants import examples

PADDINGS = [0.0, 1.0, 1e30, float("nan"), float("inf"), float("-inf")]
TAPS = [*(f"final.{name}" for name in POOLINGS), "final.cls+mean", "final.mean.l2", "final.max+gem+eos.l2"]


def activations(hidden: torch.Tensor, mask: torch.Tensor | None) -> Activations:
    return Activations({"final": Positions(hidden, mask, hidden[:, 0])})


def info(**changes: Any) -> BackboneInfo:
    given = {"taps": ("pooler", "final.mean"), **changes}
    return BackboneInfo("timm:a", "image", "00", {}, {}, **given)


@settings(deadline=None, max_examples=examples(60))
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    extra=st.integers(0, 5),
    padding=st.sampled_from(PADDINGS),
    tap=st.sampled_from(TAPS),
    seed=st.integers(0, 999),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_padding_never_changes_a_vector(
    lengths: list[int], extra: int, padding: float, tap: str, seed: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    samples = [torch.randn(length, 3, generator=generator).to(dtype) for length in lengths]
    width = max(lengths) + extra
    hidden = torch.full((len(samples), width, 3), padding, dtype=dtype)
    mask = torch.zeros(len(samples), width, dtype=torch.bool)
    for row, sample in enumerate(samples):
        hidden[row, : len(sample)] = sample
        mask[row, : len(sample)] = True
    pooled = pool(activations(hidden, mask), tap)
    assert pooled.dtype == torch.float32
    assert pooled.isfinite().all()
    for row, sample in enumerate(samples):
        alone = pool(activations(sample[None], None), tap)[0]
        torch.testing.assert_close(pooled[row], alone, rtol=1e-6, atol=1e-6)


def test_the_mask_may_have_holes() -> None:
    hidden = torch.tensor([[[1.0], [float("nan")], [3.0]]])
    mask = torch.tensor([[True, False, True]])
    assert pool(activations(hidden, mask), "final.mean").item() == 2
    assert pool(activations(hidden, mask), "final.max").item() == 3


def test_low_precision_is_pooled_in_fp32() -> None:
    hidden = torch.full((1, 4096, 1), 1.0, dtype=torch.float16)
    hidden[0, ::2] = 60_000.0  # in float16 their sum would be infinite
    assert pool(activations(hidden, None), "final.mean").item() == pytest.approx(30_000.5)


def test_the_last_token_is_found_whichever_side_is_padded() -> None:
    hidden = torch.arange(8.0).reshape(2, 4, 1)
    mask = torch.tensor([[True, True, False, False], [False, True, True, True]])
    assert pool(activations(hidden, mask), "final.eos").flatten().tolist() == [1, 7]


def test_poolings_by_hand() -> None:
    hidden = torch.tensor([[[1.0], [2.0], [4.0], [99.0]]])
    mask = torch.tensor([[True, True, True, False]])
    found = {name: pool(activations(hidden, mask), f"final.{name}").item() for name in POOLINGS}
    assert found == pytest.approx(
        {"cls": 1, "mean": 7 / 3, "max": 4, "eos": 4, "gem": (73 / 3) ** (1 / 3), "sqrt": 7 / 3**0.5,
         "weighted": (1 + 4 + 12) / 6}
    )  # fmt: skip


@pytest.mark.parametrize("n", [1, 255, 256, 257, 1025, 3136, 5003])
@pytest.mark.parametrize("is_map", [False, True], ids=["positions", "a map, channels first"])
def test_large_maps_are_pooled_as_small_ones_are(n: int, is_map: bool) -> None:
    """Nothing is lost on the way, at whatever place the largest value stands; NaN still shows."""
    hidden = torch.randn(2, 5, n).transpose(1, 2) if is_map else torch.randn(2, n, 5)
    for place in {0, n // 2, n - 1}:
        hidden[:, place] += 100
        given = activations(hidden, None)
        assert torch.equal(pool(given, "final.max"), hidden.amax(dim=1))
        gem = hidden.double().clamp(min=1e-6).pow(3).mean(dim=1).pow(1 / 3)
        torch.testing.assert_close(pool(given, "final.gem").double(), gem, rtol=1e-6, atol=0)
        hidden[:, place] -= 100
    hidden[0, n - 1] = float("nan")
    assert pool(activations(hidden, None), "final.max").isnan().all(dim=1).tolist() == [True, False]


def test_poolings_are_joined_and_scaled_to_length_one() -> None:
    hidden = torch.tensor([[[3.0, 0.0], [3.0, 8.0]]])
    assert pool(activations(hidden, None), "final.cls+mean").tolist() == [[3, 0, 3, 4]]
    assert pool(activations(hidden, None), "final.mean.l2").tolist() == [
        [pytest.approx(0.6), pytest.approx(0.8)]
    ]
    assert pool(Activations(whole={"joint": torch.zeros(1, 2)}), "joint.l2").tolist() == [[0, 0]]


def test_the_pooler_is_the_models_own() -> None:
    given_by_model = torch.randn(2, 3).to(torch.bfloat16)
    assert torch.equal(pool(Activations(whole={"pooler": given_by_model}), "pooler"), given_by_model.float())
    with pytest.raises(ConfigError, match=r"'last\.cls'"):
        pool(Activations(whole={"pooler": given_by_model}), "final.cls")


@pytest.mark.parametrize("pooling", [*POOLINGS, "cls+mean", "mean.l2"])
def test_a_tap_has_one_canonical_name(pooling: str) -> None:
    assert canonical_tap(f"last.{pooling}") == canonical_tap(f" final.{pooling} ") == f"final.{pooling}"
    assert display_tap(f"final.{pooling}") == f"last.{pooling}"
    assert canonical_tap(display_tap(f"final.{pooling}")) == f"final.{pooling}"
    assert canonical_tap("pooler") == display_tap("pooler") == "pooler"


def test_a_layer_has_one_number() -> None:
    """Counted from the input; the last one is `final` where no norm comes after it."""
    assert canonical_tap("-1.mean", 12) == canonical_tap("12.mean", 12) == "12.mean"
    assert canonical_tap("-13.mean", 12) == canonical_tap("0.mean", 12) == "0.mean"
    assert canonical_tap("-1.cls", 12, closing_norm=False) == canonical_tap("last.cls") == "final.cls"
    assert display_tap("9.cls") == "9.cls"
    assert reads_of(["final.mean", "9.cls", "9.mean.l2", "pooler", "0.max"]) == ("final", "9", "pooler", "0")
    for tap in ("13.mean", "-14.mean"):
        with pytest.raises(ConfigError, match=r"layers 0 to 12 \(-1 is 12\)"):
            canonical_tap(tap, 12)
    with pytest.raises(ConfigError, match="layers 1 to 4"):
        canonical_tap("0.mean", 4, first_layer=1)
    with pytest.raises(ConfigError, match="cannot be read by number"):
        canonical_tap("-1.mean")


@pytest.mark.parametrize(
    "tap", ["", "last", "last.", "last.median", "first.mean", "last.mean.max", "Pooler", "1.5.mean"]
)
def test_what_is_no_tap_is_refused_with_those_that_are(tap: str) -> None:
    with pytest.raises(ConfigError, match=r"no tap .* pooler, joint, sentence, .*poolings: cls, mean, max"):
        canonical_tap(tap)


def test_a_backbone_is_read_where_its_authors_read_it_unless_asked() -> None:
    assert choose_taps(None, info()) == choose_taps([], info()) == ("pooler",)
    assert choose_taps(["last.mean", "final.mean", "pooler"], info()) == ("final.mean", "pooler")
    with pytest.raises(ConfigError, match=r"timm:a has no tap 'last\.cls' .*; it offers: pooler, last\.mean"):
        choose_taps(["last.cls"], info())


def test_numbered_layers_have_the_poolings_of_the_last() -> None:
    deep = info(n_layers=4, closing_norm=False)
    assert choose_taps(["-1.mean", "-2.mean", "4.mean"], deep) == ("final.mean", "3.mean")
    with pytest.raises(ConfigError, match=r"no tap '3\.cls' .* layers by number: 0 to 4"):
        choose_taps(["3.cls"], deep)


def test_a_pooling_that_only_the_last_layer_has() -> None:
    late = info(taps=("final.cls", "final.mean"), n_layers=4, layers_lack=("cls",))
    assert choose_taps(["last.cls", "3.mean"], late) == ("final.cls", "3.mean")
    with pytest.raises(ConfigError, match=r"no tap '3\.cls\+mean'"):
        choose_taps(["3.cls+mean"], late)


def test_normalize_says_it_for_every_tap() -> None:
    own = info(taps=("final.mean.l2", "final.mean"))
    assert choose_taps(None, own) == ("final.mean.l2",)
    assert choose_taps(None, own, normalize=False) == ("final.mean",)
    assert choose_taps(["last.mean", "last.mean.l2"], own, normalize=True) == ("final.mean.l2",)
    assert choose_taps(["last.mean"], info(), normalize=True) == ("final.mean.l2",)
