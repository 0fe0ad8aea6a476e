"""The fitted heads of several labels, and how they are kept.

::

    <number>/   the head of a label, by its place
    trunk/      instead, of heads that share one network: that network, and how features are prepared for it; beside
                it <number>/calibration.json
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.files import make_directory
from headstart.heads.predictor import Predictor, load_temperature, load_trunk, save_trunk
from headstart.heads.preparation import Preparation

if TYPE_CHECKING:
    from headstart.heads.trunk import TorchTrunk

TRUNK = "trunk"


def save_predictors(predictors: Sequence[Predictor], trunk: TorchTrunk | None, folder: Path) -> None:
    """Write the heads of several labels into a folder that exists; ``trunk`` is what they share, if they do."""
    if trunk is not None:
        make_directory(folder / TRUNK)
        save_trunk(trunk, folder / TRUNK)
        predictors[0].preparation.save(folder / TRUNK)
    for number, predictor in enumerate(predictors):
        own = folder / str(number)
        make_directory(own)
        if trunk is None:
            predictor.save(own)
        else:
            predictor.save_temperature(own)


def load_predictors(folder: Path, n: int) -> list[Predictor]:
    """The heads of so many labels, in their order.

    Raises
    ------
    FormatError, StorageError
        A file is missing, or does not hold what it should.
    """
    places = [folder / str(number) for number in range(n)]
    if not (folder / TRUNK).is_dir():
        return [Predictor.load(place) for place in places]
    heads, preparation = load_trunk(folder / TRUNK), Preparation.load(folder / TRUNK)
    return [
        Predictor(head, preparation, load_temperature(place), place)
        for head, place in zip(heads, places, strict=True)
    ]
