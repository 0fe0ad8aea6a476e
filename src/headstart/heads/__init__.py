"""Heads: scikit-learn estimators that turn frozen features into predictions.

Importing this package imports neither torch nor scikit-learn; making a head imports the latter,
fitting the ``linear`` head the former.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError
from headstart.heads.parameters import check, defaults, read

if TYPE_CHECKING:
    from headstart.heads.affine import AffineClassifier

HEADS = ("logistic", "ridge", "linear")


def open_head(name: str, params: Mapping[str, Any], seed: int) -> AffineClassifier:
    """An unfitted head by name.

    Parameters
    ----------
    name : {"logistic", "ridge", "linear"}
    params : mapping
        Parameters of the head; a string, as from a command line, becomes the type of the default.
    seed : int
        Goes to ``random_state`` where the head has one and ``params`` does not name it.

    Raises
    ------
    ConfigError
        No such head, no such parameter, or a value that the parameter cannot have.

    Examples
    --------
    >>> open_head("logistic", {"C": "0.5"}, seed=7)
    LogisticHead(C=0.5, random_state=7)
    """
    kind = head_class(name)
    known = defaults(kind)
    seeded = {"random_state": seed} if "random_state" in known else {}
    head = kind(**{**seeded, **read(name, params, known)})
    check(head)
    return head


def head_class(name: str) -> type[AffineClassifier]:
    """The class of a head by name.

    Raises
    ------
    ConfigError
        There is no such head.
    """
    match name:
        case "logistic":
            from headstart.heads.logistic import LogisticHead

            return LogisticHead
        case "ridge":
            from headstart.heads.ridge import RidgeHead

            return RidgeHead
        case "linear":
            from headstart.heads.linear import LinearHead

            return LinearHead
    nearest = get_close_matches(name, HEADS, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ConfigError(f"there is no head {name!r}; {hint}the heads are {', '.join(HEADS)}")
