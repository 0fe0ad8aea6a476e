"""Weights & Biases, online or, with ``WANDB_MODE=offline``, into a folder that ``wandb sync`` uploads later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError, MissingDependencyError
from headstart.tracking.tracker import figures, figures_of, settings

if TYPE_CHECKING:
    from headstart.types import Json


class WandbTracker:
    """A run of a project: curves, configuration, summary, plots as images, other files as an artifact.

    Parameters
    ----------
    project : str

    Raises
    ------
    MissingDependencyError
    """

    def __init__(self, project: str) -> None:
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError("wandb", "--track wandb", "tracking") from error
        self._project = project
        self._run: Any = None

    @property
    def place(self) -> str:
        """Where the run is on the web, or what uploads it; empty before it has started."""
        if self._run is None:
            return ""
        return str(self._run.url or f"wandb sync {quote(str(Path(self._run.dir).parent))}")

    def start(self, config: Mapping[str, Json], name: str) -> None:
        """Begin a run.

        Raises
        ------
        ConfigError
            There is no account to write to.
        """
        import wandb

        try:
            self._run = wandb.init(
                project=self._project,
                name=name,
                config=settings(config),
                reinit="create_new",  # one process may fit several heads
                settings=wandb.Settings(silent=True, console="off"),  # stdout is for results
            )
        except wandb.Error as error:
            raise ConfigError(f"wandb: {error}; run `wandb login`, or set WANDB_MODE=offline") from error

    def log(self, step: int, values: Mapping[str, Json]) -> None:
        """Points of the curves, one for each number."""
        self._run.log(figures(values), step=step)

    def finish(self, report: Mapping[str, Json] | None, files: Sequence[Path] = ()) -> None:
        """Write the summary and the files, and end the run; without a report as a failed one."""
        if report is not None:
            self._run.summary.update(figures_of(report))
            self._keep(files)
        self._run.finish(exit_code=0 if report is not None else 1)

    def _keep(self, files: Sequence[Path]) -> None:
        import wandb

        images = {path.stem: wandb.Image(str(path)) for path in files if path.suffix == ".png"}
        if images:
            self._run.log(images)
        others = [path for path in files if path.suffix != ".png"]
        if others:
            artifact = wandb.Artifact(f"run-{self._run.id}", type="run")
            for path in others:
                artifact.add_file(str(path), name=path.name)
            self._run.log_artifact(artifact)
