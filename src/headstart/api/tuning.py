"""A whole network on the samples of a set."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from headstart.api import shared
from headstart.options import Option, Positive, Range, Rate, Seed, Share, StrPath, public

if TYPE_CHECKING:
    from headstart.registry.run import Run

STRATEGY, TRAINING = "What trains", "Training"
Epochs = Annotated[int, Range(ge=1, le=100_000)]


@public
def fine_tune(
    data: Annotated[
        Any,
        Option(
            "Data as extract takes it, or the name of a set.",
            metavar="DATA|SET",
            is_argument=True,
            reads=shared.check_data,
        ),
    ],
    backbone: Annotated[str | None, Option("Of a set with one it need not be said.", metavar="SPEC")] = None,
    *,
    labels: Any = None,
    splits: Any = None,
    ids: Any = None,
    groups: Any = None,
    layout: str | None = None,
    set: Annotated[str | None, Option("Of the set that DATA makes.", metavar="NAME")] = None,
    replace: shared.Replace = False,
    label: shared.Label = None,
    split_seed: shared.SplitSeed = 0,
    calibrate: shared.Calibrate = True,
    teacher: shared.Teacher = None,
    distill_temperature: shared.DistillTemperature = 2.0,
    distill_alpha: shared.DistillAlpha = 0.5,
    teacher_folds: shared.TeacherFolds = None,
    teacher_features: Annotated[
        str | None,
        Option(
            "Train the student's features to be like these of a set of the same samples, through a linear map.",
            shared.TEACHER,
            "SET[:TAP]",
        ),
    ] = None,
    feature_weight: Annotated[
        Annotated[float, Range(ge=0)], Option("What that counts beside the head's loss.", shared.TEACHER)
    ] = 1.0,
    device: Annotated[str, Option("auto, cpu, cuda, cuda:1 …")] = "auto",
    workers: Annotated[
        Annotated[int, Range(ge=1, le=256)] | None,
        Option("Processes that read ahead; with --engine ray trials at once (default: one a node or GPU)."),
    ] = None,
    offline: shared.OfflineAlone = False,
    plots: shared.Plots = "png",
    seed: Annotated[Seed, Option("Of the training.")] = 0,
    out: Annotated[
        StrPath | None,
        Option(
            "Default: runs/<set>-<strategy>, and what differs where another run lies there.",
            metavar="RUN",
        ),
    ] = None,
    resume: Annotated[bool, Option("Go on with an interrupted training.")] = False,
    overwrite: shared.Overwrite = False,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
    digest: str | None = None,
    strategy: Annotated[
        str,
        Option(
            "full, frozen, last:K, gradual, lora, scratch or contrastive (few labels, by pairs); of texts to write "
            "also cross-attention and decoder.",
            STRATEGY,
        ),
    ] = "full",
    unfreeze: Annotated[
        str | int | Sequence[str | int] | None,
        Option("Of gradual: the last blocks, phase by phase.", STRATEGY, "0,2,4,all"),
    ] = None,
    init_head: Annotated[
        StrPath | None, Option("Begin with a linear head of the cache.", STRATEGY, "RUN")
    ] = None,
    pair_loss: Annotated[str, Option("Of contrastive: supcon, or cosine as in SetFit.", STRATEGY)] = "supcon",
    lora_rank: Annotated[Positive, Option("Width of the adapters.", STRATEGY)] = 8,
    lora_alpha: Annotated[
        Annotated[float, Range(gt=0)], Option("Adapters weigh alpha / rank.", STRATEGY)
    ] = 16.0,
    lora_dropout: Annotated[Share, Option("Of what enters an adapter.", STRATEGY)] = 0.0,
    cut_cache: Annotated[
        bool, Option("Compute once what lies below the blocks that train.", STRATEGY)
    ] = True,
    tap: Annotated[str | None, Option("What the head reads, as extract --taps.", STRATEGY)] = None,
    epochs: Annotated[
        Epochs | Sequence[Epochs] | None, Option("At most, of all phases or each.", TRAINING, "N[,N…]")
    ] = None,
    lr: Annotated[
        Rate | Sequence[Rate] | None, Option("Peak rate of the backbone.", TRAINING, "R[,R…]")
    ] = None,
    head_lr: Annotated[
        Rate | Sequence[Rate] | None, Option("Peak rate of the head.", TRAINING, "R[,R…]")
    ] = None,
    layer_decay: Annotated[
        Annotated[float, Range(gt=0, le=1)], Option("Of the rate, from layer to layer downwards.", TRAINING)
    ] = 1.0,
    weight_decay: Annotated[Annotated[float, Range(ge=0)] | None, Option("Of matrices.", TRAINING)] = None,
    schedule: Annotated[str | None, Option("constant, linear, cosine, step or one-cycle.", TRAINING)] = None,
    warmup_share: Annotated[Share | None, Option("Of the steps.", TRAINING)] = None,
    patience: Annotated[
        Positive | None,
        Option("Epochs without a better one that end it; else all run (frozen: 10).", TRAINING),
    ] = None,
    batch_size: Annotated[Positive | None, Option("Samples a step.", TRAINING)] = None,
    part_size: Annotated[
        Positive | None, Option("Samples at once; a step accumulates parts.", TRAINING)
    ] = None,
    clip_norm: Annotated[Annotated[float, Range(gt=0)], Option("Of the gradient, at most.", TRAINING)] = 1.0,
    label_smoothing: Annotated[Share, Option("Spread over all classes.", TRAINING)] = 0.0,
    class_weight: Annotated[str, Option("none or balanced.", TRAINING)] = "none",
    dropout: Annotated[Share, Option("Of what enters the head.", TRAINING)] = 0.0,
    augment: Annotated[
        str | None, Option("default, randaugment or py:…: anew in each epoch.", TRAINING)
    ] = None,
    precision: Annotated[str, Option("auto, fp32, bf16 or fp16.", TRAINING)] = "auto",
    gradient_checkpointing: Annotated[bool, Option("Less memory for a third more time.", TRAINING)] = False,
    num_beams: shared.NumBeams = 1,
    max_new_tokens: shared.MaxNewTokens = None,
    sweep: Annotated[
        Mapping[str, Any] | None,
        Option(
            "lr=1e-5..1e-3:3,strategy=last:2,full: all combinations, chosen on validation.",
            shared.SEARCH,
            "GRID",
            reads=shared.read_grid,
        ),
    ] = None,
    search: Annotated[str, Option("grid, or optuna, which gives up on the worse.", shared.SEARCH)] = "grid",
    trials: Annotated[Annotated[int, Range(ge=1, le=10_000)], Option("Of optuna.", shared.SEARCH)] = 20,
    engine: shared.TrialEngine = "local",
    ray_address: shared.TrialAddress = None,
    gpus_per_worker: shared.TrialGpus = None,
    shots: shared.Shots = None,
    curve: shared.Curve = None,
    seeds: Annotated[
        Annotated[int, Range(ge=1, le=1000)],
        Option(
            "So many draws of a size, those of fit-head; each is a training of its own.", shared.PROTOCOLS
        ),
    ] = 1,
    track: Annotated[
        str | Sequence[str] | None,
        Option("tensorboard, wandb or mlflow; repeatable.", shared.WATCH, repeats=True),
    ] = None,
    callback: Annotated[
        str | Sequence[str] | None,
        Option("Your own, told after each epoch.", shared.WATCH, "py:…", repeats=True),
    ] = None,
    max_length: shared.MaxLength = None,
    on_long: shared.OnLong = "truncate",
    image_size: shared.ImageSize = None,
    crop_pct: shared.CropPct = None,
    prompt: shared.Prompt = None,
    weights: shared.Weights = None,
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
) -> "Run":
    """Train the whole network, or as much of it as you say, on the very samples that heads are fitted on.

    Parameters
    ----------
    data : FeatureSet, or str, or whatever `extract` takes
        A set, its name, or data. Of a set whose data was in memory, give that data again.
    labels, splits, ids, groups : sequence, optional
        One value a sample, beside samples in memory; several label columns as a mapping.
    layout : str, optional
        The order of the axes of arrays, where it is not clear.
    backbone : str, optional
        As `extract` takes it. Of a set with one backbone it need not be said.
    out : path, optional
        Save the run there; checkpoints lie beside it while it trains. None: in a temporary folder that goes with
        the run that is returned, until ``run.save``.
    epochs, lr, head_lr
        A number, or one for each phase.
    shots, curve : sequence, optional
        Train on each draw that `fit_head` makes of these sizes, and on nothing else; the run keeps the network of the
        largest.
    quiet : bool
        Say nothing on stderr.
    digest : str, optional
        The state of the set that is meant; None if it is the one in force.
    """
    given = locals()
    import os
    import shutil
    import tempfile
    import weakref
    from contextlib import ExitStack
    from pathlib import Path

    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.data.objects import hold
    from headstart.progress import open_progress
    from headstart.registry.run import BACKBONE_DIR, Run, place_backbone
    from headstart.tuning.stage import fine_tune
    from headstart.tuning.state import prepare_state

    where: dict[str, Any] = {}
    if not isinstance(data, str | os.PathLike | FeatureSet):
        where = {"data": hold(data, layout)}  # which is read more than once
    if isinstance(data, FeatureSet):
        where = {"data": data.name, "set": data.name, "digest": data.digest, "cache": str(data.cache)}
    config = TuneConfig.of(given, **where, teacher=shared.teacher_of(teacher))
    target = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="headstart-"), "run")
    with ExitStack() as unsaved:
        if out is None:
            unsaved.callback(shutil.rmtree, target.parent, ignore_errors=True)
        state = prepare_state(config, target, resume, overwrite)
        run = fine_tune(config, open_progress(quiet), state)
        unsaved.pop_all()
    if out is None:
        run.features = place_backbone(run.features, state / BACKBONE_DIR)
        weakref.finalize(run, shutil.rmtree, target.parent, ignore_errors=True)
        return run
    run.save(target, overwrite)
    shutil.rmtree(state, ignore_errors=True)
    return Run.load(target)
