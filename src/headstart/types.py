"""The values that flow between the parts: frozen, and free of input and output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

Modality: TypeAlias = Literal["image", "text", "text-pair", "image-text", "words"]
LabelKind: TypeAlias = str
"""What labels mean: ``single`` (one class per sample), ``multi`` (any number of classes), ``regression`` (a number),
``tags`` (a tag per word), ``spans`` (stretches of a context), ``seq2seq`` (a text to write), or
``py:package.module:factory``, a task of the user's own; see `headstart.tasks.open_task`."""

LabelForm: TypeAlias = Literal["classes", "labels", "numbers", "tags", "spans", "texts"]
"""The shape of the targets that a head is fitted on: a class per sample (N,), an indicator of labels (N, L), numbers
(N,), a class for each vector of a sample, an array per sample (N,), stretches of a text, an object (N,), or texts (N,).
It decides which heads fit a task."""

Precision: TypeAlias = Literal["fp32", "bf16", "fp16", "int8"]
StoredDtype: TypeAlias = Literal["float16", "float32"]
PlotFormat: TypeAlias = Literal["png", "svg", "both", "none"]
"""The files in which plots are written."""
Payload: TypeAlias = "bytes | str | tuple[str, ...] | tuple[bytes, str]"
"""What a sample is made of: the bytes of an image file, a text, a pair of texts, an image's bytes with a text, or any
number of words."""

Json: TypeAlias = Any
"""Anything that JSON can hold; kept loose because mypy's recursive aliases help nobody here."""

UNSEEN = -1
"""The target of a class that training lacks."""
PADDING = -2
"""The target of what stands behind the end of a sentence."""

Place: TypeAlias = Callable[[int], str]
"""Says where a row is, for a message."""

SPLITS = ("train", "validation", "test")

AT_END = ("final", "pooler", "joint", "sentence")
"""What can be read once a model has run to its end; numbered layers can be had before that."""


LOGITS = "logits"
"""What the provenance of a dual encoder calls the ``scale`` and the ``bias`` (where it has one) that make logits of
cosines; None if its checkpoint has none."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that was skipped, by name.

    Parameters
    ----------
    id, origin : str
        The sample's id, and where it comes from (a path, or file and row).
    reason : str
        One line that a user can act on.
    kind : {"permanent", "transient"}
        A permanent failure counts as held until the sample's bytes change; a transient one is
        tried again by the next run.
    key : str
        The sample's key in hex, empty if its bytes could not be read.
    space : str
        The space it has no feature in, empty if it failed before any backbone saw it.
    """

    id: str
    origin: str
    reason: str
    kind: Literal["permanent", "transient"] = "permanent"
    key: str = ""
    space: str = ""


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Consecutive samples of a scan.

    Parameters
    ----------
    table : pyarrow.Table
        Columns ``id`` string, ``key`` fixed_size_binary(16), ``split`` string (null: not given),
        ``origin`` string, then ``label:<name>`` (null: not labelled; string, list<string> or double by
        the label's kind) and ``meta:<name>``.
    failures : list of Failure
        The samples that could not even be read, or that are empty.
    """

    table: pa.Table
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Features:
    """Features of N samples of one space, dense or ragged.

    Parameters
    ----------
    keys : ndarray of uint8, shape (N, 16)
    values : ndarray of float16 or float32, shape (N, D), or (T, D) where they are ragged
    offsets : ndarray of int64, shape (N + 1,), optional
        Where they are ragged, sample ``i`` owns the rows ``offsets[i]:offsets[i + 1]``.
    """

    keys: NDArray[np.uint8]
    values: NDArray[Any]
    offsets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Positions:
    """What one layer gives for a batch: tokens, patches, or spatial positions.

    Parameters
    ----------
    hidden : Tensor, shape (B, T, D)
        What may be pooled; class and register tokens of a vision transformer are not among them.
    mask : Tensor of bool, shape (B, T), optional
        True where ``hidden`` may take part in a pooling; None: everywhere.
    cls : Tensor, shape (B, D), optional
        The class token, where the model has one.
    """

    hidden: torch.Tensor
    mask: torch.Tensor | None = None
    cls: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Activations:
    """What a backbone gives for one batch, before pooling.

    Parameters
    ----------
    layers : mapping of str to Positions
        By canonical layer name: ``final`` after the closing norm, or a number from the input.
    whole : mapping of str to Tensor of shape (B, D)
        By tap: what needs no pooling of ours. ``pooler``: the model's own pooling; ``joint``: its
        projection into a space that it shares with another modality; ``sentence``.
    """

    layers: Mapping[str, Positions] = field(default_factory=dict)
    whole: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tokens:
    """All positions of a batch that a tap keeps: as many a sample as it has.

    Parameters
    ----------
    values : Tensor, shape (T, D)
        The positions of the first sample, then those of the second …
    lengths : Tensor of int64, shape (B,)
        How many each sample has; T is their sum.
    """

    values: torch.Tensor
    lengths: torch.Tensor


Read: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.int64] | None]"
"""What a tap reads of a batch, (B, D); of a ragged one (T, D), and how many of the rows each sample has, (B,)."""


@dataclass(frozen=True, slots=True)
class TrialWork:
    """What a runtime is told of the work when it may try something faster.

    Parameters
    ----------
    make_batch : callable
        Gives a full batch of the work, on the device.
    examples : callable
        Gives batches on the CPU that a converted model is to be proved on: of the shortest sample, of the longest, of
        both.
    seconds_left : float
        About how long the rest of the work takes as it goes now.
    """

    make_batch: Callable[[], Mapping[str, Any]]
    examples: Callable[[], list[Mapping[str, Any]]]
    seconds_left: float


@dataclass(frozen=True, slots=True)
class BackboneInfo:
    """What is known of a backbone without its weights at hand: enough to name its spaces.

    Parameters
    ----------
    spec : str
        As the user wrote it, e.g. ``timm:resnet50.a1_in1k``.
    modality : {"image", "text", "text-pair", "image-text", "words"}
        What it takes. A text backbone takes pairs as well, and words where it was opened for them. Of a
        model with several sides (CLIP) this is the side that `BackboneOptions.modality` chose.
    weights : str
        BLAKE2b-128 of the loaded weights (names, dtypes, shapes, bytes), in hex.
    architecture, preprocessing : dict
        What else decides the numbers; both enter the recipe as they are.
    taps : tuple of str
        The canonical taps that it offers at its end; the first is where its authors read it. The
        poolings of its ``final`` taps are those of its numbered layers, too.
    n_layers : int
        How many layers can be read by number; 0: none. -1 is the last of them.
    first_layer : int
        The lowest number: 0 where what enters the first block can be read as well, else 1.
    layers_lack : tuple of str
        Poolings of ``final`` that the numbered layers do not have, such as ``cls`` where the class token
        joins late.
    closing_norm : bool
        Whether a norm stands between the last layer and ``final``. Without one they are one tap.
    prompt : str, optional
        What is put before every text.
    max_length : int, optional
        Tokens a text is cut to.
    windows : dict, optional
        How texts and sentences that are longer are read in parts: ``overlap``, the tokens that two neighbours share;
        of a question and its context also ``tokens``, how those of all parts are put together. None: they are cut.
    code : dict, optional
        For ``py:`` backbones: the declared version and the hash of the source.
    provenance : dict
        What made it, for people: library versions, files, hub commit, parameters; of a dual encoder also `LOGITS`. Not
        in the recipe.
    """

    spec: str
    modality: Modality
    weights: str
    architecture: Mapping[str, Json]
    preprocessing: Mapping[str, Json]
    taps: tuple[str, ...]
    n_layers: int = 0
    first_layer: int = 0
    closing_norm: bool = True
    layers_lack: tuple[str, ...] = ()
    max_length: int | None = None
    windows: Mapping[str, Json] | None = None
    prompt: str | None = None
    code: Mapping[str, Json] | None = None
    provenance: Mapping[str, Json] = field(default_factory=dict)

    @property
    def default_tap(self) -> str:
        """Where the authors of the model read it."""
        return self.taps[0]


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """One feature of a set: which backbone, tap and view, and the space that holds it."""

    backbone: str
    tap: str
    space: str
    view: str | None = None


@dataclass(frozen=True, slots=True)
class Grouping:
    """What samples of one group share, in words; they are on one side of every split that is made.

    ``is_asked`` says that the user asked for it: then a set that was split otherwise is split anew.
    """

    name: str
    is_asked: bool


@dataclass(frozen=True, slots=True)
class LabelReading:
    """How to read label columns.

    Parameters
    ----------
    kind : str
        ``auto``, or a `LabelKind`.
    separator : str, optional
        Between the labels of a cell.
    names : tuple of str, optional
        Names for integer labels 0 to n - 1.
    blank : str, optional
        A value that stands for no label.
    coded : bool
        Whether the values are numbers of names that the data itself has.
    """

    kind: str = "auto"
    separator: str | None = None
    names: tuple[str, ...] | None = None
    blank: str | None = None
    coded: bool = False


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The labels of all rows.

    Parameters
    ----------
    kind : LabelKind
    values : pyarrow.Array
        Of the task's `arrow_type`. Null where there is no label; an empty list if no label applies.
    names : tuple of str
        All names in order; empty if they are to be sorted, or if there are none.
    said : str
        What it was taken for, for the user.
    """

    kind: LabelKind
    values: pa.Array
    names: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure by which people compare runs.

    Parameters
    ----------
    name : str
        As ``report.json`` has it.
    title : str
        For people.
    larger_is_better : bool
    is_share : bool
        Whether a difference of 0.01 is a point.
    """

    name: str
    title: str
    larger_is_better: bool = True
    is_share: bool = False


class Answer(NamedTuple):
    """A stretch of a text that answers a question: characters from ``start`` to before ``end``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class SpanGuess:
    """What a head says of one question.

    Parameters
    ----------
    answer : Answer, optional
        None: the text has no answer.
    score : float
        Of the best stretch, be it the answer or not: its scores of start and end together.
    no_answer_score : float
        How much better than that it is to answer nothing.
    others : tuple of (Answer, float)
        The best stretches, the best first, with their scores.
    """

    answer: Answer | None
    score: float
    no_answer_score: float
    others: tuple[tuple[Answer, float], ...] = ()


@dataclass(frozen=True, slots=True)
class PathStep:
    """One of the heads that were fitted along a path, and what helps to find it on similar samples."""

    head: Any
    guide: Any = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a head says of N labelled samples.

    Parameters
    ----------
    true : ndarray of N rows
        The labels, as `Task.targets` gives them.
    outputs : ndarray of N rows
        As `Task.outputs` gives them.
    classes : sequence of str
        The classes that the head knows, in the order of its outputs.
    names : sequence of str
        The names of the label column, in order.
    table : pyarrow.Table, optional
        The samples themselves: ``id``, ``meta:<name>``…
    groups : ndarray of int64, shape (N,), optional
        The number of the group that each is in, from 0 on: whole groups are resampled; None: each stands alone.
    """

    true: NDArray[Any]
    outputs: NDArray[Any]
    classes: Sequence[str] = ()
    names: Sequence[str] = ()
    table: pa.Table | None = None
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.true)


@dataclass(frozen=True, slots=True)
class Tagging:
    """What a head says of the T words of a sentence.

    Parameters
    ----------
    tags : ndarray of int64, shape (T,)
        The places of the chosen tags in the head's classes; the best sequence that the tagging scheme allows.
    probabilities : ndarray of float32, shape (T, C)
        Of each class for each word, by itself; rows sum to 1.
    """

    tags: NDArray[np.int64]
    probabilities: NDArray[np.float32]


class IntervalRule(Protocol):
    """Which interval a figure has."""

    def interval(self, name: str, value: float | None, resampled: NDArray[np.float64]) -> list[float] | None:
        """[low, high], 95 %, of a figure by its value and what it is on resamples, (B,)."""

    def reason(self, name: str) -> str | None:
        """Why a figure has none."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How good the predictions of one run are, in a form that several runs can be resampled together in.

    Parameters
    ----------
    figures : mapping of str to float
        By name; NaN for what cannot be computed.
    resample : callable
        Takes draws (B, N), see `percentile_intervals`, and gives those figures that have an interval, (B,) each.
    is_right : ndarray of bool, shape (N,), optional
        Which samples are right as a whole; None where no sample is right or wrong, as with numbers.
    evidence : IntervalRule, optional
        Which interval a figure has, see `headstart.metrics.intervals.Evidence`; None: the percentile interval.
    """

    figures: Mapping[str, float]
    resample: Callable[[NDArray[np.int64]], Mapping[str, NDArray[np.float64]]]
    is_right: NDArray[np.bool_] | None = None
    evidence: IntervalRule | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """A model that was exported.

    Parameters
    ----------
    path : Path
    to : {"hf", "onnx", "timm"}
    largest_error : float
        Of the logits of trial samples against the run's, as a share of the largest.
    details : mapping
        ``class`` and ``remote_code``, or ``inputs``.
    """

    path: Path
    to: str
    largest_error: float
    details: Mapping[str, Json]

    @property
    def as_json(self) -> dict[str, Json]:
        """For machines."""
        return {"path": str(self.path), "to": self.to, "largest_error": self.largest_error, **self.details}
