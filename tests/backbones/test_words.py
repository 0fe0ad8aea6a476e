"""Features of words equal those of plain transformers on each window, whatever the words and the batch are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

import headstart as hs
from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.hf.words import best_windows
from headstart.cache.store import Cache
from headstart.errors import ConfigError
from headstart.extraction.windows import pool_words

from ..variants import variants
from .tiny_texts import save_model

MODELS = ("bert", "roberta", "deberta", "deberta-v2", "modernbert", "t5", "gpt2", "llama")
FEW = ("bert", "roberta")
LENGTH = 40  # tokens of a window
SENTENCES: list[list[str]] = [
    ["I", "lost", "my", "card", "."],
    ["", "東京" * 20, "ok", ""],
    [],
    ["naïve"],
    ["Why", "was", "my", "transfer", "declined"] * 12,
    ["card" * 60, "money"],  # a word longer than a window
    [""],
    ["New York", "is", "far"],
]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a tiny model of a kind; made once, so not to be changed."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = save_model(tmp_path_factory.mktemp("words") / name, name)
        return made[name]

    return of


def read_words(
    folder: Path, sentences: Sequence[Sequence[str]], taps: Sequence[str], length: int, **options: Any
) -> list[list[NDArray[Any]]]:
    """The words of each sentence, by tap, through an extraction."""
    found = hs.extract(
        [list(words) for words in sentences], backbone=f"hf:{folder}", taps=list(taps), max_length=length,
        label_kind="tags", set="words", replace=True, **options,
    )  # fmt: skip
    return [list(found.tokens(tap=tap)) for tap in taps]


def reference(
    folder: Path, sentences: Sequence[Sequence[str]], layer: int, pooling: str, length: int
) -> list[NDArray[np.float32]]:
    """Each window by itself through transformers, and each word from the window with most context on both sides."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=True
    )  # leading blanks
    special = tokenizer.num_special_tokens_to_add()
    stride = (length - special) // 4
    return [_words(model, tokenizer, words, layer, pooling, length, stride) for words in sentences]


def _words(
    model: Any, tokenizer: Any, words: Sequence[str], layer: int, pooling: str, length: int, stride: int
) -> NDArray[np.float32]:
    width = model.config.hidden_size
    found = np.zeros((len(words), width), dtype=np.float32)
    if not len(words) or not any(words):
        return found
    made = tokenizer(
        [list(words)], is_split_into_words=True, truncation=True, max_length=length, stride=stride,
        return_overflowing_tokens=True,
    )  # fmt: skip
    step = length - tokenizer.num_special_tokens_to_add() - stride
    windows = []
    for number, encoding in enumerate(made.encodings):
        ids = torch.tensor([made["input_ids"][number]])
        with torch.no_grad():
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
        states = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
        windows.append((encoding.word_ids, number * step, states[0].numpy()))
    for word in range(len(words)):
        pieces = _pieces(windows, word)
        if pieces is not None:
            chosen = {"words": pieces[:1], "words-last": pieces[-1:], "words-mean": pieces}[pooling]
            found[word] = np.mean(np.stack(chosen), axis=0)
    return found


def _pieces(windows: Sequence[Any], word: int) -> list[NDArray[Any]] | None:
    """The vectors of the tokens of a word, in order, from the windows that they are read in."""
    seen: dict[int, list[tuple[int, int, NDArray[Any]]]] = {}
    held: list[tuple[int, int, dict[int, NDArray[Any]]]] = []
    for number, (ids, begins, states) in enumerate(windows):
        own = [place for place, w in enumerate(ids) if w is not None]
        mine = [place for place in own if ids[place] == word]
        if mine:
            at = {begins + place - own[0]: states[place] for place in mine}
            held.append((min(mine[0] - own[0], own[-1] - mine[-1]), -number, at))
        for place in mine:
            context = min(place - own[0], own[-1] - place)
            seen.setdefault(begins + place - own[0], []).append((context, -number, states[place]))
    if not seen:
        return None
    whole = [one for one in held if one[2].keys() == seen.keys()]
    if whole:
        at = max(whole, key=lambda one: one[:2])[2]
        return [at[place] for place in sorted(at)]
    return [max(seen[place], key=lambda one: one[:2])[2] for place in sorted(seen)]


@pytest.mark.parametrize("name", variants(MODELS, FEW))
def test_words_are_those_of_transformers_on_each_window(
    tiny: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    taps = ["last.words", "2.words-mean", "0.words-last"]
    found = read_words(tiny(name), SENTENCES, taps, LENGTH)
    alone = read_words(tiny(name), SENTENCES, taps, LENGTH, batch_size=1, cache=tmp_path / "another")
    for tap, own, single in zip(taps, found, alone, strict=True):
        layer, pooling = tap.split(".")
        expected = reference(tiny(name), SENTENCES, -1 if layer == "last" else int(layer), pooling, LENGTH)
        for words, vectors, other, wanted in zip(SENTENCES, own, single, expected, strict=True):
            assert vectors.shape == wanted.shape == (len(words), 32)
            bound = 1e-5 * max(float(np.abs(wanted).max(initial=0)), 1e-30)
            np.testing.assert_allclose(vectors, wanted, rtol=0, atol=bound, err_msg=tap)
            np.testing.assert_allclose(other, wanted, rtol=0, atol=bound)


def test_a_sentence_of_two_thousand_words(tiny: Callable[[str], Path]) -> None:
    words = ["money", "transfer", "declined", "", "x" * 30] * 400
    ((found,),) = read_words(tiny("bert"), [words], ["last.words-mean"], 128)
    (expected,) = reference(tiny("bert"), [words], -1, "words-mean", 128)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert (found[3::5] == 0).all()


def test_windows_are_part_of_the_recipe_and_texts_have_no_words(tiny: Callable[[str], Path]) -> None:
    spec = f"hf:{tiny('bert')}"
    features = hs.extract([["a", "b", "c"]], backbone=spec, max_length=LENGTH)
    recipe = Cache(str(features.cache)).open_space(features.feature().space).recipe
    info = open_backbone(spec, BackboneOptions(modality="words", max_length=LENGTH)).resolve()
    assert info.windows == {"overlap": (LENGTH - 2) // 4}
    assert info.default_tap == "final.words"
    assert recipe.entries["windows"] == info.windows
    with pytest.raises(ConfigError, match=r"'last.mean' is of whole texts; choose one of last.words"):
        hs.extract([["a", "b", "c"]], backbone=spec, taps=["last.mean"])
    with pytest.raises(ConfigError, match=r"has a vector for each word, and these samples are no words"):
        hs.extract(["a b"], backbone=spec, taps=["last.words"])
    with pytest.raises(ConfigError, match="stands before texts"):
        hs.extract([["a", "b", "c"]], backbone=spec, prompt="query: ")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(8, 30))
def test_a_word_is_read_where_it_has_most_context(sizes: list[int], room: int) -> None:
    words = np.repeat(np.arange(len(sizes)), sizes)
    n, overlap = len(words), room // 4
    starts = np.arange(0, max(n - overlap, 1), room - overlap)
    ends = np.minimum(starts + room, n)
    chosen = best_windows(np.arange(n), words, starts, ends)
    assert ((starts[chosen] <= np.arange(n)) & (np.arange(n) < ends[chosen])).all()
    for word, size in enumerate(sizes):
        own = np.flatnonzero(words == word)
        fitting = [
            (min(own[0] - start, end - 1 - own[-1]), -number)
            for number, (start, end) in enumerate(zip(starts, ends, strict=True))
            if start <= own[0] and own[-1] < end
        ]
        if fitting:
            assert set(chosen[own]) == {-max(fitting)[1]}
        assert len(own) == size


@given(st.lists(st.integers(0, 4), max_size=20))
def test_words_without_tokens_are_zeros_and_none_is_lost(sizes: list[int]) -> None:
    words = np.repeat(np.arange(len(sizes)), sizes)
    tokens = np.arange(1.0, len(words) + 1, dtype=np.float32)[:, None]
    for pooling in ("words", "words-mean", "words-last"):
        found = pool_words(tokens, words, len(sizes), pooling)
        assert len(found) == len(sizes)
        assert ((found[:, 0] > 0) == (np.array(sizes, dtype=int) > 0)).all()
