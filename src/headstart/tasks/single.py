"""One class per sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, names_by_code
from headstart.data.label_cells import (
    Renaming,
    as_strings,
    clean_labels,
    first_row,
    in_order,
    is_plain_list,
    merged_said,
    n_classes,
    names_of,
    numbers_said,
    whole,
)
from headstart.errors import ConfigError, DataError, StorageError
from headstart.groups import Groups, groups_in
from headstart.metrics.calibration import fit_temperature, probabilities_at
from headstart.metrics.single import evaluate_single, judge_classes
from headstart.metrics.tables import most_confident_mistakes
from headstart.tasks.columns import (
    PROBABILITY,
    check_finite,
    classes_in,
    is_number,
    numbers_in,
    probabilities_in,
    probability_columns,
)
from headstart.types import UNSEEN, Figure, Judged, LabelColumn

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.contracts import Task
    from headstart.plots import Plot
    from headstart.types import Json, LabelForm, LabelReading, Payload, Place, Predictions

SMALLEST = 1e-30


class SingleTask:
    """Each sample has one class; see `headstart.contracts.Task`.

    ``y`` is int64 (N,), places in the names, -1 where there is no label. Targets are the names themselves, outputs
    probabilities (N, C) whose rows sum to 1.
    """

    kind: str = "single"
    form: LabelForm = "classes"
    arrow_type: pa.DataType = pa.string()
    meaning: str = "one label a sample"
    noun: str = "classes"
    counted: str = "classes"
    has_names: bool = True
    splits_cells: bool = False
    takes_flags: bool = False
    figures: tuple[Figure, ...] = (
        Figure("accuracy", "accuracy", is_share=True),
        Figure("macro_f1", "macro-F1", is_share=True),
        Figure("log_loss", "log loss", larger_is_better=False),
        Figure("ece", "calibration error", larger_is_better=False),
    )
    headline: Mapping[str, str] = {"accuracy": "accuracy", "macro-F1": "macro_f1"}
    leading_score: str = "accuracy"
    indicator_score: str = "accuracy"
    problem_type: str | None = "single_label_classification"

    # Labels of a set

    def recognises(self, column: pa.ChunkedArray, reading: LabelReading) -> bool:
        return not is_plain_list(column.type)

    def read(self, column: pa.ChunkedArray, name: str, reading: LabelReading, place: Place) -> LabelColumn:
        if is_plain_list(column.type):
            raise ConfigError(
                f"the label column {name!r} holds lists, which --label-kind {reading.kind} cannot be; "
                "leave it out, or choose another --label-column"
            )
        cells = as_strings(column)

        def rename(values: Sequence[str | None]) -> list[str | None]:
            labels = [None if label == reading.blank else label for label in clean_labels(values)]
            if not reading.names:
                return labels
            return names_of(labels, reading.names, lambda number: place(first_row(cells, values[number])))

        renaming = Renaming(cells, rename)
        present = renaming.values()
        names = reading.names or in_order(present)
        said = n_classes(len(present)) + merged_said(renaming.before, renaming.after())
        said += numbers_said(cells, place)
        return LabelColumn(self.kind, whole(renaming(cells)), names, said)

    def read_flags(
        self, columns: Mapping[str, pa.ChunkedArray], reading: LabelReading, place: Place
    ) -> LabelColumn:
        raise NotImplementedError

    def names_in(self, values: pa.Array | pa.ChunkedArray) -> list[str]:
        return cast("list[str]", pc.unique(values).drop_null().to_pylist())

    def strata(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
        return codes_by_name(values, names, np.int32)

    def encode(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[Any]:
        return codes_by_name(values, names)

    def decode(self, y: NDArray[Any], names: Sequence[str]) -> pa.Array:
        return names_by_code(y, names)

    def known(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(y >= 0)

    # Training

    def check_train(self, y: NDArray[Any], names: Sequence[str], set_name: str, column: str) -> None:
        classes = np.unique(y)
        if len(classes) < 2:
            raise DataError(
                f"a head needs at least two classes, and all {len(y):,} train samples of set {set_name!r} are "
                f"{names[classes[0]]!r} in {column!r}; add samples of another class"
            )

    def targets(self, y: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        named: NDArray[Any] = np.array(names, dtype=np.str_)[y]
        return named

    def codes(self, true: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
        places = {str(name): place for place, name in enumerate(classes)}
        occurring, inverse = np.unique(true, return_inverse=True)
        found = np.array([places.get(str(name), -1) for name in occurring.tolist()], dtype=np.int64)
        return found[inverse]

    def indicators(self, y: NDArray[Any], n_names: int) -> NDArray[np.float64]:
        indicator: NDArray[np.float64] = np.eye(n_names)[y]
        indicator[y < 0] = 0  # a class that nobody knows is never right
        return indicator

    def fold_strata(self, y: NDArray[Any]) -> NDArray[np.int64]:
        return y

    def occurring(self, y: NDArray[Any]) -> set[int]:
        return set(np.unique(y).tolist())

    def losses(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        """Cross-entropy."""
        from torch.nn.functional import cross_entropy

        flat = cross_entropy(
            logits.reshape(-1, logits.shape[-1]),
            targets.reshape(-1),
            weight=weights,
            reduction="none",
            ignore_index=UNSEEN,
            label_smoothing=smoothing,
        )
        return flat.view(logits.shape[:-1])

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
        return logits.argmax(dim=-1) == targets

    def teacher_logits(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """Logarithms of probabilities."""
        logits: NDArray[np.float32] = np.log(np.maximum(outputs, SMALLEST)).astype(np.float32)
        return logits

    def taught(self, logits: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(logits.argmax(axis=1), dtype=np.int64)

    def soft_losses(self, logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
        """The Kullback-Leibler divergence of the student's probabilities from the teacher's."""
        from torch.nn.functional import kl_div, log_softmax

        said, wanted = (log_softmax(each / temperature, dim=-1) for each in (logits, teacher))
        return temperature**2 * kl_div(said, wanted, reduction="none", log_target=True).sum(dim=-1)

    def balanced_weights(self, targets: torch.Tensor, n_outputs: int) -> torch.Tensor | None:
        """For each class n / (C · count), whose mean over the rows is 1."""
        import torch

        counts = torch.bincount(targets, minlength=n_outputs).clamp(min=1)
        return len(targets) / (n_outputs * counts.float())

    # Predictions

    def outputs(self, head: Any, X: Any, temperature: float) -> NDArray[Any]:
        if temperature == 1:
            return np.asarray(head.predict_proba(X), dtype=np.float64)
        return probabilities_at(self.logits(head, X), temperature).astype(np.float64)

    def logits(self, head: Any, X: Any) -> NDArray[Any]:
        """Logarithms of the head's own probabilities, shape (N, C)."""
        logs: NDArray[Any] = np.log(np.maximum(head.predict_proba(X), SMALLEST))
        return logs

    def temperature(self, logits: NDArray[Any], true: NDArray[Any], classes: Sequence[str]) -> float:
        return fit_temperature(logits, self.codes(true, classes))

    def class_names(self, classes: Sequence[str], names: Sequence[str]) -> list[str]:
        return list(classes)

    def columns(
        self, outputs: NDArray[Any], classes: Sequence[str], names: Sequence[str]
    ) -> dict[str, pa.Array]:
        """``prediction``, and ``p:<class>`` for each class."""
        probabilities = outputs.astype(np.float32)
        predicted = names_by_code(probabilities.argmax(axis=1), classes)
        return {"prediction": predicted, **probability_columns(probabilities, classes)}

    def read_outputs(self, table: pa.Table, classes: Sequence[str]) -> NDArray[Any]:
        return probabilities_in(table, classes)

    def beside(self, columns: Mapping[str, pa.Array], payloads: Iterable[Payload]) -> dict[str, pa.Array]:
        """Nothing else."""
        return dict(columns)

    # Figures

    def report(self, said: Predictions, resamples: int, seed: int) -> dict[str, Json]:
        return evaluate_single(
            said.true,
            said.outputs,
            said.classes,
            said.names,
            resamples=resamples,
            seed=seed,
            groups=Groups.of(said.groups),
        )

    def scores(self, said: Predictions) -> dict[str, float]:
        codes = self.codes(said.true, said.classes)
        known = codes >= 0
        right = known & (said.outputs.argmax(axis=1) == codes)
        likely = np.where(known, said.outputs[np.arange(len(codes)), codes], 0.0)
        losses = -np.log(np.maximum(likely, SMALLEST))
        return {"accuracy": float(right.mean()), "log_loss": float(losses.mean())}

    def selection(self, means: Mapping[str, float]) -> tuple[float, ...]:
        return means["accuracy"], -means["log_loss"]

    def score(self, targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
        """Accuracy of the largest."""
        if not len(targets):
            return float("nan")
        is_right = (targets.argmax(axis=1) == predictions.argmax(axis=1)) & targets.any(axis=1)
        return float(is_right.mean())

    def mistakes(self, said: Predictions, n: int) -> list[dict[str, Json]] | None:
        assert said.table is not None
        ids = said.table.column("id").to_pylist()
        return most_confident_mistakes(ids, said.true, said.outputs, said.classes, n)

    def is_right(self, said: Predictions) -> NDArray[np.bool_] | None:
        return self._is_right(said)

    def _is_right(self, said: Predictions) -> NDArray[np.bool_]:
        return np.asarray(np.array(said.classes)[said.outputs.argmax(axis=1)] == said.true)

    def plots(
        self, said: Predictions, metrics: Mapping[str, Json], split: str, column: str
    ) -> dict[str, Plot]:
        from headstart.plots import (
            confusion_plot,
            distribution_plot,
            precision_recall_plot,
            reliability_plot,
            roc_plot,
        )

        true, outputs, classes = said.true, said.outputs.astype(np.float32), list(said.classes)
        confidence, is_right = outputs.max(axis=1), np.array(classes)[outputs.argmax(axis=1)] == true
        return {
            "confusion": confusion_plot(metrics["confusion"], f"Confusion on {split}"),
            "reliability": reliability_plot(confidence, is_right, f"Reliability on {split}"),
            "confidence": distribution_plot(
                confidence,
                "confidence; shares of the right and of the wrong predictions",
                np.where(is_right, "right", "wrong"),
                f"Confidence on {split}",
            ),
            "roc": roc_plot(true, outputs, classes, f"ROC on {split}"),
            "precision-recall": precision_recall_plot(
                true, outputs, classes, title=f"Precision and recall on {split}"
            ),
        }

    # Runs side by side

    def fits(self, field: pa.Field) -> bool:
        if field.name.startswith(PROBABILITY):
            return is_number(field)
        return field.name not in ("label", "prediction") or bool(pa.types.is_string(field.type))

    def identities(self, labels: pa.ChunkedArray) -> NDArray[Any]:
        return np.array(labels.to_pylist(), dtype=np.str_)

    def judge(self, tables: Mapping[str, pa.Table]) -> dict[str, Judged]:
        names = list(dict.fromkeys(name for table in tables.values() for name in classes_in(table)))
        return {run: self._judge(run, table, names) for run, table in tables.items()}

    def _judge(self, run: str, table: pa.Table, names: Sequence[str]) -> Judged:
        if not classes_in(table):
            raise StorageError(f"run {run} has predictions without probabilities; make the run again")
        true, predicted = (
            np.array(table.column(name).to_pylist(), np.str_) for name in ("label", "prediction")
        )
        p_true, confidence = _p_true(run, table, true)
        return judge_classes(true, predicted, p_true, confidence, names, groups_in(table))

    # Pages and other programs

    def describe(self, column: str, classes: Sequence[str]) -> str:
        return f"`{column}` ({len(classes)} classes)"


def _p_true(
    run: str, table: pa.Table, true: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The probability of the true class and the largest one; a column at a time, for there may be thousands."""
    p_true, confidence = np.zeros(len(true)), np.zeros(len(true))
    for name in classes_in(table):
        column = numbers_in(run, table.column(PROBABILITY + name))
        mine = true == name
        p_true[mine] = column[mine]
        confidence = np.maximum(confidence, column)
    check_finite(run, confidence)
    return p_true, confidence


TASK: Task = SingleTask()
