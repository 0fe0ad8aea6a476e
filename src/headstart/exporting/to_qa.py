"""A folder that transformers loads as a model for question answering, with a small example of how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from headstart.backbones.hf.models import quietly
from headstart.backbones.pooling import FINAL, TOKENS, display_tap
from headstart.backbones.portable import Portable, exportable
from headstart.errors import ConfigError, HeadstartError
from headstart.exporting.model import TEXTS, TOLERANCE, largest_error
from headstart.heads.plain import plain_head
from headstart.training.examples import MAY_ANSWER
from headstart.tuning.passages import KINDS, PassageNetwork
from headstart.tuning.whole_model import open_whole

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.heads.predictor import Predictor
    from headstart.types import Json

PAIRS = (
    ("Where is my card?", TEXTS[1]),
    ("Who?", "naïve façade, 東京, 12.50 €"),
    ("What was declined twice on 3 May?", f"{TEXTS[1]} {TEXTS[3]}"),
)
EXAMPLE = '''\
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForQuestionAnswering.from_pretrained(".").eval()
MAX_LENGTH, OVERLAP, LONGEST, THRESHOLD = @numbers


def answer(question, context):
    """The answer, "" for none, with the first character and that behind it."""
    room = MAX_LENGTH - len(tokenizer(question, "")["input_ids"])
    stride = min(OVERLAP, room // 2)  # tokens that two windows over a long context share
    windows = tokenizer(
        question, context, truncation="only_second", max_length=MAX_LENGTH, stride=stride, padding=True,
        return_overflowing_tokens=True, return_offsets_mapping=True, return_tensors="pt",
    )
    inputs = {name: windows[name] for name in tokenizer.model_input_names if name in windows}
    with torch.no_grad():
        output = model(**inputs)
    scores = torch.stack([output.start_logits, output.end_logits], dim=-1)
    tokens = {}  # each from the window that sees most on both of its sides
    for number, offsets in enumerate(windows["offset_mapping"].tolist()):
        inside = [place for place, owner in enumerate(windows.sequence_ids(number)) if owner == 1]
        for place in inside:
            token = number * (room - stride) + place - inside[0]
            seen = min(place - inside[0], inside[-1] - place) + 0.01 * len(inside)
            if token not in tokens or seen > tokens[token][0]:
                tokens[token] = seen, scores[number, place].tolist(), offsets[place]
    kept = [tokens[token][1:] for token in sorted(tokens) if tokens[token][2][0] < tokens[token][2][1]]
    best, first, last = max(
        (start[0][0] + kept[end][0][1], begin, end)
        for begin, start in enumerate(kept)
        for end in range(begin, min(begin + LONGEST, len(kept)))
    )
    if THRESHOLD is not None and scores[0, 0].sum().item() - best > THRESHOLD:
        return "", None, None
    start, end = kept[first][1][0], kept[last][1][1]
    return context[start:end].strip(), start, end


print(answer("Where is the tower?", "The tower stands in Paris, where it was built."))
'''


@dataclass(frozen=True)
class QuestionModel:
    """A run that answers questions, as one network."""

    portable: Portable
    layer: nn.Linear  # from a token to its scores
    network: PassageNetwork
    numbers: Mapping[str, Json]  # what the example needs to know


def open_questions(
    predictor: Predictor, features: Mapping[str, Json], progress: Progress, offline: bool
) -> QuestionModel:
    """Backbone and head of a run that answers questions.

    Raises
    ------
    ConfigError
        The head is more than a linear layer, or reads another layer than the last.
    """
    tap, windows = str(features["recipe"]["tap"]), features["recipe"]["windows"]
    head: Any = predictor.head
    if head.kind != "linear":
        raise ConfigError(
            f"the head {head.kind!r} is more than the linear layer that AutoModelForQuestionAnswering has; fit the "
            "head linear, or fine-tune"
        )
    if tap != f"{FINAL}.{TOKENS}":
        raise ConfigError(
            f"the head reads {display_tap(tap)}, and AutoModelForQuestionAnswering the last layer; fit one on "
            "last.tokens"
        )
    plain = plain_head(predictor)
    layer = plain.folded()
    assert layer is not None  # a linear layer over standardised features
    backbone = open_whole(features, progress, offline)
    portable = exportable(backbone, tap)
    network = PassageNetwork(backbone.load("cpu", "fp32"), tap, plain.module, features["modality"])
    numbers = {
        "max_length": features["recipe"]["max_length"], "overlap": windows["overlap"],
        "longest": int(head.longest_answer), "threshold": head.threshold_,
    }  # fmt: skip
    return QuestionModel(portable, layer, network, numbers)


def write_qa(subject: QuestionModel, folder: Path) -> dict[str, Any]:
    """Write the model and its tokenizer into a folder; see `headstart.exporting.to_hf.write_hf`."""
    with quietly():
        model = _model(subject)
        model.save_pretrained(folder)
        subject.portable.save_inputs(folder)
        error = _error(type(model), folder, subject)
    if not error <= TOLERANCE:
        raise HeadstartError(
            f"the exported model gives other scores than the run: off by {error:.2g} of the largest, and "
            f"{TOLERANCE:g} is allowed; nothing was written"
        )
    return {"class": type(model).__name__, "remote_code": False, "largest_error": error, **subject.numbers}


def _model(subject: QuestionModel) -> Any:
    """The class of transformers that answers questions, with the run's weights."""
    import transformers

    portable = subject.portable
    described = portable.description()
    config = transformers.AutoConfig.for_model(described.pop("model_type"), **{**described, "num_labels": 2})
    kind: Any = transformers.MODEL_FOR_QUESTION_ANSWERING_MAPPING.get(type(config), None)
    if kind is None:
        raise ConfigError(f"transformers has no model for question answering of the kind {config.model_type}")
    model = kind(config)
    base = getattr(model, model.base_model_prefix)
    missing = base.load_state_dict(portable.weights(), strict=False).missing_keys
    own = {name.rpartition(".")[0] for name, _ in model.named_parameters()
           if not name.startswith(f"{model.base_model_prefix}.")}  # fmt: skip
    layers = [model.get_submodule(name) for name in own]
    if missing or len(layers) != 1 or not isinstance(layers[0], nn.Linear):
        raise ConfigError(
            f"{kind.__name__} is more than {type(portable.module).__name__} with a linear layer, and cannot be filled"
        )
    layers[0].load_state_dict(subject.layer.state_dict())
    return model.eval()


def _error(kind: Any, folder: Path, subject: QuestionModel) -> float:
    """How far the scores of what was written are from those of the run, as a share of the largest."""
    from transformers import AutoTokenizer

    model = kind.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    errors = []
    for pair in PAIRS:
        made = tokenizer(*pair, return_tensors="pt")
        if made["input_ids"].shape[1] > subject.numbers["max_length"]:
            continue
        with torch.no_grad():
            output = model(**made)
            batch = subject.network.inputs([pair])
            wanted = subject.network(batch)[0]
        found = torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1)
        where = batch[KINDS][0] == MAY_ANSWER
        errors.append(largest_error(found[where], wanted[where]))
    return max(errors, default=float("inf"))


def readme_qa(subject: QuestionModel, found: Mapping[str, Any]) -> str:
    """What it is, and how questions are asked."""
    title = f"A {found['head']} head on {found['backbone']}, {found['tap']}, that answers questions"
    code = EXAMPLE.replace("@numbers", ", ".join(map(repr, subject.numbers.values())))
    said = "Exported by headstart. It finds the answer to a question in a context; long ones are read in windows."
    return f"# {title}\n\n{said}\n\n```python\n{code}```\n"
