"""scikit-learn's checks of an estimator: whole for one of each base class, a few for every class, the rest slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

OF_EACH = {
    "check_dict_unchanged", "check_estimators_nan_inf", "check_fit2d_1sample", "check_methods_subset_invariance",
    "check_parameters_default_constructible",
}  # fmt: skip


def checked(
    estimators: Sequence[Any], whole: Sequence[type], expected: Callable[[Any], dict[str, str]] = lambda _: {}
) -> pytest.MarkDecorator:
    """Parametrize a test with ``estimator`` and ``check``."""
    return pytest.mark.parametrize(
        ("estimator", "check"), list(_checks(estimators, whole, expected)), ids=_name
    )


def _checks(
    estimators: Sequence[Any], whole: Sequence[type], expected: Callable[[Any], dict[str, str]]
) -> Iterator[Any]:
    left = [*whole]
    for estimator in estimators:
        is_whole = type(estimator) in left
        if is_whole:
            left.remove(type(estimator))
        for made in estimator_checks_generator(
            estimator, expected_failed_checks=expected(estimator), mark="xfail"
        ):
            values, marks = getattr(made, "values", made), [*getattr(made, "marks", ())]
            if not is_whole and _name(values[1]) not in OF_EACH:
                marks.append(pytest.mark.slow)
            yield pytest.param(*values, marks=marks)


def _name(value: Any) -> str:
    return value.func.__name__ if isinstance(value, partial) else str(value)
