"""A view of a sample is the same whoever asks for it, when, and in which company."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from hashlib import blake2b

import numpy as np
from PIL import Image

from headstart.augmentation import View, open_views
from headstart.augmentation.changes import derive, generator_of
from headstart.augmentation.pictures import draw_box

from .conftest import KEYS

IDS = list(range(100, 140))
SPECIAL = frozenset({0, 1})


def some_views() -> list[View]:
    return [
        *open_views(2, "default", 0, "image"),
        *open_views(2, "randaugment", 3, "image"),
        *open_views(2, "default", 0, "text"),
    ]


def outcome(view: View, key: bytes, image: Image.Image) -> str:
    """A digest of all that a view does to a sample."""
    change = view.change(key)
    changed = change.image(image)
    said = repr((changed.size, change.text("a few words"), change.tokens(IDS, SPECIAL, 4)))
    return blake2b(changed.tobytes() + said.encode(), digest_size=8).hexdigest()


def outcomes(views: Iterable[View], image: Image.Image) -> dict[tuple[str, int], str]:
    return {
        (f"{view.name} {view.entry['of']}", number): outcome(view, key, image)
        for view in views
        for number, key in enumerate(KEYS)
    }


def test_it_is_the_same_in_any_order(image: Image.Image) -> None:
    once = outcomes(some_views(), image)
    views = some_views()
    backwards = [(view, number) for view in views for number in range(len(KEYS))][::-1]
    for view, number in backwards:
        assert outcome(view, KEYS[number], image) == once[f"{view.name} {view.entry['of']}", number]


def test_it_is_the_same_in_threads_that_share_a_process(image: Image.Image) -> None:
    views = some_views()
    tasks = [(view, key, image) for _ in range(3) for view in views for key in KEYS]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda task: outcome(*task), tasks))
    assert found == 3 * list(outcomes(views, image).values())


def test_it_is_the_same_in_another_process(image: Image.Image) -> None:
    """Views travel to workers as they are."""
    views = some_views()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(outcomes, views, image).result() == outcomes(views, image)


def test_a_change_that_is_asked_twice_says_the_same(image: Image.Image) -> None:
    """A text is prepared again where another of its batch could not be tokenised."""
    for view in some_views():
        change = view.change(KEYS[0])
        assert change.image(image).tobytes() == change.image(image).tobytes()
        assert change.tokens(IDS, SPECIAL, None) == change.tokens(IDS, SPECIAL, None)


def test_views_differ_from_each_other_and_from_sample_to_sample(image: Image.Image) -> None:
    for augment, modality in (("default", "image"), ("randaugment", "image"), ("default", "text")):
        found = outcomes([*open_views(4, augment, 0, modality), *open_views(4, augment, 1, modality)], image)
        assert len(set(found.values())) > 0.95 * len(found)


def test_nobody_elses_random_numbers_are_used(image: Image.Image) -> None:
    before = random.getstate(), np.random.get_state()[1].copy()
    outcomes(some_views(), image)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_version_1_draws_what_it_always_drew() -> None:
    """Features are kept under these numbers: where one changes, the version must rise."""
    assert derive(b"a", b"b").hex() == blake2b(b"a\0b", digest_size=16).hexdigest()
    assert generator_of(bytes(16)).random(2).tolist() == [0.011546754286331562, 0.24154919656271812]
    assert draw_box((400, 300), generator_of(bytes(range(16)))) == (23, 5, 389, 285)
    [view] = open_views(1, "default", 0, "text")
    change, ids = view.change(bytes(16)), list(range(20))
    assert [place for place, token in enumerate(change.tokens(ids, (), 99)) if token == 99] == [6, 7, 18]
    without_mask = change.tokens(ids, (), None)
    assert {place: without_mask[place] for place in ids if without_mask[place] != place} == {
        6: 14,
        7: 2,
        18: 4,
    }
    [view] = open_views(1, "default", 0, "image")
    assert view.change(bytes(16)).seed.hex() == "468204f8f3f580ecb822a20bafd22b87"
