"""What is looked for: texts, images, samples of the set, or vectors; and their vectors in the space of its feature."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import positions_in, strings
from headstart.backbones.pooling import display_tap
from headstart.data import SourceOptions, open_source
from headstart.data.contents import is_image
from headstart.data.memory import is_image_like
from headstart.data.objects import HeldSamples as HeldInputs
from headstart.data.objects import names_data
from headstart.data.pixels import as_array, is_array
from headstart.data.shown import text_of
from headstart.errors import ConfigError, DataError
from headstart.extraction.beside import check_comparable, query_prompt, vectors_of_source
from headstart.options import did_you_mean
from headstart.places import expanded
from headstart.retrieval.contents import QueryContents
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.sets import FeatureSet, HeldSamples
    from headstart.contracts import Progress, Source
    from headstart.extraction.beside import VectorsBeside
    from headstart.retrieval.stage import SearchConfig
    from headstart.types import Modality

MOST_COMPARED = 20_000
"""Ids among which the nearest to a mistyped one is looked for."""
LONGEST_SAID = 80


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for, in one of four forms.

    Parameters
    ----------
    query : optional
        A text, an image, the path of an image or of data, several texts or images, or vectors (D,) or (N, D).
    like : sequence of str
        Ids of samples of the set.
    texts, images : sequence
        What is a text, and what an image, whatever it looks like.
    """

    query: Any = None
    like: Sequence[str] = ()
    texts: Sequence[str] = ()
    images: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Queries:
    """Q queries.

    Parameters
    ----------
    names : sequence of str
        Their texts, the paths of their images, or their ids.
    X : ndarray of shape (Q, D)
    own : ndarray of int64, shape (Q,)
        Their numbers among the samples that are searched; -1 where they are none.
    part : slice, optional
        The columns of the feature that they are compared with; None: all.
    contents : QueryContents
        What is shown of them.
    """

    names: Sequence[str]
    X: NDArray[Any]
    own: NDArray[np.int64]
    part: slice | None = None
    contents: QueryContents = field(default_factory=QueryContents)


def read_queries(
    features: FeatureSet,
    everything: HeldSamples,
    among: HeldSamples,
    asked: Asked,
    config: SearchConfig,
    progress: Progress,
) -> Queries:
    """Queries in whichever form they are asked.

    Raises
    ------
    ConfigError
        None or several forms are given, a text is empty, or the feature cannot be compared with them.
    DataError
        There is no such sample or file, or it cannot be read.
    """
    given = [asked.query is not None, bool(asked.like), bool(asked.texts), bool(asked.images)]
    if sum(given) != 1:
        raise ConfigError(
            "say what to look for: a text, the path of an image or a file of them, or --like ID"
            if not any(given)
            else "QUERY, --like, --text and --image each say what to look for; leave all but one out"
        )
    if asked.like:
        return _samples_like(everything, among, asked.like)
    if (vectors := _vectors(asked.query)) is not None:
        return _given_vectors(everything, vectors)
    source = _open(features, everything, asked, config)
    return _beside(features, everything, source, config, progress)


def _samples_like(everything: HeldSamples, among: HeldSamples, ids: Sequence[str]) -> Queries:
    """Samples of the set, whether they are among those that are searched or not."""
    known = everything.columns(["id"]).column("id")
    rows = positions_in(strings(list(ids)), known)
    if (rows < 0).any():
        _refuse_id(everything, ids[int(np.flatnonzero(rows < 0)[0])])
    stored = everything.open(is_ragged=False)
    places = np.full(len(everything.chosen), -1, dtype=np.int64)
    places[among.chosen] = np.arange(len(among))
    return Queries(ids, stored.take(rows), places[np.flatnonzero(everything.chosen)[rows]])


def _refuse_id(held: HeldSamples, name: str) -> None:
    of = held.of
    if not held.chosen.all() and (positions_in(strings([name]), of.columns(["id"]).column("id")) >= 0).any():
        raise DataError(f"sample {name!r} of set {of.name!r} has no feature: it failed; see failures.jsonl")
    ids = of.columns(["id"]).column("id").slice(0, MOST_COMPARED).to_pylist()
    raise DataError(f"set {of.name!r} has no sample {name!r}{did_you_mean(name, ids, 'its ids are', most=3)}")


def _vectors(query: Any) -> NDArray[Any] | None:
    """Query vectors, shape (Q, D), of an array of floats with one or two axes, which is no image."""
    if not is_array(query):
        return None
    array = as_array(query)
    if array.dtype.kind != "f" or array.ndim not in (1, 2):
        return None
    return array.reshape(-1, array.shape[-1])


def _given_vectors(held: HeldSamples, X: NDArray[Any]) -> Queries:
    width = held.open(is_ragged=False).kind.width
    if X.shape[1] != width:
        raise ConfigError(
            f"a query has {X.shape[1]:,} numbers, and {held.feature.backbone} at {display_tap(held.feature.tap)} of "
            f"set {held.of.name!r} {width:,}"
        )
    if not len(X) or not np.isfinite(X).all():
        raise ConfigError("a query holds a number that is not finite" if len(X) else "there is no query")
    names = [f"vector {number}" for number in range(len(X))]
    return Queries(names, X, np.full(len(X), -1, dtype=np.int64))


# -- texts and images


def _open(features: FeatureSet, held: HeldSamples, asked: Asked, config: SearchConfig) -> Source:
    """Texts or images, as the data that they are."""
    own: Modality = features.info["source"]["modality"]
    options = SourceOptions(labels=False, text_column=config.text_column, image_column=config.image_column)
    if asked.texts or _is_text(asked.query):
        texts = list(asked.texts) or [asked.query]
        for text in texts:
            if not text.strip():
                raise ConfigError("a query is an empty text; say what to look for")
        check_comparable(features, held.feature, "text")
        return open_source(HeldInputs(texts), options, "text")
    if asked.images or (is_image_like(asked.query) and not isinstance(asked.query, os.PathLike)):
        check_comparable(features, held.feature, "image")
        return open_source([_located(each) for each in asked.images or [asked.query]], options, "image")
    query = asked.query
    if isinstance(query, str | os.PathLike):
        return _open_path(query, options, _wanted(own, query))
    items = [query] if not isinstance(query, Sequence) and not hasattr(query, "__iter__") else query
    return open_source(items, options, "image" if _are_images(items) else "text")


def _is_text(query: Any) -> bool:
    """Whether a string is a text: it neither is the path of data nor looks like one."""
    return isinstance(query, str) and not names_data(query, "text")


def _open_path(path: Any, options: SourceOptions, wanted: Modality) -> Source:
    try:
        return open_source(path, options, wanted)
    except DataError as error:
        if isinstance(path, str) and not os.path.exists(expanded(path)):
            raise DataError(f"{error}; --text takes it as a text") from error
        raise


def _wanted(own: Modality, path: Any) -> Modality:
    """What to read from data that has both images and texts: what the samples of the set are."""
    return "image" if is_image(str(path)) or own == "image" else "text"


def _are_images(items: Any) -> bool:
    """Whether what a program holds are images, or the paths of images that are there."""
    first = next(iter(items), None) if isinstance(items, Sequence) else None
    if isinstance(first, str):
        return is_image(first) and os.path.exists(expanded(first))
    return is_image_like(first)


def _located(image: Any) -> Any:
    if isinstance(image, str | os.PathLike):
        path = expanded(image)
        if not os.path.exists(path):
            raise DataError(f"there is no file {image}")
        return path if isinstance(path, str) else os.fspath(path)
    return image


def _beside(
    features: FeatureSet, held: HeldSamples, source: Source, config: SearchConfig, progress: Progress
) -> Queries:
    """The vectors of texts or images by the backbone of the feature, through the cache."""
    ref = held.feature
    check_comparable(features, ref, source.modality)
    prompt = _prompt(features, held, source.modality, config, progress)
    found = vectors_of_source(features, ref, source, config, progress, prompt)
    _say_failures(found, progress)
    rows = np.flatnonzero(found.held)
    names = _names(source, found, rows)
    own = np.full(len(rows), -1, dtype=np.int64)
    part = _part(features, source.modality, found.X.shape[1])
    contents = QueryContents(source.payload if source.modality == "image" else None, rows.tolist())
    return Queries(names, found.X, own, part, contents)


def _prompt(
    features: FeatureSet, held: HeldSamples, modality: Modality, config: SearchConfig, progress: Progress
) -> str | None:
    """The words before each query: those that are asked for, or the model's own; None: those of the feature."""
    if config.query_prompt is not None:
        if modality != "text":
            raise ConfigError("--query-prompt stands before texts, and the queries are images; leave it out")
        return config.query_prompt
    declared = query_prompt(features, held.feature, modality, config.offline)
    if declared is not None:
        progress.say(
            f"before each query stands {declared!r}, as the model's authors have it; --query-prompt says other words"
        )
    return declared


def _part(features: FeatureSet, modality: Modality, width: int) -> slice | None:
    """Of pairs of image and text, whose vectors stand side by side, those of the other kind than the query's."""
    if features.info["source"]["modality"] != "image-text":
        return None
    return slice(0, width) if modality == "text" else slice(width, 2 * width)


def _say_failures(found: VectorsBeside, progress: Progress) -> None:
    if not found.held.any():
        first = found.failures[0] if found.failures else None
        why = f"{first.id}: {first.reason}" if first else "there is none"
        raise DataError(f"no query could be read; {why}")
    if n := len({(failure.id, failure.key) for failure in found.failures}):
        first = found.failures[0]
        progress.say(f"{counted(n, 'query')} left out; {first.id}: {first.reason}")


def _names(source: Source, found: VectorsBeside, rows: NDArray[np.int64]) -> list[str]:
    """Texts as they are, images by their ids."""
    if source.modality == "text":
        return [text_of(source.payload(row)) for row in rows.tolist()]
    ids = found.samples.table.column("id").to_pylist()
    return [ids[row] for row in rows.tolist()]
