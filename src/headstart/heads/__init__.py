"""Heads: scikit-learn estimators that turn frozen features into predictions.

Importing this package imports neither torch nor scikit-learn; making a head imports the latter, fitting one
that trains by epochs the former.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from headstart.errors import ConfigError
from headstart.heads.parameters import check, defaults, read
from headstart.tasks import KINDS, open_task

if TYPE_CHECKING:
    from headstart.contracts import Head
    from headstart.types import LabelForm, LabelKind

HEADS = (
    "logistic",
    "ridge",
    "knn",
    "centroid",
    "zero-shot",
    "svm",
    "propagate",
    "linear",
    "mlp",
    "bilstm",
    "residual",
    "attention",
)
OWN = "py:"
SKLEARN = "sklearn"
"""What the heads of scikit-learn's own estimators are called where they are kept."""
CLASSES = {
    "logistic": ("logistic", "LogisticHead", None),
    "ridge": ("ridge", "RidgeHead", "RidgeRegressor"),
    "knn": ("knn", "KNNHead", "KNNRegressor"),
    "centroid": ("centroid", "CentroidHead", None),
    "zero-shot": ("zero_shot", "ZeroShotHead", None),
    "svm": ("svm", "SVMHead", "SVMRegressor"),
    "propagate": ("propagate", "PropagateHead", None),
    "linear": ("neural", "LinearHead", "LinearRegressor"),
    "mlp": ("neural", "MLPHead", "MLPRegressor"),
    "residual": ("neural", "ResidualHead", "ResidualRegressor"),
    "attention": ("neural", "AttentionHead", "AttentionRegressor"),
    "decoder": ("decoder", None, None),
    "own": ("neural", "CustomHead", "CustomRegressor"),
    "sklearn": ("sklearn_heads", "SklearnHead", "SklearnRegressor"),
}
"""By kind: the module, the class for classes and labels, and the class for numbers."""
TRUNKS = {"mlp": "MLPTrunk", "residual": "ResidualTrunk", "attention": "AttentionTrunk"}
"""Heads whose hidden layers several labels can share, and the classes in ``neural`` that they share them by."""
TRUNK_FORMS = ("classes", "labels", "numbers")
TAGGERS = {
    "logistic": "LogisticTagger",
    "ridge": "RidgeTagger",
    "knn": "KNNTagger",
    "centroid": "CentroidTagger",
    "svm": "SVMTagger",
    "linear": "LinearTagger",
    "mlp": "MLPTagger",
    "bilstm": "BiLSTMTagger",
}
"""By kind the class for tags, all of `headstart.heads.taggers`."""
WRITERS = {"decoder": "DecoderHead"}
"""Those that write texts."""
SPANS = {"linear": "LinearSpans", "attention": "AttentionSpans"}
"""The classes of the heads that answer questions, by kind."""
FORMS = {
    "classes": "classes",
    "labels": "several labels a sample",
    "numbers": "numbers to regress on",
    "tags": "a tag for each word",
    "texts": "texts to write",
    "spans": "answers in a context",
}
"""What heads are fitted on, for people."""
FOR_NUMBERS = {"logistic": "ridge"}
"""The linear head for numbers in the place of one that is for classes alone, where a run has labels of both."""
ONE_CLASS_ONLY = ("centroid", "propagate")
"""Heads that cannot give a sample several labels."""


def open_head(name: str, params: Mapping[str, Any], seed: int, task: LabelKind = "single") -> Head:
    """An unfitted head by name.

    Parameters
    ----------
    name : str
        One of `HEADS`; ``py:package.module:name`` is a torch module of the user's own, by its factory, or an
        estimator class of scikit-learn.
    params : mapping
        Parameters of the head; a string, as from a command line, becomes the type of the default.
    seed : int
        Goes to ``random_state`` where the head has one and ``params`` does not name it.
    task : LabelKind

    Raises
    ------
    ConfigError
        No such head, none for this task, no such parameter, or a value that the parameter cannot have.

    Examples
    --------
    >>> open_head("linear", {"lr": "0.5"}, seed=7)
    LinearHead(lr=0.5, random_state=7)
    """
    kind = head_class(name, task)
    if name == SKLEARN:  # of a run, whose estimator is read, not made
        return cast("Head", kind(**params))
    if name.startswith(OWN):
        if kind.kind == SKLEARN:
            from headstart.heads.sklearn_heads import parsed

            params = {own: parsed(value) for own, value in params.items()}
        name, params = kind.kind, {**params, "spec": name}
    known = defaults(kind)
    seeded = {"random_state": seed} if "random_state" in known else {}
    head: Any = kind(**{**seeded, **read(name, params, known)})
    check(head)
    if task not in KINDS:
        head.label_kind = task
    opened: Head = head
    return opened


def open_trunk(
    name: str, params: Mapping[str, Any], seed: int, kinds: Sequence[LabelKind], weights: Sequence[float] = ()
) -> Any:
    """An unfitted network for labels of these kinds, whose losses count so much; none: 1 each.

    Raises
    ------
    ConfigError
        The head has no hidden layers to share, no such parameter, or a value that it cannot have.
    """
    if name not in TRUNKS:
        raise ConfigError(
            f"a {name} head has no hidden layers that labels could share; --shared-trunk is for {', '.join(TRUNKS)}"
        )
    for form in (open_task(each).form for each in kinds):
        if form not in TRUNK_FORMS:
            raise ConfigError(
                f"--shared-trunk is not for {FORMS[form]}; fit that label with a head of its own"
            )
    kind = getattr(importlib.import_module("headstart.heads.neural"), TRUNKS[name])
    trunk: Any = kind(**{"random_state": seed, **read(name, params, defaults(kind))})
    check(trunk)
    trunk.kinds, trunk.weights = list(kinds), list(weights) or [1.0] * len(kinds)
    return trunk


def head_class(name: str, task: LabelKind = "single") -> Any:
    """The class of a head by name, ``py:…`` included.

    Raises
    ------
    ConfigError
        There is no such head, or it is not for the task.
    """
    spec = name if name.startswith(OWN) else None
    if spec is not None:
        from headstart.heads.sklearn_heads import head_of, is_estimator

        if is_estimator(spec):
            return head_of(spec, head_class(SKLEARN, task))
        name = "own"
    if name not in (*CLASSES, *TAGGERS):
        nearest = get_close_matches(name, HEADS, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ConfigError(
            f"there is no head {name!r}; {hint}the heads are {', '.join(HEADS)}, and py:package.module:factory"
        )
    wanted = _class_for(open_task(task).form, name)
    if wanted is None and open_task(task).form == "texts":
        raise ConfigError(
            f"the head {name!r} is not for texts to write: that takes a decoder, which fine-tune trains (headstart "
            "fine-tune SET --strategy decoder)"
        )
    if wanted is None:
        form = open_task(task).form
        fitting = ", ".join(head for head in HEADS if _class_for(form, head))
        raise ConfigError(f"the head {name!r} is not for {FORMS[form]}; those that are: {fitting}")
    module, kind = wanted
    return getattr(importlib.import_module(f"headstart.heads.{module}"), kind)


def head_beside(name: str, task: LabelKind) -> str:
    """The head for one of several labels: the one of that name, or its like where it is not for such labels.

    Examples
    --------
    >>> head_beside("logistic", "single"), head_beside("logistic", "regression")
    ('logistic', 'ridge')
    """
    takes = name not in CLASSES or _class_for(open_task(task).form, name) is not None
    return name if takes else FOR_NUMBERS.get(name, name)


def _class_for(form: LabelForm, name: str) -> tuple[str, str] | None:
    """The module and the class of a head that is fitted on targets of a form; None if it has none."""
    module, classifier, regressor = CLASSES.get(name, ("", None, None))
    if form == "labels" and name in ONE_CLASS_ONLY:
        return None
    by_form = {
        "classes": (module, classifier),
        "labels": (module, classifier),
        "numbers": (module, regressor),
        "tags": ("taggers", TAGGERS.get(name)),
        "spans": ("spans", SPANS.get(name)),
        "texts": ("decoder", WRITERS.get(name)),
    }
    module, kind = by_form[form]
    return (module, kind) if kind else None
