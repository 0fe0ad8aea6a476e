"""Features in two dimensions, to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from headstart.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["pca", "tsne", "umap"]
METHODS: tuple[Method, ...] = ("pca", "tsne", "umap")
PERPLEXITY = 30.0
AXES_BEFORE = 50
"""Principal components that t-SNE and UMAP start from: the rest is mostly noise to distances, and slow."""


def check_method(method: str) -> Method:
    """A method by its name, and whether its library is here, before any work is done.

    Raises
    ------
    ConfigError, MissingDependencyError
    """
    for known in METHODS:
        if method == known:
            if known == "umap":
                _umap()
            return known
    raise ConfigError(f"there is no projection {method!r}; choose from: {', '.join(METHODS)}")


def project(X: NDArray[Any], method: Method, seed: int = 0) -> NDArray[np.float32]:
    """Points in the plane, shape (N, 2).

    Parameters
    ----------
    X : ndarray of shape (N, D)
    method : {"pca", "tsne", "umap"}
        pca: the two directions of the largest variance; distances mean something everywhere, and new data would fit
        in. tsne (van der Maaten and Hinton 2008), umap (McInnes, Healy and Melville 2018): neighbours stay
        neighbours; sizes of clusters and distances between them mean nothing.
    seed : int
        Of tsne and umap: the same gives the same points.

    Raises
    ------
    ConfigError
        There are fewer than four samples.
    """
    if len(X) < 4:
        raise ConfigError(f"a projection of {len(X)} samples says nothing; it takes four or more")
    match method:
        case "pca":
            return _principal(X, 2)
        case "tsne":
            return _tsne(_principal(X, AXES_BEFORE), seed)
        case "umap":
            made: NDArray[np.float32] = _umap()(
                n_neighbors=min(15, len(X) - 1), init="pca", random_state=seed, n_jobs=1
            ).fit_transform(_principal(X, AXES_BEFORE))
            return made


def _principal(X: NDArray[Any], n_axes: int) -> NDArray[np.float32]:
    """The first principal components; each points where its largest loading is positive."""
    from sklearn.decomposition import PCA

    fitted = PCA(
        min(n_axes, *X.shape), svd_solver="full" if min(X.shape) < 500 else "randomized", random_state=0
    )
    points = np.asarray(fitted.fit_transform(X), dtype=np.float32)
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    return points


def _tsne(X: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(X) - 1) / 3)
    points = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(X)
    return np.asarray(points, dtype=np.float32)


def _umap() -> Any:
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingDependencyError("umap-learn", "a UMAP projection", "umap") from error
    return UMAP
