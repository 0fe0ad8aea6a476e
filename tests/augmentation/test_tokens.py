"""Hiding tokens: so many, never a special one, never all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headstart.augmentation import open_views
from headstart.augmentation.changes import HiddenTokens

MASK = 4
SPECIAL = frozenset(range(5))  # the mask is one of them, as in every tokenizer
IDS = st.lists(st.integers(0, 30), max_size=60)
SEEDS = st.binary(min_size=16, max_size=16)


@given(ids=IDS, seed=SEEDS, mask=st.sampled_from([MASK, None]))
def test_special_tokens_stay_and_so_many_others_are_hidden(
    ids: list[int], seed: bytes, mask: int | None
) -> None:
    changed = HiddenTokens(seed, 0.15).tokens(ids, SPECIAL, mask)
    assert len(changed) == len(ids)
    free = [place for place, token in enumerate(ids) if token not in SPECIAL]
    assert all(changed[place] == ids[place] for place in range(len(ids)) if place not in free)
    hidden = [place for place in free if changed[place] != ids[place]]
    if mask is None:
        assert {changed[place] for place in free} <= {ids[place] for place in free}
    else:
        assert all(changed[place] == MASK for place in hidden)
        assert len(hidden) == max(min(max(round(0.15 * len(free)), 1), len(free) - 1), 0)


@given(seed=SEEDS, n=st.integers(2, 60))
def test_without_a_mask_token_others_of_the_text_stand_there(seed: bytes, n: int) -> None:
    ids = list(range(100, 100 + n))
    with_mask, without = (HiddenTokens(seed, 0.15).tokens(ids, (), mask) for mask in (MASK, None))
    shown = {token for token in with_mask if token != MASK}
    for before, masked, after in zip(ids, with_mask, without, strict=True):
        assert after == before if masked == before else after in shown


def test_a_text_of_one_token_stays_whole() -> None:
    [view] = open_views(1, "default", 0, "text")
    assert view.change(bytes(16)).tokens([0, 9, 1], {0, 1}, MASK) == [0, 9, 1]
    assert view.change(bytes(16)).tokens([], (), MASK) == []


def test_every_token_has_its_turn() -> None:
    ids = list(range(10, 30))
    hidden = {
        place
        for view in open_views(100, "default", 0, "text-pair")
        for place, token in enumerate(view.change(bytes(16)).tokens(ids, SPECIAL, MASK))
        if token == MASK
    }
    assert hidden == set(range(20))
