"""What features say without training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from headstart.api import shared
from headstart.options import Option, Positive, Range, Seed, StrPath, public

if TYPE_CHECKING:
    from headstart.extraction.prepare import Prepared
    from headstart.inspection.audit_result import Audit
    from headstart.inspection.backbones import Description
    from headstart.inspection.doctor import Examination
    from headstart.inspection.pairs import PairRanking
    from headstart.inspection.project import Projection
    from headstart.inspection.rank import Ranking


@public
def audit(
    set: shared.SetArgument,
    *,
    tap: shared.OneTap = None,
    backbone: shared.OneBackbone = None,
    label: shared.Label = None,
    checks: Annotated[
        str | Sequence[str] | None, Option("By comma: labels, duplicates, leaks, outliers. Default: all.")
    ] = None,
    threshold: Annotated[float, Option("Cosine from which two samples are near-duplicates.")] = 0.99,
    outlier_z: Annotated[float, Option("Robust deviations from which a sample is an outlier.")] = 3.5,
    neighbours: shared.Neighbours = "exact",
    corrections: shared.Corrections = None,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
) -> "Audit":
    """Look for wrong labels, near-duplicates, leaks and outliers, by the features alone."""
    given = locals()
    from headstart.inspection.audit import audit
    from headstart.inspection.audit_result import AuditConfig
    from headstart.progress import open_progress

    config = AuditConfig.of(given, checks=checks or None, **shared.place_of(set, cache))
    return audit(config, open_progress(quiet))


@public
def rank(
    set: shared.SetArgument,
    *,
    label: shared.Label = None,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
) -> "Ranking | PairRanking":
    """Rank the taps and backbones of a set for its labels, without training anything; on train alone.

    Of pairs of image and text it is also measured how well these find each other: recall at 1, 5 and 10 and the median
    rank, both ways.
    """
    from headstart.inspection.rank import rank
    from headstart.progress import open_progress

    at = shared.place_of(set, cache)
    return rank(at["set"], open_progress(quiet), label, at["cache"], at["digest"])


@public
def project(
    set: shared.SetArgument,
    *,
    method: Annotated[str, Option("pca, tsne, or umap (pip install 'headstart\\[umap]').")] = "pca",
    colour: Annotated[
        str | None,
        Option(
            "label, label:NAME, meta:NAME or split; numbers by a colour bar. Default: label.",
            metavar="COLUMN",
        ),
    ] = None,
    tap: shared.OneTap = None,
    backbone: shared.OneBackbone = None,
    split: Annotated[str | None, Option("train, validation or test. Default: all.")] = None,
    samples: Annotated[Annotated[int, Range(ge=4)], Option("How many at most, drawn at random.")] = 5000,
    seed: Annotated[Seed, Option("Of the draw, and of tsne and umap.")] = 0,
    out: Annotated[
        StrPath | None,
        Option(
            ".png or .svg for a plot; .parquet, .csv or .jsonl for points. With --to: a folder.",
            metavar="FILE|DIR",
        ),
    ] = None,
    to: Annotated[
        Literal["atlas", "spotlight", "fiftyone"] | None,
        Option("Write a folder that this tool opens: points, labels, metadata, and the samples themselves."),
    ] = None,
    vectors: Annotated[
        bool | None, Option("With --to: write the features as well. Default: not for atlas.")
    ] = None,
    neighbours: shared.Neighbours = "exact",
    overwrite: shared.Overwrite = False,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
) -> "Projection":
    """Show the features of a set in two dimensions, coloured by label or by any column; or write them for other tools.

    Parameters
    ----------
    set : FeatureSet or str
        A set, or its name.
    out : path, optional
        None: nothing is written; a notebook shows what comes back.
    to : {"atlas", "spotlight", "fiftyone"}, optional
        The command that opens the folder is said, unless ``quiet``.

    Raises
    ------
    ConfigError
        There is no such column, feature or method, or something else lies at ``out``.
    """
    given = locals()
    from headstart.inspection.project import ProjectConfig
    from headstart.inspection.projected_files import project_to
    from headstart.progress import open_progress

    config = ProjectConfig.of(given, **shared.place_of(set, cache))
    return project_to(config, None if out is None else Path(out), overwrite, open_progress(quiet))


@public
def doctor(
    set: shared.SetArgument,
    *,
    samples: Annotated[Positive, Option("How many to recompute.")] = 32,
    seed: Annotated[Seed, Option("Of the choice of samples.")] = 0,
    tap: Annotated[str | None, Option("Which feature. Default: all.")] = None,
    backbone: Annotated[str | None, Option("Which feature. Default: all.")] = None,
    data: Annotated[str | None, Option("Where the data is now, if it has moved.", metavar="DATA")] = None,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
    format: shared.Format = "hdf5",
    device: shared.Device = "auto",
    batch_size: shared.BatchSize = None,
    workers: shared.Workers = None,
    offline: shared.Offline = False,
) -> "list[Examination]":
    """Recompute random samples with the live backbone; exit with 4 if the cache does not belong to it."""
    given = locals()
    from headstart.config import DoctorConfig
    from headstart.inspection.doctor import doctor
    from headstart.progress import open_progress

    at = shared.place_of(set, cache)
    return doctor(DoctorConfig.of(given, set=at["set"], cache=at["cache"]), open_progress(quiet))


@public
def describe_backbone(
    spec: Annotated[str, Option("A backbone, as --backbone takes it.", metavar="SPEC", is_argument=True)],
    *,
    modality: Annotated[
        str | None, Option("Of a model with several sides: image, text or image-text.")
    ] = None,
    offline: shared.OfflineAlone = False,
    prompt: shared.Prompt = None,
    max_length: shared.MaxLength = None,
    on_long: shared.OnLong = "truncate",
    image_size: shared.ImageSize = None,
    crop_pct: shared.CropPct = None,
    weights: shared.Weights = None,
) -> "Description":
    """Show a backbone's taps and their widths, its layers, its preprocessing and its weights."""
    options: dict[str, Any] = locals()
    from headstart.inspection.backbones import backbone_options, describe

    del options["spec"]
    return describe(spec, backbone_options(**options))


@public
def prepare_backbone(
    spec: Annotated[str, Option("A backbone, as --backbone takes it.", metavar="SPEC", is_argument=True)],
    *,
    modality: Annotated[
        str | None, Option("Of a model with several sides: image, text or image-text.")
    ] = None,
    offline: shared.OfflineAlone = False,
    prompt: shared.Prompt = None,
    max_length: shared.MaxLength = None,
    on_long: shared.OnLong = "truncate",
    image_size: shared.ImageSize = None,
    crop_pct: shared.CropPct = None,
    weights: shared.Weights = None,
    quiet: bool = True,
) -> "Prepared":
    """Convert a backbone for OpenVINO ahead, for CPUs: later runs start without torch, and compute faster."""
    options: dict[str, Any] = locals()
    from headstart.extraction.prepare import prepare
    from headstart.inspection.backbones import backbone_options
    from headstart.progress import open_progress

    progress = open_progress(options.pop("quiet"))
    return prepare(options.pop("spec"), backbone_options(**options), progress)
