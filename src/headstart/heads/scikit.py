"""The parts of scikit-learn that heads are made of, without what they do not use.

scikit-learn imports scipy.stats and pandas wherever it is imported, and uses neither to fit a head: together they take
two thirds of the time. Its namespace of arrays takes up all that numpy has, with masked arrays and a compiler of
Fortran: a fifth of the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class Later(ModuleType):
    """Stands for a module that is imported when something of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        _leave(self)
        return getattr(import_module(self.__name__), name)


@contextmanager
def postponed(*names: str) -> Iterator[None]:
    """Let what is imported here have modules of these names that are imported when they are used.

    Afterwards nobody finds anything but the real ones. Whoever names one by its package (``scipy.stats.mode``) gets it
    from there; who has it by a name of its own (``pd``) has a `Later`.
    """
    absent = [name for name in names if name not in sys.modules and find_spec(name)]
    standing = [Later(name) for name in absent]
    for module in standing:
        package, _, name = module.__name__.rpartition(".")
        sys.modules[module.__name__] = module
        if package:  # which would look for what it lacks
            setattr(sys.modules[package], name, module)
    try:
        yield
    finally:
        for module in standing:
            _leave(module)


def _leave(module: Later) -> None:
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]
    package, _, name = module.__name__.rpartition(".")
    if package and vars(sys.modules[package]).get(name) is module:
        delattr(sys.modules[package], name)


with postponed("scipy.stats", "pandas", "numpy.f2py", "numpy.ma"):
    from sklearn.base import BaseEstimator as BaseEstimator
    from sklearn.base import ClassifierMixin as ClassifierMixin
    from sklearn.base import RegressorMixin as RegressorMixin
    from sklearn.base import is_classifier as is_classifier
    from sklearn.base import is_regressor as is_regressor
    from sklearn.utils.multiclass import check_classification_targets as check_classification_targets
    from sklearn.utils.multiclass import type_of_target as type_of_target
    from sklearn.utils.validation import check_is_fitted as check_is_fitted
    from sklearn.utils.validation import column_or_1d as column_or_1d
    from sklearn.utils.validation import validate_data as validate_data
