"""What decisions come to depends on which there are, and not on how they came."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, strategies
from hypothesis.strategies import SearchStrategy

from headstart.cache.corrections import Correction
from headstart.corrections.resolve import Outcome, Step, contradiction, resolve, stamped, walk

LABELS = ["", "a", "b", "c"]


def decided(old: str, new: str = "", action: str = "relabel", turn: int = 0, **more: str) -> Correction:
    plain = {"key": "0" * 32, "id": "x", "label": "kind", "note": "", "digest": f"{turn:016x}", "given": "a"}
    return Correction(turn=turn, old=old, new=new, action=action, **(plain | more))


def label(*rows: Correction) -> str | None:
    """What the label of the one sample comes to; None: it is dropped."""
    found = resolve(rows)
    assert not found.clashes
    (text,) = found.labels.values()
    return None if found.dropped else text


def test_a_correction_applies_while_its_old_label_is_in_force() -> None:
    assert label(decided("a", "b")) == "b"
    assert label(decided("c", "b")) == "a"  # it waits
    assert label(decided("", "b", given="")) == "b"


def test_corrections_of_corrections_are_a_chain() -> None:
    assert label(decided("a", "b"), decided("b", "c", turn=1)) == "c"
    assert label(decided("a", "b"), decided("b", "c")) == "c"
    assert label(decided("a", "b"), decided("b", action="drop", turn=1)) is None


def test_what_is_undone_stays_undone_until_somebody_decides_anew() -> None:
    first, undone, again = decided("a", "b"), decided("b", "a", turn=1), decided("a", "b", turn=2)
    assert label(first, undone) == "a"
    assert label(first, undone, again) == "b"
    assert label(first, undone, decided("a", "c", turn=2)) == "c"


def test_two_agreeing_reviewers_are_undone_together() -> None:
    assert label(decided("a", "b"), decided("a", "b", turn=1), decided("b", "a", turn=2)) == "a"


def test_a_mended_source_needs_no_correction() -> None:
    assert label(decided("a", "b", given="b")) == "b"
    assert label(decided("a", "b", given="b"), decided("b", "a", turn=1, given="b")) == "a"


def test_to_keep_a_label_is_a_decision() -> None:
    assert label(decided("a", action="keep")) == "a"
    assert label(decided("a", action="keep"), decided("a", "b", turn=1)) == "b"  # a change of mind
    assert label(decided("a", "b"), decided("b", action="keep", turn=1)) == "b"


@pytest.mark.parametrize(
    "rows",
    [
        (decided("a", "b"), decided("a", "c")),
        (decided("a", "b"), decided("a", "c", turn=1)),  # made for a state that did not have the first
        (decided("a", "b"), decided("a", action="keep")),
        (decided("a", "b"), decided("a", action="drop")),
        (decided("a", action="keep"), decided("a", action="drop")),
        (decided("a", action="drop"), decided("a", "b", turn=1)),
        (decided("a", "b"), decided("b", "a")),  # round and round
        (decided("c", "b"), decided("c", "a")),  # about a label that the sample has not
        (decided("a", action="drop"), decided("u", "v", label="other", given="u")),
    ],
)
def test_disagreements_are_found_in_any_order(rows: tuple[Correction, ...]) -> None:
    for order in permutations(rows):
        found = resolve(order)
        assert set(found.clashes) == {("0" * 32, "x")}
        assert set(found.clashes["0" * 32, "x"]) <= set(rows)


def test_a_sample_may_be_dropped_after_another_label_of_it_was_corrected() -> None:
    found = resolve([decided("a", "b", label="other"), decided("a", action="drop", turn=1)])
    assert not found.clashes
    assert found.dropped == {("0" * 32, "x")}


def test_notes_never_conflict() -> None:
    unsure = decided("a", action="unsure")
    assert label(unsure, decided("a", "b"), decided("b", action="unsure", turn=1)) == "b"
    assert unsure.identity in resolve([unsure]).in_effect


def test_a_late_row_for_an_early_state_counts_now() -> None:
    """Somebody wrote a second file by hand, and left the digest of the first."""
    first, undo = decided("a", "b"), decided("b", "a")
    (late,) = stamped([undo], [first], in_force="b", now=1)
    assert late.turn == 1
    assert label(first, late) == "a"
    chain = decided("b", "c")
    assert stamped([chain], [first], in_force="b", now=1) == [chain]  # fits as it is
    other = decided("a", "c")
    assert stamped([other], [first], in_force="b", now=1) == [other]  # and is refused


@strategies.composite
def some_rows(draw: strategies.DrawFn) -> list[Correction]:
    def one(turn: int) -> SearchStrategy[Correction]:
        action = strategies.sampled_from(["relabel", "relabel", "relabel", "keep", "drop", "unsure"])
        names = strategies.sampled_from(LABELS)
        return strategies.builds(
            lambda old, new, action, id, label: decided(
                old, (new or "d") if action == "relabel" else "", action, turn, id=id, label=label
            ),
            names, names, action, strategies.sampled_from("xy"), strategies.sampled_from(["kind", "other"]),
        )  # fmt: skip

    rows = strategies.integers(0, 3).flatmap(one)
    return draw(strategies.lists(rows, max_size=7))


def told(found: Outcome) -> tuple[object, ...]:
    return found.labels, found.dropped, found.in_effect, set(found.clashes)


@given(some_rows(), strategies.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(rows: list[Correction], random: object) -> None:
    shuffled = [*rows, *rows[: len(rows) // 2]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert told(resolve(shuffled)) == told(resolve(rows))


@given(some_rows())
def test_the_outcome_is_a_label_that_somebody_named(rows: list[Correction]) -> None:
    found = resolve(rows)
    for (sample, column), text in found.labels.items():
        mine = [row for row in rows if (row.sample, row.label) == (sample, column)]
        assert text in {"a", *(row.new for row in mine if row.action == "relabel")}
        if not any(row.action in ("relabel", "drop") for row in mine):
            assert text == "a"
    assert all(any(row.action == "drop" and row.sample == one for row in rows) for one in found.dropped)


@given(some_rows())
def test_a_decision_on_what_is_in_force_is_followed(rows: list[Correction]) -> None:
    found = resolve(rows)
    if found.clashes or found.dropped:
        return
    for (sample, column), text in found.labels.items():
        new = decided(text, "new", turn=4, id=sample[1], label=column)
        assert resolve([*rows, new]).labels[sample, column] == "new"


@given(
    strategies.lists(
        strategies.builds(Step, strategies.integers(0, 3), *[strategies.sampled_from("abc")] * 2)
    )
)
def test_a_walk_ends(steps: list[Step]) -> None:
    found = walk("a", steps)
    assert found.at in "abc"
    if contradiction(steps) is None and found.clash is None:
        assert found.used <= set(steps)
