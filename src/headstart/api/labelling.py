"""Few labels or none: what to label next, and groups without labels."""

from typing import TYPE_CHECKING, Annotated, Union

from headstart.api import shared
from headstart.options import Option, Positive, Seed, StrPath, public

if TYPE_CHECKING:
    from headstart.registry.run import Run
    from headstart.suggestions import Suggestions


@public
def suggest(
    set: shared.SetArgument,
    *,
    budget: Annotated[Positive, Option("How many at most.")] = 100,
    strategy: Annotated[
        str,
        Option(
            "margin or entropy (what a head is unsure of), typical (the middle of large clusters), cover (far from all "
            "others), or random."
        ),
    ] = "typical",
    per_class: Annotated[
        Positive | None,
        Option("With margin and entropy: so many of each class that the head predicts, instead of --budget."),
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
