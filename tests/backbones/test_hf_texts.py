"""Text models of every kind give what transformers gives for each text alone, wherever they are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.pooling import canonical_tap, pool
from headstart.errors import BackboneError, ConfigError, SampleError
from headstart.types import Activations, BackboneInfo

from ..variants import variants
from .conftest import TEXTS
from .opening import run_model
from .test_parity import assert_equal, features
from .tiny_texts import (
    DECODERS,
    ENCODERS,
    MOST_TOKENS,
    N_LAYERS,
    PAIRS,
    rewrite,
    save_model,
    save_tokenizer,
)

ALL = (*ENCODERS, *PAIRS, *DECODERS)
FEW = ("bert", "deberta-v2", "modernbert", "xlm", "t5", "gpt2")
NUMBERED = tuple(name for name in ALL if name not in ("albert", "xlm"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a tiny model of a kind; made once, so not to be changed."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = save_model(tmp_path_factory.mktemp("tiny") / name, name)
        return made[name]

    return of


def resolve(folder: Path, **options: Any) -> BackboneInfo:
    return open_backbone(f"hf:{folder}", BackboneOptions(**options)).resolve()


def reference(folder: Path) -> tuple[Any, Any]:
    """The library's own tokenizer and model; of an encoder-decoder its encoder."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    return transformers.AutoTokenizer.from_pretrained(folder), model


def one_by_one(folder: Path, read: Callable[[Any], torch.Tensor], **arguments: Any) -> NDArray[np.float32]:
    tokenizer, model = reference(folder)
    with torch.no_grad():
        rows = [
            read(model(**tokenizer(t, return_tensors="pt", truncation=True, max_length=MOST_TOKENS), **arguments))
            for t in TEXTS
        ]  # fmt: skip
    return torch.stack(rows).numpy()


READ: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": lambda h: h.mean(0),
    "cls": lambda h: h[0],
    "eos": lambda h: h[-1],
    "max": lambda h: h.amax(0),
}


@pytest.mark.parametrize("name", variants(ALL, FEW))
def test_the_default_tap_equals_transformers(tiny: Callable[[str], Path], name: str) -> None:
    """Encoders are read by their mean, language models at their last token; batches change nothing."""
    info = resolve(tiny(name), max_length=MOST_TOKENS)
    assert info.default_tap == ("final.eos" if name in DECODERS else "final.mean")
    read = READ[info.default_tap.removeprefix("final.")]
    expected = one_by_one(tiny(name), lambda output: read(output.last_hidden_state[0]))
    spec = f"hf:{tiny(name)}"
    assert_equal(features(spec, TEXTS, info.default_tap, max_length=MOST_TOKENS), expected)
    alone = [features(spec, [text], info.default_tap, max_length=MOST_TOKENS) for text in TEXTS]
    assert_equal(np.concatenate(alone), expected)


@pytest.mark.parametrize("name", ["roberta", "t5", "gpt2"])
def test_every_tap_that_is_offered_can_be_read(tiny: Callable[[str], Path], name: str) -> None:
    backbone = open_backbone(f"hf:{tiny(name)}", BackboneOptions())
    info, model = backbone.resolve(), backbone.load("cpu", "fp32")
    given = run_model(model, model.prepare(TEXTS))
    assert all(pool(given, tap).isfinite().all() for tap in info.taps)
    assert ("final.cls" in info.taps) == (name == "roberta")
    if name == "roberta":
        expected = one_by_one(tiny(name), lambda output: output.pooler_output[0])
        assert_equal(features(f"hf:{tiny(name)}", TEXTS, "pooler"), expected)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", variants(DECODERS, {"gpt2"}))
def test_the_last_token_of_a_padded_batch(tiny: Callable[[str], Path], name: str, side: str) -> None:
    """As with left padding and places counted from the first token, and as with right padding."""
    tokenizer, model = reference(tiny(name))
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, side
    batch = tokenizer(TEXTS, return_tensors="pt", padding=True, truncation=True, max_length=MOST_TOKENS)
    mask = batch["attention_mask"]
    places = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        hidden = model(**batch, position_ids=places).last_hidden_state
    last = mask.sum(1) - 1 if side == "right" else torch.full((len(TEXTS),), mask.shape[1] - 1)
    expected = hidden[torch.arange(len(TEXTS)), last].numpy()
    assert_equal(features(f"hf:{tiny(name)}", TEXTS, "final.eos"), expected)


@pytest.mark.parametrize("name", variants(NUMBERED, FEW))
def test_layers_by_number_are_what_enters_and_leaves_the_blocks(
    tiny: Callable[[str], Path], name: str
) -> None:
    info = resolve(tiny(name))
    assert (info.n_layers, info.first_layer) == (N_LAYERS, 0)
    expected = one_by_one(
        tiny(name), lambda o: torch.stack([h[0].mean(0) for h in o.hidden_states]), output_hidden_states=True
    )
    model = open_backbone(f"hf:{tiny(name)}", BackboneOptions()).load("cpu", "fp32")
    numbers = [str(number) for number in range(N_LAYERS + 1)]
    given = run_model(model, model.prepare(TEXTS), numbers)
    # The library's last entry stands before or after the closing norm, as the model has it; its second
    # one in DeBERTa-v2 after the convolution that follows the first block.
    same = [0, 2] if name == "deberta-v2" else range(N_LAYERS)
    for number in same:
        assert_equal(pool(given, f"{number}.mean").numpy(), expected[:, number])
    last, final = given.layers[str(N_LAYERS)].hidden, given.layers["final"].hidden
    assert info.closing_norm == (not torch.equal(last, final))
    tap = canonical_tap("-1.mean", info.n_layers, info.first_layer, info.closing_norm)
    assert tap == (f"{N_LAYERS}.mean" if info.closing_norm else "final.mean")


def test_only_the_layers_that_are_asked_for_are_kept(tiny: Callable[[str], Path]) -> None:
    model = open_backbone(f"hf:{tiny('bert')}", BackboneOptions()).load("cpu", "fp32")
    assert set(run_model(model, model.prepare(TEXTS), ["2"]).layers) == {"final", "2"}
    assert set(run_model(model, model.prepare(TEXTS)).layers) == {"final"}


def test_a_closing_norm_stands_between_the_last_layer_and_the_end(tiny: Callable[[str], Path]) -> None:
    norms = {name: resolve(tiny(name)).closing_norm for name in ("bert", "bart", "t5", "gpt2", "llama")}
    assert norms == {"bert": False, "bart": False, "t5": True, "gpt2": True, "llama": True}


def test_a_model_without_a_list_of_blocks_offers_no_layers(tiny: Callable[[str], Path]) -> None:
    """ALBERT runs one block many times; XLM has a list of attentions and one of what follows each."""
    assert [resolve(tiny(name)).n_layers for name in ("albert", "xlm")] == [0, 0]


def test_only_what_the_features_read_is_digested(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """The decoder of an encoder-decoder may be another one, or missing."""
    import shutil

    from safetensors.torch import load_file, save_file

    for name, prefix in (("bart", "decoder.layers"), ("t5", "decoder.block")):
        copy = shutil.copytree(tiny(name), tmp_path / name)
        state = load_file(copy / "model.safetensors")
        changed = {key: value + 1 if key.startswith(prefix) else value for key, value in state.items()}
        assert any(key.startswith(prefix) for key in state)
        save_file(changed, copy / "model.safetensors", metadata={"format": "pt"})
        assert resolve(copy).weights == resolve(tiny(name)).weights
        changed = {key: value for key, value in state.items() if not key.startswith("encoder.")}
        save_file(changed, copy / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(BackboneError, match="lacks weights that its features need"):
            resolve(copy)


def test_a_model_that_reads_at_random_is_refused(tmp_path: Path) -> None:
    from transformers import ReformerConfig, ReformerModel

    save_tokenizer(tmp_path, "encoder")
    config = ReformerConfig(
        hidden_size=32, attn_layers=["lsh", "lsh"], num_attention_heads=2, attention_head_size=16, num_buckets=4,
        axial_pos_shape=(4, 8), axial_pos_embds_dim=(16, 16), lsh_attn_chunk_length=4, is_decoder=False,
    )  # fmt: skip
    ReformerModel(config).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="other numbers each time"):
        resolve(tmp_path)


def test_what_is_no_text_model_is_refused_by_name(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    from headstart.backbones.hf.models import HubModel
    from headstart.backbones.hf.texts import TextBackbone

    config = ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32)
    ViTModel(config).save_pretrained(tmp_path / "vit")
    with pytest.raises(BackboneError, match="no text model: it is a ViTModel, which takes pixel_values"):
        TextBackbone(HubModel("hf:vit", str(tmp_path / "vit"), BackboneOptions())).resolve()


def test_a_padding_token_that_only_the_tokenizer_has_is_not_read(tmp_path: Path) -> None:
    """The embedding has no row for it, and is never resized."""
    import transformers

    folder = save_model(tmp_path / "gpt2", "gpt2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    expected = one_by_one(folder, lambda output: output.last_hidden_state[0, -1])
    assert_equal(features(f"hf:{folder}", TEXTS, "final.eos"), expected)


def test_a_model_takes_as_many_tokens_as_it_has_places_for(tmp_path: Path) -> None:
    """RoBERTa's table of places has two more than it can use, and its tokenizer may not say so."""
    folder = save_model(tmp_path / "roberta", "roberta")
    rewrite(folder / "tokenizer_config.json", model_max_length=None)
    assert resolve(folder).max_length == MOST_TOKENS
    assert np.isfinite(features(f"hf:{folder}", ["long " * 500], "final.mean")).all()
    with pytest.raises(ConfigError, match=f"it takes 3 to {MOST_TOKENS} tokens"):
        resolve(folder, max_length=MOST_TOKENS + 1)


def test_long_and_odd_texts(tiny: Callable[[str], Path]) -> None:
    """Very many characters, NUL bytes, one word without end; the first of a pair as well as the second."""
    backbone = open_backbone(f"hf:{tiny('roberta')}", BackboneOptions(modality="text-pair"))
    model = backbone.load("cpu", "fp32")
    began = time.process_time()  # which does not count what others do on the machine
    long = ["many words " * 20_000, "a" * 200_000, "\0" * 200_000, "東" * 200_000, "a\0b"]
    prepared = model.prepare(long)
    pairs = model.prepare([(text, other) for text in long[:4] for other in (long[0], "x")])
    assert time.process_time() - began < 60  # minutes, where the time is quadratic
    assert all(len(ids["input_ids"]) == MOST_TOKENS for ids in (*prepared[:4], *pairs))
    assert pool(run_model(model, prepared), "final.mean").isfinite().all()


def test_the_cut_of_a_long_text_changes_no_token(tiny: Callable[[str], Path]) -> None:
    tokenizer, _ = reference(tiny("roberta"))
    model = open_backbone(f"hf:{tiny('roberta')}", BackboneOptions(max_length=16)).load("cpu", "fp32")
    for text in (" ".join(f"word{n}" for n in range(3000)), "x" * 9000, " " * 9000 + "end", "é \n" * 4000):
        (found,) = model.prepare([text])
        assert found["input_ids"] == tokenizer(text, truncation=True, max_length=16)["input_ids"]


def test_half_a_character_is_named_and_spoils_nothing(tiny: Callable[[str], Path]) -> None:
    model = open_backbone(f"hf:{tiny('bert')}", BackboneOptions()).load("cpu", "fp32")
    good, bad = model.prepare(["good", "ab\ud800"])
    assert good["input_ids"]
    assert isinstance(bad, SampleError)
    assert "lone surrogate, U+D800) at place 2" in str(bad)


def test_a_text_without_tokens_is_named(tiny: Callable[[str], Path]) -> None:
    model = open_backbone(f"hf:{tiny('gpt2')}", BackboneOptions()).load("cpu", "fp32")
    empty, good = model.prepare(["", "good"])
    assert "no tokens" in str(empty)
    assert isinstance(run_model(model, [good]), Activations)
