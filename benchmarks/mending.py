"""From wrong labels to the proof of a gain, on banking77, for docs/corrections.md.

    python benchmarks/mending.py FOLDER [--share 0.05] [--seed 0] [--work DIR]

FOLDER holds ``banking77/{train,test}.csv``. That share of the training labels is made wrong, drawn anew by the seed.
Then, with the commands that a user types: features once (not counted), a head, a page with what the audit of the set
finds, a browser in which a script plays the user (it keeps or relabels from the truth what it is shown, by keys
alone), and the head again with the corrections that it downloads. Test labels are right all along. Needs a Chromium,
and ``pip install playwright``.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BACKBONE = "bundled:all-minilm-l6-v2"
ONE_PROCESS = """
import headstart as hs

hs.open_set("bank", cache="cache").report_page().save("page.html")
done = {"corrections": "corrections.csv", "out": "after", "plots": "none"}
hs.fit_head("bank", head="logistic", cache="cache", quiet=True, **done)
"""
BROWSER = ("--no-sandbox", "--disable-dev-shm-usage", "--use-gl=angle", "--use-angle=swiftshader")


def main() -> None:
    """Play it through, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        truth = make_wrong(given.folder / "banking77", work / "data", given.share, given.seed)
        print(json.dumps(play(work, truth), indent=2))


def make_wrong(source: Path, target: Path, share: float, seed: int) -> dict[str, tuple[str, str]]:
    """Write the data with wrong labels; by id what is said of each training question, and the truth."""
    target.mkdir(exist_ok=True)
    rows = {
        name: list(csv.DictReader((source / f"{name}.csv").open(encoding="utf-8")))
        for name in ("train", "test")
    }
    classes, draw = sorted({row["category"] for row in rows["train"]}), random.Random(seed)
    wrong = set(draw.sample(range(len(rows["train"])), round(share * len(rows["train"]))))
    truth = {}
    for name, found in rows.items():
        with (target / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text", "category"])
            for number, row in enumerate(found):
                label = row["category"]
                if name == "train" and number in wrong:
                    label = draw.choice([other for other in classes if other != row["category"]])
                writer.writerow([f"{name}-{number}", row["text"], label])
                if name == "train":
                    truth[f"{name}-{number}"] = label, row["category"]
    return truth


def play(work: Path, truth: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """The loop: head, page, user, corrections, head."""
    seconds: dict[str, float] = {}

    def headstart(name: str, *words: str) -> str:
        start = time.perf_counter()
        line = [sys.executable, "-m", "headstart", *words, "--cache", str(work / "cache")]
        done = subprocess.run(line, cwd=work, text=True, stdout=subprocess.PIPE, check=True)
        seconds[name] = round(time.perf_counter() - start, 1)
        return done.stdout

    columns = ["--id-column", "id", "--text-column", "text", "--label-column", "category"]
    headstart("extract", "extract", "data", "--backbone", BACKBONE, "--set", "bank", *columns, "--quiet")
    shards = features_in(work)
    headstart(
        "first head",
        "fit-head",
        "bank",
        "--head",
        "logistic",
        "--out",
        "before",
        "--plots",
        "none",
        "--quiet",
    )
    headstart("page", "report", "bank", "--out", "page.html", "--quiet")
    start = time.perf_counter()
    n_shown = review(work / "page.html", truth, work / "corrections.csv")
    seconds["the script at the page"] = round(time.perf_counter() - start, 1)
    seconds["page and corrected head in one process"] = in_one_process(work)
    words = ["--corrections", "corrections.csv", "--out", "after", "--plots", "none", "--quiet"]
    headstart("corrected head", "fit-head", "bank", "--head", "logistic", *words)
    report = json.loads((work / "after" / "report.json").read_text("utf-8"))
    n_wrong = sum(said != true for said, true in truth.values())
    with (work / "corrections.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    mended = [row for row in rows if row["action"] == "relabel"]
    return {
        "wrong labels": n_wrong,
        "shown": n_shown,
        "relabelled": len(mended),
        "relabelled to the truth": sum(row["new"] == truth[row["id"]][1] for row in mended),
        "kept": sum(row["action"] == "keep" for row in rows),
        "features computed": features_in(work) - shards,
        "corrections": report["corrections"],
        "seconds": seconds,
        "seconds of computing": round(sum(seconds[name] for name in ("page", "corrected head")), 1),
    }


def in_one_process(work: Path) -> float:
    """Seconds, with its start, of a Python that makes the page and fits the corrected head, on a copy of all."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(work, copy, ignore=shutil.ignore_patterns("page.html"))
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", ONE_PROCESS], cwd=copy, stdout=subprocess.PIPE, check=True)
        return round(time.perf_counter() - start, 1)


def features_in(work: Path) -> int:
    """Bytes of all features in the cache."""
    return sum(path.stat().st_size for path in (work / "cache" / "spaces").rglob("shards/*"))


def review(page: Path, truth: dict[str, tuple[str, str]], target: Path) -> int:
    """Go through the training labels that the page doubts, by keys; how many there were."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(BROWSER))
        tab = browser.new_page()
        tab.goto(page.as_uri())
        tab.get_by_role("tab", name="Review").click()
        tab.get_by_role("button", name="Labels that are likely wrong").click()
        place = tab.locator(".queue-stage span.figures").filter(has_text=" of ").first
        n = int(place.inner_text().split(" of ")[1].replace(",", ""))
        for _ in range(n):
            id = tab.locator(".queue-stage figcaption .link").first.inner_text()
            said, true = truth.get(id, ("", ""))
            if said == true:  # of test questions all labels are right
                tab.keyboard.press("k")
            else:
                tab.keyboard.press("r")
                tab.keyboard.insert_text(true)
                tab.keyboard.press("Enter")
        with tab.expect_download() as found:
            tab.get_by_role("button", name="Download corrections.csv").click()
        found.value.save_as(target)
        browser.close()
    return n


if __name__ == "__main__":
    main()
