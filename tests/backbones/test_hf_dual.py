"""CLIP, SigLIP and BLIP give what their own library gives, side by side or one side alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from headstart.backbones.pooling import pool

from ..variants import variants
from .opening import both_ways, opened, resolve, run_model
from .test_parity import assert_equal

MODELS = ("clip", "siglip", "blip", "blip_model")
KIN = ("siglip2", "chinese_clip")
FEW = ("clip", "siglip2", "blip")
TEXTS = ["a cat", "a photo of a red shirt, and of what lies under it. " * 3, "dog", "blue trousers 12"]


@pytest.fixture(scope="module")
def four(pictures: list[bytes]) -> list[bytes]:
    return pictures[: len(TEXTS)]


def library_model(folder: Path) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    return getattr(transformers, config.architectures[0]).from_pretrained(folder).eval()


def image_inputs(folder: Path, picture: bytes) -> Any:
    from transformers import AutoImageProcessor

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    return AutoImageProcessor.from_pretrained(folder)(images=image, return_tensors="pt")


def text_inputs(folder: Path, text: str) -> Any:
    """As the documentation of each model says; SigLIP was trained on texts padded to one length."""
    from transformers import AutoTokenizer

    padding = "max_length" if folder.name.startswith("siglip") else False
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(text, padding=padding, truncation=True, return_tensors="pt")
    return {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}


def joint(model: Any, side: str, inputs: Any) -> torch.Tensor:
    """One vector of the joint space by the library's own means, shape (D,)."""
    with torch.no_grad():
        if hasattr(model, f"get_{side}_features"):
            made = getattr(model, f"get_{side}_features")(**inputs)
            return (made if isinstance(made, torch.Tensor) else made.pooler_output)[0]
        tower, projection = (
            (model.vision_model, model.vision_proj)
            if side == "image"
            else (model.text_encoder, model.text_proj)
        )
        return projection(tower(**inputs).last_hidden_state[:, 0])[0]


@pytest.mark.parametrize("name", variants([*MODELS, *KIN], FEW))
def test_images_in_the_joint_space(name: str, dual_folders: dict[str, Path], four: list[bytes]) -> None:
    library = library_model(dual_folders[name])
    expected = torch.stack([joint(library, "image", image_inputs(dual_folders[name], one)) for one in four])
    assert resolve(dual_folders[name], "image").default_tap == "joint"
    for found in both_ways(opened(dual_folders[name], "image"), four, "joint"):
        assert_equal(found, expected.numpy())


@pytest.mark.parametrize("name", variants([*MODELS, *KIN], FEW))
def test_texts_in_the_joint_space(name: str, dual_folders: dict[str, Path]) -> None:
    library = library_model(dual_folders[name])
    expected = torch.stack([joint(library, "text", text_inputs(dual_folders[name], text)) for text in TEXTS])
    assert resolve(dual_folders[name], "text").default_tap == "joint"
    for found in both_ways(opened(dual_folders[name], "text"), TEXTS, "joint"):
        assert_equal(found, expected.numpy())


@pytest.mark.parametrize("name", variants(MODELS, FEW))
def test_a_pair_is_its_image_beside_its_text(
    name: str, dual_folders: dict[str, Path], four: list[bytes]
) -> None:
    images = pool(
        run_model(opened(dual_folders[name], "image"), opened(dual_folders[name], "image").prepare(four)),
        "joint",
    )
    text_model = opened(dual_folders[name], "text")
    texts = pool(run_model(text_model, text_model.prepare(TEXTS)), "joint")
    expected = torch.cat([images, texts], dim=1).numpy()
    pairs = list(zip(four, TEXTS, strict=True))
    for found in both_ways(opened(dual_folders[name], "image-text"), pairs, "joint"):
        assert_equal(found, expected)


def test_scores_are_the_library_s(dual_folders: dict[str, Path], four: list[bytes]) -> None:
    """``joint.l2`` of both sides, multiplied, is CLIP's own similarity; so it is for BLIP's retrieval."""
    from transformers import AutoProcessor

    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in four]
    for name in ("clip", "blip"):
        library, processor = (
            library_model(dual_folders[name]),
            AutoProcessor.from_pretrained(dual_folders[name]),
        )
        inputs = processor(text=TEXTS, images=images, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            if name == "clip":
                expected = library(**inputs).logits_per_image / library.logit_scale.exp()
            else:
                expected = library(**inputs, use_itm_head=False).itm_score
        sides = []
        for modality, payloads in (("image", four), ("text", TEXTS)):
            model = opened(dual_folders[name], modality)
            sides.append(pool(run_model(model, model.prepare(payloads)), "joint.l2"))
        torch.testing.assert_close(sides[0] @ sides[1].T, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", ["image", "text"])
@pytest.mark.parametrize("name", variants(MODELS, FEW))
def test_pooler_and_reads_of_each_tower(
    name: str, side: str, dual_folders: dict[str, Path], four: list[bytes]
) -> None:
    """Before the projection, by number, and without padding, class token or marks of the batch."""
    library = library_model(dual_folders[name])
    tower = library.vision_model if side == "image" else getattr(library, "text_model", None)
    tower = library.text_encoder if tower is None else tower
    make = image_inputs if side == "image" else text_inputs
    payloads: list[Any] = list(four) if side == "image" else list(TEXTS)
    prefix = 1 if side == "image" and name != "siglip" else 0
    with torch.no_grad():
        outputs = [tower(**make(dual_folders[name], one), output_hidden_states=True) for one in payloads]
    info, model = resolve(dual_folders[name], side), opened(dual_folders[name], side)
    assert (info.n_layers, info.first_layer) == (3, 0)
    activations = run_model(model, model.prepare(payloads), ["0", "2"])
    if "pooler" in info.taps:
        expected = torch.stack([output.pooler_output[0] for output in outputs])
        assert_equal(pool(activations, "pooler").numpy(), expected.numpy())
    else:
        assert (name, side) == ("blip", "text")  # its text encoder has no pooler
    lengths = [n_tokens(dual_folders[name], one) if side == "text" else None for one in payloads]
    for layer in ("0", "2", "final"):
        rows = []
        for output, length in zip(outputs, lengths, strict=True):
            hidden = output.last_hidden_state if layer == "final" else output.hidden_states[int(layer)]
            rows.append(hidden[0, prefix:length].mean(0))
        assert_equal(pool(activations, f"{layer}.mean").numpy(), torch.stack(rows).numpy())


def test_padded_patches_take_no_part(dual_folders: dict[str, Path], four: list[bytes]) -> None:
    """SigLIP 2 pads the patches of a picture up to one number."""
    library = library_model(dual_folders["siglip2"]).vision_model
    rows = []
    for one in four:
        inputs = image_inputs(dual_folders["siglip2"], one)
        with torch.no_grad():
            hidden = library(**inputs).last_hidden_state[0]
        rows.append(hidden[inputs["pixel_attention_mask"][0].bool()].mean(0))
    for found in both_ways(opened(dual_folders["siglip2"], "image"), four, "final.mean"):
        assert_equal(found, torch.stack(rows).numpy())


def n_tokens(folder: Path, text: str) -> int:
    from transformers import AutoTokenizer

    return len(AutoTokenizer.from_pretrained(folder)(text, truncation=True)["input_ids"])
