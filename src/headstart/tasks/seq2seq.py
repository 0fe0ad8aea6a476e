"""A text to write for each sample, or several of which any will do: translation, summaries, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headstart.arrow import nulls_of, object_array, strings
from headstart.data.label_cells import as_string_lists, as_strings, is_plain_list, lists_from, whole
from headstart.errors import ConfigError, DataError
from headstart.groups import Groups, groups_in
from headstart.metrics.texts import check_installed, evaluate_texts, exact_matches, judge_texts, sentence_chrf
from headstart.tasks.without_classes import TaskWithoutClasses
from headstart.types import Figure, Judged, LabelColumn
from headstart.words import counted

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.contracts import Task
    from headstart.plots import Plot
    from headstart.types import Json, LabelForm, LabelReading, Place, Predictions

PADDING = -100
"""The target of a token that there is not, as transformers have it."""
SHOWN = 3
BETWEEN = " | "
"""Stands between references, for people."""


class Seq2SeqTask(TaskWithoutClasses):
    """Each sample has texts of which one is to be written; see `headstart.contracts.Task`.

    ``y`` and targets are objects (N,), a tuple of references each, None where there is none. Outputs are texts (N,).
    Training has logits of tokens (..., V) and the numbers of tokens (...), ``PADDING`` where there is none.
    """

    kind: str = "seq2seq"
    form: LabelForm = "texts"
    arrow_type: pa.DataType = pa.list_(pa.string())
    meaning: str = "texts to write"
    noun: str = "texts"
    counted: str = "texts"
    has_names: bool = False
    splits_cells: bool = False
    takes_flags: bool = False
    figures: tuple[Figure, ...] = (
        Figure("chrf", "chrF"),  # the first: BLEU of texts of fewer than four words is 0
        Figure("bleu", "BLEU"),
        Figure("rouge_l", "ROUGE-L", is_share=True),
        Figure("exact_match", "exact match", is_share=True),
    )
    headline: Mapping[str, str] = {
        "chrF": "chrf", "BLEU": "bleu", "ROUGE-L": "rouge_l", "exact match": "exact_match",
    }  # fmt: skip
    leading_score: str = "chrf"
    indicator_score: str = "chrf"
    problem_type: str | None = None

    # Labels of a set

    def recognises(self, column: pa.ChunkedArray, reading: LabelReading) -> bool:
        """Texts to write look like any texts: the names of columns or the user say what they are."""
        return False

    def read(self, column: pa.ChunkedArray, name: str, reading: LabelReading, place: Place) -> LabelColumn:
        if reading.names:
            raise ConfigError("label names are for classes, and --label-kind seq2seq has none; leave one out")
        if is_plain_list(column.type):
            lists = as_string_lists(column)
            _check_references(lists, name, place)
            lengths, texts, is_blank = lists.value_lengths().fill_null(0).to_numpy(), lists.flatten(), None
        else:
            texts = whole(as_strings(column))
            is_blank = np.array([not (text and text.strip()) for text in texts.to_pylist()], dtype=bool)
            lengths = (~is_blank).astype(np.int64)
            texts = texts.filter(pa.array(~is_blank))
        missing = np.asarray(lengths) == 0
        values = lists_from(lengths, texts, missing)
        return LabelColumn(self.kind, values, (), _said(missing, lengths, place))

    def read_flags(
        self, columns: Mapping[str, pa.ChunkedArray], reading: LabelReading, place: Place
    ) -> LabelColumn:
        raise NotImplementedError

    def names_in(self, values: pa.Array | pa.ChunkedArray) -> list[str]:
        return []

    def strata(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
        return np.where(nulls_of(values), -1, 0).astype(np.int32)

    def encode(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[Any]:
        return object_array([None if refs is None else tuple(refs) for refs in values.to_pylist()])

    def decode(self, y: NDArray[Any], names: Sequence[str]) -> pa.Array:
        missing = np.array([refs is None for refs in y], dtype=bool)
        texts = [text for refs in y if refs is not None for text in refs]
        return lists_from(np.array([len(refs or ()) for refs in y], dtype=np.int64), strings(texts), missing)

    def known(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.array([refs is not None for refs in y], dtype=bool)

    # Training

    def check_train(self, y: NDArray[Any], names: Sequence[str], set_name: str, column: str) -> None:
        """Of any texts something can be learnt; what judges them must be there."""
        check_installed()

    def targets(self, y: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        return y

    def codes(self, true: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
        return true

    def indicators(self, y: NDArray[Any], n_names: int) -> NDArray[np.float64]:
        raise ConfigError(
            "texts to write are no numbers, which this needs of labels; choose another --label, or what needs none"
        )

    def fold_strata(self, y: NDArray[Any]) -> NDArray[np.int64]:
        return np.zeros(len(y), dtype=np.int64)

    def occurring(self, y: NDArray[Any]) -> set[int]:
        return set()

    def losses(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        """The cross-entropy of each token, 0 where there is none."""
        from torch.nn.functional import cross_entropy

        flat = cross_entropy(
            logits.flatten(0, -2), targets.flatten(), weights, ignore_index=PADDING, reduction="none",
            label_smoothing=smoothing,
        )  # fmt: skip
        losses: torch.Tensor = flat.view(targets.shape)
        return losses

    # Predictions

    def outputs(self, head: Any, X: Any, temperature: float) -> NDArray[Any]:
        return object_array(list(head.predict(X)))

    def columns(
        self, outputs: NDArray[Any], classes: Sequence[str], names: Sequence[str]
    ) -> dict[str, pa.Array]:
        """``prediction``, a text."""
        return {"prediction": strings(outputs.tolist())}

    def read_outputs(self, table: pa.Table, classes: Sequence[str]) -> NDArray[Any]:
        return object_array(table.column("prediction").to_pylist())

    # Figures

    def report(self, said: Predictions, resamples: int, seed: int) -> dict[str, Json]:
        groups = Groups.of(said.groups)
        return evaluate_texts(
            said.true.tolist(), said.outputs.tolist(), resamples=resamples, seed=seed, groups=groups
        )

    def scores(self, said: Predictions) -> dict[str, float]:
        return dict(judge_texts(said.true.tolist(), said.outputs.tolist()).figures)

    def selection(self, means: Mapping[str, float]) -> tuple[float, ...]:
        return means["chrf"], means["bleu"]

    def score(self, targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
        raise NotImplementedError  # there are no `indicators`

    def mistakes(self, said: Predictions, n: int) -> list[dict[str, Json]] | None:
        """The samples whose text is furthest from all references, by chrF, the worst first."""
        assert said.table is not None
        wrong = np.flatnonzero(~exact_matches(said.true.tolist(), said.outputs.tolist()))
        if not len(wrong):
            return []
        each = sentence_chrf(said.true[wrong].tolist(), said.outputs[wrong].tolist())
        worst = np.argsort(each, kind="stable")[:n].tolist()
        ids = said.table.column("id").to_pylist()
        return [
            {
                "id": ids[wrong[place]],
                "label": BETWEEN.join(said.true[wrong[place]]),
                "prediction": str(said.outputs[wrong[place]]),
                "chrf": float(each[place]),
            }
            for place in worst
        ]

    def is_right(self, said: Predictions) -> NDArray[np.bool_] | None:
        return exact_matches(said.true.tolist(), said.outputs.tolist())

    def plots(
        self, said: Predictions, metrics: Mapping[str, Json], split: str, column: str
    ) -> dict[str, Plot]:
        from headstart.plots import distribution_plot

        each = sentence_chrf(said.true.tolist(), said.outputs.tolist())
        return {"chrf": distribution_plot(each, f"chrF of each {column}", title=f"Texts of {split}")}

    # Runs side by side

    def fits(self, field: pa.Field) -> bool:
        if field.name == "label":
            return bool(field.type == self.arrow_type)
        return bool(field.name != "prediction" or pa.types.is_string(field.type))

    def identities(self, labels: pa.ChunkedArray) -> NDArray[Any]:
        return np.array([repr(refs) for refs in labels.to_pylist()], dtype=np.str_)

    def judge(self, tables: Mapping[str, pa.Table]) -> dict[str, Judged]:
        return {run: _judge(run, table) for run, table in tables.items()}

    # Pages and other programs

    def describe(self, column: str, classes: Sequence[str]) -> str:
        return f"texts, as in `{column}`,"


def _judge(run: str, table: pa.Table) -> Judged:
    said = table.column("prediction")
    if said.null_count:
        raise DataError(f"run {run} gives no text for {said.null_count:,} of {len(said):,} samples")
    return judge_texts(table.column("label").to_pylist(), said.to_pylist(), groups_in(table))


def _check_references(lists: pa.ListArray, name: str, place: Place) -> None:
    """Refuse a reference that is empty beside others, or alone: a list without any says that there is none."""
    for row, refs in enumerate(lists.to_pylist()):
        bad = next((n for n, text in enumerate(refs or (), 1) if not (text and text.strip())), None)
        if bad is not None:
            raise DataError(
                f"{place(row)}: reference {bad} of {len(refs)} in the target column {name!r} is empty; leave it out, "
                "and the list empty where there is no text to write"
            )


def _said(missing: NDArray[np.bool_], lengths: NDArray[Any], place: Place) -> str:
    """What the column was taken for, and where it has no text."""
    several = int((lengths > 1).sum())
    parts = ["texts to write", *([f"{several:,} with several references"] if several else [])]
    if n := int(missing.sum()):
        rows = [place(int(row)) for row in np.flatnonzero(missing)[:SHOWN]]
        parts.append(f"{counted(n, 'row')} without one: {'; '.join(rows)}{'; …' if n > SHOWN else ''}")
    return ", ".join(parts)


TASK: Task = Seq2SeqTask()
