"""Splits are complete, disjoint, stratified, reproducible, and do not move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.data.splits import (
    NOT_GIVEN,
    TEST,
    TRAIN,
    VALIDATION,
    SplitNames,
    complete_splits,
    describe_making,
    parse_split_map,
    split_name,
)
from headstart.errors import ConfigError

from ..variants import examples

FIXED_TEST = [0, 6, 11, 15, 17, 26, 32, 39]
FIXED_VALIDATION = [3, 8, 30, 33]


@dataclass
class Data:
    keys: NDArray[np.uint8]
    classes: NDArray[np.int64]
    given: NDArray[np.int8]

    @property
    def silent(self) -> NDArray[np.int8]:
        return np.full(len(self.keys), NOT_GIVEN, np.int8)

    def split(self, seed: int = 0, earlier: NDArray[np.int8] | None = None) -> NDArray[np.int8]:
        return complete_splits(
            self.keys, self.classes, self.given, self.silent if earlier is None else earlier, seed
        )

    def take(self, rows: NDArray[np.int64]) -> Data:
        return Data(self.keys[rows], self.classes[rows], self.given[rows])


def some_keys(numbers: list[int]) -> NDArray[np.uint8]:
    """Equal numbers are equal keys."""
    universe = np.random.default_rng(0).integers(0, 256, (max(numbers, default=0) + 1, 16), dtype=np.uint8)
    return universe[np.array(numbers, dtype=np.int64)]


@st.composite
def data(
    draw: st.DrawFn, codes: tuple[int, ...] = (NOT_GIVEN, TRAIN, VALIDATION, TEST), copies: bool = True
) -> Data:
    n = draw(st.integers(1, 120))
    numbers = draw(st.lists(st.integers(0, n), min_size=n, max_size=n)) if copies else list(range(n))
    classes = draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    given_codes = draw(st.lists(st.sampled_from(codes), min_size=n, max_size=n))
    return Data(some_keys(numbers), np.array(classes), np.array(given_codes, dtype=np.int8))


quick = settings(deadline=None, max_examples=examples(80))
SILENT = data(codes=(NOT_GIVEN,))


@quick
@given(data())
def test_every_sample_has_a_split_and_given_ones_are_kept(data: Data) -> None:
    split = data.split()
    assert np.isin(split, (TRAIN, VALIDATION, TEST)).all()
    for code in (VALIDATION, TEST):
        assert (split[data.given == code] == code).all()
    if all((data.given == code).any() for code in (VALIDATION, TEST)):
        assert (split[data.given == TRAIN] == TRAIN).all()
        for row in np.flatnonzero(data.given == NOT_GIVEN):
            copies = (data.keys == data.keys[row]).all(axis=1)
            assert split[row] == max(TRAIN, data.given[copies].max())


@quick
@given(data())
def test_what_is_made_shares_no_key_with_another_split(data: Data) -> None:
    split = data.split()
    made = {code for code in (VALIDATION, TEST) if not (data.given == code).any()}
    for code in made:
        inside = {key.tobytes() for key in data.keys[split == code]}
        outside = {key.tobytes() for key in data.keys[split != code]}
        assert not inside & outside


@quick
@given(data(codes=(NOT_GIVEN,), copies=False))
def test_the_shares_are_stratified_within_rounding(data: Data) -> None:
    split = data.split()
    for stratum in np.unique(data.classes):
        inside = split[data.classes == stratum]
        n, n_test = len(inside), int((inside == TEST).sum())
        assert abs(n_test - 0.2 * n) <= 1
        assert abs(int((inside == VALIDATION).sum()) - 0.1 * (n - n_test)) <= 1
        assert (inside == TRAIN).any()
        if n >= 3:
            assert set(inside) == {TRAIN, VALIDATION, TEST}


@quick
@given(SILENT, st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_a_split_depends_on_seed_and_keys_and_not_on_the_order(data: Data, seed: int, random: object) -> None:
    order = np.arange(len(data.keys))
    random.shuffle(order)  # type: ignore[attr-defined]
    data.classes[:] = data.keys[:, 0] % 3  # a copy has the class of its original
    assert np.array_equal(data.split(seed), data.split(seed))
    assert np.array_equal(data.take(order).split(seed), data.split(seed)[order])


@quick
@given(data(codes=(NOT_GIVEN, TRAIN)), st.integers(0, 119), st.integers(0, 3))
def test_later_samples_leave_earlier_assignments_alone(data: Data, n_first: int, seed: int) -> None:
    first = data.take(np.arange(min(n_first + 1, len(data.keys))))
    before = {key.tobytes(): code for key, code in zip(first.keys, first.split(seed), strict=True)}
    earlier = np.array([before.get(key.tobytes(), NOT_GIVEN) for key in data.keys], dtype=np.int8)
    after = data.split(seed, earlier)
    for key, code in zip(data.keys, after, strict=True):
        assert before.get(key.tobytes(), code) == code


@quick
@given(SILENT)
def test_equal_keys_stay_together(data: Data) -> None:
    codes: dict[bytes, set[int]] = {}
    for key, code in zip(data.keys, data.split(), strict=True):
        codes.setdefault(key.tobytes(), set()).add(int(code))
    assert all(len(found) == 1 for found in codes.values())


def test_a_photo_that_the_data_puts_into_test_does_not_enter_validation() -> None:
    keys = some_keys([0, 0, *range(1, 40)])
    given_codes = np.full(len(keys), TRAIN, np.int8)
    given_codes[0] = TEST
    for seed in range(20):
        split = complete_splits(
            keys, np.zeros(len(keys), np.int64), given_codes, np.full(len(keys), -1, np.int8), seed
        )
        assert split[0] == TEST
        assert split[1] == TRAIN


def test_another_seed_is_another_split() -> None:
    many = Data(some_keys(list(range(200))), np.zeros(200, np.int64), np.full(200, NOT_GIVEN, np.int8))
    assert not np.array_equal(many.split(0), many.split(1))


def test_a_split_is_the_same_for_ever() -> None:
    """Other people's splits depend on it: a change here moves samples between train and test."""
    keys = np.arange(40, dtype=np.uint8)[:, None].repeat(16, axis=1)
    split = Data(keys, np.arange(40) % 2, np.full(40, NOT_GIVEN, np.int8)).split()
    assert np.flatnonzero(split == TEST).tolist() == FIXED_TEST
    assert np.flatnonzero(split == VALIDATION).tolist() == FIXED_VALIDATION


def test_no_samples_make_no_splits() -> None:
    assert Data(some_keys([]), np.empty(0, np.int64), np.empty(0, np.int8)).split().shape == (0,)


@pytest.mark.parametrize(
    ("given_codes", "phrase"),
    [
        ([NOT_GIVEN, TRAIN], "test (20%) and validation (10% of the rest)"),
        ([TRAIN, TEST], "validation (10% of the rest)"),
        ([TRAIN, VALIDATION], "test (20%)"),
        ([VALIDATION, TEST], None),
    ],
)
def test_what_is_made_is_said(given_codes: list[int], phrase: str | None) -> None:
    assert describe_making(np.array(given_codes, np.int8)) == phrase


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("VAL", "validation"),
        (" dev ", "validation"),
        ("testing", "test"),
        ("tests", None),
    ],
)
def test_folders_and_cells_name_splits(name: str, split: str | None) -> None:
    assert split_name(name) == split


class TestNames:
    """What splits are called, in every container alike."""

    @pytest.mark.parametrize(
        ("name", "split"),
        [
            *((name, "validation") for name in ("dev", "Val", "valid", "eval", "validation")),
            *((name, "test") for name in ("test", "Testing", "holdout")),
            *((name, "train") for name in ("train", "TRAINING ")),
            *((name, None) for name in ("test_ood", "unsupervised", "validation_mismatched", "shirts", "")),
        ],
    )
    def test_the_names_that_people_use(self, name: str, split: str | None) -> None:
        assert split_name(name) == split

    @pytest.mark.parametrize(
        "given", ["eval=test, Extra=none", {"eval": "test", "extra": None}, ["eval=testing", "extra=none"]]
    )
    def test_a_map_says_what_others_mean(self, given: object) -> None:
        names = SplitNames(parse_split_map(given))
        assert [names.of(name) for name in ("Eval", "EXTRA", "dev", "odd")] == [
            "test",
            "none",
            "validation",
            None,
        ]
        assert names.said(["train", "eval", "extra"]) == ["splits: 'eval' as test, 'extra' left out"]

    @pytest.mark.parametrize("given", ["eval", "=test", "eval=tset", {"a": "b"}, 5])
    def test_a_map_that_means_nothing_is_refused(self, given: object) -> None:
        with pytest.raises(ConfigError, match="--split-map"):
            parse_split_map(given)

    def test_two_names_of_one_split_are_refused_unless_the_map_names_both(self) -> None:
        with pytest.raises(
            ConfigError,
            match=r"here: 'dev' and 'valid' both mean validation; .*--split-map valid=none",
        ):
            SplitNames({}).check(["train", "dev", "valid"], "here")
        SplitNames({"valid": "none"}).check(["train", "dev", "valid"], "here")
        SplitNames({"dev": "validation", "valid": "validation"}).check(["dev", "valid"], "here")
        SplitNames({}).check(["Train", "train"], "here")
