"""A pipeline's file is read strictly, and its steps run once for the same settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import ConfigError, DataError, StorageError
from headstart.pipelines.run import PipelineOutcome, foresee, run_pipeline
from headstart.pipelines.schema import Pipeline, load_pipeline
from headstart.pipelines.state import alone_in
from headstart.progress import Silence
from headstart.trust import trust

TEXT = """\
name: small
data: texts.csv
steps:
  features:
    extract: {backbone: "py:tiny_backbones:texts"}
  ridge:
    fit-head: {head: ridge}
  centroid:
    fit-head:
      head: centroid
  comparison:
    compare: {runs: [ridge, centroid]}
"""


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "end_to_end"))
    trust("tiny_backbones")
    write_rows(80)
    return tmp_path


def write_rows(n: int) -> None:
    lines = [f"{'abc' if row % 2 else 'xyw'} number {row},class {row % 2}\n" for row in range(n)]
    Path("texts.csv").write_text("text,label\n" + "".join(lines))


def load(text: str = TEXT, *changes: str) -> Pipeline:
    Path("small.yaml").write_text(text)
    return load_pipeline(Path("small.yaml"), changes)


NO_PLOTS = {"fit-head.plots": "none", "compare.plots": "none"}


def run(text: str = TEXT, *changes: str, **options: Any) -> PipelineOutcome:
    drawing = [option for option in NO_PLOTS if f" {option.partition('.')[0]}:" in text]
    plain = [f"{option}={NO_PLOTS[option]}" for option in drawing]
    return run_pipeline(load(text, *plain, *changes), Path("out"), Silence(), **options)


def states(outcome: PipelineOutcome) -> dict[str, str]:
    return {step.name: step.state for step in outcome.steps}


def report(step: str) -> Any:
    return json.loads((Path("out") / step / "report.json").read_text())


def error_of(text: str, *changes: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, *changes)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_all_steps_run_and_leave_what_their_commands_leave() -> None:
    outcome = run()
    assert states(outcome) == dict.fromkeys(("features", "ridge", "centroid", "comparison"), "done")
    assert hs.load_run("out/ridge").predict(["abc number 1"]).num_rows == 1
    found = json.loads(Path("out/comparison/comparison.json").read_text())
    assert [one["run"] for one in found["runs"]] == ["ridge", "centroid"]
    alone = hs.fit_head("small-features", head="ridge")
    assert report("ridge")["metrics"] == alone.report["metrics"]


def test_python_runs_it_as_the_command_does() -> None:
    Path("small.yaml").write_text(TEXT)
    changes = {"steps.ridge.seed": 3, "fit-head.calibrate": False, **NO_PLOTS}
    outcome = hs.run_pipeline("small.yaml", set=changes, out="elsewhere", quiet=True)
    assert outcome["ridge"].state == "done"
    config = Path("elsewhere/ridge/config.yaml").read_text()
    assert "seed: 3" in config
    assert "calibrate: false" in config
    assert set(
        states(hs.run_pipeline(Path("small.yaml"), set=changes, out="elsewhere", quiet=True)).values()
    ) == {"there"}
    with pytest.raises(KeyError, match="there is no step 'rigde'; the steps are features, ridge"):
        outcome["rigde"]
    Path("texts.csv").rename("😀.csv")
    renamed = {"data": "😀.csv", **NO_PLOTS}
    assert hs.run_pipeline("small.yaml", set=renamed, out="smile", quiet=True)["ridge"].state == "done"
    with pytest.raises(ConfigError, match="there is no step 'full'"):
        hs.run_pipeline("small.yaml", set={"steps.full.epochs": 3}, quiet=True)


def test_a_second_run_computes_nothing() -> None:
    first = run()
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.parent.name in
              ("ridge", "centroid", "comparison")}  # fmt: skip
    second = run()
    assert set(states(second).values()) == {"there"}
    assert second.steps[0].result["computed"] == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert [step.result for step in second.steps[1:]] == [step.result for step in first.steps[1:]]


def test_a_changed_step_and_what_hangs_on_it_run_anew() -> None:
    run()
    again = run(TEXT, "steps.ridge.params.alpha=3")
    assert states(again) == {"features": "there", "ridge": "done", "centroid": "there", "comparison": "done"}
    assert report("ridge")["head"]["params"]["alpha"] == 3


def test_changed_data_are_noticed_and_only_new_samples_computed() -> None:
    run()
    write_rows(100)
    again = run()
    assert again.steps[0].result["computed"] == 20
    assert set(states(again).values()) == {"done"}


def test_other_data_under_the_name_of_a_set_asks_for_replace() -> None:
    run()
    text = Path("texts.csv").read_text().replace("number", "no.")
    Path("texts.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"step 'features'.*would become another one.*pass --replace"):
        run()
    again = run(replace=True)
    assert again["features"].result["samples"] == again["features"].result["computed"] == 80
    assert set(states(run()).values()) == {"there"}  # the option changes no key


def test_what_is_gone_or_was_changed_by_others_is_made_again() -> None:
    run()
    (Path("out") / "ridge" / "labels.json").unlink()
    hs.fit_head("small-features", head="knn", out="out/centroid", overwrite=True)
    assert states(run()) == {"features": "there", "ridge": "done", "centroid": "done", "comparison": "done"}
    assert report("centroid")["head"]["name"] == "centroid"


def test_how_and_where_it_computes_changes_nothing() -> None:
    run()
    assert set(states(run(TEXT, "extract.device=cpu", "extract.workers=1")).values()) == {"there"}


def test_another_cache_has_no_such_set_and_gets_one() -> None:
    run()
    elsewhere = run(cache="other")
    assert states(elsewhere)["features"] == "done"
    assert elsewhere.steps[0].result["computed"] == 80


def test_a_dry_run_says_what_would_run_and_does_nothing() -> None:
    foreseen = foresee(load(), Path("out"), Silence())
    assert set(states(foreseen).values()) == {"to do"}
    assert not Path("out").exists()
    run()
    assert set(states(foresee(load(), Path("out"), Silence())).values()) == {"there"}
    foreseen = foresee(load(TEXT, "steps.centroid.seed=1"), Path("out"), Silence())
    assert states(foreseen) == {
        "features": "there",
        "ridge": "there",
        "centroid": "to do",
        "comparison": "to do",
    }
    assert foreseen.steps[3].reason == "after centroid"


def test_a_failing_step_is_named_and_those_before_it_are_kept() -> None:
    broken = TEXT.replace("head: centroid", "head: linear\n      params: {nonsense: 1}")
    with pytest.raises(ConfigError, match=r"^step 'centroid' \(fit-head\): .*nonsense"):
        run(broken)
    assert report("ridge")
    again = run()
    assert states(again) == {"features": "there", "ridge": "there", "centroid": "done", "comparison": "done"}


def test_missing_data_fail_in_the_step_that_reads_them() -> None:
    with pytest.raises(DataError, match=r"^step 'features' \(extract\): .*nowhere"):
        run(TEXT, "data=nowhere.csv")


def test_a_folder_of_something_else_is_left_alone() -> None:
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else than the results of a pipeline"):
        run()
    assert [path.name for path in Path("out").iterdir()] == ["notes.txt"]


def test_a_folder_of_another_pipeline_is_refused() -> None:
    run()
    with pytest.raises(ConfigError, match="holds the results of the pipeline 'small'; choose another --out"):
        run(TEXT, "name=other")


def test_a_step_is_not_called_like_the_folder_of_made_data() -> None:
    assert "step 'data': its folder is that of data that is made" in error_of(
        TEXT.replace("  ridge:", "  data:")
    )


def test_a_broken_state_is_named() -> None:
    run()
    Path("out/pipeline.json").write_text('{"steps": 3}')
    with pytest.raises(StorageError, match=r"out/pipeline\.json is not what a pipeline writes"):
        run()


def test_two_commands_do_not_work_in_one_folder() -> None:
    run()
    with alone_in(Path("out")), pytest.raises(ConfigError, match="another headstart run is at work in out"):
        run()
    assert set(states(run()).values()) == {"there"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("backbone:", "bakcbone:", "small.yaml, line 5: step 'features': there is no option 'bakcbone'; did you mean "
         "backbone?"),
        ("fit-head: {head: ridge}", "fit-heads: {head: ridge}", "small.yaml, line 7: step 'ridge': there is no command "
         "'fit-heads'; did you mean fit-head?"),
        ("[ridge, centroid]", "[rigde, centroid]", "small.yaml, line 12: step 'comparison': runs names a step that "
         "leaves a run before it, and 'rigde' is none; did you mean ridge?"),
        ("head: centroid", "head: centroid\n      seed: many", "small.yaml, line 11: step 'centroid': seed: Input "
         "should be a valid integer"),
        ("head: centroid", "head: centroid\n      head: ridge", "small.yaml, line 11: 'head' is given twice; keep one"),
        ("head: centroid", "head: centroid\n      cache: here", "small.yaml, line 11: step 'centroid': there is no "
         "option 'cache'"),
        ("data: texts.csv\n", "", "small.yaml, line 3: step 'features' needs data: a folder or a file, as "
         "--set data=PATH"),
        ("data: texts.csv", "data: {make: digit}", "small.yaml, line 2: nothing is called 'digit' that could be made; "
         "there are digits, docstrings, comments, functions, numbers, dates, questions, code_words; did you mean "
          "digits?"),
        ("data: texts.csv", "date: texts.csv", "small.yaml, line 2: there is no option 'date'; did you mean data?"),
        ("  ridge:\n", "  ridge: &a [\n", "small.yaml, line "),
        ("steps:", "stepps:", "small.yaml, line 3: there is no option 'stepps'; did you mean steps?"),
        ("[ridge, centroid]", "[ridge]", "small.yaml, line 12: step 'comparison': compare takes two runs or more"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_line_and_what_is_near(old: str, new: str, says: str) -> None:
    assert old in TEXT
    assert error_of(TEXT.replace(old, new)).startswith(says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["steps.rigde.seed=1"], "--set steps.rigde.seed=1: there is no step 'rigde', did you mean ridge?"),
        (["ridge.seed=1"], "--set ridge.seed=1: there is no 'ridge', did you mean steps.ridge?"),
        (["fine-tune.epochs=1"], "--set fine-tune.epochs=1: there is no fine-tune step"),
        (["steps.ridge"], "--set takes PATH=VALUE"),
        (["steps.ridge=3"], "--set steps.ridge=3: names no option"),
        (["steps.ridge.sed=3"], "--set steps.ridge.sed=3: step 'ridge': there is no option 'sed'; did you mean seed?"),
        (["steps.ridge.seed=-3"], "--set steps.ridge.seed=-3: step 'ridge': seed: Input should be greater"),
        (["steps.ridge.params=[1"], "--set steps.ridge.params=[1: '[1' is no YAML"),
        (["steps.ridge.head.x=1"], "--set steps.ridge.head.x=1: head is 'ridge' and has no 'x' in it"),
    ],
)  # fmt: skip
def test_mistakes_in_set_are_named_as_such(changes: Sequence[str], says: str) -> None:
    assert error_of(TEXT, *changes).startswith(says)


def test_set_reaches_steps_commands_and_data() -> None:
    changes = ("fit-head.seed=7", "steps.ridge.fit-head.params.alpha=1e-2", "data.label_column=label",
               "extract.taps=last.mean,-2.cls", "steps.ridge.tap=~")  # fmt: skip
    found = load(TEXT, *changes)
    assert [found.step(name).options["seed"] for name in ("ridge", "centroid")] == [7, 7]
    assert "tap" not in found.step("ridge").options
    assert found.step("features").options["taps"] == ["last.mean", "-2.cls"]
    assert found.step("features").options["label_column"] == ["label"]
    data = found.step("features").data
    assert data is not None
    assert data.path == "texts.csv"


def test_names_of_options_may_have_dashes_as_on_the_command_line() -> None:
    text = TEXT.replace('"py:tiny_backbones:texts"', '"py:tiny_backbones:texts", split-seed: 3')
    assert load(text).step("features").options["split_seed"] == 3
    both = text.replace("split-seed: 3", "split-seed: 3, split_seed: 4")
    assert "'split_seed' is given twice" in error_of(both)


def test_a_later_set_wins_and_data_may_be_replaced_as_a_whole() -> None:
    found = load(TEXT.replace("data: texts.csv", "data: {make: digits}"), "data=a.csv", "data=b.csv")
    data = found.step("features").data
    assert data is not None
    assert (data.path, data.make) == ("b.csv", None)


def test_runs_are_judged_on_another_set() -> None:
    rows = [f"{'abc' if row % 2 else 'xyw'} {row} told otherwise,class {row % 2}\n" for row in range(60)]
    Path("others.csv").write_text("text,label\n" + "".join(rows))
    second = '  others:\n    extract: {backbone: "py:tiny_backbones:texts", data: others.csv}\n'
    text = TEXT.replace("  ridge:\n", second + "  ridge:\n").replace("runs: [ridge, centroid]", "set: others")
    text = text.replace("{head: ridge}", "{head: ridge, set: features}")
    text = text.replace("head: centroid", "head: centroid\n      set: features")
    run(text)
    found = json.loads(Path("out/comparison/comparison.json").read_text())
    others = hs.open_set("small-others")
    X, y = others.arrays("test")
    assert found["n"] == len(y)
    for one in found["runs"]:
        said = hs.load_run(f"out/{one['run']}").head.predict(X)
        truth = np.array([others.label_names["label"][code] for code in y])
        assert one["metrics"]["accuracy"] == pytest.approx(float(np.mean(said == truth)))
        kept = json.loads(Path(f"out/{one['run']}/evaluations/small-others/evaluation.json").read_text())
        assert kept["metrics"]["accuracy"] == pytest.approx(one["metrics"]["accuracy"])
        assert kept["metrics"]["n"] == len(y)
    on = hs.compare(["out/ridge", "out/centroid"], on="small-others")
    assert [run.figures for run in on.runs] == [one["metrics"] for one in found["runs"]]
    assert set(states(run(text)).values()) == {"there"}


def test_an_interrupted_step_is_run_again() -> None:
    """As after a kill: it had begun, and nothing says that it ended."""
    run()
    state = json.loads(Path("out/pipeline.json").read_text())
    state["steps"]["ridge"] |= {"state": "begun", "files": {}, "mark": ""}
    Path("out/pipeline.json").write_text(json.dumps(state))
    again = run()
    assert states(again) == {"features": "there", "ridge": "done", "centroid": "there", "comparison": "done"}
    assert again.steps[1].reason == "it was interrupted"


TAUGHT = TEXT.replace("head: centroid", "head: linear\n      params: {epochs: 3}\n      teacher: ridge")


def test_a_step_may_teach_a_later_one() -> None:
    run(TAUGHT)
    said = report("centroid")["distillation"]
    assert said["teacher"] == str(Path("out/ridge").resolve())
    assert said["n_overlap"] == report("centroid")["data"]["n_train"]
    assert set(states(run(TAUGHT)).values()) == {"there"}
    plots = run(TAUGHT, "steps.ridge.seeds=2")  # whose head is the same
    assert states(plots)["centroid"] == "there"
    other = run(TAUGHT, "steps.ridge.params.alpha=300")
    assert states(other) == {"features": "there", "ridge": "done", "centroid": "done", "comparison": "done"}
    assert report("centroid")["distillation"]["digest"] != said["digest"]


def test_a_teacher_is_an_earlier_step() -> None:
    assert (
        "teacher names a step that leaves a run before it, and 'rigde' is none; did you mean ridge?"
        in error_of(TAUGHT.replace("teacher: ridge", "teacher: rigde"))
    )


def test_made_texts_of_which_few_keep_their_label(monkeypatch: pytest.MonkeyPatch) -> None:
    import csv

    from headstart.pipelines import shipped

    def make(target: Path) -> None:
        rows = [f"text {row},{'ab'[row % 2]}\n" for row in range(200)]
        target.write_text("text,library\n" + "".join(rows))

    monkeypatch.setattr(shipped, "_script", lambda name: {"make_docstrings": make})
    path = shipped.make_data("docstrings", 100, Path("data"), 3)
    assert path == shipped.made_path("docstrings", 100, Path("data"), 3)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    counts = {
        split: [
            sum(row["split"] == split and row["library"] == name for row in rows) for name in ("a", "b", "")
        ]
        for split in ("train", "validation", "test")
    }
    assert counts == {"train": [3, 3, 64], "validation": [5, 5, 0], "test": [10, 10, 0]}
    for data in ("{path: texts.csv, labelled: 3}", "{make: digits, labelled: 3}"):
        assert "labelled is for texts that are made" in error_of(
            TEXT.replace("data: texts.csv", f"data: {data}")
        )
