"""From a strategy to phases."""

from __future__ import annotations

from typing import Any

import pytest

import headstart as hs
from headstart.config import TuneConfig
from headstart.errors import ConfigError
from headstart.tuning.strategies import Phase, check_options, phases_of


def phases(strategy: str, unfreeze: list[str] | None = None, **changes: Any) -> list[Phase]:
    given = {"epochs": [3], "rates": [1e-4], "head_rates": [1e-3], "n_blocks": 6, "spec": "hf:x"}
    return phases_of(strategy, unfreeze or [], **{**given, **changes})


def test_each_strategy_says_from_where_on_it_trains() -> None:
    depths = {
        name: phases(name)[0].first_depth(6)
        for name in ("full", "frozen", "last:1", "last:6", "lora", "scratch")
    }
    assert depths == {"full": 0, "frozen": 8, "last:1": 6, "last:6": 1, "lora": 8, "scratch": 0}


def test_gradual_goes_from_the_head_downwards() -> None:
    found = phases("gradual", ["0", "2", "all"], epochs=[1, 2, 3], rates=[1e-3, 1e-4, 1e-5])
    assert [phase.first_depth(6) for phase in found] == [8, 5, 0]
    assert [phase.epochs for phase in found] == [1, 2, 3]
    assert [phase.lr for phase in found] == [1e-3, 1e-4, 1e-5]
    assert [phase.head_lr for phase in found] == [1e-3] * 3
    assert len(phases("gradual")) == 3


@pytest.mark.parametrize(
    ("strategy", "unfreeze", "changes", "message"),
    [
        ("half", None, {}, "there is no strategy 'half'; write one of: full, frozen"),
        ("last:0", None, {}, "there is no strategy 'last:0'"),
        ("last:7", None, {}, "hf:x has 6 blocks, fewer than the 7"),
        ("last:1", None, {"n_blocks": 0}, "cannot be divided into blocks"),
        ("gradual", ["2", "0"], {}, "must train more from phase to phase"),
        ("gradual", ["2", "2"], {}, "must train more from phase to phase"),
        ("gradual", ["all", "2"], {}, "must train more from phase to phase"),
        ("gradual", ["two"], {}, "--unfreeze takes numbers of blocks and 'all'"),
        (
            "gradual",
            ["0", "all"],
            {"epochs": [1, 2, 3]},
            "--epochs takes one value, or one for each of the 2 phases",
        ),
        ("full", ["2"], {}, "means nothing to full"),
    ],
)
def test_what_cannot_be_is_refused(strategy: str, unfreeze: Any, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        phases(strategy, unfreeze, **changes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strategy": "last:1", "pair_loss": "cosine"}, "--pair-loss is an option of --strategy contrastive"),
        (
            {"strategy": "full", "lora_rank": 4},
            "--lora-rank is an option of --strategy lora, and full would ignore it",
        ),
        (
            {"strategy": "full", "sweep": {"lora_alpha": [1, 2]}},
            "--lora-alpha is an option of --strategy lora",
        ),
        (
            {"strategy": "lora", "sweep": {"strategy": ["full", "frozen"]}, "lora_rank": 4},
            "full and frozen would",
        ),
        ({"strategy": "contrasive"}, "there is no strategy 'contrasive'"),
        ({"sweep": {"strategy": ["full", "half"]}}, "there is no strategy 'half'"),
    ],
)
def test_an_option_of_another_strategy_is_refused_before_anything_is_computed(
    given: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        hs.fine_tune("nowhere", "hf:nobody/nothing", **given)


def test_options_of_a_strategy_that_a_sweep_tries_are_its_own() -> None:
    config = TuneConfig(
        data="a", sweep={"strategy": ["full", "lora", "contrastive"]}, lora_rank=4, pair_loss="cosine"
    )
    check_options(config)
