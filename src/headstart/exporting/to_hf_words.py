"""A folder that transformers loads as a token classifier: a word is what its first token is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from headstart.backbones.hf.models import quietly
from headstart.errors import ConfigError
from headstart.exporting.to_hf import model_of

if TYPE_CHECKING:
    from headstart.exporting.model import ExportModel


def write_tagger(subject: ExportModel, folder: Path) -> dict[str, Any]:
    """Write the model, its labels and its tokenizer into a folder, as `AutoModelForTokenClassification` reads it.

    Gives ``class``, ``remote_code`` (never) and ``largest_error``, of the logits of words as a share of the largest.

    Raises
    ------
    ConfigError
        The head is not one linear layer over the first token of each word, or transformers has no such class.
    HeadstartError
        What was written does not give the run's logits.
    """
    with quietly():
        model = _model(subject)
        model.save_pretrained(folder)
        subject.portable.save_inputs(folder)
    error = subject.check(_logits(type(model), folder, subject), "the exported model")
    return {"class": type(model).__name__, "remote_code": False, "largest_error": error}


def _model(subject: ExportModel) -> Any:
    reading, layer = subject.portable.reading, subject.head.folded()
    if layer is None or reading["unit"] or (reading["read"], reading["poolings"]) != ("final", ["words"]):
        raise ConfigError(
            "a token classifier of transformers is one linear layer over the last states of the first tokens of words; "
            "export a logistic, ridge, svm or linear head on last.words, or use run.module()"
        )
    model = model_of(subject, layer, "TOKEN")
    if model is None:
        kind = subject.portable.config.get("model_type")
        raise ConfigError(
            f"transformers has no token classifier of {kind} that adds one linear layer and nothing else; use "
            "run.module()"
        )
    return model


def _logits(kind: Any, folder: Path, subject: ExportModel) -> torch.Tensor:
    """The logits of the first tokens of words, of the written model with the written tokenizer."""
    from transformers import AutoTokenizer

    with quietly(), torch.no_grad():
        model = kind.from_pretrained(folder, local_files_only=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        found = []
        for words in subject.samples:
            made = tokenizer(list(words), is_split_into_words=True, return_tensors="pt")
            ids = made.word_ids(0)
            first = [ids.index(word) for word in range(len(words))]
            found.append(model(**made).logits[0, first])
        return torch.cat(found)
