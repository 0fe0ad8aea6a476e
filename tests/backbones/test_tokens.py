"""``….tokens`` keeps every position of a sample: what the model gives it alone, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.backbones.pooling import choose_taps, is_ragged, read_tap, reads_of
from headstart.errors import ConfigError
from headstart.types import Tokens

from ..extraction.models import PICTURES, Opened, open_named
from ..variants import variants


def tokens(opened: Opened, tap: str, samples: Sequence[Any]) -> list[torch.Tensor]:
    """The vectors of each sample, all computed in one batch."""
    model = opened.model
    read = read_tap(model.forward(model.collate(model.prepare(samples)), reads_of([tap])), tap)
    assert isinstance(read, Tokens)
    assert int(read.lengths.sum()) == len(read.values)
    return list(read.values.split(read.lengths.tolist()))


def assert_same(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    assert [part.shape for part in found] == [part.shape for part in expected]
    for one, other in zip(found, expected, strict=True):
        assert ((one - other).abs().amax(1) <= 1e-5 * other.abs().amax(1)).all()


def hidden_states(folder: str, text: str) -> tuple[torch.Tensor, ...]:
    """What transformers gives a text alone: its layers, the last one after the closing norm."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.inference_mode():
        output = model(
            **tokenizer(text, return_tensors="pt", truncation=True, max_length=64), output_hidden_states=True
        )
    states: tuple[torch.Tensor, ...] = tuple(state[0] for state in output.hidden_states)
    return (*states[:-1], output.last_hidden_state[0])


@pytest.mark.parametrize("name", variants(["bert", "t5", "gpt2", "modernbert"], {"bert", "modernbert"}))
def test_texts_of_different_lengths_keep_the_tokens_that_they_have_alone(name: str, tmp_path: Path) -> None:
    opened = open_named(f"text:{name}", tmp_path)
    texts = sorted(opened.samples, key=len)[:6]
    alone = [hidden_states(opened.spec.removeprefix("hf:"), text) for text in texts]
    assert len({len(states[0]) for states in alone}) > 2
    for tap, layer in (("final.tokens", -1), ("1.tokens", 1), ("0.tokens", 0)):
        assert_same(tokens(opened, tap, texts), [states[layer] for states in alone])


def test_a_text_in_company_has_the_tokens_that_it_has_alone(tmp_path: Path) -> None:
    opened = open_named("clip:text", tmp_path)
    together = tokens(opened, "final.tokens", opened.samples)
    assert_same(together, [tokens(opened, "final.tokens", [text])[0] for text in opened.samples])
    assert len({len(part) for part in together}) > 2


def test_of_a_vision_transformer_tokens_are_its_patches(tmp_path: Path) -> None:
    """Neither the class token nor registers are among them."""
    for name in ("image:vit", "image:dinov2_with_registers", "clip:image"):
        opened = open_named(name, tmp_path)
        model: Any = opened.model.module
        tower = getattr(model, "vision_model", model)
        n_prefix = 4 if "registers" in name else 1
        for tap in ("final.tokens", "2.tokens"):
            expected = []
            for sample in PICTURES[:3]:
                batch = opened.model.collate(opened.model.prepare([sample]))
                with torch.inference_mode():
                    output = tower(batch["pixel_values"], output_hidden_states=True)
                layer = output.last_hidden_state if tap[0] == "f" else output.hidden_states[2]
                expected.append(layer[0, n_prefix:])
            assert all(len(patches) == 16 for patches in expected)
            assert_same(tokens(opened, tap, PICTURES[:3]), expected)


def test_pictures_that_keep_their_shape_have_as_many_patches_as_they_show(tmp_path: Path) -> None:
    opened = open_named("siglip2:image", tmp_path)
    together = tokens(opened, "final.tokens", PICTURES)
    assert_same(together, [tokens(opened, "final.tokens", [picture])[0] for picture in PICTURES])


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit", "image:resnet"])
def test_of_a_map_tokens_are_its_places_row_by_row(name: str, tmp_path: Path) -> None:
    opened = open_named(name, tmp_path)
    model: Any = opened.model.module
    batch = next(iter(opened.model.collate(opened.model.prepare(PICTURES[:3])).values()))
    with torch.inference_mode():
        if name.startswith("timm"):
            [maps] = model.forward_intermediates(batch, indices=[1], intermediates_only=True, norm=False)
        else:
            maps = model(batch, output_hidden_states=True).hidden_states[2]
    places = [part.flatten(1).T for part in maps]
    assert_same(tokens(opened, "2.tokens", PICTURES[:3]), places)


def test_each_token_is_scaled_to_length_one_by_itself(tmp_path: Path) -> None:
    opened = open_named("text:bert", tmp_path)
    plain, unit = (tokens(opened, tap, opened.samples) for tap in ("final.tokens", "final.tokens.l2"))
    assert_same(unit, [part / part.norm(dim=1, keepdim=True) for part in plain])


def test_all_tokens_and_one_vector_cannot_be_one_feature(tmp_path: Path) -> None:
    info = open_named("text:bert", tmp_path).info
    for tap in ("last.tokens+mean", "last.mean+tokens", "2.tokens+tokens"):
        with pytest.raises(ConfigError, match="there is no tap"):
            choose_taps([tap], info)
    taps = choose_taps(["last.tokens", "-1.tokens.l2", "1.tokens", "1.mean"], info)
    assert taps == ("final.tokens", "final.tokens.l2", "1.tokens", "1.mean")
    assert [is_ragged(tap) for tap in taps] == [True, True, True, False]
    assert choose_taps(["last.tokens"], info, normalize=True) == ("final.tokens.l2",)
