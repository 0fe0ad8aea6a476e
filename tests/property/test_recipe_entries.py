"""The id of a space changes exactly when an entry does that can change a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headstart.cache.recipe import make_recipe
from headstart.types import BackboneInfo

INFO = BackboneInfo("timm:a", "image", "00" * 16, {"name": "a"}, {"size": 224}, ("pooler",))
NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "weights": st.sampled_from(["00" * 16, "01" * 16]),
    "architecture": st.sampled_from([{"name": "a"}, {"name": "a", "pool": "avg"}]),
    "preprocessing": st.sampled_from([{"size": 224}, {"size": 256}, {"size": 224, "crop": 0.9}]),
    "max_length": st.sampled_from([None, 64, 128]),
    "prompt": st.sampled_from([None, "query: "]),
    "code": st.sampled_from([None, {"version": "1", "source": "ab"}]),
}
NAMES: dict[str, st.SearchStrategy[Any]] = {
    "spec": st.sampled_from(["timm:a", "hf:b"]),
    "taps": st.sampled_from([("pooler",), ("final.mean", "pooler")]),
    "n_layers": st.sampled_from([0, 12]),
    "provenance": st.sampled_from([{}, {"torch": "9"}]),
}
CALL: dict[str, st.SearchStrategy[Any]] = {
    "tap": st.sampled_from(["pooler", "final.mean", "3.cls"]),
    "compute": st.sampled_from(["fp32", "bf16", "fp16"]),
    "stored": st.sampled_from(["float16", "float32"]),
    "view": st.sampled_from([None, {"number": 1}, {"number": 2}]),
}


@given(
    one=st.fixed_dictionaries(NUMBERS),
    other=st.fixed_dictionaries(NUMBERS),
    names=st.tuples(st.fixed_dictionaries(NAMES), st.fixed_dictionaries(NAMES)),
    calls=st.tuples(st.fixed_dictionaries(CALL), st.fixed_dictionaries(CALL)),
)
def test_an_id_changes_exactly_with_what_can_change_a_number(
    one: dict[str, Any], other: dict[str, Any], names: Any, calls: Any
) -> None:
    first = make_recipe(replace(INFO, **one, **names[0]), **calls[0])
    second = make_recipe(replace(INFO, **other, **names[1]), **calls[1])
    assert (first.id == second.id) == (one == other and calls[0] == calls[1])
    assert bool(first.differences(second)) == (first.id != second.id)
