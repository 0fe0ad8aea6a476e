"""Sets, copied between this cache and one that lies elsewhere."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Union

from headstart.api import shared
from headstart.errors import ConfigError
from headstart.options import Option, StrPath, public

if TYPE_CHECKING:
    from headstart.cache.sets import FeatureSet
    from headstart.sharing.transfer import Transfer

Sets = Annotated[
    str | Sequence[str] | None,
    Option("The names of sets.", metavar="SET", is_argument=True, repeats=True),
]
Place = Annotated[
    StrPath,
    Option(
        "Another cache: s3://BUCKET/PREFIX (gs://, az://), hf:ORG/NAME (a data set repository of the hub), or a "
        "folder.",
        metavar="PLACE",
        is_argument=True,
        reads=shared.check_path,
    ),
]
All = Annotated[bool, Option("All sets.", flags="--all")]
Digest = Annotated[
    str | None, Option("Of one set an earlier state. Default: the one in force.", metavar="DIGEST")
]
NewName = Annotated[
    str | None, Option("What one set is called where it comes to. Default: as it is.", None, "NAME", "--as")
]
ReplaceState = Annotated[
    bool, Option("Put the state in force where it comes to, whatever is in force there.")
]
Revision = Annotated[
    str | None, Option("Of hf: a branch, a tag or a commit. Default: main.", metavar="REVISION")
]
DryRun = Annotated[bool, Option("Only say how many files and bytes would travel.")]


@public
def push(
    sets: Annotated[
        Union["FeatureSet", str, Sequence[str], None],
        Option("The names of sets.", metavar="SET", is_argument=True, repeats=True),
    ],
    place: Place,
    *,
    all: All = False,
    digest: Digest = None,
    new_name: NewName = None,
    replace: ReplaceState = False,
    revision: Revision = None,
    public: Annotated[
        bool, Option("Let anybody see it: make a public repository, or push to one. Default: private.")
    ] = False,
    dry_run: DryRun = False,
    cache: shared.CacheDir = None,
    offline: shared.OfflineAlone = False,
    quiet: bool = True,
) -> "list[Transfer]":
    """Copy sets with their features to another cache: only what is not there yet travels.

    Features come before the state that names them, so that others may read meanwhile; who was interrupted repeats the
    same command.

    Parameters
    ----------
    sets : FeatureSet, str or sequence of str
        An open set, whose state is copied, or names; None with ``all``.
    place : str or path
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    list of Transfer
        What each set came to: ``n_files``, ``n_bytes``, ``outcome``.

    Raises
    ------
    DataError
        There is no such set, or no such repository.
    MismatchError
        Samples of a set have lost their features, or the place has another set of that name.
    CorruptShardError
        A file is not what its name says.
    """
    from headstart.cache.store import Cache
    from headstart.progress import open_progress
    from headstart.sharing.open import open_place
    from headstart.sharing.stage import push

    if not (sets is None or isinstance(sets, str | Sequence)):
        at = shared.place_of(sets, cache)
        sets, cache, digest = str(at["set"]), at["cache"], digest or at["digest"]
    names = _names(sets, all)
    there = open_place(place, revision, public, may_be_new=True, offline=offline)
    return push(Cache(cache), there, names, digest, new_name, replace, dry_run, open_progress(quiet))


@public
def pull(
    place: Place,
    sets: Sets = None,
    *,
    all: All = False,
    digest: Digest = None,
    new_name: NewName = None,
    replace: ReplaceState = False,
    revision: Revision = None,
    dry_run: DryRun = False,
    cache: shared.CacheDir = None,
    offline: shared.OfflineAlone = False,
    quiet: bool = True,
) -> "list[Transfer]":
    """Copy sets with their features from another cache: only what is not here yet travels, and all of it is checked.

    A set that was changed here and there is merged if its samples and labels are the same: it has the features of both
    then.

    Parameters
    ----------
    place : str or path
    sets : str or sequence of str
        Their names; None with ``all``.
    quiet : bool
        Say nothing on stderr.

    Returns
    -------
    list of Transfer
        What each set came to: ``n_files``, ``n_bytes``, ``outcome``; ``headstart.open_set`` opens it.

    Raises
    ------
    DataError
        There is no such set, or no such repository.
    MismatchError
        The cache has another set of that name, or the place lacks features of the set.
    CorruptShardError
        What arrives is not what its name says.
    """
    from headstart.cache.store import Cache
    from headstart.progress import open_progress
    from headstart.sharing.open import open_place
    from headstart.sharing.stage import pull

    names = _names(sets, all)
    there = open_place(place, revision, offline=offline)
    return pull(Cache(cache), there, names, digest, new_name, replace, dry_run, open_progress(quiet))


def _names(sets: str | Sequence[str] | None, every: bool) -> list[str] | None:
    """The names of the sets that are meant; None: all."""
    names = [sets] if isinstance(sets, str) else list(sets or ())
    if every == bool(names):
        raise ConfigError("name sets, or say --all" if not every else "--all means all sets; name none")
    return None if every else names
