"""LangChain's stores and FAISS take an Embedder as it is; of LangChain where it is installed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs

TEXTS = ["abc abd", "xyz xyw", "mno mnp"]


@pytest.mark.slow
def test_langchain_takes_it_for_its_embeddings(tiny_bert: Path) -> None:
    pytest.importorskip("langchain_core")
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    embedder: Any = hs.Embedder(f"hf:{tiny_bert}")
    assert isinstance(embedder, Embeddings)
    store = InMemoryVectorStore(embedder)
    store.add_texts(TEXTS)
    for text in TEXTS:
        assert store.similarity_search(text, k=1)[0].page_content == text
        assert asyncio.run(store.asimilarity_search(text, k=1))[0].page_content == text


@pytest.mark.slow
def test_langchains_faiss_store_takes_it(tiny_bert: Path) -> None:
    pytest.importorskip("faiss")
    stores = pytest.importorskip("langchain_community.vectorstores")
    store = stores.FAISS.from_texts(TEXTS, hs.Embedder(f"hf:{tiny_bert}"))
    (found, distance), *_ = store.similarity_search_with_score(TEXTS[1], k=1)
    assert (found.page_content, float(distance)) == (TEXTS[1], pytest.approx(0, abs=1e-5))


def test_faiss_takes_its_arrays(tiny_bert: Path) -> None:
    faiss = pytest.importorskip("faiss")
    embedder = hs.Embedder(f"hf:{tiny_bert}", normalize=True)
    for _ in range(2):  # computed, and out of the cache
        X = embedder.transform(TEXTS)
        index = faiss.IndexFlatIP(X.shape[1])
        index.add(X)
        scores, rows = index.search(X, 1)
        assert rows[:, 0].tolist() == [0, 1, 2]
        np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)


@pytest.mark.slow
def test_neither_mteb_nor_langchain_is_imported_for_it(tiny_bert: Path) -> None:
    code = (
        "import sys\nimport headstart as hs\n"
        f"hs.Embedder('hf:{tiny_bert}').embed_query('a')\n"
        "print([name for name in ('mteb', 'langchain_core', 'faiss', 'datasets') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.splitlines()[-1:] == ["[]"], found.stderr
