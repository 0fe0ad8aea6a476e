"""Vision models and dual encoders of a few thousand weights, saved as their authors' own tools would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SIDE = 32
WORDS = ["a", "photo", "of", "cat", "dog", "red", "blue", "the", "shirt", "trousers"]
SQUARE = {"size": {"height": SIDE, "width": SIDE}}
NARROW = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
}  # fmt: skip
PATCHES = {"image_size": SIDE, "patch_size": 8}


def scrambled(model: Any) -> Any:
    """A model whose every weight is away from its tidy first value, as if it had been trained."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.eval()


def save(folder: Path, model: Any, *parts: Any) -> Path:
    """A model with its processor or tokenizer, in a folder."""
    for part in (scrambled(model), *parts):
        part.save_pretrained(folder)
    return folder


def vit(folder: Path, **changes: Any) -> Path:
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    return save(folder, ViTModel(ViTConfig(**NARROW, **PATCHES, **changes)), ViTImageProcessor(**SQUARE))


def deit(folder: Path) -> Path:
    from transformers import DeiTConfig, DeiTImageProcessor, DeiTModel

    processor = DeiTImageProcessor(size={"height": 40, "width": 40}, crop_size=SQUARE["size"])
    return save(folder, DeiTModel(DeiTConfig(**NARROW, **PATCHES)), processor)


def beit(folder: Path) -> Path:
    from transformers import BeitConfig, BeitImageProcessor, BeitModel

    config = BeitConfig(**NARROW, **PATCHES, use_mean_pooling=True, use_relative_position_bias=True)
    return save(folder, BeitModel(config), BeitImageProcessor(**SQUARE, do_center_crop=False))


def dinov2(folder: Path) -> Path:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    config = Dinov2Config(**{k: v for k, v in NARROW.items() if k != "intermediate_size"}, **PATCHES)
    processor = BitImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE["size"])
    return save(folder, Dinov2Model(config), processor)


def dinov2_with_registers(folder: Path) -> Path:
    from transformers import BitImageProcessor, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    sizes = {k: v for k, v in NARROW.items() if k != "intermediate_size"}
    config = Dinov2WithRegistersConfig(**sizes, **PATCHES, num_register_tokens=3)
    processor = BitImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE["size"])
    return save(folder, Dinov2WithRegistersModel(config), processor)


def swin(folder: Path) -> Path:
    from transformers import SwinConfig, SwinModel, ViTImageProcessor

    config = SwinConfig(
        image_size=SIDE, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4
    )
    return save(folder, SwinModel(config), ViTImageProcessor(**SQUARE))


def convnext(folder: Path) -> Path:
    from transformers import ConvNextConfig, ConvNextImageProcessor, ConvNextModel

    config = ConvNextConfig(hidden_sizes=[8, 16, 24], depths=[1, 2, 1], num_stages=3)
    return save(folder, ConvNextModel(config), ConvNextImageProcessor(size={"shortest_edge": SIDE}))


def resnet(folder: Path) -> Path:
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24], depths=[1, 2, 1], layer_type="basic")
    return save(folder, ResNetModel(config), ConvNextImageProcessor(size={"shortest_edge": SIDE}))


def clip_tokenizer() -> Any:
    """Letters, and a few whole words, with the marks of OpenAI's CLIP."""
    from transformers import CLIPTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz.,!?0123456789"
    merges = [(word[:end], word[end]) for word in ("cat", "dog") for end in range(1, len(word))]
    merges = [(a, b + "</w>" if len(a + b) == 3 else b) for a, b in merges]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *(a + b for a, b in merges)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    for mark in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[mark] = len(vocabulary)
    return CLIPTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=20)


def bert_tokenizer(folder: Path, **settings: Any) -> Any:
    from transformers import BertTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*marks, *WORDS[1:], *letters, *(f"##{c}" for c in letters)]))
    return BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=24, **settings)


def clip_config(tokenizer: Any) -> Any:
    from transformers import CLIPConfig

    text = {
        **NARROW, "vocab_size": len(tokenizer), "max_position_embeddings": 20, "projection_dim": 24,
        "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {**NARROW, **PATCHES, "hidden_size": 40, "projection_dim": 24}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)


def clip_processor() -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


def clip(folder: Path) -> Path:
    from transformers import CLIPModel, CLIPProcessor

    tokenizer = clip_tokenizer()
    return save(folder, CLIPModel(clip_config(tokenizer)), CLIPProcessor(clip_processor(), tokenizer))


def siglip(folder: Path, n_tokens: int = 24) -> Path:
    """With a tokenizer that shows no attention mask, as Google's checkpoints have it."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    tokenizer = bert_tokenizer(folder, model_input_names=["input_ids"])
    tokenizer.model_max_length = n_tokens
    text = {
        **NARROW, "vocab_size": len(tokenizer), "max_position_embeddings": n_tokens, "projection_size": 32,
        "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3,
    }  # fmt: skip
    config = SiglipConfig(text_config=text, vision_config={**NARROW, **PATCHES})
    return save(folder, SiglipModel(config), tokenizer, SiglipImageProcessor(**SQUARE))


def siglip2(folder: Path) -> Path:
    """The kind that keeps the shape of a picture: its patches are padded, and a mask says which."""
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model

    tokenizer = bert_tokenizer(folder)
    text = {
        **NARROW, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "projection_size": 32,
        "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3,
    }  # fmt: skip
    vision = {**NARROW, "patch_size": 8, "num_patches": 16}
    processor = Siglip2ImageProcessor(patch_size=8, max_num_patches=20)
    model = Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))
    return save(folder, model, tokenizer, processor)


def chinese_clip(folder: Path) -> Path:
    """Its text tower is a BERT, read at its first position."""
    from transformers import ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel

    tokenizer = bert_tokenizer(folder)
    text = {**NARROW, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "pad_token_id": 0}
    config = ChineseCLIPConfig(text_config=text, vision_config={**NARROW, **PATCHES}, projection_dim=24)
    processor = ChineseCLIPImageProcessor(**SQUARE, do_center_crop=False)
    return save(folder, ChineseCLIPModel(config), tokenizer, processor)


def blip(folder: Path, architecture: str = "BlipForImageTextRetrieval") -> Path:
    import transformers
    from transformers import BlipConfig, BlipImageProcessor, BlipProcessor

    tokenizer = bert_tokenizer(folder)
    text = {
        **NARROW, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "encoder_hidden_size": 40,
        "pad_token_id": 0, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3,
    }  # fmt: skip
    vision = {**NARROW, **PATCHES, "hidden_size": 40}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=24, image_text_hidden_size=28)
    model = getattr(transformers, architecture)(config)
    return save(folder, model, BlipProcessor(BlipImageProcessor(**SQUARE), tokenizer))


def changed(folder: Path, start: str) -> Path:
    """The same folder after every weight whose name begins so was moved."""
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    moved = {name: tensor + 0.1 if name.startswith(start) else tensor for name, tensor in state.items()}
    assert any(name.startswith(start) for name in state)
    save_file(moved, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def without(folder: Path, unwanted: Callable[[str], bool]) -> Path:
    """The same folder after weights were taken out of its file."""
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not unwanted(name)}
    assert len(kept) < len(state)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def reconfigured(folder: Path, name: str, **changes: Any) -> Path:
    """The same folder after entries of one of its JSON files were changed."""
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder
