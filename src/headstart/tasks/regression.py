"""A number per sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, mask_of, nulls_of, numbers_of, numbers_or_nan, strings
from headstart.data.label_cells import as_strings, is_plain_list, odd_among_numbers, odd_said, whole
from headstart.errors import ConfigError, DataError
from headstart.groups import Groups, groups_in
from headstart.metrics.regression import evaluate_regression, judge_numbers
from headstart.tasks.columns import PROBABILITY, check_finite, is_number, numbers_in
from headstart.tasks.without_classes import TaskWithoutClasses
from headstart.types import Figure, Judged, LabelColumn

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.contracts import Task
    from headstart.plots import Plot
    from headstart.types import Json, LabelForm, LabelReading, Place, Predictions

GUESSED = "numbers, so regression; --label-kind single would make them classes"
_NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"


class RegressionTask(TaskWithoutClasses):
    """Each sample has a number; see `headstart.contracts.Task`.

    ``y`` and targets are float64 (N,), NaN where there is none. Outputs are numbers (N,) or (N, T).
    """

    kind: str = "regression"
    form: LabelForm = "numbers"
    arrow_type: pa.DataType = pa.float64()
    meaning: str = "numbers"
    noun: str = "numbers"
    counted: str = "numbers"
    has_names: bool = False
    splits_cells: bool = False
    takes_flags: bool = False
    figures: tuple[Figure, ...] = (
        Figure("mae", "mean absolute error", larger_is_better=False),
        Figure("rmse", "root mean squared error", larger_is_better=False),
        Figure("r2", "R²"),
    )
    headline: Mapping[str, str] = {"R²": "r2", "MAE": "mae", "RMSE": "rmse"}
    leading_score: str = "r2"
    indicator_score: str = "r2"
    problem_type: str | None = "regression"

    # Labels of a set

    def recognises(self, column: pa.ChunkedArray, reading: LabelReading) -> bool:
        return not reading.names and not is_plain_list(column.type) and _are_measured(as_strings(column))

    def read(self, column: pa.ChunkedArray, name: str, reading: LabelReading, place: Place) -> LabelColumn:
        if is_plain_list(column.type):
            raise ConfigError(
                f"the label column {name!r} holds lists, which --label-kind {reading.kind} cannot be; "
                "leave it out, or choose another --label-column"
            )
        if reading.names:
            raise ConfigError(
                "label names are for classes, and --label-kind regression has none; leave one out"
            )
        cells = as_strings(column)
        texts = whole(pc.utf8_trim_whitespace(cells))
        hidden = [reading.blank, f"{reading.blank}.0"] if reading.blank else []
        blank = pc.is_in(pc.utf8_lower(texts), value_set=strings(["", "nan", *hidden]))
        texts = pc.if_else(blank, pa.nulls(1, pa.string())[0], texts)
        usable = pc.match_substring_regex(texts, pattern=_NUMBER)
        numbers = pc.cast(pc.if_else(usable, texts, pa.nulls(1, pa.string())[0]), pa.float64())
        bad = (nulls_of(numbers) & ~nulls_of(texts)) | _infinite(numbers)
        was_told = reading.kind == self.kind
        if bad.any() and not was_told:
            return self._without_odd(cells, numbers, bad, place)
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"{place(row)}: {cells[row].as_py()!r} in the label column {name!r} is not a finite number; "
                "mend it or leave it empty, or pass --label-kind single"
            )
        return LabelColumn(self.kind, numbers, (), "regression" if was_told else GUESSED)

    def _without_odd(
        self, cells: Any, numbers: pa.DoubleArray, bad: NDArray[np.bool_], place: Place
    ) -> LabelColumn:
        """A column of numbers that nobody asked for, in which a few cells are none: they are no labels."""
        n, odd = odd_among_numbers(cells)
        said = f"{GUESSED} ({odd_said(cells, n, odd, place)}, taken for no label)"
        numbers = pc.if_else(mask_of(bad), pa.nulls(1, pa.float64())[0], numbers)
        return LabelColumn(self.kind, numbers, (), said)

    def read_flags(
        self, columns: Mapping[str, pa.ChunkedArray], reading: LabelReading, place: Place
    ) -> LabelColumn:
        raise NotImplementedError

    def names_in(self, values: pa.Array | pa.ChunkedArray) -> list[str]:
        return []

    def strata(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
        return np.zeros(len(values), dtype=np.int32)

    def encode(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[Any]:
        return numbers_or_nan(values)

    def decode(self, y: NDArray[Any], names: Sequence[str]) -> pa.Array:
        return column_of(np.asarray(y, dtype=np.float64))

    def known(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(y))

    # Training

    def check_train(self, y: NDArray[Any], names: Sequence[str], set_name: str, column: str) -> None:
        """Of any numbers something can be learnt."""

    def targets(self, y: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        return y

    def codes(self, true: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
        return true

    def indicators(self, y: NDArray[Any], n_names: int) -> NDArray[np.float64]:
        return y.astype(np.float64).reshape(len(y), -1)

    def fold_strata(self, y: NDArray[Any]) -> NDArray[np.int64]:
        return np.zeros(len(y), dtype=np.int64)

    def occurring(self, y: NDArray[Any]) -> set[int]:
        return set()

    def losses(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        """The mean squared error."""
        return (logits - targets).square().mean(-1)

    def teacher_logits(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """The numbers themselves."""
        return np.asarray(outputs, dtype=np.float32).reshape(len(outputs), -1)

    def taught(self, logits: NDArray[np.float32]) -> NDArray[Any]:
        return logits[:, 0].astype(np.float64)

    def soft_losses(self, logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
        """The mean squared error; a temperature has no meaning for numbers."""
        return (logits - teacher).square().mean(-1)

    # Predictions

    def outputs(self, head: Any, X: Any, temperature: float) -> NDArray[Any]:
        return np.asarray(head.predict(X), dtype=np.float64)

    def columns(
        self, outputs: NDArray[Any], classes: Sequence[str], names: Sequence[str]
    ) -> dict[str, pa.Array]:
        """``prediction``, a number."""
        return {"prediction": column_of(outputs)}

    def read_outputs(self, table: pa.Table, classes: Sequence[str]) -> NDArray[Any]:
        return numbers_or_nan(table.column("prediction").cast(pa.float64()))

    # Figures

    def report(self, said: Predictions, resamples: int, seed: int) -> dict[str, Json]:
        groups = Groups.of(said.groups)
        return evaluate_regression(said.true, said.outputs, resamples=resamples, seed=seed, groups=groups)

    def scores(self, said: Predictions) -> dict[str, float]:
        wanted = np.asarray(said.true, dtype=np.float64)
        squared = float(np.mean((wanted - said.outputs) ** 2))
        variance = float(np.var(wanted))
        return {"r2": 1 - squared / variance if variance else 0.0, "rmse": squared**0.5}

    def selection(self, means: Mapping[str, float]) -> tuple[float, ...]:
        return (-means["rmse"],)

    def score(self, targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
        """R²; NaN of numbers that are all the same."""
        if not len(targets):
            return float("nan")
        errors = targets - predictions.reshape(targets.shape)
        around = np.square(targets - targets.mean(axis=0)).sum()
        return float(1 - np.square(errors).sum() / around) if around > 0 else float("nan")

    def mistakes(self, said: Predictions, n: int) -> list[dict[str, Json]] | None:
        """The samples of which the prediction is furthest from the label, the worst first."""
        assert said.table is not None
        predicted = said.outputs.reshape(len(said))
        errors = predicted - said.true
        wrong = np.flatnonzero(errors)
        rows = wrong[np.argsort(-np.abs(errors[wrong]), kind="stable")[:n]].tolist()
        ids = said.table.column("id").take(column_of(np.array(rows, dtype=np.int64))).to_pylist()
        return [
            {
                "id": name,
                "label": float(said.true[row]),
                "prediction": float(predicted[row]),
                "error": float(errors[row]),
            }
            for name, row in zip(ids, rows, strict=True)
        ]

    def is_right(self, said: Predictions) -> NDArray[np.bool_] | None:
        return None

    def plots(
        self, said: Predictions, metrics: Mapping[str, Json], split: str, column: str
    ) -> dict[str, Plot]:
        from headstart.plots import distribution_plot, prediction_plot

        predicted = said.outputs.reshape(len(said))
        return {
            "predictions": prediction_plot(said.true, predicted, f"Predictions on {split}", column),
            "residuals": distribution_plot(
                predicted - said.true,
                f"predicted − true {column}",
                title=f"Residuals on {split}",
            ),
        }

    # Runs side by side

    def fits(self, field: pa.Field) -> bool:
        is_ours = field.name in ("label", "prediction") or field.name.startswith(PROBABILITY)
        return is_number(field) if is_ours else True

    def identities(self, labels: pa.ChunkedArray) -> NDArray[Any]:
        return np.array(labels.to_pylist(), dtype=np.float64)

    def judge(self, tables: Mapping[str, pa.Table]) -> dict[str, Judged]:
        return {run: _judge(run, table) for run, table in tables.items()}

    # Pages and other programs

    def describe(self, column: str, classes: Sequence[str]) -> str:
        return f"the number `{column}`"


def _judge(run: str, table: pa.Table) -> Judged:
    truth, said = (numbers_in(run, table.column(name)) for name in ("label", "prediction"))
    check_finite(run, said)
    return judge_numbers(truth, said, groups_in(table))


def _are_measured(cells: pa.ChunkedArray) -> bool:
    """Whether values are finite decimal numbers, but for a few, and not all of them integers."""
    values = pc.unique(cells)
    texts = pc.utf8_trim_whitespace(values.drop_null())
    texts = texts.filter(pc.invert(pc.is_in(texts, value_set=strings([""]))))
    usable = pc.match_substring_regex(texts, pattern=_NUMBER)
    some = pc.any(usable).as_py()
    if not some or (not pc.all(usable).as_py() and not odd_among_numbers(cells)[0]):
        return False
    numbers = numbers_of(pc.cast(texts.filter(usable), pa.float64()))
    finite = np.isfinite(numbers)
    if not finite.all() and not odd_among_numbers(cells)[0]:
        return False
    return bool((numbers[finite] != np.floor(numbers[finite])).any())


def _infinite(numbers: pa.DoubleArray) -> NDArray[np.bool_]:
    infinite = pc.fill_null(pc.is_inf(numbers), mask_of(np.zeros(1, dtype=bool))[0])
    return numbers_of(pc.cast(infinite, pa.int8())).astype(bool)


TASK: Task = RegressionTask()
