"""A space is another one exactly when a number can change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.backbones import BackboneOptions, open_backbone
from headstart.cache.recipe import make_recipe
from headstart.errors import BackboneError, ConfigError


def space(spec: str, tap: str | None = None, **options: Any) -> str:
    info = open_backbone(spec, BackboneOptions(**options)).resolve()
    return make_recipe(info, tap or info.default_tap, "fp32", "float32").id


def test_the_same_weights_in_another_folder_are_one_space(tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "copied-and-renamed")
    (copy / "README.md").write_text("another file")
    assert space(f"hf:{copy}") == space(f"hf:{tiny_bert}")


def test_saved_again_is_still_the_same_space(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    AutoModel.from_pretrained(tiny_bert).save_pretrained(copy)
    assert space(f"hf:{copy}") == space(f"hf:{tiny_bert}")


def test_one_value_of_the_weights_is_another_space(tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    state = load_file(copy / "model.safetensors")
    state["encoder.layer.1.output.dense.bias"][0] += 1e-6
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    assert space(f"hf:{copy}") != space(f"hf:{tiny_bert}")


def test_what_the_weights_do_not_show_is_in_the_recipe(tiny_bert: Path, tmp_path: Path) -> None:
    """The same tensors with another number of attention heads are another function."""
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "num_attention_heads": 2}))
    assert space(f"hf:{copy}") != space(f"hf:{tiny_bert}")


def test_another_tokenizer_is_another_space(tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["normalizer"] = None
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert space(f"hf:{copy}") != space(f"hf:{tiny_bert}")


def test_max_length_and_crop(tiny_bert: Path) -> None:
    assert space(f"hf:{tiny_bert}", max_length=16) != space(f"hf:{tiny_bert}")
    assert space(f"hf:{tiny_bert}", max_length=64) == space(f"hf:{tiny_bert}")
    lite = "bundled:efficientnet-lite0"
    assert len({space(lite), space(lite, crop_pct=1.0), space(lite, image_size=192)}) == 3


def test_a_random_pooler_is_refused_and_changes_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    state = {n: t for n, t in load_file(copy / "model.safetensors").items() if not n.startswith("pooler")}
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    torch.manual_seed(1)
    first = open_backbone(f"hf:{copy}", BackboneOptions()).resolve()
    torch.manual_seed(2)
    second = open_backbone(f"hf:{copy}", BackboneOptions()).resolve()
    assert first.weights == second.weights
    assert "pooler" not in first.taps


def test_weights_that_the_features_need_may_not_be_missing(tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    state = load_file(copy / "model.safetensors")
    state.pop("encoder.layer.0.attention.self.query.weight")
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="lacks weights"):
        open_backbone(f"hf:{copy}", BackboneOptions()).resolve()


def test_a_prompt_is_another_space(tiny_bert: Path) -> None:
    plain = space(f"hf:{tiny_bert}")
    assert space(f"hf:{tiny_bert}", prompt="") == plain
    assert len({plain, space(f"hf:{tiny_bert}", prompt="query: "), space(f"hf:{tiny_bert}", prompt="q")}) == 3


def test_what_a_sentence_transformers_folder_adds_changes_no_tap_that_was_there(
    tiny_bert: Path, tmp_path: Path
) -> None:
    plain, copy = f"hf:{tiny_bert}", shutil.copytree(tiny_bert, tmp_path / "copy")
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kinds[path]}"} for path in kinds]
    (copy / "modules.json").write_text(json.dumps(modules))
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert open_backbone(f"hf:{copy}", BackboneOptions()).resolve().default_tap == "final.cls.l2"
    assert space(f"hf:{copy}", "final.mean") == space(plain, "final.mean")
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    assert open_backbone(f"hf:{copy}", BackboneOptions()).resolve().max_length == 32
    assert space(f"hf:{copy}", "final.mean") == space(plain, "final.mean", max_length=32)


@pytest.mark.parametrize("max_length", [1, 2, 65])
def test_a_max_length_out_of_range(tiny_bert: Path, max_length: int) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        space(f"hf:{tiny_bert}", max_length=max_length)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("timm:resnet5O", "nearest: resnet50"),
        ("bundled:all-minilm", "all-minilm-l6-v2"),
        ("nonsense", "write one of"),
        ("py:no_such_module:factory", "cannot be imported"),
        ("py:json", "should be py:package.module:factory"),
    ],
)
def test_an_unknown_backbone_names_the_nearest(spec: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_backbone(spec, BackboneOptions()).resolve()
