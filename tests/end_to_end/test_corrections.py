"""Labels corrected on the command line: before and after, applied again, ended, refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.cache.sets import FeatureSet
from headstart.corrections.texts import label_texts

from ..corrections.files import labels_of, row, write
from .conftest import TEXTS, Result

Runner = Callable[..., Result]
N = 60


def truth(number: int) -> str:
    return f"class {number % 3}"


def write_table(path: str, labels: Mapping[int, str] | None = None, rows: Sequence[int] = range(N)) -> Path:
    """Texts of three classes with ids; some labels may be others."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "kind"])
        for number in rows:
            text = ["abc", "xyw", "ghi"][number % 3] * 3 + f" number {number}"
            writer.writerow([f"row {number}", text, (labels or {}).get(number, truth(number))])
    return Path(path)


WRONG = {number: f"class {(number + 1) % 3}" for number in (0, 7, 11, 20, 33, 41)}


@pytest.fixture
def wrong(headstart: Runner) -> FeatureSet:
    """A set with six wrong labels among sixty."""
    extract(headstart, write_table("texts.csv", WRONG))
    return hs.open_set("t")


def extract(headstart: Runner, data: object, *more: object) -> Result:
    columns = ("--id-column", "id", "--label-column", "kind", "--text-column", "text")
    done = headstart("extract", data, "--backbone", TEXTS, "--set", "t", *columns, *more)
    assert done.code == 0, done.err
    return done


def decided(
    features: FeatureSet, number: int, old: str, new: str = "", action: str = "relabel"
) -> dict[str, str]:
    ids = features.samples.column("id").to_pylist()
    return row(features, ids.index(f"row {number}"), old, new, action)


def mended(features: FeatureSet, numbers: Sequence[int] = tuple(WRONG)) -> list[dict[str, str]]:
    return [decided(features, number, WRONG[number], truth(number)) for number in numbers]


def report_of(run: str) -> Any:
    return json.loads(Path(run, "report.json").read_text("utf-8"))


def test_a_head_before_and_after_in_one_command(headstart: Runner, wrong: FeatureSet) -> None:
    write(Path("a.csv"), [*mended(wrong, [0, 7, 11]), decided(wrong, 3, truth(3), action="drop")])
    write(Path("b.csv"), mended(wrong, [20, 33, 41]))
    done = headstart(
        "fit-head", "t", "--head", "ridge", "--corrections", "a.csv", "--corrections", "b.csv", "--out", "run"
    )
    assert done.code == 0, done.err
    assert "7 applied (6 relabelled, 1 dropped)" in done.err
    report = report_of("run")
    told = report["corrections"]
    assert [file["name"] for file in told["files"]] == ["a.csv", "b.csv"]
    assert told["applied"] == {"relabel": 6, "drop": 1, "keep": 0, "unsure": 0}
    assert (told["digest_before"], told["digest_after"]) == (wrong.digest, hs.open_set("t").digest)
    assert report["provenance"]["digest"] == told["digest_after"]
    splits = dict(zip(*(wrong.samples.column(name).to_pylist() for name in ("id", "split")), strict=True))
    touched = [splits[f"row {number}"] for number in (*WRONG, 3)]
    for split in ("test", "validation"):
        part = told[split]
        n = list(splits.values()).count(split)
        n_dropped = int(splits["row 3"] == split)
        assert part["n_changed"] == touched.count(split)
        assert (part["as_they_were"]["n"], part["as_corrected"]["n"]) == (n, n - n_dropped)
        assert part["are_one"] == (not touched.count(split))
        for of in ("as_they_were", "as_corrected"):
            for name, figure in part[of]["figures"].items():
                assert figure["difference"] == pytest.approx(figure["after"] - figure["before"]), name
        after = part["as_corrected"]["figures"]["accuracy"]["after"]
        assert after == pytest.approx(report["metrics"][split]["accuracy"])
    assert "corrections changed accuracy on test" in done.err


def test_the_figures_before_are_those_of_a_run_on_the_set_as_it_was(
    headstart: Runner, wrong: FeatureSet
) -> None:
    assert headstart("fit-head", "t", "--out", "plain").code == 0
    write(Path("a.csv"), mended(wrong))
    assert headstart("fit-head", "t", "--corrections", "a.csv", "--out", "run").code == 0
    plain, told = report_of("plain")["metrics"], report_of("run")["corrections"]
    for split in ("test", "validation"):
        for name, figure in told[split]["as_they_were"]["figures"].items():
            assert figure["before"] == pytest.approx(plain[split][name]), name


def test_the_same_command_twice_says_the_same(headstart: Runner, wrong: FeatureSet) -> None:
    write(Path("a.csv"), mended(wrong))
    for run in ("one", "two"):
        assert headstart("fit-head", "t", "--corrections", "a.csv", "--out", run).code == 0
    one, two = (report_of(run) for run in ("one", "two"))
    assert one["provenance"]["digest"] == two["provenance"]["digest"]
    assert one["metrics"] == two["metrics"]
    for name in ("test", "validation", "digest_after", "in_all", "files"):
        assert one["corrections"][name] == two["corrections"][name]
    assert two["corrections"]["known"] == 6


def test_what_the_source_changed_meanwhile_is_not_put_down_to_corrections(
    headstart: Runner, wrong: FeatureSet
) -> None:
    new = wrong.correct(write(Path("a.csv"), mended(wrong)))
    extract(headstart, write_table("texts.csv", WRONG | {9: "class 2"}))
    done = headstart("fit-head", "t", "--head", "ridge", "--corrections", "a.csv", "--out", "run")
    assert done.code == 0, done.err
    told = report_of("run")["corrections"]
    assert told["digest_after"] not in (wrong.digest, new.digest)
    assert "not kept any more" in told["no_comparison"]


def test_where_the_earlier_state_is_gone_it_is_said(headstart: Runner, wrong: FeatureSet) -> None:
    new = wrong.correct(write(Path("a.csv"), mended(wrong, [0, 7, 11])))
    write(Path("b.csv"), mended(wrong, [20, 33, 41]))
    assert headstart("cache", "gc", "--apply", "--earlier", "--grace", "0").code == 0
    assert not wrong.path.exists()
    files = ("--corrections", "a.csv", "--corrections", "b.csv")
    assert headstart("fit-head", "t", "--head", "ridge", *files, "--out", "one").code == 0
    told = report_of("one")["corrections"]
    assert (told["digest_before"], told["applied"]["relabel"], told["known"]) == (new.digest, 3, 3)
    assert headstart("cache", "gc", "--apply", "--earlier", "--grace", "0").code == 0
    assert headstart("fit-head", "t", "--head", "ridge", *files, "--out", "two").code == 0
    assert "not kept any more" in report_of("two")["corrections"]["no_comparison"]


def test_a_run_is_repeated_from_its_configuration(headstart: Runner, wrong: FeatureSet) -> None:
    write(Path("a.csv"), mended(wrong))
    assert headstart("fit-head", "t", "--corrections", "a.csv", "--out", "one").code == 0
    assert headstart("fit-head", "--config", "one/config.yaml", "--out", "two").code == 0
    assert report_of("one")["metrics"] == report_of("two")["metrics"]
    assert report_of("one")["corrections"]["test"] == report_of("two")["corrections"]["test"]


def test_runs_show_says_what_a_run_stands_on(headstart: Runner, wrong: FeatureSet) -> None:
    assert headstart("fit-head", "t", "--head", "ridge", "--out", "plain").code == 0
    write(Path("a.csv"), mended(wrong))
    assert headstart("fit-head", "t", "--head", "ridge", "--corrections", "a.csv", "--out", "run").code == 0
    assert headstart("fit-head", "t", "--head", "ridge", "--out", "later").code == 0
    shown = {run: headstart("runs", "show", run).out for run in ("plain", "run", "later")}
    assert "corrected" not in shown["plain"]
    assert "labels:   corrected: 6 relabelled; this run was given a.csv" in shown["run"]
    assert "labels:   corrected: 6 relabelled\n" in shown["later"]
    assert "corrected by hand: 6 relabelled" in Path("later/README.md").read_text("utf-8")
    assert "corrections" not in report_of("later")
    assert "corrections" not in Path("plain/report.json").read_text("utf-8")
    assert "corrections" not in Path("plain/config.yaml").read_text("utf-8")


def test_a_run_without_a_place_does_not_take_that_of_another(headstart: Runner, wrong: FeatureSet) -> None:
    write(Path("mine.csv"), mended(wrong))
    for more in ((), ("--corrections", "mine.csv")):
        assert headstart("fit-head", "t", "--head", "ridge", *more).code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["t-ridge", "t-ridge-corrections-mine"]


def test_the_same_data_gives_the_corrected_set_again(headstart: Runner, wrong: FeatureSet) -> None:
    rows = [*mended(wrong), decided(wrong, 3, truth(3), action="drop"), decided(wrong, 4, truth(4), "zebra")]
    new = wrong.correct(write(Path("a.csv"), rows))
    again = extract(headstart, "texts.csv", "--json")
    assert again.json["computed"] == 0
    assert again.json["digest"] == new.digest
    assert "8 corrections applied again" in again.err
    assert new.label_names["kind"] == ("class 0", "class 1", "class 2", "zebra")
    assert labels_of(hs.open_set("t")) == labels_of(new)


@pytest.mark.parametrize("more", [(), pytest.param(("--workers", "2"), marks=pytest.mark.slow)])
def test_nothing_is_computed_of_what_was_dropped(
    headstart: Runner, wrong: FeatureSet, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    wrong.correct(write(Path("a.csv"), [decided(wrong, 3, truth(3), action="drop")]))
    monkeypatch.setenv("TINY_WIDTH", "8")  # another backbone
    done = extract(headstart, "texts.csv", "--json", *more)
    assert (done.json["computed"], done.json["samples"], done.json["failures"]) == (N - 1, N - 1, 0)
    features = hs.open_set("t")
    table, whole = (
        features.samples,
        hs.extract("texts.csv", backbone=TEXTS, set="whole", quiet=True, id_column="id"),
    )
    places = [whole.samples.column("id").to_pylist().index(id) for id in table.column("id").to_pylist()]
    assert np.array_equal(features.arrays()[0], whole.arrays()[0][places])


def test_a_mended_source_needs_nothing(headstart: Runner, wrong: FeatureSet) -> None:
    new = wrong.correct(write(Path("a.csv"), mended(wrong)))
    done = extract(headstart, write_table("texts.csv"))
    assert "applied again" not in done.err
    assert labels_of(hs.open_set("t")) == labels_of(new)


def test_a_source_that_says_something_else_by_now_is_named(headstart: Runner, wrong: FeatureSet) -> None:
    wrong.correct(write(Path("a.csv"), mended(wrong)))
    done = extract(headstart, write_table("texts.csv", WRONG | {7: "another"}))
    assert "5 corrections applied again; 1 not: row 7 is now 'another'" in done.err
    features = hs.open_set("t")
    assert labels_of(features)["row 7"] == "another"
    assert features.info["corrections"]["waiting"] == 1
    extract(headstart, write_table("texts.csv", WRONG))
    assert labels_of(hs.open_set("t"))["row 7"] == truth(7)


def test_corrections_wait_for_samples_that_are_not_there(headstart: Runner, wrong: FeatureSet) -> None:
    new = wrong.correct(write(Path("a.csv"), mended(wrong)))
    extract(headstart, write_table("texts.csv", WRONG, range(30)))
    assert len(hs.open_set("t").corrections) == 6
    extract(headstart, write_table("texts.csv", WRONG))
    assert labels_of(hs.open_set("t")) == labels_of(new)


def test_corrections_end_when_somebody_says_so(headstart: Runner, wrong: FeatureSet) -> None:
    rows = [*mended(wrong), *(decided(wrong, n, truth(n), action="drop") for n in (1, 2, 3, 4, 5))]
    wrong.correct(write(Path("a.csv"), rows))
    done = extract(headstart, "texts.csv", "--drop-corrections", "--json")
    assert "11 corrections of the set end here" in done.err
    assert done.json["digest"] == wrong.digest  # splits and all
    assert "correction" not in extract(headstart, "texts.csv").err


def test_splits_stay_where_they_were(headstart: Runner, wrong: FeatureSet) -> None:
    def splits(features: FeatureSet) -> dict[str, str]:
        return dict(
            zip(*(features.samples.column(name).to_pylist() for name in ("id", "split")), strict=True)
        )

    before = splits(wrong)
    wrong.correct(write(Path("a.csv"), [*mended(wrong), decided(wrong, 3, truth(3), action="drop")]))
    extract(headstart, write_table("texts.csv", WRONG, range(N + 30)))
    after = splits(hs.open_set("t"))
    assert all(after[id] == split for id, split in before.items() if id != "row 3")


def test_a_set_that_is_made_anew_keeps_them(headstart: Runner, wrong: FeatureSet) -> None:
    new = wrong.correct(write(Path("a.csv"), [*mended(wrong), decided(wrong, 3, truth(3), action="drop")]))
    extract(headstart, "texts.csv", "--replace")
    again = hs.open_set("t")
    assert labels_of(again) == labels_of(new)
    assert again.corrections == new.corrections
    write_table("others.csv", rows=range(100, 140))
    done = extract(headstart, "others.csv", "--replace")
    assert "7 corrections of the set end here" in done.err
    assert hs.open_set("t").info["format"] == 1


def test_a_stream_is_corrected_as_it_is_read(wrong: FeatureSet) -> None:
    datasets = pytest.importorskip("datasets")
    with open("texts.csv", newline="") as file:
        rows = [
            {**one, "split": "test" if number % 4 == 0 else "train"}
            for number, one in enumerate(csv.DictReader(file))
        ]

    def stream() -> Any:
        return datasets.Dataset.from_list(rows).to_iterable_dataset()

    options: dict[str, Any] = {
        "set": "stream", "quiet": True, "text_column": "text", "label_column": "kind", "id_column": "id",
        "split_column": "split",
    }  # fmt: skip
    first = hs.extract(stream(), backbone=TEXTS, **options)
    splits = first.samples.column("split").to_pylist()
    drops = [n for n in range(N) if n not in WRONG and splits[n] == "validation"][
        :2
    ]  # which the data calls train
    new = first.correct(
        write(Path("a.csv"), [*mended(first), *(decided(first, n, truth(n), action="drop") for n in drops)])
    )
    again = hs.extract(stream(), backbone=TEXTS, **options)
    assert again.digest == new.digest
    assert labels_of(again) == labels_of(new)


def test_samples_in_memory_are_corrected_by_what_they_are(headstart: Runner) -> None:
    texts, labels = [f"text number {n}" for n in range(40)], ["a", "b"] * 20
    features = hs.extract(texts, labels=labels, backbone=TEXTS, quiet=True)
    rows = [row(features, 0, "a", "b", label="label"), row(features, 3, "b", action="drop", label="label")]
    new = features.correct(write(Path("a.csv"), rows))
    again = hs.extract(texts, labels=labels, backbone=TEXTS, quiet=True)
    assert (again.name, again.digest) == (new.name, new.digest)


def test_an_audit_of_the_corrected_set(headstart: Runner, wrong: FeatureSet) -> None:
    write(Path("a.csv"), [decided(wrong, n, truth(n), action="drop") for n in (1, 2)])
    done = headstart("audit", "t", "--checks", "labels", "--corrections", "a.csv", "--json")
    assert done.code == 0, done.err
    assert done.json["n"] == N - 2
    assert len(hs.open_set("t")) == N - 2


def test_several_labels_each_have_a_before_and_after(headstart: Runner) -> None:
    lines = [{"id": f"r{n}", "text": ["abc", "xyw"][n % 2] * 3 + f" number {n}", "kind": f"k{n % 2}",
              "size": f"s{n % 2}"} for n in range(60)]  # fmt: skip
    lines[0]["kind"] = lines[4]["kind"] = "k1"
    Path("two.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    extract(headstart, "two.jsonl", "--label-column", "kind,size")
    features = hs.open_set("t")
    write(
        Path("a.csv"),
        [
            row(features, 0, "k1", "k0"),
            row(features, 4, "k1", "k0"),
            row(features, 8, "s0", "s1", label="size"),
        ],
    )
    for more in ((), ("--shared-trunk", "--head", "mlp", "--param", "epochs=3")):
        done = headstart(
            "fit-head", "t", "--label", "all", "--corrections", "a.csv", *more, "--out", f"run{len(more)}"
        )
        assert done.code == 0, done.err
        report = report_of(f"run{len(more)}")
        assert report["corrections"]["applied" if not more else "in_all"]["relabel"] == 3
        for label in ("kind", "size"):
            part = report["labels"][label]["corrections"]["test"]
            assert part["as_corrected"]["n"] == report["metrics"]["test"][label]["n"]


@pytest.mark.parametrize(
    "more",
    [
        ("--sweep", "alpha=0.1,1"),
        ("--folds", "3"),
        ("--refit",),
        ("--seeds", "2"),
        ("--prepare", "l2"),
    ],
)
def test_other_options_go_with_corrections(
    headstart: Runner, wrong: FeatureSet, more: tuple[str, ...]
) -> None:
    write(Path("a.csv"), mended(wrong))
    done = headstart("fit-head", "t", "--head", "ridge", "--corrections", "a.csv", *more, "--out", "run")
    assert done.code == 0, done.err
    told = report_of("run")["corrections"]
    assert told["test"]["as_corrected"]["figures"]["accuracy"]["before"] is not None
    assert ("validation" in told) == ("--refit" not in more)


def test_a_class_that_was_not_there_before(headstart: Runner, wrong: FeatureSet) -> None:
    numbers = range(0, 60, 5)
    rows = [decided(wrong, n, WRONG.get(n, truth(n)), "new one") for n in numbers]
    write(Path("a.csv"), rows)
    done = headstart("fit-head", "t", "--corrections", "a.csv", "--out", "run")
    assert done.code == 0, done.err
    assert "a new class in 'kind': 'new one'" in done.err
    report = report_of("run")
    assert report["corrections"]["new_classes"] == {"kind": ["new one"]}
    part = report["corrections"]["test"]["as_corrected"]["figures"]["accuracy"]
    assert part["before"] is not None


def test_where_nothing_was_to_learn_before_it_is_said(headstart: Runner) -> None:
    extract(headstart, write_table("texts.csv", dict.fromkeys(range(N), "class 0")))
    features = hs.open_set("t")
    write(Path("a.csv"), [decided(features, n, "class 0", truth(n)) for n in range(N) if n % 3])
    done = headstart("fit-head", "t", "--corrections", "a.csv", "--out", "run")
    assert done.code == 0, done.err
    assert "at least two classes" in report_of("run")["corrections"]["no_comparison"]


def test_a_file_without_corrections_fits_a_head_all_the_same(headstart: Runner, wrong: FeatureSet) -> None:
    write(Path("a.csv"), [])
    done = headstart("fit-head", "t", "--head", "ridge", "--corrections", "a.csv", "--out", "run")
    assert (done.code, report_of("run")["provenance"]["digest"]) == (0, wrong.digest), done.err
    assert "a.csv holds no corrections" in done.err


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ([("class 1", "class 0"), ("class 1", "class 2")], 4, "disagree about sample 'row 0'"),
        ([("class 1", "")], 1, "line 2: relabel without a new label"),
    ],
)
def test_a_refused_file_is_one_line_and_no_run(
    headstart: Runner, wrong: FeatureSet, rows: list[tuple[str, str]], code: int, said: str
) -> None:
    write(Path("a.csv"), [decided(wrong, 0, *each) for each in rows])
    done = headstart("fit-head", "t", "--corrections", "a.csv", "--out", "run")
    assert (done.code, Path("run").exists()) == (code, False)
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert hs.open_set("t").digest == wrong.digest


def test_a_pipeline_corrects_and_does_it_once(headstart: Runner, wrong: FeatureSet) -> None:
    Path("p.yaml").write_text(
        "name: p\ndata: {path: texts.csv, id-column: id, text-column: text, label-column: kind}\n"
        f"steps:\n  get:\n    extract: {{backbone: '{TEXTS}', drop-corrections: true}}\n"
        "  before:\n    fit-head: {head: ridge}\n"
        "  after:\n    fit-head: {head: ridge, corrections: [a.csv]}\n"
    )
    write(Path("a.csv"), [])
    first = headstart("run", "p.yaml", "--out", "done", "--json")
    assert first.code == 0, first.err
    features = hs.open_set("p-get")
    write(Path("a.csv"), mended(features))
    second = headstart("run", "p.yaml", "--out", "done", "--json")
    assert second.code == 0, second.err
    assert report_of("done/after")["corrections"]["applied"]["relabel"] == 6
    assert "corrections" not in report_of("done/before")
    third = headstart("run", "p.yaml", "--out", "done")
    assert "before (fit-head): is there" in third.err
    assert "after (fit-head): is there" in third.err


@pytest.mark.slow
def test_fine_tuning_learns_the_corrected_labels(headstart: Runner, tiny_bert: Path) -> None:
    write_table("texts.csv", WRONG)
    options = ("--id-column", "id", "--label-column", "kind", "--text-column", "text")
    assert (
        headstart("extract", "texts.csv", "--backbone", f"hf:{tiny_bert}", "--set", "t", *options).code == 0
    )
    features = hs.open_set("t")
    new = features.correct(
        write(Path("a.csv"), [*mended(features), decided(features, 3, truth(3), action="drop")])
    )
    done = headstart("fine-tune", "t", "--strategy", "frozen", "--epochs", "1", "--out", "run")
    assert done.code == 0, done.err
    report = report_of("run")
    assert report["provenance"]["digest"] == new.digest
    assert sum(report["data"][f"n_{split}"] for split in ("train", "validation", "test")) == N - 1
    assert "corrected: 6 relabelled, 1 dropped" in headstart("runs", "show", "run").out


@pytest.mark.slow
def test_tags_of_words_and_answers_in_contexts(headstart: Runner, tiny_bert: Path) -> None:
    lines, rows = [], []
    for n in range(90):
        words = ["ada", "met", "we", "rome"][: 2 + n % 3]
        tags = ["B-per" if word == "ada" else "B-loc" if word == "rome" else "O" for word in words]
        lines += [f"{word}\t{'O' if n < 40 else tag}" for word, tag in zip(words, tags, strict=True)] + [""]
        context = f"the {['fox', 'dog', 'hen'][n % 3]} sees an ant number {n}"
        answer = (
            {"text": [], "answer_start": []}
            if n < 30
            else {"text": ["ant"], "answer_start": [context.index("ant")]}
        )
        rows.append({"id": f"q{n}", "question": f"which {n}", "context": context, "answers": answer})
    Path("news.conll").write_text("\n".join(lines), "utf-8")
    Path("asked.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for name, data, label, more in (
        ("news", "news.conll", "tags", ("--head", "logistic")),
        ("asked", "asked.jsonl", "answers", ("--head", "linear", "--param", "epochs=2")),
    ):
        done = headstart("extract", data, "--backbone", f"hf:{tiny_bert}", "--set", name)
        assert done.code == 0, done.err
        features = hs.open_set(name)
        (label,) = features.label_names
        texts = label_texts(features.samples.column(f"label:{label}"), features.label_kinds[label])
        wanted = []
        for n in range(40 if name == "news" else 30):
            if name == "news":
                new = json.dumps(["B-per", *(["O"] * (1 + n % 3))])
            else:
                at = rows[n]["context"].index("ant")  # type: ignore[index, attr-defined]
                new = json.dumps([{"start": at, "end": at + 3, "text": "ant"}])
            wanted.append(row(features, n, texts[n], new, label=label))
        write(Path("a.csv"), wanted)
        done = headstart("fit-head", name, *more, "--corrections", "a.csv", "--out", f"run-{name}")
        assert done.code == 0, done.err
        told = report_of(f"run-{name}")["corrections"]
        assert told["applied"]["relabel"] == len(wanted)
        assert "as_corrected" in told["test"], told["test"]
    broken = row(hs.open_set("asked"), 50, "", '{"text": ["ant"], "answer_start": [0]}', label="answers")
    write(Path("a.csv"), [broken])
    done = headstart("fit-head", "asked", "--head", "linear", "--corrections", "a.csv", "--out", "none")
    assert (done.code, "is not at character 0 of its context" in done.err) == (1, True), done.err
