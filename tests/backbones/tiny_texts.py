"""Tiny text models of every kind, saved as transformers and sentence-transformers save theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .conftest import TEXTS

N_LAYERS = 3
HIDDEN = 32
MOST_TOKENS = 128  # places of the models that have a table of them


def save_tokenizer(folder: Path, kind: str) -> int:
    """A tokenizer with the special tokens of its kind; the number of its tokens.

    ``encoder``: class token first; ``closing``: nothing but an end (T5); ``opening``: nothing but a
    beginning (Llama); ``bare``: neither, and no padding token (GPT-2).
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    named = {"cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=list(named.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    single, pair, wanted = {
        "encoder": ("<s> $A </s>", "<s> $A </s> $B </s>", named),
        "closing": ("$A </s>", "$A </s> $B </s>", {k: v for k, v in named.items() if k != "cls_token"}),
        "opening": ("<s> $A", "<s> $A $B", {"bos_token": "<s>", "eos_token": "</s>"}),
        "bare": ("$A", "$A $B", {"eos_token": "</s>"}),
    }[kind]
    if single != "$A":
        core.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[(t, core.token_to_id(t)) for t in ("<s>", "</s>")]
        )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=core, model_input_names=["input_ids", "attention_mask"], **wanted
    )
    wrapped.save_pretrained(folder)
    return int(core.get_vocab_size())


def _usual(n_tokens: int) -> dict[str, Any]:
    return {
        "vocab_size": n_tokens,
        "hidden_size": HIDDEN,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": MOST_TOKENS,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "initializer_range": 0.2,
    }


def _config(name: str, n_tokens: int) -> Any:
    import transformers as t

    usual = _usual(n_tokens)
    shifted = {**usual, "max_position_embeddings": MOST_TOKENS + 2}
    small = {"vocab_size": n_tokens, "d_model": HIDDEN, "pad_token_id": 1, "eos_token_id": 2}
    configs: dict[str, Callable[[], Any]] = {
        "bert": lambda: t.BertConfig(**usual),
        "roberta": lambda: t.RobertaConfig(**shifted),
        "xlm-roberta": lambda: t.XLMRobertaConfig(**shifted),
        "camembert": lambda: t.CamembertConfig(**shifted),
        "distilbert": lambda: t.DistilBertConfig(
            vocab_size=n_tokens, dim=HIDDEN, n_layers=N_LAYERS, n_heads=4, hidden_dim=48,
            max_position_embeddings=MOST_TOKENS, initializer_range=0.2, pad_token_id=1,
        ),
        "electra": lambda: t.ElectraConfig(**usual, embedding_size=16),
        "mpnet": lambda: t.MPNetConfig(**shifted),
        "deberta": lambda: t.DebertaConfig(
            **usual, relative_attention=True, pos_att_type=["c2p", "p2c"], type_vocab_size=0
        ),
        "deberta-v2": lambda: t.DebertaV2Config(
            **usual, relative_attention=True, pos_att_type=["c2p", "p2c"], conv_kernel_size=3,
            position_biased_input=False, position_buckets=16, type_vocab_size=0,
        ),
        "modernbert": lambda: t.ModernBertConfig(**usual, local_attention=8, global_attn_every_n_layers=2),
        "albert": lambda: t.AlbertConfig(**usual, embedding_size=16),
        "xlm": lambda: t.XLMConfig(
            vocab_size=n_tokens, emb_dim=HIDDEN, n_layers=N_LAYERS, n_heads=4, embed_init_std=0.2, init_std=0.2,
            max_position_embeddings=MOST_TOKENS, pad_index=1, pad_token_id=1, unk_index=3, bos_index=0, eos_index=2,
        ),
        "t5": lambda: t.T5Config(
            **small, d_kv=8, d_ff=48, num_layers=N_LAYERS, num_decoder_layers=2, num_heads=4,
            decoder_start_token_id=1,
        ),
        "bart": lambda: t.BartConfig(
            **small, encoder_layers=N_LAYERS, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, init_std=0.2,
            max_position_embeddings=MOST_TOKENS, bos_token_id=0, decoder_start_token_id=2,
        ),
        "gpt2": lambda: t.GPT2Config(
            vocab_size=n_tokens, n_embd=HIDDEN, n_layer=N_LAYERS, n_head=4, n_positions=MOST_TOKENS,
            initializer_range=0.2, bos_token_id=2, eos_token_id=2,
        ),
        "llama": lambda: t.LlamaConfig(**{**usual, "pad_token_id": None}, num_key_value_heads=2),
        "gemma2": lambda: t.Gemma2Config(**usual, num_key_value_heads=2, head_dim=8, sliding_window=8),
    }  # fmt: skip
    return configs[name]()


ENCODERS = (
    "bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "deberta", "deberta-v2",
    "modernbert", "albert", "xlm",
)  # fmt: skip
PAIRS = ("t5", "bart")
DECODERS = ("gpt2", "llama", "gemma2")
TOKENIZERS = {"t5": "closing", "gpt2": "bare", "llama": "opening", "gemma2": "opening"}


def save_model(folder: Path, name: str) -> Path:
    """A model of random weights with its tokenizer, in a folder."""
    import transformers

    folder.mkdir(parents=True)
    n_tokens = save_tokenizer(folder, TOKENIZERS.get(name, "encoder"))
    torch.manual_seed(len(name))
    transformers.AutoModel.from_config(_config(name, n_tokens)).eval().save_pretrained(folder)
    return folder


def save_sentence_model(
    folder: Path,
    encoder: Path,
    *modules: Any,
    prompts: Mapping[str, str] | None = None,
    default_prompt: str | None = None,
    **settings: Any,
) -> Path:
    """A sentence-transformers folder that the library itself saves."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

    chain = [Transformer(str(encoder), **settings), *modules]
    model = SentenceTransformer(
        modules=chain, device="cpu", prompts=dict(prompts or {}), default_prompt_name=default_prompt
    )
    model.save(str(folder))
    return folder


def encode(folder: Path, texts: Sequence[str], **arguments: Any) -> Any:
    """What the library itself gives, one text at a time."""
    import numpy as np
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return np.concatenate([model.encode([text], **arguments) for text in texts])


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file; None removes one."""
    value = {**json.loads(path.read_text("utf-8")), **changes}
    kept = {name: entry for name, entry in value.items() if entry is not None}
    path.write_text(json.dumps(kept), "utf-8")
