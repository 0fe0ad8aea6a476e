"""What takes one vector a sample says which head takes several, and which taps of the set have one."""

from __future__ import annotations

import pytest
from caches import RECIPE, TOKENS, commit, put

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError
from headstart.inspection.audit import audit
from headstart.inspection.audit_result import AuditConfig
from headstart.progress import Silence

N = 60
CHECKS = ("duplicates", "outliers")


@pytest.fixture
def cache(cache_root) -> Cache:
    made = Cache(cache_root)
    made.prepare()
    put(made, range(N))
    put(made, range(N), recipe=TOKENS)
    return made


@pytest.fixture
def made(cache: Cache) -> FeatureSet:
    """The latest feature has several vectors a sample, an earlier one has one."""
    return commit(cache, range(N), recipes=[TOKENS, RECIPE])


def test_the_head_that_takes_tokens_is_named(made: FeatureSet) -> None:
    for read in (
        lambda: made.rows(tap="last.tokens"),
        lambda: hs.fit_head(made, head="ridge", tap="last.tokens"),
        lambda: audit(
            AuditConfig(set=made.name, tap="last.tokens", checks=CHECKS, cache=str(made.cache)), Silence()
        ),
    ):
        with pytest.raises(
            ConfigError, match=r"last\.tokens has several vectors.*--head attention.*pooled tap"
        ):
            read()


def test_the_pooled_taps_of_the_set_are_named_where_they_are_known(made: FeatureSet) -> None:
    held = made.held(tap="last.tokens")
    with pytest.raises(ConfigError, match=r"choose a pooled tap of this set: last\.mean$"):
        held.open(is_ragged=False)


def test_an_audit_takes_the_latest_pooled_tap_of_itself(made: FeatureSet) -> None:
    found = audit(AuditConfig(set=made.name, checks=CHECKS, cache=str(made.cache)), Silence())
    assert found.samples.feature.tap == "final.mean"


def test_without_a_pooled_tap_an_audit_says_so(cache: Cache) -> None:
    bare = commit(cache, range(N), recipes=[TOKENS])
    with pytest.raises(ConfigError, match="choose a pooled tap"):
        audit(AuditConfig(set=bare.name, checks=CHECKS, cache=str(bare.cache)), Silence())
