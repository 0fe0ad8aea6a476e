"""A user's own function: what it is handed, what it may give, and how its mistakes are said."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from headstart.augmentation import View, open_views, reopen_view
from headstart.errors import ConfigError, SampleError
from headstart.types import Modality

from .conftest import KEYS


def view(own: str, name: str, modality: Modality = "image") -> View:
    [opened] = open_views(1, f"{own}:{name}", 0, modality)
    return opened


def test_it_changes_pictures(own: str, image: Image.Image) -> None:
    first, second = open_views(2, f"{own}:darker", 0, "image")
    assert first.change(KEYS[0]).image(image).tobytes() == first.change(KEYS[0]).image(image).tobytes()
    found = {each.change(key).image(image).tobytes() for each in (first, second) for key in KEYS}
    assert len(found) == 2 * len(KEYS)


def test_it_changes_texts(own: str) -> None:
    text = "one two three four five six"
    changed = view(own, "shuffled", "text").change(KEYS[0])
    assert changed.text(text) == changed.text(text) != text
    assert sorted(changed.text(text).split()) == sorted(text.split())
    assert changed.tokens([5, 6], (), None) == [5, 6]


def test_the_texts_of_a_pair_are_not_changed_by_the_same_numbers(own: str) -> None:
    change = view(own, "shuffled", "text-pair").change(KEYS[0])
    orders = set()
    for start in range(0, 50, 5):
        words = [f"w{number}" for number in range(start, start + 5)]
        orders.add(tuple(words.index(word) for word in change.text(" ".join(words)).split()))
    assert len(orders) > 5


def test_beside_an_image_the_text_stays(own: str, image: Image.Image) -> None:
    change = view(own, "darker", "image-text").change(KEYS[0])
    assert change.text("as it is") == "as it is"
    assert change.image(image).tobytes() != image.tobytes()


def test_what_it_draws_on_is_its_own_copy(own: str, image: Image.Image) -> None:
    before = image.tobytes()
    assert view(own, "scribble").change(KEYS[0]).image(image).getpixel((0, 0)) == (255, 0, 0)
    assert image.tobytes() == before


def test_whatever_it_gives_becomes_rgb(own: str, image: Image.Image) -> None:
    changed = view(own, "grey").change(KEYS[0]).image(image)
    assert (changed.mode, changed.tobytes()) == ("RGB", image.convert("L").convert("RGB").tobytes())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "raises could not change it: 'no entry for <object object>'"),
        ("nothing", "nothing gave a NoneType; expected a PIL image"),
        ("no_pixels", "no_pixels gave a picture of 0×7 pixels"),
    ],
)
def test_a_picture_that_it_cannot_change_is_named(own: str, image: Image.Image, name: str, says: str) -> None:
    """And in the same words in every run: without addresses of memory."""
    with pytest.raises(SampleError) as raised:
        view(own, name).change(KEYS[0]).image(image)
    assert str(raised.value) == f"{own}:{says}"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "could not change it"),
        ("nothing", "gave a NoneType; expected a text"),
        ("empty", "gave an empty text"),
    ],
)
def test_a_text_that_it_cannot_change_is_named(own: str, name: str, says: str) -> None:
    with pytest.raises(SampleError, match=says):
        view(own, name, "text").change(KEYS[0]).text("a text")


def test_memory_that_ran_out_is_no_fault_of_the_sample(own: str, image: Image.Image) -> None:
    with pytest.raises(MemoryError):
        view(own, "hungry").change(KEYS[0]).image(image)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unversioned", 'does not say its version; write unversioned.version = "1" below it'),
        ("Image", "is a module, and no function"),
        ("absent", "cannot be imported: AttributeError"),
    ],
)
def test_what_is_no_augmentation_is_refused_at_once(own: str, name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        view(own, name)


@pytest.mark.parametrize("spec", ["py:no_such_module:f", "py:json", "py::f"])
def test_what_cannot_be_found_is_named(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be imported: ModuleNotFound|package\.module:function"):
        open_views(1, spec, 0, "text")


def test_its_source_and_its_version_are_part_of_the_recipe(own: str, tmp_path: Path) -> None:
    before = view(own, "grey")
    [file] = tmp_path.glob("*.py")
    module = importlib.import_module(file.stem)
    module.grey.version = "2"
    raised = view(own, "grey")
    module.grey.version = "1"
    assert dict(view(own, "grey").entry) == dict(before.entry)
    file.write_text(file.read_text("utf-8") + "\n# another line\n", "utf-8")
    edited = view(own, "grey")
    differing = {
        name for other in (raised, edited) for name in before.entry if other.entry[name] != before.entry[name]
    }
    assert differing == {"version", "source"}
    assert len({each.change(KEYS[0]).seed for each in (before, raised, edited)}) == 3


def test_another_process_finds_it_by_its_name(own: str, tmp_path: Path, image: Image.Image) -> None:
    one = view(own, "darker")
    (tmp_path / "view").write_bytes(pickle.dumps((one, KEYS[0], image)))
    script = (
        "import pickle, sys; from hashlib import blake2b\n"
        "view, key, image = pickle.load(open('view', 'rb'))\n"
        "print(blake2b(view.change(key).image(image).tobytes()).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    from hashlib import blake2b

    assert done.stdout.strip() == blake2b(one.change(KEYS[0]).image(image).tobytes()).hexdigest()


def test_it_is_opened_again_from_a_recipe(own: str) -> None:
    one = view(own, "shuffled", "text")
    assert reopen_view(one.entry, "text") == one
