"""Views from the command to the head: kept beside the plain features, drawn in training, never in a test."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.arrow import keys_from_arrow
from headstart.backbones import BackboneOptions, open_backbone
from headstart.cache.store import Cache
from headstart.config import ExtractConfig
from headstart.errors import ConfigError
from headstart.extraction.plan import views_for

from .conftest import IMAGES, TEXTS, Result, write_image, write_texts

Runner = Callable[..., Result]
LINEAR = ("--head", "linear", "--param", "epochs=5")

OWN = """
def swap(text, generator):
    words = text.split()
    generator.shuffle(words)
    if "37" in words:
        raise ValueError("not 37")
    return " ".join(words)


swap.version = "1"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"swaps_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(OWN, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return f"py:{name}:swap"


def extract(headstart: Runner, data: Path, backbone: str, *options: object) -> Result:
    done = headstart("extract", data, "--backbone", backbone, "--set", "s", *options, "--json", "-q")
    assert done.code == 0, done.err
    return done


def train_keys() -> np.ndarray:
    return keys_from_arrow(hs.open_set("s").table("train").column("key"))


def vectors(space: str) -> np.ndarray:
    """The train features of a space, in the order of the set."""
    return np.asarray(Cache(None).open_space(space).gather(train_keys()).values)


def n_held(space: str) -> int:
    return len(Cache(None).open_space(space))


def test_views_are_computed_of_train_samples_alone(headstart: Runner, photos: Path) -> None:
    """Nothing else ever draws one."""
    said = extract(headstart, photos, IMAGES, "--views", 2)
    features = hs.open_set("s")
    n_train = len(features.table("train"))
    assert n_train < 60
    assert [n_held(ref.space) for ref in features.features] == [60, n_train, n_train]
    assert said.json["computed"] == 60
    X, _ = features.arrays(view="default:1")
    np.testing.assert_array_equal(X, features.arrays("train", view="default:1")[0])
    assert headstart("cache", "verify").code == 0


def test_what_is_to_do_counts_samples_and_views_apart(headstart: Runner, photos: Path) -> None:
    extract(headstart, photos, IMAGES)
    n_train = len(hs.open_set("s").table("train"))
    done = headstart("extract", photos, "--backbone", IMAGES, "--set", "s", "--views", 2)
    says = f"60 samples: 60 held, 0 to do; 2 views of the {n_train} to train on: 0 held, {2 * n_train} to do"
    assert says in done.err
    again = headstart("extract", photos, "--backbone", IMAGES, "--set", "s", "--views", 3)
    assert f"3 views of the {n_train} to train on: {2 * n_train} held, {n_train} to do" in again.err


def test_splits_that_the_data_brings_say_what_has_views(headstart: Runner, tmp_path: Path, own: str) -> None:
    """A text that is in train and in test as well is trained on."""
    rows = [("one", "train"), ("two words", "test"), ("three more words", "validation"), ("one", "test")]
    data = write_texts(tmp_path / "given.csv", rows, header=("text", "split"))
    extract(headstart, data, TEXTS, "--views", 1, "--augment", own)
    plain, view = hs.open_set("s").features
    assert (n_held(plain.space), n_held(view.space)) == (3, 1)


def test_data_without_a_train_sample_has_views_of_all(headstart: Runner, tmp_path: Path, own: str) -> None:
    rows = [("one", "test"), ("two words", "test"), ("three more words", "test")]
    data = write_texts(tmp_path / "given.csv", rows, header=("text", "split"))
    extract(headstart, data, TEXTS, "--views", 1, "--augment", own)
    assert [n_held(ref.space) for ref in hs.open_set("s").features] == [3, 3]


def test_views_lie_beside_the_plain_features(headstart: Runner, photos: Path) -> None:
    extract(headstart, photos, IMAGES)
    plain = hs.open_set("s").features[0].space
    extract(headstart, photos, IMAGES, "--views", 3)
    features = hs.open_set("s")
    assert [ref.view for ref in features.features] == [None, "default:1", "default:2", "default:3"]
    assert features.features[0].space == plain
    found = [vectors(ref.space) for ref in features.features]
    for one in range(4):
        for other in range(one):
            assert (found[one] != found[other]).any(axis=1).all()


def test_more_views_compute_only_what_is_new(headstart: Runner, photos: Path) -> None:
    extract(headstart, photos, IMAGES, "--views", 2)
    before = {ref.view: vectors(ref.space) for ref in hs.open_set("s").features}
    extract(headstart, photos, IMAGES, "--views", 4)
    after = {ref.view: ref.space for ref in hs.open_set("s").features}
    assert len(after) == 5
    for view, kept in before.items():
        np.testing.assert_array_equal(vectors(after[view]), kept)
    assert extract(headstart, photos, IMAGES, "--views", 4).json["computed"] == 0
    write_image(photos / "circle" / "new.png", 999)
    assert extract(headstart, photos, IMAGES, "--views", 4).json["computed"] == 1


def test_a_view_is_the_same_in_another_process_and_batch(
    process: Runner, headstart: Runner, photos: Path
) -> None:
    extract(headstart, photos, IMAGES, "--views", 2, "--augment", "randaugment")
    spaces = [ref.space for ref in hs.open_set("s").features]
    here = [vectors(space) for space in spaces]
    done = process(
        "extract", photos, "--backbone", IMAGES, "--set", "s", "--views", 2, "--augment", "randaugment",
        "--batch-size", 7, HEADSTART_CACHE="another",
    )  # fmt: skip
    assert done.code == 0, done.err
    keys = train_keys()
    for space, mine in zip(spaces, here, strict=True):
        theirs = np.asarray(Cache("another").open_space(space).gather(keys).values)
        np.testing.assert_allclose(theirs, mine, atol=1e-5 * np.abs(mine).max())


def test_a_linear_head_draws_views_and_says_which(headstart: Runner, photos: Path) -> None:
    extract(headstart, photos, IMAGES, "--views", 2)
    done = headstart("fit-head", "s", *LINEAR, "--out", "with")
    assert done.code == 0, done.err
    assert "plain or in one of 2 views" in done.err
    again = headstart("fit-head", "s", *LINEAR, "--out", "again")
    without = headstart("fit-head", "s", *LINEAR, "--no-views", "--out", "without")
    assert again.code == without.code == 0
    assert "views" not in without.err
    reports = {
        name: json.loads(Path(name, "report.json").read_text()) for name in ("with", "again", "without")
    }
    assert reports["with"]["views"] == {"names": ["default:1", "default:2"], "n_plain_instead": 0}
    assert "views" not in reports["without"]
    assert reports["with"]["metrics"] == reports["again"]["metrics"]
    weights = {name: Path(name, "model", "head.safetensors").read_bytes() for name in reports}
    assert weights["with"] == weights["again"] != weights["without"]
    assert "2 views (default:1 to default:2)" in Path("with", "README.md").read_text()
    repeated = headstart("fit-head", "--config", "without/config.yaml", "--out", "repeated")
    assert repeated.code == 0, repeated.err
    assert Path("repeated", "model", "head.safetensors").read_bytes() == weights["without"]


def test_heads_without_epochs_take_the_plain_feature_and_say_so(headstart: Runner, photos: Path) -> None:
    extract(headstart, photos, IMAGES)
    headstart("fit-head", "s", "--head", "ridge", "--out", "before")
    extract(headstart, photos, IMAGES, "--views", 2)
    done = headstart("fit-head", "s", "--head", "ridge", "--out", "after")
    assert done.err.count("2 views of this feature; a ridge head is fitted on the plain one alone") == 1
    both = [Path(run, "model", "head.safetensors").read_bytes() for run in ("before", "after")]
    assert both[0] == both[1]


def test_what_reads_a_set_reads_the_plain_feature(headstart: Runner, photos: Path) -> None:
    extract(headstart, photos, IMAGES)
    X, _ = hs.open_set("s").arrays("test")
    extract(headstart, photos, IMAGES, "--views", 2)
    features = hs.open_set("s")
    np.testing.assert_array_equal(features.arrays("test")[0], X)
    assert features.feature().view is None
    assert headstart("cache", "export", "s", "plain.npz").code == 0
    assert headstart("cache", "export", "s", "viewed.npz", "--view", "default:2").code == 0
    exported = [np.load(name)["features"] for name in ("plain.npz", "viewed.npz")]
    np.testing.assert_array_equal(exported[0], features.arrays()[0])
    np.testing.assert_array_equal(exported[1], features.arrays(view="default:2")[0])
    assert len(exported[0]) == 60
    assert (features.arrays("train")[0] != exported[1]).any(axis=1).all()
    assert headstart("fit-head", "s", *LINEAR, "--out", "run").code == 0
    assert headstart("predict", "run", photos, "--out", "p.csv").code == 0
    run = json.loads(Path("run", "features.json").read_text())
    assert "view" not in run["recipe"]


def test_a_sample_that_a_view_fails_on_shows_its_plain_feature(
    headstart: Runner, table: Path, own: str
) -> None:
    done = headstart("extract", table, "--backbone", TEXTS, "--set", "s", "--views", 2, "--augment", own)
    assert done.code == 0, done.err
    features = hs.open_set("s")
    failures = {(failure.id, failure.reason) for failure in features.failures}
    assert {reason for _, reason in failures} == {f"{own} could not change it: not 37"}
    assert len({id for id, _ in failures}) == 1
    assert len(features.arrays()[0]) == 80
    fitted = headstart("fit-head", "s", *LINEAR, "--out", "run")
    assert fitted.code == 0, fitted.err
    report = json.loads(Path("run", "report.json").read_text())
    in_train = next(iter(failures))[0] in features.table("train").column("id").to_pylist()
    assert report["views"]["n_plain_instead"] == (2 if in_train else 0)


def test_views_of_another_prompt_are_left_out(headstart: Runner, tiny_bert: Path, table: Path) -> None:
    backbone = f"hf:{tiny_bert}"
    extract(headstart, table, backbone, "--views", 2)
    extract(headstart, table, backbone, "--views", 1, "--prompt", "q ")
    done = headstart("fit-head", "s", *LINEAR, "--out", "run")
    assert done.code == 0, done.err
    assert "left out: default:2" in done.err
    assert json.loads(Path("run", "report.json").read_text())["views"]["names"] == ["default:1"]


def test_tokens_are_hidden_in_views_of_texts(headstart: Runner, tiny_bert: Path, table: Path) -> None:
    extract(headstart, table, f"hf:{tiny_bert}", "--views", 2, "--taps", "last.mean,last.max")
    features = hs.open_set("s")
    assert len(features.features) == 6
    by_view = [vectors(ref.space) for ref in features.features if ref.tap == "final.mean"]
    assert (by_view[0] != by_view[1]).any(axis=1).all()
    assert (by_view[1] != by_view[2]).any(axis=1).mean() > 0.9


def test_doctor_recomputes_views(headstart: Runner, photos: Path) -> None:
    extract(headstart, photos, IMAGES, "--views", 2)
    done = headstart("cache", "doctor", "s", "--samples", 5, "--json", "-q")
    assert done.code == 0, done.out
    seen = json.loads(done.out)
    assert [examined["view"] for examined in seen] == [None, "default:1", "default:2"]
    assert all(examined["largest_error"] < 1e-5 and not examined["differences"] for examined in seen)


def test_doctor_says_that_an_augmentation_changed(process: Runner, table: Path, own: str) -> None:
    module = Path(f"{own.split(':')[1]}.py")
    assert (
        process("extract", table, "--backbone", TEXTS, "--set", "s", "--views", 1, "--augment", own).code == 0
    )
    module.write_text(OWN.replace("generator.shuffle(words)", "words.reverse()"), "utf-8")
    changed = process("cache", "doctor", "s")
    assert changed.code == 4
    assert "the backbone has changed: view.source was" in changed.out
    module.unlink()
    gone = process("cache", "doctor", "s")
    assert gone.code == 0
    assert "not every view could be examined" in gone.err
    assert gone.out.count("healthy") == 1


def test_diff_says_which_views_are_missing(headstart: Runner, photos: Path) -> None:
    extract(headstart, photos, IMAGES, "--views", 1)
    n_train = len(hs.open_set("s").table("train"))
    done = headstart(
        "cache", "diff", photos, "--backbone", IMAGES, "--set", "s", "--views", 2, "--json", "-q"
    )
    found = json.loads(done.out)["features"]
    assert [(part["view"], part["n_held"]) for part in found] == [
        (None, 60),
        ("default:1", n_train),
        ("default:2", 0),
    ]
    assert [part["n_missing"] for part in found] == [0, 0, n_train]
    assert found[2]["nearest"][0]["differences"] == {"view.number": [1, 2]}
    said = headstart("cache", "ls").out
    assert "view default:1" in said
    assert headstart("cache", "show", "s").out.count("default:1") >= 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--views", 2, "--augment", "rand"), "no augmentation 'rand'"),
        (("--views", 2, "--augment", "randaugment"), "changes images, and the data holds texts"),
        (("--views", 2, "--augment", "py:json:dumps"), "does not say its version"),
        (("--views", 1001), "1001"),
    ],
)
def test_views_that_cannot_be_had_are_refused_before_any_work(
    headstart: Runner, table: Path, options: tuple[object, ...], says: str
) -> None:
    done = headstart("extract", table, "--backbone", TEXTS, "--set", "s", *options)
    assert done.code == 2
    assert says in done.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"views": 2}, "hides tokens of texts, and py:tiny_backbones:texts has no tokens"),
        ({"augment": "randaugment"}, "--augment is of views, and none are asked for"),
        ({"view_seed": 1}, "--view-seed is of views, and none are asked for"),
    ],
)
def test_views_that_would_be_the_plain_feature_are_refused(options: dict[str, Any], says: str) -> None:
    info = open_backbone(TEXTS, BackboneOptions()).resolve()
    config = ExtractConfig(data="texts.csv", backbone=TEXTS, **options)
    with pytest.raises(ConfigError, match=says):
        views_for(config, info, "text")


def test_the_augmentation_in_the_how_to_works(
    headstart: Runner, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "views.md").read_text("utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    [line] = re.findall(r"^headstart extract .*--augment (py:.*)$", page, re.MULTILINE)
    Path("my_views.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    extract(headstart, photos, IMAGES, "--views", 4, "--augment", line)
    assert [ref.view for ref in hs.open_set("s").features][-1] == f"{line}:4"
    assert not hs.open_set("s").failures
