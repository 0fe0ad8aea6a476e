"""`headstart run`: the pipelines that come along, killed and resumed, and what a user sees of mistakes."""

from __future__ import annotations

import json
import runpy
import shutil
import time
from collections.abc import Callable
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors import SafetensorError, safe_open

from headstart.pipelines.shipped import data_script, make_data, shipped_pipelines

from ..processes import start
from .conftest import TEXTS, Result, drawing, in_process, some_texts, write_texts
from .test_start_up import HEAVY, imported_by

Runner = Callable[..., Result]
SHIPPED = sorted(shipped_pipelines())
ISSUED = [
    "bert_feature_based", "comparison_study", "custom_dataset", "distillation", "domain_adaptation",
    "hyperparameter_tuning", "image_classification", "multi_task", "named_entities", "question_answering",
    "resnet_feature_based", "sentiment_analysis", "text_classification", "text_generation",
]  # fmt: skip
REAL = " on the bundled network"
LONG = (
    "bert_feature_based",
    "comparison_study",
    "domain_adaptation",
    "named_entities",
    "sentiment_analysis",
    "text_classification",
)
LABEL = "data.label_column=library"
FEW = {
    "text_classification": ["data=few.csv", LABEL, "extract.max_length=16", "fine-tune.epochs=1"],
    "image_classification": ["data=few", "extract.image_size=64"],
    "question_answering": ["data=asked.csv", "extract.max_length=64", "fine-tune.epochs=1"],
    "sentiment_analysis": ["data=few.csv", LABEL, "extract.max_length=16", "fine-tune.epochs=1"],
    "custom_dataset": ["data.path=few.csv", "data.make=~", "extract.max_length=16"],
    "bert_feature_based": ["data=few.csv", LABEL, "extract.max_length=16", "extract.backbone=bundled:all-minilm-l6-v2"],
    "resnet_feature_based": ["data=few", "extract.image_size=64", "extract.backbone=bundled:efficientnet-lite0"],
    "comparison_study": [
        "data=fewer.csv", LABEL, "extract.max_length=16", "fine-tune.epochs=1", "fine-tune.batch_size=64",
    ],
    "multi_task": ["data=few.jsonl", "extract.max_length=16", "data.label_column=[library,kind,sections,log10_lines]",
                   "fit-head.label=library,kind,sections"],
    "hyperparameter_tuning": ["data=few.csv", LABEL, "extract.max_length=16", "steps.rates.params.epochs=3"],
    "domain_adaptation": [
        "steps.source.data=few.csv", "steps.target.data=others.csv", "extract.label_column=library",
        "extract.max_length=16", "fine-tune.epochs=1",
    ],
    "distillation": [
        "data=few.csv", LABEL, "extract.max_length=16", "extract.backbone=[hf:tiny,bundled:all-minilm-l6-v2]",
        "steps.teacher.backbone=bundled:all-minilm-l6-v2", "fine-tune.epochs=1",
        *(f"steps.{step}.backbone=hf:tiny" for step in ("alone", "taught", "tuned_alone", "tuned_taught")),
    ],
    "named_entities": [
        "data=few.conll", "extract.max_length=32", "steps.bilstm.params.epochs=1", "steps.bilstm.params.width=16",
        "fine-tune.epochs=1",
    ],
    "text_generation": ["steps.numbers.extract.data.rows=60", "steps.dates.extract.data.rows=60", "fine-tune.epochs=1"],
}  # fmt: skip


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 digits, as `rows` makes them."""
    return make_data("digits", 60, tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Docstrings and comments of eight libraries, ten of each, five docstrings of each, and questions on them."""
    folder = tmp_path_factory.mktemp("made")
    script = runpy.run_path(str(data_script("make_docstrings.py")))
    for name in ("docstrings", "comments"):
        script[f"make_{name}"](folder / f"{name}.csv", n_files=30)
        shutil.copy(make_data(name, 80, folder), folder / f"{name}.few.csv")
    shutil.copy(make_data("docstrings", 40, folder), folder / "fewer.csv")
    script["make_functions"](folder / "functions.jsonl", n_files=30)
    shutil.copy(make_data("functions", 80, folder), folder / "few.jsonl")
    tagged = runpy.run_path(str(data_script("make_code_words.py")))["make_code_words"]
    tagged(folder / "code_words.conll", n_files=30)
    shutil.copy(make_data("code_words", 60, folder), folder / "few.conll")
    asked = runpy.run_path(str(data_script("make_questions.py")))["make_questions"]
    asked(folder / "questions.csv", n_files=30)
    shutil.copy(make_data("questions", 40, folder), folder / "asked.csv")
    return folder


@pytest.fixture(scope="session")
def four_layers(tmp_path_factory: pytest.TempPathFactory, made_bert: Path) -> Path:
    """The tiny BERT with two layers more."""
    import torch
    from transformers import BertConfig, BertModel

    folder = shutil.copytree(made_bert, tmp_path_factory.mktemp("four layers") / "bert")
    torch.manual_seed(0)
    BertModel(BertConfig.from_pretrained(made_bert, num_hidden_layers=4)).save_pretrained(folder)
    return folder


def few_data(folder: Path, texts: Path, digits: Path) -> None:
    shutil.copy(texts / "docstrings.few.csv", folder / "few.csv")
    shutil.copy(texts / "comments.few.csv", folder / "others.csv")
    shutil.copy(texts / "fewer.csv", folder / "fewer.csv")
    shutil.copy(texts / "few.jsonl", folder / "few.jsonl")
    shutil.copy(texts / "asked.csv", folder / "asked.csv")
    shutil.copy(texts / "few.conll", folder / "few.conll")
    shutil.copytree(digits, folder / "few")


def undrawn(name: str) -> list[str]:
    """No plots, for each command that the pipeline has a step of."""
    written = shipped_pipelines()[name].read_text("utf-8")
    return [f"{command}.plots=none" for command in drawing() if f"{command}:" in written]


def sets(changes: list[str]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def test_all_that_were_asked_for_come_along() -> None:
    assert SHIPPED == ISSUED == sorted(FEW)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_header_says_the_command_what_it_needs_and_what_to_expect(name: str) -> None:
    text = shipped_pipelines()[name].read_text("utf-8")
    head = text.partition("\nname:")[0]
    assert head.startswith(f"# headstart run {name}")
    assert "# Needs: " in head
    assert "# Expect: " in head
    assert all(line.startswith("#") for line in head.splitlines())


@pytest.mark.parametrize("name", SHIPPED)
def test_each_is_valid_and_a_dry_run_does_nothing(headstart: Runner, name: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for said in (name, f"pipelines/{name}.yaml"):
        done = headstart("run", said, "--dry-run", "--json", "--set", "data=mine.csv")
        assert done.code == 0, done.err
        assert {step["state"] for step in done.json["steps"]} == {"to do"}
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def shipped(
    tmp_path_factory: pytest.TempPathFactory, texts: Path, digits: Path, four_layers: Path
) -> Callable[[str], Path]:
    """The folder in which a pipeline that comes along has run; each runs once.

    A tiny network stands in where real ones train for long, unless the name ends with `REAL`.
    """

    @cache
    def run(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        few_data(folder, texts, digits)
        shutil.copytree(four_layers, folder / "tiny")
        with chdir(folder), pytest.MonkeyPatch.context() as patch:
            patch.setenv("HEADSTART_CACHE", str(folder / "cache"))
            patch.setenv("XDG_CACHE_HOME", str(folder / "machine"))  # its memos are what a second run needs
            done = in_process(*words_of(name))
        assert done.code == 0, done.err
        assert {step["state"] for step in done.json["steps"]} == {"done"}
        last = next(step for step in done.json["steps"] if step["verb"] == "compare")["result"]
        for found in last.get("labels", {"": last}).values():
            most = 100 if found["figure"] == "chrf" else 1
            assert all(0 <= value <= most for value in found["figures"].values())
        assert last["advice"]
        return folder

    return run


def words_of(said: str) -> tuple[str, ...]:
    name = said.removesuffix(REAL)
    tiny = ["extract.backbone=hf:tiny"] if said in LONG else []
    changes = [*FEW[name], *undrawn(name), *tiny]
    return ("run", name, *sets(changes), "--offline", "--json", "--quiet", "--out", "out")


@pytest.fixture
def there(
    shipped: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """The name of a pipeline that has run in the current folder."""
    folder = shipped(request.param)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADSTART_CACHE", str(folder / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "machine"))
    return str(request.param)


@pytest.mark.parametrize(
    "there",
    [*SHIPPED, *(pytest.param(name + REAL, marks=pytest.mark.slow) for name in LONG)],
    indirect=True,
)
def test_each_runs_and_a_second_time_computes_nothing(headstart: Runner, there: str) -> None:
    again = headstart(*words_of(there))
    assert again.code == 0, again.err
    assert {step["state"] for step in again.json["steps"]} == {"there"}
    assert again.json["steps"][0]["result"]["computed"] == 0


@pytest.mark.parametrize("there", ["comparison_study"], indirect=True)
def test_the_comparison_study_compares_six_ways(headstart: Runner, there: str) -> None:
    done = headstart(*words_of(there))
    (compared,) = (step["result"] for step in done.json["steps"] if step["verb"] == "compare")
    assert list(compared["figures"]) == ["head", "last_two", "gradual", "lora", "head_then_full", "full"]


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("there", ["custom_dataset"], indirect=True)
def test_custom_dataset_leaves_predictions_and_a_model_that_transformers_loads() -> None:
    table = pq.read_table("out/predictions/predictions.parquet")
    assert table.num_rows == 80
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained("out/model", trust_remote_code=True)
    assert set(model.config.id2label.values()) >= set(table.column("prediction").to_pylist())


@pytest.mark.parametrize("there", ["image_classification"], indirect=True)
def test_a_second_run_imports_nothing_heavy(there: str) -> None:
    _, (modules, _) = imported_by(words_of(there))
    assert modules & HEAVY == set()


TUNING = """\
name: tuning
data: texts.csv
steps:
  features: {{extract: {{backbone: "hf:{folder}", max_length: 16}}}}
  ridge: {{fit-head: {{head: ridge{plots}}}}}
  full: {{fine-tune: {{init_head: ridge, epochs: 15, patience: 15, batch_size: 8, lr: 1e-3{plots}}}}}
  compared: {{compare: {{}}}}
"""


@pytest.fixture
def tuning(tiny_bert: Path, table: Path) -> Path:
    plots = ", plots: none" if drawing() else ""
    Path("tuning.yaml").write_text(TUNING.format(folder=tiny_bert, plots=plots))
    return Path("tuning.yaml")


def epochs_done(out: Path) -> int:
    try:
        with safe_open(out / ".full.training" / "phase-1.safetensors", framework="numpy") as file:
            state = json.loads(next(iter(file.metadata().values())))
        return len(state["outcomes"][0][0])
    except (OSError, ValueError, SafetensorError):
        return 0


def figures(out: str) -> Any:
    return json.loads((Path(out) / "full" / "report.json").read_text())


def test_killed_in_the_middle_of_a_training_it_goes_on_and_ends_with_the_same_result(
    headstart: Runner, tuning: Path
) -> None:
    assert headstart("run", tuning, "--out", "whole").code == 0
    process = start("run", tuning, "--out", "killed")
    deadline = time.monotonic() + 120
    while epochs_done(Path("killed")) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    _, err = process.communicate()
    assert not (Path("killed") / "full").exists(), err
    n_done = epochs_done(Path("killed"))
    foreseen = headstart("run", tuning, "--out", "killed", "--dry-run", "--json").json
    assert [step["state"] for step in foreseen["steps"]] == ["there", "there", "to resume", "to do"]
    again = headstart("run", tuning, "--out", "killed", "--json")
    assert again.code == 0, again.err
    assert [step["state"] for step in again.json["steps"]] == ["there", "there", "done", "done"]
    assert "full (fine-tune): goes on where it stopped" in again.err
    whole, resumed = figures("whole"), figures("killed")
    assert resumed["epochs"]["run"] == whole["epochs"]["run"] > n_done >= 3
    assert resumed["metrics"] == whole["metrics"]
    predictions = [pq.read_table(f"{out}/full/predictions.parquet") for out in ("whole", "killed")]
    assert predictions[0].equals(predictions[1])
    assert not (Path("killed") / ".full.training").exists()


@pytest.mark.slow
def test_a_training_that_was_interrupted_under_other_settings_begins_anew(
    headstart: Runner, tuning: Path
) -> None:
    process = start("run", tuning, "--out", "out")
    deadline = time.monotonic() + 120
    while epochs_done(Path("out")) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    changed = ("run", tuning, "--out", "out", "--set", "fine-tune.epochs=2", "--set", "fine-tune.lr=1e-4")
    done = headstart(*changed)
    assert done.code == 0, done.err
    assert headstart("run", tuning, "--out", "new", *changed[4:]).code == 0
    assert figures("out")["metrics"] == figures("new")["metrics"]


def test_a_failing_step_says_which_and_how_to_go_on(headstart: Runner, table: Path) -> None:
    Path("wrong.yaml").write_text(
        "data: texts.csv\nsteps:\n  features: {extract: {backbone: 'py:tiny_backbones:texts'}}\n"
        "  ridge: {fit-head: {head: ridge, label: nothing}}\n"
    )
    done = headstart("run", "wrong.yaml", "--trust", "tiny_backbones")
    assert (done.code, done.out) == (2, "")
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: step 'ridge' (fit-head): ")
    assert "What was done is kept; go on with: headstart" in line
    assert headstart("run", "wrong.yaml", "--set", "steps.ridge.label=label").code == 0


def test_what_does_not_match_keeps_its_exit_code(headstart: Runner, table: Path) -> None:
    write_texts(Path("others.csv"), [(text, f"other {name}") for text, name in some_texts(60)])
    extract = "{extract: {backbone: 'py:tiny_backbones:texts', data: %s}}"
    Path("two.yaml").write_text(
        f"steps:\n  a: {extract % 'texts.csv'}\n  b: {extract % 'others.csv'}\n"
        "  on_a: {fit-head: {set: a, head: ridge}}\n  on_b: {fit-head: {set: b, head: ridge}}\n  both: {compare: {}}\n"
    )
    done = headstart("run", "two.yaml", "--trust", "tiny_backbones", "--set", "fit-head.plots=none")
    assert done.code == 4
    assert "error: step 'both' (compare): " in done.err
    elsewhere = headstart("run", "two.yaml", "--set", "compare.set=b", "--set", "fit-head.plots=none")
    assert elsewhere.code == 4
    assert "run on_a cannot be judged on these samples" in elsewhere.err


def test_data_whose_labels_nobody_recognises_are_refused_with_the_way_out(headstart: Runner) -> None:
    write_texts(Path("odd.csv"), some_texts(60), ("text", "verdict"))
    done = headstart("run", "sentiment_analysis", "--set", "data=odd.csv", "--set", f"extract.backbone={TEXTS}",
                     "--set", "extract.max_length=~")  # fmt: skip
    assert done.code == 2
    assert (
        "none of its columns was recognised as a label; say which: --set data.label_column=NAME" in done.err
    )


def test_without_data_it_says_what_to_type(headstart: Runner) -> None:
    done = headstart("run", "sentiment_analysis")
    assert done.code == 2
    assert "needs data: a folder or a file, as --set data=PATH" in done.err
    assert not Path("runs").exists()


def test_an_unknown_pipeline_is_named_with_the_nearest(headstart: Runner) -> None:
    done = headstart("run", "text_clasification")
    assert done.code == 2
    assert (
        done.err.strip()
        == "error: there is no pipeline text_clasification; did you mean text_classification?"
    )
    assert "those that come with headstart: bert_feature_based, " in headstart("run", "x.yaml").err


def test_without_a_name_it_lists_those_that_come_along(headstart: Runner) -> None:
    done = headstart("run")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == SHIPPED
    assert sorted(headstart("run", "--json").json) == SHIPPED


def test_the_wheel_holds_them_under_their_names() -> None:
    import tomllib

    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["pipelines"] == "headstart/shipped/pipelines"
