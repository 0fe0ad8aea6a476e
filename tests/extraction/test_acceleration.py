"""A faster way to run a model is kept only where it gives the same features, and pays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.contracts import Batch, FrozenModel
from headstart.extraction import extractor, runtime
from headstart.extraction.inference import Layout, lay_out
from headstart.extraction.runtime import (
    TOLERANCE,
    Accelerator,
    Trial,
    accelerators,
    eager_forward,
    round_up,
    try_accelerator,
)

from ..variants import cases
from .computing import alone, assert_close, one_thread, open_model, pictures, plan

ONE_CORE = lay_out(torch.device("cpu"), cores=1)
IMAGES = "py:tiny_backbones:images"
Make = Callable[..., Any]


def attempt(
    make: Make, model: FrozenModel, batch: Batch, taps: Sequence[str] = ("pooler",), name: str = "mine"
) -> Trial:
    eager = eager_forward(model, taps)
    return try_accelerator(Accelerator(name, 0, make), eager, eager, batch, ONE_CORE, TOLERANCE)


ON_GPU = Layout("cuda", 2, 1, 2)


@pytest.fixture(scope="module")
def small() -> tuple[FrozenModel, Batch]:
    model = open_model(IMAGES)
    return model, model.collate(model.prepare(pictures(4)))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def always_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials begin at once, and what is right is kept however slow it is."""
    monkeypatch.setattr(extractor, "MEASURE_AFTER", 1e-9)
    monkeypatch.setattr(runtime, "ASSUMED_GAIN", 1e9)
    monkeypatch.setattr(runtime, "GAIN", 0.0)


@pytest.mark.slow
@pytest.mark.usefixtures("always_pays")
def test_inductor_gives_the_features_of_the_eager_pass(small: tuple[FrozenModel, Batch]) -> None:
    model, batch = small
    [inductor] = accelerators(ON_GPU, batch)
    trial = attempt(inductor.make, model, batch)
    assert trial.forward is not None, trial.says
    [found], [expected] = trial.forward(batch), eager_forward(model, ["pooler"])(batch)
    assert_close(found.numpy(), expected.numpy(), TOLERANCE)  # type: ignore[union-attr]


def wrong(function: Any, example: torch.Tensor) -> Any:
    return lambda tensor: [output * (1 + 2e-4) for output in function(tensor)]


def frozen_to_its_example(function: Any, example: torch.Tensor) -> Any:
    """As a trace that has taken something of the example for a constant."""
    always = function(example)
    return lambda tensor: always


def without_a_tap(function: Any, example: torch.Tensor) -> Any:
    return lambda tensor: function(tensor)[:-1]


def giving_nan(function: Any, example: torch.Tensor) -> Any:
    return lambda tensor: [output * float("nan") for output in function(tensor)]


@pytest.mark.usefixtures("always_pays")
@pytest.mark.parametrize("make", [wrong, frozen_to_its_example, without_a_tap, giving_nan])
def test_what_gives_other_features_is_never_used(small: tuple[FrozenModel, Batch], make: Make) -> None:
    assert attempt(make, *small).forward is None


def slow(function: Any, example: torch.Tensor) -> Any:
    def run(tensor: torch.Tensor) -> Any:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return function(tensor)

    return run


def test_what_is_right_but_slower_is_not_used_and_not_spoken_of(small: tuple[FrozenModel, Batch]) -> None:
    trial = attempt(slow, *small)
    assert (trial.forward, trial.says) == (None, "")


def failing(function: Any, example: torch.Tensor) -> Any:
    raise RuntimeError("no compiler was found\nand a page of details")


def test_what_cannot_be_made_is_said_in_a_line(small: tuple[FrozenModel, Batch]) -> None:
    trial = attempt(failing, *small, name="inductor")
    assert trial.forward is None
    assert trial.says == "inductor cannot be used here (no compiler was found); going on without"


def test_token_features_are_left_to_the_eager_pass(small: tuple[FrozenModel, Batch]) -> None:
    model, batch = small
    trial = attempt(wrong, model, batch, ["final.tokens"])
    assert (trial.forward, trial.says) == (None, "")


def test_nothing_is_compiled_on_a_cpu() -> None:
    pictures = {"pixels": torch.zeros(1, 3, 8, 8)}
    texts = {"input_ids": torch.zeros(2, 5), "attention_mask": torch.zeros(2, 5)}
    pairs = {"image.pixel_values": torch.zeros(2, 3, 8, 8), **texts}
    assert [list(accelerators(ONE_CORE, batch)) for batch in (pictures, texts, pairs)] == [[], [], []]


def test_padded_texts_may_be_compiled_on_a_gpu_and_packed_ones_not() -> None:
    padded = {"input_ids": torch.zeros(2, 5).long(), "attention_mask": torch.zeros(2, 5).long()}
    packed = {"input_ids": torch.zeros(1, 9).long(), "cumulative": torch.zeros(3).int()}
    assert [each.any_shape for each in accelerators(ON_GPU, padded)] == [True]
    assert list(accelerators(ON_GPU, packed)) == []


@given(st.integers(1, 5000))
def test_few_numbers_of_rows_are_seen_and_few_are_added(n: int) -> None:
    assert n <= round_up(n) < max(1.5 * n, n + 2)
    assert len({round_up(below) for below in range(1, n + 1)}) <= 2 * n.bit_length() + 1


@pytest.fixture(scope="module")
def texts() -> tuple[FrozenModel, list[Any]]:
    model = open_model("bundled:all-minilm-l6-v2")
    return model, model.prepare([f"how do I pay {n} bills " + "please " * n for n in range(11)])


def noting(sizes: list[int]) -> Make:
    def make(function: Any, *examples: torch.Tensor) -> Any:
        def run(*tensors: torch.Tensor) -> Any:
            sizes.append(len(tensors[0]))
            return function(*tensors)

        return run

    return make


@pytest.mark.usefixtures("always_pays")
def test_texts_of_any_shape_are_filled_up_and_give_their_own_features(
    texts: tuple[FrozenModel, list[Any]],
) -> None:
    model, rows = texts
    sizes: list[int] = []
    eager = eager_forward(model, ("final.mean", "final.cls"))
    accelerator = Accelerator("mine", 0, noting(sizes), any_shape=True)
    example = model.collate(rows[:7])
    trial = try_accelerator(accelerator, eager, eager, example, ONE_CORE, TOLERANCE)
    assert trial.forward is not None
    for chosen in (rows[:1], rows[2:7], rows):
        batch = model.collate(chosen)
        for found, expected in zip(trial.forward(batch), eager(batch), strict=True):
            assert isinstance(found, torch.Tensor)
            assert isinstance(expected, torch.Tensor)
            assert_close(found.numpy(), expected.numpy())
    assert set(sizes) <= {1, 3, 6, 8, 12}


@pytest.mark.slow
@pytest.mark.usefixtures("always_pays")
def test_one_compiled_graph_serves_texts_of_all_shapes(texts: tuple[FrozenModel, list[Any]]) -> None:
    model, rows = texts
    eager = eager_forward(model, ("final.mean",))
    [accelerator] = accelerators(ON_GPU, model.collate(rows))
    trial = try_accelerator(accelerator, eager, eager, model.collate(rows), ONE_CORE, TOLERANCE)
    assert trial.forward is not None, trial.says
    for chosen in (rows[:5], rows[3:]):
        batch = model.collate(chosen)
        [found], [expected] = trial.forward(batch), eager(batch)
        assert_close(found.numpy(), expected.numpy(), TOLERANCE)  # type: ignore[union-attr]


@pytest.mark.usefixtures("always_pays")
@pytest.mark.parametrize(
    ("precision", "is_tried"), cases([("fp32", True), ("int8", False)], [("int8", False)])
)
def test_int8_is_never_tried_otherwise(
    precision: str, is_tried: bool, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Batch] = []
    monkeypatch.setattr(runtime, "accelerators", lambda layout, batch: asked.append(batch) or ())
    options = {"batch_size": 2, "precision": precision}
    filled = plan([f"text {n}" for n in range(24)], "bundled:all-minilm-l6-v2", cache_root, **options).run()
    assert filled.timings is not None
    assert filled.timings.forward_as == "eager"
    assert bool(asked) == is_tried


def test_a_trial_is_weighed_against_the_work_that_is_left() -> None:
    trial = Accelerator("slow to make", 15.0, failing)
    assert not trial.pays(seconds_left=60)
    assert trial.pays(seconds_left=600)


@pytest.mark.usefixtures("always_pays")
def test_a_run_that_gets_faster_on_the_way_gives_the_same_features(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = Accelerator("mine", 0, lambda function, example: function)
    monkeypatch.setattr(runtime, "accelerators", lambda layout, batch: (as_it_is,))
    samples = pictures(120)
    task = plan(samples, IMAGES, cache_root, "image", batch_size=4)
    filled = task.run()
    assert filled.timings is not None
    assert filled.timings.forward_as == "mine"
    assert_close(task.features().values, alone(open_model(IMAGES), samples, "pooler"), TOLERANCE)


def tracing(function: Any, example: torch.Tensor) -> Any:
    """Traces something for a while, as a compiler does: it changes modules for all threads."""

    class Slow(torch.nn.Module):
        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            time.sleep(0.5)
            return tensor + 1

    torch.fx.symbolic_trace(Slow())
    return function


@pytest.mark.usefixtures("always_pays")
def test_batches_that_fail_while_another_lane_traces_are_computed_again(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    real = extractor.Extractor._run_again_or_raise

    def noted(self: Any, result: Any) -> None:
        failed.append(str(result.error))
        real(self, result)

    monkeypatch.setattr(extractor.Extractor, "_run_again_or_raise", noted)
    monkeypatch.setattr(extractor, "lay_out", lambda device, *_: Layout(device, 2, 1, 2))
    monkeypatch.setattr(runtime, "accelerators", lambda layout, batch: (Accelerator("tracing", 0, tracing),))
    samples = pictures(120)
    task = plan(samples, IMAGES, cache_root, "image", batch_size=4)
    assert task.run().failures == []
    assert any("not installed as a submodule" in reason for reason in failed)
    assert_close(task.features().values, alone(open_model(IMAGES), samples, "pooler"), TOLERANCE)


@pytest.mark.usefixtures("always_pays")
def test_a_run_says_once_what_cannot_be_used_and_goes_on_without(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = [Accelerator("first", 0, failing), Accelerator("second", 0, wrong)]
    monkeypatch.setattr(runtime, "accelerators", lambda layout, batch: tuple(tried))
    samples = pictures(120)
    task = plan(samples, IMAGES, cache_root, "image", batch_size=4)
    filled = task.run()
    assert filled.failures == []
    assert filled.timings is not None
    assert filled.timings.forward_as == "eager"
    said = [line for line in task.heard.lines if "cannot be used" in line]
    assert said == ["first cannot be used here (no compiler was found); going on without"]
    assert_close(task.features().values, alone(open_model(IMAGES), samples, "pooler"))
