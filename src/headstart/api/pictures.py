"""The plots of a run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Union

from headstart.api import shared
from headstart.options import Option, StrPath, public

if TYPE_CHECKING:
    from headstart.plots import Gallery
    from headstart.registry.run import Run


@public
def draw_plots(
    run: Annotated[
        Union["Run", StrPath],
        Option("A run directory, or the folder of an evaluation.", metavar="RUN", is_argument=True),
    ],
    *,
    only: Annotated[
        str | Sequence[str] | None,
        Option(
            "By comma. Default: those that the run wrote. By name alone: schedule, distributions, pca, tsne, umap.",
            metavar="NAMES",
        ),
    ] = None,
    format: Annotated[Literal["png", "svg", "both"], Option("png, svg or both.")] = "png",
    out: Annotated[
        StrPath | None,
        Option("The folder to write. Default: RUN/plots, whose files are replaced.", metavar="DIR"),
    ] = None,
    overwrite: shared.Overwrite = False,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
) -> "Gallery":
    """Draw the plots of a run again, as PNG or SVG, from what lies in its directory.

    Parameters
    ----------
    run : Run or path
    out : path, optional
        None: nothing is written. The command writes to ``plots`` in the run.
    cache : path, optional
        Where the set lies that the run was fitted on; None: where the run says.
    quiet : bool
        Say nothing on stderr, such as that a set is gone and its features cannot be drawn.

    Returns
    -------
    Gallery
        A mapping of names to plots, which a notebook shows; ``.png()`` and ``.svg()`` of one are its bytes.

    Raises
    ------
    ConfigError
        There is no plot of a name, or ``out`` holds a file of a plot's name and ``overwrite`` was not said.
    """
    given = locals()
    import os
    from pathlib import Path

    from headstart.inspection.pictures import DrawConfig, draw_plots
    from headstart.progress import open_progress

    config = DrawConfig.of(given)
    source = Path(run) if isinstance(run, str | os.PathLike) else run
    plots = draw_plots(source, config, open_progress(quiet))
    if out is not None:
        plots.save(out, config.format, overwrite)
    return plots
