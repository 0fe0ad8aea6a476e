"""int8 keeps what a vector is whatever its neighbours, drifts little, and is refused where it gains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.pooling import pool, read_tap
from headstart.backbones.quantizing import Int8Linear
from headstart.contracts import FrozenModel
from headstart.errors import BackboneError, ConfigError, HeadstartError
from headstart.types import Modality, Precision, Tokens

from ..processes import Process
from ..variants import examples, variants
from . import tiny_texts, tiny_vision
from .conftest import TEXTS, picture
from .opening import run_model

MINILM = "bundled:all-minilm-l6-v2"
LOUD = "!!!! ))) zzzz 0000 €€€ ÄÖÜ 東京 " * 12
QUESTIONS = [
    "I am still waiting on my card?", "What can I do if my card still hasn't arrived after 2 weeks?",
    "How do I link my card?", "Is there a way to know when my card will arrive?", "My card was swallowed.",
    "What is the exchange rate?", "Why was I charged twice for one purchase?", "Can I top up by cheque?",
]  # fmt: skip
SAME_LENGTH = 1e-5  # of the vector's largest value


def load(spec: str, precision: Precision, modality: Modality | None = None) -> FrozenModel:
    return open_backbone(spec, BackboneOptions(modality=modality)).load("cpu", precision)


def vectors(model: FrozenModel, payloads: Sequence[Any], tap: str, layers: Sequence[str] = ()) -> Any:
    """A tap of one batch."""
    return pool(run_model(model, model.prepare(payloads), layers), tap).numpy()


def errors(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any]:
    """The largest error of each row, as a share of its largest value."""
    worst: NDArray[Any] = np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)
    return worst


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    cosine: NDArray[Any] = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return cosine


def default_tap(spec: str, modality: Modality | None) -> str:
    return open_backbone(spec, BackboneOptions(modality=modality)).resolve().default_tap


# A vector does not depend on its neighbours


def test_a_text_is_the_same_alone_and_among_long_and_loud_neighbours() -> None:
    model = load(MINILM, "int8")
    among = [*QUESTIONS[:5], LOUD, " ".join(QUESTIONS), QUESTIONS[5] * 2]

    def layers(texts: Sequence[str]) -> list[NDArray[Any]]:
        activations = run_model(model, model.prepare(texts), ["3", "final"])
        return [pool(activations, f"{layer}.mean").numpy() for layer in ("3", "final")]

    alone = [np.concatenate(parts) for parts in zip(*(layers([text]) for text in among), strict=True)]
    for found, expected in zip(layers(among), alone, strict=True):
        assert errors(found, expected).max() <= SAME_LENGTH


def test_all_tokens_of_a_text_are_the_same_alone_and_in_a_batch() -> None:
    model = load(MINILM, "int8")
    batch = run_model(model, model.prepare(QUESTIONS))
    together = read_tap(batch, "final.tokens")
    alone = [read_tap(run_model(model, model.prepare([text])), "final.tokens") for text in QUESTIONS]
    assert isinstance(together, Tokens)
    assert torch.equal(together.values, torch.cat([part.values for part in alone]))  # type: ignore[union-attr]
    assert together.lengths.tolist() == [int(part.lengths) for part in alone]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name", variants([*tiny_texts.ENCODERS, *tiny_texts.PAIRS, "llama", "gemma2"],
                     {"bert", "deberta-v2", "t5", "gemma2"})
)  # fmt: skip
def test_texts_of_every_kind_of_model_are_the_same_alone_and_in_a_batch(tmp_path: Path, name: str) -> None:
    spec = f"hf:{tiny_texts.save_model(tmp_path / name, name)}"
    model = load(spec, "int8")
    texts = [*TEXTS, *QUESTIONS, *(text[::-1] for text in TEXTS)]
    tap = default_tap(spec, None)
    alone = np.concatenate([vectors(model, [text], tap) for text in texts])
    assert errors(vectors(model, texts, tap), alone).max() <= SAME_LENGTH


@pytest.mark.parametrize("modality", ["image", "text", "image-text"])
@pytest.mark.parametrize(
    "name", variants(["clip", "siglip", "siglip2", "chinese_clip", "blip"], {"clip", "blip"})
)
def test_both_sides_of_dual_encoders_are_the_same_alone_and_in_a_batch(
    dual_folders: dict[str, Path], name: str, modality: Modality, pictures: list[bytes]
) -> None:
    given: dict[str, list[Any]] = {"image": pictures, "text": TEXTS}
    payloads = given.get(modality) or list(zip(pictures, TEXTS, strict=True))
    spec = f"hf:{dual_folders[name]}"
    model = load(spec, "int8", modality)
    tap = default_tap(spec, modality)
    alone = np.concatenate([vectors(model, [part], tap) for part in payloads])
    assert errors(vectors(model, payloads, tap), alone).max() <= SAME_LENGTH


@pytest.mark.parametrize("name", variants(["vit", "beit", "dinov2", "swin", "convnext"], {"vit", "swin"}))
def test_an_image_is_the_same_alone_and_in_a_batch_and_close_to_fp32(
    tmp_path: Path, name: str, pictures: list[bytes]
) -> None:
    spec = f"hf:{getattr(tiny_vision, name)(tmp_path / name)}"
    model = load(spec, "int8")
    tap = default_tap(spec, None)
    together = vectors(model, pictures, tap)
    alone = np.concatenate([vectors(model, [part], tap) for part in pictures])
    exact = vectors(load(spec, "fp32"), pictures, tap)
    assert errors(together, alone).max() <= SAME_LENGTH
    assert 0 < errors(together, exact).max() < 0.06
    assert cosines(together, exact).min() > 0.999


@settings(max_examples=examples(40), deadline=None)
@given(
    n=st.integers(1, 40), n_in=st.integers(1, 70), n_out=st.integers(1, 40),
    loud=st.floats(0, 1e6), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_row_of_a_layer_is_bit_for_bit_what_it_is_alone(
    n: int, n_in: int, n_out: int, loud: float, shift: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    linear = torch.nn.Linear(n_in, n_out, bias=seed % 2 == 0)
    layer = Int8Linear(linear)
    rows = torch.randn(n, n_in, generator=generator) + shift
    rows[0] *= loud
    with torch.inference_mode():
        together = layer(rows)
        assert torch.equal(together, torch.cat([layer(row[None]) for row in rows]))
        # Half a step of each activation, and half a step of each weight.
        steps = (rows.amax(1) - rows.amin(1)) / 190
        weights = linear.weight.abs().amax(1) / 85
        bound = (
            steps[:, None] * linear.weight.abs().sum(1) / 2
            + rows.abs().sum(1)[:, None] * weights / 2
            + steps[:, None] * weights * n_in / 4
        )
        rounding = 1e-4 * (1 + rows.abs().amax(1))[:, None] * n_in
        assert ((together - linear(rows)).abs() <= bound + rounding).all()


def test_tokens_without_any_spread_and_tokens_that_are_not_finite_stay_what_they_are() -> None:
    linear = torch.nn.Linear(8, 4)
    layer = Int8Linear(linear)
    rows = torch.stack([torch.zeros(8), torch.full((8,), 2.5), torch.full((8,), float("nan")), torch.ones(8)])
    rows[3, 0] = float("inf")
    with torch.inference_mode():
        out = layer(rows)
        assert torch.allclose(out[0], linear.bias)
        assert torch.allclose(
            out[1], torch.nn.functional.linear(rows[1], layer.weight, linear.bias), atol=1e-5
        )
        assert not out[2:].isfinite().any()  # so that they are found, and never stored


# It is close to fp32


@pytest.mark.parametrize(
    "name", variants(["bert", "roberta", "distilbert", "modernbert"], {"bert", "modernbert"})
)
def test_tiny_text_models_drift_little(tmp_path: Path, name: str) -> None:
    spec = f"hf:{tiny_texts.save_model(tmp_path / name, name)}"
    texts = [*TEXTS, *QUESTIONS]
    exact = vectors(load(spec, "fp32"), texts, "final.mean")
    found = vectors(load(spec, "int8"), texts, "final.mean")
    assert 0 < errors(found, exact).max() < 0.08
    assert cosines(found, exact).min() > 0.998


def test_minilm_drifts_little_and_keeps_its_neighbourhoods() -> None:
    exact = vectors(load(MINILM, "fp32"), QUESTIONS, "final.mean.l2")
    found = vectors(load(MINILM, "int8"), QUESTIONS, "final.mean.l2")
    assert errors(found, exact).max() < 0.2
    assert cosines(found, exact).min() > 0.99
    similar = exact @ exact.T - 2 * np.eye(len(exact))
    assert (similar.argmax(axis=1) == (found @ found.T - 2 * np.eye(len(exact))).argmax(axis=1)).mean() > 0.8


SUMS = """
import torch
from headstart.backbones.quantizing import LEVELS, WEIGHT_MAX
for sign in (1, -1):
    for low, high in ((-128, -128), (LEVELS - 128, LEVELS - 128), (-128, LEVELS - 128)):
        steps = torch.randint(low, high + 1, (40, 384), dtype=torch.int8)
        weights = torch.full((64, 384), sign * WEIGHT_MAX, dtype=torch.int8)
        assert torch.equal(torch._int_mm(steps, weights.t()).double(), steps.double() @ weights.double().t())
"""


@pytest.mark.parametrize("processor", ["DEFAULT", "AVX512_CORE", "AVX2", "SSE41"])
def test_the_sums_are_exact_on_processors_that_add_in_16_bits(processor: str) -> None:
    done = Process(SUMS, ONEDNN_MAX_CPU_ISA=processor)  # which is read when the first product is computed
    _, said = done.communicate()
    assert done.returncode == 0, said


# Frozen, and complete


def test_frozen_means_frozen(tiny_bert: Path) -> None:
    model = load(f"hf:{tiny_bert}", "int8")
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    assert sum(tensor.dtype == torch.int8 for tensor in before.values()) == 13  # 6 a layer, and the pooler
    for _ in range(3):
        vectors(model, TEXTS, "final.mean")
    after = model.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module.training for module in model.module.modules())
    assert not any(parameter.requires_grad for parameter in model.module.parameters())


def test_numbered_layers_can_be_read(tiny_bert: Path) -> None:
    layers = ["0", "1", "2"]
    exact, found = (
        run_model(model, model.prepare(TEXTS), layers)
        for model in (load(f"hf:{tiny_bert}", precision) for precision in ("fp32", "int8"))  # type: ignore[arg-type]
    )
    for layer in layers:
        a, b = pool(exact, f"{layer}.mean").numpy(), pool(found, f"{layer}.mean").numpy()
        assert errors(b, a).max() < 0.05
    assert torch.equal(
        exact.layers["0"].hidden[exact.layers["0"].mask], found.layers["0"].hidden[found.layers["0"].mask]
    )


def test_the_dense_layers_after_the_pooling_stay_in_fp32(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling

    encoder = tiny_texts.save_model(tmp_path / "bert", "bert")
    chain = [Pooling(tiny_texts.HIDDEN, "mean"), Dense(tiny_texts.HIDDEN, 8)]
    spec = f"hf:{tiny_texts.save_sentence_model(tmp_path / 'sentence', encoder, *chain)}"
    model = load(spec, "int8")
    head = [part for name, part in model.module.named_modules() if name.startswith("head")]
    assert any(type(part) is torch.nn.Linear for part in head)
    assert not any(type(part) is Int8Linear for part in head)
    assert (
        cosines(vectors(model, TEXTS, "sentence"), vectors(load(spec, "fp32"), TEXTS, "sentence")).min()
        > 0.99
    )


def test_a_layer_that_stands_in_two_places_stays_one(tmp_path: Path) -> None:
    model = load(f"hf:{tiny_texts.save_model(tmp_path / 'albert', 'albert')}", "int8")
    kinds = [type(part) for part in model.module.modules()]
    assert kinds.count(Int8Linear) == 8
    assert torch.nn.Linear not in kinds


@pytest.mark.slow
def test_layers_whose_weights_are_read_past_them_still_work() -> None:
    import timm

    from headstart.backbones.quantizing import quantize

    model = timm.create_model("swinv2_tiny_window8_256", num_classes=0, depths=(1, 1, 1, 1)).eval()
    images = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        exact = model(images)
        quantize(model)
        found = model(images)
    assert cosines(found.numpy(), exact.numpy()).min() > 0.999


# It is refused where it gains nothing


@pytest.mark.parametrize("spec", ["bundled:efficientnet-lite0", "resnet", "gpt2"])
def test_a_model_without_many_linear_layers_is_refused(tmp_path: Path, spec: str) -> None:
    make = {
        "resnet": lambda: tiny_vision.resnet(tmp_path / spec),
        "gpt2": lambda: tiny_texts.save_model(tmp_path / spec, spec),
    }
    name = f"hf:{make[spec]()}" if spec in make else spec
    with pytest.raises(
        ConfigError, match=r"has too few of them: \d+ beside \d+ convolutions.*--precision fp32"
    ):
        load(name, "int8")


def test_a_net_with_most_weights_in_few_layers_and_most_work_in_convolutions_is_refused() -> None:
    import torchvision

    from headstart.backbones.quantizing import quantize

    with (
        torch.device("meta"),
        pytest.raises(ConfigError, match="3 beside 5 convolutions, with 96% of its weights"),
    ):
        quantize(torchvision.models.alexnet())


def test_a_refusal_leaves_the_model_as_it_was() -> None:
    backbone = open_backbone("bundled:efficientnet-lite0", BackboneOptions())
    with pytest.raises(ConfigError):
        backbone.load("cpu", "int8")
    found = vectors(backbone.load("cpu", "fp32"), [picture(0)], "pooler")
    assert np.array_equal(found, vectors(load("bundled:efficientnet-lite0", "fp32"), [picture(0)], "pooler"))


def test_int8_on_another_device_than_a_cpu_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match="runs on CPUs alone, and this would run on cuda; add --device cpu"):
        open_backbone(f"hf:{tiny_bert}", BackboneOptions()).load("cuda", "int8")


@pytest.mark.parametrize(("first", "then"), [("int8", "fp32"), ("fp32", "int8"), ("bf16", "int8")])
def test_a_model_that_is_loaded_one_way_is_not_rounded_under_its_readers(
    tiny_bert: Path, first: Precision, then: Precision
) -> None:
    backbone = open_backbone(f"hf:{tiny_bert}", BackboneOptions())
    backbone.load("cpu", first)
    with pytest.raises(BackboneError, match="open the backbone anew"):
        backbone.load("cpu", then)


def test_a_model_may_be_loaded_as_int8_twice(tiny_bert: Path) -> None:
    backbone = open_backbone(f"hf:{tiny_bert}", BackboneOptions())
    first = vectors(backbone.load("cpu", "int8"), TEXTS, "final.mean")
    try:
        again = vectors(backbone.load("cpu", "int8"), TEXTS, "final.mean")
    except HeadstartError as error:  # pragma: no cover
        pytest.fail(str(error))
    assert np.array_equal(first, again)
