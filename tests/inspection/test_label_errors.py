"""Labels that were made wrong are found, and little else; what is said of a sample never comes from its own label."""

from __future__ import annotations

import numpy as np

from headstart.inspection.label_errors import find_label_errors, out_of_sample, out_of_sample_several

from ..made_sets import clouds


def test_wrong_classes_are_found_with_the_right_ones_suggested() -> None:
    X, y = clouds(400, n_classes=4, apart=8)
    wrong = np.arange(0, 400, 21)
    given = y.copy()
    given[wrong] = (y[wrong] + 1) % 4
    found = find_label_errors(X, given, "single")
    assert set(wrong) <= set(found.row.tolist())
    assert len(found) <= len(wrong) + 4
    worst = found.row[: len(wrong)]
    assert np.array_equal(found.suggested[: len(wrong)], y[worst])
    assert (np.diff(found.score) >= 0).all()


def test_right_labels_are_left_alone() -> None:
    X, y = clouds(300, apart=12)
    assert len(find_label_errors(X, y, "single")) == 0


def test_the_only_wrong_label_of_a_clean_set_is_found() -> None:
    X, y = clouds(300, apart=14)
    y[61] = (y[61] + 1) % 3
    assert find_label_errors(X, y, "single").row.tolist() == [61]


def test_classes_that_do_not_occur_are_never_suggested() -> None:
    X, y = clouds(300, apart=8)
    given = y * 2 + 5  # 5, 7 and 9
    given[:4] = 5 + 2 * ((y[:4] + 1) % 3)
    found = find_label_errors(X, given, "single")
    assert {0, 1, 2, 3} <= set(found.row.tolist())
    assert set(found.suggested.tolist()) <= {5, 7, 9}
    assert len(find_label_errors(X, np.zeros(300, int), "single")) == 0


def test_missing_and_needless_labels_of_several_are_found() -> None:
    rng = np.random.default_rng(0)
    Y = (rng.random((400, 3)) < 0.4).astype(np.int8)
    X = np.hstack([Y * 8.0, np.zeros((400, 5))]) + rng.normal(size=(400, 8))
    given = Y.copy()
    given[:12, 0] ^= 1
    found = find_label_errors(X, given, "multi")
    assert len(set(range(12)) & set(found.row.tolist())) >= 9
    assert len(found) < 20
    assert np.array_equal(found.suggested[found.row < 12], Y[found.row[found.row < 12]])


def test_numbers_far_off_are_found() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    y = X @ np.arange(1.0, 6) + 0.1 * rng.normal(size=300)
    given = y.copy()
    given[[3, 77]] += [9, -9]
    found = find_label_errors(X, given, "regression")
    assert set(found.row.tolist()) == {3, 77}
    np.testing.assert_allclose(found.suggested, y[found.row], atol=1)


def test_no_sample_has_a_say_in_its_own_probabilities() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 200)), rng.integers(2, size=600)
    given = out_of_sample(X, y)[np.arange(600), y]
    assert abs(given.mean() - 0.5) < 0.03  # in sample, 200 random columns would explain most of it
    Y = np.stack([y, 1 - y], axis=1)
    several = out_of_sample_several(X, Y)
    assert abs(np.where(Y > 0, several, 1 - several).mean() - 0.5) < 0.03


def test_probabilities_mean_what_they_say() -> None:
    X, y = clouds(1500, apart=2.5)
    probabilities = out_of_sample(X, y)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y
    for low, high in ((0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        among = (sure >= low) & (sure < high)
        assert abs(sure[among].mean() - right[among].mean()) < 0.08


def test_a_label_that_all_samples_have_is_not_judged_and_the_others_are() -> None:
    X, y = clouds(120, apart=8)
    Y = np.stack([np.ones(120), y == 0, y == 1, np.zeros(120)], axis=1).astype(np.int8)
    Y[7, 1:3] = [1, 0] if y[7] == 1 else [0, 1]
    found = find_label_errors(X, Y, "multi")
    assert found.row[0] == 7
    assert (found.suggested[:, 0] == 1).all()
    assert not len(find_label_errors(X, np.ones((120, 2), np.int8), "multi"))
