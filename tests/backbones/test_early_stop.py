"""One forward pass gives every tap that is asked for, and runs no block that none of them needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from headstart.backbones.pooling import read_tap, reads_of
from headstart.types import Activations, Tokens

from ..extraction.models import Opened, open_named
from ..variants import variants

# By model: what its blocks are called, and which of them layer 1 is the outcome of.
BLOCKS = {
    "text:bert": ("encoder.layer.{}", 0),
    "text:t5": ("encoder.block.{}", 0),
    "text:gpt2": ("h.{}", 0),
    "image:vit": ("layers.{}", 0),
    "image:convnext": ("encoder.stages.{}", 0),
    "clip:text": ("text_model.encoder.layers.{}", 0),
    "clip:image": ("vision_model.encoder.layers.{}", 0),
    "siglip2:image": ("vision_model.encoder.layers.{}", 0),
    "timm:test_vit": ("blocks.{}", 0),
    "timm:test_convnext": ("stages.{}", 0),
    "timm:test_efficientnet": ("blocks.{}", 0),
    "timm:test_resnet": ("layer{}", 0),  # its layer 1 is the stem, and layer 2 what `layer1` gives
}
FEW = ("text:bert", "text:t5", "image:vit", "siglip2:image", "timm:test_convnext", "timm:test_resnet")


@pytest.fixture(scope="module", params=variants(BLOCKS, FEW))
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return open_named(request.param, tmp_path_factory.mktemp("models"))


@pytest.fixture
def blocks(request: pytest.FixtureRequest) -> tuple[str, int]:
    return BLOCKS[request.node.callspec.params["opened"]]


@contextmanager
def counted(module: torch.nn.Module) -> Iterator[list[str]]:
    """The names of the submodules that run inside, in order; a list of modules does nothing of its own."""
    seen: list[str] = []

    def backbone_saver(name: str) -> Any:
        return lambda *_: seen.append(name)

    hooks = [
        part.register_forward_pre_hook(backbone_saver(name))
        for name, part in module.named_modules()
        if name and not isinstance(part, torch.nn.Sequential)
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def run(opened: Opened, reads: Sequence[str]) -> Activations:
    return opened.model.forward(opened.model.collate(opened.model.prepare(opened.samples[:3])), reads)


def values(activations: Activations, tap: str) -> torch.Tensor:
    read = read_tap(activations, tap)
    return read.values if isinstance(read, Tokens) else read


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    error = (found - expected).abs().amax(dim=1)
    assert (error <= 1e-5 * expected.abs().amax(dim=1)).all()


def _is_of(name: str, blocks: Sequence[str]) -> bool:
    return any(name == block or name.startswith(f"{block}.") for block in blocks)


def all_taps(opened: Opened) -> list[str]:
    tokens = [f"{layer}.tokens" for layer in opened.layers]
    return [*opened.taps, *tokens, "final.tokens", "final.mean+max.l2"]


def test_all_taps_of_one_pass_are_what_each_gives_alone(opened: Opened) -> None:
    taps = all_taps(opened)
    together = run(opened, reads_of(taps))
    for tap in taps:
        assert_same(values(together, tap), values(run(opened, reads_of([tap])), tap))


def test_a_pass_for_a_numbered_layer_ends_with_it(opened: Opened, blocks: tuple[str, int]) -> None:
    pattern, first = blocks
    names = [pattern.format(number + first) for number in range(opened.info.n_layers)]
    with counted(opened.model.module) as whole:
        run(opened, ["final"])
    assert pattern == "layer{}" or any(_is_of(name, names[-1:]) for name in whole)
    for layer in opened.layers:
        with counted(opened.model.module) as part:
            run(opened, [layer])
        deeper = names[int(layer) :]
        assert not [name for name in part if _is_of(name, deeper)], layer
        assert part == whole[: len(part)], layer


def test_each_layer_more_runs_more_of_the_model(opened: Opened) -> None:
    n_run = []
    for layer in [*opened.layers, "final"]:
        with counted(opened.model.module) as part:
            run(opened, [layer])
        n_run.append(len(part))
    assert n_run == sorted(n_run)
    assert len(set(n_run[:-1])) == len(n_run[:-1])
    assert n_run[0] <= 0.5 * n_run[-1]


def test_several_layers_end_with_the_deepest(opened: Opened) -> None:
    first, *_, last = opened.layers
    with counted(opened.model.module) as deepest:
        run(opened, [last])
    with counted(opened.model.module) as both:
        found = run(opened, [last, first])
    assert both == deepest
    assert set(found.layers) == {first, last}
    assert not found.whole


def test_what_follows_a_short_pass_is_a_whole_one_again(opened: Opened) -> None:
    """Nothing of a pass that was left half-way stays behind."""
    tap = opened.info.default_tap
    before = values(run(opened, reads_of([tap])), tap)
    for layer in opened.layers:
        run(opened, [layer])
    assert_same(values(run(opened, reads_of([tap])), tap), before)
