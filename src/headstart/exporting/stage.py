"""export: backbone and head of a run as one model that others load without headstart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from headstart.backbones.pooling import display_tap, is_of_words
from headstart.errors import ConfigError, StorageError
from headstart.files import write_durably, write_folder, write_json
from headstart.heads.decoder import DecoderHead
from headstart.heads.predictor import Predictor
from headstart.registry.run import Run, check_free
from headstart.tasks import open_task
from headstart.types import Exported

if TYPE_CHECKING:
    from headstart.contracts import Progress
    from headstart.exporting.model import ExportModel
    from headstart.types import Json

_Parts: TypeAlias = "tuple[Callable[[Path], dict[str, Any]], Callable[[Mapping[str, Any]], str]]"

FORMATS = ("hf", "onnx", "timm")
MARK = "export.json"
_HF = """\
from transformers import pipeline

classify = pipeline("{task}", model="."{trust})
print(classify({sample}))
"""
_WORDS = """\
from transformers import pipeline

tag = pipeline("token-classification", model=".", aggregation_strategy="first")
print(tag("a text"))  # the likeliest tag of each word by itself; headstart predict decodes within the scheme
"""
_WRITER = """\
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForSeq2SeqLM.from_pretrained(".").eval()
inputs = tokenizer({text}, truncation=True, return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))
"""
_TIMM = """\
import timm

model = timm.create_model("local-dir:.", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
"""
_ONNX = """\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
print([part.name for part in session.get_inputs()])  # names of classes: labels.json
"""


def export(
    run: Run, to: str, out: Path, progress: Progress, overwrite: bool = False, offline: bool = False
) -> Exported:
    """Export the head of a run with the backbone that it was fitted on.

    What is written is loaded again, by the library that it is for, and held against the run on trial samples.

    ``out``: written whole or not at all. Raises `ConfigError` if there is no such format, the run is nothing
    that it can hold, or ``out`` is not empty; `MissingDependencyError` if a library that the format needs is
    not installed; `MismatchError` if the backbone is not the one that the head was fitted on; `HeadstartError`:
    what was written gives other logits than the run.
    """
    check_target(to, out, overwrite)
    predictor, features = run.predictor, run.features
    write, tell = _exporter(run, to, progress, offline)
    found: dict[str, Any] = {}

    def fill(folder: Path) -> None:
        found.update(write(folder))
        said = {**_origin(predictor, features), **found}
        write_json(folder / MARK, {"format": 1, "to": to, **said})
        write_durably(folder / "README.md", tell(said).encode("utf-8"))

    write_folder(out, fill)
    error = found.pop("largest_error")
    progress.say(
        f"written to {out}; largest error of a logit on trial inputs: {error:.1g} of the largest logit"
    )
    return Exported(out, to, error, found)


def _plain(to: str, run: Run, progress: Progress, offline: bool) -> _Parts:
    """What writes a model of classes or numbers into a folder, and what tells of it."""
    write = _writer(to, is_of_words(str(run.features["recipe"]["tap"])))
    subject = open_subject(run.predictor, run.features, run.labels, progress, offline)
    return partial(write, subject), partial(_readme, to, subject)


def _questions(to: str, run: Run, progress: Progress, offline: bool) -> _Parts:
    """The same of a model that answers questions."""
    if to != "hf":
        raise ConfigError(f"a run that answers questions is exported --to hf; {to} has no such model")
    from headstart.exporting.to_qa import open_questions, readme_qa, write_qa

    subject = open_questions(run.predictor, run.features, progress, offline)
    return partial(write_qa, subject), partial(readme_qa, subject)


def check_target(to: str, out: Path, overwrite: bool) -> None:
    """Refuse an unknown format, or a place that is taken, before any work is done."""
    if to not in FORMATS:
        raise ConfigError(f"there is no format {to!r}; --to takes {', '.join(FORMATS)}")
    check_free(out, overwrite, MARK, "an export")


def _exporter(run: Run, to: str, progress: Progress, offline: bool) -> _Parts:
    """What writes the model of a run into a folder, and what writes its README."""
    predictor = run.predictor
    if predictor.takes_passages:
        return _questions(to, run, progress, offline)
    if isinstance(predictor.head, DecoderHead):
        return _writing(to, predictor.head, run.features, progress, offline)
    return _plain(to, run, progress, offline)


def _writing(
    to: str, head: DecoderHead, features: Mapping[str, Json], progress: Progress, offline: bool
) -> _Parts:
    """The same of a model that writes texts."""
    from headstart.exporting.writer import WritingRun, check_writable, write_writer

    check_writable(to)
    writing = WritingRun.open(head, features, progress, offline)
    return partial(write_writer, writing), partial(_readme_of_writer, writing.prompt)


def open_subject(
    predictor: Predictor,
    features: Mapping[str, Json],
    labels: Mapping[str, Json],
    progress: Progress,
    offline: bool,
) -> ExportModel:
    """Backbone and head, and all that an exporter asks of them."""
    from headstart.backbones.portable import exportable
    from headstart.exporting.model import ExportModel, trial_samples
    from headstart.tuning.whole_model import WholeModel, open_whole, single_head

    head = single_head(predictor, features)
    tap = str(features["recipe"]["tap"])
    backbone = open_whole(features, progress, offline)
    portable = exportable(backbone, tap)
    whole = WholeModel(backbone.load("cpu", "fp32"), tap, head.module, features["modality"])
    names = _names(predictor, labels, head.n_outputs)
    samples = trial_samples(features["modality"])
    return ExportModel(portable, head, predictor.task, names, whole.inputs, whole, samples)


def _writer(to: str, of_words: bool) -> Callable[[ExportModel, Path], dict[str, Any]]:
    if of_words:
        if to != "hf":
            raise ConfigError(
                f"a head that tags words is exported --to hf, as a token classifier, and not --to {to}"
            )
        from headstart.exporting.to_hf_words import write_tagger

        return write_tagger
    match to:
        case "hf":
            from headstart.exporting.to_hf import write_hf

            return write_hf
        case "timm":
            from headstart.exporting.to_timm import write_timm

            return write_timm
    from headstart.exporting.to_onnx import check_onnx, write_onnx

    check_onnx()
    return write_onnx


def _names(predictor: Predictor, labels: Mapping[str, Json], n_outputs: int) -> Sequence[str]:
    """What the logits are called, in order."""
    names = [str(name) for name in labels["names"]]
    task = open_task(predictor.task)
    if task.has_names:
        names = task.class_names(predictor.classes, names)
        if len(names) != n_outputs:
            raise StorageError(
                f"the run names {len(names)} labels, and its head has {n_outputs}; fit it again"
            )
        return names
    column = str(labels["column"])
    numbered = [column] if n_outputs == 1 else [f"{column} {number}" for number in range(n_outputs)]
    return names if len(names) == n_outputs else numbered


def _origin(predictor: Predictor, features: Mapping[str, Json]) -> dict[str, Json]:
    from headstart.backbones import short_name
    from headstart.version import __version__

    kind = str(features["backbone"]).partition(":")[0]
    return {
        "headstart": __version__,
        "backbone": f"{kind}:{short_name(features['backbone'])}",  # without the folders of this machine
        "tap": display_tap(str(features["recipe"]["tap"])),
        "weights": features["recipe"]["weights"],
        "head": predictor.head.kind,
    }


def _readme_of_writer(prompt: str, found: Mapping[str, Any]) -> str:
    """What it is, and how to load it."""
    code = _WRITER.format(text=repr(f"{prompt}a text"))
    return f"# {found['backbone']}, fine-tuned to write texts\n\nExported by headstart.\n\n```python\n{code}```\n"


def _readme(to: str, subject: ExportModel, found: Mapping[str, Any]) -> str:
    """What it is, and how to load it."""
    is_text = subject.portable.modality == "text"
    of_words = found["tap"].startswith("last.words")
    code = {"timm": _TIMM, "onnx": _ONNX}.get(to, _WORDS if of_words else _HF).format(
        task="text-classification" if is_text else "image-classification",
        trust=", trust_remote_code=True" if found.get("remote_code") else "",
        sample='"a text", truncation=True' if is_text else '"a photo.jpg"',
    )
    names = ", ".join(subject.names[:5]) + (", …" if len(subject.names) > 5 else "")
    title = f"A {found['head']} head on {found['backbone']}, {found['tap']}"
    return f"# {title}\n\nExported by headstart; it answers: {names}.\n\n```python\n{code}```\n"
