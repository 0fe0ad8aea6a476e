"""Pages of runs of every task: predictions and labels as text, the worst mistakes first, slices by their figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs

from ..made_sets import clouds, make_set
from ..tasks.test_ordinal import KIND, ORDER
from ..tuning.writers import rows as rows_to_write
from ..tuning.writers import save_writer, write_rows
from .conftest import TEXTS, data_of
from .contract import column_of, decoded, queue_of


def test_numbers_have_errors_and_slices_by_mean_absolute_error(cache_root: Path) -> None:
    X, _ = clouds(400)
    values = 3 * X[:, 0] + np.where(np.arange(400) % 4 == 1, 2.0, 0) * np.random.default_rng(0).normal(
        size=400
    )
    meta = {"room": [["kitchen", "cellar", "hall", "attic"][row % 4] for row in range(400)]}
    made = make_set(cache_root, X, {"size": values.tolist()}, kinds={"size": "regression"}, meta=meta)
    run = hs.fit_head(made, "ridge", plots="none")
    page = data_of(run)
    [shown] = page["runs"]
    assert (shown["task"], shown["classes"], shown["probabilities"], shown["confidence"]) == (
        "regression", [], None, None,
    )  # fmt: skip
    rows = decoded(shown["rows"]).tolist()
    assert [float(text) for text in shown["expected"]] == pytest.approx(values[rows], rel=1e-4)
    said, errors = column_of(page, "prediction"), column_of(page, "error")
    assert errors == pytest.approx([s - v for s, v in zip(said, values, strict=True)], abs=1e-4)
    queue = queue_of(page, "mistakes")
    sizes = np.abs(decoded(queue["score"]))
    assert (np.diff(sizes) <= 0).all()
    assert sizes[0] == pytest.approx(max(map(abs, errors)), rel=1e-5)
    assert float(queue["suggested"][0]) == pytest.approx(said[decoded(queue["rows"])[0]], rel=1e-5)
    worst = next(one for one in shown["slices"] if one["column"] == "meta:room")
    assert (worst["value"], worst["figure"]) == ("cellar", "mae")
    assert worst["figure_value"] > worst["rest"]
    by_slice = [one["figure_value"] for one in shown["slices"]]
    assert by_slice == sorted(by_slice, reverse=True)


def test_several_labels_a_sample_are_right_as_a_whole(cache_root: Path) -> None:
    X, y = clouds(300, apart=3)
    tags = [["x: 1"] * int(c == 0) + ["y"] * int(c != 1) for c in y]
    tags[13] = ["x: 1", "y"]
    made = make_set(cache_root, X, {"tags": tags}, kinds={"tags": "multi"})
    run = hs.fit_head(made, "logistic", plots="none")
    page = data_of(run)
    [shown] = page["runs"]
    assert (shown["task"], shown["classes"]) == ("multi", ["x: 1", "y"])
    assert decoded(shown["probabilities"]).shape == (300, 2)
    given = [json.loads(text) for text in page["samples"]["labels"]]
    assert given == tags
    right = column_of(page, "right")
    place = {row: place for place, row in enumerate(decoded(shown["rows"]).tolist())}
    for row in range(300):
        assert (shown["said"][place[row]] == shown["expected"][place[row]]) == (right[row] == "right")
    queue = queue_of(page, "mistakes")
    in_test = [r for r in decoded(queue["rows"]).tolist() if column_of(page, "split")[r] == "test"]
    reported = [one["id"] for one in run.report["errors"]["mistakes"]]
    assert [page["samples"]["ids"][row] for row in in_test][: len(reported)] == reported
    assert all(isinstance(json.loads(text), list) for text in queue["suggested"])


def test_a_task_of_the_users_own_is_shown_like_ours(tmp_path: Path) -> None:
    """Grades in an order of their own, with a figure of their own; see tests/tasks/test_ordinal.py."""
    rows = [{"text": f"{'abc' * (row % 3)} {row}", "grade": ORDER[row % 3]} for row in range(240)]
    write_rows(tmp_path / "t.jsonl", rows)
    features = hs.extract(
        "t.jsonl", TEXTS, set="t", text_column="text", label_column="grade", label_kind=KIND, quiet=True
    )
    run = hs.fit_head(features, "linear", params={"epochs": 2}, plots="none")
    page = data_of(run)
    assert page["label"] == {"column": "grade", "kind": "single", "names": list(ORDER)}
    [shown] = page["runs"]
    assert sorted(shown["classes"]) == sorted(ORDER)
    assert {one["figure"] for one in shown["slices"]} == {"rank_error"}
    by_slice = [one["figure_value"] for one in shown["slices"]]
    assert by_slice == sorted(by_slice, reverse=True)


def test_several_features_side_by_side_have_the_map_of_the_first(cache_root: Path) -> None:
    X, y = clouds(120)
    both = {"py:a:one": X, "py:b:two": X[:, ::-1].copy()}
    made = make_set(cache_root, both, {"kind": [f"c{c}" for c in y]})
    page = data_of(hs.fit_head(made, "ridge", backbone=list(both), plots="none"))
    assert any("reads 2 features side by side" in note for note in page["notes"])
    assert page["points"]["note"].startswith("py:a:one")
    assert ["backbone", "py:a:one + py:b:two"] in page["about"]


def test_intervals_of_slices_are_of_groups_where_samples_have_any(cache_root: Path) -> None:
    X, y = clouds(400, apart=1.5)
    labels = {"kind": [f"c{c}" for c in y]}
    camera = [["red", "green"][row // 200] for row in range(400)]
    alone = make_set(cache_root, X, labels, meta={"camera": camera}, name="alone")
    groups = {"camera": camera, "group": [f"g{row // 20}" for row in range(400)]}
    together = make_set(cache_root, X, labels, meta=groups, name="together")
    widths = []
    for made in (alone, together):
        [run] = data_of(hs.fit_head(made, "ridge", plots="none"))["runs"]
        low, high = next(one["interval"] for one in run["slices"] if one["value"] == "red")
        widths.append(high - low)
    assert widths[1] > widths[0]


def test_tags_are_of_words_and_wrong_ones_are_counted(tmp_path: Path, tiny_bert: Path) -> None:
    rng = np.random.default_rng(0)
    names = {"per": ["ada", "bob"], "loc": ["rome", "oslo"]}
    for split, n in (("train", 60), ("validation", 15), ("test", 20)):
        sentences = []
        for _ in range(n):
            kinds = [str(kind) for kind in rng.choice(["O", "O", "per", "loc"], int(rng.integers(2, 6)))]
            words = [str(rng.choice(names.get(kind, ["we", "met", "in"]))) for kind in kinds]
            tags = ["O" if kind == "O" or rng.random() < 0.1 else f"B-{kind}" for kind in kinds]
            sentences.append("\n".join(f"{w}\t{t}" for w, t in zip(words, tags, strict=True)))
        (tmp_path / "news").mkdir(exist_ok=True)
        (tmp_path / "news" / f"{split}.conll").write_text("\n\n".join(sentences) + "\n", "utf-8")
    features = hs.extract("news", f"hf:{tiny_bert}", taps=["last.words"], set="news", quiet=True)
    run = hs.fit_head(features, "logistic", plots="none")
    page = data_of(run)
    [shown] = page["runs"]
    assert (shown["task"], page["label"]["kind"]) == ("tags", "tags")
    assert page["points"] is None
    assert page["samples"]["texts"] is not None
    queue = queue_of(page, "mistakes")
    for row, score, suggested in zip(
        decoded(queue["rows"]).tolist(), decoded(queue["score"]), queue["suggested"], strict=True
    ):
        true, said = json.loads(page["samples"]["labels"][row]), json.loads(suggested)
        assert sum(a != b for a, b in zip(true, said, strict=True)) == score > 0
    assert data_of(features)["kind"] == "set"
    audited = data_of(features, audit=True)
    found = queue_of(audited, "label_errors")
    assert len(set(decoded(found["rows"]).tolist())) == len(decoded(found["rows"]))


def test_answers_are_stretches_of_their_context(tmp_path: Path, tiny_bert: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for row in range(100):
        words = [str(word) for word in rng.choice(["fox", "dog", "hen"], 6)]
        words[int(rng.integers(6))] = answer = "z" + str(rng.choice(["owl", "bee"]))
        context, split = " ".join(words), ["train", "train", "train", "validation", "test"][row % 5]
        answers = {"text": [answer], "answer_start": [context.index(answer)]}
        rows.append(
            {
                "id": f"q{row}",
                "question": f"which {row}",
                "context": context,
                "answers": answers,
                "split": split,
            }
        )
    write_rows(tmp_path / "q.jsonl", rows)
    features = hs.extract("q.jsonl", f"hf:{tiny_bert}", set="q", quiet=True)
    run = hs.fit_head(features, "linear", params={"epochs": 3}, plots="none")
    page = data_of(run)
    [shown] = page["runs"]
    assert shown["task"] == "spans"
    assert page["samples"]["texts"][3].startswith("which 3 | ")
    row = decoded(shown["rows"]).tolist().index(3)
    assert shown["expected"][row] == rows[3]["answers"]["text"][0]
    assert json.loads(page["samples"]["labels"][3])[0]["text"] == rows[3]["answers"]["text"][0]
    for queue in page["queues"]:
        for row, suggested in zip(decoded(queue["rows"]).tolist(), queue["suggested"], strict=True):
            for one in json.loads(suggested):
                assert rows[row]["context"][one["start"] : one["end"]] == one["text"]


@pytest.mark.slow
def test_texts_that_were_written_are_beside_those_that_were_wanted(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    data = write_rows(tmp_path / "digits.jsonl", rows_to_write(50))
    model = save_writer(tmp_path / "t5", "t5")
    run = hs.fine_tune(
        data,
        f"hf:{model}",
        target_column="target",
        epochs=1,
        lr=1e-2,
        out="written",
        plots="none",
        quiet=True,
    )
    page = data_of(run)
    [shown] = page["runs"]
    assert shown["task"] == "seq2seq"
    assert page["set"] is not None
    assert all(json.loads(text) for text in page["samples"]["labels"])
    worst = decoded(queue_of(page, "mistakes")["score"])
    assert (np.diff(worst) >= 0).all()


@pytest.mark.slow
def test_a_fine_tuned_run_lies_on_the_map_of_what_its_set_has(tmp_path: Path, tiny_bert: Path) -> None:
    texts = [f"{'ab' if row % 2 else 'xy'} word {row}" for row in range(60)]
    write_rows(tmp_path / "t.jsonl", [{"text": t, "label": f"c{r % 2}"} for r, t in enumerate(texts)])
    features = hs.extract("t.jsonl", f"hf:{tiny_bert}", set="s", quiet=True)
    tuned = hs.fine_tune(features, epochs=1, plots="none", out="tuned", quiet=True)
    page = data_of(tuned)
    assert ["trained", "the network: full"] in page["about"]
    assert page["points"] is not None
    assert any("of a backbone that was fine-tuned: map and neighbours are by the set's hf:tiny-bert" in note
               for note in page["notes"])  # fmt: skip
    head = hs.fit_head(features, "ridge", plots="none", out="head")
    assert [run["name"] for run in data_of(head, tuned)["runs"]] == ["head", "tuned"]
