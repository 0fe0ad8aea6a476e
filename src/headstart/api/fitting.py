"""A head on the features of a set."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Union

from headstart.api import shared
from headstart.errors import ConfigError
from headstart.options import Option, Range, Seed, StrPath, public

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.registry.run import Run

LABELS = "Several labels"
NAMES = "Names of classes"


def read_params(given: Sequence[str], said: str) -> dict[str, str]:
    """Parameters of a head, each as NAME=VALUE."""
    params: dict[str, str] = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ConfigError(f"{said} takes NAME=VALUE, e.g. {said} C=0.1 (got {entry!r})")
        if name.strip() in params:
            raise ConfigError(f"{said} {name.strip()} is given twice; --sweep tries several values")
        params[name.strip()] = value.strip()
    return params


def read_weights(given: str, said: str) -> dict[str, float]:
    """Numbers by the names of labels, which may have commas and equals signs in them.

    Examples
    --------
    >>> read_weights("mood=1,size, in cm=0.5", "--loss-weights")
    {'mood': 1.0, 'size, in cm': 0.5}
    """
    weights: dict[str, float] = {}
    before = ""
    for token in given.split(","):
        name, equals, value = token.rpartition("=")
        if not equals:
            before += f"{token},"
            continue
        label, before = f"{before}{name}".strip(), ""
        try:
            weights[label] = float(value)
        except ValueError:
            raise ConfigError(f"{said} takes NAME=WEIGHT with commas between (got {given!r})") from None
    if before or not weights or "" in weights:
        raise ConfigError(f"{said} takes NAME=WEIGHT with commas between (got {given!r})")
    return weights


@public
def fit_head(
    features: Annotated[
        Union["FeatureSet", str], Option("The name of a set.", metavar="SET", is_argument=True)
    ],
    head: Annotated[
        str,
        Option(
            "logistic, ridge, knn, centroid, zero-shot, svm, propagate, linear, mlp, residual, attention or "
            "py:module:factory."
        ),
    ] = "logistic",
    *,
    tap: Annotated[
        str | Sequence[str] | None,
        Option("Which feature of the set; several are put side by side.", repeats=True),
    ] = None,
    backbone: Annotated[
        str | Sequence[str] | None, Option("Which backbone's; several are put side by side.", repeats=True)
    ] = None,
    label: Annotated[
        str | Sequence[str] | None,
        Option(
            "Which label column; several by comma, or all: a head for each of them.",
            metavar="NAMES",
            repeats=True,
        ),
    ] = None,
    corrections: shared.Corrections = None,
    shared_trunk: Annotated[
        bool | None,
        Option(
            "Of several labels: one network with an output for each. Default: separate heads.",
            LABELS,
            flags="--shared-trunk/--separate-heads",
        ),
    ] = None,
    loss_weights: Annotated[
        Mapping[str, float] | None,
        Option(
            "What the loss of a label counts in a shared trunk, e.g. mood=1,stars=0.5. Default: 1.",
            LABELS,
            "NAME=WEIGHT",
            reads=read_weights,
        ),
    ] = None,
    views: Annotated[
        bool, Option("Train on the set's views, too, with a head that trains by epochs.")
    ] = True,
    prepare: Annotated[
        str | Sequence[str] | None,
        Option("l2, standardise, pca=K and whiten=K, with commas between.", metavar="STEPS"),
    ] = None,
    neighbours: shared.Neighbours = "exact",
    params: Annotated[
        Mapping[str, Any] | None,
        Option(
            "A parameter of the head, e.g. C=0.1; repeatable.",
            metavar="NAME=VALUE",
            flags="--param",
            repeats=True,
            reads=read_params,
        ),
    ] = None,
    sweep: Annotated[
        Mapping[str, Any] | None,
        Option(
            "lr=1e-4..1e-1:7,weight_decay=0,1e-2: all combinations; head=ridge,mlp, tap=… and backbone=… too.",
            shared.SEARCH,
            "GRID",
            reads=shared.read_grid,
        ),
    ] = None,
    search: Annotated[str, Option("grid or optuna.", shared.SEARCH)] = "grid",
    trials: Annotated[Annotated[int, Range(ge=1, le=10_000)], Option("Of optuna.", shared.SEARCH)] = 50,
    engine: shared.TrialEngine = "local",
    ray_address: shared.TrialAddress = None,
    workers: shared.TrialWorkers = None,
    gpus_per_worker: shared.TrialGpus = None,
    seeds: Annotated[
        Annotated[int, Range(ge=1, le=1000)],
        Option("So many from --seed on; so many draws of a size.", shared.SEARCH),
    ] = 1,
    folds: Annotated[
        Annotated[int, Range(ge=2)] | None,
        Option("Choose by cross-validation on train and validation.", shared.SEARCH),
    ] = None,
    refit: Annotated[bool, Option("In the end fit on train and validation together.", shared.SEARCH)] = False,
    shots: shared.Shots = None,
    curve: shared.Curve = None,
    class_names: Annotated[
        StrPath | Sequence[str] | None,
        Option(
            "Names of the classes, a line each, or a table of name, description, label. Default: the labels.",
            NAMES,
            "FILE",
            reads=shared.check_path,
        ),
    ] = None,
    templates: Annotated[
        str | Sequence[str] | None,
        Option(
            "What names are put into: name, text, photo, simple, imagenet, a sentence with {} or a file of them; "
            "repeatable. Default: simple for images, text for texts.",
            NAMES,
            "TEXT",
            repeats=True,
        ),
    ] = None,
    init: Annotated[str, Option("Where a linear head starts: none (zeros) or zero-shot.", NAMES)] = "none",
    offline: Annotated[bool, Option("Open no network socket.", NAMES)] = False,
    calibrate: shared.Calibrate = True,
    teacher: shared.Teacher = None,
    distill_temperature: shared.DistillTemperature = 2.0,
    distill_alpha: shared.DistillAlpha = 0.5,
    teacher_folds: shared.TeacherFolds = None,
    mapped: Annotated[
        bool | None,
        Option("Where features are read; chosen by their size if not given.", flags="--mapped/--in-memory"),
    ] = None,
    track: Annotated[
        str | Sequence[str] | None,
        Option("tensorboard, wandb or mlflow; repeatable.", shared.WATCH, repeats=True),
    ] = None,
    callback: Annotated[
        str | Sequence[str] | None,
        Option("Your own, told after each epoch.", shared.WATCH, "py:…", repeats=True),
    ] = None,
    plots: shared.Plots = "png",
    seed: Annotated[Seed, Option("Of the head.")] = 0,
    out: Annotated[
        StrPath | None,
        Option(
            "Default: runs/<set>-<head> (-sweep if it compares heads), and what differs where another run lies there.",
            metavar="RUN",
        ),
    ] = None,
    overwrite: shared.Overwrite = False,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
    digest: str | None = None,
) -> "Run":
    """Fit a head on cached features, in seconds. The backbone is never loaded.

    One exception: names of classes, of ``head="zero-shot"`` and ``init="zero-shot"``, are texts that go through the
    cache, and the backbone is loaded for those that it lacks.

    Parameters
    ----------
    features : FeatureSet or str
        A set, or its name.
    class_names : path or sequence of str, optional
        A file, or the names themselves in the order of the labels.
    label : str or sequence of str, optional
        Several: one run with a head for each, ``run.of(label)``, each fitted on the samples that have its label.
    corrections : path, pyarrow.Table, DataFrame or a sequence of them, optional
        Corrects the set as `FeatureSet.correct` does, and fits a head before and after: ``run.report["corrections"]``.
        The run is that of the corrected set.
    out : path, optional
        Save the run there; None: keep it in memory until ``run.save``.
    shots, curve : sequence, optional
        Fit on draws of so many samples of each class, or of all: ``curve=["1%", "10%", 500]``. Each size is drawn with
        ``seeds`` seeds; ``run.report["shots"]`` has means with intervals over draws and test samples.
    teacher : Run or path, optional
        A run, or a table of what a model says of the samples by their ids. Heads that train by epochs take one.
    params, sweep : mapping, optional
        Such as ``params={"C": 0.1}`` and ``sweep={"lr": [1e-3, 1e-2]}``.
    quiet : bool
        Say nothing on stderr.
    digest : str, optional
        The state of the set that is meant; None if it is the one in force.
    """
    given = locals()
    from pathlib import Path

    from headstart.config import FitConfig
    from headstart.fitting.stage import fit_head
    from headstart.progress import open_progress
    from headstart.registry.run import check_free

    where: dict[str, Any] = {"set": features}
    if not isinstance(features, str):
        where = shared.place_of(features, cache)
    where["teacher"] = shared.teacher_of(teacher)
    config = FitConfig.of(given, **where)
    if out is not None:
        check_free(Path(out), overwrite)
    run = fit_head(config, open_progress(quiet), runs=None if out is None else Path(out).parent)
    if out is not None:
        run.save(out, overwrite)
    return run
