"""The demo: digits and docstrings, from raw inputs to predictions, by the commands that a user types."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def run_demo(folder: Path) -> None:
    """Make the data, then extract, fit-head, predict and extract again; end with a table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_run_job(job, folder) for job in JOBS]
    print("", *columns(list(rows[0]), [list(row.values()) for row in rows]), sep="\n")
    print(
        f"\nEverything lies in {folder}/: the data, the cache (cache/), the fitted heads with their reports\n"
        f"(runs/), the predictions ({', '.join(f'{job.title}-{PREDICTED}' for job in JOBS)})."
    )


def _run_job(job: Job, folder: Path) -> dict[str, Any]:
    data, cache, run = folder / job.data, folder / "cache", folder / "runs" / job.title
    _python(data_script(job.script), data)
    extract = [
        "extract",
        data,
        "--backbone",
        job.backbone,
        "--set",
        job.title,
        "--cache",
        cache,
        *job.options,
    ]
    first = json.loads(_headstart(*extract, "--json"))
    start = time.perf_counter()
    _headstart(*extract, "--json")
    again = time.perf_counter() - start
    fitted = json.loads(
        _headstart("fit-head", job.title, "--cache", cache, "--out", run, "--overwrite", "--json")
    )
    _headstart(
        "predict", run, folder / job.sample, "--cache", cache, "--out", folder / f"{job.title}-{PREDICTED}"
    )
    return {
        "data": job.title,
        "rows": f"{first['samples']:,}",
        "extract": f"{first['seconds']:.1f} s",
        "features/s": f"{first['computed'] / first['seconds']:,.0f}" if first["computed"] else "held",
        "test accuracy": f"{fitted['metrics']['test']['accuracy']:.1%}",
        "fit": f"{fitted['timings']['fit']:.2f} s",
        "again, from the cache": f"{again:.1f} s",
    }


def data_script(name: str) -> Path:
    """A script of ``data/``, from the checkout or from the installed package.

    Raises
    ------
    HeadstartError
        Neither has it.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "shipped" / "data", package.parents[1] / "data"):
        if (folder / name).is_file():
            return folder / name
    raise HeadstartError(f"the demo's script {name} was not installed; run the demo from a checkout")


def _headstart(*arguments: object) -> str:
    words = [str(argument) for argument in arguments]
    return _run([sys.executable, "-m", "headstart", *words], shown=["headstart", *words])


def _python(*arguments: object) -> str:
    words = [str(argument) for argument in arguments]
    return _run([sys.executable, *words], shown=["python", *words])


def _run(command: Sequence[str], shown: Sequence[str]) -> str:
    """Print a command, so that a user can copy it, and run it."""
    print(f"\n$ {shlex.join(shown)}", flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise HeadstartError(f"the command failed with exit code {done.returncode}; see above")
    if "--json" not in command and done.stdout:
        print(done.stdout, end="", flush=True)
    return done.stdout
