"""Labels of a set, corrected."""

from typing import TYPE_CHECKING

from headstart.api import shared
from headstart.options import StrPath, public

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame  # type: ignore[import-untyped]
    from pyarrow import Table

    from headstart.cache.sets import FeatureSet


@public
def correct(
    features: "FeatureSet | str",
    corrections: "StrPath | Sequence[StrPath] | Table | DataFrame",
    *,
    cache: shared.CacheDir = None,
    quiet: bool = True,
) -> "FeatureSet":
    """Correct labels of a set and drop samples from it. No feature is computed, and nothing is fitted.

    Corrections are kept with the set, and applied again when its data is extracted again.

    Parameters
    ----------
    features : FeatureSet or str
        A set, or its name; its state in force is corrected.
    corrections : path, pyarrow.Table, DataFrame or a sequence of them
        A file has the columns ``key,id,label,old,new,action,note,digest``; so has a table, whose keys may be bytes.
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    FeatureSet
        The set in its new state, which is in force.

    Raises
    ------
    DataError
        A file cannot be read, or a row of it; the message has its line.
    MismatchError
        Corrections are of another set, of samples that this one has not, or disagree about one. Nothing is changed.
    """
    from headstart.cache.store import Cache
    from headstart.corrections.apply import correct
    from headstart.progress import open_progress

    at = shared.place_of(features, cache)
    found = Cache(at["cache"]).open_set(at["set"], at["digest"])
    return correct(found, corrections, open_progress(quiet)).after
