"""Pages to look at runs and sets."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from headstart.api import shared
from headstart.options import Option, Positive, Range, Seed, StrPath, public

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.registry.run import Run
    from headstart.report_page import Page


@public
def report(
    subject: Annotated[
        Union["Run", "FeatureSet", StrPath],
        Option("A run directory, or the name of a set.", metavar="RUN|SET", is_argument=True),
    ],
    other: Annotated[
        Union["Run", StrPath, None],
        Option("A second run on the same samples.", metavar="RUN", is_argument=True),
    ] = None,
    *,
    out: Annotated[StrPath | None, Option("The HTML file to write.", metavar="PAGE.html")] = None,
    overwrite: shared.Overwrite = False,
    method: Annotated[
        str, Option("Of the map: pca, tsne, or umap (pip install 'headstart\\[umap]').")
    ] = "pca",
    label: Annotated[str | None, Option("Which label column. Default: the first.", metavar="NAME")] = None,
    tap: shared.OneTap = None,
    backbone: shared.OneBackbone = None,
    thumbnails: Annotated[
        Annotated[int, Range(ge=0)],
        Option("Small pictures at most: of what to look at first, then of a draw."),
    ] = 5000,
    samples: Annotated[Positive, Option("Samples at most.")] = 1_000_000,
    text_length: Annotated[Positive, Option("Letters that a text is cut at.")] = 280,
    audit: Annotated[
        bool | None,
        Option(
            "Look for wrong labels, duplicates, leaks, outliers. Default: of sets of up to 20,000 samples."
        ),
    ] = None,
    suggestions: Annotated[
        StrPath | None,
        Option("Samples to label first: what suggest wrote.", metavar="FILE", reads=shared.check_path),
    ] = None,
    data: Annotated[
        Any, Option("Where the data is now, if it has moved.", metavar="DATA", reads=shared.check_data)
    ] = None,
    seed: Annotated[Seed, Option("Of draws, and of tsne and umap.")] = 0,
    offline: shared.OfflineAlone = False,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
) -> "Page":
    """Make one HTML page to look at a run, a set, or two runs, and to correct labels on; it needs no network.

    Parameters
    ----------
    subject : Run, FeatureSet, path or str
        A run or its directory, or a set or its name.
    other : Run or path, optional
        A second run: then the page says which test samples flipped, and where.
    out : path, optional
        Write the file, as ``page.save`` does later.
    data : path, or what a program holds, as `extract` takes it, optional
        None: where it was. Pictures and texts are read again from it; without it the page has none, and says so.
    cache : path, optional
        None: of a run where it says, else as elsewhere.
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    Page
        ``.save(path)``, ``.html``, ``.notes``: what was left out; a notebook shows it.

    Raises
    ------
    DataError
        There is neither a run nor a set of that name; the message names those that there are.
    MismatchError
        Two runs predict different labels, or have other test samples.
    """
    given = locals()
    from pathlib import Path

    from headstart.network import forbid_network
    from headstart.progress import open_progress
    from headstart.report_page import check_target
    from headstart.reporting.config import ReportConfig
    from headstart.reporting.stage import report

    if offline:
        forbid_network()
    if out is not None:
        check_target(Path(out), overwrite)
    page = report(subject, other, ReportConfig.of(given), open_progress(quiet))
    if out is not None:
        page.save(out, overwrite)
    return page
