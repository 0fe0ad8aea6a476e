"""A model of raw inputs whose vectors come from the cache, as scikit-learn, LangChain and mteb use one."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from headstart.backbones.pooling import choose_taps
from headstart.cache.recipe import make_recipe
from headstart.config import ExtractConfig
from headstart.data.held_tables import inputs_in
from headstart.errors import ConfigError
from headstart.extraction.benchmark_model import (
    check_options,
    describe_model,
    read_batches,
    similarities,
    with_blanks,
)
from headstart.extraction.embed import Embedding, kind_of, open_for
from headstart.extraction.embedder_prompts import QUERY, TextPrompts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from headstart.types import BackboneInfo, Modality


PROBES: dict[Modality, list[Any]] = {
    "text": ["a"],
    "text-pair": [("a", "b")],
    "image": [np.zeros((32, 32, 3), dtype=np.uint8)],
    "image-text": [(np.zeros((32, 32, 3), dtype=np.uint8), "a")],
}
"""An input of each kind, whose features say how wide all are."""
_IN_MEMORY = ("_found", "_held")


class Embedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Frozen features of raw inputs, computed once and kept in the cache.

    It is cloned and saved as its parameters, by ``skops.io`` without pickle. In a ``ColumnTransformer`` it takes one
    column, or two as pairs. LangChain takes it for its ``Embeddings`` and mteb for a model. A model that had to be
    loaded for something new stays in memory as long as the embedder does.

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
    query_prompt : str, optional
        What `embed_query` puts before a query: words, or the name of one of the model's own prompts. None: the model's
        own prompt for queries, else ``prompt``; empty: nothing.
    prompts : dict of str to str, optional
        Prompts for `encode` by the name of a task of mteb, a type of tasks (``Classification``), a role (``query``,
        ``document``) or both (``Retrieval-query``); before those that the model declares.
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
        query_prompt: str | None = None,
        prompts: Mapping[str, str] | None = None,
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
        self.query_prompt = query_prompt
        self.prompts = prompts

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """An instance that LangChain, if it is there by now, takes for one of its own."""
        _register_with_langchain(cls)
        made: Self = super().__new__(cls)
        return made

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

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name not in _IN_MEMORY}

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
        found = self._vectors(inputs_in(X))
        self._found = (self.get_params(), found.shape[1])
        return found

    def embed_documents(self, texts: Iterable[str]) -> list[list[float]]:
        """Vectors of N texts that are to be found, with the model's own prompt for documents where it has one.

        Parameters
        ----------
        texts : iterable of str
        """
        if isinstance(texts, str):
            raise ConfigError("texts is one text; give a list of them, or use embed_query for a query")
        items = list(texts)
        return self._vectors(items, "text", self._prompts.document).tolist() if items else []

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text that is searched with, behind ``query_prompt``.

        Parameters
        ----------
        text : str
        """
        found: list[float] = self._vectors([text], "text", self._prompts.query)[0].tolist()
        return found

    async def aembed_documents(self, texts: Iterable[str]) -> list[list[float]]:
        """As `embed_documents`, in a thread.

        Parameters
        ----------
        texts : iterable of str
        """
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """As `embed_query`, in a thread.

        Parameters
        ----------
        text : str
        """
        return await asyncio.to_thread(self.embed_query, text)

    def encode(
        self,
        inputs: Iterable[Any],
        *,
        task_metadata: Any = None,
        hf_split: str | None = None,
        hf_subset: str | None = None,
        prompt_type: str | None = None,
        **options: Any,
    ) -> NDArray[np.float32]:
        """Vectors of N inputs as mteb asks for them, with the prompt of its task; a blank text gets zeros.

        Parameters
        ----------
        inputs : iterable
            Batches as mteb's loaders give them, with ``text`` or ``image``; or texts and pictures themselves.
        task_metadata : mteb's TaskMetadata, optional
            Its name and type choose the prompt; see ``prompts``.
        hf_split, hf_subset : ignored
        prompt_type : {"query", "document"}, optional
        **options
            Of mteb's encoders: ``batch_size`` and the like are ignored, what would change a vector is refused.

        Returns
        -------
        ndarray of float32, shape (N, D)
        """
        check_options(options)
        read = read_batches(inputs, pairs=self.modality == "image-text")
        role = None if prompt_type is None else str(prompt_type)
        prompts = self._prompts
        if read.kind != "text":
            prompt = None
        elif task_metadata is not None:
            prompt = prompts.of_task(task_metadata.name, task_metadata.type, role)
        else:
            prompt = prompts.of_task("", "", role)
        return with_blanks(read, lambda items: self._vectors(items, read.kind, prompt), self._width)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """How similar N vectors are to M others, shape (N, M), as the model's authors compare them; usually the cosine.

        Parameters
        ----------
        embeddings1, embeddings2 : array or Tensor, shape (N, D) and (M, D)
        """
        return similarities(self._similarity, embeddings1, embeddings2, pairwise=False)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """How similar N vectors are to N others, each to its own, shape (N,).

        Parameters
        ----------
        embeddings1, embeddings2 : array or Tensor, shape (N, D)
        """
        return similarities(self._similarity, embeddings1, embeddings2, pairwise=True)

    @property
    def mteb_model_meta(self) -> Any:
        """What mteb keeps beside results, with a digest of all that decides the vectors as the model's revision."""
        info = open_for(self._config([]), self.modality).info
        tap = choose_taps([self.tap] if self.tap else None, info, self.normalize)[0]
        stored = "float16" if self.dtype == "float16" else "float32"
        recipe = make_recipe(info, tap, "fp32", stored).entries  # type: ignore[arg-type]
        said = {"precision": self.precision, "on_long": self.on_long, "prompts": dict(self._prompts.given)}
        own = {"query": self._prompts.query, "document": self._prompts.document}
        return describe_model(
            self.backbone,
            {**recipe, **said, **own},
            self._similarity,
            max_tokens=info.max_length,
            n_parameters=info.provenance.get("parameters"),
            modalities=_modalities(info),
        )

    def _vectors(
        self, items: Sequence[Any], kind: Modality | None = None, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """Of items of a kind, behind a prompt; None: the kind that they look like, the prompt that the user chose."""
        config = self._config(items)
        if prompt is not None:
            config = config.model_copy(update={"prompt": prompt})
        kind = self.modality or kind or kind_of(next((item for item in items if item is not None), None))
        return self._embedding.vectors(config, kind)

    @property
    def _embedding(self) -> Embedding:
        """What is kept in memory; made when it is first needed, and neither cloned nor saved."""
        found: Embedding = self.__dict__.setdefault("_held", Embedding())
        return found

    @property
    def _prompts(self) -> TextPrompts:
        given = dict(self.prompts or {})
        if self.query_prompt is not None:
            given[QUERY] = self.query_prompt
        if wrong := [f"{name}: {said!r}" for name, said in given.items() if not isinstance(said, str)]:
            raise ConfigError(f"prompts are texts by the names of tasks or roles (got {wrong[0]})")
        return TextPrompts(lambda: self._embedding.declared(self._config([]))[0], self.prompt, given)

    @property
    def _similarity(self) -> str:
        return self._embedding.declared(self._config([]))[1]

    def _width(self) -> int:
        """D, as `transform` found it, else as the backbone says."""
        known, width = getattr(self, "_found", (None, 0))
        if known == self.get_params():
            return int(width)
        kind = self.modality or open_for(self._config([]), None).info.modality
        return len(self._vectors(PROBES[kind])[0])

    def _config(self, items: Sequence[Any]) -> ExtractConfig:
        own = ("tap", "modality", "query_prompt", "prompts")
        options = {name: value for name, value in self.get_params().items() if name not in own}
        return ExtractConfig(data=items, taps=[self.tap] if self.tap else None, **options)


def _modalities(info: BackboneInfo) -> list[str]:
    """What a backbone takes, as mteb names it."""
    return ["image", "text"] if info.modality == "image-text" else [info.modality.removesuffix("-pair")]


def _register_with_langchain(kind: type) -> None:
    """Let LangChain take a class for its ``Embeddings``: its stores ask for that, and have no use for anything else."""
    module = sys.modules.get("langchain_core.embeddings")
    if module is not None:
        module.Embeddings.register(kind)
