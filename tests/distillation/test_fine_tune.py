"""fine-tune with a teacher, and with a teacher's features, on tiny models that are loaded as real ones are."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.cache.store import Cache
from headstart.config import TuneConfig
from headstart.errors import ConfigError, DataError, MismatchError
from headstart.registry.run import Run
from headstart.tuning.stage import fine_tune

from ..tuning.changes import WORDS
from .conftest import Said

BACKBONES = Path(__file__).parents[1] / "end_to_end"
LETTERS = "py:tiny_backbones:texts"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads that wait for each other over tiny products take minutes on a busy machine."""
    monkeypatch.syspath_prepend(str(BACKBONES))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write(path: Path, hide: int = 0) -> Path:
    """90 short texts of three classes with splits; of the first train samples so many have no label."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for row in range(90):
            name = list(WORDS)[row % 3]
            words = rng.choice(WORDS[name].split(), int(rng.integers(1, 6)))
            split = ["train", "train", "validation", "test"][row // 3 % 4]
            hidden = split == "train" and row < hide
            writer.writerow([f"{' '.join(words)} {row}", "" if hidden else name, split])
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write(tmp_path / "texts.csv")


@pytest.fixture
def teacher(texts: Path, cache_root: Path, tmp_path: Path) -> Path:
    """A head on the features of another backbone."""
    features = hs.extract(texts, LETTERS, cache=cache_root, set="letters")
    hs.fit_head(features, "ridge", plots="none", out=tmp_path / "teacher")
    return tmp_path / "teacher"


@pytest.fixture
def tune(texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path) -> Callable[..., Run]:
    numbers = iter(range(1000))

    def tune(said: Said | None = None, state: Path | None = None, **options: Any) -> Run:
        given = {
            "data": str(texts),
            "epochs": [2],
            "lr": [1e-3],
            "plots": "none",
            "strategy": "full",
            **options,
        }
        config = TuneConfig(backbone=f"hf:{tiny_bert}", cache=str(cache_root), **given)
        return fine_tune(config, said or Said(), state or tmp_path / f"state-{next(numbers)}")

    return tune


def probabilities(run: Run, split: str) -> np.ndarray:
    table = run.predictions_of(split)
    names = sorted(name for name in table.column_names if name.startswith("p:"))
    return np.stack([table.column(name).to_numpy() for name in names], axis=1)


class TestTeacher:
    """A run teaches a network."""

    def test_the_network_learns_what_the_teacher_says(
        self, tune: Any, teacher: Path, tmp_path: Path, tiny_bert: Path, cache_root: Path
    ) -> None:
        table = Run.load(teacher)
        options = {"epochs": [8], "batch_size": 8, "calibrate": False, "patience": 8}
        taught = tune(teacher=teacher, distill_alpha=1.0, **options)
        alone = tune(**options)
        wanted = probabilities(table, "train")

        def divergence(run: Run) -> float:
            return float((wanted * np.log(wanted / probabilities(run, "train"))).sum(1).mean())

        assert divergence(taught) < divergence(alone)
        said = taught.report["distillation"]
        assert (said["n_train"], said["n_unlabelled"], said["n_overlap"]) == (48, 0, 48)
        assert (said["method"], said["head"], said["backbone"]) == ("head", "ridge", LETTERS)
        assert taught.report["method"]["strategy"] == "full"

    def test_samples_without_a_label_take_part(self, tune: Any, teacher: Path, tmp_path: Path) -> None:
        some = write(tmp_path / "some.csv", hide=60)
        said = Said()
        run = tune(said, data=str(some), teacher=teacher)
        lesson = run.report["distillation"]
        n_train, n_others = lesson["n_train"], lesson["n_unlabelled"]
        assert (n_train, n_others) == (18, 30)
        assert run.report["data"]["n_train"] == n_train == run.report["metrics"]["train"]["n"]
        assert "full: 48 samples in batches" in said.text
        assert run.predictions_of("train").num_rows == n_train

    @pytest.mark.parametrize("strategy", ["frozen", "last:1", "lora", "gradual"])
    def test_in_every_strategy(self, tune: Any, teacher: Path, tmp_path: Path, strategy: str) -> None:
        some = write(tmp_path / "some.csv", hide=30)
        run = tune(data=str(some), teacher=teacher, strategy=strategy)
        assert run.report["distillation"]["n_unlabelled"] == 18
        assert run.report["metrics"]["test"]["n"] == 21

    def test_what_a_frozen_student_learns_is_what_a_head_learns(
        self, tune: Any, teacher: Path, cache_root: Path
    ) -> None:
        run = tune(teacher=teacher, strategy="frozen", epochs=[5], batch_size=8)
        [space] = run.report["distillation"]["spaces"]
        assert len(Cache(cache_root).open_space(space)) == 48

    def test_a_fine_tuned_network_teaches_a_head(
        self, tune: Any, texts: Path, cache_root: Path, tmp_path: Path
    ) -> None:
        tune().save(tmp_path / "tuned")
        features = hs.extract(texts, LETTERS, cache=cache_root, set="letters")
        said = hs.fit_head(features, "linear", teacher=tmp_path / "tuned", plots="none").report[
            "distillation"
        ]
        assert said["method"] == "full"
        assert said["n_overlap"] == 48
        with pytest.raises(ConfigError, match="is a whole network that was fine-tuned"):
            hs.fit_head(features, "linear", teacher=tmp_path / "tuned", teacher_folds=3, plots="none")

    def test_a_run_in_memory_is_to_be_saved_first(self, texts: Path, cache_root: Path) -> None:
        features = hs.extract(texts, LETTERS, cache=cache_root, set="letters")
        run = hs.fit_head(features, "ridge", plots="none")
        with pytest.raises(ConfigError, match="save it"):
            hs.fit_head(features, "linear", teacher=run)

    def test_a_training_that_was_cut_off_ends_as_the_whole_one(
        self, tune: Any, teacher: Path, tmp_path: Path
    ) -> None:
        some = str(write(tmp_path / "some.csv", hide=30))
        options = {"data": some, "teacher": teacher, "epochs": [3], "batch_size": 8}
        whole = tune(**options)

        class Cut(Said):
            def note(self, figures: str) -> None:
                self.lines.append(figures)
                if sum("loss" in line for line in self.lines) == 2:
                    raise KeyboardInterrupt

        state = tmp_path / "state"
        with pytest.raises(KeyboardInterrupt):
            tune(Cut(), state, **options)
        said = Said()
        resumed = tune(said, state, **options)
        assert "taking up a training" in said.text
        for name, tensor in whole.predictor.head.tensors().items():
            assert np.array_equal(tensor, resumed.predictor.head.tensors()[name]), name

    def test_the_weight_of_the_teacher_can_be_swept(self, tune: Any, teacher: Path) -> None:
        run = tune(teacher=teacher, sweep={"distill_alpha": [0.1, 0.9]})
        trials = run.report["sweep"]["trials"]
        assert [trial["params"]["distill_alpha"] for trial in trials] == [0.1, 0.9]
        assert trials[0]["validation"] != trials[1]["validation"]
        with pytest.raises(ConfigError, match="--sweep is over options"):
            tune(sweep={"teacher": [str(teacher)]})


class TestFeatures:
    """A student's features learn to be like a teacher's."""

    @pytest.fixture
    def letters(self, texts: Path, cache_root: Path) -> str:
        hs.extract(texts, LETTERS, cache=cache_root, set="letters")
        return "letters"

    def test_they_become_alike(self, tune: Any, letters: str, cache_root: Path) -> None:
        """How well a linear map from the student's features gives the teacher's."""
        options = {"epochs": [20], "batch_size": 8, "patience": 20, "calibrate": False}
        shown = tune(teacher_features=letters, feature_weight=5.0, **options)
        said = shown.report["distillation"]["features"]
        assert (said["set"], said["backbone"], said["weight"]) == (letters, LETTERS, 5.0)
        losses = [entry["train_loss"] for entry in shown.history]
        assert losses[-1] < 0.8 * losses[0]
        plain = tune(**options)
        assert (
            plain.history[0]["train_loss"] < losses[0] - 2
        )  # squared errors of standardised features are about 1

    def test_beside_a_teacher_of_logits(self, tune: Any, letters: str, teacher: Path, tmp_path: Path) -> None:
        some = write(tmp_path / "some.csv", hide=30)
        run = tune(data=str(some), teacher=teacher, teacher_features=f"{letters}:pooler")
        said = run.report["distillation"]
        assert said["n_unlabelled"] == 18
        assert said["features"]["tap"] == "pooler"
        run.save(tmp_path / "run")
        card = (tmp_path / "run" / "README.md").read_text("utf-8")
        assert "Taught by" in card
        assert f"learnt to be like `{LETTERS}`" in card

    @pytest.mark.parametrize("strategy", ["last:1", "lora", "gradual"])
    def test_in_other_strategies_and_after_saving(
        self, tune: Any, letters: str, tmp_path: Path, strategy: str
    ) -> None:
        run = tune(teacher_features=letters, strategy=strategy)
        before = probabilities(run, "test")
        run.save(tmp_path / "run")
        again = hs.predict(tmp_path / "run", ["rice egg", "red blue"])
        assert len(again) == 2
        assert np.isfinite(before).all()

    def test_what_cannot_be_is_said(
        self, tune: Any, letters: str, texts: Path, cache_root: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match="--strategy frozen leaves them as they are"):
            tune(teacher_features=letters, strategy="frozen")
        with pytest.raises(DataError, match="there is no set 'nothing'"):
            tune(teacher_features="nothing")
        with pytest.raises(ConfigError, match=r"has no feature at final\.max besides"):
            tune(teacher_features=f"{letters}:final.max")
        lines = texts.read_text("utf-8").splitlines()
        few = tmp_path / "few.csv"
        few.write_text("\n".join(lines[:20]), "utf-8")
        hs.extract(few, LETTERS, cache=cache_root, set="few")
        with pytest.raises(MismatchError, match="for 36 of 48 train samples"):
            tune(teacher_features="few")

    def test_a_weight_without_features_means_nothing(self, tune: Any) -> None:
        with pytest.raises(ConfigError, match="goes with --teacher-features"):
            tune(feature_weight=2.0)
