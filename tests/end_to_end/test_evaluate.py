"""``headstart evaluate``: what a run does on labelled data that it has not seen, and ``compare --on``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import headstart as hs

from .conftest import CLASSES, IMAGES, TEXTS, Result, some_texts, write_image, write_texts

Runner = Callable[..., Result]


def unseen(n: int) -> list[tuple[str, str]]:
    """Texts that the run was not fitted on."""
    return [(f"{text} again", label) for text, label in some_texts(n)]


def test_all_figures_with_intervals_go_beside_the_run(headstart: Runner, run: Path) -> None:
    report = (run / "report.json").read_bytes()
    texts = unseen(30)
    texts[3], texts[5] = ("", "class 1"), ("no label here", "")
    write_texts(Path("fresh.csv"), texts)
    done = headstart("evaluate", run, "fresh.csv", "--json")
    assert done.code == 0, done.err
    found = json.loads((run / "evaluations" / "fresh" / "evaluation.json").read_text())
    assert done.json == {"evaluation": str(run / "evaluations" / "fresh"), **found}
    assert (run / "report.json").read_bytes() == report
    own = json.loads(report)["metrics"]["test"]
    assert set(found["metrics"]) == set(own)
    assert found["metrics"]["n"] == 28
    low, high = found["metrics"]["intervals"]["accuracy"]
    assert low < high
    data = found["data"]
    assert (data["n"], data["n_unlabelled"], data["n_skipped"], data["n_seen"]) == (28, 1, 1, 0)
    table = pq.read_table(run / "evaluations" / "fresh" / "predictions.parquet")
    rows = table.to_pylist()
    assert len(rows) == 28
    share = sum(row["label"] == row["prediction"] for row in rows) / 28
    assert share == pytest.approx(found["metrics"]["accuracy"])
    with_labels = hs.predict(run, "fresh.csv", label_column="label").to_pylist()
    expected = {row["id"]: row["prediction"] for row in with_labels}
    assert all(expected[row["id"]] == row["prediction"] for row in rows)


def test_an_evaluation_is_not_replaced_by_itself(headstart: Runner, run: Path) -> None:
    write_texts(Path("fresh.csv"), unseen(20))
    assert headstart("evaluate", run, "fresh.csv").code == 0
    write_texts(Path("fresh.csv"), unseen(10))
    again = headstart("evaluate", run, "fresh.csv")
    assert (again.code, "is not empty" in again.err) == (2, True)
    assert headstart("evaluate", run, "fresh.csv", "--name", "../../outside").code == 2
    assert headstart("evaluate", run, "fresh.csv", "--overwrite").code == 0
    found = json.loads((run / "evaluations" / "fresh" / "evaluation.json").read_text())
    assert found["metrics"]["n"] == 10
    assert headstart("evaluate", run, "fresh.csv", "--out", "elsewhere").code == 0
    assert json.loads(Path("elsewhere/evaluation.json").read_text())["metrics"] == found["metrics"]
    listed = headstart("runs", "ls", ".", "--json").json
    assert [Path(one["run"]).name for one in listed["runs"]] == ["run"]


def test_what_the_run_has_seen_and_what_it_cannot_know_is_said(headstart: Runner, run: Path) -> None:
    seen = headstart("evaluate", run, "train.csv", "--name", "seen")
    assert "were in train or validation of this run" in seen.err
    write_texts(Path("odd.csv"), [*unseen(12), ("something else", "class 7")])
    odd = headstart("evaluate", run, "odd.csv", "--json")
    assert "'class 7'" in odd.err
    assert odd.json["data"]["unknown_to_run"] == ["class 7"]
    assert odd.json["data"]["n_unknown_to_run"] == 1
    assert odd.json["metrics"]["n"] == 13
    write_texts(Path("other.csv"), [(text, label.replace("class", "clas")) for text, label in unseen(12)])
    other = headstart("evaluate", run, "other.csv")
    assert (other.code, "did you mean 'class 0'" in other.err) == (4, True)
    assert not (run / "evaluations" / "other").exists()
    write_texts(Path("bare.csv"), unseen(4), ("text", "words"))
    bare = headstart("evaluate", run, "bare.csv")
    assert (bare.code, "--label-column" in bare.err) == (1, True)


def test_nothing_is_written_through_a_link(headstart: Runner, run: Path) -> None:
    Path("outside").mkdir()
    (run / "evaluations").symlink_to(Path("outside").resolve())
    write_texts(Path("fresh.csv"), unseen(6))
    done = headstart("evaluate", run, "fresh.csv")
    assert (done.code, "is a link" in done.err) == (1, True)
    assert list(Path("outside").iterdir()) == []


def test_compare_on_other_data(headstart: Runner, run: Path) -> None:
    assert headstart("fit-head", "t", "--head", "centroid", "--out", "second").code == 0
    write_texts(Path("fresh.csv"), unseen(24))
    for each in (run, "second"):
        assert headstart("evaluate", each, "fresh.csv").code == 0
    done = headstart("compare", run, "second", "--on", "fresh", "--json")
    assert done.code == 0, done.err
    assert done.json["n"] == 24
    assert "the evaluation 'fresh'" in done.json["notes"][0]
    metrics = {one["run"]: one["metrics"]["accuracy"] for one in done.json["runs"]}
    for name, folder in (("run", run), ("second", Path("second"))):
        found = json.loads((folder / "evaluations" / "fresh" / "evaluation.json").read_text())
        assert metrics[name] == pytest.approx(found["metrics"]["accuracy"])
    for each in (run, "second"):
        assert headstart("evaluate", each, "fresh.csv", "--out", f"{Path(each).name}-fresh").code == 0
    beside = headstart("compare", "run-fresh", "second-fresh", "--json")
    assert beside.code == 0, beside.err
    assert [one["metrics"] for one in beside.json["runs"]] == [one["metrics"] for one in done.json["runs"]]
    typo = headstart("compare", run, "second", "--on", "frsh")
    assert (typo.code, "did you mean 'fresh'?" in typo.err) == (1, True)


def test_in_python(headstart: Runner, run: Path) -> None:
    write_texts(Path("fresh.csv"), unseen(16))
    found = hs.load_run(run).evaluate("fresh.csv", plots="none")
    assert found.metrics["n"] == found.predictions.num_rows == 16
    assert found.path == run / "evaluations" / "fresh"
    assert "16 samples" in repr(found)
    assert hs.evaluate(run, "fresh.csv", name="b", plots="none").metrics == found.metrics


def test_numbers_and_several_labels(headstart: Runner, tmp_path: Path) -> None:
    texts = [text for text, _ in some_texts(60)]
    labels = {
        "numbers": [str(n % 5) for n in range(60)],  # which would be classes, had the run not said otherwise
        "several": ["a|b" if n % 2 else ["a", "b", "a|b"][n % 3] for n in range(60)],
    }
    for name, kind in (("numbers", "regression"), ("several", "multi")):
        write_texts(Path(f"{name}.csv"), list(zip(texts, labels[name], strict=True)))
        words = ("--backbone", TEXTS, "--set", name, "--label-kind", kind)
        assert headstart("extract", f"{name}.csv", *words).code == 0
        assert headstart("fit-head", name, "--head", "ridge", "--out", f"run-{name}").code == 0
        fresh = [(f"{text} again", label) for text, label in zip(texts[:20], labels[name], strict=False)]
        write_texts(Path("fresh.csv"), fresh)
        done = headstart("evaluate", f"run-{name}", "fresh.csv", "--json")
        assert done.code == 0, done.err
        own = json.loads((Path(f"run-{name}") / "report.json").read_text())["metrics"]["test"]
        assert set(done.json["metrics"]) - {"no_interval"} == set(own) - {"no_interval"}
        assert done.json["metrics"]["n"] == 20
    write_texts(Path("strange.csv"), [("abc", "a|c"), ("xyw", "b")])
    done = headstart("evaluate", "run-several", "strange.csv", "--json")
    assert (done.code, "1 of 2 samples" in done.err, "'c'" in done.err) == (0, True, True)
    assert (done.json["data"]["unknown_to_run"], done.json["data"]["n_unknown_to_run"]) == (["c"], 1)
    assert done.json["metrics"]["per_class"]["c"]["recall"] == 0
    table = pq.read_table(Path("run-several/evaluations/strange/predictions.parquet"))
    assert table.column("p:c").to_pylist() == [0, 0]
    done = headstart("evaluate", "run-several", "numbers.csv")
    assert done.code == 4


def test_a_folder_is_judged_on_its_test_samples(headstart: Runner, photos: Path, tmp_path: Path) -> None:
    assert headstart("extract", photos, "--backbone", IMAGES, "--set", "p").code == 0
    assert headstart("fit-head", "p", "--head", "ridge", "--out", "run").code == 0
    for number in range(12):
        for split in ("train", "test"):
            write_image(
                tmp_path / "new" / split / CLASSES[number % 3] / f"{number}.png",
                500 + number + 100 * (split == "test"),
            )
    done = headstart("evaluate", "run", "new", "--json")
    assert done.code == 0, done.err
    assert (done.json["name"], done.json["data"]["split"], done.json["data"]["n"]) == ("new", "test", 12)
    assert (
        headstart("evaluate", "run", "new", "--split", "all", "--name", "all", "--json").json["data"]["n"]
        == 24
    )
    typo = headstart("evaluate", "run", "new", "--split", "tets", "--name", "t")
    assert (typo.code, "did you mean 'test'?" in typo.err) == (2, True)
