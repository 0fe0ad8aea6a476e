"""Samples that belong together are resampled and counted as groups."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headstart.groups import Groups, groups_in
from headstart.metrics.clusters import class_counts, column_counts, share_of
from headstart.metrics.intervals import exact_interval
from headstart.metrics.paired import Paired
from headstart.metrics.regression import judge_numbers
from headstart.metrics.resampling import draws_of
from headstart.metrics.single import evaluate_single, judge_classes
from headstart.metrics.tables import errors_by

UNEVEN = Groups(np.array([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 0, 4]))
HALF = np.full(60, 0.5)


def test_resamples_are_of_whole_groups() -> None:
    n = len(UNEVEN.codes)
    drawn = np.concatenate(list(draws_of(n, 400, 0, UNEVEN)))
    assert drawn.shape == (400, n)
    cut = 0
    for rows in drawn:
        counts = np.bincount(rows, minlength=n)
        uneven = [g for g in range(5) if len(set(counts[UNEVEN.codes == g].tolist())) > 1]
        assert len(uneven) <= 1  # the last one
        cut += len(uneven)
    assert 0 < cut < 400
    often = np.bincount(drawn.ravel(), minlength=n) / 400
    assert often.min() > 0.8
    assert often.max() < 1.2


def test_groups_of_one_sample_change_nothing() -> None:
    assert groups_in(pa.table({"meta:group": [str(row) for row in range(9)]})) is None
    assert groups_in(pa.table({"id": ["a"]})) is None
    hits = np.arange(20) % 4 > 0
    assert share_of(hits, Groups(np.arange(20))) == pytest.approx(share_of(hits), rel=0.06)


def test_copies_of_a_sample_say_no_more_than_one() -> None:
    """Ten copies of each of 60 samples: as if they were 60."""
    hits = np.arange(60) % 4 > 0
    once, copied = (
        exact_interval(*share_of(hits)),
        exact_interval(*share_of(np.repeat(hits, 10), Groups(np.repeat(np.arange(60), 10)))),
    )
    assert once is not None
    assert copied == pytest.approx(once, abs=0.01)
    groups = Groups(np.repeat(np.arange(60), 10))
    first, y = np.random.default_rng(0).random(60), np.where(np.arange(60) % 2 > 0, "a", "b")
    first = np.where(y == "a", 0.3 + 0.7 * first, 0.7 * first)
    p = np.stack([first, 1 - first], axis=1)
    single = evaluate_single(y, p, ["a", "b"], ["a", "b"])
    y, p = y.repeat(10), p.repeat(10, axis=0)
    grouped = evaluate_single(y, p, ["a", "b"], ["a", "b"], groups=groups)
    untold = evaluate_single(y, p, ["a", "b"], ["a", "b"])
    assert grouped["n_groups"] == 60
    assert "n_groups" not in untold
    for name, interval in single["intervals"].items():
        low, high = interval
        assert grouped["intervals"][name] == pytest.approx([low, high], abs=0.15 * (high - low)), name
        assert np.ptp(untold["intervals"][name]) < 0.5 * (high - low), name
    recall = grouped["per_class"]["a"]["intervals"]["recall"]
    assert recall == pytest.approx(single["per_class"]["a"]["intervals"]["recall"], abs=0.02)


def test_one_group_says_nothing_of_others() -> None:
    one = Groups(np.zeros(60, dtype=np.int64))
    y, p = np.array(["a", "b"] * 30), np.tile([0.7, 0.3], (60, 1))
    report = evaluate_single(y, p, ["a", "b"], ["a", "b"], groups=one)
    assert report["intervals"]["accuracy"] is None
    assert report["no_interval"]["accuracy"] == "all its samples are of one group"
    assert report["no_interval"]["macro_f1"] == "1 groups are too few; it takes 10"


def test_what_a_class_rests_on_is_counted_in_groups() -> None:
    codes, groups = np.array([0, 0, 0, 0, 1, 1]), Groups(np.array([0, 0, 1, 1, 2, 2]))
    assert class_counts(codes, 3, groups).tolist() == [2, 1, 0]
    assert class_counts(codes, 3, None).tolist() == [4, 2, 0]
    assert column_counts(codes[:, None] == np.arange(3), groups).tolist() == [2, 1, 0]


def test_differences_of_two_runs_are_those_of_groups() -> None:
    """Twelve patients with five pictures; on three of them one run is wrong altogether."""
    groups = Groups(np.repeat(np.arange(12), 5))
    y = np.full(60, "a")
    worse = np.where(groups.codes < 3, "b", y)
    judged = {"all": judge_classes(y, y, HALF, HALF), "worse": judge_classes(y, worse, HALF, HALF)}
    told, untold = Paired(judged, 60, groups=groups), Paired(judged, 60)
    found, naive = told.versus("all", "worse"), untold.versus("all", "worse")
    assert naive.is_significant("accuracy")
    assert naive.p_value is not None
    assert naive.p_value < 1e-4
    assert not found.is_significant("accuracy")
    assert found.p_value is not None
    assert found.p_value > 0.2
    assert (found.only_this, found.only_other) == (15, 0)
    wide, narrow = (each.differences["accuracy"].half_width for each in (found, naive))
    assert wide > 1.5 * narrow
    assert found.differences["macro_f1"].interval is None  # they differ on three groups; it takes five


def test_differences_of_numbers_are_those_of_groups() -> None:
    rng = np.random.default_rng(0)
    groups = Groups(np.repeat(np.arange(30), 8))
    truth = rng.normal(size=240)
    shift = np.repeat(rng.normal(size=30), 8)
    runs = {"first": truth + shift, "second": truth + 0.1}
    told, untold = (
        Paired({name: judge_numbers(truth, said, g) for name, said in runs.items()}, 240, groups=g)
        .versus("first", "second")
        .differences["mae"]
        for g in (groups, None)
    )
    assert told.half_width == pytest.approx(untold.half_width * 8**0.5, rel=0.2)


def test_errors_by_value_count_groups() -> None:
    groups = Groups(np.repeat(np.arange(12), 5))
    site = np.where(groups.codes < 11, "north", "south")
    right = groups.codes % 3 > 0
    told, untold = (errors_by({"site": site}, right, g)["site"] for g in (groups, None))
    assert [row["n"] for row in told] == [55, 5]
    assert np.ptp(told[0]["interval"]) > 1.8 * np.ptp(untold[0]["interval"])
    assert told[1]["interval"] == [0.0, 1.0]
