"""What the parts ask of each other. `headstart.testing` has a test suite for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from headstart.types import AT_END

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray
    from PIL import Image

    from headstart.errors import SampleError
    from headstart.types import (
        Activations,
        BackboneInfo,
        Features,
        Figure,
        Grouping,
        Json,
        Judged,
        LabelColumn,
        LabelForm,
        LabelKind,
        LabelReading,
        Modality,
        PathStep,
        Payload,
        Place,
        Precision,
        Predictions,
        Read,
        SampleBlock,
        TrialWork,
    )


class KeyMemo(Protocol):
    """Remembers which key a file had, by a fingerprint of its identity on this machine."""

    def lookup(self, fingerprints: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Keys, shape (N, 16), and which of them are known, shape (N,)."""

    def remember(self, fingerprints: NDArray[np.uint8], keys: NDArray[np.uint8]) -> None:
        """Keep keys, shape (N, 16), under fingerprints of the same shape."""


class Payloads(Protocol):
    """Samples by their number: what an extraction reads."""

    @property
    def modality(self) -> Modality:
        """What the samples are."""

    @property
    def rows_per_block(self) -> int | None:
        """How many consecutive rows are read together (a row group, a stretch of a tar).

        None: any row is as near as any other.
        """
        return None

    def payload(self, row: int) -> Payload:
        """The content of the ``row``-th sample that the scan yielded.

        Raises
        ------
        SampleError
            It cannot be read any more.
        """


class Source(Payloads, Protocol):
    """Where samples come from. What a subclass does not say: it has no labels, and samples can be had at any time."""

    @property
    def description(self) -> str:
        """What the data was taken for, in a line for the user."""

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """For each label column the names in the order that the data gives; empty: sort them."""
        return {}

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """For each label column what its values are."""
        return {}

    @property
    def found_columns(self) -> Mapping[str, str]:
        """Columns that were found and nobody named, by the option that names them for data like it."""
        return {}

    @property
    def grouping(self) -> Grouping | None:
        """What samples that belong together share, whose names are in ``meta:group``; None: each stands alone."""
        return None

    @property
    def are_passages(self) -> bool:
        """Whether samples are questions, each with the context in which its answer stands: all tokens are kept."""
        return False

    @property
    def ignored(self) -> Mapping[str, int]:
        """How much beside the samples was left out, by reason; known once a scan is over."""
        return {}

    @property
    def streams(self) -> bool:
        """Whether a payload can be had only while its block is the last one that `scan` yielded."""
        return False

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All samples in blocks, in an order that depends on the data alone."""


class Task(Protocol):
    """What a label means: how it is read, learnt, predicted, judged and shown.

    A task keeps no state: it is made without arguments, and everything it needs comes in. A task of the user's own is
    most easily a subclass of one that is there (``class Ordinal(SingleTask)``), named by
    ``--label-kind py:package.module:Ordinal``.

    Three kinds of values pass through it, each of N samples along the first axis, so that the rest of the house may
    take rows, put rows together and count them without knowing what they are:

    - a column of a set, an Arrow array of `arrow_type`;
    - ``y``, what `encode` makes of it, an array that `known`, `decode`, `targets` and ``y[rows]`` go with;
    - outputs, what `outputs` asks a head for.

    Where labels or outputs are of varying length, both are arrays of objects, one per sample. What comes next bears on
    it so:

    ======== ======================= =========================== ============================ =======================
    task     arrow_type              y                           outputs                      judge
    ======== ======================= =========================== ============================ =======================
    tags     list<string>, a tag per object (N,), each int64     object (N,), each a          counts per sentence, so
             word                    (T_i,)                      `Tagging`                    draws are of sentences
    spans    list<struct<start, end, object (N,), each tuples    object (N,), each a          exact match and F1 of
             text>>, the references  of `Answer`, or None        `SpanGuess`                  each question
    seq2seq  list<string>, the       object (N,), each a tuple   object (N,), strings         n-gram counts per sample
             references              of strings
    ======== ======================= =========================== ============================ =======================

    None of them needs ``p:<class>`` columns (`columns` names its own), a form of heads that is there (`form` names a
    new one, and a head says which forms it takes) or figures with those names (`figures` lists them). A sample is what
    a bootstrap draws; samples that belong together (words of a document, questions about one text) are drawn together
    by their ``meta:group``, which `Predictions.groups` has.
    """

    kind: LabelKind
    form: LabelForm
    """What heads are fitted on."""
    arrow_type: pa.DataType
    """Of a label column in a set."""
    meaning: str
    """What a sample has, such as "one label a sample"."""
    noun: str
    """What labels are called together."""
    counted: str
    """What stands after their number."""
    has_names: bool
    """Whether labels are among names, as classes are and numbers are not."""
    splits_cells: bool
    """Whether a cell may hold several, split at ``--label-separator``."""
    takes_flags: bool
    """Whether several columns of yes and no can be one column of it."""

    # Labels of a set

    def recognises(self, column: pa.ChunkedArray, reading: LabelReading) -> bool:
        """Whether a column of the data, of whatever type, is of this kind where nobody says what it is."""

    def read(self, column: pa.ChunkedArray, name: str, reading: LabelReading, place: Place) -> LabelColumn:
        """Read a column of the data: strings, numbers, booleans or categories, or lists of them.

        Raises
        ------
        DataError
            A value is not of this kind, or has no name.
        ConfigError
            The column cannot be of this kind.
        """

    def read_flags(
        self, columns: Mapping[str, pa.ChunkedArray], reading: LabelReading, place: Place
    ) -> LabelColumn:
        """Read several columns of 0/1, true/false or yes/no as one column; only where it `takes_flags`."""

    def names_in(self, values: pa.Array | pa.ChunkedArray) -> list[str]:
        """The names that occur in a label column, each once."""

    def strata(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
        """Which samples are split alike, shape (N,); -1 where there is no label."""

    def encode(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[Any]:
        """A label column as ``y``."""

    def decode(self, y: NDArray[Any], names: Sequence[str]) -> pa.Array:
        """``y`` as a label column."""

    def known(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        """Which samples have a label, shape (N,)."""

    # Training

    def check_train(self, y: NDArray[Any], names: Sequence[str], set_name: str, column: str) -> None:
        """Refuse training labels that nothing can be learnt from, with a `DataError`."""

    def targets(self, y: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        """Labels as heads take them: class names, so that they travel with the head; 0/1 per label; or numbers."""

    def codes(self, true: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
        """Targets as ``y`` over the classes of a head instead of all names; -1 for a class that it does not know."""

    def indicators(self, y: NDArray[Any], n_names: int) -> NDArray[np.float64]:
        """Labels as the targets (N, T) of a regression."""

    def fold_strata(self, y: NDArray[Any]) -> NDArray[np.int64]:
        """Which samples are spread evenly over folds and small draws, shape (N,)."""

    def occurring(self, y: NDArray[Any]) -> set[int]:
        """The places of the names that occur in ``y``."""

    def losses(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        """The loss of each row, shape (...), for training by epochs.

        Parameters
        ----------
        logits : Tensor, shape (..., n_outputs)
        targets : Tensor
            Places of classes (...), ``UNSEEN`` for a class that training lacks, which has no loss; or (..., n_outputs).
        weights : Tensor, shape (n_outputs,), optional
            As `balanced_weights` gives them.
        smoothing : float in [0, 1)
        """

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
        """Which rows are right as a whole, bool (...); None where none is right or wrong."""

    def balanced_weights(self, targets: torch.Tensor, n_outputs: int) -> torch.Tensor | None:
        """What each class or label counts so that all count alike, shape (n_outputs,); None if there are none."""

    # Predictions

    def outputs(self, head: Any, X: Any, temperature: float) -> NDArray[Any]:
        """What a fitted head says of prepared features, of N samples; probabilities at a temperature."""

    def logits(self, head: Any, X: Any) -> NDArray[Any] | None:
        """What a temperature divides; None if there is nothing to calibrate."""

    def temperature(self, logits: NDArray[Any], true: NDArray[Any], classes: Sequence[str]) -> float:
        """The temperature that makes validation targets most likely."""

    def class_names(self, classes: Sequence[str], names: Sequence[str]) -> list[str]:
        """The names of a head's outputs, from its own classes and the names of the label column."""

    def columns(
        self, outputs: NDArray[Any], classes: Sequence[str], names: Sequence[str]
    ) -> dict[str, pa.Array]:
        """The columns of ``predictions.parquet``: ``prediction``, and whatever stands beside it."""

    def beside(self, columns: Mapping[str, pa.Array], payloads: Iterable[Payload]) -> dict[str, pa.Array]:
        """The same columns with what else `headstart.predict` says, which the inputs themselves are needed for.

        Parameters
        ----------
        columns : mapping
            What `columns` gave for N inputs.
        payloads : iterable of N
            The inputs, each read when it is asked for.
        """

    # Figures

    figures: tuple[Figure, ...]
    """What runs are compared by. The first decides."""
    headline: Mapping[str, str]
    """What a line of figures shows: names in ``report.json`` by their titles."""
    leading_score: str
    """Which of `scores` is drawn over sweeps and learning curves; ``report.json`` has a figure of that name."""
    indicator_score: str
    """What `score` gives."""

    def report(self, said: Predictions, resamples: int, seed: int) -> dict[str, Json]:
        """All figures, as ``report.json`` has them, with 95 % intervals unless ``resamples`` is 0."""

    def scores(self, said: Predictions) -> dict[str, float]:
        """A few figures that cost next to nothing, for searches, seeds and learning curves."""

    def selection(self, means: Mapping[str, float]) -> tuple[float, ...]:
        """What the best of several heads is chosen by, from means of `scores`; the larger the better."""

    def score(self, targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
        """One figure of a regression on `indicators`, (N, T); NaN if there is no row."""

    def mistakes(self, said: Predictions, n: int) -> list[dict[str, Json]] | None:
        """The worst mistakes, each with ``id``, ``label`` and ``prediction``; None if they are not listed."""

    def is_right(self, said: Predictions) -> NDArray[np.bool_] | None:
        """Which samples are right as a whole, shape (N,); None where none is right or wrong."""

    def plots(
        self, said: Predictions, metrics: Mapping[str, Json], split: str, column: str
    ) -> dict[str, Any]:
        """The plots of a run by name, each a `headstart.plots.Plot`; ``metrics`` is what `report` gave."""

    # Runs side by side

    def fits(self, field: pa.Field) -> bool:
        """Whether a column of ``predictions.parquet`` is of the type that `decode` and `columns` give it."""

    def identities(self, labels: pa.ChunkedArray) -> NDArray[Any]:
        """A value for each label, equal where labels are, shape (N,)."""

    def judge(self, tables: Mapping[str, pa.Table]) -> dict[str, Judged]:
        """The figures of several runs, from the predictions of each for the same samples.

        Raises
        ------
        DataError
            A run gives no number for some samples.
        StorageError
            A run lacks columns.
        """

    # Pages and other programs

    problem_type: str | None
    """What transformers calls the task; None if it has no such head."""

    def describe(self, column: str, classes: Sequence[str]) -> str:
        """What is predicted, for a model card."""


@runtime_checkable
class Distillable(Protocol):
    """What a task has besides if a student can be taught in it: what a teacher says of samples, as logits (N, C).

    Columns are the names of the label column in their order, or the numbers themselves.
    """

    def teacher_logits(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """Logits, shape (N, C), of what a teacher's `Task.outputs` are."""

    def taught(self, logits: NDArray[np.float32]) -> NDArray[Any]:
        """What a teacher takes samples for, as ``y``."""

    def soft_losses(self, logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
        """How far a student's logits are from a teacher's, both (..., C) and softened by a temperature; shape (...).

        It is scaled by the temperature's square, so that its gradient is of one size at any (Hinton et al., 2015).
        """


class Backbone(Protocol):
    """A frozen model that may not be in memory yet."""

    @property
    def spec(self) -> str:
        """As the user wrote it."""

    def cache_key(self) -> Mapping[str, Any] | None:
        """What a resolution depends on besides files (spec, options, library versions).

        None: resolve it anew each time.
        """

    def resolve(self) -> BackboneInfo:
        """Load the model, if it is not loaded, and say what it is.

        Raises
        ------
        BackboneError
            The weights cannot be had here.
        """

    def source_files(self) -> Sequence[Path]:
        """The files that the last `resolve` read: if none changed, it would say the same."""

    def load(self, device: str, precision: Precision) -> FrozenModel:
        """The model, frozen, in eval mode, on a device."""


class Change(Protocol):
    """What a view makes of one sample: drawn from the view's seed and the sample's key alone."""

    def image(self, image: Image.Image) -> Image.Image:
        """A changed RGB picture, of any size, before the model's own transform."""

    def text(self, text: str) -> str:
        """A changed text, before any prompt and before it is tokenised."""

    def tokens(self, ids: Sequence[int], special: Collection[int], mask: int | None) -> list[int]:
        """Changed token ids, as many as before.

        Parameters
        ----------
        ids : sequence of int
        special : collection of int
            Ids that stay as they are wherever they stand.
        mask : int, optional
            The token that stands for a hidden one; None: the model has none.
        """


Batch: TypeAlias = Mapping[str, Any]
"""Prepared samples as model input, by name: tensors, or arrays where the runtime takes those."""


class ModelInputs(Protocol):
    """From samples to batches."""

    @property
    def is_reentrant(self) -> bool:
        """Whether several threads may run batches at once; `prepare` and `collate` they always may."""

    @property
    def budget(self) -> int:
        """What a batch may cost together, in units of `length`, before anything was measured."""

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Each payload as model input on the CPU, not yet in a batch.

        A payload that cannot be used gives a `SampleError` in its place, and a text that is read in parts `Windows`.
        Of a text it is a `TokenRow`, which says how many tokens there were before it was cut.

        Parameters
        ----------
        payloads : sequence
            One that is the very object before it is decoded but once.
        changes : sequence of Change, optional
            What to do to each on the way; None: nothing.
        """

    def length(self, prepared: Any) -> int:
        """What a prepared sample costs: its tokens, or 1 where all cost the same."""

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """Prepared samples as one batch on the CPU."""


class FrozenModel(ModelInputs, Protocol):
    """A backbone in memory, in eval mode and without gradients."""

    @property
    def module(self) -> torch.nn.Module:
        """The module whose weights are frozen."""

    @property
    def device(self) -> torch.device:
        """Where it lies."""

    def collate(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Prepared samples as one batch of tensors on the CPU."""

    def forward(self, batch: Mapping[str, torch.Tensor], reads: Collection[str] = AT_END) -> Activations:
        """Run the model once over a batch that lies on its device.

        Parameters
        ----------
        batch : mapping of str to Tensor
            What `collate` made.
        reads : collection of str
            What is wanted: numbered layers as in canonical taps, and any of `AT_END`. Without any of
            these the pass stops after the deepest layer.
        """


class Runtime(Protocol):
    """What runs a frozen model over batches, and may find a faster way to while it works."""

    @property
    def name(self) -> str:
        """As what the model runs now, such as ``eager``."""

    @property
    def works_in_lanes(self) -> bool:
        """Whether the thread that calls `run` does the work itself, so that its processor time is what it took."""

    def lane(self) -> AbstractContextManager[Any]:
        """What a thread is inside while it calls `run`."""

    def place(self, batch: Batch) -> Batch:
        """A batch on the device."""

    def run(self, batch: Batch) -> list[Read]:
        """What each tap reads of a batch on its device, in memory of its own; several threads may call it at once."""

    def trial(self, work: TrialWork) -> Callable[[], Any] | None:
        """Something faster to try in a thread of its own; None if nothing pays with so much work left."""

    def adopt(self, trial: Any) -> str:
        """Run as a trial did, if it was a success; what to tell the user, or nothing."""

    def close(self) -> None:
        """Leave threads and processes as they were."""


class ShardReader(Protocol):
    """One committed shard, opened for reading. Closing is a matter of dropping it."""

    @property
    def recipe(self) -> str:
        """The recipe that the shard carries, as canonical JSON."""

    def keys(self) -> NDArray[np.uint8]:
        """All keys, shape (N, 16), in the shard's order."""

    def features(self, rows: NDArray[np.int64] | None = None) -> Features:
        """The given rows, in that order; None: all of them."""


class ShardFormat(Protocol):
    """How features are written to a file and read back."""

    @property
    def suffix(self) -> str:
        """The ending of its files, with the dot."""

    def encode(self, features: Features, recipe: str) -> bytes | memoryview:
        """A whole file, ready to be written and digested."""

    def open(self, path: Path) -> ShardReader:
        """Open a file.

        Raises
        ------
        CorruptShardError
            It is not a shard of this format, or is cut short.
        FormatError
            It is of a newer version.
        """


class Head(Protocol):
    """A scikit-learn estimator over features that can be kept as tensors and JSON.

    A classifier has ``classes_`` and ``predict_proba``, a regressor has neither.
    """

    kind: str
    """Its name, as `open_head` takes it."""
    fitted: tuple[str, ...]
    """Attributes besides the tensors that are kept with a saved head."""
    trains_by_epochs: bool
    """Whether ``fit`` takes callbacks, views and a checkpoint, and features that stay on disk."""
    trains_side_by_side: bool
    """Whether several of them can be trained in one pass."""
    is_thread_safe: bool
    """Whether several of them can be fitted in threads at once, each by one thread of BLAS."""
    computes_in_torch: bool
    """Whether fitting imports torch in any case."""
    takes_sequences: bool
    """Whether a sample is several vectors."""
    takes_passages: bool
    """Whether it is told where these stand in a context: then features are `headstart.samples.Passages`."""
    takes_views: bool
    """Whether training draws features of changed copies."""
    path_parameter: str | None
    """The parameter of which several values are fitted in one go, as a `PathHead` does; None: of none."""
    fits_beside: bool
    """Whether heads of several labels of the same samples are fitted in one go, as a `BesideHead` does."""
    n_features_in_: int

    @property
    def task(self) -> LabelKind:
        """What it predicts; known once it is fitted."""

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> Any:
        """Fit on features and labels; what has to be chosen is chosen on validation data."""

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels, or numbers."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What it was made with."""

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""

    def files(self) -> Mapping[str, bytes]:
        """What is kept beside them, by the names of files."""


class PathHead(Head, Protocol):
    """A head for which several values of one parameter cost little more than one."""

    path_parameter: str

    def fit_path(self, values: Sequence[Any], X: Any, y: Any, guides: Sequence[Any] = ()) -> list[PathStep]:
        """Heads that differ from this one in `path_parameter` alone, each as if it were fitted alone.

        Parameters
        ----------
        values : sequence of float
            Of the parameter, ascending.
        guides : sequence, optional
            One for each value: what a path over similar samples, such as another fold, gave with it, or None. They
            change how soon a head is found, not which.
        """

    def answer_path(self, heads: Sequence[Head], X: Any) -> Iterator[Head]:
        """The heads of a path, one after the other, as they are for X alone, which all of them look at together."""


class BesideHead(Head, Protocol):
    """A head that shares what depends on the features alone with the heads of other labels of the same samples."""

    def fit_beside(self, heads: Sequence[Any], X: Any, labels: Sequence[tuple[Any, Any, Any]]) -> None:
        """Fit heads of one kind and of equal parameters, this one first, each as if it were fitted alone.

        Parameters
        ----------
        X : array-like, shape (N, D)
        labels : sequence of (y, X_val, y_val)
            Of each head, as `Head.fit` takes them.
        """


class Progress(Protocol):
    """Tells a person how far the work is."""

    def say(self, message: str) -> None:
        """A line that the user should see once."""
        return

    def begin(self, description: str, total: int | None) -> None:
        """A new phase of so many samples."""
        return

    def advance(self, n: int, work: float | None = None) -> None:
        """So many samples of the phase are done, which came to so many of average cost; None: to as many."""
        return

    def note(self, figures: str) -> None:
        """Figures to show beside how far it is."""
        return

    def end(self) -> None:
        """The phase is over."""
        return
