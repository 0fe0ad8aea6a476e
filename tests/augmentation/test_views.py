"""Views by name and number, and their place in the recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.augmentation import open_views, reopen_view
from headstart.cache.recipe import make_recipe
from headstart.errors import ConfigError
from headstart.types import BackboneInfo

INFO = BackboneInfo("timm:a", "image", "00" * 16, {}, {}, ("pooler",))


def recipe_id(view: Any) -> str:
    return make_recipe(INFO, "pooler", "fp32", "float32", None if view is None else view.entry).id


def test_more_views_begin_with_the_same_ones() -> None:
    few, many = (open_views(n, "default", 0, "image") for n in (4, 8))
    assert many[:4] == few
    assert [view.name for view in few] == ["default:1", "default:2", "default:3", "default:4"]
    assert [recipe_id(view) for view in many[:4]] == [recipe_id(view) for view in few]
    assert len({recipe_id(view) for view in (None, *many)}) == 9


VIEWS = st.tuples(
    st.sampled_from([("default", "image"), ("randaugment", "image"), ("default", "text")]),
    st.integers(1, 3),
    st.integers(0, 2),
)


@given(one=VIEWS, other=VIEWS)
def test_a_recipe_changes_exactly_with_augmentation_number_and_seed(one: Any, other: Any) -> None:
    views = [open_views(n, augment, seed, modality)[-1] for (augment, modality), n, seed in (one, other)]
    assert (recipe_id(views[0]) == recipe_id(views[1])) == (one == other)


def test_the_plain_feature_has_no_view_in_its_recipe() -> None:
    assert "view" not in make_recipe(INFO, "pooler", "fp32", "float32").entries
    assert open_views(0, "default", 0, "image") == ()


@pytest.mark.parametrize("modality", ["image", "text"])
def test_an_entry_survives_its_file_and_opens_the_view_again(modality: Any) -> None:
    for view in open_views(3, "default", 7, modality):
        assert view.name.endswith("@7")
        assert reopen_view(json.loads(json.dumps(dict(view.entry))), modality) == view


def test_an_entry_of_an_earlier_version_opens_what_there_is_now() -> None:
    """So that doctor says that the augmentation has changed, and by what."""
    [view] = open_views(1, "default", 0, "image")
    now = reopen_view({**view.entry, "version": 0}, "image")
    assert now.entry["version"] == 1


@pytest.mark.parametrize(
    ("n", "augment", "modality", "says"),
    [
        (1, "radaugment", "image", "no augmentation 'radaugment'; did you mean 'randaugment'"),
        (1, "zzz", "text", "no augmentation 'zzz'; there are default, randaugment and py:"),
        (1, "randaugment", "text", "changes images, and the data holds texts"),
        (1, "randaugment", "text-pair", "changes images, and the data holds texts"),
        (-1, "default", "image", "--views -1 is out of range"),
        (1001, "default", "image", "--views 1001 is out of range: it takes 0 to 1,000"),
    ],
)
def test_what_cannot_be_had_is_said(n: int, augment: str, modality: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_views(n, augment, 0, modality)


@pytest.mark.parametrize("entry", [{"augmentation": "cutmix", "number": 1, "seed": 0}, {"flip": True}])
def test_an_entry_of_a_later_version_is_refused(entry: Any) -> None:
    with pytest.raises(ConfigError, match=r"no augmentation 'cutmix'|no kind that this version knows"):
        reopen_view(entry, "image")


def test_naming_views_needs_neither_torch_nor_pillow() -> None:
    """A warm run names the spaces of its views, and loads nothing."""
    script = (
        "import sys; from headstart.augmentation import open_views\n"
        "assert len({v.name for m in ('image', 'text') for v in open_views(8, 'default', 0, m)}) == 8\n"
        "print(sorted({'torch', 'PIL', 'torchvision', 'sklearn'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
