"""Features of a data set: computed, and opened again."""

from typing import TYPE_CHECKING, Annotated, Any

from headstart.api import shared
from headstart.options import Option, public

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet


@public
def extract(
    data: shared.Data,
    backbone: shared.Backbones,
    *,
    labels: Any = None,
    splits: Any = None,
    ids: Any = None,
    groups: Any = None,
    layout: str | None = None,
    set: shared.SetName = None,
    replace: shared.Replace = False,
    drop_corrections: Annotated[
        bool, Option("End the corrections that the set stands on: its labels are as the data says.")
    ] = False,
    split_seed: shared.SplitSeed = 0,
    retry_failed: Annotated[bool, Option("Try again what failed for good before.")] = False,
    max_failures: Annotated[
        str | int | None, Option("Stop when more samples fail than this.", metavar="N|P%")
    ] = None,
    strict: Annotated[bool, Option("Exit with 3 if samples were skipped.")] = False,
    cache: shared.CacheDir = None,
    quiet: bool = False,
    taps: shared.Taps = None,
    normalize: shared.Normalize = None,
    prompt: shared.Prompt = None,
    precision: shared.Precision = "auto",
    dtype: shared.Dtype = None,
    max_length: shared.MaxLength = None,
    on_long: shared.OnLong = "truncate",
    image_size: shared.ImageSize = None,
    crop_pct: shared.CropPct = None,
    weights: shared.Weights = None,
    views: shared.Views = 0,
    augment: shared.Augment = "default",
    view_seed: shared.ViewSeed = 0,
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
    workers: shared.WorkerRange = None,
    engine: shared.Engine = "local",
    ray_address: shared.RayAddress = None,
    gpus_per_worker: shared.GpusPerWorker = None,
    offline: shared.Offline = False,
) -> "FeatureSet":
    """Run a frozen backbone once over a data set and keep its features.

    Parameters
    ----------
    data : path, or what a program holds
        Texts, pairs of texts, image paths, bytes, open files, images of Pillow, arrays and tensors (N, H, W, C or
        N, C, H, W; uint8, or floats in [0, 1]), pairs of image and text; a pandas or polars DataFrame or Series, an
        Arrow table, a ``datasets.Dataset``, ``DatasetDict`` or ``IterableDataset``, a data set of torch or
        torchvision, rows as dictionaries, tables by split, or a generator of samples. Without ``set`` the set is
        named after the content.
    labels, splits, ids, groups : sequence, optional
        One value a sample, beside samples in memory; several label columns as a mapping. Samples of one group are on
        one side of every split that is made.
    layout : str, optional
        The order of the axes of arrays, where it is not clear: NHWC, NCHW, NHW, HWC, CHW or HW.
    backbone : str, or a sequence of str
        ``timm:NAME``, ``hf:NAME-OR-FOLDER``, ``bundled:NAME`` or ``py:package.module:factory``. Several
        read the same data one after the other, and their features are in one set.
    quiet : bool
        Say nothing on stderr.

    Raises
    ------
    HeadstartError
        See `headstart.errors`. With ``strict``, `SkippedError` if a sample was skipped.
    """
    given = locals()
    from headstart.config import ExtractConfig
    from headstart.extraction.stage import check_strict, extract
    from headstart.progress import open_progress

    config = ExtractConfig.of(given)
    done = extract(config, open_progress(quiet))
    check_strict(config, done)
    return done.features


@public
def open_set(name: str, cache: shared.CacheDir = None, trust: shared.Trust = None) -> "FeatureSet":
    """Open a set of a cache by its name.

    Raises
    ------
    DataError
        There is none of that name; the message names those that there are.
    """
    from headstart.cache.store import Cache

    return Cache(cache).open_set(name)
