"""MLflow: an SQLite file, a folder or a server, by its tracking URI."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError, MissingDependencyError
from headstart.tracking.tracker import figures, figures_of, settings

if TYPE_CHECKING:
    from headstart.types import Json

EXPERIMENT = "headstart"
SQLITE = "sqlite:///"
LONGEST = 6000
"""Letters of a parameter that MLflow keeps."""


class MlflowTracker:
    """A run of the experiment ``headstart``: parameters, metrics, files as artifacts.

    Of an SQLite file the artifacts lie beside it, in ``mlartifacts``; ``mlflow ui --backend-store-uri URI`` shows
    the runs. The process's own MLflow state, such as an active run, is left alone.

    Parameters
    ----------
    uri : str
        ``sqlite:///FILE``, or what else MLflow takes.

    Raises
    ------
    MissingDependencyError
    """

    def __init__(self, uri: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would open a socket at import
        try:
            import mlflow  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError("mlflow", "--track mlflow", "tracking") from error
        self._uri = uri
        self._client: Any = None
        self._run_id = ""
        self._step = 0

    @property
    def place(self) -> str:
        """What shows the runs."""
        return f"mlflow ui --backend-store-uri {quote(self._uri)}"

    def start(self, config: Mapping[str, Json], name: str) -> None:
        """Begin a run, in a store that is made if it is not there.

        Raises
        ------
        ConfigError
            The store cannot be opened.
        """
        from mlflow import MlflowClient
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        logging.getLogger("alembic").setLevel(logging.WARNING)  # a line for each table of a new file
        try:
            self._client = MlflowClient(tracking_uri=self._uri)
            run = self._client.create_run(self._experiment(), run_name=name)
        except MlflowException as error:
            raise ConfigError(f"mlflow cannot write to {self._uri}: {error}") from error
        self._run_id, self._step = run.info.run_id, 0
        params = [Param(key, str(value)[:LONGEST]) for key, value in settings(config).items()]
        self._client.log_batch(self._run_id, params=params)

    def log(self, step: int, values: Mapping[str, Json]) -> None:
        """Points of the curves, one for each number."""
        self._step = step
        self._metrics(figures(values))

    def finish(self, report: Mapping[str, Json] | None, files: Sequence[Path] = ()) -> None:
        """Write the final figures and the files, and end the run; without a report as a failed one."""
        if report is not None:
            self._metrics(figures_of(report))
            for path in files:
                self._client.log_artifact(self._run_id, str(path))
        self._client.set_terminated(self._run_id, "FINISHED" if report is not None else "FAILED")

    def _metrics(self, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, self._step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        where = None
        if self._uri.startswith(SQLITE):
            where = (Path(self._uri.removeprefix(SQLITE)).resolve().parent / "mlartifacts").as_uri()
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=where))
