"""Augmented views lie beside the plain feature, and are read only by whoever asks for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caches import RECIPE, TOKENS, commit, features_of, keys_of

from headstart.cache.export import export
from headstart.cache.formats import shard_format
from headstart.cache.recipe import Recipe
from headstart.cache.sets import FeatureSet
from headstart.cache.store import Cache
from headstart.errors import ConfigError, MismatchError
from headstart.types import Failure

NUMBERS = range(12)
PLAIN = {"backbone": "py:some:texts", "tap": "final.mean", "view": None, "space": RECIPE.id}


def view_recipe(number: int) -> Recipe:
    return Recipe({**RECIPE.entries, "view": {"augment": "default", "number": number}})


@pytest.fixture
def made(cache_root: Path) -> FeatureSet:
    """A feature with two views, whose entries come first, and token features of another backbone with one."""
    cache = Cache(cache_root)
    cache.prepare()
    entries = []
    for number in (1, 2):
        recipe = view_recipe(number)
        space = cache.space(recipe)
        space.prepare()
        space.commit(features_of(NUMBERS, version=number), shard_format("hdf5"))
        entries.append({**PLAIN, "view": f"default:{number}", "space": recipe.id})
    for recipe, ragged in ((RECIPE, False), (TOKENS, True)):
        space = cache.space(recipe)
        space.prepare()
        space.commit(features_of(NUMBERS, ragged=ragged), shard_format("hdf5"))
    tokens = Recipe({**TOKENS.entries, "view": 3})
    space = cache.space(tokens)
    space.prepare()
    space.commit(features_of(NUMBERS, version=3, ragged=True), shard_format("hdf5"))
    other = {"backbone": "py:other:texts", "tap": "final.tokens"}
    entries += [PLAIN, {**other, "space": TOKENS.id}, {**other, "view": "default:1", "space": tokens.id}]
    return commit(cache, NUMBERS, features=entries)


def test_the_plain_feature_is_the_one_that_is_read(made: FeatureSet) -> None:
    assert made.feature().view is None
    assert made.feature("last.mean").space == RECIPE.id
    for X in (made.arrays()[0], made.rows(tap="last.mean").X, made.mapped()[:]):
        assert np.array_equal(X, features_of(NUMBERS).values)


def test_a_view_is_read_by_its_name(made: FeatureSet) -> None:
    assert made.views() == made.views("last.mean", "py:some:texts") == ("default:1", "default:2")
    for number, view in enumerate(made.views(), start=1):
        expected = features_of(NUMBERS, version=number).values
        assert made.feature(view=view).view == view
        assert made.held(view=view).feature.view == view
        for X in (made.arrays(view=view)[0], made.rows(view=view).X, made.mapped(view=view)[:]):
            assert np.array_equal(X, expected)
    assert made.table(view="default:2").column("features").to_pylist()[3][:2] == [3, 2]


def test_token_features_have_views_as_well(made: FeatureSet) -> None:
    assert made.views("last.tokens") == ("default:1",)
    assert made.tokens()[5][0, 1] == 0
    assert made.tokens(view="default:1", backbone="py:other:texts")[5][0, 1] == 3


def test_a_view_that_is_not_there_is_answered_with_those_that_are(made: FeatureSet) -> None:
    with pytest.raises(ConfigError, match=r"in view 'default:9'; it has: .* in view 'default:1'; "):
        made.arrays(view="default:9")
    with pytest.raises(
        ConfigError, match=r"at last\.cls; it has: py:some:texts last\.mean; py:other"
    ) as caught:
        made.arrays(tap="last.cls")
    assert "view" not in str(caught.value)


def test_what_a_set_says_of_itself_counts_views_apart(made: FeatureSet) -> None:
    assert repr(made) == (
        "FeatureSet('some', 12 samples, py:some:texts last.mean, py:other:texts last.tokens, 3 augmented views)"
    )


def test_a_sample_that_failed_in_a_view_is_left_out_of_it_alone(made: FeatureSet) -> None:
    cache = Cache(made.cache)
    recipe = view_recipe(7)
    space = cache.space(recipe)
    space.prepare()
    space.commit(features_of(NUMBERS[1:], version=7), shard_format("hdf5"))
    entries = [PLAIN, {**PLAIN, "view": "default:7", "space": recipe.id}]
    lacking = commit(cache, NUMBERS, features=entries)
    assert len(lacking.rows()) == 12
    with pytest.raises(MismatchError, match="1 of 12"):
        lacking.rows(view="default:7")
    failure = Failure("row 0", "", "bad", "permanent", keys_of([0])[0].tobytes().hex(), recipe.id)
    lacking = commit(cache, NUMBERS, features=entries, failures=[failure])
    assert lacking.rows(view="default:7").X[:, 0].tolist() == list(NUMBERS[1:])
    assert len(lacking.rows()) == 12


def test_an_export_is_of_the_plain_feature_unless_a_view_is_asked_for(
    made: FeatureSet, tmp_path: Path
) -> None:
    export(made, tmp_path / "plain.npz")
    export(made, tmp_path / "view.npz", view="default:2")
    for name, version in (("plain", 0), ("view", 2)):
        with np.load(tmp_path / f"{name}.npz") as file:
            assert np.array_equal(file["features"], features_of(NUMBERS, version=version).values)
            assert ('"view": "default:2"' in str(file["about"][0])) == (name == "view")
