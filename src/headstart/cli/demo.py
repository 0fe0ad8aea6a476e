"""``headstart demo``: digits and docstrings, from raw inputs to predictions, by the commands that a user types."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli.command import guarded
from headstart.columns import columns
from headstart.errors import HeadstartError

PREDICTED = "predictions.csv"


@dataclass(frozen=True, slots=True)
class Job:
    """One of the demo's two jobs: the script of ``data/`` that makes its data, what is extracted, what is predicted."""

    title: str
    backbone: str
    script: str
    data: str
    sample: str
    options: tuple[str, ...] = ()


JOBS = (
    Job("digits", "bundled:efficientnet-lite0", "make_digits.py", "digits", "digits/7"),
    Job(
        "docstrings",
        "bundled:all-minilm-l6-v2",
        "make_docstrings.py",
        "docstrings.csv",
        "docstrings.csv",
        ("--label-column", "library"),
    ),
)


@guarded
def demo(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where data, cache and runs go.")
    ] = Path("demo"),
) -> None:
    """Run the main job on real images and texts, with real pretrained weights."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_run_job(job, folder) for job in JOBS]
    print("", *columns(list(rows[0]), [list(row.values()) for row in rows]), sep="\n")
    print(
        f"\nEverything lies in {folder}/: the data, the cache (cache/), the fitted heads with their reports\n"
        f"(runs/), the predictions ({', '.join(f'{job.title}-{PREDICTED}' for job in JOBS)})."
    )


def _run_job(job: Job, folder: Path) -> dict[str, Any]:
    from headstart.pipelines.shipped import data_script

    data, cache, run = folder / job.data, folder / "cache", folder / "runs" / job.title
    _run(data_script(job.script), data, program="python")
    what = ["--backbone", job.backbone, "--set", job.title, "--cache", cache, *job.options, "--json"]
    first = json.loads(_run("extract", data, *what))
    start = time.perf_counter()
    _run("extract", data, *what)
    again = time.perf_counter() - start
    fitted = json.loads(_run("fit-head", job.title, "--cache", cache, "--out", run, "--overwrite", "--json"))
    predictions = folder / f"{job.title}-{PREDICTED}"
    _run("predict", run, folder / job.sample, "--cache", cache, "--out", predictions)
    return {
        "data": job.title,
        "rows": f"{first['samples']:,}",
        "extract": f"{first['seconds']:.1f} s",
        "features/s": f"{first['computed'] / first['seconds']:,.0f}" if first["computed"] else "held",
        "test accuracy": f"{fitted['metrics']['test']['accuracy']:.1%}",
        "fit": f"{fitted['timings']['fit']:.2f} s",
        "again, from the cache": f"{again:.1f} s",
    }


def _run(*arguments: object, program: str = "headstart") -> str:
    """Print a command, so that a user can copy it, and run it."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ {shlex.join([program, *words])}", flush=True)
    module = ["-m", "headstart"] if program == "headstart" else []
    done = subprocess.run([sys.executable, *module, *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise HeadstartError(f"the command failed with exit code {done.returncode}; see above")
    if "--json" not in words and done.stdout:
        print(done.stdout, end="", flush=True)
    return done.stdout
