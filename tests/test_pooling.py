"""Pooling sees the positions of the mask, and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import ConfigError
from headstart.pooling import canonical_tap, choose_taps, display_tap, pool
from headstart.types import Activations

PADDINGS = [0.0, 1.0, 1e30, float("nan"), float("inf"), float("-inf")]
TAPS = ["final.mean", "final.max", "final.cls"]


def activations(hidden: torch.Tensor, mask: torch.Tensor | None) -> Activations:
    return Activations(hidden=hidden, mask=mask, cls=hidden[:, 0])


@settings(deadline=None, max_examples=60)
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


def test_the_pooler_is_the_models_own() -> None:
    given_by_model = torch.randn(2, 3).to(torch.bfloat16)
    assert torch.equal(pool(Activations(pooled=given_by_model), "pooler"), given_by_model.float())
    with pytest.raises(ConfigError, match=r"'last\.cls'"):
        pool(Activations(pooled=given_by_model), "final.cls")


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_a_tap_has_one_canonical_name(pooling: str) -> None:
    assert canonical_tap(f"last.{pooling}") == canonical_tap(f" final.{pooling} ") == f"final.{pooling}"
    assert display_tap(f"final.{pooling}") == f"last.{pooling}"
    assert canonical_tap(display_tap(f"final.{pooling}")) == f"final.{pooling}"
    assert canonical_tap("pooler") == display_tap("pooler") == "pooler"


@pytest.mark.parametrize("tap", ["", "last", "last.", "last.median", "first.mean", "last.mean.max", "Pooler"])
def test_what_is_no_tap_is_refused_with_those_that_are(tap: str) -> None:
    with pytest.raises(ConfigError, match=r"choose from: pooler, last\.cls, last\.mean, last\.max"):
        canonical_tap(tap)


def test_a_backbone_is_read_where_its_authors_read_it_unless_asked() -> None:
    offered = ("pooler", "final.mean")
    assert choose_taps(None, offered, "timm:a") == choose_taps([], offered, "timm:a") == ("pooler",)
    assert choose_taps(["last.mean", "final.mean", "pooler"], offered, "timm:a") == ("final.mean", "pooler")
    with pytest.raises(ConfigError, match=r"timm:a has no tap 'last\.cls' .*; it offers: pooler, last\.mean"):
        choose_taps(["last.cls"], offered, "timm:a")
