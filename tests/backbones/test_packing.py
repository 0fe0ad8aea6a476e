"""Texts packed one behind the other give what padded ones give; a model that cannot be packed stays padded."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention as attention

from headstart.backbones.hf.frozen_texts import FrozenTextModel
from headstart.backbones.hf.packing import Sequences, varlen_attention
from headstart.backbones.pooling import read_tap
from headstart.types import Tokens

from ..variants import variants
from . import tiny_texts
from .conftest import TEXTS
from .opening import opened, run_model

PACKED = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert")
PADDED = ("mpnet", "deberta", "deberta-v2", "t5", "bart", "gpt2", "llama")
LAYERS = [str(number) for number in range(tiny_texts.N_LAYERS + 1)]


def portable_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sequences: Sequences,
    scale: float | None,
    window: int | None,
) -> torch.Tensor:
    """What the fused kernel gives, on any device: text by text."""
    parts = []
    for start, end in pairwise(sequences.cumulative.tolist()):
        q, k, v = (part[start:end].transpose(0, 1) for part in (query, key, value))
        places = torch.arange(end - start, device=query.device)
        near = None if window is None else (places[:, None] - places).abs() <= window
        parts.append(attention(q, k, v, attn_mask=near, scale=scale).transpose(0, 1))
    return torch.cat(parts)


def texts_of(folder: Path, name: str, **options: Any) -> FrozenTextModel:
    model = opened(tiny_texts.save_model(folder / name, name), "text", **options)
    assert isinstance(model, FrozenTextModel)
    return model


def read(model: FrozenTextModel, tap: str) -> torch.Tensor:
    found = read_tap(run_model(model, model.prepare(TEXTS), LAYERS), tap)
    return found.values if isinstance(found, Tokens) else found


@pytest.mark.parametrize("name", variants(PACKED, {"bert", "roberta", "modernbert"}))
def test_packed_texts_give_what_padded_ones_give(name: str, tmp_path: Path) -> None:
    model = texts_of(tmp_path, name)
    taps = [f"{layer}.{pooling}" for layer in (*LAYERS, "final") for pooling in ("cls", "mean", "tokens")]
    padded = {tap: read(model, tap) for tap in taps}
    model.pack_with(portable_attention)
    assert model.forward_as == "packed"
    assert model.collate(model.prepare(TEXTS))["input_ids"].shape[0] == 1
    for tap, expected in padded.items():
        found = read(model, tap)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max(), tap


def test_what_a_model_pools_by_itself_is_pooled_text_by_text(tmp_path: Path) -> None:
    model = texts_of(tmp_path, "bert")
    expected = run_model(model, model.prepare(TEXTS)).whole["pooler"]
    model.pack_with(portable_attention)
    found = run_model(model, model.prepare(TEXTS)).whole["pooler"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_prompt_takes_no_part_in_packed_texts_either(tmp_path: Path) -> None:
    model = texts_of(tmp_path, "bert", prompt="query: ")
    expected = read(model, "final.mean")
    model.pack_with(portable_attention)
    assert model.forward_as == "packed"
    torch.testing.assert_close(read(model, "final.mean"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", variants(PADDED, {"deberta-v2", "t5", "gpt2"}))
def test_a_model_that_cannot_be_packed_stays_padded(name: str, tmp_path: Path) -> None:
    model = texts_of(tmp_path, name)
    expected = read(model, "final.mean")
    model.pack_with(portable_attention)
    assert model.forward_as == "eager"
    assert model.collate(model.prepare(TEXTS))["input_ids"].shape[0] == len(TEXTS)
    assert torch.equal(read(model, "final.mean"), expected)


def test_an_attention_that_mixes_texts_up_fails_the_trial(tmp_path: Path) -> None:
    """As a kernel would that does not know this machine's GPU well."""
    model = texts_of(tmp_path, "bert")
    expected = read(model, "final.mean")

    def mixing(query: Any, key: Any, value: Any, sequences: Any, scale: Any, window: Any) -> torch.Tensor:
        return portable_attention(query, key.flip(0), value.flip(0), sequences, scale, window)

    model.pack_with(mixing)
    assert model.forward_as == "eager"
    assert torch.equal(read(model, "final.mean"), expected)


def test_a_cpu_pads(tmp_path: Path) -> None:
    assert texts_of(tmp_path, "bert").forward_as == "eager"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_fused_kernel_gives_what_the_portable_one_gives() -> None:
    from headstart.backbones.hf.packing import Sequences

    attend = varlen_attention()
    assert attend is not None
    lengths = [1, 7, 130, 64]
    at = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).cuda()
    q, k, v = (torch.randn(sum(lengths), 4, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    for window in (None, 16):
        with torch.inference_mode():
            fused, portable = (
                each(q, k, v, Sequences(at, max(lengths)), None, window)
                for each in (attend, portable_attention)
            )
        torch.testing.assert_close(fused, portable, atol=2e-2, rtol=2e-2)
