"""What the house asks of a task, and of one that a student can be taught in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

    from headstart.types import (
        Figure,
        Json,
        Judged,
        LabelColumn,
        LabelForm,
        LabelKind,
        LabelReading,
        Payload,
        Place,
        Predictions,
    )


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

    def read_outputs(self, table: pa.Table, classes: Sequence[str]) -> NDArray[Any]:
        """What `columns` wrote, as outputs again; as far as it was written, for there may be more than columns hold.

        Parameters
        ----------
        table : pyarrow.Table
            Predictions with these columns, of N samples.
        classes : sequence of str
            What `class_names` gave.
        """

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
        """The plots of a run by name, each a `headstart.plots.Plot`; ``metrics`` is what `report` gave.

        They are drawn from outputs as precise as `columns` writes them, so that a plot drawn again is the same file.
        """

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
