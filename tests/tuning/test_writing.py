"""Encoder-decoders that are fine-tuned to write: what trains, on which losses, and what is written in the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import headstart as hs
from headstart.backbones import open_backbone
from headstart.backbones.hf.writers import Writer
from headstart.backbones.options import BackboneOptions
from headstart.backbones.portable import open_writer
from headstart.config import TuneConfig
from headstart.errors import ConfigError, DataError, HeadstartError, StorageError
from headstart.fitting.data import read_splits
from headstart.metrics.texts import evaluate_texts
from headstart.progress import Silence
from headstart.registry.run import Run
from headstart.tuning.phases import PhasedTraining
from headstart.tuning.strategies import plan_rules
from headstart.tuning.writing import WritingSetup, check_room
from headstart.tuning.writing_plan import plan_writing

from .writers import KINDS, rows, save_writer, write_rows

TEXTS = ["row1 3", "row2 9 4", "7"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model of a kind, made once."""
    root = tmp_path_factory.mktemp("writers")

    def make(kind: str) -> Path:
        folder = root / kind
        return folder if folder.exists() else save_writer(folder, kind)

    return make


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "digits.jsonl", rows(50))


@pytest.fixture
def tune(digits: Path, made: Callable[[str], Path], cache_root: Path) -> Callable[..., Run]:
    def run(kind: str = "t5", strategy: str = "decoder", data: Any = None, **options: Any) -> Run:
        given = {"epochs": 2, "lr": 3e-3, "plots": "none", "target_column": "target", **options}
        return hs.fine_tune(
            str(data or digits), f"hf:{made(kind)}", strategy=strategy, cache=cache_root, **given
        )

    return run


def writer_of(folder: Path) -> Writer:
    return open_writer(open_backbone(f"hf:{folder}", BackboneOptions(modality="text")))


def state_of(run: Run) -> Mapping[str, Any]:
    return run.predictor.head.tensors()


def changed(run: Run, folder: Path) -> set[str]:
    """The weights of a decoder that are not what they were."""
    before = writer_of(folder).own_state()
    after = state_of(run)
    assert after.keys() == before.keys()
    return {name for name, array in after.items() if not np.array_equal(array, before[name].numpy())}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["decoder", "full"])
def test_it_writes_what_transformers_writes_with_the_same_weights(
    kind: str, strategy: str, tune: Callable[..., Run], tmp_path: Path, cache_root: Path
) -> None:
    run = tune(kind, strategy)
    done = run.export(tmp_path / "exported")
    assert done.details["class"].endswith(("ForConditionalGeneration", "MTModel"))
    assert done.largest_error < 1e-5
    net = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "exported").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    for beams in (1, 3):
        said = run.predict(TEXTS, cache=cache_root, num_beams=beams, max_new_tokens=6).labels
        expected = []
        for text in TEXTS:
            given = tokenizer(text, return_tensors="pt")
            ids = net.generate(
                given["input_ids"], attention_mask=given["attention_mask"], num_beams=beams, max_new_tokens=6
            )
            expected += tokenizer.batch_decode(ids, skip_special_tokens=True)
        assert said == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_a_batch_is_that_of_transformers(kind: str, made: Callable[[str], Path]) -> None:
    writer = writer_of(made(kind))
    labels = writer.tokens(["three", "one two three", "nine nine"])
    assert all(ids[-1] == writer.tokenizer.eos_token_id for ids in labels)
    padded = torch.full((3, max(map(len, labels))), -100)
    for place, ids in enumerate(labels):
        padded[place, : len(ids)] = torch.tensor(ids)
    given = writer.tokenizer(["3", "1 2 3", "9 9"], padding=True, return_tensors="pt")
    expected = writer.net(
        input_ids=given["input_ids"], attention_mask=given["attention_mask"], labels=padded
    ).loss
    states = writer.encode({name: given[name] for name in ("input_ids", "attention_mask")})
    logits = writer.logits(states, given["attention_mask"], padded)
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), padded.flatten())
    torch.testing.assert_close(losses, expected)


def opened(tune_config: TuneConfig) -> tuple[WritingSetup, Any]:
    features = hs.extract(
        tune_config.data,
        tune_config.backbone,
        target_column="target",
        cache=tune_config.cache,
        taps="last.tokens",
    )
    config = tune_config.model_copy(update={"set": features.name, "digest": features.digest})
    raw = read_splits(features, [(None, None)], None, attends=True)
    return WritingSetup.open(config, features, raw, Silence()), config


@pytest.fixture
def config(digits: Path, made: Callable[[str], Path], cache_root: Path) -> Callable[..., TuneConfig]:
    def make(**options: Any) -> TuneConfig:
        given = {"epochs": [2], "lr": [3e-3], "plots": "none", "target_column": "target", **options}
        return TuneConfig(data=str(digits), backbone=f"hf:{made('t5')}", cache=str(cache_root), **given)

    return make


@pytest.mark.parametrize(
    ("strategy", "runs"), [("decoder", False), ("last:1", False), ("gradual", True), ("full", True)]
)
def test_a_frozen_encoder_is_never_run_in_training(
    strategy: str, runs: bool, config: Callable[..., TuneConfig], tmp_path: Path
) -> None:
    setup, resolved = opened(config(strategy=strategy))
    calls = []
    setup.model.writer.encoder.register_forward_hook(lambda *_: calls.append(1))
    before = {name: p.clone() for name, p in setup.model.writer.encoder.state_dict().items()}
    phases = setup.plan(resolved)
    rules = plan_rules(resolved, 30, "cpu", False, setup.defaults(resolved))
    (tmp_path / "state").mkdir()
    frozen = [phase for phase in phases if phase.encoder_is_frozen]
    PhasedTraining(setup, frozen, rules, tmp_path / "state", Silence()).run([])
    assert not calls
    after = setup.model.writer.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(not phase.encoder_is_frozen for phase in phases) == runs


def test_the_loss_is_a_mean_over_tokens_however_a_step_is_cut(
    config: Callable[..., TuneConfig], tmp_path: Path
) -> None:
    gradients = []
    for part_size in (30, 7):
        resolved = config(strategy="decoder", part_size=part_size, batch_size=30)
        setup, resolved = opened(resolved)
        [phase] = setup.plan(resolved)
        setup.model.train_phase(phase)
        rules = plan_rules(resolved, 30, "cpu", False, setup.defaults(resolved))
        trainee = setup.trainee(setup.short_cut.of(phase, setup.samples), phase, rules, part_size, str)
        trainee.begin(1)
        [step] = trainee.steps(0)
        for part in step.parts:
            trainee.losses(part).sum().backward()
        gradients.append({name: p.grad for name, p in trainee.parameters().items()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_each_strategy_trains_what_it_says(
    kind: str, tune: Callable[..., Run], made: Callable[[str], Path]
) -> None:
    folder = made(kind)
    cross = changed(tune(kind, "cross-attention"), folder)
    assert cross
    assert all("EncDecAttention" in name or ".encoder_attn." in name for name in cross)
    last = changed(tune(kind, "last:1"), folder)
    assert last
    assert all(".1." in name or "norm" in name for name in last)
    decoder = changed(tune(kind, "decoder"), folder)
    assert cross | last < decoder
    assert not any("shared" in name for name in decoder)  # which the encoder reads, too
    assert changed(tune(kind, "frozen"), folder) >= decoder
    full = changed(tune(kind, "full"), folder)
    assert decoder < full
    assert any("shared" in name for name in full)
    assert changed(tune(kind, "scratch"), folder) >= full


def test_gradual_goes_from_the_top_of_the_decoder_into_the_encoder(tune: Callable[..., Run]) -> None:
    run = tune("t5", "gradual", unfreeze=[1, 2, 3, "all"], epochs=1)
    assert run.report["epochs"]["run"] == 4
    assert run.report["states"]["space"]
    with pytest.raises(ConfigError, match="3 blocks in its encoder and 2 in its decoder, fewer than the 6"):
        tune("t5", "gradual", unfreeze=[6])


def test_adapters_train_alone_and_are_merged(
    tune: Callable[..., Run], made: Callable[[str], Path], tmp_path: Path, cache_root: Path
) -> None:
    run = tune("bart", "lora", out=tmp_path / "run", lora_rank=2)
    assert (tmp_path / "run/model/adapter/adapter_model.safetensors").is_file()
    assert not any("lora" in name or "base_layer" in name for name in state_of(run))
    names = changed(run, made("bart"))
    assert names
    assert all(name.endswith("proj.weight") or ".fc" in name for name in names)
    assert run.report["cost"]["parameters"] < run.report["cost"]["total_parameters"] / 3
    again = hs.load_run(tmp_path / "run")
    assert again.predict(TEXTS, cache=cache_root).labels == run.predict(TEXTS, cache=cache_root).labels


def test_a_saved_run_is_whole_and_says_what_it_is(
    tune: Callable[..., Run], tmp_path: Path, cache_root: Path, digits: Path
) -> None:
    run = tune("t5", "full", out=tmp_path / "run", epochs=8, lr=1e-2)
    report = json.loads((tmp_path / "run/report.json").read_text())
    test = report["metrics"]["test"]
    assert test["exact_match"] > 0.2
    assert "train" not in report["metrics"]
    assert report["head"] == {"name": "decoder", "params": {"num_beams": 1, "max_new_tokens": 10}}
    table = run.predictions_of("test")
    assert table.schema.field("label").type == "list<element: string>" or "list" in str(
        table.schema.field("label").type
    )
    expected = evaluate_texts(table.column("label").to_pylist(), table.column("prediction").to_pylist())
    assert test == expected
    card = (tmp_path / "run/README.md").read_text("utf-8")
    assert "by the decoder of" in card
    assert "chrF" in card
    evaluated = run.evaluate(str(digits), cache=cache_root, name="again")
    assert evaluated.metrics == test
    # The tuned network can be read whole, and trained further.
    net = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "run/model/backbone")
    assert net.generation_config.max_new_tokens == 10


def test_a_frozen_run_reads_the_states_that_the_set_has(
    tune: Callable[..., Run], tmp_path: Path, cache_root: Path
) -> None:
    run = tune("t5", "decoder", out=tmp_path / "run")
    assert not (tmp_path / "run/model/backbone").exists()
    features = hs.open_set(run.features["set"], cache_root)
    assert [ref.tap for ref in features.features] == ["final.tokens"]
    assert run.features["space"] == features.features[0].space == run.report["states"]["space"]
    again = tune("t5", "cross-attention")
    assert again.features["space"] == run.features["space"]


def test_several_references_take_turns(made: Callable[[str], Path], cache_root: Path, tmp_path: Path) -> None:
    found = [{**row, "target": [row["target"], f"{row['target']} nine"]} for row in rows(50)]
    data = write_rows(tmp_path / "several.jsonl", found)
    config = TuneConfig(
        data=str(data),
        backbone=f"hf:{made('t5')}",
        cache=str(cache_root),
        target_column="target",
        strategy="decoder",
    )
    setup, _ = opened(config)
    train = setup.samples["train"]
    lengths = []
    for epoch in (1, 2, 3):
        train.epoch = epoch
        lengths.append(int((train.batch([0])["labels"] >= 0).sum()))
    assert lengths == [2, 3, 2]


def test_rows_without_a_target_take_no_part_and_are_counted(
    made: Callable[[str], Path], tune: Callable[..., Run], tmp_path: Path
) -> None:
    found = [
        {**row, "target": "" if number in (0, 4) else row["target"]} for number, row in enumerate(rows(50))
    ]
    run = tune(data=write_rows(tmp_path / "gaps.jsonl", found))
    assert run.report["data"]["n_unlabelled"] == 2
    assert run.report["data"]["n_train"] == 29


def test_nothing_to_learn_is_said(tune: Callable[..., Run], tmp_path: Path) -> None:
    found = [{**row, "target": ""} for row in rows(10)]
    with pytest.raises(DataError, match="no train sample with a label in 'target'"):
        tune(data=write_rows(tmp_path / "none.jsonl", found))


def test_texts_that_the_decoder_has_no_place_for_are_cut_and_counted(
    made: Callable[[str], Path],
    digits: Path,
    cache_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = rows(50)
    found[0]["target"] = " ".join(["one"] * 60)
    data = write_rows(tmp_path / "long.jsonl", found)
    hs.fine_tune(
        str(data), f"hf:{made('bart')}", strategy="decoder", target_column="target", epochs=1, cache=cache_root,
        plots="none", quiet=False,
    )  # fmt: skip
    assert "1 texts to write are longer than the 40 tokens" in capsys.readouterr().err


def test_a_prompt_stands_before_every_input(
    tune: Callable[..., Run], tmp_path: Path, cache_root: Path, made: Callable[[str], Path]
) -> None:
    run = tune("t5", "full", prompt="one two ", out=tmp_path / "run")
    done = run.export(tmp_path / "exported")
    assert done.largest_error < 1e-5
    assert repr("one two a text") in (tmp_path / "exported/README.md").read_text()


def test_runs_are_compared_on_the_same_texts(
    tune: Callable[..., Run], tmp_path: Path, cache_root: Path
) -> None:
    one, other = tune("t5", "decoder"), tune("t5", "full", epochs=6, lr=1e-2)
    found = hs.compare([one, other], cache=cache_root)
    assert found.figure == "chrf"
    assert {run.figures["chrf"] for run in found.runs} == {
        run.report["metrics"]["test"]["chrf"] for run in (one, other)
    }
    assert found.runs[0].intervals["exact_match"]


def test_the_best_epoch_is_that_of_the_smallest_loss_of_a_token(
    tune: Callable[..., Run], tmp_path: Path
) -> None:
    tune("t5", "decoder", epochs=6, lr=3e-2, out=tmp_path / "run")
    history = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [entry["validation_loss"] for entry in history]
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert report["epochs"]["best"] == 1 + losses.index(min(losses))
    assert all(entry["validation_accuracy"] is None for entry in history)


def test_the_same_seed_gives_the_same_decoder(tune: Callable[..., Run]) -> None:
    first, second, other = (state_of(tune("t5", "decoder", seed=seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tap": "last.mean"}, "--tap means nothing to a model that writes texts: it reads all states"),
        ({"dropout": 0.1}, "--dropout means nothing"),
        ({"head_lr": 0.1}, "--head-lr means nothing"),
        ({"class_weight": "balanced"}, "--class-weight means nothing"),
        ({"augment": "default"}, "--augment changes inputs in each epoch, and decoder reads states"),
        ({"unfreeze": [1]}, "means nothing to decoder"),
        ({"strategy": "last:3"}, "has 2 blocks, fewer than the 3"),
        ({"strategy": "decoders"}, "there is no strategy 'decoders'.*did you mean|write one of"),
        ({"strategy": "last:0"}, "there is no strategy"),
        ({"strategy": "gradual", "unfreeze": [0, "all"]}, "--unfreeze 0 is for a head"),
        ({"epochs": [1, 2]}, "--epochs takes one value"),
        ({"num_beams": 0}, "num-beams"),
        (
            {"kind": "bart", "max_new_tokens": 40},
            "--max-new-tokens 40 is out of range.* places for 39 tokens",
        ),
    ],
)
def test_options_that_mean_nothing_are_refused(
    options: dict[str, Any], said: str, tune: Callable[..., Run]
) -> None:
    with pytest.raises(ConfigError, match=said):
        tune(**options)


def test_a_backbone_without_a_decoder_is_refused(digits: Path, tiny_bert: Path, cache_root: Path) -> None:
    with pytest.raises(ConfigError, match="writes no texts: it is a bert model without a decoder"):
        hs.fine_tune(
            str(digits), f"hf:{tiny_bert}", strategy="decoder", target_column="target", cache=cache_root
        )


def test_an_encoder_alone_is_refused(
    digits: Path, made: Callable[[str], Path], cache_root: Path, tmp_path: Path
) -> None:
    folder = made("t5")
    transformers.T5EncoderModel.from_pretrained(folder).save_pretrained(tmp_path / "alone")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "alone")
    with pytest.raises(HeadstartError, match="writes no texts: it is a t5 model without a decoder"):
        hs.fine_tune(
            str(digits),
            f"hf:{tmp_path / 'alone'}",
            strategy="decoder",
            target_column="target",
            cache=cache_root,
        )


def test_other_labels_know_neither_its_strategies_nor_its_options(
    digits: Path, made: Callable[[str], Path], cache_root: Path, tmp_path: Path
) -> None:
    about: dict[str, Any] = {
        "label_column": "target",
        "label_kind": "single",
        "cache": cache_root,
        "epochs": 1,
    }
    spec = f"hf:{made('t5')}"
    with pytest.raises(ConfigError, match="decoder is for texts to write"):
        hs.fine_tune(str(digits), spec, strategy="decoder", **about)
    with pytest.raises(ConfigError, match="--num-beams is for texts to write"):
        hs.fine_tune(str(digits), spec, strategy="frozen", num_beams=2, **about)
    features = hs.extract(str(digits), spec, label_column="target", label_kind="single", cache=cache_root)
    run = hs.fit_head(features, head="ridge")
    with pytest.raises(
        ConfigError, match="--num-beams is for runs that write texts, and this one predicts one label"
    ):
        run.predict(["3"], num_beams=2, cache=cache_root)


def test_heads_of_other_kinds_are_refused_by_name(
    digits: Path, made: Callable[[str], Path], cache_root: Path
) -> None:
    features = hs.extract(
        str(digits), f"hf:{made('t5')}", target_column="target", taps="last.tokens", cache=cache_root
    )
    assert features.label_kinds == {"target": "seq2seq"}
    with pytest.raises(
        ConfigError, match=r"the head 'logistic' is not for texts to write.*--strategy decoder"
    ):
        hs.fit_head(features, head="logistic")
    with pytest.raises(ConfigError, match="a decoder is trained by fine-tune"):
        hs.fit_head(features, head="decoder", tap="last.tokens")


def test_a_damaged_run_is_named(tune: Callable[..., Run], tmp_path: Path, cache_root: Path) -> None:
    tune("t5", "decoder", out=tmp_path / "run")
    path = tmp_path / "run/model/config.json"
    path.write_text(path.read_text().replace("32", "64"), "utf-8")
    with pytest.raises(StorageError, match=r"config\.json is not the file that was written with it"):
        hs.load_run(tmp_path / "run").predict(TEXTS, cache=cache_root)


def test_it_is_no_module_and_no_onnx(tune: Callable[..., Run], tmp_path: Path) -> None:
    run = tune("t5", "decoder")
    with pytest.raises(ConfigError, match="writes texts, and is no network from inputs to logits"):
        run.module()
    with pytest.raises(ConfigError, match="exported with --to hf"):
        run.export(tmp_path / "x", to="onnx")


def test_what_the_disk_has_no_room_for_is_refused(tmp_path: Path) -> None:
    check_room(1, tmp_path / "not there yet")
    with pytest.raises(ConfigError, match=r"states take 1,000,000\.00 GB, and .* left; choose another"):
        check_room(10**15, tmp_path / "not there yet")


def test_sweeps_choose_by_the_loss(tune: Callable[..., Run]) -> None:
    run = tune("t5", "decoder", epochs=2, lr=None, sweep={"lr": [1e-5, 1e-2]})
    assert run.report["sweep"]["best"] == {"lr": 1e-2}


def test_plans_say_what_is_frozen() -> None:
    config = TuneConfig(data="d", strategy="gradual")
    phases = plan_writing(config, 6, 4)
    assert [(phase.n_blocks, phase.encoder_is_frozen) for phase in phases] == [
        (2, True),
        (4, True),
        (None, False),
    ]


def test_how_the_checkpoint_was_to_generate_is_left_out(
    made: Callable[[str], Path], digits: Path, cache_root: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(made("t5"), tmp_path / "summaries")
    own = transformers.GenerationConfig.from_pretrained(folder)
    own.min_length, own.no_repeat_ngram_size, own.num_beams = 9, 1, 4
    own.save_pretrained(folder)
    about: dict[str, Any] = {
        "target_column": "target",
        "cache": cache_root,
        "epochs": 8,
        "lr": 1e-2,
        "plots": "none",
    }
    plain, other = (
        hs.fine_tune(str(digits), f"hf:{one}", strategy="decoder", out=tmp_path / f"run {one.name}", **about)
        for one in (made("t5"), folder)
    )
    for run in (other, hs.load_run(tmp_path / "run summaries")):
        assert run.predict(TEXTS, cache=cache_root).labels == plain.predict(TEXTS, cache=cache_root).labels
    said = json.loads((tmp_path / "run summaries/model/generation_config.json").read_text())
    assert not {"min_length", "no_repeat_ngram_size"} & said.keys()
    assert said["num_beams"] == 1
