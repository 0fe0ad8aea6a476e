"""What a student's loss is: against plain torch, and against the definition written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from headstart.distillation.asked import check_kind
from headstart.errors import ConfigError
from headstart.heads import open_head
from headstart.samples import SoftTargets
from headstart.tasks import open_task
from headstart.training.distilled import DistilledObjective, lessons, objective_of
from headstart.training.trainee import Objective
from headstart.types import UNSEEN

N, C = 12, 4


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def soft_of(logits: Any, alpha: float = 0.3, temperature: float = 2.0, **more: Any) -> SoftTargets:
    yes = np.ones(len(logits), dtype=bool)
    return SoftTargets(
        np.asarray(logits, np.float32), tuple("abcd"), yes, yes.copy(), temperature, alpha, **more
    )


def losses_of(kind: str, targets: Any, soft: SoftTargets, logits: torch.Tensor) -> torch.Tensor:
    """Of one member, shape (N,)."""
    n_outputs = soft.logits.shape[1]
    packed = torch.from_numpy(lessons(targets, soft.logits, soft))
    objective = objective_of(open_task(kind), None, 0.0, n_outputs, soft)
    return objective.losses(logits[:, None], packed)[:, 0]


class TestSingle:
    """One class a sample: Hinton et al. (2015)."""

    @pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
    def test_it_is_the_divergence_times_the_square_of_the_temperature(self, temperature: float) -> None:
        said, teacher = numbers(N, C), numbers(N, C, seed=1)
        task: Any = open_task("single")
        p = (teacher / temperature).softmax(1)
        wanted = temperature**2 * (p * (p.log() - (said / temperature).softmax(1).log())).sum(1)
        assert torch.allclose(task.soft_losses(said, teacher, temperature), wanted, atol=1e-5)
        assert torch.allclose(task.soft_losses(teacher, teacher + 7, temperature), torch.zeros(N), atol=1e-5)

    def test_labels_and_opinions_are_mixed(self) -> None:
        said, teacher = numbers(N, C), numbers(N, C, seed=1)
        codes = np.arange(N) % C
        found = losses_of("single", codes, soft_of(teacher), said)
        hard = functional.cross_entropy(said, torch.from_numpy(codes), reduction="none")
        soft = 4 * functional.kl_div(
            (said / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="none"
        ).sum(1)
        assert torch.allclose(found, 0.7 * hard + 0.3 * soft, atol=1e-5)

    def test_members_of_a_stack_see_their_own_targets(self) -> None:
        said, teacher = numbers(N, 3, C), numbers(N, 3, C, seed=1).numpy()
        codes = np.random.default_rng(0).integers(C, size=(N, 3))
        packed = [lessons(codes[:, m], teacher[:, m], soft_of(teacher[:, m])) for m in range(3)]
        objective = objective_of(open_task("single"), None, 0.0, C, soft_of(teacher[:, 0]))
        together = objective.losses(said, torch.from_numpy(np.stack(packed, axis=1)))
        for m in range(3):
            alone = losses_of("single", codes[:, m], soft_of(teacher[:, m]), said[:, m])
            assert torch.allclose(together[:, m], alone, atol=1e-6)

    def test_targets_of_validation_have_the_loss_of_the_label(self) -> None:
        said = numbers(N, 1, C)
        codes = torch.arange(N) % C
        codes[0] = UNSEEN
        plain = Objective(open_task("single"))
        taught = objective_of(open_task("single"), None, 0.0, C, soft_of(numbers(N, C)))
        assert isinstance(taught, DistilledObjective)
        assert torch.equal(taught.losses(said, codes), plain.losses(said, codes))
        assert torch.equal(taught.right(said, codes), plain.right(said, codes))  # type: ignore[arg-type]
        assert taught.n_seen(codes) == N - 1

    @given(st.floats(1.0, 20.0), st.integers(0, 2**16))
    def test_a_gradient_is_of_one_size_at_any_temperature(self, temperature: float, seed: int) -> None:
        """Near agreement it is that of (s - t)² / 2C, whatever the temperature: hence its square."""
        teacher = 0.01 * numbers(1, C, seed=seed)
        said = torch.zeros(1, C, requires_grad=True)
        task: Any = open_task("single")
        task.soft_losses(said, teacher, temperature).sum().backward()
        wanted = -(teacher - teacher.mean()) / C
        assert said.grad is not None
        assert torch.allclose(said.grad, wanted, atol=0.02 * float(teacher.abs().max()))


class TestOtherLabels:
    """Several labels a sample, and numbers."""

    def test_several_labels_are_binary_cross_entropies_on_soft_probabilities(self) -> None:
        said, teacher = numbers(N, C), numbers(N, C, seed=1)
        targets = (numbers(N, C, seed=2) > 0).float()
        found = losses_of("multi", targets.numpy(), soft_of(teacher), said)
        hard = functional.binary_cross_entropy_with_logits(said, targets, reduction="none").mean(1)
        p = (teacher / 2).sigmoid()
        q = (said / 2).sigmoid()
        soft = -4 * (p * q.log() + (1 - p) * (1 - q).log()).mean(1)
        assert torch.allclose(found, 0.7 * hard + 0.3 * soft, atol=1e-5)

    def test_numbers_are_squared_errors(self) -> None:
        said, teacher = numbers(N, 1), numbers(N, 1, seed=1)
        targets = numbers(N, 1, seed=2)
        found = losses_of("regression", targets.numpy(), soft_of(teacher), said)
        wanted = 0.7 * (said - targets).square() + 0.3 * (said - teacher).square()
        assert torch.allclose(found, wanted[:, 0], atol=1e-6)

    @pytest.mark.parametrize("kind", ["single", "multi", "regression"])
    def test_these_can_be_taught(self, kind: str) -> None:
        check_kind(kind)

    def test_others_are_refused_by_name(self) -> None:
        with pytest.raises(ConfigError, match="labels of the kind 'tags' cannot be taught yet"):
            check_kind("tags")

    def test_logits_give_the_probabilities_back(self) -> None:
        single: Any = open_task("single")
        multi: Any = open_task("multi")
        p = numbers(N, C).softmax(1).double().numpy()
        assert np.allclose(torch.from_numpy(single.teacher_logits(p)).softmax(1), p, atol=1e-6)
        likely = np.concatenate([p, [[0.0, 1.0, 0.5, 1e-9]]])
        logits = multi.teacher_logits(likely)
        assert np.isfinite(logits).all()
        assert np.allclose(1 / (1 + np.exp(-logits)), likely, atol=1e-6)
        assert multi.taught(logits)[-1].tolist() == [0, 1, 0, 0]


class TestRows:
    """What single rows count."""

    def test_a_row_without_a_label_has_the_loss_of_the_opinion_alone(self) -> None:
        said, teacher = numbers(N, C), numbers(N, C, seed=1)
        soft = soft_of(teacher)
        soft.is_labelled[: N // 2] = False
        one = losses_of("single", np.zeros(N, np.int64), soft, said)
        other = losses_of("single", np.full(N, 3), soft, said)
        assert torch.equal(one[: N // 2], other[: N // 2])
        assert not torch.isclose(one[N // 2 :], other[N // 2 :]).any()

    def test_a_row_without_an_opinion_has_the_loss_of_the_label_alone(self) -> None:
        said, teacher = numbers(N, C), numbers(N, C, seed=1)
        soft = soft_of(teacher)
        soft.is_said[3] = False
        codes = np.arange(N) % C
        found = losses_of("single", codes, soft, said)
        assert torch.isclose(found[3], functional.cross_entropy(said[3:4], torch.tensor([3]))[None])
        assert soft.take(np.array([3, 0])).hard.tolist() == pytest.approx([1.0, 0.7])
        assert soft.joined(soft).soft.tolist()[3:5] == pytest.approx([0.0, 0.3])

    def test_features_are_compared_behind_the_logits(self) -> None:
        said, teacher, shown = numbers(N, C), numbers(N, C, seed=1), numbers(N, 5, seed=2)
        features = numbers(N, 5, seed=3).numpy()
        codes = np.arange(N) % C
        soft = soft_of(teacher, features=features, feature_weight=0.5)
        found = losses_of("single", codes, soft, torch.cat([said, shown], 1))
        plain = losses_of("single", codes, soft_of(teacher), said)
        error = (shown - torch.from_numpy(features)).square().mean(1)
        assert torch.allclose(found, plain + 0.5 * error, atol=1e-5)


class TestHeads:
    """A head that is fitted with what a teacher says."""

    def test_a_teacher_that_counts_nothing_changes_nothing(self) -> None:
        X, y = numbers(80, 6).numpy(), np.array(list("abcd"))[np.arange(80) % 4]
        plain = open_head("linear", {"epochs": 5}, 0, "single")
        taught: Any = open_head("linear", {"epochs": 5}, 0, "single")
        plain.fit(X, y)
        taught.fit(X, y, soft=soft_of(numbers(80, C, seed=4), alpha=0.0))
        assert np.allclose(plain.predict_proba(X), taught.predict_proba(X), atol=1e-6)  # type: ignore[attr-defined]

    def test_columns_of_the_teacher_are_met_by_name(self) -> None:
        """The head lacks a class of the teacher's, and the teacher's are in another order."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 3)).astype(np.float32)
        names = ("c", "b", "d", "a")
        logits = np.full((300, 4), -9.0, np.float32)
        logits[:, [0, 1, 3]] = 4 * X  # c, b and a by the columns of X
        y = np.array(list("abc"))[rng.integers(3, size=300)]  # of no meaning
        yes = np.ones(300, dtype=bool)
        head: Any = open_head("linear", {"epochs": 60, "lr": 0.05, "weight_decay": 0.0}, 0, "single")
        head.fit(X, y, soft=SoftTargets(logits, names, yes, yes, alpha=1.0))
        assert head.classes_.tolist() == ["a", "b", "c"]
        wanted = np.array(list("cba"))[X.argmax(axis=1)]
        assert (head.predict(X) == wanted).mean() > 0.97

    def test_a_class_that_the_teacher_lacks_is_named(self) -> None:
        head: Any = open_head("linear", {"epochs": 1}, 0, "single")
        yes = np.ones(4, dtype=bool)
        soft = SoftTargets(np.zeros((4, 2), np.float32), ("a", "b"), yes, yes)
        with pytest.raises(Exception, match="says nothing of the class 'z'"):
            head.fit(np.eye(4, dtype=np.float32), np.array(["a", "b", "z", "z"]), soft=soft)
