"""project: the features of a set in two dimensions, with what they are coloured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, nulls_of, numbers_or_nan, strings, with_columns
from headstart.backbones.pooling import display_tap
from headstart.cache.layout import LABEL
from headstart.cache.store import Cache
from headstart.config import Config
from headstart.errors import ConfigError, MissingDependencyError
from headstart.options import Range, Seed, did_you_mean
from headstart.plots import scatter_plot
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet
    from headstart.contracts import Progress
    from headstart.plots import Plot

META = "meta:"
NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
PERPLEXITY = 30.0
AXES_BEFORE = 50
"""Principal components that t-SNE and UMAP start from: the rest is mostly noise to distances, and slow."""


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
    to: Literal["atlas", "spotlight", "fiftyone"] | None
    vectors: bool | None
    neighbours: Literal["exact", "approximate"]
    cache: str | None
    digest: str | None = None


@dataclass(frozen=True)
class DrawnSamples:
    """The samples of a set that were drawn, with the features that they were projected from."""

    features: FeatureSet
    table: pa.Table
    """All columns of the set, a row for each point."""
    X: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Projection:
    """Points in the plane."""

    table: pa.Table
    """``id``, ``key``, ``split``, the column that it is coloured by, and ``x`` and ``y`` as float32."""
    colour: str | None
    """The column that it is coloured by; None if there is none."""
    title: str
    drawn: DrawnSamples | None = None
    """The samples themselves; None where points alone are shown."""

    def plot(self) -> Plot:
        """A scatter plot: categories by name, numbers by a colour bar."""
        points = np.stack(
            [numbers_or_nan(self.table.column(name).cast(pa.float64())) for name in "xy"], axis=1
        )
        return scatter_plot(
            points, self._colours(), self.title, (self.colour or "").partition(":")[2] or "label"
        )

    def __repr__(self) -> str:
        return f"Projection({self.title!r}, {counted(self.table.num_rows, 'point')})"

    def _repr_png_(self) -> bytes:
        return self.plot().png()

    def _colours(self) -> NDArray[Any]:
        if self.colour is None:
            return np.full(self.table.num_rows, "")
        column = self.table.column(self.colour)
        numbers = as_numbers(column, is_text=self.colour.startswith(META))
        if numbers is not None:
            return numbers_or_nan(numbers)
        cells = [
            " + ".join(map(str, value)) if isinstance(value, list) else str(value)
            for value in column.to_pylist()
        ]
        return np.where(nulls_of(column), "(none)", np.array(cells, dtype=np.str_))


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
    progress.say(f"{method} of {counted(len(rows), 'sample')} at {said}")
    X, whole = samples[rows], samples.table.take(column_of(rows))
    points = project(X, method, config.seed)
    names = list(dict.fromkeys(["id", "key", "split", *([colour] if colour else [])]))
    table = with_columns(whole.select(names), {name: column_of(points[:, n]) for n, name in enumerate("xy")})
    title = f"{NAMES[method]} of {config.set}, {said}"
    return Projection(table, colour, title, DrawnSamples(features, whole, X))


def _colour_column(features: FeatureSet, asked: str | None) -> str | None:
    names = [name for name in features.samples.column_names if name.startswith((LABEL, META))]
    if asked is None:
        return LABEL + features.label_column() if features.label_names else None
    if asked == "label":
        return LABEL + features.label_column()
    if asked not in (*names, "split"):
        hint = did_you_mean(asked, ["split", *names], "it has")
        raise ConfigError(f"set {features.name!r} has no column {asked!r} to colour by{hint}")
    return asked


def _drawn(n: int, config: ProjectConfig, progress: Progress) -> NDArray[np.int64]:
    if n <= config.samples:
        return np.arange(n)
    progress.say(f"{config.samples:,} of {n:,} samples, drawn at random; --samples shows more")
    return np.sort(np.random.default_rng(config.seed).permutation(n)[: config.samples])


def as_numbers(column: pa.ChunkedArray, is_text: bool) -> pa.ChunkedArray | None:
    """A column of numbers, or where it ``is_text`` of texts that all are; None: some value is a name.

    Metadata is text, whatever it was in the table that it came from; what is empty is missing.
    """
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64())
    if not is_text or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    said = pc.utf8_trim_whitespace(column)
    blank = pc.is_in(said, value_set=strings([""]))
    try:
        # Columns of one value, for a Python value would become a scalar by way of pandas.
        numbers = pc.if_else(blank, pa.nulls(1, pa.string())[0], said.cast(pa.string())).cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return numbers if pc.any(pc.is_finite(numbers)).as_py() else None


def check_method(method: str) -> str:
    """Check that there is such a method, and that its library is here, before any work is done.

    Raises
    ------
    ConfigError, MissingDependencyError
    """
    if method not in NAMES:
        raise ConfigError(f"there is no projection {method!r}; choose from: {', '.join(NAMES)}")
    if method == "umap":
        _umap()
    return method


def project(X: NDArray[Any], method: str, seed: int = 0) -> NDArray[np.float32]:
    """Points in the plane, shape (N, 2), of features (N, D).

    pca: the two directions of the largest variance; distances mean something everywhere, and new data would fit in.
    tsne (van der Maaten and Hinton 2008), umap (McInnes, Healy and Melville 2018): neighbours stay neighbours; sizes of
    clusters and distances between them mean nothing, and the same seed gives the same points.

    Raises
    ------
    ConfigError
        There are fewer than four samples.
    """
    if len(X) < 4:
        raise ConfigError(f"a projection of {len(X)} samples says nothing; it takes four or more")
    if method == "pca":
        points = principal_components(X, 2)
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    axes = principal_components(X, AXES_BEFORE)
    if method == "tsne":
        from sklearn.manifold import TSNE

        made: Any = TSNE(2, perplexity=min(PERPLEXITY, (len(X) - 1) / 3), init="pca", random_state=seed)
    else:
        made = _umap()(n_neighbors=min(15, len(X) - 1), init="pca", random_state=seed, n_jobs=1)
    return np.asarray(made.fit_transform(axes), dtype=np.float32)


def principal_components(X: NDArray[Any], n_axes: int) -> NDArray[np.float32]:
    """The first principal components, as many as there are; each points where its largest loading is positive."""
    from sklearn.decomposition import PCA

    fitted = PCA(
        min(n_axes, *X.shape), svd_solver="full" if min(X.shape) < 500 else "randomized", random_state=0
    )
    return np.asarray(fitted.fit_transform(X), dtype=np.float32)


def _umap() -> Any:
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingDependencyError("umap-learn", "a UMAP projection", "umap") from error
    return UMAP
