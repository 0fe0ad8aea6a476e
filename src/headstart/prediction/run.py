"""Runs as Python users hold them: a report, and predictions for raw inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.config import PredictConfig
from headstart.heads.predictor import Predictor
from headstart.prediction.stage import predict_with
from headstart.progress import open_progress
from headstart.registry.predictions import of_split, read_predictions
from headstart.registry.record import MODEL_DIR, load_run
from headstart.tasks import open_task

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.contracts import Head
    from headstart.exporting.stage import Exported
    from headstart.registry.record import RunRecord
    from headstart.tuning.whole_model import WholeModel
    from headstart.types import Json


class Run:
    """A fitted head with its report.

    Parameters
    ----------
    predictor : Predictor
        The head with its preparation and temperature; `head` is the scikit-learn estimator alone.
    report, labels, features : mapping
        The content of the files of the same name in a run directory.
    record : RunRecord, optional
        What `save` writes; None for a run that was loaded.
    path : Path, optional
        Where it lies, if it was saved.
    """

    def __init__(
        self,
        predictor: Predictor,
        report: Mapping[str, Json],
        labels: Mapping[str, Json],
        features: Mapping[str, Json],
        record: RunRecord | None = None,
        path: Path | None = None,
    ) -> None:
        self.predictor = predictor
        self.report = report
        self.labels = labels
        self.features = features
        self.path = path
        self._record = record

    @property
    def head(self) -> Head:
        """The fitted scikit-learn estimator, over prepared features."""
        return self.predictor.head

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Open a run directory."""
        saved = load_run(path)
        predictor = Predictor.load(saved.path / MODEL_DIR)
        return cls(predictor, saved.report, saved.labels, saved.features, path=saved.path)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write the run directory, whole or not at all.

        Raises
        ------
        ConfigError
            The directory is not empty and ``overwrite`` is false, or the run was loaded.
        """
        from headstart.errors import ConfigError

        if self._record is None:
            raise ConfigError(f"this run lies in {self.path} already; copy the directory")
        self.path = self._record.save(path, overwrite)
        return self.path

    def test_predictions(self) -> pa.Table:
        """What ``predictions.parquet`` says of the test samples: id, key, label, prediction, ``p:<class>``…

        Raises
        ------
        StorageError
            The run was loaded, and the file is missing or broken.
        """
        if self._record is not None:
            return of_split(self._record.predictions, "test")
        assert self.path is not None  # a run without a record was loaded
        return read_predictions(self.path, "test")

    def predict(self, data: Any, quiet: bool = True, **options: Any) -> pa.Table:
        """Predict raw inputs: a list of texts or of image paths, or anything `headstart.extract` takes.

        Returns
        -------
        pyarrow.Table
            ``id``, ``prediction`` and ``p:<class>``…, a row for each input in order.
        """
        config = PredictConfig(data=data, **options)
        return predict_with(self.predictor, self.features, self.labels, config, open_progress(quiet))

    def module(self, trainable: bool = False, device: str = "cpu", offline: bool = False) -> WholeModel:
        """Backbone and head as one torch module, from model inputs to logits.

        ``module.inputs(["a text"])`` makes the batch that it takes; ``print(module.table())`` shows how many
        parameters are trainable and how many frozen.

        Parameters
        ----------
        trainable : bool
            Whether the weights have gradients; without, nothing of it ever changes.
        device : str
        offline : bool
            Open no socket.

        Raises
        ------
        ConfigError
            They cannot be one network: the head is none, or reads several features, or all positions.
        MismatchError
            The backbone is not the one that the head was fitted on.
        """
        from headstart.backbones.freezing import resolve_device
        from headstart.network import forbid_network
        from headstart.tuning.whole_model import whole_model

        if offline:
            forbid_network()
        progress, where = open_progress(True), resolve_device(device)
        return whole_model(self.predictor, self.features, progress, trainable, where, offline)

    def export(
        self,
        path: str | os.PathLike[str],
        to: str = "hf",
        overwrite: bool = False,
        quiet: bool = True,
        offline: bool = False,
    ) -> Exported:
        """Write backbone and head as one model that others load without headstart.

        Parameters
        ----------
        path : path
            A folder, written whole or not at all.
        to : {"hf", "onnx", "timm"}
            For transformers' ``AutoModelFor…Classification`` and pipelines; one ONNX file; for
            ``timm.create_model("local-dir:…")``.
        overwrite : bool
            Replace an export that lies there.

        Raises
        ------
        HeadstartError
            See `headstart.exporting.stage.export_with`.
        """
        from headstart.exporting.stage import export_with
        from headstart.network import forbid_network

        if offline:
            forbid_network()
        progress = open_progress(quiet)
        return export_with(
            self.predictor, self.features, self.labels, to, Path(path), progress, overwrite, offline
        )

    def __repr__(self) -> str:
        name = open_task(self.report["task"]).leading_score
        metrics = {split: round(values[name], 4) for split, values in self.report["metrics"].items()}
        return f"Run({self.report['head']['name']!r} on {self.features['backbone']!r}, {name} {metrics})"
