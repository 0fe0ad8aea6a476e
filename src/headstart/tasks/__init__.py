"""What a label means, one file per meaning: one class, several labels, a number, tags, an answer, a text to write, or a
task of the user's own.

Importing this package imports neither numpy nor torch; opening a task imports the former, its losses the latter.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from headstart.errors import ConfigError, TrustError
from headstart.own_code import PREFIX, load_own
from headstart.trust import check

if TYPE_CHECKING:
    from headstart.contracts import Task

TAGS = "tags"
KINDS = ("multi", "regression", "single", TAGS, "spans")
"""In the order in which they are tried on a column of which nobody says what it is."""
AUTO = "auto"
NAMED = ("seq2seq",)
"""Kinds of ours that no column is taken for by its values alone."""
USUAL = "single"
"""What a set means whose ``set.json`` does not say the kind of a label column."""


def check_kind(kind: str) -> str:
    """A kind as ``--label-kind`` takes it, without importing anything of the user's.

    Raises
    ------
    ConfigError
        There is no such kind.
    """
    if kind not in (AUTO, *KINDS, *NAMED) and not kind.startswith(PREFIX):
        raise ConfigError(
            f"there is no label kind {kind!r}; there are {AUTO}, single, multi, regression, {TAGS}, spans, seq2seq and "
            f"{PREFIX}package.module:factory"
        )
    return kind


def open_task(kind: str) -> Task:
    """The task of a label kind.

    Raises
    ------
    ConfigError
        There is no such kind, or it is the user's own and cannot be imported here.

    Examples
    --------
    >>> open_task("single").noun
    'classes'
    """
    if kind in (*KINDS, *NAMED):
        return cast("Task", import_module(f"headstart.tasks.{kind}").TASK)
    check_kind(kind)
    check(kind)
    return _own_task(kind)


@cache
def _own_task(kind: str) -> Task:
    if not kind.startswith(PREFIX):
        raise ConfigError("the label kind auto is decided when the data is read; name one")
    try:
        own = load_own(kind, "factory")()
    except TrustError:
        raise
    except ConfigError as error:
        raise ConfigError(
            f"the labels are of a kind of your own, whose code is needed here: {error}"
        ) from error
    lacking = [name for name in ("encode", "outputs", "report", "judge") if not hasattr(own, name)]
    if lacking:
        raise ConfigError(
            f"{kind} gives a {type(own).__name__} without {', '.join(lacking)}; see headstart.contracts.Task"
        )
    own.kind = kind
    return cast("Task", own)
