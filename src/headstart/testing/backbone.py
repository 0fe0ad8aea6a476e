"""What every backbone must do: inherit from `BackboneContract`, open one, and give it some samples.

::

    class TestMyBackbone(BackboneContract):
        @pytest.fixture
        def backbone(self) -> Backbone:
            return open_backbone("mine:tiny", BackboneOptions())

        @pytest.fixture
        def payloads(self) -> list[Payload]:
            return ["a text", "another, longer text", "a third"]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from headstart.backbones.pooling import pool
from headstart.cache.recipe import make_recipe
from headstart.errors import SampleError
from headstart.types import AT_END, Activations, Payload

if TYPE_CHECKING:
    from typing import Any

    from headstart.contracts import Backbone, FrozenModel

BOUND = 1e-5
"""Of the largest value of a vector: how far a sample's neighbours may move it in fp32."""


def run_once(model: FrozenModel, prepared: Sequence[Any]) -> Activations:
    """One pass over prepared samples: all that can be read at its end."""
    batch = {name: part.to(model.device) for name, part in model.collate(prepared).items()}
    return model.forward(batch, AT_END)


def vectors(model: FrozenModel, prepared: Sequence[Any], tap: str) -> torch.Tensor:
    """The features of a tap, shape (N, D)."""
    return pool(run_once(model, prepared), tap).float().cpu()


class BackboneContract:
    """Tests that every backbone passes, with at least three different samples."""

    def test_it_is_the_same_whenever_it_is_resolved(self, backbone: Backbone) -> None:
        """Its recipe names a space: it may not change from one command to the next."""
        first, again = backbone.resolve(), backbone.resolve()
        assert first.spec == backbone.spec
        assert first.default_tap in first.taps
        ids = [make_recipe(info, info.default_tap, "fp32", "float32").id for info in (first, again)]
        assert ids[0] == ids[1]

    def test_frozen_means_frozen(self, backbone: Backbone, payloads: list[Payload]) -> None:
        """Every weight and every buffer is what it was, nothing trains, and nothing has a gradient."""
        model = backbone.load("cpu", "fp32")
        kept = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
        run_once(model, model.prepare(payloads))
        assert not any(module.training for module in model.module.modules())
        assert not any(parameter.requires_grad for parameter in model.module.parameters())
        after = model.module.state_dict()
        assert kept.keys() == after.keys()
        assert all(torch.equal(kept[name], after[name]) for name in kept)

    def test_a_vector_does_not_depend_on_its_neighbours(
        self, backbone: Backbone, payloads: list[Payload]
    ) -> None:
        """Alone, in a batch, and in a batch of another order: the same features."""
        model, tap = backbone.load("cpu", "fp32"), backbone.resolve().default_tap
        prepared = model.prepare(payloads)
        together = vectors(model, prepared, tap)
        alone = torch.cat([vectors(model, [one], tap) for one in prepared])
        turned = vectors(model, prepared[::-1], tap).flip(0)
        for other in (alone, turned):
            scale = together.abs().amax(dim=1, keepdim=True)
            assert bool(((together - other).abs() <= BOUND * scale).all())

    def test_every_tap_that_it_offers_can_be_read(self, backbone: Backbone, payloads: list[Payload]) -> None:
        """One finite vector a sample, of one width."""
        model = backbone.load("cpu", "fp32")
        activations = run_once(model, model.prepare(payloads))
        for tap in backbone.resolve().taps:
            if not tap.endswith(".tokens"):
                found = pool(activations, tap)
                assert found.shape[0] == len(payloads)
                assert bool(torch.isfinite(found).all())

    def test_what_differs_in_the_sample_differs_in_the_feature(
        self, backbone: Backbone, payloads: list[Payload]
    ) -> None:
        """Rows do not shift, and none is computed from another's content."""
        model, tap = backbone.load("cpu", "fp32"), backbone.resolve().default_tap
        found = vectors(model, model.prepare(payloads), tap).numpy()
        assert len(np.unique(found, axis=0)) == len(payloads)

    def test_a_bad_sample_is_an_error_in_its_own_place(
        self, backbone: Backbone, payloads: list[Payload]
    ) -> None:
        """The others are prepared all the same; a text is never bad."""
        model = backbone.load("cpu", "fp32")
        if backbone.resolve().modality != "image":
            return
        good, bad, last = model.prepare([payloads[0], b"no picture", payloads[1]])
        assert isinstance(bad, SampleError)
        assert not isinstance(good, SampleError)
        assert not isinstance(last, SampleError)
