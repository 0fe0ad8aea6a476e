"""A tag for each word: named entities, or parts of speech."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import codes_by_name, names_by_code, numbers_of, object_array
from headstart.data.label_cells import Renaming, lists_from, n_classes, names_of, string_lists
from headstart.data.sentences import Words, lists_in
from headstart.errors import DataError
from headstart.groups import Groups, groups_in
from headstart.metrics.calibration import fit_temperature
from headstart.metrics.entities import TaggedSentences, evaluate_tags, judge_tags
from headstart.tasks.schemes import (
    NAMES,
    OUTSIDE,
    Entity,
    Scheme,
    are_entities,
    detect_scheme,
    open_scheme,
    parts_of,
    scheme_of,
)
from headstart.types import PADDING, UNSEEN, Figure, Judged, LabelColumn, Tagging

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.contracts import Task
    from headstart.plots import Plot
    from headstart.types import Json, LabelForm, LabelReading, Payload, Place, Predictions

SMALLEST = 1e-30
SHOWN_TYPES = 6
ENTITY = pa.struct(
    [("type", pa.string()), ("first_word", pa.int32()), ("end_word", pa.int32()), ("score", pa.float32())]
)
"""An entity in ``predictions.parquet``: words [first_word, end_word), and the mean probability of their tags."""
LOCATED = pa.struct([*ENTITY, ("text", pa.string()), ("start", pa.int32()), ("end", pa.int32())])
"""The same in what `headstart.predict` gives: with its characters [start, end) of the text, and these themselves."""


class TagsTask:
    """Each word of a sample has a tag; see `headstart.contracts.Task`.

    ``y`` and targets are arrays of objects (N,): of each sample its tags, int64 (T,) places in the names and strings
    (T,), None where there is no label. Outputs are (N,) `Tagging`. Tags of entities are IOB2, IOBES or BILOU, as their
    names show; those of IOB1 are read as IOB2. Others, such as parts of speech, are classes without an order.
    """

    kind: str = "tags"
    form: LabelForm = "tags"
    arrow_type: pa.DataType = pa.list_(pa.string())
    meaning: str = "a tag for each word"
    noun: str = "tags"
    counted: str = "tags, one a word"
    has_names: bool = True
    splits_cells: bool = False
    takes_flags: bool = False
    figures: tuple[Figure, ...] = (
        Figure("micro_f1", "entity F1", is_share=True),
        Figure("macro_f1", "macro-F1 over types", is_share=True),
        Figure("word_accuracy", "word accuracy", is_share=True),
    )
    headline: Mapping[str, str] = {"entity F1": "micro_f1", "word accuracy": "word_accuracy"}
    leading_score: str = "micro_f1"
    indicator_score: str = "micro_f1"
    problem_type: str | None = None

    # Labels of a set

    def recognises(self, column: pa.ChunkedArray, reading: LabelReading) -> bool:
        """Never: lists may as well be several labels a sample, and what they stand beside says it."""
        return False

    def read(self, column: pa.ChunkedArray, name: str, reading: LabelReading, place: Place) -> LabelColumn:
        lists = lists_in(column, name, place)
        blank = _blank_within(lists)
        if blank >= 0:
            raise DataError(f"{place(blank)}: a word has no tag in {name!r} (null); give it one, such as O")
        lists, n_several = _first_alternatives(_renamed(lists, reading, place))
        distinct = {tuple(tags) for tags in lists.to_pylist() if tags is not None}
        used = {tag for tags in distinct for tag in tags}
        scheme = _scheme(distinct, used, name)
        said = ""
        if scheme is not None and scheme.name == "iob1":
            lists = _as_iob2(lists)
            used = {tag for tags in lists.to_pylist() for tag in tags or ()}
            scheme, said, distinct = open_scheme("iob2"), ", IOB1 read as IOB2", set()
        names = reading.names or tuple(sorted(used, key=_order))
        said += f", {n_several:,} words with alternatives (B-a,B-b) taken for the first" if n_several else ""
        return LabelColumn(self.kind, lists, names, _said(used, scheme, distinct) + said)

    def read_flags(
        self, columns: Mapping[str, pa.ChunkedArray], reading: LabelReading, place: Place
    ) -> LabelColumn:
        raise NotImplementedError

    def names_in(self, values: pa.Array | pa.ChunkedArray) -> list[str]:
        chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
        found = (name for part in chunks for name in pc.unique(part.flatten()).to_pylist())
        return sorted(name for name in dict.fromkeys(found) if name is not None)

    def strata(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
        """The rarest tag of each sentence, so that each gets into every split as far as it can."""
        return _rarest(self.encode(values, names), len(names)).astype(np.int32)

    def encode(self, values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[Any]:
        found = np.empty(len(values), dtype=object)
        row = 0
        for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
            codes = codes_by_name(chunk.flatten(), names)
            lengths = np.bincount(numbers_of(pc.list_parent_indices(chunk)), minlength=len(chunk))
            parts = np.split(codes, np.cumsum(lengths)[:-1]) if len(chunk) else []
            for tags, is_null in zip(parts, chunk.is_null().to_pylist(), strict=True):
                found[row] = None if is_null else tags
                row += 1
        return found

    def decode(self, y: NDArray[Any], names: Sequence[str]) -> pa.Array:
        missing = np.array([tags is None for tags in y], dtype=bool)
        lengths = np.array([0 if tags is None else len(tags) for tags in y], dtype=np.int64)
        return lists_from(lengths, names_by_code(_flat(y), names), missing)

    def known(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.array([tags is not None for tags in y], dtype=bool)

    # Training

    def check_train(self, y: NDArray[Any], names: Sequence[str], set_name: str, column: str) -> None:
        used = np.unique(_flat(y))
        if len(used) < 2:
            are = f"are {names[used[0]]!r}" if len(used) else "have no words"
            raise DataError(
                f"a head needs at least two tags, and all train samples of set {set_name!r} {are} in {column!r}; add "
                "sentences with others"
            )

    def targets(self, y: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
        known = np.array([*names, ""], dtype=np.str_)  # the last is that of a tag without a name
        return object_array(None if tags is None else known[tags] for tags in y)

    def codes(self, true: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
        """Of all words one after the other, (T,), as `logits` are."""
        place = {name: number for number, name in enumerate(classes)}
        return np.array([place.get(str(tag), UNSEEN) for tags in true for tag in tags], dtype=np.int64)

    def indicators(self, y: NDArray[Any], n_names: int) -> NDArray[np.float64]:
        """Which tags a sentence has."""
        found = np.zeros((len(y), n_names))
        for row, tags in enumerate(y):
            found[row, tags[tags >= 0]] = 1
        return found

    def fold_strata(self, y: NDArray[Any]) -> NDArray[np.int64]:
        codes = _flat(y)
        return _rarest(y, int(codes.max(initial=-1)) + 1)

    def occurring(self, y: NDArray[Any]) -> set[int]:
        return set(np.unique(_flat(y)).tolist())

    def losses(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        """The sum over the words of each sentence of the cross-entropy, (B, M), of logits (B, M, T, C).

        Targets (B, T'), or (B, M, T'), are ``PADDING`` behind the end of a sentence; T' may be more than T.
        """
        from torch.nn.functional import cross_entropy

        wanted = _fitting(targets, logits)
        flat = cross_entropy(
            logits.reshape(-1, logits.shape[-1]),
            wanted.clamp(min=UNSEEN).reshape(-1),
            weight=weights,
            reduction="none",
            ignore_index=UNSEEN,
            label_smoothing=smoothing,
        )
        return flat.view(wanted.shape).sum(dim=-1)

    def right(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
        """Sentences whose words all have the right tag as their likeliest, (B, M)."""
        wanted = _fitting(targets, logits)
        return ((logits.argmax(dim=-1) == wanted) | (wanted == PADDING)).all(dim=-1)

    def balanced_weights(self, targets: torch.Tensor, n_outputs: int) -> torch.Tensor | None:
        """For each tag n / (C · count) over the words."""
        import torch

        words = targets[targets >= 0].long()
        counts = torch.bincount(words, minlength=n_outputs).clamp(min=1)
        return len(words) / (n_outputs * counts.float())

    # Predictions

    def outputs(self, head: Any, X: Any, temperature: float) -> NDArray[Any]:
        return object_array(head.tagged(X, temperature))

    def logits(self, head: Any, X: Any) -> NDArray[Any] | None:
        """Of all words one after the other, (T, C); None of a head whose tags depend on each other."""
        return cast("NDArray[Any] | None", head.word_logits(X))

    def temperature(self, logits: NDArray[Any], true: NDArray[Any], classes: Sequence[str]) -> float:
        return fit_temperature(logits, self.codes(true, classes))

    def class_names(self, classes: Sequence[str], names: Sequence[str]) -> list[str]:
        return list(classes)

    def columns(
        self, outputs: NDArray[Any], classes: Sequence[str], names: Sequence[str]
    ) -> dict[str, pa.Array]:
        """``prediction``, a tag for each word; ``entities``, where tags are those of entities."""
        scheme = scheme_of(classes)
        tags = _names_of_paths(outputs, classes)
        columns = {"prediction": string_lists(tags)}
        if scheme is None:
            return columns
        found = [
            [_scored(entity, said) for entity in scheme.entities(own)]
            for own, said in zip(tags, outputs, strict=True)
        ]
        return {**columns, "entities": pa.array(found, pa.list_(ENTITY))}

    def read_outputs(self, table: pa.Table, classes: Sequence[str]) -> NDArray[Any]:
        """Tags alone: probabilities of words are not written."""
        nothing = np.empty((0, 0), dtype=np.float32)
        return object_array([Tagging(tags, nothing) for tags in self.encode(table["prediction"], classes)])

    def beside(self, columns: Mapping[str, pa.Array], payloads: Iterable[Payload]) -> dict[str, pa.Array]:
        """``words``, and entities with their text and where it stands; given words stand with blanks between them."""
        sentences = [words if isinstance(words, Words) else Words(cast("Any", words)) for words in payloads]
        found = {"words": string_lists([list(words) for words in sentences]), **columns}
        if "entities" in columns:
            located = [
                [_located(entity, words) for entity in entities]
                for entities, words in zip(columns["entities"].to_pylist(), sentences, strict=True)
            ]
            found["entities"] = pa.array(located, pa.list_(LOCATED))
        return found

    # Figures

    def report(self, said: Predictions, resamples: int, seed: int) -> dict[str, Json]:
        groups = Groups.of(said.groups)
        return evaluate_tags(_sentences(said), resamples=resamples, seed=seed, groups=groups)

    def scores(self, said: Predictions) -> dict[str, float]:
        found = _sentences(said).plain_figures()
        return {name: float(found[name]) for name in ("micro_f1", "word_accuracy", "log_loss")}

    def selection(self, means: Mapping[str, float]) -> tuple[float, ...]:
        return means["micro_f1"], -means["log_loss"]

    def score(self, targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
        """Micro-F1 of what is above one half."""
        if not len(targets):
            return float("nan")
        said, true = predictions > 0.5, targets > 0.5
        return float(2 * (said & true).sum() / max(said.sum() + true.sum(), 1))

    def mistakes(self, said: Predictions, n: int) -> list[dict[str, Json]] | None:
        """The sentences with the word that is wrong most confidently, the worst first; which words are wrong."""
        assert said.table is not None
        predicted = _names_of_paths(said.outputs, said.classes)
        found = []
        for row, (true, own, output) in enumerate(zip(said.true, predicted, said.outputs, strict=True)):
            wrong = [place for place, (a, b) in enumerate(zip(true, own, strict=True)) if a != b]
            if wrong:
                sure = output.probabilities[wrong, output.tags[wrong]]
                found.append((-float(sure.max()), row, wrong))
        ids = said.table.column("id").to_pylist()
        return [
            {
                "id": ids[row],
                "label": said.true[row].tolist(),
                "prediction": predicted[row],
                "wrong_words": wrong,
                "confidence": -sure,
            }
            for sure, row, wrong in sorted(found)[:n]
        ]

    def is_right(self, said: Predictions) -> NDArray[np.bool_] | None:
        """Where all tags are."""
        return _sentences(said).is_right

    def plots(
        self, said: Predictions, metrics: Mapping[str, Json], split: str, column: str
    ) -> dict[str, Plot]:
        from headstart.plots import bar_plot, distribution_plot

        by_type = sorted(metrics["per_type"].items(), key=lambda item: -item[1]["f1"])
        noun = "entities" if scheme_of(said.classes) else "tags"
        title = f"F1 of the {noun} of each type on {split}"
        found = {"f1": bar_plot({name: of["f1"] for name, of in by_type}, metric="F1", title=title)}
        if not any(one.probabilities.size for one in said.outputs):
            return found
        sure = np.concatenate([one.probabilities.max(axis=1) for one in said.outputs])
        tags = np.concatenate([np.array(own, dtype=np.str_) for own in said.true])
        paths = np.concatenate([one.tags for one in said.outputs])
        is_right = np.array(said.classes)[paths] == tags if len(paths) else np.empty(0, dtype=bool)
        words = "confidence; shares of the right and of the wrong words"
        right = np.where(is_right, "right", "wrong")
        return {**found, "confidence": distribution_plot(sure, words, right, f"Confidence on {split}")}

    # Runs side by side

    def fits(self, field: pa.Field) -> bool:
        if field.name not in ("label", "prediction"):
            return True
        return bool(pa.types.is_list(field.type) and pa.types.is_string(field.type.value_type))

    def identities(self, labels: pa.ChunkedArray) -> NDArray[Any]:
        return np.array([json.dumps(tags, ensure_ascii=False) for tags in labels.to_pylist()], dtype=np.str_)

    def judge(self, tables: Mapping[str, pa.Table]) -> dict[str, Judged]:
        columns = {
            run: [table.column(name).to_pylist() for name in ("label", "prediction")]
            for run, table in tables.items()
        }
        scheme = scheme_of(
            {tag for both in columns.values() for part in both for tags in part for tag in tags}
        )
        return {
            run: judge_tags(TaggedSentences(true, predicted, scheme), groups_in(tables[run]))
            for run, (true, predicted) in columns.items()
        }

    # Pages and other programs

    def describe(self, column: str, classes: Sequence[str]) -> str:
        scheme = scheme_of(classes)
        if scheme is None:
            return f"`{column}` (a tag for each word, {len(classes)} tags)"
        return f"`{column}` (entities of {_types_said({parts_of(name)[1] for name in classes if name != OUTSIDE})})"


def _blank_within(lists: pa.ListArray) -> int:
    """The first row with a null within its list; -1 if there is none."""
    flat = lists.flatten()
    if not flat.null_count:
        return -1
    rows = numbers_of(pc.list_parent_indices(lists))
    return int(rows[np.flatnonzero(flat.is_null().to_pylist())[0]])


def _renamed(lists: pa.ListArray, reading: LabelReading, place: Place) -> pa.ListArray:
    """Lists of names instead of numbers, if there are names for them."""
    if not reading.names or reading.coded:
        return lists
    rows = numbers_of(pc.list_parent_indices(lists))
    flat = lists.flatten()
    renaming = Renaming(
        flat,
        lambda values: names_of(
            values,
            cast("Sequence[str]", reading.names),
            lambda number: place(int(rows[pc.index(flat, values[number]).as_py()])),
        ),
    )
    lengths = np.bincount(rows, minlength=len(lists))
    return lists_from(lengths, renaming(flat), np.array(lists.is_null().to_pylist(), dtype=bool))


def _first_alternatives(lists: pa.ListArray) -> tuple[pa.ListArray, int]:
    """Lists with the first of alternative tags, which the test of WNUT-17 has, and how many words have such."""
    flat = lists.flatten()
    several = {tag for tag in pc.unique(flat).to_pylist() if "," in tag and are_entities(tag.split(","))}
    if not several:
        return lists, 0
    renamed = Renaming(flat, lambda tags: [t and t.partition(",")[0] if t in several else t for t in tags])
    counts = pc.value_counts(flat).to_pylist()
    lengths = np.bincount(numbers_of(pc.list_parent_indices(lists)), minlength=len(lists))
    missing = np.array(lists.is_null().to_pylist(), dtype=bool)
    n = sum(count["counts"] for count in counts if count["values"] in several)
    return lists_from(lengths, renamed(flat), missing), n


def _scheme(distinct: set[tuple[str, ...]], used: set[str], name: str) -> Scheme | None:
    """The scheme of tags; None if they are no entities.

    Raises
    ------
    DataError
        They look like those of entities, and are of no scheme that is known.
    """
    if not are_entities(used):
        return None
    found = detect_scheme(distinct)
    if found is None:
        prefixes = ", ".join(sorted({tag[0] for tag in used - {OUTSIDE}}))
        raise DataError(
            f"the tags in {name!r} begin with {prefixes} and are of no scheme that headstart knows "
            f"({', '.join(known.upper() for known in NAMES)}); write them so, or without the hyphen if they "
            "are no entities"
        )
    return open_scheme(found)


def _as_iob2(lists: pa.ListArray) -> pa.ListArray:
    iob1, iob2 = open_scheme("iob1"), open_scheme("iob2")
    return string_lists(
        [None if tags is None else iob2.tags(iob1.entities(tags), len(tags)) for tags in lists.to_pylist()]
    )


def _order(tag: str) -> tuple[bool, str, str]:
    """First what is outside, then types in order."""
    prefix, name = parts_of(tag)
    return tag != OUTSIDE, name if tag[1:2] == "-" else tag, prefix


def _said(used: set[str], scheme: Scheme | None, distinct: set[tuple[str, ...]]) -> str:
    if scheme is None:
        return f"a tag for each word, {n_classes(len(used))}"
    types = {parts_of(tag)[1] for tag in used - {OUTSIDE}}
    n_illegal = sum(not scheme.is_legal(tags) for tags in distinct)
    illegal = f", {n_illegal:,} different sequences of tags break the scheme" if n_illegal else ""
    return f"a tag for each word, {scheme.name.upper()}, entities of {_types_said(types)}{illegal}"


def _types_said(types: set[str]) -> str:
    shown = sorted(types)
    listed = ", ".join(shown[:SHOWN_TYPES]) + (", …" if len(shown) > SHOWN_TYPES else "")
    return f"{len(shown)} {'type' if len(shown) == 1 else 'types'}: {listed}"


def _flat(y: NDArray[Any]) -> NDArray[np.int64]:
    """The codes of all words, one after the other."""
    return np.concatenate([tags for tags in y if tags is not None] or [np.empty(0, np.int64)]).astype(
        np.int64
    )


def _rarest(y: NDArray[Any], n_names: int) -> NDArray[np.int64]:
    """The rarest tag of each sentence, by how many sentences have it; -1 where there is no label, or no word."""
    tags = [np.empty(0, np.int64) if codes is None else np.unique(codes[codes >= 0]) for codes in y]
    counts = np.bincount(_flat(np.array([*tags, None], dtype=object)[:-1]), minlength=n_names)
    return np.array([own[counts[own].argmin()] if len(own) else -1 for own in tags], dtype=np.int64)


def _fitting(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Targets (B, M, T) for logits (B, M, T, C)."""
    by_member = targets.unsqueeze(1) if targets.ndim == logits.ndim - 2 else targets
    return by_member[..., : logits.shape[-2]].expand(logits.shape[:-1]).long()


def _names_of_paths(outputs: NDArray[Any], classes: Sequence[str]) -> list[list[str]]:
    names = np.array(list(classes), dtype=object)
    return [names[said.tags].tolist() for said in outputs]


def _scored(entity: Entity, said: Tagging) -> dict[str, Json]:
    places = np.arange(entity.start, entity.end)
    score = float(said.probabilities[places, said.tags[places]].mean())
    return {"type": entity.type, "first_word": entity.start, "end_word": entity.end, "score": score}


def _located(entity: Mapping[str, Json], words: Words) -> dict[str, Json]:
    start, end = words.spans[entity["first_word"]].start, words.spans[entity["end_word"] - 1].end
    return {**entity, "text": words.text[start:end], "start": start, "end": end}


def _sentences(said: Predictions) -> TaggedSentences:
    """What a head says, beside what is true."""
    true = [list(map(str, tags)) for tags in said.true]
    predicted = _names_of_paths(said.outputs, said.classes)
    names = {*said.classes, *(tag for tags in true for tag in tags)}
    return TaggedSentences(true, predicted, scheme_of(names), _losses(said))


def _losses(said: Predictions) -> NDArray[np.float64]:
    """The sum over the words of each sentence of minus the logarithm of what its tag has, (N,)."""
    place = {name: number for number, name in enumerate(said.classes)}
    sums = np.zeros(len(said))
    for row, (tags, one) in enumerate(zip(said.true, said.outputs, strict=True)):
        codes = np.array([place.get(str(tag), UNSEEN) for tag in tags], dtype=np.int64)
        likely = one.probabilities[np.arange(len(codes)), codes].astype(np.float64)
        sums[row] = -np.log(np.maximum(np.where(codes >= 0, likely, 0.0), SMALLEST)).sum()
    return sums


TASK: Task = TagsTask()
