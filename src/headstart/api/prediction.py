"""What a run makes of raw inputs, and the model that it leaves for others."""

import os
from typing import TYPE_CHECKING, Annotated, Any, Union

from headstart.api import shared
from headstart.options import Option, Seed, StrPath, public

if TYPE_CHECKING:
    from headstart.prediction_table import PredictionTable
    from headstart.registry.evaluations import RunEvaluation
    from headstart.registry.known_runs import Registry
    from headstart.registry.run import Run
    from headstart.tuning.whole_model import WholeModel
    from headstart.types import Exported


OneOfLabels = Annotated[
    str | None, Option("Of a run with several labels the one that is meant.", metavar="NAME")
]


@public
def predict(
    run: shared.RunArgument,
    data: shared.Data,
    *,
    layout: str | None = None,
    cache: shared.CacheDir = None,
    quiet: bool = True,
    text_column: shared.TextColumn = None,
    text_pair_column: shared.TextPairColumn = None,
    image_column: shared.ImageColumn = None,
    words_column: shared.WordsColumn = None,
    tags_column: shared.TagsColumn = None,
    input_column: shared.InputColumn = None,
    target_column: shared.TargetColumn = None,
    question_column: shared.QuestionColumn = None,
    context_column: shared.ContextColumn = None,
    answers_column: shared.AnswersColumn = None,
    label_column: shared.LabelColumn = None,
    label_kind: shared.LabelKind = "auto",
    label_separator: shared.LabelSeparator = None,
    class_from: shared.ClassFrom = "auto",
    label_names: shared.LabelNames = None,
    id_column: shared.IdColumn = None,
    split_column: shared.SplitColumn = None,
    split_map: shared.SplitMap = None,
    group_column: shared.GroupColumn = None,
    encoding: shared.Encoding = "utf-8",
    header: shared.Header = None,
    columns: shared.Columns = None,
    delimiter: shared.Delimiter = None,
    quoting: shared.Quoting = "auto",
    streaming: shared.Streaming = None,
    format: shared.Format = "hdf5",
    device: shared.Device = "auto",
    runtime: shared.Runtime = "auto",
    batch_size: shared.BatchSize = None,
    workers: shared.Workers = None,
    offline: shared.Offline = False,
    num_beams: shared.NumBeamsOfRun = None,
    max_new_tokens: shared.MaxNewTokens = None,
    with_inputs: Annotated[bool, Option("Add a column with each text, or the file of each image.")] = False,
    trust: shared.Trust = None,
) -> "PredictionTable":
    """Predict raw inputs: labels by name and probabilities, through the cache.

    Parameters
    ----------
    run : Run or path
    data : path, or what a program holds, as `extract` takes it, or one text, image path or image
        A string that is there as a path is data; one that looks like a path (a known ending or a separator, no
        blanks) and is not there is refused; any other is a text, where the run is on texts.
    layout : str, optional
        The order of the axes of arrays, where it is not clear.
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    PredictionTable
        ``labels``, ``probabilities`` (N, C), ``to_pandas()``; else what an Arrow table of ``id``, ``prediction`` and
        ``p:<class>``… is, a row for each input in order.
    """
    given = locals()
    from headstart.config import PredictConfig
    from headstart.data.objects import as_inputs
    from headstart.prediction.stage import predict
    from headstart.prediction_table import PredictionTable, texts_in
    from headstart.progress import open_progress

    found = opened(run)
    earlier = found.features["columns"].get("encoding", encoding)
    encodings = (encoding, earlier) if encoding == "utf-8" else (encoding,)
    inputs = as_inputs(data, found.features["modality"], layout, encodings)
    table = predict(found, PredictConfig.of(given, data=inputs), open_progress(quiet))
    return PredictionTable(table, texts_in(inputs), found.labels)


@public
def evaluate(
    run: shared.RunArgument,
    data: Annotated[
        Any,
        Option(
            "Labelled data as extract takes it, or the name of a set.",
            metavar="DATA|SET",
            is_argument=True,
            reads=shared.check_data,
        ),
    ],
    *,
    labels: Any = None,
    splits: Any = None,
    ids: Any = None,
    groups: Any = None,
    layout: str | None = None,
    name: Annotated[
        str | None, Option("What it is called in the run's folder. Default: after the data.", metavar="NAME")
    ] = None,
    out: Annotated[
        StrPath | None, Option("The folder to write. Default: RUN/evaluations/NAME.", metavar="DIR")
    ] = None,
    overwrite: shared.Overwrite = False,
    split: Annotated[
        str | None,
        Option(
            "The samples of this split, or all. Default: test where the data has one, else all.",
            metavar="NAME",
        ),
    ] = None,
    plots: shared.Plots = "png",
    seed: Annotated[Seed, Option("Of the bootstrap.")] = 0,
    cache: shared.CacheDir = None,
    quiet: bool = True,
    text_column: shared.TextColumn = None,
    text_pair_column: shared.TextPairColumn = None,
    image_column: shared.ImageColumn = None,
    words_column: shared.WordsColumn = None,
    tags_column: shared.TagsColumn = None,
    input_column: shared.InputColumn = None,
    target_column: shared.TargetColumn = None,
    question_column: shared.QuestionColumn = None,
    context_column: shared.ContextColumn = None,
    answers_column: shared.AnswersColumn = None,
    label_column: shared.LabelColumn = None,
    label_kind: shared.LabelKind = "auto",
    label_separator: shared.LabelSeparator = None,
    class_from: shared.ClassFrom = "auto",
    label_names: shared.LabelNames = None,
    id_column: shared.IdColumn = None,
    split_column: shared.SplitColumn = None,
    split_map: shared.SplitMap = None,
    group_column: shared.GroupColumn = None,
    encoding: shared.Encoding = "utf-8",
    header: shared.Header = None,
    columns: shared.Columns = None,
    delimiter: shared.Delimiter = None,
    quoting: shared.Quoting = "auto",
    streaming: shared.Streaming = None,
    format: shared.Format = "hdf5",
    device: shared.Device = "auto",
    runtime: shared.Runtime = "auto",
    batch_size: shared.BatchSize = None,
    workers: shared.Workers = None,
    offline: shared.Offline = False,
    num_beams: shared.NumBeamsOfRun = None,
    max_new_tokens: shared.MaxNewTokens = None,
    trust: shared.Trust = None,
) -> "RunEvaluation":
    """Judge a run on labelled data that it has not seen: all figures with intervals, through the cache.

    Labels are read as those of the run were, unless an option says otherwise. What is found goes into the run's folder,
    whose ``report.json`` stays as it is, and ``compare`` takes it by its name: ``--on NAME``.

    Parameters
    ----------
    run : Run or path
    data : path, FeatureSet, the name of a set, or what a program holds, as `extract` takes it
        Of a set the samples of its test split, unless ``split`` says otherwise.
    labels, splits, ids, groups : sequence, optional
        One value a sample, beside samples in memory; several label columns as a mapping.
    layout : str, optional
        The order of the axes of arrays, where it is not clear.
    out : path, optional
        The folder to write; None: ``evaluations/<name>`` of a run that is saved; of one in memory nothing is written.
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    RunEvaluation
        ``metrics``, ``predictions`` and the ``report``, as ``evaluation.json`` has it.

    Raises
    ------
    MismatchError
        The labels are not those that the run predicts.
    """
    given = locals()
    from headstart.config import EvaluateConfig
    from headstart.evaluation.stage import evaluate, place_of
    from headstart.progress import open_progress
    from headstart.registry.evaluations import check_target

    found, config = opened(run), EvaluateConfig.of(given)
    target = place_of(found, config, out)
    if target is not None:
        check_target(target, overwrite)
    done = evaluate(found, config, open_progress(quiet))
    return done if target is None else done.save(target, overwrite, plots)


@public
def export(
    run: shared.RunArgument,
    out: Annotated[StrPath, Option("The folder to write.", metavar="DIR")],
    *,
    to: Annotated[str, Option("hf (transformers), onnx, or timm.", metavar="FORMAT")] = "hf",
    label: OneOfLabels = None,
    overwrite: shared.Overwrite = False,
    offline: Annotated[bool, Option("Open no socket.")] = False,
    trust: shared.Trust = None,
    quiet: bool = True,
) -> "Exported":
    """Write backbone and head of a run as one model that others load without headstart.

    Parameters
    ----------
    run : Run or path
    out : path
        A folder, written whole or not at all.
    to : {"hf", "onnx", "timm"}
        For transformers' ``AutoModelFor…Classification`` and pipelines; one ONNX file; for
        ``timm.create_model("local-dir:…")``.
    label : str, optional
        Of a run with several labels the one whose head is exported.

    Raises
    ------
    HeadstartError
        See `headstart.exporting.stage.export`.
    """
    from pathlib import Path

    from headstart.exporting.stage import export
    from headstart.network import forbid_network
    from headstart.progress import open_progress

    if offline:
        forbid_network()
    return export(one_label(run, label), to, Path(out), open_progress(quiet), overwrite, offline)


@public
def load_module(
    run: Union["Run", StrPath],
    *,
    label: str | None = None,
    trainable: bool = False,
    device: str = "cpu",
    offline: bool = False,
    trust: shared.Trust = None,
) -> "WholeModel":
    """Backbone and head of a run as one torch module, from model inputs to logits.

    ``module.inputs(["a text"])`` makes the batch that it takes; ``print(module.table())`` shows how many
    parameters are trainable and how many frozen.

    Parameters
    ----------
    run : Run or path
    label : str, optional
        Of a run with several labels the one whose head it is.
    trainable : bool
        Whether the weights have gradients; without, nothing of it ever changes.
    device : str
    offline : bool
        Open no socket.

    Raises
    ------
    ConfigError
        They cannot be one network: the head is none, or reads several features, or all positions.
    MismatchError
        The backbone is not the one that the head was fitted on.
    """
    from headstart.devices import pick_device
    from headstart.network import forbid_network
    from headstart.progress import open_progress
    from headstart.tuning.whole_model import whole_model

    if offline:
        forbid_network()
    found, progress, where = one_label(run, label), open_progress(True), str(pick_device(device))
    return whole_model(found.predictor, found.features, progress, trainable, where, offline)


@public
def load_run(path: StrPath, trust: shared.Trust = None) -> "Run":
    """Open a run directory."""
    from headstart.registry.run import Run

    return Run.load(path)


def runs(
    root: StrPath = "runs",
    *,
    metric: str | None = None,
    split: str | None = None,
    set: str | None = None,
    sort: str = "metric",
) -> "Registry":
    """The runs in a folder and in the folders within, the best first; they show themselves as a table.

    Parameters
    ----------
    root : path
    metric : str, optional
        Such as ``test.accuracy``; None: accuracy on validation, or R² where only that is there.
    split : str, optional
        Of a metric that names none.
    set : str, optional
        Those of this set alone.
    sort : {"metric", "created", "seconds", "run"}

    Raises
    ------
    DataError
        There is no such folder, or no run of that set.
    """
    from dataclasses import replace

    from headstart.registry.known_runs import list_runs, sort_runs

    found, wanted, asked = list_runs(root, metric, split, set)
    return replace(found, runs=tuple(sort_runs(wanted, asked, sort)), metric=asked)


def one_label(run: Union["Run", StrPath], label: str | None) -> "Run":
    """A run, or what it is for one of its labels."""
    found = opened(run)
    return found if label is None else found.of(label)


def opened(run: Union["Run", StrPath]) -> "Run":
    """A run, or the one that lies there."""
    return load_run(run) if isinstance(run, str | os.PathLike) else run
