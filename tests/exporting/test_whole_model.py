"""run.module(): backbone and head as one torch module that gives what predict gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import headstart as hs
from headstart.errors import ConfigError, DataError, MismatchError
from headstart.registry.run import Run

from ..variants import cases, variants
from .conftest import LIMIT, TEXTS, as_log_probabilities, largest_error, logits_of, write_texts

Fit = Callable[..., Run]
QUICK = {"epochs": 3, "width": 16}


def error_of(run: Run, samples: Any = TEXTS) -> float:
    module = run.module()
    found = as_log_probabilities(module(module.inputs(samples)), run.predictor.task)
    return largest_error(found, logits_of(run, samples))


@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("logistic", {}),
        ("ridge", {"prepare": ["standardise", "l2"]}),
        pytest.param("svm", {"prepare": ["pca=8"]}, marks=pytest.mark.slow),
        pytest.param("centroid", {}, marks=pytest.mark.slow),
        ("centroid", {"params": {"metric": "euclidean"}, "prepare": ["whiten=8"]}),
        pytest.param("linear", {"params": {"epochs": 3, "dropout": 0.1}}, marks=pytest.mark.slow),
        ("mlp", {"params": {**QUICK, "depth": 2}}),
        pytest.param("mlp", {"params": {**QUICK, "norm": "none"}}, marks=pytest.mark.slow),
        ("residual", {"params": QUICK}),
    ],
)
def test_its_logits_are_those_of_predict(
    fit: Fit, tmp_path: Path, tiny_bert: Path, head: str, options: dict[str, Any]
) -> None:
    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", head, **options)
    assert error_of(run) < LIMIT


@pytest.mark.parametrize(
    ("head", "kind"),
    cases(
        [("ridge", "multi"), ("ridge", "regression"), ("mlp", "multi"), ("mlp", "regression")],
        [("ridge", "regression"), ("mlp", "multi")],
    ),
)
def test_labels_and_numbers(fit: Fit, tmp_path: Path, tiny_bert: Path, kind: str, head: str) -> None:
    params = {} if head == "ridge" else QUICK
    data = write_texts(tmp_path / "t.jsonl", kind)
    run = fit(data, f"hf:{tiny_bert}", head, label_kind=kind, params=params)
    assert run.predictor.task == kind
    assert error_of(run) < LIMIT


@pytest.mark.parametrize(
    "tap", variants(["1.cls", "last.mean+max.l2", "pooler"], {"1.cls", "last.mean+max.l2"})
)
def test_any_tap_of_one_vector(fit: Fit, tmp_path: Path, tiny_bert: Path, tap: str) -> None:
    assert error_of(fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", taps=[tap])) < LIMIT


def test_a_prompt_stands_before_its_texts(fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
    assert error_of(fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", prompt="query ")) < LIMIT


def test_images_by_path_and_by_bytes(fit: Fit, photos: Path, tmp_path: Path) -> None:
    from ..backbones.tiny_vision import vit

    run = fit(photos, f"hf:{vit(tmp_path / 'vit')}", taps=["last.cls"])
    paths = sorted(photos.rglob("*.png"))[:4]
    assert error_of(run, paths) < LIMIT
    module = run.module()
    by_path, by_bytes = module.inputs(paths), module.inputs([path.read_bytes() for path in paths])
    assert torch.equal(by_path["pixel_values"], by_bytes["pixel_values"])
    with pytest.raises(DataError, match="sample 1 cannot be used"):
        module.inputs([paths[0], b"no picture"])


def test_the_image_side_of_clip(fit: Fit, photos: Path, tmp_path: Path) -> None:
    from ..backbones.tiny_vision import clip

    run = fit(photos, f"hf:{clip(tmp_path / 'clip')}")
    paths = [str(path) for path in sorted(photos.rglob("*.png"))[:4]]
    assert error_of(run, paths) < LIMIT
    module = run.module(trainable=True)
    module(module.inputs(paths)).sum().backward()
    assert any(p.grad is not None for p in module.backbone.parameters())


def test_frozen_has_no_gradient_and_stays_in_eval_mode(fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", "mlp", params=QUICK)
    module = run.module()
    counts = module.parameter_counts
    assert counts["all"]["trainable"] == counts["backbone"]["trainable"] == 0
    batch = module.inputs(TEXTS)
    before = module(batch)
    module.train()
    torch.manual_seed(0)  # of the dropout
    assert not any(part.training for part in module.modules())
    assert not module(batch).requires_grad
    assert torch.equal(module(batch), before)


def test_trainable_trains_the_backbone_too(fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", "mlp", params=QUICK)
    module = run.module(trainable=True)
    batch = module.inputs(TEXTS)
    found = as_log_probabilities(module(batch).detach(), "single")
    assert largest_error(found, logits_of(run, TEXTS)) < LIMIT
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = torch.nn.functional.cross_entropy(module(batch), torch.tensor([0, 1, 2, 0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    moved = [name for name, p in module.backbone.named_parameters() if p.grad is not None and p.grad.any()]
    assert any("layer.0" in name for name in moved)


def test_a_new_head_can_be_trained_on_the_frozen_backbone(fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
    """What the backbone gives is no inference tensor, which autograd would refuse."""
    module = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}").module()
    module.head.requires_grad_(True)
    module(module.inputs(TEXTS)).sum().backward()
    assert all(p.grad is not None for p in module.head.parameters())
    assert all(p.grad is None for p in module.backbone.parameters())


def test_the_table_counts_every_parameter_once(fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
    module = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}").module(trainable=True)
    counts = module.parameter_counts
    assert counts["head"] == {"total": 3 * 32 + 3, "trainable": 3 * 32 + 3, "frozen": 0}
    for column in ("total", "trainable", "frozen"):
        assert counts["backbone"][column] + counts["head"][column] == counts["all"][column]
    assert counts["all"]["total"] == sum(p.numel() for p in module.parameters())
    header, *rows = module.table().splitlines()
    assert header.split() == ["total", "trainable", "frozen"]
    assert [row.split()[0] for row in rows] == ["backbone", "head", "all"]
    assert f"{counts['all']['total']:,}" in rows[-1]


def test_a_saved_run_does_the_same(fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}")
    again = hs.load_run(run.save(tmp_path / "run"))
    first, second = run.module(), again.module()
    batch = first.inputs(TEXTS)
    assert torch.equal(first(batch), second(batch))


class TestRefusals:
    """What is no single network, or not the one that the head was fitted on."""

    def test_a_head_that_is_no_chain_of_layers(self, fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
        run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", "knn")
        with pytest.raises(
            ConfigError, match=r"'knn' cannot be made one network .* heads that can: logistic"
        ):
            run.module()

    def test_all_positions(self, fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
        data = write_texts(tmp_path / "t.jsonl")
        params = {"epochs": 1, "width": 8}
        run = fit(data, f"hf:{tiny_bert}", "attention", taps=["last.tokens"], params=params)
        with pytest.raises(ConfigError, match=r"all positions \(last.tokens\)"):
            run.module()

    def test_several_features(self, fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
        data = write_texts(tmp_path / "t.jsonl")
        taps = ["last.mean", "1.cls"]
        run = fit(data, f"hf:{tiny_bert}", taps=taps, tap=taps)
        with pytest.raises(ConfigError, match="2 features side by side"):
            run.module()

    def test_weights_that_have_changed(self, fit: Fit, tmp_path: Path, tiny_bert: Path) -> None:
        run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}")
        path = tiny_bert / "model.safetensors"
        weights = {name: tensor * 1.01 for name, tensor in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
        with pytest.raises(MismatchError, match="is not the backbone that this head was fitted on: weights"):
            run.module()


def test_rounded_features_are_spoken_of(
    fit: Fit, tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit(write_texts(tmp_path / "t.jsonl"), f"hf:{tiny_bert}", precision="bf16")
    run.export(tmp_path / "out", quiet=False)
    assert (
        "computed in bf16 and stored as float16; as one network it computes in float32"
        in capsys.readouterr().err
    )
