"""An Embedder encodes as mteb asks for it: batches, prompts by task, similarities; mteb itself is in the slow tests."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

import headstart as hs
from headstart.backbones import DeclaredPrompts
from headstart.errors import ConfigError
from headstart.extraction.embedder_prompts import TextPrompts

from ..backbones.tiny_texts import HIDDEN, rewrite, save_model, save_sentence_model

TEXTS = [f"text number {number}" for number in range(7)]
PROMPTS = {
    "query": "find: ", "document": "text: ", "Classification": "sort: ", "MyTask": "my: ", "MyTask-query": "mine: ",
    "STS-document": "sts text: ",
}  # fmt: skip


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("encoder") / "bert", "bert")


@pytest.fixture(scope="session")
def prompted(bert: Path) -> Path:
    from sentence_transformers.sentence_transformer.modules import Pooling

    return save_sentence_model(bert.parent / "prompted", bert, Pooling(HIDDEN), prompts=PROMPTS)


def task(name: str = "OtherTask", kind: str = "Classification") -> Any:
    return SimpleNamespace(name=name, type=kind)


def batches(**columns: list[Any]) -> DataLoader[Any]:
    """As mteb's loaders give them."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def collate(batch: list[dict[str, Any]]) -> dict[str, list[Any]]:
        return {name: [row[name] for row in batch] for name in columns}

    return DataLoader(rows, batch_size=3, collate_fn=collate)  # type: ignore[arg-type]


def test_batches_keep_their_order(bert: Path) -> None:
    embedder = hs.Embedder(f"hf:{bert}")
    found = embedder.encode(
        batches(text=TEXTS, id=TEXTS),
        task_metadata=task(),
        hf_split="test",
        hf_subset="default",
        batch_size=2,
    )
    np.testing.assert_array_equal(found, embedder.transform(TEXTS))
    np.testing.assert_array_equal(embedder.encode(TEXTS, show_progress_bar=False), found)


def test_the_prompt_of_a_task(prompted: Path) -> None:
    embedder = hs.Embedder(f"hf:{prompted}", prompts={"STS": "given: "})
    for kind, role, words in (("Retrieval", "query", "find: "), ("STS", None, "given: ")):
        found = embedder.encode(batches(text=TEXTS), task_metadata=task("OtherTask", kind), prompt_type=role)
        expected = hs.Embedder(f"hf:{prompted}", prompt=words).transform(TEXTS)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "kind", "role", "prompt"),
    [
        ("OtherTask", "Classification", None, "sort: "),
        ("OtherTask", "Classification", "query", "sort: "),
        ("OtherTask", "Retrieval", "query", "find: "),
        ("OtherTask", "Retrieval", "document", "text: "),
        ("OtherTask", "STS", "document", "sts text: "),
        ("OtherTask", "STS", None, None),
        ("MyTask", "Classification", None, "my: "),
        ("MyTask", "Classification", "document", "my: "),
        ("MyTask", "Classification", "query", "mine: "),
    ],
)
def test_the_most_special_prompt_is_taken(name: str, kind: str, role: str | None, prompt: str | None) -> None:
    """Of those that the model declares; one that the user gives for the same name goes before it."""
    own = DeclaredPrompts(PROMPTS)
    assert TextPrompts(lambda: own, None, {}).of_task(name, kind, role) == prompt
    given = TextPrompts(lambda: own, "always: ", {name: "given: ", "document": "doc: "})
    assert given.of_task(name, kind, role) == (prompt if (name, role) == ("MyTask", "query") else "given: ")
    assert given.of_task("OtherTask" * 2, "Retrieval", role) == {"query": "find: ", "document": "doc: "}.get(
        role or "", "always: "
    )


def test_pictures_come_in_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    embedder = hs.Embedder("py:tiny_backbones:images")
    found = embedder.encode(batches(image=[Image.fromarray(one) for one in pixels]), task_metadata=task())
    np.testing.assert_array_equal(found, embedder.transform(pixels))


def test_a_blank_text_is_similar_to_nothing(bert: Path) -> None:
    embedder = hs.Embedder(f"hf:{bert}")
    with pytest.warns(UserWarning, match="2 blank texts of 3 get a vector of zeros"):
        found = embedder.encode(batches(text=["", "a text", " "]), task_metadata=task())
    np.testing.assert_array_equal(found[1], embedder.transform(["a text"])[0])
    assert not found[[0, 2]].any()
    assert not embedder.similarity(found, found)[0].any()
    with pytest.warns(UserWarning, match="1 blank text of 1"):
        assert embedder.encode([""]).shape == (1, found.shape[1])


def test_vectors_are_compared_as_the_authors_do(bert: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = save_sentence_model(tmp_path / "model", bert, Pooling(HIDDEN))
    a, b = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    theirs = SentenceTransformer(str(folder), device="cpu")
    for name in ("cosine", "dot", "euclidean", "manhattan", None):
        rewrite(folder / "config_sentence_transformers.json", similarity_fn_name=name)
        ours, theirs.similarity_fn_name = hs.Embedder(f"hf:{folder}"), name or "cosine"
        np.testing.assert_allclose(ours.similarity(a, b[:3]), theirs.similarity(a, b[:3]), atol=1e-5)
        np.testing.assert_allclose(
            ours.similarity_pairwise(a, b), theirs.similarity_pairwise(a, b), atol=1e-5
        )
        assert ours.similarity(a[0], b).shape == (1, 5)


def test_what_cannot_be_encoded_is_refused(bert: Path) -> None:
    embedder = hs.Embedder(f"hf:{bert}")
    picture = Image.new("RGB", (8, 8))
    for inputs, words in (
        ("a text", "encode takes many inputs"),
        ({"text": ["a"]}, "encode takes many inputs"),
        ([{"audio": [0]}], "neither texts nor pictures, but audio"),
        ([{"text": ["a"], "image": [picture]}], "say modality='image-text'"),
        (["a", picture], "inputs are image and text; encode one kind"),
        ([picture], "takes texts, and the data holds images"),
    ):
        with pytest.raises(ConfigError, match=words):
            embedder.encode(inputs)  # type: ignore[arg-type]
    for option, words in (
        ({"precision": "int8"}, "not precision='int8'"),
        ({"normalize_embeddings": True}, "no option 'normalize_embeddings'"),
    ):
        with pytest.raises(ConfigError, match=words):
            embedder.encode(TEXTS, **option)


def test_nothing_is_said_of_usual_inputs(bert: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hs.Embedder(f"hf:{bert}").encode(TEXTS)
