"""The Python face of the commands: keyword arguments are their options, names and defaults the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.config import ExtractConfig, FitConfig
from headstart.progress import open_progress

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.cache.sets import FeatureSet
    from headstart.comparison.comparison import Comparison
    from headstart.pipelines.run import PipelineOutcome
    from headstart.registry.run import Run
    from headstart.tuning.whole_model import WholeModel
    from headstart.types import Exported


def extract(data: Any, backbone: str | Sequence[str], *, quiet: bool = False, **options: Any) -> FeatureSet:
    """Run a frozen backbone once over a data set, and keep its features in the cache.

    Parameters
    ----------
    data : path, or a sequence of texts, pairs of texts, image paths or image bytes
    backbone : str, or a sequence of str
        ``timm:NAME``, ``hf:NAME-OR-FOLDER``, ``bundled:NAME`` or ``py:package.module:factory``. Several
        read the same data one after the other, and their features are in one set.
    quiet : bool
        Say nothing on stderr.
    **options
        The options of ``headstart extract`` with underscores: ``set``, ``taps``, ``cache``,
        ``format``, ``precision``, ``dtype``, ``max_length``, ``device``, ``strict``,
        ``text_column``, ``label_column``, ….

    Raises
    ------
    HeadstartError
        See `headstart.errors`. With ``strict``, `SkippedError` if a sample was skipped.
    """
    from headstart.extraction.stage import check_strict, extract

    first, *more = [backbone] if isinstance(backbone, str) else backbone
    config = ExtractConfig(data=data, backbone=first, more_backbones=more, **_as_lists(options))
    done = extract(config, open_progress(quiet))
    check_strict(config, done)
    return done.features


def open_set(name: str, cache: str | os.PathLike[str] | None = None) -> FeatureSet:
    """Open a set of a cache by its name.

    Raises
    ------
    DataError
        There is none of that name; the message names those that there are.
    """
    from headstart.cache.store import Cache

    return Cache(cache).open_set(name)


def fit_head(
    features: FeatureSet | str,
    head: str = "logistic",
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    quiet: bool = True,
    **options: Any,
) -> Run:
    """Fit a head on the features of a set; the backbone is never loaded.

    Parameters
    ----------
    features : FeatureSet or str
        A set, or its name.
    head : str
        ``logistic``, ``ridge``, ``knn``, ``centroid``, ``svm``, ``linear``, ``mlp``, ``residual``,
        ``attention`` or ``py:package.module:factory``.
    out : path, optional
        Save the run there; None: keep it in memory until ``run.save``.
    **options
        The options of ``headstart fit-head``: ``tap``, ``label``, ``seed``, ``params={"C": 0.1}``,
        ``sweep={"lr": [1e-3, 1e-2]}``, ``seeds``, ``folds``, ``prepare``, ``cache``, ``backbone``, ….
    """
    from headstart.fitting.stage import fit_head

    where: Mapping[str, Any] = {"set": features}
    if not isinstance(features, str):
        where = {"set": features.name, "digest": features.digest, "cache": str(features.cache)}
    run = fit_head(FitConfig(**{**where, "head": head, **options}), open_progress(quiet))
    if out is not None:
        run.save(out, overwrite)
    return run


def fine_tune(
    data: Any,
    backbone: str | None = None,
    *,
    strategy: str = "full",
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    quiet: bool = True,
    **options: Any,
) -> Run:
    """Train a whole network, or as much of it as the strategy says, on the samples that heads are fitted on.

    Parameters
    ----------
    data : FeatureSet, or str, or whatever `extract` takes
        A set, its name, or data.
    backbone : str, optional
        As `extract` takes it. Of a set with one backbone it need not be said.
    strategy : {"full", "frozen", "last:K", "gradual", "lora", "scratch"}
    out : path, optional
        Save the run there; checkpoints lie beside it while it trains. None: in a temporary folder that goes with
        the run that is returned, until ``run.save``.
    resume : bool
        Go on with a training that was interrupted.
    **options
        The options of ``headstart fine-tune``: ``epochs``, ``lr``, ``head_lr``, ``unfreeze``, ``init_head``, ``tap``,
        ``label``, ``seed``, ``cache``, …; ``epochs`` and the rates are a number, or a list of one for each phase.
    """
    import shutil
    import tempfile
    import weakref
    from pathlib import Path

    from headstart.cache.sets import FeatureSet
    from headstart.config import TuneConfig
    from headstart.registry.run import BACKBONE_DIR, Run, place_backbone
    from headstart.tuning.stage import fine_tune, prepare_state

    where: dict[str, Any] = {"data": data, "backbone": backbone}
    if isinstance(data, FeatureSet):
        where |= {"data": data.name, "set": data.name, "digest": data.digest, "cache": str(data.cache)}
    several = ("epochs", "lr", "head_lr")
    listed = {n: [v] if n in several and isinstance(v, int | float) else v for n, v in options.items()}
    config = TuneConfig(**{**where, "strategy": strategy, **_as_lists(listed)})
    target = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="headstart-"), "run")
    state = prepare_state(config, target, resume, overwrite)
    run = fine_tune(config, open_progress(quiet), state)
    if out is None:
        run.features = place_backbone(run.features, state / BACKBONE_DIR)
        weakref.finalize(run, shutil.rmtree, target.parent, ignore_errors=True)
        return run
    run.save(target, overwrite)
    shutil.rmtree(state, ignore_errors=True)
    return Run.load(target)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Open a run directory."""
    from headstart.registry.run import Run

    return Run.load(path)


def predict(run: Run | str | os.PathLike[str], data: Any, *, quiet: bool = True, **options: Any) -> pa.Table:
    """Predict raw inputs with a run: a list of texts or of image paths, or anything `extract` takes.

    Returns
    -------
    pyarrow.Table
        ``id``, ``prediction`` and ``p:<class>``…, a row for each input in order.
    """
    from headstart.config import PredictConfig
    from headstart.prediction.stage import predict

    return predict(_opened(run), PredictConfig(data=data, **options), open_progress(quiet))


def load_module(
    run: Run | str | os.PathLike[str], *, trainable: bool = False, device: str = "cpu", offline: bool = False
) -> WholeModel:
    """Backbone and head of a run as one torch module, from model inputs to logits.

    ``module.inputs(["a text"])`` makes the batch that it takes; ``print(module.table())`` shows how many
    parameters are trainable and how many frozen.

    Parameters
    ----------
    run : Run or path
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
    from headstart.backbones.freezing import resolve_device
    from headstart.network import forbid_network
    from headstart.tuning.whole_model import whole_model

    if offline:
        forbid_network()
    opened, progress, where = _opened(run), open_progress(True), resolve_device(device)
    return whole_model(opened.predictor, opened.features, progress, trainable, where, offline)


def export(
    run: Run | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: str = "hf",
    overwrite: bool = False,
    offline: bool = False,
    quiet: bool = True,
) -> Exported:
    """Write backbone and head of a run as one model that others load without headstart.

    Parameters
    ----------
    run : Run or path
    out : path
        A folder, written whole or not at all.
    to : {"hf", "onnx", "timm"}
        For transformers' ``AutoModelFor…Classification`` and pipelines; one ONNX file; for
        ``timm.create_model("local-dir:…")``.
    overwrite : bool
        Replace an export that lies there.
    offline : bool
        Open no socket.

    Raises
    ------
    HeadstartError
        See `headstart.exporting.stage.export`.
    """
    from pathlib import Path

    from headstart.exporting.stage import export
    from headstart.network import forbid_network

    if offline:
        forbid_network()
    return export(_opened(run), to, Path(out), open_progress(quiet), overwrite, offline)


def _opened(run: Run | str | os.PathLike[str]) -> Run:
    return load_run(run) if isinstance(run, str | os.PathLike) else run


def compare(
    runs: Sequence[Run | str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    cache: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare runs on the test samples that they all were judged on; ``.show()`` says which one to take.

    Parameters
    ----------
    runs : sequence of Run or path
        At least two.
    out : path, optional
        Save tables, plots and a page there, as ``comparison.save`` does later.
    overwrite : bool
        Replace the comparison that lies there.
    cache : path, optional
        Where the sets lie that know how long extracting took; None: where each run says.
    seed : int
        Of the bootstrap.

    Raises
    ------
    MismatchError
        Their test samples, labels or tasks differ; the message counts them.
    """
    from headstart.comparison.stage import compare

    comparison = compare(runs, cache, seed)
    if out is not None:
        comparison.save(out, overwrite)
    return comparison


def run_pipeline(
    pipeline: str | os.PathLike[str],
    *,
    set: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    offline: bool = False,
    quiet: bool = False,
) -> PipelineOutcome:
    """Run what is not there yet of a pipeline; ``outcome["full"]`` says what became of the step ``full``.

    Parameters
    ----------
    pipeline : str or path
        A YAML file, or the name of one that comes along.
    set : mapping, optional
        What to change, by path: ``{"data": "photos", "fine-tune.epochs": 3, "steps.full.lr": 1e-4}``.
    out : path, optional
        Of the results; None: ``runs/<name of the pipeline>``.
    cache : path, optional
    offline : bool
        Open no socket.
    quiet : bool
        Show no progress.

    Raises
    ------
    ConfigError
        The pipeline is wrong; the message names the line.
    HeadstartError
        A step failed; the message begins with its name, and what was done before it is kept.
    """
    import json
    from pathlib import Path

    from headstart.pipelines.locations import find_pipeline
    from headstart.pipelines.run import run_pipeline
    from headstart.pipelines.schema import load_pipeline

    # JSON is YAML, so that a value here is what it would be in the file.
    changes = [
        f"{path}={json.dumps(value, default=str, ensure_ascii=False)}" for path, value in (set or {}).items()
    ]
    found = load_pipeline(find_pipeline(str(pipeline)), changes)
    target = Path(out) if out is not None else Path("runs") / found.name
    place = None if cache is None else os.fspath(cache)
    return run_pipeline(found, target, open_progress(quiet), place, offline)


def _as_lists(options: Mapping[str, Any]) -> dict[str, Any]:
    """Let a single name stand for a list of one where the command takes several."""
    names = ("taps", "label_column", "label_names")
    return {
        name: [value] if name in names and isinstance(value, str) else value
        for name, value in options.items()
    }
