"""What is read of a converted model's outputs is what is read of a model's activations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.backbones.pooling import is_ragged, read_tap
from headstart.portable.poolings import BY_NAME
from headstart.runtimes.outputs import largest_error, mask_of, needed, offered, read
from headstart.types import Activations, BackboneInfo, Positions, Tokens

INFO = BackboneInfo(
    "x", "text", "0" * 32, {}, {}, ("final.mean.l2", "final.cls", "pooler"), n_layers=3, first_layer=1
)
TAPS = ["final.mean", "final.cls+mean.l2", "2.mean", "pooler.l2", "1.tokens", "final.tokens.l2"]


@pytest.fixture(scope="module")
def activations() -> Activations:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(5) < torch.tensor([2, 5, 1])[:, None]

    def positions() -> Positions:
        hidden = torch.randn(3, 5, 4, generator=generator)
        return Positions(hidden, mask, hidden[:, 0])

    layers = {name: positions() for name in ("1", "2", "3", "final")}
    return Activations(layers, {"pooler": torch.randn(3, 4, generator=generator)})


def outputs(activations: Activations) -> dict[str, np.ndarray]:
    """As a converted model gives them."""
    found = {name: vectors.numpy() for name, vectors in activations.whole.items()}
    for layer, positions in activations.layers.items():
        assert positions.mask is not None
        found |= {f"{layer}.{name}": pooled(positions).numpy() for name, pooled in BY_NAME.items()}
        found |= {
            f"{layer}.tokens": positions.hidden.numpy(),
            f"{layer}.mask": positions.mask.float().numpy(),
        }
    return found


@pytest.mark.parametrize("tap", TAPS)
def test_a_tap_reads_the_same_of_outputs_and_of_activations(activations: Activations, tap: str) -> None:
    expected = read_tap(activations, tap)
    values, lengths = read(tap, outputs(activations))
    if isinstance(expected, Tokens):
        assert lengths is not None
        assert lengths.tolist() == expected.lengths.tolist() == [2, 5, 1]
        expected = expected.values
    assert is_ragged(tap) == (lengths is not None)
    assert values.dtype == np.float32
    assert largest_error(values, expected.numpy()) < 1e-6


def test_what_is_read_does_not_change_with_the_next_batch(activations: Activations) -> None:
    """The runtime computes into the same memory again."""
    found = outputs(activations)
    kept = {tap: read(tap, found)[0] for tap in TAPS}
    before = {tap: values.copy() for tap, values in kept.items()}
    for part in found.values():
        part[...] = np.nan
    assert all(np.array_equal(kept[tap], before[tap]) for tap in TAPS)


def test_every_layer_and_pooling_is_offered_and_the_last_layer_once() -> None:
    names = offered(INFO)
    assert {"pooler", "final.mean", "final.tokens", "final.mask", "1.cls", "3.mean"} <= set(names)
    assert "3.mean" not in offered(replace(INFO, closing_norm=False))
    assert "2.cls" not in offered(replace(INFO, layers_lack=("cls",)))
    assert offered(replace(INFO, taps=("joint",), n_layers=0)) == ["joint"]
    assert all(name in names for tap in TAPS for name in [*needed(tap), *filter(None, [mask_of(tap)])])


def test_an_error_is_a_share_of_each_vectors_largest_value() -> None:
    expected = np.array([[1.0, 100.0], [0.01, 0.0]], dtype=np.float32)
    found = expected + np.array([[0.001, 0.0], [0.0, 0.001]], dtype=np.float32)
    assert largest_error(found, expected) == pytest.approx(0.1, rel=1e-3)
    assert largest_error(found, expected, np.array([1, 0])) == pytest.approx(1e-5, rel=1e-2)
    assert largest_error(found[:, :1], expected) == largest_error(expected * np.nan, expected) == np.inf
