"""What leaves the blocks of timm models, and passes that end there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import timm
import torch

from headstart.backbones.blocks import positions_of
from headstart.backbones.timm_models import block_names, block_reader, has_channels_last
from headstart.errors import BackboneError

from ..variants import variants

NETWORKS = {
    "test_vit": 5,  # the closing norm counts to the sixth
    "test_efficientnet": 4,
    "test_resnet": 4,
    "test_convnext": 4,
    "swin_tiny_patch4_window7_224": 4,
}


@pytest.mark.parametrize("name", variants(NETWORKS, {"test_vit", "test_efficientnet", "test_convnext"}))
def test_a_pass_ends_behind_the_deepest_block_with_what_leaves_each(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    names = block_names(model)
    assert len(names) == NETWORKS[name]
    batch = torch.randn(2, *timm.data.resolve_model_data_config(model)["input_size"])
    seen: dict[str, torch.Tensor] = {}
    for at in names:
        model.get_submodule(at).register_forward_hook(lambda _, __, out, at=at: seen.update({at: out}))
    with torch.inference_mode():
        model.forward_features(batch)
        wanted = dict(seen)
        seen.clear()
        found = block_reader(model)(batch, ["block1", "block3"])
    assert list(seen) == names[:3]
    for number in (1, 3):
        states = positions_of(wanted[names[number - 1]], has_channels_last(model))
        assert torch.equal(found.layers[f"block{number}"].hidden, states)
    assert found.layers["block3"].hidden.ndim == 3


def test_tokens_before_the_patches_are_among_them() -> None:
    model = timm.create_model("test_vit").eval()
    with torch.inference_mode():
        found = block_reader(model)(torch.zeros(1, 3, 160, 160), ["block2"])
    assert found.layers["block2"].hidden.shape[1] == (160 // 16) ** 2 + 1


def test_the_model_itself_goes_to_its_end() -> None:
    model = timm.create_model("test_resnet").eval()
    batch = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = model(batch)
        block_reader(model)(batch, ["block1"])
        assert torch.equal(model(batch), before)


def test_threads_do_not_read_each_others_images() -> None:
    model = timm.create_model("test_efficientnet").eval()
    reader = block_reader(model)
    batches = [torch.randn(1, 3, 64, 64) for _ in range(16)]

    def read(batch: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return reader(batch, ["block2"]).layers["block2"].hidden

    alone = [read(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        assert all(map(torch.equal, threads.map(read, batches), alone))


def test_a_block_that_is_not_there() -> None:
    with pytest.raises(BackboneError, match="no number 9"):
        block_reader(timm.create_model("test_resnet"))(torch.zeros(1, 3, 64, 64), ["block9"])
    with pytest.raises(BackboneError, match="neither tokens nor a map"):
        positions_of(torch.zeros(3, 3), False)
