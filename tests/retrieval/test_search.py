"""A query finds the samples of a set that are nearest to it, in whatever form it is asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.errors import ConfigError, DataError
from tests.backbones.tiny_vision import clip
from tests.made_sets import make_set

N, WIDTH = 90, 12
TEXTS = ["a red shirt", "a blue shirt", "the trousers", "a cat", "a dog", "a photo of a dog"]


@pytest.fixture(name="X")
def stored_rows() -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(N, WIDTH)).astype(np.float16)
    rows[40] = rows[41] = rows[7]
    rows[50] = 0
    return rows


@pytest.fixture
def made(cache_root: Path, X: np.ndarray) -> FeatureSet:
    labels = {"kind": [("shoes", "hats", "coats")[i % 3] for i in range(N)]}
    meta: dict[str, Any] = {"year": [2020.0 + i % 2 for i in range(N)]}
    # 40 and 41 are one text, so they share a row of the cache.
    contents = [f"text {min(i, 40) if i in (40, 41) else i}" for i in range(N)]
    return make_set(cache_root, X, labels, meta=meta, contents=contents)


def cosines(query: np.ndarray, X: np.ndarray) -> np.ndarray:
    rows, vector = X.astype(np.float64), query.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    return rows @ vector / np.where(lengths > 0, lengths, 1) / np.linalg.norm(vector)


def by_id(scores: np.ndarray, rows: Any) -> list[str]:
    return [f"s{row}" for row in sorted(rows, key=lambda row: (-scores[row], f"s{row}"))]


def test_vectors_find_what_brute_force_finds(made: FeatureSet, X: np.ndarray) -> None:
    queries = np.random.default_rng(1).normal(size=(3, WIDTH))
    found = made.search(queries, k=10)
    assert found.queries == ["vector 0", "vector 1", "vector 2"]
    assert len(found) == 30
    for number, query in enumerate(queries):
        scores = cosines(query, X)
        part = found.of(number)
        assert part.ids == by_id(scores, range(N))[:10]
        np.testing.assert_allclose(part.scores, -np.sort(-scores)[:10], atol=1e-12)
        assert [one.rank for one in part] == list(range(1, 11))
    single = made.search(queries[1].astype(np.float32), k=10)
    assert single.ids == found.of(1).ids


def test_no_cosine_is_above_one(made: FeatureSet, X: np.ndarray) -> None:
    scores = [one.scores[0] for one in (made.search(3.3 * row.astype(np.float64), k=1) for row in X[:40])]
    assert max(scores) <= 1
    np.testing.assert_allclose(scores, 1, atol=1e-6)


def test_products_are_compared_where_they_are_asked_for(made: FeatureSet, X: np.ndarray) -> None:
    query = np.random.default_rng(2).normal(size=WIDTH)
    products = X.astype(np.float64) @ query
    found = made.search(query, k=8, score="dot")
    assert found.ids == by_id(products, range(N))[:8]
    np.testing.assert_allclose(found.scores, -np.sort(-products)[:8], atol=1e-12)


def test_a_sample_does_not_find_itself_and_finds_its_copies_under_their_own_ids(made: FeatureSet) -> None:
    found = made.search(like="s40", k=3)
    assert found.ids[:2] == ["s41", "s7"]
    assert found.scores[:2] == pytest.approx([1, 1])
    both = made.search(like=["s7", "s40"], k=2)
    assert [both.of(0).ids, both.of(1).ids] == [["s40", "s41"], ["s41", "s7"]]


def test_a_search_is_among_the_samples_that_are_asked_for(made: FeatureSet, X: np.ndarray) -> None:
    query = X[3].astype(np.float64)
    scores = cosines(query, X)
    hats_of_2021 = [i for i in range(N) if i % 3 == 1 and i % 2 == 1]
    found = made.search(query, where=["label=hats", "meta:year=2021"], k=100)
    assert found.ids == by_id(scores, hats_of_2021)
    either = made.search(query, where={"kind": ["hats", "coats"]}, k=100)
    assert set(either.ids) == {f"s{i}" for i in range(N) if i % 3}
    in_test = made.search(query, split="test", k=100)
    assert {one.split for one in in_test} == {"test"}
    assert len(in_test) == made.columns(["split"]).column("split").to_pylist().count("test")
    outside = made.search(like="s0", where="label=hats", k=3)  # s0 is none of them, and may ask all the same
    assert outside.ids == by_id(cosines(X[0], X), range(1, N, 3))[:3]


def test_answers_are_rows_with_all_that_is_known(made: FeatureSet) -> None:
    found = made.search(like="s1", k=2)
    table = found.table()
    assert table.column_names == ["query", "rank", "id", "label", "split", "score", "origin"]
    first = found[0]
    assert (first.query, first.rank, first.id) == ("s1", 1, table.column("id")[0].as_py())
    assert first.label in ("shoes", "hats", "coats")
    assert [one.id for one in found] == found.ids
    assert [one.id for one in found[:1]] == found.ids[:1]


def test_a_query_of_zeros_is_equally_far_from_all(
    made: FeatureSet, capsys: pytest.CaptureFixture[str]
) -> None:
    found = hs.search(made, np.zeros(WIDTH), k=3, quiet=False)
    assert "the vector of 'vector 0' is all zeros: no sample is nearer" in capsys.readouterr().err
    assert found.ids == ["s0", "s1", "s10"]
    assert found.scores == [0, 0, 0]


def test_more_answers_than_samples_are_all_there_are(
    made: FeatureSet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(made.search(np.ones(WIDTH), k=1000, quiet=False)) == N
    assert "90 samples to find, fewer than k (1,000)" in capsys.readouterr().err
    assert len(made.search(like="s0", k=1000)) == N - 1


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({}, ConfigError, "say what to look for"),
        ({"query": "x", "like": "s0"}, ConfigError, "leave all but one out"),
        ({"like": "s900"}, DataError, "has no sample 's900'; did you mean"),
        ({"query": np.ones(5)}, ConfigError, "a query has 5 numbers, and .* 12"),
        ({"query": np.full(WIDTH, np.nan)}, ConfigError, "not finite"),
        ({"like": "s0", "where": "label=shoos"}, DataError, "label=shoos; did you mean 'shoes'"),
        ({"like": "s0", "where": "kinds=shoes"}, ConfigError, "no column 'kinds'; it has: split, label:kind"),
        ({"like": "s0", "where": "shoes"}, ConfigError, "takes COLUMN=VALUE"),
        ({"like": "s0", "where": {"label": "hats", "split": "tset"}}, DataError, "did you mean 'test'"),
        ({"like": "s0", "split": "tset"}, ConfigError, r"no split .*choose from: train"),
        ({"like": "s0", "score": "euclid"}, ConfigError, "choose cosine or dot"),
        ({"like": "s0", "tap": "last.max"}, ConfigError, "no feature"),
        ({"query": np.ones(WIDTH), "k": 0}, ConfigError, "k"),
    ],
)
def test_a_mistake_is_one_clear_line(
    made: FeatureSet, asked: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        made.search(**asked)
    assert str(caught.value).count("\n") <= 1


# -- through a text model


@pytest.fixture
def texts(tiny_bert: Path) -> FeatureSet:
    return hs.extract(TEXTS, backbone=f"hf:{tiny_bert}", taps=["last.mean", "last.tokens"])


def test_a_text_finds_texts_through_the_cache(texts: FeatureSet) -> None:
    X = texts.rows(tap="last.mean").X
    found = texts.search("a cat", tap="last.mean", k=6)
    assert found.ids[0] == str(TEXTS.index("a cat"))
    assert found.scores[0] == pytest.approx(1, abs=1e-6)
    order = np.argsort(-cosines(X[3], X))
    assert found.ids == [str(row) for row in order]
    assert (
        texts.search("a cat", k=2).ids == found.ids[:2]
    )  # of several features the one with a vector a sample
    several = texts.search(["a dog", "a cat"], k=1)
    assert (several.queries, several.ids) == (["a dog", "a cat"], ["4", "3"])


def test_queries_come_from_files_as_any_data_does(texts: FeatureSet, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a dog\na cat\n", "utf-8")
    (tmp_path / "table.csv").write_text("question,n\na dog,1\n", "utf-8")
    assert texts.search(tmp_path / "lines.txt", k=1).queries == ["a dog", "a cat"]
    found = texts.search(str(tmp_path / "table.csv"), k=1, text_column="question")
    assert (found.queries, found.ids) == (["a dog"], ["4"])


def test_a_mistyped_path_is_no_text(texts: FeatureSet, tmp_path: Path) -> None:
    for path in ("photos/cat", "cat.jpg", "queries.csv", str(tmp_path / "none")):
        with pytest.raises(DataError, match=r"no file or folder .*--text takes it as a text"):
            texts.search(path)
    assert texts.search(text="cat/dog", k=1).queries == ["cat/dog"]
    assert texts.search("is it a cat / a dog", k=1).queries == ["is it a cat / a dog"]


def test_what_cannot_be_looked_for_is_refused(texts: FeatureSet, tmp_path: Path) -> None:
    for empty in ("", "  \n"):
        with pytest.raises(ConfigError, match="empty text"):
            texts.search(text=empty)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="cannot be compared with images: only a dual encoder"):
        texts.search(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="several vectors a sample"):
        texts.search("a cat", tap="last.tokens")
    with pytest.raises(ConfigError, match="several vectors"):
        texts.search(like="0", tap="last.tokens")


def test_a_prompt_stands_before_the_query_alone(
    texts: FeatureSet, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompted = hs.extract(
        ["a photo of a cat"], backbone=f"hf:{tiny_bert}", taps=["last.mean"], set="prompted"
    )
    vector = prompted.rows().X[0]
    found = texts.search("cat", k=6, query_prompt="a photo of a ")
    assert found.ids == texts.search(vector, k=6).ids
    np.testing.assert_allclose(found.scores, texts.search(vector, k=6).scores, atol=1e-6)
    plain = texts.search("cat", k=6)
    assert plain.scores != found.scores
    settings = '{"prompts": {"query": "a photo of a ", "document": ""}}'
    (tiny_bert / "config_sentence_transformers.json").write_text(settings, "utf-8")
    capsys.readouterr()
    declared = texts.search("cat", k=6, quiet=False)
    assert "before each query stands 'a photo of a '" in capsys.readouterr().err
    assert declared.scores == found.scores
    assert texts.search("cat", k=6, query_prompt="").scores == plain.scores


def test_samples_without_the_prompt_that_the_authors_put_before_them_are_said(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    e5 = shutil.copytree(tiny_bert, tmp_path / "e5-small-v2")
    data: dict[str, Any] = {"backbone": f"hf:{e5}", "taps": ["last.mean"]}
    plain = hs.extract(["a cat", "a photo"], set="plain", **data)
    prompted = hs.extract(["a cat", "a photo"], set="prompted", prompt="passage", **data)

    def said(features: FeatureSet, **query: Any) -> str:
        features.search(quiet=False, **query)
        return capsys.readouterr().err

    missing = "set 'plain' was extracted without 'passage: '"
    assert missing in said(plain, query="cat")
    assert "headstart extract --prompt passage" in said(plain, query="cat")
    assert "extracted without" not in said(prompted, query="cat")
    assert "extracted without" not in said(plain, like="0")
    assert "before each query stands 'query: '" in said(prompted, query="cat")


# -- through a dual encoder


@pytest.fixture
def pictures() -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (40, 30, 3), dtype=np.uint8)) for _ in range(6)]


@pytest.fixture
def dual(tmp_path: Path) -> Path:
    return clip(tmp_path / "clip")


def _own(dual: Path, texts: list[str], images: list[Image.Image]) -> np.ndarray:
    """Cosines of texts (rows) and images, by the model itself."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(dual).eval(), CLIPProcessor.from_pretrained(dual)
    with torch.inference_mode():
        said = model(**processor(text=texts, images=images, return_tensors="pt", padding=True))
    found: np.ndarray = said.logits_per_text.numpy() / model.logit_scale.exp().item()
    return found


@pytest.mark.parametrize("normalize", [None, True])
def test_a_text_finds_pictures_and_a_picture_texts(
    dual: Path, pictures: list[Image.Image], tmp_path: Path, normalize: bool | None
) -> None:
    own = _own(dual, TEXTS, pictures)
    images = hs.extract(pictures, backbone=f"hf:{dual}", taps=["joint"], normalize=normalize, set="images")
    found = images.search("a dog", k=6)
    assert found.ids == [str(row) for row in np.argsort(-own[4])]
    np.testing.assert_allclose(found.scores, -np.sort(-own[4]), atol=1e-5)
    table = {"text": TEXTS, "id": [str(row) for row in range(6)]}
    texts = hs.extract(
        table, backbone=f"hf:{dual}", taps=["joint"], normalize=normalize, set="texts", id_column="id"
    )
    pictures[2].save(tmp_path / "picture.png")
    for query in (tmp_path / "picture.png", str(tmp_path / "picture.png"), pictures[2]):
        found = texts.search(query, k=6)
        assert found.ids == [str(row) for row in np.argsort(-own[:, 2])]
        np.testing.assert_allclose(found.scores, -np.sort(-own[:, 2]), atol=1e-5)
    assert images.search(image=tmp_path / "picture.png", k=1).ids == ["2"]


def test_a_query_to_pairs_is_compared_with_their_other_half(
    dual: Path, pictures: list[Image.Image], tmp_path: Path
) -> None:
    own = _own(dual, TEXTS, pictures)
    pairs = hs.extract(list(zip(pictures, TEXTS, strict=True)), backbone=f"hf:{dual}", taps=["joint"])
    by_text = pairs.search("a dog", k=6)
    np.testing.assert_allclose(by_text.scores, -np.sort(-own[4]), atol=1e-5)
    by_picture = pairs.search(pictures[2], k=6)
    np.testing.assert_allclose(by_picture.scores, -np.sort(-own[:, 2]), atol=1e-5)


def test_a_broken_picture_is_named(dual: Path, pictures: list[Image.Image], tmp_path: Path) -> None:
    images = hs.extract(pictures, backbone=f"hf:{dual}", taps=["joint"])
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"no query could be read; .*broken\.jpg"):
        images.search(tmp_path / "broken.jpg")
    pictures[0].save(tmp_path / "whole.png")
    found = images.search(image=[tmp_path / "broken.jpg", tmp_path / "whole.png"], k=1)
    assert found.ids == ["0"]
    with pytest.raises(DataError, match="there is no file"):
        images.search(image=tmp_path / "none.jpg")


# -- what is shown


@pytest.fixture
def folder(tmp_path: Path, pictures: list[Image.Image]) -> Path:
    for number, picture in enumerate(pictures):
        place = tmp_path / "photos" / ("<b>", "plain")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{number}.png")
    return tmp_path / "photos"


def test_a_contact_sheet_shows_pictures_with_their_scores(dual: Path, folder: Path, tmp_path: Path) -> None:
    images = hs.extract(folder, backbone=f"hf:{dual}", taps=["joint"])
    found = images.search("a dog", k=4, sheet=tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text("utf-8")
    assert page.count('<img src="data:image/webp') == 4
    assert all(f"{score:.3f}" in page for score in found.scores)
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    found.save_sheet(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert min(image.size) > 200
    with pytest.raises(ConfigError, match="is there already"):
        found.save_sheet(tmp_path / "sheet.png")
    with pytest.raises(ConfigError, match=r"neither in \.png nor in \.html"):
        images.search("a dog", sheet=tmp_path / "sheet.pdf")
    assert found._repr_html_().count("<img") == 4
    (folder / "plain" / "1.png").unlink()
    assert (
        "<table>" in images.search("a dog", k=6)._repr_html_()
    )  # what is gone is not shown, what is known is


def test_texts_are_shown_where_their_ids_say_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text\n" + "\n".join(TEXTS) + "\n", "utf-8")
    features = hs.extract(tmp_path / "t.csv", backbone=f"hf:{tiny_bert}")
    found = features.search("a dog", k=2)
    assert found.table().column("input")[0].as_py() == "a dog"
    assert "input" not in features.search("a dog", k=2, with_inputs=False).table().column_names
    assert "a dog" in found._repr_html_()
    (tmp_path / "t.csv").unlink()
    assert features.search("a dog", k=2).ids == found.ids
    with pytest.raises(DataError):
        features.search("a dog", k=2, with_inputs=True)


def test_imported_features_are_searched_by_sample_and_by_vector(tmp_path: Path, X: np.ndarray) -> None:
    from headstart.extraction.import_matrix import ImportConfig, import_features
    from headstart.progress import Silence

    np.save(tmp_path / "x.npy", X)
    own = [f"photo {row}" for row in range(N)]
    (tmp_path / "ids.txt").write_text("\n".join(own), "utf-8")
    made = import_features(
        ImportConfig(tmp_path / "x.npy", "mine", "clip", tmp_path / "ids.txt"), Silence()
    ).features
    assert list(made.cache.glob("spaces/*/index.npz"))  # or each command would look into all shards again
    assert made.search(like=own[7], k=2).ids == [own[40], own[41]]
    assert made.search(X[3].astype(np.float32), k=1).ids == [own[3]]
    with pytest.raises(ConfigError, match="was imported, and no backbone is known"):
        made.search("a cat")
    with pytest.raises(ConfigError, match="imported"):
        made.search(like=own[0], sheet=tmp_path / "sheet.html")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"query": ["cat", "", "dog"]}, "query 1 cannot be used: the text is empty; leave it out"),
        ({"query": "cat", "where": 5}, r"--where takes COLUMN=VALUE, such as label=shoes \(got 5\)"),
        ({"query": "cat", "where": [5]}, r"--where takes COLUMN=VALUE.*\(got 5\)"),
    ],
)
def test_what_a_program_gives_wrong_is_said(texts: FeatureSet, given: Any, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        texts.search(**given)


def test_ids_may_be_numbers_as_those_of_data_in_memory_look(texts: FeatureSet) -> None:
    assert texts.search(like=2, k=3).ids == texts.search(like="2", k=3).ids
