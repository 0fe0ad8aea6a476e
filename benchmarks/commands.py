"""Everything counted: whole commands from start to exit, each in caches that hold nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import images, texts
from benchmarks.data import REPOSITORY, write_csv
from benchmarks.forms import Bench
from benchmarks.results import Table
from benchmarks.rounds import Contestant, stopwatch, take_turns


def measure(bench: Bench) -> dict[str, Table]:
    """A table for each number of texts and of photos."""
    tables = {}
    for n in bench.form.n_whole_texts:
        corpus = bench.data.short_texts(n)
        path = write_csv(bench.scratch / f"texts-{n}.csv", corpus.texts)
        scripts = {
            "st": ("script: sentence-transformers `encode`", ("text_peers", "sentence-transformers", path)),
            "padded": ("script: loop that pads every text to 128", ("text_peers", "padded", path)),
        }
        tables[f"texts-{n}"] = _table(bench, corpus.said, (path, texts.BACKBONE), scripts, len(corpus.texts))
    for n in bench.form.n_whole_photos:
        photos = bench.data.photos(n)
        loop = {"timm": ("script: plain timm loop", ("image_peers", photos.folder))}
        tables[f"photos-{n}"] = _table(bench, photos.said, (photos.folder, images.BACKBONE), loop, n)
    return tables


def _table(
    bench: Bench, said: str, job: tuple[Path, str], scripts: dict[str, tuple[str, tuple[Any, ...]]], n: int
) -> Table:
    bench.say(f"Whole commands: {said}")
    commands = Commands(bench.scratch)
    turns = {key: (label, _script(commands, words)) for key, (label, words) in scripts.items()}
    contestants = {
        "ours": Contestant("`headstart extract`", stopwatch(lambda: commands.headstart(*job)), n),
        **{key: Contestant(label, stopwatch(work), n) for key, (label, work) in turns.items()},
    }
    rows = take_turns(contestants, bench.form.whole_rounds, bench.say)
    return Table(said, "", rows, in_rates=False)


def _script(commands: Commands, words: Sequence[Any]) -> Any:
    return lambda: commands.script(*words)


class Commands:
    """Commands in processes of their own, in empty caches.

    Parameters
    ----------
    scratch : Path
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def headstart(self, data: Path, backbone: str) -> None:
        """The installed command."""
        beside = Path(sys.executable).with_name("headstart")
        command = [str(beside)] if beside.exists() else [sys.executable, "-m", "headstart"]
        self._run([*command, "extract", str(data), "--backbone", backbone, "--device", "cpu", "--json"])

    def script(self, module: str, *arguments: Any) -> None:
        """The plain script of a peer; its last argument is where the features go."""
        words = [str(argument) for argument in arguments]
        self._run([sys.executable, "-m", f"benchmarks.{module}", *words, "features.npy"])

    def _run(self, command: Sequence[str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="command-", dir=self._scratch))
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]).rstrip(
                os.pathsep
            ),
            "HEADSTART_CACHE": str(folder / "cache"),
            "XDG_CACHE_HOME": str(folder / "machine"),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled"),
            "HF_HUB_OFFLINE": "1",
        }
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
