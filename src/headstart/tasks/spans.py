"""The answer to a question: a stretch of its context, or none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import column_of, nulls_of, object_array, strings
from headstart.data.answers import ANSWERS, NoAnswersError, answers_column, parsed
from headstart.errors import ConfigError, DataError
from headstart.groups import Groups, groups_in
from headstart.metrics.spans import Marks, evaluate_spans, judge_spans
from headstart.tasks.columns import check_finite, numbers_in
from headstart.tasks.without_classes import TaskWithoutClasses
from headstart.types import Answer, Figure, Judged, LabelColumn, SpanGuess

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.contracts import Task
    from headstart.plots import Plot
    from headstart.types import Json, LabelForm, LabelReading, Place, Predictions

MASKED = -1e9
"""The score of a token at which no answer may start or end."""
NOWHERE = -1
"""Start and end, in characters, of no answer."""


class SpansTask(TaskWithoutClasses):
    """Each sample is a question with its context; see `headstart.contracts.Task`.

    ``y`` and targets are an object (N,), each the right answers to a question as a tuple of `Answer`, empty where the
    context has none; None where nobody has said. Outputs are an object (N,), each a `SpanGuess`.
    """

    kind: str = "spans"
    form: LabelForm = "spans"
    arrow_type: pa.DataType = ANSWERS
    meaning: str = "answers in a context"
    noun: str = "answers"
    counted: str = "answers"
    has_names: bool = False
    splits_cells: bool = False
    takes_flags: bool = False
    figures: tuple[Figure, ...] = (
        Figure("f1", "F1", is_share=True),
        Figure("exact_match", "exact match", is_share=True),
    )
    headline: Mapping[str, str] = {"exact match": "exact_match", "F1": "f1"}
    leading_score: str = "f1"
    indicator_score: str = "accuracy"
    problem_type: str | None = None

    # Labels of a set

    def recognises(self, column: pa.ChunkedArray, reading: LabelReading) -> bool:
        """Never: where answers stand is of no use without the column of contexts."""
        return False

    def read(self, column: pa.ChunkedArray, name: str, reading: LabelReading, place: Place) -> LabelColumn:
        if not pa.types.is_string(column.type):
            raise ConfigError(
                f"the label column {name!r} holds {column.type}s, and answers are texts with where they start, "
                '{"text": ["…"], "answer_start": [0]}; name their column with --answers-column, beside '
                "--question-column and --context-column"
            )
        rows: list[list[Answer] | None] = []
        for row, cell in enumerate(column.to_pylist()):
            try:
                rows.append(parsed(cell) if cell is not None and cell.strip() else None)
            except NoAnswersError as error:
                raise DataError(f"{place(row)}: {error}") from error
        return LabelColumn(self.kind, answers_column(rows), (), "answers in a context")

    def read_flags(
        self, columns: Mapping[str, pa.ChunkedArray], reading: LabelReading, place: Place
    ) -> LabelColumn:
        raise NotImplementedError

    def names_in(self, values: pa.Array | pa.ChunkedArray) -> list[str]:
        return []

    def strata(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
        """Questions with and without an answer."""
        return _strata(self.encode(values, names)).astype(np.int32)

    def encode(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[Any]:
        cells = values.to_pylist()
        return object_array(
            None if cell is None else tuple(Answer(**each) for each in cell) for cell in cells
        )

    def decode(self, y: NDArray[Any], names: Sequence[str]) -> pa.Array:
        return answers_column(y.tolist())

    def known(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.array([answers is not None for answers in y], dtype=bool)

    # Training

    def check_train(self, y: NDArray[Any], names: Sequence[str], set_name: str, column: str) -> None:
        if not any(y):
            raise DataError(
                f"none of the {len(y):,} train questions of set {set_name!r} has an answer in {column!r}; add "
                "questions that have one"
            )

    def targets(self, y: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        return y

    def codes(self, true: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
        return true

    def indicators(self, y: NDArray[Any], n_names: int) -> NDArray[np.float64]:
        """Whether there is an answer."""
        return np.array([[bool(answers)] for answers in y], dtype=np.float64).reshape(len(y), 1)

    def fold_strata(self, y: NDArray[Any]) -> NDArray[np.int64]:
        return _strata(y)

    def occurring(self, y: NDArray[Any]) -> set[int]:
        return set()

    def losses(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        """The mean cross-entropy of the first and the last token of the answer.

        ``logits`` (..., L, 2) are scores of each token as start and as end, `MASKED` where neither may be; ``targets``
        (..., 2) places of tokens. A NaN has no loss: an answer of which no token is left.
        """
        import torch

        likely = torch.log_softmax(logits.float(), dim=-2)
        known = torch.isfinite(targets)
        places = torch.where(known, targets, torch.zeros_like(targets)).long().unsqueeze(-2)
        losses = -likely.gather(-2, places).squeeze(-2)
        if smoothing:
            may_be = logits > MASKED / 2
            spread = -torch.where(may_be, likely, torch.zeros_like(likely)).sum(-2) / may_be.sum(-2)
            losses = (1 - smoothing) * losses + smoothing * spread
        return torch.where(known, losses, torch.zeros_like(losses)).mean(-1)

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
        """Whether both the first and the last token are the likeliest."""
        return (logits.argmax(dim=-2) == targets).all(dim=-1)

    # Predictions

    def outputs(self, head: Any, X: Any, temperature: float) -> NDArray[Any]:
        guesses: NDArray[Any] = head.guesses(X)
        return guesses

    def columns(
        self, outputs: NDArray[Any], classes: Sequence[str], names: Sequence[str]
    ) -> dict[str, pa.Array]:
        """``prediction``, the answer ("" for none), ``start`` and ``end`` of it, and two scores."""
        found = [guess.answer or Answer(NOWHERE, NOWHERE, "") for guess in outputs]
        places = np.array([answer[:2] for answer in found], dtype=np.int32).reshape(-1, 2)
        scores = [(guess.score, guess.no_answer_score) for guess in outputs]
        numbers = np.array(scores, dtype=np.float32).reshape(-1, 2)
        return {
            "prediction": strings([answer.text for answer in found]),
            "start": _places(places[:, 0]),
            "end": _places(places[:, 1]),
            "score": column_of(numbers[:, 0]),
            "no_answer_score": column_of(numbers[:, 1]),
        }

    def read_outputs(self, table: pa.Table, classes: Sequence[str]) -> NDArray[Any]:
        """Answers without the other stretches."""
        names = ("prediction", "start", "end", "score", "no_answer_score")
        rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
        return object_array(
            SpanGuess(None if start is None else Answer(start, end, text), score, no_answer)
            for text, start, end, score, no_answer in rows
        )

    # Figures

    def report(self, said: Predictions, resamples: int, seed: int) -> dict[str, Json]:
        return evaluate_spans(
            _references(said.true),
            _texts(said.outputs),
            resamples=resamples,
            seed=seed,
            groups=Groups.of(said.groups),
        )

    def scores(self, said: Predictions) -> dict[str, float]:
        marks = _marks(said)
        return {"f1": float(marks.f1.mean()), "exact_match": float(marks.exact.mean())}

    def selection(self, means: Mapping[str, float]) -> tuple[float, ...]:
        return means["f1"], means["exact_match"]

    def score(self, targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
        """How often it is right whether there is an answer."""
        if not len(targets):
            return float("nan")
        return float(((targets > 0.5) == (predictions.reshape(targets.shape) > 0.5)).mean())

    def mistakes(self, said: Predictions, n: int) -> list[dict[str, Json]] | None:
        """The questions whose answers are the worst, of these the surest first."""
        assert said.table is not None
        marks, ids = _marks(said), said.table.column("id")
        scores = np.array([guess.score for guess in said.outputs])
        order = np.lexsort((-scores, marks.f1))
        texts, references = _texts(said.outputs), _references(said.true)
        return [
            {
                "id": ids[row].as_py(),
                "label": references[row][0] if references[row] else "",
                "prediction": texts[row],
                "f1": float(marks.f1[row]),
            }
            for row in order.tolist()
            if marks.exact[row] < 1
        ][:n]

    def is_right(self, said: Predictions) -> NDArray[np.bool_] | None:
        return np.asarray(_marks(said).exact == 1)

    def plots(
        self, said: Predictions, metrics: Mapping[str, Json], split: str, column: str
    ) -> dict[str, Plot]:
        from headstart.plots import distribution_plot

        marks = _marks(said)
        wrong = np.where(marks.exact == 1, "right", np.where(marks.f1 > 0, "in part", "wrong"))
        scores, no_answer = (
            np.array([getattr(guess, name) for guess in said.outputs], dtype=np.float32)
            for name in ("score", "no_answer_score")
        )
        kinds = np.where(marks.has_answer, "with an answer", "without one")
        return {
            "f1": distribution_plot(marks.f1, "F1 of each question", title=f"F1 on {split}"),
            "scores": distribution_plot(scores, "score of the best stretch", wrong, f"Scores on {split}"),
            "no-answer": distribution_plot(
                no_answer, "how much better no answer is", kinds, f"No answer on {split}"
            ),
        }

    # Runs side by side

    def fits(self, field: pa.Field) -> bool:
        types = {"label": ANSWERS, "prediction": pa.string()}
        return field.name not in types or bool(field.type == types[field.name])

    def identities(self, labels: pa.ChunkedArray) -> NDArray[Any]:
        return np.array([json.dumps(cell) for cell in labels.to_pylist()], dtype=np.str_)

    def judge(self, tables: Mapping[str, pa.Table]) -> dict[str, Judged]:
        return {run: _judge(run, table) for run, table in tables.items()}

    # Pages and other programs

    def describe(self, column: str, classes: Sequence[str]) -> str:
        return f"the answer to a question, a stretch of its context (`{column}`)"


def _strata(y: NDArray[Any]) -> NDArray[np.int64]:
    return np.array([-1 if answers is None else bool(answers) for answers in y], dtype=np.int64)


def _references(true: NDArray[Any]) -> list[list[str]]:
    return [[answer.text for answer in answers] for answers in true]


def _texts(outputs: NDArray[Any]) -> list[str]:
    return [guess.answer.text if guess.answer else "" for guess in outputs]


def _marks(said: Predictions) -> Marks:
    return Marks.of(_references(said.true), _texts(said.outputs))


def _places(numbers: NDArray[np.int32]) -> pa.Array:
    """Places in a text as a column; null for nowhere."""
    valid = pa.py_buffer(np.packbits(numbers >= 0, bitorder="little"))
    return pa.Array.from_buffers(
        pa.int32(), len(numbers), [valid, pa.py_buffer(np.ascontiguousarray(numbers))]
    )


def _judge(run: str, table: pa.Table) -> Judged:
    check_finite(run, numbers_in(run, table.column("score")))
    if nulls_of(table.column("prediction")).any():
        raise DataError(f"run {run} gives no answer to some questions; make the run again")
    references = [[answer["text"] for answer in cell] for cell in table.column("label").to_pylist()]
    return judge_spans(Marks.of(references, table.column("prediction").to_pylist()), groups_in(table))


TASK: Task = SpansTask()
