"""Search in a set."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from headstart.api import shared
from headstart.options import Option, Positive, StrPath, public

if TYPE_CHECKING:
    from headstart.matches import Matches


def read_where(given: Any, said: str) -> dict[str, list[str]]:
    """The values of each column."""
    from headstart.retrieval.filters import read_where

    return read_where(given, said)


@public
def search(
    set: shared.SetArgument,
    query: Annotated[
        Any,
        Option(
            "A text, the path of an image, or a file or folder of texts or images.",
            metavar="QUERY",
            is_argument=True,
        ),
    ] = None,
    *,
    like: Annotated[
        str | Sequence[str] | None,
        Option("In the place of QUERY: a sample of the set; repeatable.", metavar="ID", repeats=True),
    ] = None,
    text: Annotated[
        str | Sequence[str] | None,
        Option(
            "In the place of QUERY: a text, whatever it looks like; repeatable.", metavar="TEXT", repeats=True
        ),
    ] = None,
    image: Annotated[
        StrPath | Sequence[StrPath] | None,
        Option("In the place of QUERY: the path of an image; repeatable.", metavar="FILE", repeats=True),
    ] = None,
    k: Annotated[Positive, Option("Answers per query.", flags="-k")] = 20,
    score: Annotated[
        Literal["cosine", "dot"], Option("What is compared: cosines, or products of vectors as they are.")
    ] = "cosine",
    where: Annotated[
        Mapping[str, Any] | Sequence[str] | str | None,
        Option(
            "Among these samples alone: label=NAME, meta:COLUMN=VALUE …; repeatable: several values of one column "
            "are alternatives.",
            metavar="COLUMN=VALUE",
            repeats=True,
            reads=read_where,
        ),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None, Option("Among the samples of one split alone.")
    ] = None,
    tap: shared.OneTap = None,
    backbone: shared.OneBackbone = None,
    query_prompt: Annotated[
        str | None,
        Option(
            "Put before each text that is looked for: words, or the name of one of the model's prompts. Default: the "
            "model's own for queries, where its authors name one."
        ),
    ] = None,
    with_inputs: Annotated[
        bool | None,
        Option(
            "Add a column with each text, or the file of each image. Default: of texts, in sets of up to 100,000."
        ),
    ] = None,
    sheet: Annotated[
        StrPath | None,
        Option("Write a contact sheet, .png or .html: pictures or texts with their scores.", metavar="FILE"),
    ] = None,
    overwrite: shared.Overwrite = False,
    data: Annotated[
        Any, Option("Where the data is now, if it has moved.", metavar="DATA", reads=shared.check_data)
    ] = None,
    cache: shared.CacheDir = None,
    trust: shared.Trust = None,
    quiet: bool = True,
    text_column: Annotated[
        str | None, Option("Texts of a QUERY that is a table.", shared.READING, "NAME")
    ] = None,
    image_column: Annotated[
        str | None, Option("Images of a QUERY that is a table.", shared.READING, "NAME")
    ] = None,
    encoding: Annotated[str, Option("Of a QUERY that is a file of texts.", shared.READING)] = "utf-8",
    format: shared.Format = "hdf5",
    device: shared.Device = "auto",
    runtime: shared.Runtime = "auto",
    batch_size: shared.BatchSize = None,
    workers: shared.Workers = None,
    offline: shared.Offline = False,
) -> "Matches":
    """Find the samples of a set that are nearest to a text, an image or another sample, exactly, by cached features.

    Of a dual encoder such as CLIP a text finds images, and an image texts; of pairs of image and text it is compared
    with the other half. The vectors of queries are kept in the cache as all features are.

    Parameters
    ----------
    set : FeatureSet or str
        A set, or its name.
    query : str, path, image, sequence of them, or array of shape (D,) or (N, D), optional
        A string that is there as a path is data, one that looks like a path and is not there is refused, any other is a
        text. An array of floats is a vector, or several, in the space of the feature.
    like : str or sequence of str, optional
        Ids of samples; none is an answer to itself.
    where : mapping, sequence of str or str, optional
        ``{"label": "shoes"}`` or ``"label=shoes"``. Conditions on several columns all hold.
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    Matches
        A sequence of answers: ``.table()`` is Arrow, ``.of(0)`` the answers to the first query; a notebook shows
        pictures or texts.

    Raises
    ------
    ConfigError
        The feature cannot be compared with the query, or there is no such column.
    DataError
        There is no such set, sample, file or value.
    """
    given = locals()
    from pathlib import Path

    from headstart.cache.store import Cache
    from headstart.progress import open_progress
    from headstart.retrieval.options import Asked, SearchOptions
    from headstart.retrieval.stage import search

    target = None if sheet is None else Path(sheet)
    if target is not None:
        from headstart.plots.sheet_files import check_sheet

        check_sheet(target, overwrite)
    asked = Asked(query, [str(each) for each in _several(like)], _several(text), _several(image))
    options = SearchOptions.of(given)
    features = Cache(cache).open_set(set) if isinstance(set, str) else set
    found = search(features, asked, options, open_progress(quiet))
    if target is not None:
        found.save_sheet(target, overwrite)
    return found


def _several(given: Any) -> list[Any]:
    """One or several as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]
