"""fine-tune from the cut cache, and on backbones of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.config import TuneConfig
from headstart.errors import ConfigError
from headstart.progress import Silence
from headstart.tuning.stage import fine_tune

from ..backbones import tiny_texts, tiny_vision
from ..variants import variants
from .changes import Ear, changed, image_backbone, saved, tensors_of, timm_weights

pytestmark = pytest.mark.usefixtures("one_thread")


class TestCutCache:
    """What enters the blocks that train is computed once; the weights are what they are without."""

    @pytest.mark.parametrize(
        ("strategy", "options"),
        [
            pytest.param("last:1", {}, marks=pytest.mark.slow),
            ("gradual", {"unfreeze": ["0", "1", "all"]}),
        ],
    )
    def test_the_weights_are_those_of_the_whole_way(
        self, tuned: Any, tmp_path: Path, strategy: str, options: dict[str, Any], monkeypatch: Any
    ) -> None:
        from headstart.tuning import cut

        n_cut = 0
        real = cut.CutSamples.batch

        def counted(self: Any, rows: Any) -> Any:
            nonlocal n_cut
            n_cut += 1
            return real(self, rows)

        monkeypatch.setattr(cut.CutSamples, "batch", counted)
        whole = tuned(strategy, cut_cache=False, **options)
        assert n_cut == 0
        short = tuned(strategy, **options)
        assert n_cut > 0
        before, after = (saved(one, tmp_path / n) for one, n in ((whole, "whole"), (short, "short")))
        for name, tensor in before.items():
            torch.testing.assert_close(after[name], tensor, atol=2e-5, rtol=0)
        np.testing.assert_allclose(short.predictor.head.coef_, whole.predictor.head.coef_, atol=2e-5)
        assert list(short.report["cut"]["spaces"]) == ["1"]

    @pytest.mark.parametrize(
        "name",
        [
            "test_efficientnet",
            *(
                pytest.param(name, marks=pytest.mark.slow)
                for name in ("hf:clip", "test_vit", "test_convnext", "hf:vit", "resnet18")
            ),
        ],
    )
    def test_images_are_decoded_once_and_give_the_same_weights(
        self, photos: Path, cache_root: Path, tmp_path: Path, name: str, monkeypatch: Any
    ) -> None:
        from headstart.tuning.samples import RawSamples

        backbone = image_backbone(name, tmp_path)
        prepared = 0
        real = RawSamples.prepared

        def counted(self: Any, rows: Any) -> Any:
            nonlocal prepared
            prepared += len(rows)
            return real(self, rows)

        def tune(cut_cache: bool, unfreeze: list[str]) -> Any:
            config = TuneConfig(
                plots="none", data=str(photos), cache=str(cache_root), **backbone,
                strategy="gradual", unfreeze=unfreeze, epochs=[2], lr=[1e-3], cut_cache=cut_cache,
            )  # fmt: skip
            return fine_tune(config, Silence(), tmp_path / f"state-{cut_cache}-{len(unfreeze)}")

        whole = tune(False, ["1", "2"])
        monkeypatch.setattr(RawSamples, "prepared", counted)
        short = tune(True, ["1", "2"])
        assert set(short.report["cut"]["spaces"]) == {"1", "2"}
        assert prepared < 36  # a few to compare the cut with the whole network; each epoch has 24
        before, after = (saved(one, tmp_path / n) for one, n in ((whole, "whole"), (short, "short")))
        read = {
            key: tensor for key, tensor in before.items() if len(tensor.shape) == 0 or len(tensor) != 1000
        }
        assert len(before) - len(read) <= 2  # the classifier of ImageNet, which is drawn anew
        assert not any(key.startswith("text_") for key in read)  # of CLIP the image side alone is kept
        for key, tensor in read.items():
            torch.testing.assert_close(after[key], tensor, atol=2e-5, rtol=0)
        np.testing.assert_allclose(short.predictor.head.coef_, whole.predictor.head.coef_, atol=2e-5)

    def test_a_network_whose_blocks_cannot_be_read_runs_whole(
        self, photos: Path, cache_root: Path, tmp_path: Path, monkeypatch: Any
    ) -> None:
        ear = Ear()
        monkeypatch.setattr("headstart.backbones.timm_models.block_names", lambda model: [])
        config = TuneConfig(
            plots="none", data=str(photos), backbone="timm:test_vit", weights=timm_weights(tmp_path, "test_vit"),
            cache=str(cache_root), strategy="last:1", epochs=[1],
        )  # fmt: skip
        record = fine_tune(config, ear, tmp_path / "state")
        assert "cut" not in record.report
        assert any("it has 0 blocks that can be told apart" in line for line in ear.said)
        record.save(tmp_path / "run")
        assert hs.load_run(tmp_path / "run").predict([next(photos.glob("*/*/*.png"))]).num_rows == 1

    def test_it_is_kept_for_the_next_training(self, tuned: Any, cache_root: Path) -> None:
        tuned("last:1", epochs=[1])
        shards = sorted(cache_root.glob("spaces/*/shards/*"))
        tuned("last:1", epochs=[1], seed=3, lr=[1e-4])
        assert sorted(cache_root.glob("spaces/*/shards/*")) == shards

    def test_where_it_would_be_wrong_the_whole_network_runs(
        self, texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path
    ) -> None:
        ear = Ear()
        config = TuneConfig(
            plots="none",
            data=str(texts), backbone=f"hf:{tiny_bert}", cache=str(cache_root), strategy="last:1", epochs=[1],
            augment="default",
        )  # fmt: skip
        record = fine_tune(config, ear, tmp_path / "state")
        assert "cut" not in record.report
        assert any("augmented inputs are other ones in each epoch" in line for line in ear.said)


@pytest.mark.parametrize(
    ("side", "kind"),
    [("image", "clip"), ("text", "siglip"),
     *(pytest.param(side, kind, marks=pytest.mark.slow) for side, kind in
       [("text", "clip"), ("image", "siglip"), ("image", "blip"), ("text", "blip")])],
)  # fmt: skip
def test_a_side_of_a_dual_encoder(
    photos: Path, texts: Path, cache_root: Path, tmp_path: Path, kind: str, side: str
) -> None:
    """It is kept without its other side, and predicts what the report says."""
    folder = getattr(tiny_vision, kind)(tmp_path / kind)
    data = photos if side == "image" else texts
    config = TuneConfig(
        plots="none",
        data=str(data), backbone=f"hf:{folder}", cache=str(cache_root), strategy="last:1", epochs=[2], lr=[1e-3],
    )  # fmt: skip
    record = fine_tune(config, Silence(), tmp_path / "state")
    before, after = tensors_of(folder), saved(record, tmp_path / "run")
    other = {"image": "text_", "text": "vision_"}[side]
    assert not any(name.startswith(other) for name in after)
    trained = changed(before, after)
    assert trained
    assert not any("layer.0." in name or "layers.0." in name or "embeddings" in name for name in trained)
    columns = {"label_column": ["label"]} if side == "text" else {}
    said = {row["id"]: row for row in record.predictions.to_pylist()}
    for row in hs.predict(tmp_path / "run", str(data), **columns).to_pylist():
        for name in record.labels["classes"]:
            assert row[f"p:{name}"] == pytest.approx(said[row["id"]][f"p:{name}"], abs=1e-5)


@pytest.mark.parametrize(
    "name",
    variants(["hf:clip", "hf:vit", "hf:siglip", "hf:blip"], {"hf:vit"}),
)
def test_recomputed_activations_change_nothing(
    photos: Path, cache_root: Path, tmp_path: Path, name: str
) -> None:
    backbone = image_backbone(name, tmp_path)

    def coefficients(gradient_checkpointing: bool) -> Any:
        config = TuneConfig(
            plots="none", data=str(photos), cache=str(cache_root), **backbone, epochs=[1], lr=[1e-3],
            gradient_checkpointing=gradient_checkpointing,
        )  # fmt: skip
        return fine_tune(config, Silence(), tmp_path / f"state-{gradient_checkpointing}").predictor.head.coef_

    np.testing.assert_allclose(coefficients(True), coefficients(False), atol=1e-6)


def test_a_model_that_asks_for_the_version_of_its_weights(
    photos: Path, cache_root: Path, tmp_path: Path
) -> None:
    config = TuneConfig(
        plots="none",
        data=str(photos), cache=str(cache_root), **image_backbone("mnasnet0_5", tmp_path), epochs=[1], lr=[1e-4],
    )  # fmt: skip
    record = fine_tune(config, Silence(), tmp_path / "state")
    record.save(tmp_path / "run")
    assert hs.load_run(tmp_path / "run").predict([next(photos.glob("*/*/*.png"))]).num_rows == 1


def test_both_sides_of_pairs_are_trained(photos: Path, cache_root: Path, tmp_path: Path) -> None:
    rows = [
        f"{path},a {path.parent.name} one,{path.parent.name}" for path in sorted(photos.glob("*/*/*.png"))
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,text,label", *rows]))
    config = TuneConfig(
        plots="none",
        data=str(tmp_path / "pairs.csv"), cache=str(cache_root), backbone=f"hf:{tiny_vision.clip(tmp_path / 'clip')}",
        image_column="image", text_column="text", epochs=[1], lr=[1e-3],
    )  # fmt: skip
    record = fine_tune(config, Silence(), tmp_path / "state")
    before = tensors_of(tmp_path / "clip")
    after = saved(record, tmp_path / "run")
    moved = changed(before, {name: tensor for name, tensor in after.items() if name in before})
    assert any(name.startswith("vision_model") for name in moved)
    assert any(name.startswith("text_model") for name in moved)
    picture = str(next(photos.glob("*/*/*.png")))
    assert hs.load_run(tmp_path / "run").predict([(picture, "a dark one")]).num_rows == 1
    with pytest.raises(ConfigError, match="cannot be divided into blocks, which last:1 needs"):
        fine_tune(config.model_copy(update={"strategy": "last:1"}), Silence(), tmp_path / "state-last")


@pytest.mark.parametrize("strategy", variants(["full", "last:1"], {"last:1"}))
def test_a_weight_with_two_names_is_one(strategy: str, texts: Path, cache_root: Path, tmp_path: Path) -> None:
    """The embeddings of T5 are tied: the model's own and its encoder's are one tensor."""
    config = TuneConfig(
        plots="none", data=str(texts), cache=str(cache_root), strategy=strategy, epochs=[1], lr=[1e-3],
        backbone=f"hf:{tiny_texts.save_model(tmp_path / 't5', 't5')}",
    )  # fmt: skip
    record = fine_tune(config, Silence(), tmp_path / "state")
    record.save(tmp_path / "run")
    assert hs.load_run(tmp_path / "run").predict(["red"]).num_rows == 1


def test_the_encoder_of_a_model_that_writes_is_read_back_as_it_was_tuned(
    texts: Path, cache_root: Path, tmp_path: Path
) -> None:
    """An encoder of BART by itself is in no folder that transformers opens as BART."""
    spec = f"hf:{tiny_texts.save_model(tmp_path / 'bart', 'bart')}"
    options: dict[str, Any] = {"cache": cache_root, "epochs": 1, "lr": 1e-3, "plots": "none"}
    run = hs.fine_tune(str(texts), spec, out=tmp_path / "run", **options)
    assert hs.load_run(tmp_path / "run").predict(["red blue"]).equals(run.predict(["red blue"]))


def test_blocks_that_the_tap_does_not_read_are_not_trained_in_silence(
    texts: Path, tiny_bert: Path, cache_root: Path, tmp_path: Path
) -> None:
    config = TuneConfig(
        plots="none", data=str(texts), cache=str(cache_root), strategy="last:1", epochs=[1],
        backbone=f"hf:{tiny_bert}", tap="1.mean",
    )  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"last:1 would train nothing but the head: 1\.mean is read before the "
    ):
        fine_tune(config, Silence(), tmp_path / "state")


def test_a_side_whose_padding_counts_is_not_cut(texts: Path, cache_root: Path, tmp_path: Path) -> None:
    ear = Ear()
    config = TuneConfig(
        plots="none", data=str(texts), cache=str(cache_root), backbone=f"hf:{tiny_vision.siglip(tmp_path / 'siglip')}",
        strategy="last:1", epochs=[1],
    )  # fmt: skip
    assert "cut" not in fine_tune(config, ear, tmp_path / "state").report
    assert "the whole network runs in each epoch: its padding takes part in a feature" in ear.said


def test_a_backbone_of_ones_own_is_refused(
    texts: Path, cache_root: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "end_to_end"))
    config = TuneConfig(
        plots="none", data=str(texts), backbone="py:tiny_backbones:texts", cache=str(cache_root)
    )
    with pytest.raises(
        ConfigError, match="py:tiny_backbones:texts cannot be fine-tuned: that needs a model of"
    ):
        fine_tune(config, Silence(), tmp_path / "state")
