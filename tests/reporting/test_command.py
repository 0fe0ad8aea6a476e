"""`headstart report` as a shell gives it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import headstart as hs

from ..end_to_end.conftest import in_process


def test_a_page_is_written_once_and_over_it_where_that_is_said(text_run: hs.Run) -> None:
    done = in_process("report", "runs/ridge", "--out", "page.html")
    assert done.code == 0, done.err
    assert "240 samples; open page.html in a browser" in done.out
    assert Path("page.html").read_text("utf-8").lower().startswith("<!doctype html>")
    again = in_process("report", "runs/ridge", "--out", "page.html")
    assert again.code == 2
    assert "--overwrite" in again.err
    found = in_process("report", "runs/ridge", "--out", "page.html", "--overwrite", "--json", "-q").json
    assert found["bytes"] == Path("page.html").stat().st_size
    assert found["counts"] == {"samples": 240, "texts": 240, "thumbnails": 0, "queues.mistakes": 12}
    assert found["seconds"] > 0


def test_sets_and_two_runs_have_pages(text_run: hs.Run, text_set: hs.FeatureSet) -> None:
    hs.fit_head(text_set, "knn", plots="none", out="runs/knn")
    for words in (["texts"], ["runs/ridge", "runs/knn"]):
        done = in_process("report", *words, "--out", f"{len(words)}.html", "--json", "-q")
        assert done.code == 0, done.err
        assert done.json["title"] == {1: "texts", 2: "ridge and knn"}[len(words)]


def test_what_cannot_be_is_said_before_any_work(text_run: hs.Run) -> None:
    Path("folder.html").mkdir()
    for words, said in (
        (["runs/ridge"], "--out PAGE.html"),
        (["runs/ridge", "--out", "page.pdf"], "does not end in .html"),
        (["runs/ridge", "--out", "nowhere/page.html"], "no folder nowhere"),
        (["runs/ridge", "--out", "folder.html"], "is a folder"),
        (["textss", "--out", "a.html"], "did you mean 'texts'"),
        (["runs/ridge", "--out", "a.html", "--method", "pcs"], "choose from: pca, tsne, umap"),
        (["runs/ridge", "--out", "a.html", "--thumbnails", "-1"], "thumbnails"),
        (["runs/ridge", "texts", "--out", "a.html"], "is a set"),
        (["runs/ridge", "--out", "a.html", "--data", ""], "--data"),
    ):
        done = in_process("report", *words)
        assert done.code in (1, 2, 4), words
        assert said in done.err, (words, done.err)
    assert not Path("a.html").exists()


def test_nothing_heavy_is_imported(text_run: hs.Run) -> None:
    code = (
        "import sys\nfrom headstart.cli import main\n"
        "sys.argv = ['headstart', 'report', sys.argv[1], '--out', sys.argv[1] + '.html', '-q', '--no-audit']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "print(sorted({'torch', 'transformers', 'timm', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, "runs/ridge"], capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], (done.stdout, done.stderr)
