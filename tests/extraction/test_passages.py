"""Tokens of questions with contexts: those of plain transformers, each from the window that sees most around it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import headstart as hs
from headstart.backbones import BackboneOptions, open_backbone
from headstart.backbones.hf.passages import passage_windows
from headstart.errors import ConfigError, SampleError, StorageError
from headstart.samples import LabelledSamples, Passages
from headstart.token_rows import TokenRow, Windows

from ..backbones import tiny_texts
from ..variants import examples

QUESTION = "who won the game in february"
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "naïve", "東京", "wins", "24–10", "again", "today"]


def context_of(n_words: int, seed: int = 0) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, n_words))


def is_max_context(spans: Sequence[tuple[int, int]], number: int, position: int) -> bool:
    """``_check_is_max_context`` of the script with which BERT answered SQuAD."""
    best_score, best = None, None
    for index, (start, end) in enumerate(spans):
        if position < start or position > end - 1:
            continue
        score = min(position - start, end - 1 - position) + 0.01 * (end - start)
        if best_score is None or score > best_score:
            best_score, best = score, index
    return number == best


def words_tokenizer() -> Tokenizer:
    """A token for each word, by whitespace."""
    core = Tokenizer(
        models.WordLevel({"[CLS]": 0, "[SEP]": 1, "q": 2, "c": 3, "[UNK]": 4}, unk_token="[UNK]")
    )
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    return core


@given(
    n_question=st.integers(1, 12),
    n_context=st.integers(1, 200),
    room=st.integers(8, 40),
    share=st.integers(2, 8),
)
@settings(max_examples=examples(200), deadline=None)
def test_every_token_is_taken_once_and_from_the_window_with_most_context(
    n_question: int, n_context: int, room: int, share: int
) -> None:
    encoding = words_tokenizer().encode("q " * n_question, "c " * n_context)
    row = TokenRow({"input_ids": encoding.ids}, len(encoding.ids))
    max_length, overlap = n_question + 3 + room, room // share
    windows = passage_windows(row, encoding, max_length, overlap)
    assert isinstance(windows, Windows)
    assert windows.stitching is not None
    before = n_question + 2
    lengths = [len(window["input_ids"]) for window in windows.rows]
    assert max(lengths) <= max_length
    assert len(windows.rows) == 1 or min(lengths[:-1]) == max_length
    starts = [number * (room - overlap) for number in range(len(lengths))]
    spans = [(start, start + n - before - 1) for start, n in zip(starts, lengths, strict=True)]
    taken: list[int] = []
    for number, ((start, end), (first, last)) in enumerate(zip(windows.stitching.takes, spans, strict=True)):
        ids = windows.rows[number]["input_ids"]
        assert list(ids[:before]) == encoding.ids[:before]
        taken += ids[start:end]
        of_context = [place - before + first for place in range(max(start, before), min(end, len(ids) - 1))]
        assert all(is_max_context(spans, number, position) for position in of_context)
        assert last <= n_context
    assert taken == encoding.ids
    places = np.array(windows.stitching.places).reshape(-1, 2)
    assert places[before:-1].tolist() == [[2 * n, 2 * n + 1] for n in range(n_context)]
    assert (places[:before] == -1).all()
    assert (places[-1] == -1).all()


def test_a_question_that_leaves_no_room_is_a_named_failure() -> None:
    encoding = words_tokenizer().encode("q " * 60, "c " * 20)
    row = TokenRow({"input_ids": encoding.ids}, len(encoding.ids))
    failed = passage_windows(row, encoding, 64, 8)
    assert isinstance(failed, SampleError)
    assert "takes 63 of the 64 tokens of a window" in str(failed)
    # A short context fits into little room.
    encoding = words_tokenizer().encode("q " * 60, "c")
    assert isinstance(passage_windows(TokenRow({"input_ids": encoding.ids}, 64), encoding, 64, 8), Windows)


def write_questions(path: Path, contexts: Sequence[str], question: str = QUESTION) -> Path:
    rows = [
        {
            "question": f"{question} {n}",
            "context": context,
            "answers": {
                "text": [context.split()[-1]],
                "answer_start": [len(context) - len(context.split()[-1])],
            },
            "split": ["train", "train", "validation", "test"][n % 4],
        }
        for n, context in enumerate(contexts)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def plain_tokens(folder: Path, question: str, context: str, max_length: int, stride: int) -> tuple[Any, Any]:
    """Vectors and places of all tokens of a pair by transformers alone, with its own windows."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    made = tokenizer(
        question, context, truncation="only_second", max_length=max_length, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    whole = tokenizer(question, context, return_offsets_mapping=True, verbose=False)
    owners = whole.sequence_ids(0)
    first = owners.index(1)
    n_after = len(owners) - (len(owners) - owners[::-1].index(1))
    room = max_length - first - n_after
    spans, hidden = [], []
    for number, ids in enumerate(made["input_ids"]):
        start = number * (room - stride)
        spans.append((start, start + len(ids) - first - n_after))
        batch = {
            name: torch.tensor([made[name][number]]) for name in ("input_ids", "attention_mask", "token_type_ids")
            if name in made and name in inspect.signature(model.forward).parameters
        }  # fmt: skip
        with torch.no_grad():
            hidden.append(model(**batch).last_hidden_state[0].numpy())
    last = len(owners) - n_after
    rows = list(hidden[0][:first])
    for position in range(last - first):
        number = next(n for n in range(len(spans)) if is_max_context(spans, n, position))
        rows.append(hidden[number][first + position - spans[number][0]])
    rows += list(hidden[-1][len(hidden[-1]) - n_after :])
    places = [
        place if owner == 1 else (-1, -1)
        for place, owner in zip(whole["offset_mapping"], owners, strict=True)
    ]
    return np.stack(rows), np.array(places)


def read(features: hs.FeatureSet) -> tuple[Any, Any]:
    return features.tokens(), features.tokens(tap="places.tokens")


@pytest.mark.parametrize("name", ["bert", "roberta", "deberta-v2", "modernbert"])
def test_tokens_are_those_of_plain_transformers_on_each_window(name: str, tmp_path: Path) -> None:
    folder = tiny_texts.save_model(tmp_path / name, name)
    contexts = [context_of(n, n) for n in (1, 3, 12, 60, 200)]
    data = write_questions(tmp_path / "data.jsonl", contexts)
    features = hs.extract(data, f"hf:{folder}", max_length=64, quiet=True)
    recipe = json.loads((features.path / "set.json").read_text("utf-8"))
    assert [entry["tap"] for entry in recipe["features"]] == ["final.tokens", "places.tokens"]
    tokens, places = read(features)
    info = open_backbone(
        f"hf:{folder}", BackboneOptions(max_length=64, on_long="passages", modality="text-pair")
    ).resolve()
    assert info.windows is not None
    for row, context in enumerate(contexts):
        wanted, where = plain_tokens(folder, f"{QUESTION} {row}", context, 64, info.windows["overlap"])
        assert tokens[row].shape == wanted.shape
        assert np.abs(tokens[row] - wanted).max() <= 1e-5 * np.abs(wanted).max()
        assert places[row].tolist() == where.tolist()
        held = {place for start, end in where.tolist() for place in range(start, end)}
        assert {place for place, letter in enumerate(context) if letter != " "} <= held


def test_neighbours_and_batches_change_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    data = write_questions(tmp_path / "data.jsonl", [context_of(n, n) for n in (40, 2, 17, 90, 5)])
    found = [
        hs.extract(
            data,
            f"hf:{tiny_bert}",
            batch_size=size,
            cache=str(tmp_path / f"cache{size}"),
            device="cpu",
            quiet=True,
        )
        for size in (1, 7)
    ]
    for row in range(5):
        one, other = (features.tokens()[row] for features in found)
        assert np.abs(one - other).max() <= 1e-5 * np.abs(one).max()


def test_places_are_exact_where_features_are_of_sixteen_bits(tiny_bert: Path, tmp_path: Path) -> None:
    context = context_of(900)
    assert len(context) > 2048
    data = write_questions(tmp_path / "data.jsonl", [context] * 4)
    features = hs.extract(data, f"hf:{tiny_bert}", dtype="float16", quiet=True)
    tokens, places = read(features)
    assert tokens.dtype == np.float16
    assert places.dtype == np.float32
    inside: NDArray[Any] = places[0][places[0][:, 1] > 0]
    assert int(inside.max()) == len(context)


def test_a_second_run_computes_nothing_and_more_rows_only_themselves(tiny_bert: Path, tmp_path: Path) -> None:
    data = write_questions(tmp_path / "data.jsonl", [context_of(30, n) for n in range(4)])
    one = hs.extract(data, f"hf:{tiny_bert}", set="s", quiet=True)
    again = hs.extract(data, f"hf:{tiny_bert}", set="s", quiet=True)
    assert one.digest == again.digest
    write_questions(data, [context_of(30, n) for n in range(6)])
    more = hs.extract(data, f"hf:{tiny_bert}", set="s", quiet=True)
    assert (more.tokens()[0] == one.tokens()[0]).all()
    assert len(more) == 6


def test_what_cannot_be_read_in_windows_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    data = write_questions(tmp_path / "data.jsonl", [context_of(30, n) for n in range(4)])
    with pytest.raises(ConfigError, match="--on-long skip is for texts that would be cut"):
        hs.extract(data, f"hf:{tiny_bert}", on_long="skip", quiet=True)
    with pytest.raises(ConfigError, match=r"last\.mean makes one vector"):
        hs.extract(data, f"hf:{tiny_bert}", taps=["last.tokens", "last.mean"], quiet=True)
    with pytest.raises(ConfigError, match="--views changes texts, and an answer would not stand"):
        hs.extract(data, f"hf:{tiny_bert}", views=1, quiet=True)
    # One vector a pair is what it always was.
    assert hs.extract(data, f"hf:{tiny_bert}", taps=["last.mean"], quiet=True).arrays()[0].shape == (4, 32)


def test_rows_of_passages_are_taken_together() -> None:
    from headstart.heads.sequences import Sequences

    tokens = Sequences(np.arange(12.0).reshape(6, 2), np.array([0, 1, 3, 6]))
    places = Sequences(np.arange(12.0).reshape(6, 2), np.array([0, 1, 3, 6]))
    some = Passages(tokens, places, ["a", "b", "c"]).take(np.array([2, 0]))
    assert (len(some), some.contexts, some.width) == (2, ["c", "a"], 2)
    samples = LabelledSamples(pa.table({}), some, np.empty(2, dtype=object), kind="spans")
    assert samples.n_bytes == 2 * (3 + 1) * 2 * 4  # what a comparison says that features take
    values, there = some.padded(np.array([0, 1]))
    assert values[0].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert there.sum(axis=1).tolist() == [3, 1]
    assert some.places.padded(np.array([1]))[0].tolist() == [[[0, 1]]]


def test_the_bytes_are_said_and_what_does_not_fit_is_refused(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from headstart.extraction import disk

    data = write_questions(tmp_path / "data.jsonl", [context_of(30, n) for n in range(40)])
    monkeypatch.setattr(disk, "WORTH_SAYING", 0)
    features = hs.extract(data, f"hf:{tiny_bert}", set="s")
    said = capsys.readouterr().err
    assert "the tokens of 40 questions with their contexts take about" in said
    lengths = features.tokens().lengths
    stored = sum(path.stat().st_size for path in features.cache.rglob("*.h5"))
    n_bytes = int(lengths.sum()) * (32 * 4 + 2 * 4)
    assert f"about {disk._size(n_bytes)} of the" in said
    assert n_bytes <= stored <= 2 * n_bytes
    full = type("Usage", (), {"free": n_bytes})()
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: full)
    with pytest.raises(StorageError, match="MB left; free room, choose another --cache, store them as"):
        hs.extract(data, f"hf:{tiny_bert}", cache=str(tmp_path / "other"), quiet=True)
    assert not list((tmp_path / "other").rglob("*.h5"))
    # What is there already takes no more room.
    assert len(hs.extract(data, f"hf:{tiny_bert}", set="s", quiet=True)) == 40
