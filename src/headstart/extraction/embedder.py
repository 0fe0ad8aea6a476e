"""A scikit-learn transformer from raw inputs to cached features."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from headstart.cache.store import Cache
from headstart.config import ExtractConfig
from headstart.data import SourceOptions, open_source
from headstart.data.held_tables import inputs_in
from headstart.errors import ConfigError, DataError
from headstart.extraction.backbone import OpenedBackbone, check_modality
from headstart.extraction.fill import fill
from headstart.extraction.long_texts import ShortTexts, TokenCounter, check_on_long, long_of
from headstart.extraction.plan import plan_extraction
from headstart.extraction.samples import register
from headstart.network import forbid_network
from headstart.progress import open_progress
from headstart.trust import trust_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from headstart.contracts import Source
    from headstart.extraction.long_texts import LongTexts
    from headstart.types import Modality


_WARNED: set[tuple[str, int | None]] = set()
PROBES: dict[Modality, list[Any]] = {
    "text": ["a"],
    "text-pair": [("a", "b")],
    "image": [np.zeros((32, 32, 3), dtype=np.uint8)],
    "image-text": [(np.zeros((32, 32, 3), dtype=np.uint8), "a")],
}
"""An input of each kind, whose features say how wide all are."""


class Embedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Frozen features of raw inputs, computed once and kept in the cache.

    There is nothing in it but its parameters: it is cloned and saved as they are, by ``skops.io`` without pickle. In a
    ``ColumnTransformer`` it takes one column, or two as pairs.

    Parameters
    ----------
    backbone : str
        As for ``headstart extract``.
    tap : str, optional
        None: where the model's authors read it.
    cache : str, optional
    precision, dtype, max_length, on_long, image_size, crop_pct, weights, prompt, normalize, device, batch_size,
    offline, runtime
        As for ``headstart extract``. Texts that are cut are warned of, once; with ``skip`` and ``refuse`` a long one is
        an error, as a transformer has no row to leave out.
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What the inputs are. Needed only where strings go into a backbone that takes both images (by
        path) and texts.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.linear_model import LogisticRegression
    >>> make_pipeline(Embedder("bundled:all-minilm-l6-v2"), LogisticRegression())
    Pipeline(steps=[('embedder', Embedder(backbone='bundled:all-minilm-l6-v2')),
                    ('logisticregression', LogisticRegression())])
    """

    def __init__(
        self,
        backbone: str,
        tap: str | None = None,
        cache: str | None = None,
        precision: str = "auto",
        dtype: str | None = None,
        max_length: int | None = None,
        image_size: int | None = None,
        crop_pct: float | None = None,
        weights: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        modality: Modality | None = None,
        device: str = "auto",
        batch_size: int | None = None,
        offline: bool = False,
        on_long: str = "truncate",
        runtime: str = "auto",
    ) -> None:
        self.backbone = backbone
        self.tap = tap
        self.cache = cache
        self.precision = precision
        self.dtype = dtype
        self.max_length = max_length
        self.image_size = image_size
        self.crop_pct = crop_pct
        self.weights = weights
        self.prompt = prompt
        self.normalize = normalize
        self.modality = modality
        self.device = device
        self.batch_size = batch_size
        self.offline = offline
        self.on_long = on_long
        self.runtime = runtime

    def fit(self, X: Any, y: Any = None) -> Self:
        """Nothing to fit: the backbone is frozen."""
        return self

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names for the D features, ``embedder0`` and so on; for a width that is not known yet the backbone is loaded.

        Parameters
        ----------
        input_features : ignored
        """
        return np.array([f"embedder{number}" for number in range(self._width())], dtype=object)

    def _width(self) -> int:
        """D, as `transform` found it, else as the backbone says."""
        known, width = getattr(self, "_found", (None, 0))
        if known == self.get_params():
            return int(width)
        return len(self._transform(PROBES[self.modality or self._takes()])[0])

    def _takes(self) -> Modality:
        opened = OpenedBackbone(
            self.backbone,
            self._config([]).backbone_options(None),
            Cache(self.cache),
            open_progress(quiet=True),
        )
        return opened.info.modality

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_found"}

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: Iterable[Any]) -> NDArray[np.float32]:
        """Features of N inputs.

        Parameters
        ----------
        X : iterable
            N inputs, as `headstart.extract` takes them; a DataFrame of one column, or of two as pairs.

        Returns
        -------
        ndarray of float32, shape (N, D)

        Raises
        ------
        ConfigError
            X is one input, and no sequence of them.
        DataError
            An input cannot be used; a transformer has no row to leave out.
        """
        if isinstance(X, str | bytes):
            raise ConfigError("X is one input; give a sequence of inputs, such as [X]")
        found = self._transform(inputs_in(X))
        self._found = (self.get_params(), found.shape[1])
        return found

    def _transform(self, items: Sequence[Any]) -> NDArray[np.float32]:
        if not len(items):
            raise DataError("there is no input to transform")
        config = self._config(items)
        trust_named(config.backbone)
        if config.offline:
            forbid_network()
        progress = open_progress(quiet=True)
        cache = Cache(config.cache)
        kind = self._kind_of(next((item for item in items if item is not None), None))
        opened = OpenedBackbone(config.backbone, config.backbone_options(kind), cache, progress)
        source: Source = open_source(items, SourceOptions(labels=False), kind or opened.info.modality)
        check_modality(source, opened.info)
        check_on_long(config.on_long, opened.info)
        if config.on_long in ("skip", "refuse"):
            source = ShortTexts(source, [TokenCounter(opened, config)], refuses=True)
        samples = register(source, cache.keys, progress)
        plan = plan_extraction(cache, config, opened.info, source, samples)
        filled = fill(plan, opened, config, progress)
        failures = [*samples.failures, *filled.failures]
        if failures:
            raise DataError(f"input {failures[0].id} cannot be used: {failures[0].reason}")
        self._warn(long_of(plan))
        return plan.spaces[0].gather(samples.keys).values.astype(np.float32, copy=False)

    def _warn(self, found: LongTexts | None) -> None:
        """Warn of texts that are cut, once for each backbone and length."""
        said = (self.backbone, found.max_length if found else None)
        if found is None or not found.longer or found.in_windows or said in _WARNED:
            return
        _WARNED.add(said)
        warnings.warn(f"{self.backbone}: {found}; on_long says what else to do", UserWarning, stacklevel=4)

    def _kind_of(self, item: Any) -> Modality | None:
        """What an input is; None where only the backbone can tell: strings are texts or paths."""
        if self.modality is not None:
            return self.modality
        if isinstance(item, tuple):
            return "text-pair" if isinstance(item[0], str) else "image-text"
        return None if item is None or isinstance(item, str) else "image"

    def _config(self, items: Sequence[Any]) -> ExtractConfig:
        own = ("tap", "modality")
        options = {name: value for name, value in self.get_params().items() if name not in own}
        return ExtractConfig(data=items, taps=[self.tap] if self.tap else None, **options)
