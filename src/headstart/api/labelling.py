"""Few labels or none: what to label next, and groups without labels."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from headstart.api import shared
from headstart.errors import ConfigError
from headstart.options import Option, Positive, Range, Seed, StrPath, public

if TYPE_CHECKING:
    from headstart.clusters import Clusters
    from headstart.registry.run import Run
    from headstart.suggestions import Suggestions


@public
def suggest(
    set: shared.SetArgument,
    *,
    budget: Annotated[
        Positive | None, Option("How many at most. Default: 100, or with --per-class as many as that takes.")
    ] = None,
    strategy: Annotated[
        str,
        Option(
            "margin or entropy (what a head is unsure of), typical (the middle of large clusters), cover (near to "
            "many others), or random."
        ),
    ] = "typical",
    per_class: Annotated[
        Positive | None,
        Option("With margin and entropy: so many at most of each class that the head predicts."),
    ] = None,
    run: Annotated[
        Union["Run", StrPath, None],
        Option(
            "With margin and entropy: the run whose head is asked. Default: a logistic head on what is labelled.",
            metavar="RUN",
            reads=shared.check_path,
        ),
    ] = None,
    label: shared.Label = None,
    tap: shared.OneTap = None,
    backbone: shared.OneBackbone = None,
    seed: Annotated[Seed, Option("Of draws, clusters and the head.")] = 0,
    out: Annotated[
        StrPath | None,
        Option("A CSV to fill in, which fit-head and audit take with --corrections.", metavar="FILE.csv"),
    ] = None,
    overwrite: shared.Overwrite = False,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
) -> "Suggestions":
    """Choose train samples without a label that would be worth one; never of validation or test.

    Parameters
    ----------
    set : FeatureSet or str
        A set, or its name; with labels of some samples, or of none.
    run : Run or path, optional
        A head on features of this set.
    out : path, optional
        A file in the format of corrections, whose column ``new`` is to be filled in.
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    Suggestions
        In order, the first first: ``.ids``, ``.csv``, ``.save(path)``, ``.table()``; a notebook shows it.

    Raises
    ------
    DataError
        Nothing is unlabelled, or too little is labelled for a head.
    MismatchError
        The run is of another set, or reads other features.
    """
    given = locals()
    from headstart.labelling.config import SuggestConfig
    from headstart.labelling.stage import suggest
    from headstart.progress import open_progress
    from headstart.registry.run import Run
    from headstart.suggestions import check_target

    if out is not None:
        check_target(out, overwrite)
    config = SuggestConfig.of(given, **shared.place_of(set, cache))
    opened = run if run is None or isinstance(run, Run) else Run.load(run)
    found = suggest(config, opened, open_progress(quiet))
    if out is not None:
        found.save(out, overwrite)
    return found


def read_k(text: Any, said: str) -> int | str:
    """A number of clusters, or ``auto``."""
    try:
        return text if text == "auto" else int(text)
    except ValueError:
        raise ConfigError(f"{said} takes a number of clusters, 2 or more, or auto (got {text!r})") from None


@public
def cluster(
    set: shared.SetArgument,
    *,
    k: Annotated[
        int | str,
        Option(
            "How many, for kmeans; auto: the fewest with about the largest silhouette.",
            metavar="N|auto",
            flags="-k",
            reads=read_k,
        ),
    ] = "auto",
    method: Annotated[
        str, Option("kmeans, or hdbscan, which leaves out what is in no dense group.")
    ] = "kmeans",
    min_size: Annotated[
        Annotated[int, Range(ge=2)] | None,
        Option("Of hdbscan: the smallest cluster. Default: a 1000th of the samples, and 5 or more."),
    ] = None,
    name: Annotated[str, Option("Of the column: meta:NAME.", metavar="NAME")] = "cluster",
    members: Annotated[Annotated[int, Range(ge=0)], Option("Typical samples to name of each.")] = 5,
    words: Annotated[
        Annotated[int, Range(ge=0)], Option("Words to tell of each, where samples hold texts.")
    ] = 8,
    label: Annotated[
        str | None,
        Option("Which labels to compare with. Default: the first, if there are any.", metavar="NAME"),
    ] = None,
    tap: shared.OneTap = None,
    backbone: shared.OneBackbone = None,
    data: Annotated[
        Any,
        Option(
            "Where the data is now, if it has moved: words are of its texts.",
            metavar="DATA",
            reads=shared.check_data,
        ),
    ] = None,
    seed: Annotated[Seed, Option("Of draws and of kmeans.")] = 0,
    out: Annotated[
        StrPath | None,
        Option("A table of which sample is in which: .parquet, .csv or .jsonl.", metavar="FILE"),
    ] = None,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
) -> "Clusters":
    """Group the samples of a set, of whatever split, by their features; the groups become a column of it.

    Parameters
    ----------
    set : FeatureSet or str
        A set, or its name.
    k : int or "auto"
        In [2, N].
    out : path, optional
        ``id``, ``split``, ``cluster``, and as Parquet ``key``, of all samples that have the feature.
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    Clusters
        The largest first: ``.features`` is the set in its new state, with ``.column``; ``.table``, ``.agreement`` with
        labels; a notebook shows it.

    Raises
    ------
    ConfigError
        There are fewer samples than clusters, or the data has a column of that name.
    """
    given = locals()
    from pathlib import Path

    from headstart.clustering.config import ClusterConfig
    from headstart.clustering.stage import cluster
    from headstart.progress import open_progress
    from headstart.table_files import check_writable, write_table

    target = None if out is None else Path(out)
    check_writable(target)
    found = cluster(ClusterConfig.of(given, **shared.place_of(set, cache)), open_progress(quiet))
    if target is not None:
        # A key is bytes, which a table of text cannot hold.
        write_table(
            found.table if target.suffix.lower() == ".parquet" else found.table.drop_columns(["key"]), target
        )
    return found
