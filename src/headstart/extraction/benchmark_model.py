"""An `Embedder` as mteb's tasks use a model: batches in, vectors out; who it is, and how its vectors are compared.

Source: mteb 2.26, `models/models_protocols.py` (EncoderProtocol). mteb is imported where it asks, and then it is there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import rfc8785

from headstart.backbones import short_name
from headstart.errors import ConfigError
from headstart.words import counted

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from headstart.types import Json, Modality


# Of the options of an encoder: what changes no vector here.
_INERT = {"batch_size", "show_progress_bar", "convert_to_numpy", "num_proc"}
_EXACT = {"precision": (None, "float32"), "convert_to_tensor": (None, False)}
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


@dataclass(frozen=True, slots=True)
class BenchmarkInputs:
    """The samples of all batches, in their order, and what they are."""

    items: list[Any]
    kind: Modality

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Which are texts without a letter: corpora have them, and no model makes anything of them."""
        return np.array([isinstance(item, str) and not item.strip() for item in self.items], dtype=bool)


def read_batches(batches: Iterable[Any], pairs: bool) -> BenchmarkInputs:
    """Texts, pictures or, with ``pairs``, both of each sample, out of mteb's batches or of a sequence of them.

    Raises `ConfigError` if a batch has nothing that a backbone reads, or both where one of them is meant.
    """
    if isinstance(batches, str | bytes | Mapping):
        raise ConfigError("encode takes many inputs; give a sequence of them, such as [X]")
    items: list[Any] = []
    kinds: set[Modality] = set()
    for batch in batches:
        found, kind = _read_batch(batch, pairs)
        items += found
        kinds.add(kind)
    if len(kinds) > 1:
        raise ConfigError(f"inputs are {' and '.join(sorted(kinds))}; encode one kind at a time")
    return BenchmarkInputs(items, kinds.pop() if kinds else "text")


def _read_batch(batch: Any, pairs: bool) -> tuple[list[Any], Modality]:
    if not isinstance(batch, Mapping):
        return [batch], "text" if isinstance(batch, str) else "image"
    texts, images = batch.get("text"), batch.get("image")
    if texts is not None and images is not None and pairs:
        return list(zip(images, texts, strict=True)), "image-text"
    if texts is not None and images is not None:
        raise ConfigError(
            "the inputs have a picture and a text each; say modality='image-text' with a backbone of both"
        )
    if texts is not None:
        return list(texts), "text"
    if images is not None:
        return list(images), "image"
    raise ConfigError(f"the inputs have neither texts nor pictures, but {', '.join(map(str, batch))}")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what would change vectors and cannot here."""
    for name, value in options.items():
        if name in _EXACT and value not in _EXACT[name]:
            raise ConfigError(f"encode gives float32 vectors of numpy, not {name}={value!r}; leave it out")
        if name not in _INERT and name not in _EXACT:
            raise ConfigError(f"encode has no option {name!r}; what a vector is like is said to the Embedder")


def with_blanks(
    inputs: BenchmarkInputs, compute: Callable[[list[Any]], NDArray[np.float32]], width: Callable[[], int]
) -> NDArray[np.float32]:
    """Vectors of all inputs: zeros for blank texts, which are then similar to nothing."""
    blank = inputs.blank
    if not blank.any():
        return compute(inputs.items)
    texts = counted(int(blank.sum()), "blank text")
    warnings.warn(f"{texts} of {len(blank):,} get a vector of zeros", UserWarning, stacklevel=3)
    usable = [item for item, is_blank in zip(inputs.items, blank, strict=True) if not is_blank]
    found = compute(usable) if usable else np.zeros((0, width()), dtype=np.float32)
    vectors = np.zeros((len(blank), found.shape[1]), dtype=np.float32)
    vectors[~blank] = found
    return vectors


def similarities(name: str, first: Any, second: Any, pairwise: bool) -> torch.Tensor:
    """How similar the vectors of two arrays are: all with all, or each with its own; as sentence-transformers does."""
    import torch

    a, b = (torch.as_tensor(part).float() for part in (first, second))
    a, b = (part[None] if part.ndim == 1 else part for part in (a, b))
    if name not in SIMILARITIES:
        raise ConfigError(f"the model compares vectors by {name!r}; known are {', '.join(SIMILARITIES)}")
    if name == "cosine":
        a, b = (torch.nn.functional.normalize(part, dim=1) for part in (a, b))
    if name in ("cosine", "dot"):
        return (a * b).sum(dim=1) if pairwise else a @ b.T
    order = 2.0 if name == "euclidean" else 1.0
    far: torch.Tensor = (
        torch.linalg.vector_norm(a - b, ord=order, dim=1) if pairwise else torch.cdist(a, b, p=order)
    )
    return -far


def describe_model(spec: str, recipe: Mapping[str, Json], similarity: str, **known: Any) -> Any:
    """What mteb keeps beside results (`ModelMeta`): the name, and as a revision the digest of all that decides vectors.

    So results that mteb has on disk are those of this recipe, or they are not taken for its own.
    """
    from mteb.models import ModelMeta

    kind, _, name = spec.partition(":")
    own = name if kind == "hf" and name.count("/") == 1 and not name.startswith((".", "/")) else None
    revision = blake2b(rfc8785.dumps(cast("Any", recipe)), digest_size=10).hexdigest()
    said = {
        "name": own or f"headstart/{short_name(spec)}",
        "revision": revision,
        "similarity_fn_name": similarity,
        "open_weights": True,
        **known,
    }
    return ModelMeta(**{**ModelMeta.create_empty().model_dump(), **said})
