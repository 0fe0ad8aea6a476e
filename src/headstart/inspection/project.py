"""project: the features of a set in two dimensions, with what they are coloured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, nulls_of, numbers_or_nan
from headstart.backbones.pooling import display_tap
from headstart.cache.sets import LABEL
from headstart.cache.store import Cache
from headstart.config import Config
from headstart.errors import ConfigError
from headstart.inspection.projection import Method, check_method, project
from headstart.options import Range, Seed
from headstart.plots import scatter_plot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.reading.mapped import MappedFeatures
    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.plots import Plot

META = "meta:"


class ProjectConfig(Config):
    """What `project` is asked for; without a colour it is the first label column, where there is one.

    The samples are drawn at random if there are more: t-SNE of 5,000 takes half a minute.
    """

    function = "project"
    set: str
    method: str
    colour: str | None
    tap: str | None
    backbone: str | None
    split: str | None
    samples: Annotated[int, Range(ge=4)]
    seed: Seed
    cache: str | None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Projection:
    """Points in the plane.

    Parameters
    ----------
    table : pyarrow.Table
        ``id``, ``key``, ``split``, the column that it is coloured by, and ``x`` and ``y`` as float32.
    colour : str or None
        That column; None: nothing to colour by.
    """

    table: pa.Table
    colour: str | None
    title: str

    def plot(self) -> Plot:
        """A scatter plot: categories by name, numbers by a colour bar."""
        points = np.stack(
            [numbers_or_nan(self.table.column(name).cast(pa.float64())) for name in "xy"], axis=1
        )
        return scatter_plot(
            points, self._colours(), self.title, (self.colour or "").partition(":")[2] or "label"
        )

    def _colours(self) -> NDArray[Any]:
        if self.colour is None:
            return np.full(self.table.num_rows, "")
        column = self.table.column(self.colour)
        numbers = _as_numbers(column, is_text=self.colour.startswith(META))
        if numbers is not None:
            return numbers_or_nan(numbers)
        empty = nulls_of(column)
        cells = [_cell(value) for value in column.to_pylist()]
        return np.where(empty, "(none)", np.array(cells, dtype=np.str_))


def project_set(config: ProjectConfig, progress: Progress) -> Projection:
    """Project the features of a set, or of a random sample of it.

    Raises
    ------
    ConfigError
        There is no such column, feature or method.
    MissingDependencyError
        umap is asked for and not installed.
    """
    method = check_method(config.method)
    features = Cache(config.cache).open_set(config.set, config.digest)
    colour = _colour_column(features, config.colour)
    samples = features.mapped(config.split, config.tap, None, config.backbone)
    rows = _drawn(len(samples), config, progress)
    said = f"{samples.feature.backbone} {display_tap(samples.feature.tap)}"
    progress.say(f"{method} of {len(rows):,} samples at {said}")
    points = project(_read(samples, rows), method, config.seed)
    names = list(dict.fromkeys(["id", "key", "split", *([colour] if colour else [])]))
    table = samples.table.select(names).take(column_of(rows))
    for position, name in enumerate("xy"):
        table = table.append_column(name, column_of(points[:, position]))
    return Projection(table, colour, f"{_named(method)} of {config.set}, {said}")


def _colour_column(features: FeatureSet, asked: str | None) -> str | None:
    names = [name for name in features.samples.column_names if name.startswith((LABEL, META))]
    if asked is None:
        return LABEL + features.label_column() if features.label_names else None
    if asked == "label":
        return LABEL + features.label_column()
    if asked not in (*names, "split"):
        there = ", ".join(["split", *names])
        raise ConfigError(f"set {features.name!r} has no column {asked!r} to colour by; it has: {there}")
    return asked


def _drawn(n: int, config: ProjectConfig, progress: Progress) -> NDArray[np.int64]:
    if n <= config.samples:
        return np.arange(n)
    progress.say(f"{config.samples:,} of {n:,} samples, drawn at random; --samples shows more")
    return np.sort(np.random.default_rng(config.seed).permutation(n)[: config.samples])


def _read(samples: MappedFeatures, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    X: NDArray[np.float32] = samples[rows]
    return X


def _named(method: Method) -> str:
    return {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}[method]


def _as_numbers(column: pa.ChunkedArray, is_text: bool) -> pa.ChunkedArray | None:
    """A column of numbers, or where it ``is_text`` of texts that all are; None: some value is a name.

    Metadata is text, whatever it was in the table that it came from; what is empty is missing.
    """
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64())
    if not is_text or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    said = pc.utf8_trim_whitespace(column)
    try:
        numbers = pc.if_else(pc.equal(said, ""), None, said).cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return numbers if pc.any(pc.is_finite(numbers)).as_py() else None


def _cell(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)
