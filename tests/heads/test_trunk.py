"""One network for several labels: what it learns, how losses are weighted, and that a missing label has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import ConfigError, StorageError
from headstart.heads import open_head, open_trunk
from headstart.heads.predictor import load_trunk, save_trunk
from headstart.heads.trunk import TorchTrunk, joint_labels

N, D = 240, 8
KINDS = ("single", "multi", "regression")
QUICK: dict[str, Any] = {"epochs": 30, "width": 32, "batch_size": 32, "lr": 0.01}


@pytest.fixture
def data() -> tuple[Any, list[Any]]:
    """Features, and labels of three kinds that follow from them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D)).astype(np.float32)
    classes = np.array(["left", "right", "up"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 1)]
    tags = (X[:, 2:4] > 0).astype(np.uint8)
    numbers = 3 * X[:, 4].astype(np.float64) + 10
    return X, [classes, tags, numbers]


def joined(labels: list[Any], known: list[Any] | None = None) -> Any:
    known = known or [np.ones(N, dtype=bool)] * len(labels)
    return joint_labels([(label[has], has) for label, has in zip(labels, known, strict=True)])


def trunk_of(head: str = "mlp", weights: tuple[float, ...] = (), **params: Any) -> TorchTrunk:
    trunk: TorchTrunk = open_trunk(head, {**QUICK, **params}, 0, KINDS, weights)
    return trunk


@pytest.mark.parametrize("head", ["mlp", "residual"])
def test_it_learns_labels_of_three_kinds_at_once(data: tuple[Any, list[Any]], head: str) -> None:
    X, (classes, tags, numbers) = data
    one, two, three = trunk_of(head).fit(X, joined([classes, tags, numbers])).members_
    assert float(np.mean(one.predict(X) == classes)) > 0.9
    assert float(np.mean(two.predict(X) == tags)) > 0.9
    assert float(np.corrcoef(three.predict(X), numbers)[0, 1]) > 0.95
    assert one.classes_.tolist() == ["left", "right", "up"]


def test_a_vector_of_several_positions_has_them_too(data: tuple[Any, list[Any]]) -> None:
    X, labels = data
    stacked = np.stack([X, X[:, ::-1]], axis=1)
    trunk = trunk_of("attention", width=16, n_heads=2).fit(stacked, joined(labels))
    assert trunk.members_[0].predict_proba(stacked).shape == (N, 3)


def test_the_same_seed_gives_the_same_network(data: tuple[Any, list[Any]]) -> None:
    X, labels = data
    one, two = (trunk_of().fit(X, joined(labels)).tensors() for _ in range(2))
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_with_one_label_it_is_the_head_of_that_label(data: tuple[Any, list[Any]]) -> None:
    """The joint loss of one label that all samples have is that label's own."""
    X, (classes, _, numbers) = data
    for kind, label in (("single", classes), ("regression", numbers)):
        trunk = open_trunk("mlp", QUICK, 0, [kind]).fit(X, joined([label]), X, joined([label]))
        alone: Any = open_head("mlp", QUICK, 0, kind)
        alone.fit(X, label, X, label)
        for name, weights in alone.weights_.items():
            np.testing.assert_allclose(trunk.members_[0].weights_[name], weights, rtol=1e-4, atol=1e-5)


def test_what_a_missing_label_holds_makes_no_difference(data: tuple[Any, list[Any]]) -> None:
    X, (classes, tags, numbers) = data
    known = [np.arange(N) % 3 != number for number in range(3)]
    spoilt = [classes.copy(), 1 - tags, numbers * -5]
    mixed = [
        np.where(has if own.ndim == 1 else has[:, None], own, other)
        for has, own, other in zip(known, (classes, tags, numbers), spoilt, strict=True)
    ]
    one = trunk_of().fit(X, joined([classes, tags, numbers], known))
    two = trunk_of().fit(X, joined(mixed, known))
    for name, tensor in one.tensors().items():
        assert tensor.tobytes() == two.tensors()[name].tobytes()


def test_the_loss_is_the_weighted_sum_of_the_mean_losses_over_those_that_have_the_label(
    data: tuple[Any, list[Any]],
) -> None:
    """Against cross-entropy, binary cross-entropy and squared error of torch, label by label."""
    X, labels = data
    known = [np.arange(N) % 2 == 0, np.ones(N, dtype=bool), np.arange(N) % 5 > 0]
    trunk = trunk_of(weights=(1.0, 0.5, 2.0))
    targets = trunk.begin(X, joined(labels, known))
    objective = trunk._objective(targets, torch.device("cpu"))
    logits = torch.randn(N, 1, 6, generator=torch.Generator().manual_seed(1))
    found = objective.losses(logits, torch.from_numpy(targets)).mean()
    flat, (one, _, three) = logits[:, 0], trunk.members_
    codes = torch.from_numpy(np.searchsorted(one.classes_, labels[0]))
    scaled = torch.from_numpy((labels[2] - three.target_mean_) / three.target_scale_).float()  # type: ignore[attr-defined]
    cross = torch.nn.functional.cross_entropy(flat[known[0], :3], codes[known[0]])
    binary = torch.nn.functional.binary_cross_entropy_with_logits(
        flat[:, 3:5], torch.from_numpy(labels[1]).float()
    )
    squared = torch.nn.functional.mse_loss(flat[known[2], 5], scaled[known[2]])
    np.testing.assert_allclose(float(found), float(cross + 0.5 * binary + 2 * squared), rtol=1e-5)


def test_a_weight_makes_a_label_count_more(data: tuple[Any, list[Any]]) -> None:
    X, labels = data
    noise = np.random.default_rng(3).permutation(labels[0])
    labels = [noise, labels[1], labels[2]]
    errors = {}
    for weight in (0.02, 50.0):
        trunk = trunk_of(weights=(1.0, 1.0, weight), width=8, epochs=15).fit(X, joined(labels))
        errors[weight] = float(np.mean((trunk.members_[2].predict(X) - labels[2]) ** 2))
    assert errors[50.0] < errors[0.02]


def test_classes_that_training_lacks_have_no_loss_and_are_wrong(data: tuple[Any, list[Any]]) -> None:
    X, labels = data
    held = [labels[0].copy(), labels[1], labels[2]]
    held[0] = np.where(np.arange(N) % 4 == 0, "down", held[0])
    trunk = trunk_of().fit(X, joined(labels), X, joined(held))
    assert np.isfinite([record["validation_loss"] for record in trunk.history_]).all()
    none = [np.zeros(N, dtype=bool), np.ones(N, dtype=bool), np.ones(N, dtype=bool)]
    again = trunk_of().fit(X, joined(labels), X, joined(held, none))
    assert np.isfinite([record["validation_loss"] for record in again.history_]).all()


def test_balanced_classes_mixup_and_smoothing_are_for_it_too(data: tuple[Any, list[Any]]) -> None:
    X, labels = data
    trunk = trunk_of(class_weight="balanced", mixup=0.2, label_smoothing=0.1).fit(X, joined(labels))
    assert float(np.mean(trunk.members_[0].predict(X) == labels[0])) > 0.7


def test_it_is_kept_once_and_comes_back_bit_for_bit(data: tuple[Any, list[Any]], tmp_path: Path) -> None:
    X, labels = data
    trunk = trunk_of().fit(X, joined(labels))
    save_trunk(trunk, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.json", "head.safetensors"]
    size = (tmp_path / "head.safetensors").stat().st_size
    assert size < 1024 + sum(tensor.nbytes for tensor in trunk.tensors().values())
    heads = load_trunk(tmp_path)
    assert [head.task for head in heads] == list(KINDS)
    for mine, theirs in zip(trunk.members_, heads, strict=True):
        assert theirs.predict(X).tobytes() == mine.predict(X).tobytes()
    whole = (tmp_path / "head.json").read_text()
    (tmp_path / "head.json").write_text(whole.replace('"single"', '"regression"'))
    with pytest.raises(StorageError):
        load_trunk(tmp_path)
    (tmp_path / "head.json").write_text("{}")
    with pytest.raises(StorageError, match="fit the head"):
        load_trunk(tmp_path)


def test_a_head_without_hidden_layers_is_refused(data: tuple[Any, list[Any]]) -> None:
    with pytest.raises(ConfigError, match=r"a linear head has no hidden layers .* mlp, residual, attention"):
        open_trunk("linear", {}, 0, KINDS)
    with pytest.raises(ConfigError, match="no parameter 'depht'; did you mean 'depth'"):
        open_trunk("mlp", {"depht": 2}, 0, KINDS)
    X, labels = data
    with pytest.raises(ConfigError, match="X has 100 rows, and y 240"):
        trunk_of().fit(X[:100], joined(labels))


def test_labels_that_no_outputs_of_it_are_for_are_refused() -> None:
    with pytest.raises(ConfigError, match="--shared-trunk is not for a tag for each word"):
        open_trunk("mlp", {}, 0, ["single", "tags"])
