"""Vision models of transformers give what their own library gives, and say what they cannot."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.pooling import canonical_tap, choose_taps, pool
from headstart.errors import BackboneError, ConfigError, SampleError

from ..variants import variants
from . import tiny_vision
from .opening import resolve, run_model, space
from .test_parity import assert_equal

PREFIX = {"vit": 1, "deit": 2, "beit": 1, "dinov2": 1, "dinov2_with_registers": 4, "swin": 0}
MAPS = ("convnext", "resnet")
MODELS = (*PREFIX, *MAPS)
FEW = ("vit", "dinov2_with_registers", "swin", "convnext")
DEFAULTS = {"dinov2": "final.cls", "dinov2_with_registers": "final.cls"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("vision")
    return {name: getattr(tiny_vision, name)(root / name) for name in MODELS}


def library_outputs(folder: Path, pictures: Sequence[bytes]) -> list[Any]:
    """What transformers' documentation says to do, one image at a time."""
    from transformers import AutoImageProcessor, AutoModel

    processor, model = AutoImageProcessor.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    with torch.no_grad():
        return [
            model(**processor(images=image, return_tensors="pt"), output_hidden_states=True)
            for image in images
        ]


def patches(name: str, hidden: torch.Tensor) -> torch.Tensor:
    """The positions of one image that are neither class token nor register, shape (T, D)."""
    return hidden[0].flatten(1).T if name in MAPS else hidden[0, PREFIX[name] :]


@pytest.mark.parametrize("name", variants(MODELS, FEW))
def test_features_equal_transformers(name: str, folders: dict[str, Path], pictures: list[bytes]) -> None:
    outputs = library_outputs(folders[name], pictures)
    expected = {
        "pooler": [output.pooler_output[0].flatten() for output in outputs],
        "final.mean": [patches(name, output.last_hidden_state).mean(0) for output in outputs],
        "final.max": [patches(name, output.last_hidden_state).amax(0) for output in outputs],
    }
    if PREFIX.get(name):
        expected["final.cls"] = [output.last_hidden_state[0, 0] for output in outputs]
    backbone = open_backbone(f"hf:{folders[name]}", BackboneOptions(modality="image"))
    info, model = backbone.resolve(), backbone.load("cpu", "fp32")
    assert info.default_tap == DEFAULTS.get(name, "pooler")
    assert set(expected) < set(info.taps)
    prepared = model.prepare(pictures)
    together, alone = run_model(model, prepared), [run_model(model, [part]) for part in prepared]
    for tap, rows in expected.items():
        assert_equal(pool(together, tap).numpy(), torch.stack(rows).numpy())
        assert_equal(torch.cat([pool(one, tap) for one in alone]).numpy(), torch.stack(rows).numpy())


@pytest.mark.parametrize("name", variants(MODELS, FEW))
def test_layers_by_number_equal_transformers(
    name: str, folders: dict[str, Path], pictures: list[bytes]
) -> None:
    """0 is what enters the first block; of a model in stages, the stages are read from 1."""
    outputs = library_outputs(folders[name], pictures[:2])
    backbone = open_backbone(f"hf:{folders[name]}", BackboneOptions(modality="image"))
    info, model = backbone.resolve(), backbone.load("cpu", "fp32")
    assert (info.first_layer, info.n_layers) == {"swin": (1, 2)}.get(name, (1 if name in MAPS else 0, 3))
    layers = [str(number) for number in range(info.first_layer, info.n_layers + 1)]
    activations = run_model(model, model.prepare(pictures[:2]), layers)
    for layer in layers:
        hidden = [patches(name, output.hidden_states[int(layer)]) for output in outputs]
        expected = torch.stack([states.mean(0) for states in hidden]).numpy()
        assert_equal(pool(activations, f"{layer}.mean").numpy(), expected)


@pytest.mark.parametrize(("name", "closing_norm"), [("vit", True), ("beit", False), ("convnext", False)])
def test_the_last_layer_is_another_tap_only_before_a_closing_norm(
    name: str, closing_norm: bool, folders: dict[str, Path]
) -> None:
    info = resolve(folders[name], "image")
    assert info.closing_norm is closing_norm
    last = canonical_tap("-1.mean", info.n_layers, info.first_layer, info.closing_norm)
    assert last == ("3.mean" if closing_norm else "final.mean")


def test_a_random_pooler_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    folder = tiny_vision.without(tiny_vision.vit(tmp_path / "vit"), lambda name: name.startswith("pooler"))
    torch.manual_seed(1)
    first = resolve(folder, "image")
    torch.manual_seed(2)
    second = resolve(folder, "image")
    assert first.weights == second.weights
    assert first.default_tap == "final.cls"
    with pytest.raises(ConfigError, match="no tap 'pooler'"):
        choose_taps(["pooler"], first)


def test_weights_that_the_features_need_may_not_be_missing(tmp_path: Path) -> None:
    folder = tiny_vision.without(tiny_vision.vit(tmp_path / "vit"), lambda name: "layernorm_after" in name)
    with pytest.raises(BackboneError, match="lacks weights"):
        resolve(folder, "image")


def test_a_classifier_s_checkpoint_is_read_without_its_head(tmp_path: Path, pictures: list[bytes]) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(**tiny_vision.NARROW, **tiny_vision.PATCHES, num_labels=7)
    model = ViTForImageClassification(config)
    folder = tiny_vision.save(tmp_path / "vit", model, ViTImageProcessor(**tiny_vision.SQUARE))
    before = space(folder, "image")
    assert resolve(folder, "image").default_tap == "final.cls"
    assert space(tiny_vision.changed(folder, "classifier."), "image") == before


def test_every_setting_of_the_processor_that_changes_a_number_is_another_space(tmp_path: Path) -> None:
    from transformers import AutoImageProcessor

    folder = tiny_vision.vit(tmp_path / "vit")
    before = space(folder, "image")
    settings = resolve(folder, "image").preprocessing
    used = AutoImageProcessor.from_pretrained(folder)
    assert (settings["class"], settings["backend"]) == ("ViTImageProcessor", used.backend)
    assert settings["size"] == {"height": tiny_vision.SIDE, "width": tiny_vision.SIDE}
    name = "preprocessor_config.json"
    assert space(tiny_vision.reconfigured(folder, name, processor_class="SomeProcessor"), "image") == before
    changes: list[dict[str, Any]] = [
        {"resample": 0}, {"image_mean": [0.4, 0.5, 0.5]}, {"do_normalize": False}, {"rescale_factor": 0.01}
    ]  # fmt: skip
    found = {space(tiny_vision.reconfigured(folder, name, **change), "image") for change in changes}
    assert len(found | {before}) == len(changes) + 1


def test_options_that_mean_nothing_to_images(folders: dict[str, Path]) -> None:
    for options in ({"max_length": 8}, {"prompt": "a photo of "}, {"image_size": 64}, {"crop_pct": 0.9}):
        with pytest.raises(ConfigError, match="leave it out"):
            resolve(folders["vit"], "image", **options)


def test_a_model_that_masks_at_random_is_refused(tmp_path: Path) -> None:
    from transformers import ViTImageProcessor, ViTMAEConfig, ViTMAEModel

    model = ViTMAEModel(ViTMAEConfig(**tiny_vision.NARROW, **tiny_vision.PATCHES))
    folder = tiny_vision.save(tmp_path / "mae", model, ViTImageProcessor(**tiny_vision.SQUARE))
    with pytest.raises(BackboneError, match="other numbers each time"):
        resolve(folder, "image")


def test_a_processor_that_keeps_the_shape_of_a_picture_is_refused(tmp_path: Path) -> None:
    folder = tiny_vision.dinov2(tmp_path / "dinov2")
    tiny_vision.reconfigured(folder, "preprocessor_config.json", do_center_crop=False)
    with pytest.raises(BackboneError, match="keeps the shape of a picture"):
        resolve(folder, "image")


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Llava"])
def test_a_model_of_another_kind_is_named_as_such(kind: str, tmp_path: Path) -> None:
    """Sounds, and language models that see: there is no feature of theirs to read here."""
    import transformers

    config = getattr(transformers, f"{kind}Config")()
    config.save_pretrained(tmp_path / kind)
    with pytest.raises(BackboneError, match=f"is a {config.model_type} model, which headstart cannot read"):
        resolve(tmp_path / kind, "image")


def test_what_is_no_image_is_named_and_spoils_nothing(
    folders: dict[str, Path], pictures: list[bytes]
) -> None:
    model = open_backbone(f"hf:{folders['vit']}", BackboneOptions()).load("cpu", "fp32")
    good, bad = model.prepare([pictures[0], b"not an image"])
    assert isinstance(good, torch.Tensor)
    assert isinstance(bad, SampleError)
