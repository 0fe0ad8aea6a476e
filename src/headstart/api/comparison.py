"""Runs side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Union

from headstart.api import shared
from headstart.options import Option, Seed, StrPath, public

if TYPE_CHECKING:
    from headstart.comparison.by_label import LabelComparisons
    from headstart.comparison.comparison import Comparison
    from headstart.registry.run import Run


@public
def compare(
    runs: Annotated[
        Sequence[Union["Run", StrPath]],
        Option(
            "Run directories, two or more; or what evaluate wrote.",
            metavar="RUN",
            is_argument=True,
            repeats=True,
        ),
    ],
    *,
    out: Annotated[
        StrPath | None,
        Option("Write comparison.csv, comparison.json, plots and a page there.", metavar="DIR"),
    ] = None,
    overwrite: shared.Overwrite = False,
    plots: shared.Plots = "png",
    cache: shared.CacheDir = None,
    on: Annotated[
        str | None,
        Option("On what `evaluate` found under this name, instead of on their test samples.", metavar="NAME"),
    ] = None,
    label: Annotated[
        str | None,
        Option("By this label alone. Default: each that all runs predict.", metavar="NAME"),
    ] = None,
    seed: Annotated[Seed, Option("Of the bootstrap.")] = 0,
    trust: shared.Trust = None,
) -> "Comparison | LabelComparisons":
    """Compare runs on the same test samples: figures with intervals, costs, and which one to take.

    ``.show()`` says which one to take.

    Parameters
    ----------
    runs : sequence of Run or path
        At least two.
    out : path, optional
        Save tables, plots and a page there, as ``comparison.save`` does later.
    on : str, optional
        The evaluation of each run that is compared; None: what each did on the test samples of its set.
    label : str, optional
        Of runs with several labels the one that is compared; None: all that they have in common, a comparison for each
        (``found["mood"]``). A run with one label is compared with that label of the others.
    cache : path, optional
        Where the sets lie that know how long extracting took; None: where each run says.

    Raises
    ------
    MismatchError
        Their test samples, labels or tasks differ; the message counts them.
    """
    from pathlib import Path

    from headstart.comparison.comparison import check_target
    from headstart.comparison.stage import compare
    from headstart.config import CompareConfig

    CompareConfig(runs=[], plots=plots, seed=0)
    if out is not None:
        check_target(Path(out), overwrite)
    comparison = compare(runs, cache, seed, on, label)
    if out is not None:
        comparison.save(out, overwrite, plots)
    return comparison
