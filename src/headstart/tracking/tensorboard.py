"""TensorBoard: event files in a folder, a folder in it for each run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from headstart.errors import MissingDependencyError
from headstart.files import make_directory, storage_errors
from headstart.places import expanded
from headstart.tracking.tracker import figures, figures_of, settings

if TYPE_CHECKING:
    from headstart.types import Json


class TensorBoardTracker:
    """Curves, hyperparameters, the final figures and the plots of a run; ``tensorboard --logdir DIR`` shows them.

    Written with TensorBoard's own parts: neither torch nor TensorFlow is imported.

    Parameters
    ----------
    folder : str or Path

    Raises
    ------
    MissingDependencyError
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            import tensorboard.summary.writer.event_file_writer  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError("tensorboard", "--track tensorboard", "tracking") from error
        self._folder = Path(expanded(folder))
        self._writer: Any = None
        self._step = 0

    @property
    def place(self) -> str:
        """What shows the runs."""
        return f"tensorboard --logdir {quote(str(self._folder))}"

    def start(self, config: Mapping[str, Json], name: str) -> None:
        """Open a folder of the run's name; of one that is there another gets a number.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        path = _made(self._folder / name.replace("/", "-").strip(".-"))  # it may be that of a folder far away
        self._writer, self._step = EventFileWriter(str(path)), 0
        self._add(hparams_pb(settings(config), trial_id=path.name, start_time_secs=time.time()))

    def log(self, step: int, values: Mapping[str, Json]) -> None:
        """Points of the curves, one for each number."""
        self._step = step
        self._scalars(figures(values))

    def finish(self, report: Mapping[str, Json] | None, files: Sequence[Path] = ()) -> None:
        """Write the final figures and the PNG files, and close."""
        if report is not None:
            self._scalars(figures_of(report))
            for path in (Path(one) for one in files):
                if path.suffix == ".png":
                    self._image(path)
        self._writer.close()

    def _scalars(self, values: Mapping[str, float]) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        for name, value in values.items():
            self._add(scalar_pb(name, value))

    def _image(self, path: Path) -> None:
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(path) as image:
            width, height = image.size
        shown = Summary.Image(
            width=width, height=height, colorspace=3, encoded_image_string=path.read_bytes()
        )
        self._add(Summary(value=[Summary.Value(tag=path.stem, image=shown)]))

    def _add(self, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=self._step, summary=summary))


def _made(path: Path) -> Path:
    """A folder of this start alone: two runs in one would be drawn as one curve that goes back and forth."""
    make_directory(path.parent)
    number, chosen = 1, path
    with storage_errors(path):
        while True:
            try:
                chosen.mkdir()  # not a look whether it is there: two that start together would both find it free
                return chosen
            except FileExistsError:
                number += 1
                chosen = path.with_name(f"{path.name}-{number}")
