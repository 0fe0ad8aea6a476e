"""An Embedder as LangChain's stores use one: queries and documents, each behind the model's own prompt."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import headstart as hs
from headstart.errors import ConfigError, DataError, WeightsUnavailableError

from ..backbones.tiny_texts import HIDDEN, encode, save_model, save_sentence_model

PROMPTS = {"query": "find: ", "passage": "text: ", "other": "another: "}
TEXTS = ["a red shoe", "a blue bag", "two red shoes"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sentence models: with prompts, with one before every text, and with none."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    root = tmp_path_factory.mktemp("models")
    bert = save_model(root / "bert", "bert")

    def save(name: str, **settings: Any) -> Path:
        return save_sentence_model(root / name, bert, Pooling(HIDDEN), **settings)

    return {
        "prompted": save("prompted", prompts=PROMPTS),
        "always": save("always", prompts={"all": "text: "}, default_prompt="all"),
        "plain": save("plain"),
    }


def assert_alike(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)


def prompts_of(cache: Path) -> set[str | None]:
    """The prompts of all spaces of a cache."""
    recipes = (json.loads(path.read_bytes()) for path in cache.glob("spaces/*/recipe.json"))
    return {recipe.get("prompt") for recipe in recipes}


def test_queries_and_documents_have_the_prompts_of_the_model(
    models: dict[str, Path], cache_root: Path
) -> None:
    embedder = hs.Embedder(f"hf:{models['prompted']}", cache=str(cache_root))
    assert_alike(embedder.embed_query(TEXTS[0]), encode(models["prompted"], TEXTS[:1], prompt="find: ")[0])
    assert_alike(embedder.embed_documents(TEXTS), encode(models["prompted"], TEXTS, prompt="text: "))
    assert_alike(embedder.transform(TEXTS), encode(models["prompted"], TEXTS))
    assert prompts_of(cache_root) == {None, "find: ", "text: "}


def test_prompts_that_the_user_gives(models: dict[str, Path]) -> None:
    spec = f"hf:{models['prompted']}"
    plain = hs.Embedder(spec, prompt="")
    for given, query, document in (
        ({"query_prompt": "other"}, "another: ", "text: "),
        ({"query_prompt": "", "prompt": "mine: "}, "", "mine: "),
        ({"prompts": {"document": "doc: "}, "query_prompt": "my own words "}, "my own words ", "doc: "),
    ):
        embedder = hs.Embedder(spec, **given)  # type: ignore[arg-type]
        found = [embedder.embed_query("a text"), *embedder.embed_documents(["a text"])]
        assert_alike(found, plain.transform([query + "a text", document + "a text"]))


def test_a_model_without_prompts_reads_all_texts_alike(models: dict[str, Path]) -> None:
    for given in ({}, {"prompt": "mine: "}):
        embedder = hs.Embedder(f"hf:{models['plain']}", **given)
        expected = embedder.transform(TEXTS)
        assert_alike(embedder.embed_documents(TEXTS), expected)
        assert_alike(embedder.embed_query(TEXTS[0]), expected[0])


def test_a_default_prompt_is_not_taken_for_that_of_a_role(models: dict[str, Path]) -> None:
    """As sentence-transformers' ``encode_query`` and ``encode_document``."""
    embedder = hs.Embedder(f"hf:{models['always']}")
    assert_alike(embedder.transform(TEXTS), encode(models["always"], TEXTS))
    assert_alike(embedder.embed_query(TEXTS[0]), encode(models["always"], TEXTS[:1], prompt="")[0])


def test_lists_of_numbers_come_out_also_where_the_loop_does_not_wait(models: dict[str, Path]) -> None:
    embedder = hs.Embedder(f"hf:{models['prompted']}")
    query, documents = asyncio.run(embedder.aembed_query("x")), asyncio.run(embedder.aembed_documents(TEXTS))
    assert (query, documents) == (embedder.embed_query("x"), embedder.embed_documents(iter(TEXTS)))
    assert {type(number) for row in documents for number in row} == {float}
    assert embedder.embed_documents([]) == []


def test_arrays_are_such_as_faiss_takes(models: dict[str, Path]) -> None:
    for dtype in (None, "float16"):
        found = hs.Embedder(f"hf:{models['plain']}", dtype=dtype).transform(TEXTS)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous


def test_threads_share_an_embedder(models: dict[str, Path]) -> None:
    embedder = hs.Embedder(f"hf:{models['plain']}")
    texts = [f"text number {number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(embedder.embed_query, texts))
    assert_alike(found, hs.Embedder(f"hf:{models['plain']}").transform(texts))


def test_a_model_in_memory_is_neither_cloned_nor_saved(models: dict[str, Path]) -> None:
    embedder = hs.Embedder(f"hf:{models['plain']}", query_prompt="find: ", prompts={"document": "x: "})
    before = len(pickle.dumps(embedder))
    expected = embedder.embed_query("new")
    assert len(pickle.dumps(embedder)) == before
    for other in (clone(embedder), copy.deepcopy(embedder), pickle.loads(pickle.dumps(embedder))):  # noqa: S301
        assert other.get_params() == embedder.get_params()
        assert other.embed_query("new") == expected


def test_weights_that_change_beneath_it_are_loaded_anew(models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(models["plain"], tmp_path / "model")
    embedder = hs.Embedder(f"hf:{folder}")
    before = embedder.embed_query("a text")
    other = save_model(tmp_path / "other", "modernbert")
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    after = embedder.embed_query("a text")
    assert_alike(after, hs.Embedder(f"hf:{other}").embed_query("a text"))
    assert after != before


def test_what_is_no_text_is_refused(models: dict[str, Path]) -> None:
    embedder = hs.Embedder(f"hf:{models['plain']}")
    with pytest.raises(DataError, match="the text is empty"):
        embedder.embed_query(" ")
    with pytest.raises(ConfigError, match="texts is one text; give a list"):
        embedder.embed_documents("a text")


def test_a_model_that_is_not_here_needs_its_prompt_said() -> None:
    with pytest.raises(WeightsUnavailableError, match="nobody can say what its authors put before a query"):
        hs.Embedder("hf:no-such/model").embed_query("a text")
    with pytest.raises(WeightsUnavailableError, match="cannot be loaded"):
        hs.Embedder("hf:no-such/model", query_prompt="").embed_query("a text")


def test_a_prompt_that_is_no_text_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(
        ConfigError, match=r"prompts are texts by the names of tasks or roles \(got query: 5\)"
    ):
        hs.Embedder(f"hf:{models['plain']}", prompts={"query": 5}).embed_query("a")  # type: ignore[dict-item]


def test_lists_of_words_are_called_so(models: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="takes texts, and the data holds lists of words"):
        hs.Embedder(f"hf:{models['plain']}").transform([["a", "red", "shoe"]])
