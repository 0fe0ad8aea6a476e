"""The label columns that are learnt: one, several by name, or all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.errors import ConfigError
from headstart.fitting.grids import FEATURES

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.config import FitConfig

ALL = "all"
"""What means every label column, unless one is called so."""


def label_columns(features: FeatureSet, said: str | Sequence[str] | None) -> list[str]:
    """The label columns that are meant, in the order in which they are named; the first if None.

    A name that a column has is that column, whatever commas are in it; any other is names with commas between.

    Raises
    ------
    ConfigError
        There is no such column, or one is named twice.
    """
    if said is None:
        return [features.label_column(None)]
    found: list[str] = []
    for text in [said] if isinstance(said, str) else said:
        found += _meant(features, text)
    if len(found) > len(set(found)):
        twice = next(name for name in found if found.count(name) > 1)
        raise ConfigError(f"the label {twice!r} is named twice; name each once")
    return found


def _meant(features: FeatureSet, text: str) -> list[str]:
    names = list(features.label_names)
    if text in names:
        return [text]
    if is_all(features, text):
        return names or [features.label_column(None)]  # which says that there are none
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [features.label_column(part) for part in (parts if len(parts) > 1 else [text])]


def is_all(features: FeatureSet, said: str | Sequence[str] | None) -> bool:
    """Whether every label column is meant, whichever those are."""
    return said in (ALL, [ALL]) and ALL not in features.label_names


def check_several(config: FitConfig, columns: Sequence[str]) -> None:
    """Refuse what does not go with the number of labels."""
    if len(columns) > 1:
        if swept := [name for name in FEATURES if name in config.sweep]:
            raise ConfigError(
                f"--sweep {swept[0]}=… chooses the features by one label, and the heads of a run read the same; say "
                f"--{swept[0]}, or sweep for one label at a time"
            )
        if config.teacher is not None:
            raise ConfigError("--teacher teaches one label, and there are several; fit that label alone")
        if config.loss_weights and not config.shared_trunk:
            raise ConfigError("--loss-weights is for --shared-trunk: separate heads share no loss")
        return
    if config.shared_trunk:
        raise ConfigError(f"--shared-trunk is for several labels, and {columns[0]!r} is one; say --label a,b")
    if config.loss_weights:
        raise ConfigError("--loss-weights is for several labels with --shared-trunk")
