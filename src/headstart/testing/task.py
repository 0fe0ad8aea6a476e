"""What every task must do: inherit from `TaskContract` and give it the task and a column of the data.

::

    class TestMyTask(TaskContract):
        kind = "py:my_module:MyTask"
        cells = ["low", "high", None, "middle"] * 5

        def outputs(self, task, y, classes):
            return ...  # what a head that is always right would say of ``y``
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from headstart.arrow import with_columns
from headstart.data.labels import read_labels
from headstart.errors import DataError
from headstart.tasks import open_task
from headstart.types import LabelReading, Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Task
    from headstart.types import Json

RESAMPLES = 50


class TaskContract:
    """Tests that any task passes."""

    kind: str
    """As ``--label-kind`` takes it."""
    cells: Sequence[Any]
    """A column of the data as Python values, None where there is no label; at least two names, if it has names."""

    def outputs(self, task: Task, y: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
        """What a head that is always right would say of known ``y``: outputs as `Task.outputs` gives them."""
        raise NotImplementedError

    def worse(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """What a head that is often wrong would say, of outputs of one that is right: those of other samples."""
        return outputs[::-1]

    @pytest.fixture
    def task(self) -> Task:
        return open_task(self.kind)

    @pytest.fixture
    def values(self, task: Task) -> pa.ChunkedArray:
        """The label column of a set."""
        column = pa.chunked_array([pa.array(self.cells)])
        return pa.chunked_array([read_labels(column, "label", LabelReading(self.kind), str).values])

    @pytest.fixture
    def names(self, task: Task, values: pa.ChunkedArray) -> list[str]:
        column = pa.chunked_array([pa.array(self.cells)])
        given = read_labels(column, "label", LabelReading(self.kind), str).names
        return list(given) or sorted(task.names_in(values))

    @pytest.fixture
    def y(self, task: Task, values: pa.ChunkedArray, names: list[str]) -> NDArray[Any]:
        y = task.encode(values, names)
        known: NDArray[Any] = y[task.known(y)]
        return known

    @pytest.fixture
    def classes(self, task: Task, y: NDArray[Any], names: list[str]) -> list[str]:
        """What a head knows after it was fitted on all of ``y``: sorted, as heads have them."""
        has_classes = task.form in ("classes", "tags")
        return sorted(names) if has_classes else [str(place) for place in range(len(names))]

    @pytest.fixture
    def said(self, task: Task, y: NDArray[Any], names: list[str], classes: list[str]) -> Predictions:
        table = pa.table({"id": [f"s{row}" for row in range(len(y))], "meta:group": ["a", "b"] * (len(y) // 2)
                          + ["a"] * (len(y) % 2)})  # fmt: skip
        return Predictions(task.targets(y, names), self.outputs(task, y, classes), classes, names, table)

    def predictions(self, task: Task, said: Predictions, y: NDArray[Any]) -> pa.Table:
        """What a run would write."""
        table = pa.table({"label": task.decode(y, said.names)})
        return with_columns(table, task.columns(said.outputs, said.classes, said.names))

    def test_it_has_the_kind_that_it_is_called_by(self, task: Task) -> None:
        assert task.kind == self.kind
        assert task.meaning
        assert task.noun

    def test_a_column_is_read_into_its_type_and_keeps_what_is_missing(
        self, task: Task, values: pa.ChunkedArray
    ) -> None:
        assert values.type == task.arrow_type
        assert [value is None for value in values.to_pylist()] == [cell is None for cell in self.cells]

    def test_names_are_those_that_occur(self, task: Task, values: pa.ChunkedArray) -> None:
        found = task.names_in(values)
        assert len(found) == len(set(found))
        assert bool(found) == task.has_names
        assert set(task.names_in(values.slice(0, 0))) == set()

    def test_labels_come_back_from_what_they_are_encoded_as(
        self, task: Task, values: pa.ChunkedArray, names: list[str]
    ) -> None:
        y = task.encode(values, names)
        known = task.known(y)
        assert known.tolist() == [cell is not None for cell in self.cells]
        back = task.decode(y[known], names)
        assert back.type == task.arrow_type
        assert task.identities(pa.chunked_array([back])).tolist() == (
            task.identities(values.filter(pa.array(known.tolist()))).tolist()
        )

    def test_rows_can_be_taken_and_joined(
        self, task: Task, values: pa.ChunkedArray, names: list[str]
    ) -> None:
        y = task.encode(values, names)
        assert len(y) == len(self.cells)
        joined = np.concatenate([y[:3], y[np.arange(3, len(y))]])
        assert task.known(joined).tolist() == task.known(y).tolist()

    def test_chunks_of_a_column_do_not_matter(
        self, task: Task, values: pa.ChunkedArray, names: list[str]
    ) -> None:
        parts = [values.slice(start, 2).combine_chunks() for start in range(0, len(values), 2)]
        chunked = pa.chunked_array(parts)
        read, whole = (list(map(_plain, task.encode(column, names))) for column in (chunked, values))
        assert read == whole
        np.testing.assert_array_equal(task.strata(chunked, names), task.strata(values, names))

    def test_samples_have_strata(
        self, task: Task, values: pa.ChunkedArray, names: list[str], y: NDArray[Any]
    ) -> None:
        assert task.strata(values, names).shape == (len(values),)
        assert task.strata(values, names).dtype == np.int32
        assert task.fold_strata(y).shape == (len(y),)

    def test_something_can_be_learnt_from_them(self, task: Task, y: NDArray[Any], names: list[str]) -> None:
        task.check_train(y, names, "a set", "label")
        assert len(task.targets(y, names)) == len(y)
        assert task.occurring(y) <= set(range(len(names)))

    def test_figures_of_a_head_that_is_always_right(self, task: Task, said: Predictions) -> None:
        report = task.report(said, RESAMPLES, seed=0)
        assert report["n"] == len(said)
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        assert set(report["intervals"]) <= set(report)
        assert "intervals" not in task.report(said, 0, seed=0)
        assert {task.leading_score, *task.headline.values()} <= set(report)
        scores = task.scores(said)
        assert next(iter(scores)) == task.leading_score
        assert np.isfinite(list(scores.values())).all()
        is_right = task.is_right(said)
        assert is_right is None or (is_right.shape == (len(said),) and is_right.all())
        assert not task.mistakes(said, 5)

    def test_a_worse_head_is_not_chosen(self, task: Task, said: Predictions) -> None:
        worse = Predictions(said.true, self.worse(said.outputs), said.classes, said.names, said.table)
        assert task.selection(task.scores(said)) > task.selection(task.scores(worse))
        mistakes = task.mistakes(worse, 5)
        assert mistakes is None or (0 < len(mistakes) <= 5)
        for mistake in mistakes or ():
            assert {"id", "label", "prediction"} <= set(mistake)

    def test_predictions_are_written_and_judged_again(
        self, task: Task, said: Predictions, y: NDArray[Any]
    ) -> None:
        table = self.predictions(task, said, y)
        worse = Predictions(said.true, self.worse(said.outputs), said.classes, said.names)
        assert "prediction" in table.column_names
        assert all(task.fits(field) for field in table.schema)
        judged = task.judge({"good": table, "worse": self.predictions(task, worse, y)})
        deciding, names = task.figures[0], {figure.name for figure in task.figures}
        assert all(names <= set(one.figures) for one in judged.values())
        better, other = (judged[run].figures[deciding.name] for run in ("good", "worse"))
        assert (better > other) == deciding.larger_is_better
        draws = np.random.default_rng(0).integers(0, len(said), (RESAMPLES, len(said)))
        resampled = judged["good"].resample(draws)
        assert deciding.name in resampled
        assert all(values.shape == (RESAMPLES,) for values in resampled.values())

    def test_predictions_that_are_no_numbers_are_refused(
        self, task: Task, said: Predictions, y: NDArray[Any]
    ) -> None:
        if said.outputs.dtype.kind != "f":
            pytest.skip("its outputs are no numbers")
        diverged = Predictions(said.true, np.full_like(said.outputs, np.nan), said.classes, said.names)
        with pytest.raises(DataError, match="no number"):
            task.judge({"run": self.predictions(task, diverged, y)})

    def test_plots_that_are_drawn_again_from_what_was_written_are_the_same(
        self, task: Task, said: Predictions, y: NDArray[Any]
    ) -> None:
        metrics: dict[str, Json] = task.report(said, 0, seed=0)
        first = {name: plot.png() for name, plot in task.plots(said, metrics, "test", "label").items()}
        assert all(content.startswith(b"\x89PNG") for content in first.values())
        written = self.predictions(task, said, y)
        outputs = task.read_outputs(written, task.class_names(said.classes, said.names))
        read = Predictions(said.true, outputs, said.classes, said.names)
        again = {name: plot.png() for name, plot in task.plots(read, metrics, "test", "label").items()}
        assert bool(again) == bool(first)
        assert again == {name: first[name] for name in again}

    def test_losses_have_gradients(self, task: Task, y: NDArray[Any], names: list[str]) -> None:
        torch = pytest.importorskip("torch")
        n_outputs = max(len(names), 1)
        targets = torch.from_numpy(np.array(y)) if y.dtype != object else torch.empty(0)
        if task.form == "numbers":
            targets = targets.reshape(-1, 1).float()
        elif task.form == "labels":
            targets = targets.float()
        if task.form == "tags":
            pytest.skip("its targets are padded, as its heads do it")
        logits = torch.zeros(len(y), 3, n_outputs, requires_grad=True)  # three heads side by side
        wanted = targets[:, None].expand(-1, 3, *targets.shape[1:])
        for smoothing in (0.0, 0.1):
            losses = task.losses(logits, wanted, task.balanced_weights(targets, n_outputs), smoothing)
            assert losses.shape == (len(y), 3)
            assert torch.isfinite(losses).all()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert logits.grad.abs().sum() > 0
        right = task.right(logits, wanted)
        assert right is None or right.shape == (len(y), 3)

    def test_it_is_described_for_people(self, task: Task, said: Predictions) -> None:
        assert "label" in task.describe("label", task.class_names(said.classes, said.names))


def _plain(value: Any) -> Any:
    """One of ``y`` as Python values; NaN as None."""
    listed = None if value is None else np.asarray(value).tolist()
    return None if listed != listed else listed
