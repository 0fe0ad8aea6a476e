"""Tokens without transformers are those that transformers gives, whatever the tokenizer and the text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.hf.described_texts import core_json, describe
from headstart.backbones.hf.hub_tokenizer import HubTokenizer, lower_cased
from headstart.backbones.hf.plain_tokenizer import PlainTokenizer
from headstart.backbones.hf.tokens import TextInput
from headstart.backbones.plain_inputs import PlainInputs, open_plain_inputs, proven
from headstart.errors import SampleError
from headstart.token_rows import n_tokens_of

from ..variants import variants
from .many_texts import BROKEN, many_texts, written_lines
from .tiny_texts import save_model
from .trained_tokenizers import FAMILIES, trained

Trained = Callable[[str], Any]
SETTINGS: list[dict[str, Any]] = [
    {"max_length": 512},
    {"max_length": 7},
    {"max_length": 40, "prompt": "search query: "},
    {"max_length": 16, "in_windows": True},
    {"max_length": 24, "in_windows": True, "prompt": "Ask"},
]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Tokenizers by family, each made once."""
    made: dict[str, Any] = {}

    def tokenizer(family: str) -> Any:
        if family not in made:
            made[family] = trained(family, written_lines()[:1000], tmp_path_factory.mktemp(family))
        return made[family]

    return tokenizer


class Swap:
    """Shows the ids that a change may touch, and what hides one."""

    def image(self, image: Any) -> Any:
        return image

    def text(self, text: str) -> str:
        return text.swapcase()

    def tokens(self, ids: Sequence[int], special: Any, mask: int | None) -> list[int]:
        return [token if token in special else -1 if mask is None else mask for token in ids]


def plain_of(tokenizer: Any) -> PlainTokenizer:
    """The same tokenizer after its description and its core went through files."""
    hub = HubTokenizer(tokenizer)
    said, core = json.loads(json.dumps(describe(hub))), core_json(hub)
    assert said is not None
    assert core is not None
    return PlainTokenizer(said, core)


def seen(prepared: Sequence[Any]) -> list[Any]:
    """What can be compared: ids and how many tokens there were, or why there are none."""
    return [str(part) if isinstance(part, SampleError) else (part, n_tokens_of(part)) for part in prepared]


def assert_alike(tokenizer: Any, texts: Sequence[str], settings: dict[str, Any]) -> None:
    expected = TextInput(HubTokenizer(tokenizer), **settings)
    found = TextInput(plain_of(tokenizer), **settings)
    changes = [Swap() if number % 2 else None for number in range(len(texts))]
    assert seen(found.prepare(texts)) == seen(expected.prepare(texts))
    assert seen(found.prepare(texts, changes)) == seen(expected.prepare(texts, changes))
    assert found.prompt_length() == expected.prompt_length()
    if settings.get("in_windows"):
        assert found.overlap == expected.overlap
        return
    pairs = list(zip(texts, reversed(texts), strict=True))
    assert seen(found.prepare(pairs)) == seen(expected.prepare(pairs))
    assert seen(found.prepare(pairs, changes)) == seen(expected.prepare(pairs, changes))


@pytest.mark.parametrize("family", variants(FAMILIES, {"bert", "deberta-v3"}))
def test_tokens_are_those_of_transformers(tokenizers: Trained, family: str) -> None:
    tokenizer = tokenizers(family)
    assert tokenizer.is_fast
    assert_alike(tokenizer, many_texts(100)[20:], SETTINGS[0])
    for settings in SETTINGS[1:]:
        assert_alike(tokenizer, many_texts(100)[40:70], settings)


def test_half_a_character_is_refused_alike(tokenizers: Trained) -> None:
    """Also behind what is read of a text; the texts around it are not."""
    texts = ["one", *BROKEN, "two"]
    for settings in SETTINGS[:2]:
        assert_alike(tokenizers("bert"), texts, settings)
    prepared = TextInput(plain_of(tokenizers("bert")), 6).prepare(texts)
    refused = [str(part) for part in prepared if isinstance(part, SampleError)]
    assert len(refused) == 3
    assert all("half a character" in message for message in refused)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_of_ten_thousand_texts_all_tokens_are_those_of_transformers(
    tokenizers: Trained, family: str, settings: dict[str, Any]
) -> None:
    texts = many_texts(10_000, seed=2)
    for start in range(0, len(texts), 500):
        assert_alike(tokenizers(family), texts[start : start + 500], settings)


def test_what_was_done_to_a_tokenizer_is_kept(tmp_path: Path) -> None:
    """It cuts on the left, reads special tokens as text, and was told to turn texts into lower case."""
    tokenizer = trained("roberta", written_lines()[:1000], tmp_path)
    assert lower_cased(tokenizer)
    tokenizer.truncation_side = "left"
    tokenizer.split_special_tokens = True
    assert_alike(tokenizer, many_texts(100)[40:70], SETTINGS[1])
    ids = TextInput(plain_of(tokenizer), 6).prepare(["ONE <mask> two three four"])[0]["input_ids"]
    assert ids[1:-1] == tokenizer("one <mask> two three four", add_special_tokens=False)["input_ids"][-4:]


def assert_same_batches(model: Any, plain: PlainInputs, payloads: Sequence[Any]) -> None:
    """After its settings went through a file."""
    opened = open_plain_inputs(plain.kind, json.loads(json.dumps(plain.settings)), plain.files)
    assert opened.is_reentrant
    assert opened.budget == model.budget
    rows, own = opened.prepare(payloads), model.prepare(payloads)
    assert [opened.length(row) for row in rows] == [model.length(row) for row in own]
    found, expected = opened.collate(rows), model.collate(own)
    assert list(found) == list(expected)
    for name, part in found.items():
        assert part.dtype == expected[name].numpy().dtype
        np.testing.assert_array_equal(part, expected[name].numpy())


TEXTS = ["I lost my card.", "hello", "What is the exchange rate? " * 20, "naïve façade – 東京"]


@pytest.mark.parametrize("name", variants(["bert", "t5", "gpt2", "deberta-v2"], {"bert", "gpt2"}))
def test_a_text_model_gives_the_batches_that_it_gives_without_torch(name: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / name, name)
    for options in ({}, {"prompt": "query: ", "max_length": 12}):
        backbone = open_backbone(f"hf:{folder}", BackboneOptions(**options))
        model: Any = backbone.load("cpu", "fp32")
        plain = model.plain()
        assert plain is not None
        assert_same_batches(model, plain, TEXTS)
        assert_same_batches(model, plain, [("one", "two"), (TEXTS[2], "b")])


@pytest.mark.parametrize("name", ["clip", "siglip", "siglip2", "chinese_clip"])
def test_so_does_the_text_side_of_a_dual_encoder(name: str, dual_folders: dict[str, Path]) -> None:
    """Padded to the longest, to one length, or on the left."""
    backbone = open_backbone(f"hf:{dual_folders[name]}", BackboneOptions(modality="text"))
    model: Any = backbone.load("cpu", "fp32")
    plain = model.plain()
    assert plain is not None
    assert_same_batches(model, plain, ["a photo of a cat", "cat", "dog " * 40])


def test_both_sides_together_keep_torch(dual_folders: dict[str, Path]) -> None:
    backbone = open_backbone(f"hf:{dual_folders['clip']}", BackboneOptions(modality="image-text"))
    model: Any = backbone.load("cpu", "fp32")
    assert model.plain() is None


@pytest.mark.slow
def test_the_bundled_text_model_reads_ten_thousand_texts_alike() -> None:
    model: Any = open_backbone("bundled:all-minilm-l6-v2", BackboneOptions()).load("cpu", "fp32")
    plain = model.plain()
    opened = open_plain_inputs(plain.kind, plain.settings, plain.files)
    texts = many_texts(10_000, seed=3)
    assert seen(opened.prepare(texts)) == seen(model.prepare(texts))


class Shouting(PreTrainedTokenizerFast):  # type: ignore[misc]
    """A tokenizer whose class does more than its core."""

    def _encode_plus(self, text: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._encode_plus([part.upper() for part in text], *args, **kwargs)


def test_a_class_that_does_more_than_its_core_has_no_description(tokenizers: Trained) -> None:
    core = tokenizers("bert").backend_tokenizer
    assert describe(HubTokenizer(PreTrainedTokenizerFast(tokenizer_object=core))) is not None
    assert describe(HubTokenizer(Shouting(tokenizer_object=core))) is None


def test_a_core_with_a_part_in_python_cannot_be_kept(tokenizers: Trained) -> None:
    from tokenizers import Tokenizer, pre_tokenizers

    class Own:
        def pre_tokenize(self, text: Any) -> None:
            text.split(lambda number, part: [part])

    core = Tokenizer.from_str(tokenizers("bert").backend_tokenizer.to_str())
    tokenizer = HubTokenizer(PreTrainedTokenizerFast(tokenizer_object=core))
    assert core_json(tokenizer) is not None
    tokenizer.own.backend_tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Own())
    assert core_json(tokenizer) is None


def test_a_description_that_gives_something_else_is_not_used(tmp_path: Path) -> None:
    """Whatever is wrong about it."""
    folder = save_model(tmp_path / "bert", "bert")
    model: Any = open_backbone(f"hf:{folder}", BackboneOptions(max_length=20)).load("cpu", "fp32")
    plain: PlainInputs = model.plain()
    samples = [TEXTS]
    assert proven(plain, model, samples) == plain
    wrong: list[dict[str, Any]] = [
        {"fill": {"input_ids": 7}},
        {"side": "left"},
        {"masks": {"attention_mask": "bool"}},
        {"names": []},
        {"width": 20},
        {"input": {**plain.settings["input"], "max_length": 19}},
        {"input": {**plain.settings["input"], "prompt": "a "}},
        *(
            {"tokenizer": {**plain.settings["tokenizer"], **change}}
            for change in (
                {"truncation_side": "left"},
                {"inputs": ["input_ids", "token_type_ids"]},
                {"special_ids": []},
                {"mask_id": 5},
            )
        ),
    ]
    for change in wrong:
        settings = {**plain.settings, **change}
        assert proven(replace(plain, settings=settings), model, samples) is None, change
    other = save_model(tmp_path / "t5", "t5") / "tokenizer.json"
    assert proven(replace(plain, files={"tokenizer.json": other.read_bytes()}), model, samples) is None
