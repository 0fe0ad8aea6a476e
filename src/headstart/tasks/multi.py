"""Several labels per sample, or none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_of_lists, column_of
from headstart.data.label_cells import (
    as_string_lists,
    as_strings,
    check_no_shares,
    flags_as_lists,
    flags_in_lists,
    in_order,
    is_plain_list,
    lists_of_flags,
    n_classes,
    rename_lists,
    split_cells,
)
from headstart.errors import ConfigError, DataError, StorageError
from headstart.groups import Groups, groups_in
from headstart.metrics.calibration import fit_temperature, probabilities_at
from headstart.metrics.multi import evaluate_multi, judge_labels
from headstart.tasks.columns import (
    PROBABILITY,
    check_finite,
    classes_in,
    is_number,
    lists_of,
    numbers_in,
    probabilities_in,
    probability_columns,
)
from headstart.types import Figure, Judged, LabelColumn

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.contracts import Task
    from headstart.plots import Plot
    from headstart.types import Json, LabelForm, LabelReading, Payload, Place, Predictions

LIKELY = 0.5
"""A label is predicted where its probability is above."""
SMALLEST = 1e-30
NEAR_0 = 1e-15


class MultiTask:
    """Each sample has any number of labels; see `headstart.contracts.Task`.

    ``y`` and targets are int8 (N, L), 1 where a name applies, a row of -1 where nothing is known. Outputs are
    probabilities (N, L), each by itself.
    """

    kind: str = "multi"
    form: LabelForm = "labels"
    arrow_type: pa.DataType = pa.list_(pa.string())
    meaning: str = "several labels a sample"
    noun: str = "labels"
    counted: str = "classes, any number a sample"
    has_names: bool = True
    splits_cells: bool = True
    takes_flags: bool = True
    figures: tuple[Figure, ...] = (
        Figure("accuracy", "accuracy", is_share=True),
        Figure("macro_f1", "macro-F1", is_share=True),
        Figure("micro_f1", "micro-F1", is_share=True),
        Figure("log_loss", "log loss", larger_is_better=False),
    )
    headline: Mapping[str, str] = {"accuracy": "accuracy", "macro-F1": "macro_f1"}
    leading_score: str = "accuracy"
    indicator_score: str = "micro_f1"
    problem_type: str | None = "multi_label_classification"

    # Labels of a set

    def recognises(self, column: pa.ChunkedArray, reading: LabelReading) -> bool:
        return is_plain_list(column.type)

    def read(self, column: pa.ChunkedArray, name: str, reading: LabelReading, place: Place) -> LabelColumn:
        if is_plain_list(column.type):
            lists, how = as_string_lists(column), ""
            if not reading.coded and (length := flags_in_lists(lists)):
                return self._of_vectors(lists, length, name, reading)
            check_no_shares(lists, name, place)
        else:
            lists, at = split_cells(as_strings(column), reading.separator, name, place)
            how = f", split at {at!r}" if at else ""
        renamed, present = rename_lists(lists, reading.names, place)
        said = f"multi-label, {n_classes(len(present))}{how}"
        return LabelColumn(self.kind, renamed, reading.names or in_order(present), said)

    def _of_vectors(self, lists: pa.ListArray, length: int, name: str, reading: LabelReading) -> LabelColumn:
        """Vectors of 0 and 1, as whoever trains several labels by hand writes them."""
        names = reading.names or tuple(map(str, range(length)))
        if len(names) != length:
            raise ConfigError(
                f"the label column {name!r} holds 0/1 vectors of {length}, and there are {len(names)} label names; "
                "give one for each place"
            )
        said = f"multi-label, {n_classes(length)}, 0/1 vectors of {length} by place"
        return LabelColumn(self.kind, lists_of_flags(lists, names), tuple(names), said)

    def read_flags(
        self, columns: Mapping[str, pa.ChunkedArray], reading: LabelReading, place: Place
    ) -> LabelColumn:
        if reading.names:
            raise ConfigError(
                "with one column a label, the labels are called like the columns; leave --label-names out"
            )
        for name, column in columns.items():
            if is_plain_list(column.type):
                raise ConfigError(f"--label-column {name} holds lists; with --label-kind multi give it alone")
        lists, n_blank = flags_as_lists({name: as_strings(each) for name, each in columns.items()}, place)
        blank = f", blank cells taken for no: {n_blank:,}" if n_blank else ""
        said = f"multi-label, {n_classes(len(columns))}, one column each{blank}"
        return LabelColumn(self.kind, lists, tuple(columns), said)

    def names_in(self, values: pa.Array | pa.ChunkedArray) -> list[str]:
        chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
        found = (name for part in chunks for name in pc.unique(part.flatten()).to_pylist())
        return [name for name in dict.fromkeys(found) if name is not None]

    def strata(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
        """The rarest label of each row, so that each label gets into every split as far as it can.

        Chunk by chunk: a cell for every row and label would be the largest table of all.
        """
        if not names:
            return np.zeros(len(values), dtype=np.int32)
        counts = np.zeros(len(names), dtype=np.int64)
        for chunk in values.chunks:
            counts += (codes_of_lists(chunk, names) == 1).sum(axis=0)
        order = np.argsort(counts, kind="stable").astype(np.int32)
        rarest = [np.empty(0, dtype=np.int32)]
        for chunk in values.chunks:
            applies = (codes_of_lists(chunk, names) == 1)[:, order]
            rarest.append(np.where(applies.any(axis=1), order[applies.argmax(axis=1)], np.int32(-1)))
        return np.concatenate(rarest)

    def encode(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[Any]:
        return codes_of_lists(values, names)

    def decode(self, y: NDArray[Any], names: Sequence[str]) -> pa.Array:
        return lists_of(y > 0, names)

    def known(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(y[:, 0] >= 0) if y.shape[1] else np.zeros(len(y), dtype=bool)

    # Training

    def check_train(self, y: NDArray[Any], names: Sequence[str], set_name: str, column: str) -> None:
        if len(names) < 2:
            raise DataError(
                f"{column!r} of set {set_name!r} holds one label alone, {names[0]!r}: give each sample a class "
                "instead, such as yes and no, and extract with --label-kind single"
            )

    def targets(self, y: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        return y

    def codes(self, true: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
        return true

    def indicators(self, y: NDArray[Any], n_names: int) -> NDArray[np.float64]:
        return y.astype(np.float64)

    def fold_strata(self, y: NDArray[Any]) -> NDArray[np.int64]:
        return np.zeros(len(y), dtype=np.int64)

    def occurring(self, y: NDArray[Any]) -> set[int]:
        return set(np.flatnonzero((y > 0).any(axis=0)).tolist())

    def losses(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        """The mean binary cross-entropy of the labels."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        smooth = targets * (1 - smoothing) + 0.5 * smoothing
        return binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights, reduction="none").mean(-1)

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
        return ((logits > 0) == (targets > 0.5)).all(dim=-1)

    def teacher_logits(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """Log odds, at most of about 35, where float64 cannot tell a probability from 1."""
        likely = np.clip(np.asarray(outputs, dtype=np.float64), NEAR_0, 1 - NEAR_0)
        return np.log(likely / (1 - likely)).astype(np.float32)

    def taught(self, logits: NDArray[np.float32]) -> NDArray[Any]:
        return (logits > 0).astype(np.int8)

    def soft_losses(self, logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
        """The mean binary cross-entropy with the teacher's probabilities as targets."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        said, wanted = logits / temperature, (teacher / temperature).sigmoid()
        return temperature**2 * binary_cross_entropy_with_logits(said, wanted, reduction="none").mean(dim=-1)

    def balanced_weights(self, targets: torch.Tensor, n_outputs: int) -> torch.Tensor | None:
        """For each label absent / present, at most 100: what a present label counts."""
        present = targets.sum(dim=0)
        return ((len(targets) - present) / present.clamp(min=1)).clamp(0.01, 100.0)

    # Predictions

    def outputs(self, head: Any, X: Any, temperature: float) -> NDArray[Any]:
        if temperature == 1:
            return np.asarray(head.predict_proba(X), dtype=np.float64)
        return probabilities_at(self.logits(head, X), temperature, multi=True).astype(np.float64)

    def logits(self, head: Any, X: Any) -> NDArray[Any]:
        """Log odds, (N, L): from probabilities near 1 they could not be had back."""
        return np.asarray(head.decision_function(X))

    def temperature(self, logits: NDArray[Any], true: NDArray[Any], classes: Sequence[str]) -> float:
        return fit_temperature(logits, true)

    def class_names(self, classes: Sequence[str], names: Sequence[str]) -> list[str]:
        return list(names)

    def columns(
        self, outputs: NDArray[Any], classes: Sequence[str], names: Sequence[str]
    ) -> dict[str, pa.Array]:
        """``prediction``, a list of names, and ``p:<label>`` for each label."""
        probabilities = outputs.astype(np.float32)
        predicted = lists_of(probabilities > LIKELY, names)
        return {"prediction": predicted, **probability_columns(probabilities, names)}

    def read_outputs(self, table: pa.Table, classes: Sequence[str]) -> NDArray[Any]:
        return probabilities_in(table, classes)

    def beside(self, columns: Mapping[str, pa.Array], payloads: Iterable[Payload]) -> dict[str, pa.Array]:
        """Nothing else."""
        return dict(columns)

    # Figures

    def report(self, said: Predictions, resamples: int, seed: int) -> dict[str, Json]:
        groups = Groups.of(said.groups)
        return evaluate_multi(
            said.true, said.outputs, said.names, resamples=resamples, seed=seed, groups=groups
        )

    def scores(self, said: Predictions) -> dict[str, float]:
        true = said.true > 0
        likely = np.where(true, said.outputs, 1 - said.outputs)
        losses = -np.log(np.maximum(likely, SMALLEST))
        return {"accuracy": float(self._is_right(said).mean()), "log_loss": float(losses.mean())}

    def selection(self, means: Mapping[str, float]) -> tuple[float, ...]:
        return means["accuracy"], -means["log_loss"]

    def score(self, targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
        """Micro-F1 of what is above one half."""
        if not len(targets):
            return float("nan")
        said, true = predictions > LIKELY, targets > LIKELY
        return float(2 * (said & true).sum() / max(said.sum() + true.sum(), 1))

    def mistakes(self, said: Predictions, n: int) -> list[dict[str, Json]] | None:
        """The samples with the label that is wrong most confidently, the worst first; which label, and how sure."""
        assert said.table is not None
        sureness = np.where((said.outputs > LIKELY) != (said.true > 0), np.abs(said.outputs - LIKELY), -1.0)
        worst = sureness.max(axis=1)
        order = np.lexsort((-(sureness >= 0).sum(axis=1), -worst))  # of equals those with more wrong labels
        rows = [int(row) for row in order[:n] if worst[row] >= 0]
        table = said.table.select(["id"]).take(column_of(np.array(rows, dtype=np.int64)))
        names = list(said.names)
        labels, predictions = (
            lists_of(applies[rows], names).to_pylist() for applies in (said.true > 0, said.outputs > LIKELY)
        )
        return [
            {
                "id": name,
                "label": label,
                "prediction": prediction,
                "wrong": [names[place] for place in np.flatnonzero(sureness[row] >= 0)],
                "confidence": float(LIKELY + worst[row]),
            }
            for name, row, label, prediction in zip(
                table.column("id").to_pylist(), rows, labels, predictions, strict=True
            )
        ]

    def is_right(self, said: Predictions) -> NDArray[np.bool_] | None:
        """Where all labels are."""
        return self._is_right(said)

    def _is_right(self, said: Predictions) -> NDArray[np.bool_]:
        return np.asarray(((said.outputs > LIKELY) == (said.true > 0)).all(axis=1))

    def plots(
        self, said: Predictions, metrics: Mapping[str, Json], split: str, column: str
    ) -> dict[str, Plot]:
        from headstart.plots import bar_plot, precision_recall_plot, roc_plot

        by_label = sorted(metrics["per_class"].items(), key=lambda item: -item[1]["f1"])
        scores = {name: figures["f1"] for name, figures in by_label}
        true, outputs, names = said.true, said.outputs.astype(np.float32), said.names
        return {
            "f1": bar_plot(scores, metric="F1", title=f"F1 of each label on {split}"),
            "roc": roc_plot(true, outputs, names, f"ROC on {split}"),
            "precision-recall": precision_recall_plot(
                true, outputs, names, title=f"Precision and recall on {split}"
            ),
        }

    # Runs side by side

    def fits(self, field: pa.Field) -> bool:
        if field.name.startswith(PROBABILITY):
            return is_number(field)
        if field.name not in ("label", "prediction"):
            return True
        return bool(pa.types.is_list(field.type) and pa.types.is_string(field.type.value_type))

    def identities(self, labels: pa.ChunkedArray) -> NDArray[Any]:
        sets = [json.dumps(sorted(names), ensure_ascii=False) for names in labels.to_pylist()]
        return np.array(sets, dtype=np.str_)

    def judge(self, tables: Mapping[str, pa.Table]) -> dict[str, Judged]:
        names = list(dict.fromkeys(name for table in tables.values() for name in classes_in(table)))
        return {run: _judge(run, table, names) for run, table in tables.items()}

    # Pages and other programs

    def describe(self, column: str, classes: Sequence[str]) -> str:
        return f"`{column}` ({len(classes)} labels, several a sample)"


def _judge(run: str, table: pa.Table, names: Sequence[str]) -> Judged:
    if not classes_in(table):
        raise StorageError(f"run {run} has predictions without probabilities; make the run again")
    probabilities = _matrix(run, table, names)
    check_finite(run, probabilities.max(axis=1))
    truth = _applies(table.column("label").to_pylist(), names)
    return judge_labels(truth, probabilities, groups_in(table))


def _matrix(run: str, table: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities (N, L); 0 of a label that this run does not know."""
    known = set(classes_in(table))
    nothing = np.zeros(table.num_rows)
    return np.stack(
        [numbers_in(run, table.column(PROBABILITY + name)) if name in known else nothing for name in names],
        axis=1,
    )


def _applies(labels: Sequence[Sequence[str]], names: Sequence[str]) -> NDArray[np.bool_]:
    place = {name: column for column, name in enumerate(names)}
    truth = np.zeros((len(labels), len(names)), dtype=bool)
    for row, mine in enumerate(labels):
        truth[row, [place[name] for name in mine]] = True
    return truth


TASK: Task = MultiTask()
