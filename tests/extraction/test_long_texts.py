"""Texts that are longer than a model takes are counted, and read in windows where somebody asks for it."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import headstart as hs
from headstart.backbones import BackboneOptions, open_backbone
from headstart.cache.maintenance.collect import collect
from headstart.cache.maintenance.compact import compact
from headstart.cache.store import Cache
from headstart.errors import ConfigError, DataError
from headstart.extraction import embed
from headstart.extraction.long_texts import count_long, long_of
from headstart.progress import Silence
from headstart.token_rows import Windows, n_tokens_of

from .computing import assert_close, compute, plan

LIMIT = 16  # tokens; the tokenizer of `tiny_bert` makes one of each letter
SHORT, EXACT, LONG = "ab cd", "abcdefghijklmn", "the quick brown fox jumps over the lazy dog again"
TEXTS = [SHORT, LONG, EXACT, LONG[:-1], "x" * 5 + " " + LONG]


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("prompt", [None, "say "])
def test_all_tokens_of_a_text_are_counted(tiny_bert: Path, prompt: str | None) -> None:
    backbone: Any = open_backbone(f"hf:{tiny_bert}", BackboneOptions(max_length=LIMIT, prompt=prompt))
    ids = tokenizer_of(tiny_bert)([(prompt or "") + text for text in TEXTS])["input_ids"]
    assert backbone.count_tokens(TEXTS) == [len(row) for row in ids]
    rows = backbone.load("cpu", "fp32").prepare(TEXTS)
    assert [len(row["input_ids"]) for row in rows] == [min(len(row), LIMIT) for row in ids]


def test_all_tokens_of_a_pair_are_counted(tiny_bert: Path) -> None:
    options = BackboneOptions(max_length=LIMIT, modality="text-pair")
    backbone: Any = open_backbone(f"hf:{tiny_bert}", options)
    pairs = [
        (SHORT, SHORT),
        (LONG, SHORT),
        (SHORT, LONG),
        (LONG, LONG),
        (LONG + LONG, LONG[5:]),
        ("a", LONG),
        (LONG, ""),
    ]
    ids = tokenizer_of(tiny_bert)([a for a, _ in pairs], [b for _, b in pairs])["input_ids"]
    assert backbone.count_tokens(pairs) == [len(row) for row in ids]


def test_of_an_endless_text_it_is_said_that_there_are_more(tiny_bert: Path) -> None:
    backbone: Any = open_backbone(f"hf:{tiny_bert}", BackboneOptions(max_length=LIMIT))
    endless, long = backbone.count_tokens(["ab " * 100_000, "ab " * 1300])
    assert endless < -2 * LIMIT  # more than so many
    assert long == 2602  # counted to its end, although a few hundred characters would do to cut it


@pytest.mark.parametrize("n_letters", [14, 15, 25, 26, 60])
def test_windows_hold_all_of_a_text_and_share_what_the_recipe_says(tiny_bert: Path, n_letters: int) -> None:
    """Each begins with the class token and the prompt and ends as a text does; together they are all letters."""
    options = BackboneOptions(max_length=LIMIT, on_long="windows", prompt="p ")
    backbone: Any = open_backbone(f"hf:{tiny_bert}", options)
    overlap = backbone.resolve().windows["overlap"]
    text = " ".join("abcdefghijklm"[row % 13] for row in range(n_letters))
    whole = tokenizer_of(tiny_bert)("p " + text)["input_ids"]
    (made,) = backbone.load("cpu", "fp32").prepare([text])
    assert n_tokens_of(made) == len(whole)
    if len(whole) <= LIMIT:
        assert made["input_ids"] == whole
        return
    parts = [list(row["input_ids"]) for row in made.rows]
    assert all(part[:2] == whole[:2] and part[-1] == whole[-1] and len(part) <= LIMIT for part in parts)
    bodies = [part[2:-1] for part in parts]
    assert all(a[-overlap:] == b[:overlap] and len(b) > overlap for a, b in pairwise(bodies))
    assert bodies[0] + [token for body in bodies[1:] for token in body[overlap:]] == whole[2:-1]
    assert list(made.weights) == [len(body) for body in bodies]


def by_hand(folder: Path, text: str, pool: Any) -> NDArray[np.float32]:
    """The mean over windows of one text, by the model itself."""
    backbone = open_backbone(f"hf:{folder}", BackboneOptions(max_length=LIMIT, on_long="windows"))
    model = backbone.load("cpu", "fp32")
    (made,) = model.prepare([text])
    rows, weights = (made.rows, made.weights) if isinstance(made, Windows) else ([made], [1])
    with torch.inference_mode():
        hidden = [model.module(torch.tensor([list(row["input_ids"])])).last_hidden_state[0] for row in rows]
    return np.average([pool(states).numpy() for states in hidden], axis=0, weights=weights)


def test_a_vector_is_the_mean_over_the_windows_by_their_tokens(tiny_bert: Path, cache_root: Path) -> None:
    taps = ["last.mean", "last.max", "last.max.l2"]
    task = plan(TEXTS, f"hf:{tiny_bert}", cache_root, taps=taps, max_length=LIMIT, on_long="windows")
    assert task.run().failures == []
    mean, most, unit = (task.features(number).values for number in range(3))
    for found, pool in ((mean, lambda h: h.mean(dim=0)), (most, lambda h: h.max(dim=0).values)):
        assert_close(found, np.array([by_hand(tiny_bert, text, pool) for text in TEXTS], np.float32))
    np.testing.assert_allclose(unit, most / np.linalg.norm(most, axis=1, keepdims=True), rtol=1e-4)


def test_a_text_in_windows_does_not_depend_on_its_neighbours(tiny_bert: Path, tmp_path: Path) -> None:
    """Its windows lie in batches of one, then beside windows of others."""
    spec, options = f"hf:{tiny_bert}", {"max_length": LIMIT, "on_long": "windows"}
    many = [f"{LONG} {number} " + "more " * (number % 9) for number in range(24)]
    alone = compute(many, spec, tmp_path / "a", batch_size=1, **options)
    assert_close(compute(many[::-1], spec, tmp_path / "b", batch_size=7, **options)[::-1], alone)


def test_what_fits_is_the_same_as_cut_in_a_space_of_its_own(tiny_bert: Path, cache_root: Path) -> None:
    spec = f"hf:{tiny_bert}"
    cut = plan(TEXTS, spec, cache_root, max_length=LIMIT)
    windows = plan(TEXTS, spec, cache_root, max_length=LIMIT, on_long="windows")
    cut.run(), windows.run()
    assert cut.work.spaces[0].id != windows.work.spaces[0].id
    assert "windows" not in cut.work.spaces[0].recipe.entries
    differs = np.abs(cut.features().values - windows.features().values).max(axis=1) > 1e-5
    assert differs.tolist() == [False, True, False, True, True]


@pytest.mark.parametrize("tap", ["last.cls", "last.eos", "last.tokens", "last.cls+mean", "pooler", "1.eos"])
def test_windows_are_refused_where_one_place_or_all_are_read(
    tiny_bert: Path, cache_root: Path, tap: str
) -> None:
    with pytest.raises(
        ConfigError, match=r"averages over the parts of a text, and .* choose a tap that pools"
    ):
        plan(TEXTS, f"hf:{tiny_bert}", cache_root, taps=[tap], on_long="windows")


def test_windows_of_pairs_give_tokens_and_no_vector(tiny_bert: Path, cache_root: Path) -> None:
    given = {"modality": "text-pair", "on_long": "windows"}
    task = plan([("a", "b")], f"hf:{tiny_bert}", cache_root, **given)
    assert set(task.work.taps) == {"final.tokens", "places.tokens"}
    with pytest.raises(
        ConfigError, match=r"keeps the tokens of a pair, one by one, and last\.mean makes one vector"
    ):
        plan([("a", "b")], f"hf:{tiny_bert}", cache_root, taps=["last.mean"], **given)


def test_counts_are_kept_beside_the_shards_and_may_be_lost(tiny_bert: Path, cache_root: Path) -> None:
    task = plan(TEXTS, f"hf:{tiny_bert}", cache_root, max_length=LIMIT, taps=["last.mean", "last.max"])
    task.run()
    said = "3 of 5 texts are longer than 16 tokens; the longest has 47"
    assert str(long_of(task.work)).startswith(said)
    cache, space = Cache(cache_root), task.work.spaces[0]
    compact(cache, Silence())
    collect(cache, Silence(), apply=True)
    assert str(long_of(task.work)).startswith(said)
    for path in (space.path / "tokens").glob("*"):
        path.write_bytes(path.read_bytes()[:-1])
    assert str(long_of(task.work)).startswith(said), "the other tap knows them, too"
    assert str(count_long([space], task.samples.keys)) == (
        "0 of 5 texts are longer than 16 tokens (of 5 not known)"
    )
    assert space.held(task.samples.keys).all()


def test_an_embedder_warns_once_of_what_it_cuts(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_WARNED", set())
    spec = f"hf:{tiny_bert}"
    with pytest.warns(UserWarning, match="3 of 5 texts are longer than 16 tokens"):
        hs.Embedder(spec, max_length=LIMIT).transform(TEXTS)
    with warnings.catch_warnings(action="error"):
        hs.Embedder(spec, max_length=LIMIT).transform(TEXTS[:2])  # it was said
        windows = hs.Embedder(spec, max_length=LIMIT, on_long="windows").transform(TEXTS)
        hs.Embedder(spec, max_length=LIMIT, on_long="refuse").transform([SHORT])
    assert len(windows) == len(TEXTS)
    with pytest.raises(DataError, match="1 of 2 texts is longer than 16 tokens"):
        hs.Embedder(spec, max_length=LIMIT, on_long="refuse").transform([SHORT, LONG])


def test_pairs_are_called_pairs(tiny_bert: Path, cache_root: Path) -> None:
    task = plan([(SHORT, LONG), (SHORT, SHORT)], f"hf:{tiny_bert}", cache_root, "text-pair", max_length=LIMIT)
    task.run()
    assert (
        str(long_of(task.work))
        == "1 of 2 pairs is longer than 16 tokens; the longest has 47; they are cut there"
    )


def test_counts_that_cannot_be_kept_are_not_known(tiny_bert: Path, cache_root: Path) -> None:
    """As after a run that was killed between a shard and its counts: the features are there, and nothing is wrong."""
    task = plan(TEXTS, f"hf:{tiny_bert}", cache_root, max_length=LIMIT)
    task.work.spaces[0].path.mkdir(parents=True)
    (task.work.spaces[0].path / "tokens").write_text("no folder")
    assert task.run().failures == []
    assert all(task.held())
    assert str(long_of(task.work)) == "0 of 5 texts are longer than 16 tokens (of 5 not known)"
