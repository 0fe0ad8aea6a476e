"""export: what it writes gives the run's logits where there is no headstart, and is written whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_model
from typer.testing import CliRunner

import headstart as hs
from headstart.cli.app import app
from headstart.errors import ConfigError, DataError, HeadstartError, MissingDependencyError
from headstart.registry.run import Run

from ..backbones import tiny_vision
from .conftest import LIMIT, TEXTS, as_log_probabilities, largest_error, logits_of, write_texts

Fit = Callable[..., Run]
Elsewhere = Callable[..., Any]
QUICK = {"epochs": 3, "width": 16}

TEXT_CODE = """
import json, torch, transformers
result = {}
texts = json.loads(sys.argv[1])
for folder in sys.argv[2:]:
    where = {"pretrained_model_name_or_path": folder, "trust_remote_code": True}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(**where).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    pairs = [text if isinstance(text, list) else [text] for text in texts]
    with torch.no_grad():
        batch = tokenizer(*zip(*pairs), padding=True, truncation=True, return_tensors="pt")
        logits = model(**{name: part for name, part in batch.items()}).logits
    names = ("text", "text_pair")
    pipe = transformers.pipeline("text-classification", model=folder, trust_remote_code=True)
    said = [pipe(dict(zip(names, pair)), truncation=True, top_k=None) for pair in pairs]
    result[folder] = {
        "logits": logits.tolist(), "labels": model.config.id2label, "problem": model.config.problem_type,
        "module": type(model).__module__, "length": tokenizer.model_max_length, "pipeline": said,
    }
"""
IMAGE_CODE = """
import torch, transformers
from PIL import Image
photos, folders = [a for a in sys.argv[1:] if a.endswith(".png")], [a for a in sys.argv[1:] if a[-4:] != ".png"]
images = [Image.open(path).convert("RGB") for path in photos]
result = {}
for folder in folders:
    model = transformers.AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=True).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**processor(images, return_tensors="pt")).logits
    pipe = transformers.pipeline("image-classification", model=folder, trust_remote_code=True)
    result[folder] = {
        "logits": logits.tolist(), "labels": model.config.id2label, "class": type(model).__name__,
        "module": type(model).__module__, "pipeline": [pipe(path, top_k=None) for path in photos],
    }
"""
ONNX_CODE = """
import json, onnxruntime, transformers
from PIL import Image
folder, samples = sys.argv[1], json.loads(sys.argv[2])
described = json.load(open(folder + "/labels.json"))
session = onnxruntime.InferenceSession(folder + "/model.onnx")
def run(samples):
    if "pixel_values" in described["inputs"]:
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        batch = processor([Image.open(path).convert("RGB") for path in samples], return_tensors="pt")
    else:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        batch = tokenizer(samples, padding=True, truncation=True, return_tensors="pt")
    return session.run(["logits"], {name: batch[name].numpy() for name in described["inputs"]})[0].tolist()
result = {"alone": [run([sample])[0] for sample in samples], "together": run(samples), **described}
"""
TIMM_CODE = """
import timm, torch
from PIL import Image
folder, *photos = sys.argv[1:]
model = timm.create_model("local-dir:" + folder, pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
with torch.no_grad():
    logits = model(torch.stack([transform(Image.open(path).convert("RGB")) for path in photos]))
result = {"logits": logits.tolist(), "classes": model.num_classes, "labels": model.pretrained_cfg["label_names"]}
"""


def assert_same(logits: Any, run: Run, samples: Any, **options: Any) -> None:
    found = as_log_probabilities(logits, run.predictor.task)
    assert largest_error(found, logits_of(run, samples, **options)) < LIMIT


def assert_pipeline_says_it(said: list[list[dict[str, Any]]], run: Run, samples: Any, **options: Any) -> None:
    """Each label's score is its probability, or its number."""
    table = run.predict(samples, **options)
    for row, scores in zip(table.to_pylist(), said, strict=True):
        for entry in scores:
            wanted = row["prediction"] if run.predictor.task == "regression" else row[f"p:{entry['label']}"]
            assert entry["score"] == pytest.approx(wanted, abs=LIMIT)


def trained(folder: Path) -> Path:
    """A BERT in a folder, with weights away from their first values.

    Those hardly tell two texts apart, and a head that is folded into one matrix loses what does.
    """
    from transformers import BertModel

    tiny_vision.scrambled(BertModel.from_pretrained(folder)).save_pretrained(folder)
    return folder


def timm_weights(folder: Path, name: str) -> Path:
    import timm

    torch.manual_seed(0)
    model = tiny_vision.scrambled(timm.create_model(name, pretrained=False))
    save_model(model, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def test_texts_in_transformers(fit: Fit, elsewhere: Elsewhere, tmp_path: Path, tiny_bert: Path) -> None:
    spec = f"hf:{trained(tiny_bert)}"
    single = write_texts(tmp_path / "single.jsonl")
    several = write_texts(tmp_path / "multi.jsonl", "multi")
    numbers = write_texts(tmp_path / "numbers.jsonl", "regression")
    runs = {
        "linear": fit(single, spec, "linear", params={"epochs": 3}, prepare=["pca=8"], max_length=24),
        "mlp": fit(single, spec, "mlp", taps=["1.mean.l2"], params=QUICK),
        "residual": fit(single, spec, "residual", taps=["last.cls+max"], params=QUICK),
        "native": fit(single, spec, "logistic", taps=["pooler"]),
        "multi": fit(several, spec, "ridge", label_kind="multi"),
        "number": fit(numbers, spec, "mlp", label_kind="regression", params=QUICK),
    }
    folders = {name: str(run.export(tmp_path / f"out {name}").path) for name, run in runs.items()}
    found = elsewhere(TEXT_CODE, json.dumps(TEXTS), *folders.values())
    for name, run in runs.items():
        told = found[folders[name]]
        assert_same(told["logits"], run, TEXTS)
        assert_pipeline_says_it(told["pipeline"], run, TEXTS)
        assert ("transformers_modules" in told["module"]) == (name != "native")
    assert found[folders["linear"]]["labels"] == {"0": "one", "1": "three", "2": "two"}
    assert found[folders["linear"]]["length"] == 24
    problems = {name: found[folder]["problem"] for name, folder in folders.items()}
    assert problems["mlp"] == "single_label_classification"
    assert problems["multi"] == "multi_label_classification"
    assert problems["number"] == "regression"
    assert found[folders["number"]]["labels"] == {"0": "label"}


def test_pairs_of_texts_in_transformers(
    fit: Fit, elsewhere: Elsewhere, tmp_path: Path, tiny_bert: Path
) -> None:
    data = write_texts(tmp_path / "pairs.jsonl", pairs=True)
    run = fit(data, f"hf:{tiny_bert}", "ridge", text_column="text", text_pair_column="second")
    pairs = [(text, text[::-1]) for text in TEXTS]
    folder = str(run.export(tmp_path / "out").path)
    found = elsewhere(TEXT_CODE, json.dumps(pairs), folder)[folder]
    assert_same(found["logits"], run, pairs)
    assert_pipeline_says_it(found["pipeline"], run, pairs)


def test_a_fine_tuned_text_model(
    elsewhere: Elsewhere, tmp_path: Path, tiny_bert: Path, cache_root: Path
) -> None:
    """Its backbone is the tuned one, in the run's own folder, wherever that was moved to."""
    data, cache = write_texts(tmp_path / "t.jsonl"), str(cache_root)
    hs.extract(data, f"hf:{trained(tiny_bert)}", set="made", cache=cache, quiet=True)
    line = ["fine-tune", "made", "--strategy", "full", "--epochs", "1", "--lr", "1e-3", "--device", "cpu"]
    done = CliRunner().invoke(app, [*line, "--cache", cache, "--out", str(tmp_path / "run"), "--quiet"])
    assert done.exit_code == 0, done.output
    run = hs.load_run(shutil.move(tmp_path / "run", tmp_path / "moved"))
    module = run.module()
    found = as_log_probabilities(module(module.inputs(TEXTS)), "single")
    assert largest_error(found, logits_of(run, TEXTS, cache=cache)) < LIMIT
    folder = str(run.export(tmp_path / "out").path)
    told = elsewhere(TEXT_CODE, json.dumps(TEXTS), folder)[folder]
    assert_same(told["logits"], run, TEXTS, cache=cache)
    assert told["labels"] == {"0": "one", "1": "three", "2": "two"}


def test_a_text_that_was_not_cut_is_refused(fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
    from headstart.portable.modeling_headstart import HeadstartForSequenceClassification

    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", max_length=8)
    model = HeadstartForSequenceClassification.from_pretrained(run.export(tmp_path / "out").path)
    with pytest.raises(
        ValueError, match="has 9 tokens, and this model was fitted on texts cut to 8; pass trunc"
    ):
        model(input_ids=torch.ones(1, 9, dtype=torch.long))


def test_images_in_transformers(fit: Fit, elsewhere: Elsewhere, tmp_path: Path, photos: Path) -> None:
    vit = f"hf:{tiny_vision.vit(tmp_path / 'vit')}"
    weights = {name: timm_weights(tmp_path, name) for name in ("test_efficientnet", "test_vit")}
    runs = {
        "ViTForImageClassification": fit(photos, vit, "linear", taps=["last.cls"], params={"epochs": 3}),
        "HeadstartForImageClassification": fit(photos, vit, "mlp", taps=["1.mean"], params=QUICK),
        "TimmWrapperForImageClassification": fit(
            photos, "timm:test_efficientnet", "logistic", weights=weights["test_efficientnet"]
        ),
    }
    carried = fit(
        photos, "timm:test_vit", "mlp", taps=["last.cls+mean"], weights=weights["test_vit"], params=QUICK
    )
    folders = {name: str(run.export(tmp_path / name).path) for name, run in runs.items()}
    folders["timm, carried"] = str(carried.export(tmp_path / "timm carried").path)
    pictures = [str(path) for path in sorted(photos.rglob("*.png"))[::9]]
    found = elsewhere(IMAGE_CODE, *pictures, *folders.values())
    for name, run in {**runs, "timm, carried": carried}.items():
        told = found[folders[name]]
        assert_same(told["logits"], run, pictures)
        assert_pipeline_says_it(told["pipeline"], run, pictures)
        assert told["labels"] == {"0": "circle", "1": "square", "2": "triangle"}
        assert name == "timm, carried" or told["class"] == name


@pytest.mark.slow
def test_taps_of_the_image_side_of_dual_encoders(
    fit: Fit, elsewhere: Elsewhere, tmp_path: Path, photos: Path
) -> None:
    clip = f"hf:{tiny_vision.clip(tmp_path / 'clip')}"
    siglip = f"hf:{tiny_vision.siglip(tmp_path / 'siglip')}"
    runs = {
        "cls": fit(photos, clip, "linear", taps=["last.cls"], params={"epochs": 3}),
        "layer": fit(photos, clip, "mlp", taps=["1.mean"], params=QUICK),
        "siglip": fit(photos, siglip, "ridge", taps=["pooler"]),
    }
    assert_exported(runs, elsewhere, tmp_path, photos)


def assert_exported(runs: dict[str, Run], elsewhere: Elsewhere, folder: Path, photos: Path) -> list[str]:
    """They say of pictures in transformers what they say here; the pictures."""
    folders = {name: str(run.export(folder / f"out {name}").path) for name, run in runs.items()}
    pictures = [str(path) for path in sorted(photos.rglob("*.png"))[::9]]
    found = elsewhere(IMAGE_CODE, *pictures, *folders.values())
    for name, run in runs.items():
        assert_same(found[folders[name]]["logits"], run, pictures)
        assert_pipeline_says_it(found[folders[name]]["pipeline"], run, pictures)
    return pictures


@pytest.mark.slow
def test_the_image_side_of_a_dual_encoder(
    fit: Fit, elsewhere: Elsewhere, tmp_path: Path, photos: Path
) -> None:
    """Each without the other side."""
    clip = f"hf:{tiny_vision.clip(tmp_path / 'clip')}"
    runs = {"joint": fit(photos, clip, "ridge", taps=["joint.l2"])}
    pictures = assert_exported(runs, elsewhere, tmp_path, photos)
    weights = load_file(tmp_path / "out joint" / "model.safetensors")
    assert not any("text_model" in name for name in weights)
    onnx = elsewhere(ONNX_CODE, runs["joint"].export(tmp_path / "onnx", to="onnx").path, json.dumps(pictures))
    assert onnx["inputs"] == ["pixel_values"]
    assert_same(onnx["together"], runs["joint"], pictures)


def test_the_text_side_of_a_dual_encoder(fit: Fit, elsewhere: Elsewhere, tmp_path: Path) -> None:
    clip = f"hf:{tiny_vision.clip(tmp_path / 'clip')}"
    texts = fit(write_texts(tmp_path / "t.jsonl"), clip, "ridge")
    folder = str(texts.export(tmp_path / "texts").path)
    told = elsewhere(TEXT_CODE, json.dumps(TEXTS), folder)[folder]
    assert_same(told["logits"], texts, TEXTS)
    assert_pipeline_says_it(told["pipeline"], texts, TEXTS)


@pytest.mark.slow
def test_a_fine_tuned_side_of_clip(
    elsewhere: Elsewhere, tmp_path: Path, photos: Path, cache_root: Path
) -> None:
    clip, cache = tiny_vision.clip(tmp_path / "clip"), str(cache_root)
    features = hs.extract(str(photos), f"hf:{clip}", cache=cache, quiet=True)
    run = hs.load_run(hs.fine_tune(features, epochs=1, lr=1e-3, plots="none").save(tmp_path / "run"))
    pictures = [str(path) for path in sorted(photos.rglob("*.png"))[::9]]
    folder = str(run.export(tmp_path / "out").path)
    assert_same(elsewhere(IMAGE_CODE, *pictures, folder)[folder]["logits"], run, pictures, cache=cache)


def test_timm(fit: Fit, elsewhere: Elsewhere, tmp_path: Path, photos: Path) -> None:
    weights = timm_weights(tmp_path, "test_efficientnet")
    run = fit(
        photos, "timm:test_efficientnet", "linear", weights=weights, params={"epochs": 3}, prepare=["pca=8"]
    )
    pictures = [str(path) for path in sorted(photos.rglob("*.png"))[::9]]
    found = elsewhere(TIMM_CODE, run.export(tmp_path / "out", to="timm").path, *pictures)
    assert_same(found["logits"], run, pictures)
    assert (found["classes"], found["labels"]) == (3, ["circle", "square", "triangle"])


def test_texts_in_onnx(fit: Fit, elsewhere: Elsewhere, tmp_path: Path, tiny_bert: Path) -> None:
    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", "mlp", params=QUICK)
    done = run.export(tmp_path / "out", to="onnx")
    assert done.largest_error < LIMIT
    found = elsewhere(ONNX_CODE, done.path, json.dumps(TEXTS))
    assert_same(found["alone"], run, TEXTS)
    assert_same(found["together"], run, TEXTS)
    assert (found["task"], found["names"]) == ("single", ["one", "three", "two"])


@pytest.mark.slow
def test_images_in_onnx(fit: Fit, elsewhere: Elsewhere, tmp_path: Path, photos: Path) -> None:
    weights = timm_weights(tmp_path, "test_efficientnet")
    run = fit(photos, "timm:test_efficientnet", "ridge", taps=["last.mean"], weights=weights)
    pictures = [str(path) for path in sorted(photos.rglob("*.png"))[::9]]
    found = elsewhere(ONNX_CODE, run.export(tmp_path / "out", to="onnx").path, json.dumps(pictures))
    assert_same(found["together"], run, pictures)


def test_the_command_exports_a_saved_run(fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}").save(tmp_path / "run")
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["export", str(run), "--to", "hf", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["to"], said["remote_code"]) == ("hf", True)
    assert said["largest_error"] < LIMIT
    written = json.loads((out / "export.json").read_text())
    assert (written["head"], written["tap"]) == ("ridge", "last.mean")
    everything = "".join(path.read_text() for path in out.iterdir() if path.suffix in (".json", ".md", ".py"))
    assert str(tmp_path) not in everything
    assert "import headstart" not in everything
    assert "trust_remote_code=True" in (out / "README.md").read_text()


class TestRefusals:
    """What is not exported, with the reason, and without anything being written."""

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, tmp_path_factory: pytest.TempPathFactory, made_bert: Path) -> Run:
        folder = tmp_path_factory.mktemp("refused")
        features = hs.extract(
            write_texts(folder / "t.jsonl"),
            f"hf:{made_bert}",
            set="t",
            cache=str(folder / "cache"),
            quiet=True,
        )
        return hs.fit_head(features, head="ridge", plots="none")

    def test_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is not a run directory"):
            hs.export(tmp_path, tmp_path / "out")

    def test_an_unknown_format(self, run: Run, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="there is no format 'tf'; --to takes hf, onnx, timm"):
            run.export(tmp_path / "out", to="tf")

    def test_a_folder_that_is_taken(self, run: Run, tmp_path: Path) -> None:
        out = tmp_path / "out"
        run.export(out)
        before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
        with pytest.raises(ConfigError, match="is not empty; choose another --out, or pass --overwrite"):
            run.export(out)
        assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
        run.export(out, overwrite=True)
        other = tmp_path / "other"
        other.mkdir()
        (other / "thesis.tex").touch()
        with pytest.raises(ConfigError, match="holds something else than an export, and is not overwritten"):
            run.export(other, overwrite=True)

    def test_other_logits_leave_what_was_there(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        run.export(out)
        before = (out / "model.safetensors").read_bytes()
        monkeypatch.setattr("headstart.exporting.model.TOLERANCE", -1.0)
        with pytest.raises(
            HeadstartError, match=r"gives other logits than the run: off by .* nothing was written"
        ):
            run.export(out, overwrite=True)
        assert (out / "model.safetensors").read_bytes() == before
        assert not list(tmp_path.glob("out.*"))

    @pytest.mark.parametrize("to", ["hf", "onnx", "timm"])
    def test_a_head_that_is_no_chain_of_layers(
        self, fit: Fit, tmp_path: Path, tiny_bert: Path, to: str
    ) -> None:
        run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", "knn")
        with pytest.raises(ConfigError, match="'knn' cannot be made one network"):
            run.export(tmp_path / "out", to=to)
        assert not (tmp_path / "out").exists()

    def test_a_prompt(self, fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
        run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", prompt="query ")
        with pytest.raises(ConfigError, match="behind the prompt 'query '"):
            run.export(tmp_path / "out")

    def test_what_no_pipeline_makes_of_texts(self, fit: Fit, tmp_path: Path) -> None:
        data = write_texts(tmp_path / "t.jsonl")
        clip = fit(data, f"hf:{tiny_vision.clip(tmp_path / 'clip')}", prompt="a photo of ")
        with pytest.raises(ConfigError, match="behind the prompt 'a photo of '"):
            clip.export(tmp_path / "out")
        siglip = fit(data, f"hf:{tiny_vision.siglip(tmp_path / 'siglip')}")
        with pytest.raises(ConfigError, match="reads texts that are padded to 24 tokens"):
            siglip.export(tmp_path / "out")

    def test_pictures_of_their_own_shapes(self, fit: Fit, tmp_path: Path, photos: Path) -> None:
        run = fit(photos, f"hf:{tiny_vision.siglip2(tmp_path / 'siglip2')}")
        with pytest.raises(ConfigError, match="sees pictures in their own shapes"):
            run.export(tmp_path / "out")

    def test_a_class_that_transformers_would_not_choose(self, fit: Fit, tmp_path: Path, photos: Path) -> None:
        blip = fit(photos, f"hf:{tiny_vision.blip(tmp_path / 'blip')}")
        with pytest.raises(ConfigError, match="cannot be exported as a BlipForImageTextRetrieval"):
            blip.export(tmp_path / "out")

    def test_a_backbone_of_ones_own(self, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "end_to_end"))
        run = fit(write_texts(tmp_path / "t.jsonl"), "py:tiny_backbones:texts")
        with pytest.raises(
            ConfigError, match="py:tiny_backbones:texts cannot be exported: that needs a text or"
        ):
            run.export(tmp_path / "out")

    def test_timm_alone_is_timm(self, run: Run, fit: Fit, tmp_path: Path, photos: Path) -> None:
        with pytest.raises(ConfigError, match="only a run on a timm: backbone"):
            run.export(tmp_path / "out", to="timm")
        options: dict[str, Any] = {"weights": timm_weights(tmp_path, "test_efficientnet")}
        mlp = fit(photos, "timm:test_efficientnet", "mlp", params=QUICK, **options)
        with pytest.raises(ConfigError, match="its head is no linear layer"):
            mlp.export(tmp_path / "out", to="timm")
        mean = fit(photos, "timm:test_efficientnet", "ridge", taps=["last.mean"], **options)
        with pytest.raises(ConfigError, match="its head reads another tap than pooler"):
            mean.export(tmp_path / "out", to="timm")

    def test_a_missing_library(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import importlib.util

        found = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name == "onnxruntime" else found(name, *rest),
        )
        with pytest.raises(MissingDependencyError, match=r"onnxruntime.*pip install 'headstart\[onnx\]'"):
            run.export(tmp_path / "out", to="onnx")


@pytest.mark.parametrize("head", ["linear", pytest.param("mlp", marks=pytest.mark.slow)])
def test_the_bundled_model(fit: Fit, elsewhere: Elsewhere, tmp_path: Path, head: str) -> None:
    """Real weights: all-MiniLM-L6-v2, whose default tap is a mean of length 1."""
    run = fit(write_texts(tmp_path / "t.jsonl"), "bundled:all-minilm-l6-v2", head, params={"epochs": 3})
    folder = str(run.export(tmp_path / "out").path)
    found = elsewhere(TEXT_CODE, json.dumps(TEXTS), folder)[folder]
    assert_same(found["logits"], run, TEXTS)
    assert np.isfinite(found["logits"]).all()


def test_the_page_is_true(fit: Fit, elsewhere: Elsewhere, tmp_path: Path, tiny_bert: Path) -> None:
    """The Python of docs/using-a-run.md, in order; transformers' part where there is no headstart."""
    page = (Path(__file__).parents[2] / "docs" / "using-a-run.md").read_text("utf-8")
    module, training, pipeline = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", "mlp", params=QUICK)
    run.save(tmp_path / "runs" / "cards")
    names: dict[str, Any] = {}
    code = module.replace('"runs/cards"', repr(str(tmp_path / "runs" / "cards")))
    exec(code, names)
    assert names["logits"].shape == (1, 3)
    exec(training, names)
    run.export(tmp_path / "elsewhere" / "cards-model")
    [said] = elsewhere(pipeline + "result = classify('Where is my card?', truncation=True)")
    assert said["label"] == run.predict(["Where is my card?"]).column("prediction")[0].as_py()
