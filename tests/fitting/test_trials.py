"""Trials of torch heads run side by side, whatever they differ in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headstart.arrow import keys_to_arrow
from headstart.fitting.search import _folds, _held_out, _units
from headstart.fitting.trials import Trial, run_trials
from headstart.keys import key_of, pack
from headstart.samples import LabelledSamples

N = 120


def samples_of(seed: int, n: int = N, width: int = 6, n_classes: int = 3) -> LabelledSamples:
    """Classes that lie apart, in random directions."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = (3 * np.eye(width)[y] + rng.normal(size=(n, width))).astype(np.float32)
    names = tuple(f"class {c}" for c in range(n_classes))
    return LabelledSamples(pa.table({"id": [f"s{row}" for row in range(n)]}), X, y, names)


def groups_of(trials: list[Trial], name: str = "linear") -> list[int]:
    """How many trials were fitted at a time."""
    sizes: list[int] = []
    run_trials(name, "single", trials, sizes.append)
    return sizes


def trial(train: LabelledSamples, seed: int = 0, **params: object) -> Trial:
    return Trial({"epochs": 3, **params}, seed, train, samples_of(9, 60, train.width))


def test_seeds_rates_and_taps_are_one_stack() -> None:
    taps = [samples_of(0), samples_of(1)]
    trials = [trial(tap, seed, lr=lr) for tap in taps for seed in (0, 1, 2) for lr in (1e-3, 1e-2)]
    assert groups_of(trials) == [12]
    assert groups_of(trials, "mlp") == [12]


@pytest.mark.parametrize(
    "other",
    [
        trial(samples_of(1, width=7)),
        trial(samples_of(1, n=N + 1)),
        trial(samples_of(1, n_classes=4)),
        trial(samples_of(1), epochs=4),
        trial(samples_of(1), dropout=0.5),
    ],
    ids=["width", "rows", "classes", "epochs", "dropout or none"],
)
def test_what_cannot_share_a_stack_is_fitted_apart(other: Trial) -> None:
    assert groups_of([trial(samples_of(0)), other]) == [1, 1]


def test_each_gives_what_it_gives_alone() -> None:
    trials = [trial(samples_of(tap), seed, lr=1e-2) for tap in (0, 1) for seed in (0, 5)]
    together = run_trials("mlp", "single", trials)
    for one, tried in zip(trials, together, strict=True):
        [alone] = run_trials("mlp", "single", [one])
        assert tried.seed == one.seed
        assert tried.scores["accuracy"] == alone.scores["accuracy"]
        assert tried.scores["log_loss"] == pytest.approx(alone.scores["log_loss"], abs=1e-4)


def test_samples_of_a_group_are_on_one_side_of_folds_and_of_what_is_held_out() -> None:
    keys = keys_to_arrow(pack(key_of("text", str(row % 59)) for row in range(60)))
    table = pa.table({"key": keys, "meta:group": [f"p{row // 5}" if row % 7 else None for row in range(60)]})
    samples = LabelledSamples(table, np.zeros((60, 2), np.float32), np.arange(60) % 2)
    units = _units(samples)
    assert units[0] == units[59]  # of one key
    assert units[1] == units[4] == units[2]
    strata = np.arange(60) % 2
    held = list(_folds(strata, 3, 0, units))
    assert sorted(np.concatenate(held).tolist()) == list(range(60))
    kept, chosen = _held_out(strata, units, 0)
    for side in (*held, chosen):
        assert not set(units[side]) & set(np.delete(units, side))
    assert len(kept) + len(chosen) == 60
