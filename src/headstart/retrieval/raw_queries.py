"""Texts and images that are looked for: opened as the data that they are, and their vectors, through the cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data import SourceOptions, open_source
from headstart.data.contents import is_image
from headstart.data.memory import is_image_like
from headstart.data.objects import HeldSamples as HeldInputs
from headstart.data.objects import names_data
from headstart.data.shown import text_of
from headstart.errors import ConfigError, DataError
from headstart.extraction.beside import check_comparable, prompt_within, prompts_behind, vectors_of_source
from headstart.places import expanded
from headstart.retrieval.contents import QueryContents
from headstart.retrieval.queries import Queries
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.cache.set_state import SetState
    from headstart.cache.sets import HeldSamples
    from headstart.contracts import Progress, Source
    from headstart.extraction.beside import VectorsBeside
    from headstart.retrieval.options import Asked, SearchOptions
    from headstart.types import Modality


def read_raw_queries(held: HeldSamples, asked: Asked, options: SearchOptions, progress: Progress) -> Queries:
    """Texts or images, by the backbone of the feature; see `headstart.retrieval.queries.read_queries`."""
    features = held.of
    source = _open(features, held, asked, options)
    is_counted = asked.query is not None and not isinstance(asked.query, str | os.PathLike)
    return _beside(features, held, source, options, progress, is_counted)


def _open(features: SetState, held: HeldSamples, asked: Asked, config: SearchOptions) -> Source:
    """Texts or images, as the data that they are."""
    own: Modality = features.info["source"]["modality"]
    options = SourceOptions(
        labels=False,
        text_column=config.text_column,
        image_column=config.image_column,
        encoding=config.encoding,
    )
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
    features: SetState,
    held: HeldSamples,
    source: Source,
    config: SearchOptions,
    progress: Progress,
    is_counted: bool,
) -> Queries:
    """The vectors of texts or images by the backbone of the feature, through the cache.

    Queries that ``is_counted`` are asked for by their numbers, so none of them may be left out.
    """
    ref = held.feature
    check_comparable(features, ref, source.modality)
    prompt = _prompt(features, held, source.modality, config, progress)
    found = vectors_of_source(features, ref, source, config.compute(features.cache), progress, prompt)
    _say_failures(found, progress, is_counted)
    rows = np.flatnonzero(found.held)
    names = _names(source, found, rows)
    own = np.full(len(rows), -1, dtype=np.int64)
    part = _part(features, source.modality, found.X.shape[1])
    contents = QueryContents(source.payload if source.modality == "image" else None, rows.tolist())
    return Queries(names, found.X, own, part, contents)


def _prompt(
    features: SetState, held: HeldSamples, modality: Modality, config: SearchOptions, progress: Progress
) -> str | None:
    """The words before each query: those that are asked for, or the model's own; None: those of the feature."""
    if config.query_prompt is not None:
        if modality != "text":
            raise ConfigError("--query-prompt stands before texts, and the queries are images; leave it out")
        return config.query_prompt
    declared = prompts_behind(features, held.feature, modality, config.compute(features.cache).offline)
    if declared.query is not None:
        progress.say(
            f"before each query stands {declared.query!r}, as the model's authors have it; --query-prompt says other "
            "words"
        )
    own = features.info["source"].get("modality")
    if declared.document is not None and own == modality and prompt_within(features, held.feature) is None:
        progress.say(
            f"set {features.name!r} was extracted without {declared.document!r}, which the model's authors put before "
            "texts that are searched, and ranks may be worse for it; for a set with it: headstart extract --prompt "
            f"{declared.name_of(declared.document)}"
        )
    return declared.query


def _part(features: SetState, modality: Modality, width: int) -> slice | None:
    """Of pairs of image and text, whose vectors stand side by side, those of the other kind than the query's."""
    if features.info["source"]["modality"] != "image-text":
        return None
    return slice(0, width) if modality == "text" else slice(width, 2 * width)


def _say_failures(found: VectorsBeside, progress: Progress, is_counted: bool) -> None:
    if not found.held.any():
        first = found.failures[0] if found.failures else None
        why = f"{first.id}: {first.reason}" if first else "there is none"
        raise DataError(f"no query could be read; {why}")
    if n := len({(failure.id, failure.key) for failure in found.failures}):
        first = found.failures[0]
        if is_counted:
            raise DataError(f"query {first.id} cannot be used: {first.reason}; leave it out")
        progress.say(f"{counted(n, 'query')} left out; {first.id}: {first.reason}")


def _names(source: Source, found: VectorsBeside, rows: NDArray[np.int64]) -> list[str]:
    """Texts as they are, images by their ids."""
    if source.modality == "text":
        return [text_of(source.payload(row)) for row in rows.tolist()]
    ids = found.samples.table.column("id").to_pylist()
    return [ids[row] for row in rows.tolist()]
