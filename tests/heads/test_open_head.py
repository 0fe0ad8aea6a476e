"""Heads by name, with parameters as they come from a command line."""

from __future__ import annotations

import pytest

from headstart.errors import ConfigError
from headstart.heads import HEADS, open_head


@pytest.mark.parametrize("name", HEADS)
def test_every_head_opens_under_its_name(name):
    assert open_head(name, {}, seed=3, task="tags" if name == "bilstm" else "single").kind == name


def test_the_seed_reaches_the_heads_that_draw():
    assert open_head("linear", {}, seed=3).random_state == 3
    assert open_head("linear", {"random_state": "5"}, seed=3).random_state == 5
    assert "random_state" not in open_head("ridge", {}, seed=3).get_params()


def test_strings_become_what_the_default_is():
    head = open_head("linear", {"lr": "3e-4", "epochs": "7", "device": "cpu", "clip_norm": 2}, seed=0)
    assert (head.lr, head.epochs, head.device, head.clip_norm) == (3e-4, 7, "cpu", 2.0)
    assert isinstance(head.epochs, int)


def test_an_unknown_head_is_answered_with_the_nearest_and_all():
    with pytest.raises(ConfigError, match=r"did you mean 'logistic'.*logistic, ridge, .*linear"):
        open_head("logistc", {}, seed=0)
    with pytest.raises(ConfigError, match="no head 'zzz'; the heads are"):
        open_head("zzz", {}, seed=0)


def test_an_unknown_parameter_is_answered_with_all_and_their_defaults():
    with pytest.raises(
        ConfigError, match=r"no parameter 'epoch'; did you mean 'epochs'.*lr=0.001.*epochs=100"
    ):
        open_head("linear", {"epoch": "3"}, seed=0)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("logistic", {"C": "0"}),
        ("logistic", {"C": "nan"}),
        ("logistic", {"C": "inf"}),
        ("logistic", {"C": "much"}),
        ("logistic", {"C": True}),
        ("logistic", {"C": None}),
        ("logistic", {"C": [1]}),
        ("logistic", {"max_iter": "10.5"}),
        ("logistic", {"max_iter": 0}),
        ("ridge", {"alpha": -1}),
        ("linear", {"lr": "-1"}),
        ("linear", {"lr": "1e6"}),
        ("linear", {"epochs": "0"}),
        ("linear", {"epochs": 2.5}),
        ("linear", {"warmup_share": "1"}),
        ("linear", {"weight_decay": "-0.1"}),
        ("linear", {"random_state": "-1"}),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_parameter(name, params):
    with pytest.raises(ConfigError, match=f"{next(iter(params))} must be a"):
        open_head(name, params, seed=0)


def test_a_bad_value_that_was_set_later_is_refused_when_fitting(problem):
    head = open_head("ridge", {}, seed=0).set_params(alpha=-3)
    with pytest.raises(ConfigError, match=r"alpha must be auto or a number in \(0, inf\), got -3"):
        head.fit(problem.X, problem.y)
