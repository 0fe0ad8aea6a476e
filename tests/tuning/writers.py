"""Tiny encoder-decoders of every kind with a tokenizer, and texts to write out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

KINDS = ("t5", "bart", "marian", "mbart")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLITS = ("train", "train", "train", "validation", "test")
SMALL = {"d_model": 32, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}


def rows(n: int) -> list[dict[str, Any]]:
    """Digits behind a word that no tokenizer here knows, so that each row is another text, and the digits as words."""
    found = []
    for number in range(n):
        digit = (number // len(SPLITS) * 3) % 10
        row = {
            "input": f"row{number} {digit}",
            "target": DIGITS[digit],
            "split": SPLITS[number % len(SPLITS)],
        }
        found.append(row)
    return found


def write_rows(path: Path, found: Sequence[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in found), "utf-8")
    return path


def save_tokenizer(folder: Path) -> int:
    """Words and digits as tokens, with an end behind every text; how many tokens there are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    words = [*marks.values(), *DIGITS, *"0123456789"]
    core = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)])
    core.decoder = decoders.Fuse()
    core.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=core, model_input_names=["input_ids", "attention_mask"], **marks
    ).save_pretrained(folder)
    return len(words)


def _config(kind: str, n_tokens: int) -> Any:
    import transformers as t

    sides = {
        "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 40, "init_std": 0.2,
        "vocab_size": n_tokens, "bos_token_id": 0, "dropout": 0.0,
    }  # fmt: skip
    configs: dict[str, Callable[[], Any]] = {
        "t5": lambda: t.T5Config(
            **SMALL, vocab_size=n_tokens, d_kv=8, d_ff=48, num_layers=3, num_decoder_layers=2, num_heads=4,
            dropout_rate=0.0,
        ),
        "bart": lambda: t.BartConfig(**SMALL, **sides, forced_eos_token_id=None),
        "mbart": lambda: t.MBartConfig(**{**SMALL, **sides, "decoder_start_token_id": 0}, forced_eos_token_id=None),
        "marian": lambda: t.MarianConfig(**SMALL, **sides, forced_eos_token_id=None),
    }  # fmt: skip
    return configs[kind]()


def save_writer(folder: Path, kind: str) -> Path:
    """A model of random weights with its tokenizer, in a folder."""
    import torch
    import transformers

    folder.mkdir(parents=True)
    config = _config(kind, save_tokenizer(folder))
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(1.5)
    model.save_pretrained(folder)
    return folder
