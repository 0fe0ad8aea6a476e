"""A head that tags words becomes a token classifier of transformers, or is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import ConfigError

from ..backbones.tiny_texts import save_model
from ..variants import variants

WORDS = [
    ["my", "card", "declined"],
    ["the", "money", "transfer"],
    ["why", "rate", "card"],
    ["hello", "card"],
] * 6
TAGS = [["O" if word not in ("card", "money") else "B-thing" for word in words] for words in WORDS]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("models")
    return {name: save_model(root / name, name) for name in ("bert", "roberta", "distilbert", "modernbert")}


def fitted(folder: Path, head: str = "logistic", taps: Any = None, **options: Any) -> Any:
    features = hs.extract(
        WORDS, labels=TAGS, label_kind="tags", backbone=f"hf:{folder}", taps=taps, set="words", replace=True
    )
    return hs.fit_head(features, head=head, **options)


@pytest.mark.parametrize("name", variants(["bert", "roberta", "distilbert"], {"roberta"}))
def test_transformers_says_what_the_run_says(folders: Any, tmp_path: Path, name: str) -> None:
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    run = fitted(folders[name])
    done = hs.export(run, to="hf", out=tmp_path / "exported")
    assert done.largest_error < 1e-4
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "exported").eval()
    assert sorted(model.config.label2id) == ["B-thing", "O"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "exported")
    words = ["why", "my", "card", "declined", "money"]
    made = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        tags = [model.config.id2label[int(tag)] for tag in model(**made).logits[0].argmax(-1)]
    first = [made.word_ids(0).index(word) for word in range(len(words))]
    (said,) = run.predict([words]).to_pylist()
    assert [tags[place] for place in first] == said["prediction"]
    assert "token-classification" in (tmp_path / "exported" / "README.md").read_text("utf-8")
    assert json.loads((tmp_path / "exported" / "export.json").read_text("utf-8"))["tap"] == "last.words"


def test_what_is_no_token_classifier_is_refused(folders: Any, tmp_path: Path) -> None:
    bert = folders["bert"]
    for run, said in (
        (fitted(bert, "mlp", params={"epochs": 1}), "is one linear layer over the last states"),
        (
            fitted(bert, taps=["last.words-mean"]),
            "export a logistic, ridge, svm or linear head on last.words",
        ),
        (fitted(bert, "linear", params={"epochs": 1, "crf": "yes"}), "a CRF decides over all words"),
        (fitted(bert, "bilstm", params={"epochs": 1, "width": 8}), "'bilstm' cannot be made one network"),
        (fitted(folders["modernbert"]), "no token classifier of modernbert that adds one linear layer"),
    ):
        with pytest.raises(ConfigError, match=said):
            hs.export(run, to="hf", out=tmp_path / "refused")
    with pytest.raises(ConfigError, match="exported --to hf"):
        hs.export(fitted(bert), to="onnx", out=tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_the_module_gives_the_logits_of_words(folders: Any) -> None:
    import torch

    run = fitted(folders["bert"], "mlp", params={"epochs": 2, "width": 16}, calibrate=False)
    features = hs.open_set("words")
    network, said = run.module(), run.predictor.outputs(features.tokens())
    with torch.no_grad():
        logits = network(network.inputs([WORDS[0], " ".join(WORDS[3])])).softmax(-1).numpy()
    np.testing.assert_allclose(logits[0, :3], said[0].probabilities, atol=1e-5)
    np.testing.assert_allclose(logits[1, :2], said[3].probabilities, atol=1e-5)
