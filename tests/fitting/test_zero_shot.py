"""Heads from the names of classes: as the authors of the models do it, on sets with labels and without."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart.errors import BackboneError, ConfigError, DataError
from headstart.fitting.class_names import class_names
from headstart.fitting.templates import IMAGENET, SIMPLE, read_templates
from headstart.registry.run import Run

from ..backbones.tiny_vision import clip, siglip, vit
from ..made_sets import clouds, make_set, thirds

NAMES = ["cat", "dog", "hat"]
TEXTS = [f"a {name} of number {n}" for n in range(12) for name in ("cat", "dog")]


def pictures(n: int) -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (40, 30, 3), dtype=np.uint8)) for _ in range(n)]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return siglip(tmp_path_factory.mktemp("models") / "siglip", n_tokens=64)  # to which its pipeline pads


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Sets of thirty pictures, each made once."""
    cache, made = tmp_path_factory.mktemp("cache"), dict[str, Any]()

    def extract(folder: Path, name: str, **options: Any) -> Any:
        if name not in made:
            made[name] = hs.extract(
                pictures(30), backbone=f"hf:{folder}", set=name, cache=cache, **{"taps": ["joint"], **options}
            )
        return made[name]

    return extract


@pytest.fixture
def photos(clip_folder: Path, extracted: Callable[..., Any]) -> Any:
    """Thirty pictures of three classes through CLIP."""
    return extracted(clip_folder, "photos", labels=(NAMES * 10))


@pytest.fixture
def bare(clip_folder: Path, extracted: Callable[..., Any]) -> Any:
    """The same without labels."""
    return extracted(clip_folder, "bare")


@pytest.fixture
def texts(tmp_path: Path, made_bert: Path) -> Any:
    return hs.extract(TEXTS, labels=["cat", "dog"] * 12, backbone=f"hf:{made_bert}", cache=tmp_path / "cache")


def raw_logits(run: Run, features: Any) -> np.ndarray:
    """Before any calibration, in the order of `NAMES`."""
    head: Any = run.predictor.head
    order = [head.classes_.tolist().index(name) for name in NAMES]
    return np.asarray(head._scores(features.rows().X)[:, order])


def by_pipeline(folder: Path) -> np.ndarray:
    from transformers import pipeline

    answers = pipeline("zero-shot-image-classification", model=str(folder))(
        pictures(30), candidate_labels=NAMES
    )
    scores = [{one["label"]: one["score"] for one in answer} for answer in answers]
    return np.array([[row[name] for name in NAMES] for row in scores])


def test_clip_says_what_the_pipeline_of_transformers_says(photos: Any, clip_folder: Path) -> None:
    run = hs.fit_head(photos, "zero-shot", templates="This is a photo of {}.")
    logits = raw_logits(run, photos)
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(likely, by_pipeline(clip_folder), atol=1e-5)


def test_siglip_says_what_the_pipeline_of_transformers_says(
    siglip_folder: Path, extracted: Callable[..., Any]
) -> None:
    features = extracted(siglip_folder, "siglip", labels=NAMES * 10)
    run = hs.fit_head(features, "zero-shot", templates="This is a photo of {}.")
    assert run.report["zero_shot"]["logit_bias"] is not None
    likely = 1 / (1 + np.exp(-raw_logits(run, features)))
    np.testing.assert_allclose(likely, by_pipeline(siglip_folder), atol=1e-5)


@pytest.mark.parametrize(("templates", "sentences"), [("simple", SIMPLE), ("imagenet", IMAGENET)])
def test_several_templates_are_averaged_as_open_clip_does(
    photos: Any, clip_folder: Path, templates: str, sentences: list[str]
) -> None:
    from transformers import CLIPModel, CLIPProcessor

    model, processor = (
        CLIPModel.from_pretrained(clip_folder).eval(),
        CLIPProcessor.from_pretrained(clip_folder),
    )

    def encode(texts: list[str]) -> torch.Tensor:
        inputs = processor(text=texts, return_tensors="pt", padding=True, truncation=True, max_length=20)
        found = model.get_text_features(**inputs)
        found = getattr(found, "pooler_output", found)
        return found / found.norm(dim=-1, keepdim=True)

    with torch.inference_mode():  # `build_zero_shot_classifier` of open_clip
        of_class = [encode([sentence.format(name) for sentence in sentences]).mean(dim=0) for name in NAMES]
        weights = torch.stack([each / each.norm() for each in of_class], dim=1).numpy()
        scale = model.logit_scale.exp().item()
    run = hs.fit_head(photos, "zero-shot", templates=templates)
    X = photos.rows().X
    expected = scale * X / np.linalg.norm(X, axis=1, keepdims=True) @ weights
    np.testing.assert_allclose(raw_logits(run, photos), expected, atol=1e-5 * scale)
    assert run.report["zero_shot"]["templates"] == {templates: list(sentences)}


def test_names_are_put_through_the_model_once_and_the_weights_may_be_gone_then(
    tmp_path: Path, clip_folder: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "clip")
    features = hs.extract(pictures(6), labels=NAMES * 2, backbone=f"hf:{folder}", taps=["joint"])
    first = hs.fit_head(features, "zero-shot", templates="photo")
    assert first.report["zero_shot"]["n_computed"] == 3
    folder.rename(tmp_path / "elsewhere")
    again = hs.fit_head(features, "zero-shot", templates="photo")
    assert again.report["zero_shot"] == {**first.report["zero_shot"], "n_computed": 0}
    np.testing.assert_array_equal(raw_logits(again, features), raw_logits(first, features))
    with pytest.raises(BackboneError, match="there is no folder"):
        hs.fit_head(features, "zero-shot", templates="a sketch of a {}")


def test_a_memo_of_an_earlier_version_does_not_hide_the_models_own_scale(
    tmp_path: Path, clip_folder: Path
) -> None:
    import json
    import os

    features = hs.extract(pictures(6), labels=NAMES * 2, backbone=f"hf:{clip_folder}", taps=["joint"])
    hs.fit_head(features, "zero-shot")
    written = [*Path(os.environ["XDG_CACHE_HOME"]).rglob("*.json")]
    forgotten = 0
    for path in written:
        memo = json.loads(path.read_text())
        if "info" in memo:
            forgotten += memo["info"]["provenance"].pop("logits", None) is not None
            path.write_text(json.dumps(memo))
    assert forgotten
    run = hs.fit_head(features, "zero-shot")
    assert run.report["zero_shot"]["scale_is_own"]
    assert run.report["zero_shot"]["logit_scale"] != 20


def test_a_set_without_labels_gets_its_labels_from_predict(tmp_path: Path, bare: Any) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nred_hat\n")
    run = hs.fit_head(bare, "zero-shot", class_names=names, out=tmp_path / "run")
    assert run.report["metrics"] == {}
    assert run.report["data"]["n_unlabelled"] == 30
    assert run.report["zero_shot"]["example"][0] == "itap of a cat."
    loaded = Run.load(tmp_path / "run")
    assert len(loaded.predictions_of("test")) == 0
    assert repr(loaded)
    said = loaded.predict(pictures(3))
    assert set(said.table.column("prediction").to_pylist()) <= {"cat", "dog", "red_hat"}
    assert "zero-shot" in (tmp_path / "run" / "README.md").read_text()


def test_a_labelled_and_an_unlabelled_set_get_the_same_head(photos: Any, bare: Any) -> None:
    labelled = hs.fit_head(photos, "zero-shot", calibrate=False)
    free = hs.fit_head(bare, "zero-shot", class_names=NAMES)
    np.testing.assert_array_equal(raw_logits(labelled, photos), raw_logits(free, bare))


def test_templates_are_swept_and_chosen_on_validation(photos: Any) -> None:
    run = hs.fit_head(photos, "zero-shot", sweep={"templates": ["simple", "photo", "a blue {}"]})
    tried = [trial["params"]["templates"] for trial in run.report["sweep"]["trials"]]
    assert tried == ["simple", "photo", "a blue {}"]
    assert run.report["head"]["params"]["templates"] == run.report["sweep"]["best"]["templates"]


def test_a_linear_head_starts_from_the_names_and_blends_what_it_learns(photos: Any, tmp_path: Path) -> None:
    zero = hs.fit_head(photos, "zero-shot")
    epochs = {"epochs": 4}
    stays = hs.fit_head(photos, "linear", init="zero-shot", params={**epochs, "blend": 0})
    X = photos.rows().X
    np.testing.assert_allclose(stays.predictor.logits(X), zero.predictor.logits(X), atol=1e-5)
    chosen = hs.fit_head(photos, "linear", init="zero-shot", params=epochs, out=tmp_path / "chosen")
    assert chosen.report["prepare"] == ["l2"]
    assert 0 <= chosen.report["head"]["blend"] <= 1
    scores = [
        hs.fit_head(photos, "linear", init="zero-shot", params={**epochs, "blend": share}).report["metrics"]
        for share in (0, 0.5, 1)
    ]
    best = max(score["validation"]["accuracy"] for score in scores)
    assert chosen.report["metrics"]["validation"]["accuracy"] >= best
    hs.fit_head(photos, "linear", init="zero-shot", params=epochs, sweep={"blend": [0, 0.5, 1]})
    compared = hs.compare([chosen, zero])
    assert compared is not None


def test_few_shots_start_from_the_names_too(photos: Any) -> None:
    run = hs.fit_head(
        photos, "linear", init="zero-shot", params={"epochs": 2, "blend": 0}, shots=[1, 2], seeds=2
    )
    zero = hs.fit_head(photos, "zero-shot")
    for row in run.report["shots"]:
        assert row["values"]["accuracy"] == [zero.report["metrics"]["test"]["accuracy"]] * 2


def test_texts_meet_names_through_their_own_model(texts: Any) -> None:
    run = hs.fit_head(texts, "zero-shot")
    said = run.report["zero_shot"]
    assert said["example"] == ["This text is about cat."]
    assert (said["logit_scale"], said["scale_is_own"]) == (20.0, False)
    assert run.predict("a cat").table.num_rows == 1


def test_labels_of_one_class_alone_and_labels_in_test_alone_are_enough(
    cache_root: Path, made_bert: Path
) -> None:
    features = hs.extract(
        TEXTS, labels=[None] * 20 + ["cat", "dog"] * 2, splits=["train"] * 20 + ["test"] * 4,
        backbone=f"hf:{made_bert}", cache=cache_root,
    )  # fmt: skip
    run = hs.fit_head(features, "zero-shot")
    assert list(run.report["metrics"]) == ["test"]


def test_several_labels_a_sample_take_a_model_that_was_trained_by_sigmoid(
    photos: Any, siglip_folder: Path, clip_folder: Path, extracted: Callable[..., Any]
) -> None:
    labels = [["cat"], ["dog", "hat"], []] * 10
    run = hs.fit_head(extracted(siglip_folder, "many", labels=labels), "zero-shot")
    assert "micro_f1" in run.report["metrics"]["test"]
    with pytest.raises(ConfigError, match=r"how many apply.* trained by sigmoid, such as SigLIP"):
        hs.fit_head(extracted(clip_folder, "many-of-clip", labels=labels), "zero-shot")


# -- names that cannot be meant


@pytest.mark.parametrize(
    ("content", "labels", "said"),
    [
        ("cat\n", ["cat", "dog"], r"has 1 name, and none for the class 'dog' of 'kind', which has 2 classes"),
        ("one\ntwo\nthree\n", ["0", "1"], r"has 3 names, and 'kind' has 2 classes; give a name for each"),
        ("cat\ndog\nmouse\n", ["cat", "dog"], r"line 3: 'kind' has no class 'mouse'"),
        ("Cat\ndog\n", ["cat", "dog"], r"line 1: 'kind' has no class 'Cat'; 'cat' differs by case only"),
        ("cat\nCAT\n", ["0", "1"], r"line 2: the class 'CAT' differs from 'cat' by case only"),
        ("red_cat\nred cat\n", ["0", "1"], r"line 2: the class 'red cat' is there twice"),
        ("cat\n\ndog\n", ["0", "1", "2"], r"line 2: the name of a class is empty"),
        ("\n\n", ["0", "1"], r"has no names; write one a line"),
    ],
)
def test_names_that_are_not_those_of_the_labels_are_refused_with_their_line(
    tmp_path: Path, content: str, labels: list[str], said: str
) -> None:
    path = tmp_path / "names.txt"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        class_names(str(path), labels, "kind")


def test_names_meet_labels_by_themselves_by_a_column_or_by_their_order(tmp_path: Path) -> None:
    def read(name: str, content: str, labels: list[str]) -> tuple[Mapping[str, str], str]:
        (tmp_path / name).write_text(content)
        found = class_names(str(tmp_path / name), labels, "kind")
        return {str(one.label): one.text for one in found.classes}, found.said.rpartition(", ")[2]

    assert read("a.txt", "dog\ncat\n", ["cat", "dog"]) == ({"cat": "cat", "dog": "dog"}, "by the labels")
    assert read("b.txt", "a_cat\na_dog\n", ["0", "1"]) == ({"0": "a cat", "1": "a dog"}, "by their order")
    table = "label,name\n1,hound\n0,kitten\n"
    assert read("c.csv", table, ["0", "1"]) == ({"0": "kitten", "1": "hound"}, "by the labels")


def test_labels_that_say_nothing_are_not_taken_for_names(cache_root: Path) -> None:
    with pytest.raises(ConfigError, match=r"'kind' are numbers \(0, 1, 2…\).*--class-names FILE"):
        class_names(None, ["0", "1", "2"], "kind")
    with pytest.raises(ConfigError, match="'CAT' differs from 'cat' by case only"):
        class_names(None, ["cat", "CAT"], "kind")
    with pytest.raises(ConfigError, match=r"there is no file nowhere\.txt"):
        class_names("nowhere.txt", ["cat", "dog"], "kind")
    with pytest.raises(ConfigError, match="--class-names names one class, and all samples would be of it"):
        class_names(["cat"], [], "kind")


def test_a_table_of_names_needs_its_column_and_may_describe_them(tmp_path: Path, photos: Any) -> None:
    path = tmp_path / "names.csv"
    path.write_text("cat,a\ndog,b\n")
    with pytest.raises(DataError, match="no column 'name'"):
        class_names(str(path), ["cat", "dog"], "kind")
    path.write_text("name,description\ncat,a pet that purrs\ndog,\nhat,\n")
    run = hs.fit_head(photos, "zero-shot", class_names=path, templates="photo")
    assert run.report["zero_shot"]["example"] == ["a photo of a cat.", "a pet that purrs"]
    with pytest.raises(ConfigError, match="the class 'dog' has no description"):
        hs.fit_head(photos, "zero-shot", class_names=path, templates="a {}: {description}")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("simpel", "neither a set of templates.*did you mean 'simple'"),
        ("bad.txt", r"bad.txt, line 2: 'no place' has no \{\} where the name is to stand"),
        ("empty.txt", "has no templates"),
    ],
)
def test_templates_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.txt").write_text("a {}\nno place\n")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ConfigError, match=said):
        read_templates([given], "image")


# -- what cannot be compared with names


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"head": "logistic", "init": "zero-shot"}, "--init zero-shot gives first weights to a linear head"),
        ({"head": "ridge", "templates": "photo"}, "--templates is for heads that start from names"),
        ({"head": "linear", "class_names": ["a", "b"]}, "--class-names is for heads that start from names"),
        ({"head": "zero-shot", "prepare": "pca=4"}, "--prepare changes these; leave it out"),
        ({"head": "zero-shot", "shots": [1]}, "a zero-shot head does not; leave them out"),
    ],
)
def test_options_that_do_not_go_together(photos: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        hs.fit_head(photos, **options)


def test_features_without_a_text_side_say_what_would_do(tmp_path: Path) -> None:
    features = hs.extract(pictures(6), labels=NAMES * 2, backbone=f"hf:{vit(tmp_path / 'vit')}")
    with pytest.raises(ConfigError, match="only a dual encoder, such as CLIP"):
        hs.fit_head(features, "zero-shot")


def test_labels_that_are_no_classes_are_refused(cache_root: Path) -> None:
    X, y = clouds(30)
    numbers = make_set(cache_root, X, {"n": [float(c) for c in y]}, thirds(len(y)), kinds={"n": "regression"})
    with pytest.raises(ConfigError, match="not for numbers to regress on"):
        hs.fit_head(numbers, "zero-shot")


def test_pairs_and_features_side_by_side_are_refused(tmp_path: Path, made_bert: Path) -> None:
    pairs = hs.extract(
        [("a cat", "a dog"), ("a", "b")] * 5, labels=["x", "y"] * 5, backbone=f"hf:{made_bert}"
    )
    with pytest.raises(ConfigError, match="holds samples of text-pair"):
        hs.fit_head(pairs, "zero-shot")
    several = hs.extract(
        TEXTS,
        labels=["cat", "dog"] * 12,
        backbone=f"hf:{made_bert}",
        taps=["last.mean", "1.mean"],
        set="several",
    )
    with pytest.raises(ConfigError, match="compared with one feature"):
        hs.fit_head(several, "zero-shot", tap=["last.mean", "1.mean"])


def test_a_set_without_labels_needs_names_and_chooses_nothing(bare: Any) -> None:
    with pytest.raises(ConfigError, match="no labels that could be names of classes; give --class-names"):
        hs.fit_head(bare, "zero-shot")
    with pytest.raises(ConfigError, match="no labels to choose by"):
        hs.fit_head(bare, "zero-shot", class_names=NAMES, sweep={"templates": ["photo", "simple"]})


def test_there_is_no_blend_to_choose_without_validation_samples(clip_folder: Path, tmp_path: Path) -> None:
    six = hs.extract(
        pictures(6), labels=NAMES * 2, backbone=f"hf:{clip_folder}", taps=["joint"], cache=tmp_path
    )
    assert not len(six.rows("validation"))
    with pytest.raises(ConfigError, match="no validation samples to choose by how far"):
        hs.fit_head(six, "linear", init="zero-shot")
    run = hs.fit_head(six, "linear", init="zero-shot", params={"blend": 0.5, "epochs": 2})
    assert run.report["head"]["blend"] == 0.5


def test_a_run_says_what_its_classes_were_called(photos: Any, tmp_path: Path) -> None:
    hs.fit_head(photos, "zero-shot", templates="photo", out=tmp_path / "zero")
    page = (tmp_path / "zero" / "README.md").read_text()
    assert "no sample was learnt from: named by the labels, templates photo" in page
    assert "`a photo of a cat.`" in page
    assert "fitted on" not in page
    hs.fit_head(photos, "linear", init="zero-shot", params={"epochs": 1}, out=tmp_path / "linear")
    assert "It starts from names" in (tmp_path / "linear" / "README.md").read_text()


def test_a_run_is_repeated_by_its_configuration(photos: Any, tmp_path: Path) -> None:
    from headstart.config import FitConfig
    from headstart.fitting.stage import fit_head
    from headstart.progress import Silence

    first = hs.fit_head(
        photos,
        "linear",
        init="zero-shot",
        templates=["photo", "a {}"],
        params={"epochs": 3},
        out=tmp_path / "run",
    )
    again = fit_head(FitConfig.load(tmp_path / "run" / "config.yaml"), Silence())
    np.testing.assert_array_equal(first.predictor.head.coef_, again.predictor.head.coef_)
    assert "class_names" not in (tmp_path / "run" / "config.yaml").read_text()
    plain = hs.fit_head(photos, "centroid", out=tmp_path / "plain")
    assert plain.report["head"]["name"] == "centroid"
    said = (tmp_path / "plain" / "config.yaml").read_text()
    assert not any(name in said for name in ("init", "templates", "class_names", "offline"))
