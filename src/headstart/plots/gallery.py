"""Several plots by name, as a notebook shows them and as files."""

from __future__ import annotations

import html
import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import ConfigError
from headstart.files import write_files
from headstart.places import expanded
from headstart.plots.plot import SUFFIXES
from headstart.plots.studio import draw_here

if TYPE_CHECKING:
    from headstart.plots.plot import Plot
    from headstart.types import PlotFormat


class Gallery(Mapping[str, "Plot"]):
    """Plots by name, each drawn when it is asked for; a notebook shows one below the other.

    Parameters
    ----------
    plots : mapping of str to Plot

    Examples
    --------
    >>> from headstart.plots import history_plot
    >>> plots = Gallery({"history": history_plot([{"epoch": 1, "train_loss": 0.7, "lr": 0.1}])})
    >>> plots
    Gallery(history)
    >>> plots["history"].png()[1:4]
    b'PNG'
    """

    def __init__(self, plots: Mapping[str, Plot]) -> None:
        self._plots = dict(plots)

    def __getitem__(self, name: str) -> Plot:
        return self._plots[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plots)

    def __len__(self) -> int:
        return len(self._plots)

    def save(
        self, folder: str | os.PathLike[str], format: PlotFormat = "png", overwrite: bool = False
    ) -> list[Path]:
        """Write a file for each plot, or two, into a folder, beside whatever else lies there.

        Parameters
        ----------
        folder : path
        format : {"png", "svg", "both"}
        overwrite : bool
            Replace files of the same names.

        Returns
        -------
        list of Path

        Raises
        ------
        ConfigError
            A file is there already.
        """
        target = Path(expanded(folder))
        if target.exists() and not target.is_dir():
            raise ConfigError(f"{target} is a file, and plots are written to a folder; choose another --out")
        places = [target / f"{name}.{suffix}" for name in self for suffix in SUFFIXES[format]]
        if not overwrite and (there := next((path for path in places if path.exists()), None)):
            raise ConfigError(f"{there} is there already; choose another --out, or pass --overwrite")
        write_files(target, draw_here(self._plots, format))
        return places

    def __repr__(self) -> str:
        return f"Gallery({', '.join(self)})"

    def _repr_html_(self) -> str:
        shown = []
        for name, plot in self.items():
            source = f"data:image/png;base64,{b64encode(plot.png()).decode('ascii')}"
            shown.append(f'<p><img src="{source}" alt="{html.escape(name)}" style="max-width: 100%"></p>')
        return "".join(shown)
