"""Measure everything, keep the figures, and write docs/benchmarks.md.

    python -m benchmarks.run [--short | --medium] [--rounds N] [--data DIR] [--only texts,images,…]
                             [--whole-rounds N] [--peers PYTHON] [--results FILE] [--page FILE]

``--only`` measures some parts, or some tables of one (``texts.short``); the page keeps the others as they were measured
before. Figures are kept in ``benchmarks/results/``, a file for each kind of processor, those of the short form below
``build/``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import (
    agreement,
    commands,
    external,
    gpu,
    images,
    many_features,
    page,
    runs,
    runtimes,
    text_peers,
    texts,
)
from benchmarks.data import REPOSITORY, Data
from benchmarks.forms import LONG, MEDIUM, SHORT, Bench
from benchmarks.machine import describe_machine
from benchmarks.results import Section, load, save

TABLES = {"texts": texts.TABLES, "runtimes": runtimes.TABLES}
"""Of the parts whose tables can be measured one by one."""
SHORT_RESULTS = REPOSITORY / "build" / "benchmarks-short.json"
PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "texts": lambda bench: {"tables": texts.measure(bench)},
    "images": lambda bench: {"tables": images.measure(bench)},
    "commands": lambda bench: {"tables": commands.measure(bench)},
    "features": lambda bench: {"tables": many_features.measure(bench)},
    "runs": lambda bench: {"tables": runs.measure(bench)},
    "runtimes": lambda bench: {"tables": runtimes.measure(bench)},
    "agreement": lambda bench: {"facts": agreement.measure(bench)},
    "reading": lambda bench: {"report": external.measure(bench, "reading")},
    "scaling": lambda bench: {"report": external.measure(bench, "scaling")},
    "scale": lambda bench: {"report": external.measure(bench, "scale")},
    "gpu": lambda bench: {"tables": gpu.measure(bench)},
}


def main(words: list[str]) -> None:
    """Measure the parts that are asked for."""
    asked = _arguments(words)
    results, section = load(asked.results), Section(describe_machine(), asked.form.said)
    for name, chosen in asked.only.items():
        if chosen and name in results and not results[name].fits(section):
            sys.exit(f"{name} was measured elsewhere, on another day or otherwise: measure all of its tables")
    with tempfile.TemporaryDirectory(prefix="headstart-benchmarks-") as folder:
        bench = replace(prepare(Path(folder), asked.form, asked.data), peers=asked.peers)
        for name, chosen in asked.only.items():
            start = time.perf_counter()
            measured = PARTS[name](replace(bench, chosen=chosen))
            if chosen and name in results:
                measured["tables"] = results[name].tables | measured["tables"]
            results[name] = replace(section, **measured)
            save(asked.results, results)
            bench.say(f"{name}: measured in {time.perf_counter() - start:.0f} s")
    shown = [results] if asked.results != page.results_of(_processor()) else page.kept()
    asked.page.write_text(page.render(*shown), "utf-8")
    bench.say(f"written: {asked.page}")


def prepare(scratch: Path, form: Any, data: Path | None) -> Bench:
    """What the parts need; nothing outside the scratch folder is written from here on."""
    os.environ |= {
        "XDG_CACHE_HOME": str(scratch / "machine"),
        "HEADSTART_CACHE": str(scratch / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "compiled"),
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # whoever compiles pays for it in every round
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "true",  # else a warning for each worker that a DataLoader forks
    }
    import torch._dynamo.config

    # Each of our turns may compile a model of its own; past eight torch would go on without compiling.
    torch._dynamo.config.recompile_limit = 1000
    _, tokenizer = text_peers.load_bare(text_peers.minilm_folder())
    return Bench(
        form, Data(data, scratch, tokenizer), scratch, lambda line: print(line, file=sys.stderr, flush=True)
    )


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--short",
        dest="form",
        action="store_const",
        const=SHORT,
        default=LONG,
        help="two minutes, rough figures",
    )
    parser.add_argument("--medium", dest="form", action="store_const", const=MEDIUM, help="an hour")
    parser.add_argument("--rounds", type=int, help="turns of each contestant")
    parser.add_argument("--whole-rounds", type=int, help="turns of each whole command")
    given = os.environ.get("HEADSTART_BENCH_DATA")
    parser.add_argument(
        "--data", type=Path, default=Path(given) if given else None, help="banking77/, clothing/"
    )
    parser.add_argument(
        "--only", type=_parts, default=dict.fromkeys(PARTS, frozenset()), help=f"of {', '.join(PARTS)}"
    )
    parser.add_argument(
        "--peers", type=Path, help="python of an environment with sentence-transformers[openvino,onnx]"
    )
    parser.add_argument("--results", type=Path, help="where figures are kept")
    parser.add_argument("--page", type=Path, default=page.PAGE)
    asked = parser.parse_args(words)
    if asked.rounds:
        asked.form = replace(asked.form, rounds=asked.rounds)
    if asked.whole_rounds:
        asked.form = replace(asked.form, whole_rounds=asked.whole_rounds)
    asked.results = asked.results or (SHORT_RESULTS if asked.form is SHORT else page.results_of(_processor()))
    if asked.data and not asked.data.is_dir():
        parser.error(f"there is no folder {asked.data}")
    return asked


def _processor() -> str:
    return describe_machine()["processor"]


def _parts(text: str) -> dict[str, frozenset[str]]:
    """Parts, each with its tables that are asked for: none is all of them."""
    parts: dict[str, frozenset[str]] = {}
    for word in text.split(","):
        name, _, table = word.partition(".")
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"there is no part {name!r}; choose from: {', '.join(PARTS)}")
        if table and table not in TABLES.get(name, ()):
            offered = ", ".join(TABLES.get(name, ())) or "it is measured as a whole"
            raise argparse.ArgumentTypeError(f"{name} has no table {table!r} to choose; {offered}")
        is_whole = not (table and parts.get(name, {table}))
        parts[name] = frozenset() if is_whole else parts.get(name, frozenset()) | {table}
    return parts


if __name__ == "__main__":
    main(sys.argv[1:])
