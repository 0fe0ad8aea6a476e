"""Which side of a dual encoder is read, what names its space, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.pooling import pool
from headstart.errors import BackboneError, ConfigError, SampleError

from ..variants import variants
from . import tiny_vision
from .opening import both_ways, opened, resolve, run_model, space
from .test_frozen import extract_and_train
from .test_hf_dual import MODELS, TEXTS, image_inputs
from .test_parity import assert_equal

VISION = {"clip": "visual_projection", "blip_model": "visual_projection", "blip": "vision_proj"}


@pytest.fixture(scope="module")
def four(pictures: list[bytes]) -> list[bytes]:
    return pictures[: len(TEXTS)]


@pytest.mark.parametrize("name", variants(MODELS, {"clip"}))
def test_the_other_tower_may_change(name: str, dual_folders: dict[str, Path], tmp_path: Path) -> None:
    """Images cached with one text tower serve beside another; pairs do not."""
    text = "text_encoder" if name == "blip" else "text_model"
    before = {side: space(dual_folders[name], side) for side in ("image", "text", "image-text")}
    copy = shutil.copytree(dual_folders[name], tmp_path / name)
    tiny_vision.changed(copy, f"{text}.encoder.layer")
    after = {side: space(copy, side) for side in before}
    assert {side for side in before if before[side] != after[side]} == {"text", "image-text"}
    again = shutil.copytree(dual_folders[name], tmp_path / "again" / name)
    tiny_vision.changed(again, VISION.get(name, "vision_model.head."))
    changed = {side for side in before if before[side] != space(again, side)}
    assert changed == {"image", "image-text"}


def test_the_other_side_s_settings_may_change(dual_folders: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(dual_folders["clip"], tmp_path / "clip")
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text("utf-8").replace('"lowercase"', '"nfkc"').replace(
        '"type": "Lowercase"', '"type": "NFKC"'), "utf-8")  # fmt: skip
    assert space(copy, "image") == space(dual_folders["clip"], "image")
    assert space(copy, "text") != space(dual_folders["clip"], "text")


def test_one_tower_alone(dual_folders: dict[str, Path], tmp_path: Path, four: list[bytes]) -> None:
    from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

    for kind, side, payloads in (
        (CLIPVisionModelWithProjection, "image", four), (CLIPTextModelWithProjection, "text", TEXTS)
    ):  # fmt: skip
        folder = tmp_path / side
        kind.from_pretrained(dual_folders["clip"]).save_pretrained(folder)
        tiny_vision.clip_processor().save_pretrained(folder)
        tiny_vision.clip_tokenizer().save_pretrained(folder)
        whole, alone = opened(dual_folders["clip"], side), opened(folder, None)
        expected = pool(run_model(whole, whole.prepare(payloads)), "joint").numpy()
        assert_equal(pool(run_model(alone, alone.prepare(payloads)), "joint").numpy(), expected)
        assert resolve(folder, None).modality == side
        other = "text" if side == "image" else "image"
        for asked in (other, "image-text"):
            with pytest.raises(ConfigError, match=f"the {side} side alone, and has no {other} side"):
                resolve(folder, asked)


def test_a_tower_without_a_projection(tmp_path: Path, four: list[bytes]) -> None:
    from transformers import AutoModel, SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    config = SiglipVisionConfig(**tiny_vision.NARROW, **tiny_vision.PATCHES)
    processor = SiglipImageProcessor(**tiny_vision.SQUARE)
    folder = tiny_vision.save(tmp_path / "siglip", SiglipVisionModel(config), processor)
    assert resolve(folder, "image").taps[0] == "pooler"
    library = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        rows = [library(**image_inputs(folder, one)).pooler_output[0] for one in four]
    for found in both_ways(opened(folder, "image"), four, "pooler"):
        assert_equal(found, torch.stack(rows).numpy())


def test_what_the_checkpoint_lacks_is_not_offered(dual_folders: dict[str, Path], tmp_path: Path) -> None:
    """A captioning BLIP has no projection and no text encoder: both would be random."""
    copy = shutil.copytree(dual_folders["blip_model"], tmp_path / "captioning")
    tiny_vision.without(copy, lambda name: not name.startswith("vision_model."))
    assert resolve(copy, "image").taps[:2] == ("pooler", "final.cls")
    for asked in ("text", "image-text"):
        with pytest.raises(BackboneError, match="lacks weights of its text side"):
            resolve(copy, asked)


def test_siglip_reads_its_padding(dual_folders: dict[str, Path]) -> None:
    """Its text is what stands at the last of a fixed number of places."""
    assert resolve(dual_folders["siglip"], "text").max_length == 24
    model = opened(dual_folders["siglip"], "text")
    assert [model.length(part) for part in model.prepare(["a", TEXTS[1]])] == [24, 24]
    assert space(dual_folders["siglip"], "text", max_length=12) != space(dual_folders["siglip"], "text")


def test_a_prompt_stands_before_every_text(dual_folders: dict[str, Path], four: list[bytes]) -> None:
    prompted, plain = (
        opened(dual_folders["clip"], "text", prompt="a photo of "),
        opened(dual_folders["clip"], "text"),
    )
    expected = run_model(plain, plain.prepare([f"a photo of {text}" for text in TEXTS]))
    assert_equal(
        pool(run_model(prompted, prompted.prepare(TEXTS)), "joint").numpy(), pool(expected, "joint").numpy()
    )
    assert resolve(dual_folders["clip"], "image-text", prompt="a ").prompt == "a "
    with pytest.raises(ConfigError, match="leaves no room for a text"):
        resolve(dual_folders["clip"], "text", prompt="a photograph of many words ")
    assert space(dual_folders["clip"], "text", prompt="a photo of ") != space(dual_folders["clip"], "text")
    for options in ({"prompt": "a "}, {"max_length": 8}):
        with pytest.raises(ConfigError, match="means nothing to the image side"):
            resolve(dual_folders["clip"], "image", **options)


@pytest.mark.parametrize("max_length", [2, 21])
def test_a_max_length_out_of_range(max_length: int, dual_folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="takes 3 to 20 tokens"):
        resolve(dual_folders["clip"], "text", max_length=max_length)


def test_pairs_of_texts_are_refused(dual_folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="an image, a text, or an image with a text"):
        resolve(dual_folders["clip"], "text-pair")


def test_without_a_word_about_the_data_it_reads_images(dual_folders: dict[str, Path]) -> None:
    assert resolve(dual_folders["clip"], None).modality == "image"


def test_a_pair_with_a_broken_image_is_named_and_spoils_nothing(
    dual_folders: dict[str, Path], four: list[bytes]
) -> None:
    model = opened(dual_folders["clip"], "image-text")
    bad, surrogate, good = model.prepare([(b"no image", "a"), (four[0], "\ud800"), (four[0], "a cat")])
    assert isinstance(bad, SampleError)
    assert "not an image" in str(bad)
    assert isinstance(surrogate, SampleError)
    assert pool(run_model(model, [good]), "joint").shape == (1, 48)


def test_frozen_means_frozen(dual_folders: dict[str, Path], four: list[bytes]) -> None:
    pairs = list(zip(four, TEXTS, strict=True))
    extract_and_train(
        open_backbone(f"hf:{dual_folders['clip']}", BackboneOptions(modality="image-text")), pairs
    )


def test_a_memo_is_found_without_the_libraries(dual_folders: dict[str, Path]) -> None:
    """And the sides have memos of their own."""
    code = (
        "import sys; from headstart.backbones import BackboneOptions, open_backbone\n"
        f"keys = [open_backbone('hf:{dual_folders['clip'].as_posix()}', BackboneOptions(modality=m)).cache_key()\n"
        "        for m in ('image', 'text', 'image-text', None)]\n"
        "assert all(keys[i] != keys[j] for i in range(4) for j in range(i)), keys\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
