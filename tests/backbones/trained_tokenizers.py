"""Tokenizers as the great families have them, trained on little text and loaded through transformers' own classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

FAMILIES = ("bert", "roberta", "deberta-v3", "modernbert", "clip", "t5")
BYTES = pre_tokenizers.ByteLevel.alphabet()
BERT = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
ROBERTA = {
    "bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>",
    "cls_token": "<s>", "sep_token": "</s>",
}  # fmt: skip
CLIP = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
T5 = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
CLASSES = {
    "bert": "BertTokenizerFast", "roberta": "RobertaTokenizerFast", "deberta-v3": "DebertaV2TokenizerFast",
    "modernbert": "PreTrainedTokenizerFast", "clip": "CLIPTokenizerFast", "t5": "T5TokenizerFast",
}  # fmt: skip
SPECIAL = {"bert": BERT, "roberta": ROBERTA, "deberta-v3": BERT, "modernbert": BERT, "clip": CLIP, "t5": T5}


def trained(family: str, texts: Sequence[str], folder: Path) -> Any:
    """A tokenizer of a family, as it comes from a folder."""
    import transformers

    special = SPECIAL[family]
    core = _CORES[family](list(dict.fromkeys(special.values())), texts)
    whole = transformers.PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=512, **special)
    whole.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = {**json.loads(path.read_text("utf-8")), "tokenizer_class": CLASSES[family]}
    if family == "modernbert":  # its mask takes the blank before it along
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    path.write_text(json.dumps(settings), "utf-8")
    return transformers.AutoTokenizer.from_pretrained(folder)


def _template(core: Tokenizer, single: str, pair: str) -> None:
    marks = {part for part in f"{single} {pair}".replace(":1", "").split() if not part.startswith("$")}
    known = [(mark, core.token_to_id(mark)) for mark in sorted(marks)]
    core.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=known)


def _bert(special: list[str], texts: Sequence[str]) -> Tokenizer:
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=2000, special_tokens=special, show_progress=False)
    )
    sep, cls = (("[SEP]", core.token_to_id("[SEP]")), ("[CLS]", core.token_to_id("[CLS]")))
    core.post_processor = processors.BertProcessing(sep, cls)
    return core


def _bytes(
    special: list[str], texts: Sequence[str], finish: Callable[[Tokenizer], None], prefix: bool = False
) -> Tokenizer:
    """Byte-level BPE."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=special, initial_alphabet=BYTES, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    finish(core)
    return core


def _as_roberta(core: Tokenizer) -> None:
    core.post_processor = processors.RobertaProcessing(
        ("</s>", core.token_to_id("</s>")), ("<s>", core.token_to_id("<s>")), add_prefix_space=False
    )


def _as_modernbert(core: Tokenizer) -> None:
    core.normalizer = normalizers.NFC()
    core.add_tokens([" " * n for n in (2, 3, 4, 8)] + ["|||IP_ADDRESS|||"])
    core.add_special_tokens([AddedToken("[MASK]", lstrip=True, normalized=False, special=True)])
    _template(core, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]")


def _clip(special: list[str], texts: Sequence[str]) -> Tokenizer:
    core = Tokenizer(
        models.BPE(unk_token=CLIP["unk_token"], end_of_word_suffix="</w>", continuing_subword_prefix="")
    )
    core.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=special, initial_alphabet=BYTES, end_of_word_suffix="</w>",
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator(texts, trainer)
    ends = (CLIP[name] for name in ("eos_token", "bos_token"))
    eos, bos = ((mark, core.token_to_id(mark)) for mark in ends)
    core.post_processor = processors.RobertaProcessing(eos, bos, trim_offsets=False, add_prefix_space=False)
    return core


def _unigram(
    special: list[str], texts: Sequence[str], unknown: str, normal: Sequence[Any], single: str, pair: str
) -> Tokenizer:
    """As sentencepiece's models are converted."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.Sequence(list(normal))
    core.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=1500, special_tokens=special, unk_token=unknown, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    _template(core, single, pair)
    return core


_CORES: dict[str, Callable[[list[str], Sequence[str]], Tokenizer]] = {
    "bert": _bert,
    "roberta": partial(_bytes, finish=_as_roberta),
    "deberta-v3": partial(
        _unigram,
        unknown="[UNK]",
        normal=[
            normalizers.Strip(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "),
        ],
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    ),
    "modernbert": partial(_bytes, finish=_as_modernbert),
    "clip": _clip,
    "t5": partial(
        _unigram,
        unknown="<unk>",
        normal=[normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")],
        single="$A </s>",
        pair="$A </s> $B </s>",
    ),
}  # fmt: skip
