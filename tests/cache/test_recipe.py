"""A recipe's id changes exactly when an entry changes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.cache.recipe import NUMERICS, Recipe, make_recipe
from headstart.types import BackboneInfo

EXACT = 2**53 - 1  # beyond it a JSON number is not one number for every reader
NUMBERS = st.integers(-EXACT, EXACT) | st.floats(-EXACT, EXACT)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
ENTRIES = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), VALUES, max_size=6)


def shape(value: Any) -> Any:
    """What two values have in common if JSON cannot tell them apart: 1 and 1.0, but not 1 and true."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return ("bool", value) if isinstance(value, bool) else value


@given(one=ENTRIES, other=ENTRIES)
def test_two_recipes_share_an_id_exactly_if_they_say_the_same(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert (Recipe(one).id == Recipe(other).id) == (shape(one) == shape(other))


@given(entries=ENTRIES, data=st.data())
def test_any_changed_entry_changes_the_id(entries: dict[str, Any], data: st.DataObject) -> None:
    name, value = data.draw(st.text("abc", max_size=2)), data.draw(VALUES)
    same = name in entries and shape(entries[name]) == shape(value)
    assert (Recipe({**entries, name: value}).id == Recipe(entries).id) == same


@given(entries=ENTRIES, data=st.data())
def test_the_order_of_entries_does_not_matter(entries: dict[str, Any], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(entries.items()))))
    assert Recipe(shuffled).canonical == Recipe(entries).canonical


@given(entries=ENTRIES)
def test_an_id_survives_the_file(entries: dict[str, Any]) -> None:
    recipe = Recipe(entries)
    assert Recipe(json.loads(json.dumps(entries, indent=2))).id == recipe.id
    assert Recipe(json.loads(recipe.canonical)).canonical == recipe.canonical
    assert re.fullmatch(r"[0-9a-f]{16}", recipe.id)


INFO = BackboneInfo(
    spec="timm:a",
    modality="image",
    weights="00" * 16,
    architecture={"name": "a", "pool": "avg"},
    preprocessing={"size": [224, 224], "mean": [0.5, 0.5, 0.5]},
    taps=("pooler", "final.mean"),
)


def recipe(info: BackboneInfo = INFO, **more: Any) -> Recipe:
    return make_recipe(info, **{"tap": "final.mean", "compute": "fp32", "stored": "float32", **more})


@pytest.mark.parametrize(
    "changed",
    [
        recipe(replace(INFO, weights="01" * 16)),
        recipe(replace(INFO, architecture={"name": "a", "pool": "max"})),
        recipe(replace(INFO, preprocessing={"size": [224, 225], "mean": [0.5, 0.5, 0.5]})),
        recipe(replace(INFO, max_length=128)),
        recipe(replace(INFO, code={"version": "1", "source": "ab"})),
        recipe(tap="pooler"),
        recipe(compute="bf16"),
        recipe(stored="float16"),
        recipe(view={"augmentation": "default", "number": 1}),
        recipe(replace(INFO, prompt="query: ")),
    ],
)
def test_what_can_change_a_number_changes_the_id(changed: Recipe) -> None:
    assert changed.id != recipe().id
    assert len(recipe().differences(changed)) >= 1


def test_what_cannot_change_a_number_does_not() -> None:
    other = replace(INFO, spec="hf:b", taps=("final.mean",), n_layers=9, provenance={"torch": "9"})
    assert recipe(other).id == recipe().id


def test_entries_at_their_default_are_left_out() -> None:
    assert recipe(replace(INFO, prompt=""), view=None).id == recipe().id
    assert set(recipe().entries) == {
        "weights", "architecture", "preprocessing", "tap", "compute", "stored", "numerics",
    }  # fmt: skip
    assert recipe().entries["numerics"] == NUMERICS


def test_differences_are_dotted_and_show_both_values() -> None:
    other = recipe(replace(INFO, architecture={"name": "a"}), compute="fp16")
    assert recipe().differences(other) == {"architecture.pool": ("avg", None), "compute": ("fp32", "fp16")}
    assert recipe().differences(recipe()) == {}
