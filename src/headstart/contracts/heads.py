"""What fitting asks of heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.types import (
        LabelKind,
        PathStep,
    )


class Head(Protocol):
    """A scikit-learn estimator over features that can be kept as tensors and JSON.

    A classifier has ``classes_`` and ``predict_proba``, a regressor has neither.
    """

    kind: str
    """Its name, as `open_head` takes it."""
    fitted: tuple[str, ...]
    """Attributes besides the tensors that are kept with a saved head."""
    trains_by_epochs: bool
    """Whether ``fit`` takes callbacks, views and a checkpoint, and features that stay on disk."""
    trains_side_by_side: bool
    """Whether several of them can be trained in one pass."""
    is_thread_safe: bool
    """Whether several of them can be fitted in threads at once, each by one thread of BLAS."""
    computes_in_torch: bool
    """Whether fitting imports torch in any case."""
    takes_sequences: bool
    """Whether a sample is several vectors."""
    takes_passages: bool
    """Whether it is told where these stand in a context: then features are `headstart.samples.Passages`."""
    takes_views: bool
    """Whether training draws features of changed copies."""
    takes_unlabelled: bool
    """Whether ``fit`` takes features of train samples without a label as well, as ``unlabelled``."""
    path_parameter: str | None
    """The parameter of which several values are fitted in one go, as a `PathHead` does; None: of none."""
    fits_beside: bool
    """Whether heads of several labels of the same samples are fitted in one go, as a `BesideHead` does."""
    learns_from_labels: bool
    """Whether it is fitted on labels at all."""
    starts_from_names: bool
    """Whether it needs `class_vectors`, set before it is fitted."""
    class_vectors: Any
    """What the names of classes are in the space of its features (`headstart.class_vectors.ClassVectors`), or None."""
    n_features_in_: int

    @property
    def task(self) -> LabelKind:
        """What it predicts; known once it is fitted."""

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None, **more: Any) -> Any:
        """Fit on features and labels; what has to be chosen is chosen on validation data."""

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels, or numbers."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What it was made with."""

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """What was fitted, as arrays that go into a safetensors file."""

    def files(self) -> Mapping[str, bytes]:
        """What is kept beside them, by the names of files."""


class PathHead(Head, Protocol):
    """A head for which several values of one parameter cost little more than one."""

    path_parameter: str

    def fit_path(self, values: Sequence[Any], X: Any, y: Any, guides: Sequence[Any] = ()) -> list[PathStep]:
        """Heads that differ from this one in `path_parameter` alone, each as if it were fitted alone.

        Parameters
        ----------
        values : sequence of float
            Of the parameter, ascending.
        guides : sequence, optional
            One for each value: what a path over similar samples, such as another fold, gave with it, or None. They
            change how soon a head is found, not which.
        """

    def answer_path(self, heads: Sequence[Head], X: Any) -> Iterator[Head]:
        """The heads of a path, one after the other, as they are for X alone, which all of them look at together."""


class BesideHead(Head, Protocol):
    """A head that shares what depends on the features alone with the heads of other labels of the same samples."""

    def fit_beside(self, heads: Sequence[Any], X: Any, labels: Sequence[tuple[Any, Any, Any]]) -> None:
        """Fit heads of one kind and of equal parameters, this one first, each as if it were fitted alone.

        Parameters
        ----------
        X : array-like, shape (N, D)
        labels : sequence of (y, X_val, y_val)
            Of each head, as `Head.fit` takes them.
        """
