"""predict: raw inputs in, labels by name and probabilities out; features come from the cache."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, mask_of, names_by_code, strings, with_columns
from headstart.backbones.pooling import PLACES, is_ragged
from headstart.cache.layout import CONTEXT, LABEL
from headstart.cache.recipe import Recipe
from headstart.cache.store import Cache
from headstart.config import ColumnConfig
from headstart.data import open_source
from headstart.data.objects import HeldSamples
from headstart.data.options import OF_FILES
from headstart.data.read_table import format_of
from headstart.data.sentences import Words
from headstart.errors import DataError
from headstart.extraction.backbone import (
    OpenedBackbone,
    cache_of_run,
    check_modality,
    reopen,
    space_of,
)
from headstart.extraction.fill import FillResult, fill, fill_stream
from headstart.extraction.long_texts import long_of
from headstart.extraction.plan import plan_for_spaces
from headstart.extraction.samples import register
from headstart.heads.predictor import Predictor
from headstart.heads.sequences import Sequences, held_sequences, side_by_side
from headstart.network import forbid_network
from headstart.prediction.input_order import input_order
from headstart.registry.labels import column_for, parts_of
from headstart.samples import Passages
from headstart.tasks import open_task

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from headstart.cache.space import Space
    from headstart.config import ComputeConfig, EvaluateConfig, PredictConfig
    from headstart.contracts import Payloads, Progress, Source
    from headstart.extraction.plan import ExtractionPlan
    from headstart.extraction.samples import Samples
    from headstart.registry.run import Run
    from headstart.types import Failure, Json

ERROR, INPUT = "error", "input"
CONTENT = (
    *("text_column", "text_pair_column", "image_column", "words_column", "input_column", "question_column"),
    *("context_column", "id_column", *OF_FILES),
)
"""How the data of a run was read, which counts for other inputs too."""


@dataclass(frozen=True)
class Inputs:
    """What was read: N samples, and the features of those that have them."""

    source: Source
    samples: Samples
    held: NDArray[np.bool_]
    """Which samples have features, shape (N,)."""
    X: Any
    """As the head was fitted on them, of the samples that are ``held``."""
    failures: Sequence[Failure]


def predict(run: Run, config: PredictConfig, progress: Progress) -> pa.Table:
    """Predict raw inputs with a run.

    Gives a row for every sample, in the order of the data: ``id``, ``label`` (where a label column was asked
    for), ``input`` (if asked for), ``prediction``, ``p:<class>``…; of a run of several labels ``label:<label>``,
    ``prediction:<label>``, ``p:<label>:<class>``…. A sample that could not be used has nulls, and a column ``error``
    says why. Raises `DataError` if no input could be used; `MismatchError` if the backbone is not the one that the head
    was fitted on.
    """
    predictors = {
        label: predictor.writing(num_beams=config.num_beams, max_new_tokens=config.max_new_tokens)
        for label, predictor in run.predictors.items()
    }
    source = open_inputs(run, config, CONTENT, labels=_asks_for_labels(config))
    inputs = read_inputs(run, source, config, progress)
    samples, held, failures = inputs.samples, inputs.held, inputs.failures
    table = _identify(samples.table, run)
    if config.with_inputs:
        table = table.append_column(INPUT, inputs_of(inputs.source, samples.table))
    usable = with_columns(table.filter(mask_of(held)), _predicted(run, predictors, inputs))
    if held.all() and not failures:
        return usable
    everything = _with_failures(usable, table, samples.keys, held, failures)
    unread = [failure.origin for failure in failures if not failure.space]
    if not unread:
        return everything
    items = config.data.items if isinstance(config.data, HeldSamples) else None
    order = input_order(samples.table.column("origin").to_pylist(), unread, items)
    return everything.take(column_of(order))


def _predicted(run: Run, predictors: Mapping[str, Predictor], inputs: Inputs) -> dict[str, pa.Array]:
    """The columns that each label has, from the features that all of them are read from."""
    found: dict[str, pa.Array] = {}
    rows = np.flatnonzero(inputs.held).tolist()
    for part in parts_of(run.labels):
        label = str(part["column"])
        predictor = predictors[label]
        task = open_task(predictor.task)
        columns = task.columns(predictor.outputs(inputs.X), predictor.classes, part["names"])
        columns = task.beside(columns, map(inputs.source.payload, rows))
        found |= {column_for(label, n): c for n, c in columns.items()} if run.has_several else columns
    return found


def _asks_for_labels(config: PredictConfig) -> bool:
    return any((config.label_column, config.tags_column, config.answers_column, config.target_column))


def read_inputs(
    run: Run, source: Source, config: PredictConfig | EvaluateConfig, progress: Progress
) -> Inputs:
    """Read inputs and their features, computed where no cache has them."""
    features = run.features
    if config.offline:
        forbid_network()
    cache = Cache(config.cache)
    parts = [{**features, **part} for part in features.get("parts", [{}])]
    parts = [parts[0], *({**part, "beside": []} for part in parts[1:])]  # which is of the samples, once
    read = [_read_part(part, source, cache, config, progress) for part in parts]
    samples = read[0].plan.samples
    spaces = [space for part in read for space in part.plan.spaces]
    held = np.logical_and.reduce([space.held(samples.keys) for space in spaces])
    failures = [*samples.failures, *(failure for part in read for failure in part.failures)]
    if not held.any():
        raise DataError(
            f"none of the {len(held):,} inputs could be used; {failures[0].id}: {failures[0].reason}"
        )
    any_head = next(iter(run.predictors.values()))  # of several labels all read the same
    X = _gather(spaces, samples.keys[held], any_head)
    if any_head.takes_passages:
        tokens, places = X
        X = Passages(tokens, places, contexts_of(source, samples.table, np.flatnonzero(held)))
    return Inputs(source, samples, held, X, failures)


def contexts_of(source: Source, table: pa.Table, rows: NDArray[np.int64]) -> list[str]:
    """The contexts in which the answers to some questions stand, by their rows."""
    if CONTEXT in table.column_names:
        known: list[str] = table.column(CONTEXT).take(column_of(rows)).to_pylist()
        return known
    if source.streams:
        raise DataError(
            f"{source.description} is read once, and answers are cut from contexts that are kept; name its columns "
            "with --question-column and --context-column, or keep it first"
        )
    return [str(source.payload(row)[1]) for row in rows.tolist()]


def inputs_of(source: Source, table: pa.Table) -> pa.Array:
    """What was predicted, for people to read: texts, lists of the parts of pairs; else files and rows of tables."""
    origins = table.column("origin").to_pylist()
    if source.modality == "image" or source.streams:  # of a stream nothing is kept
        return strings(origins)
    payloads = map(source.payload, range(table.num_rows))
    if source.modality == "words":
        return strings([words.text for words in payloads if isinstance(words, Words)])
    if source.modality == "text":
        return strings([str(text) for text in payloads])
    parts = [[part if isinstance(part, str) else origin for part in pair]
             for origin, pair in zip(origins, payloads, strict=True)]  # fmt: skip
    ends = np.cumsum([0, *map(len, parts)])
    flat = strings([part for each in parts for part in each])
    return pa.ListArray.from_arrays(column_of(ends.astype(np.int32)), flat)


def _read_part(
    features: Mapping[str, Json], source: Source, cache: Cache, config: ComputeConfig, progress: Progress
) -> FillResult:
    """All inputs, with one feature of each in the cache; what the run's own cache holds is read there."""
    progress.say(source.description)
    lender = cache_of_run(features, cache, config.offline)
    recipes = [Recipe(each["recipe"]) for each in (features, *features.get("beside", ()))]
    spaces = [space_of(recipe, cache, lender) for recipe in recipes]

    def plan_block(part: Payloads, samples: Samples) -> ExtractionPlan:
        return plan_for_spaces(part, samples, spaces, config.format, "as the head was fitted")

    def opened() -> OpenedBackbone:
        """The very backbone that the run names, for inputs that it takes."""
        found = reopen(features, cache, progress, config.offline)
        check_modality(source, found.info)
        return found

    if source.streams:
        filled = fill_stream(source, cache.keys, plan_block, opened, config, progress)
    else:
        plan = plan_block(source, register(source, cache.keys, progress))
        progress.say(plan.summary())
        nothing = FillResult(plan, 0, [], None)
        filled = fill(plan, opened(), config, progress) if len(plan.todo) else nothing
    found = long_of(filled.plan)
    if found is not None and found.is_worth_saying:
        progress.say(str(found))
    return filled


def _gather(spaces: Sequence[Space], keys: NDArray[np.uint8], predictor: Predictor) -> Any:
    """Features as the head was fitted on them: one, several side by side, sequences, or tokens and their places."""
    found = [space.gather(keys) for space in spaces]
    taps = [str(space.recipe.entries["tap"]) for space in spaces]
    if is_ragged(taps[0]):
        read = [Sequences(each.values, np.asarray(each.offsets)) for each in found]
        places = [each for tap, each in zip(taps, read, strict=True) if tap == PLACES]
        tokens = [each for tap, each in zip(taps, read, strict=True) if tap != PLACES]
        joined = tokens[0] if len(tokens) == 1 else side_by_side([held_sequences(each) for each in tokens])
        return (joined, *places) if predictor.takes_passages else joined
    dense = [features.values.astype(np.float32, copy=False) for features in found]
    if predictor.takes_sequences:
        return np.stack(dense, axis=1)
    return np.concatenate(dense, axis=1) if len(dense) > 1 else dense[0]


def open_inputs(
    run: Run, config: PredictConfig | EvaluateConfig, remembered: Collection[str], labels: bool
) -> Source:
    """The data, read as that of the run was where it is like it, unless the user says otherwise.

    ``remembered`` are the options that count for other data too.
    """
    said = run.features["columns"]
    earlier = ColumnConfig(**{name: value for name, value in said.items() if name in remembered})
    location = run.part("provenance").get("source", {}).get("location")
    options = config.source_options(labels).remembering(earlier.source_options(labels), format_of(location))
    if run.has_several:  # each as what it was fitted on, though the other data may look like something else
        kinds = {str(part["column"]): str(part["kind"]) for part in parts_of(run.labels)}
        options = replace(options, known_kinds=kinds)
    return open_source(config.data, options, run.features["modality"], config.given())


def _identify(table: pa.Table, run: Run) -> pa.Table:
    """The id, and each label where the data has it."""
    chosen = table.select(["id"])
    for label in run.label_names:
        name = LABEL + label
        if name in table.column_names:
            chosen = chosen.append_column(name if run.has_several else "label", table.column(name))
    return chosen


def _with_failures(
    usable: pa.Table,
    table: pa.Table,
    keys: NDArray[np.uint8],
    held: NDArray[np.bool_],
    failures: Sequence[Failure],
) -> pa.Table:
    """A row for every input, and what went wrong beside the bad ones; behind all others the unreadable."""
    positions = pc.if_else(mask_of(held), column_of(np.cumsum(held) - 1), pa.nulls(1, pa.int64())[0])
    for name in usable.column_names[table.num_columns :]:
        table = table.append_column(name, usable.column(name).take(positions))
    reasons = {failure.key: failure.reason for failure in failures}
    codes = np.full(len(held), -1)
    texts = list(reasons.values())
    numbers = {key: number for number, key in enumerate(reasons)}
    for row in np.flatnonzero(~held):
        codes[row] = numbers.get(keys[row].tobytes().hex(), -1)
    table = table.append_column(ERROR, names_by_code(codes, texts))
    unread = [failure for failure in failures if not failure.space]
    extra = {"id": strings([f.id for f in unread]), ERROR: strings([f.reason for f in unread])}
    if INPUT in table.column_names and pa.types.is_string(table.schema.field(INPUT).type):
        extra[INPUT] = strings([f.origin for f in unread])
    return pa.concat_tables([table, pa.table(extra)], promote_options="default")
