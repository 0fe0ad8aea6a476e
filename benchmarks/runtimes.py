"""Two runtimes: whole commands on a machine where the model is converted, beside torch and beside peers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path

import headstart as hs
from benchmarks import images, text_peers, texts
from benchmarks.commands import Commands
from benchmarks.data import Corpus, write_csv
from benchmarks.forms import Bench
from benchmarks.ours import FreshCache
from benchmarks.results import Table
from benchmarks.rounds import Contestant, Turn, stopwatch, take_turns
from benchmarks.runs import command

TABLES = ("texts", "photos", "one", "networks")
N_TEXTS = {"long": 1500, "medium": 1500}
N_PHOTOS = {"long": 1000, "medium": 1000}
NETWORKS = ("resnet50", "vit_small_patch16_224", "convnext_tiny")
"""Of timm, with weights that are drawn: how fast they run does not depend on them."""
N_NETWORK = {"long": 256, "medium": 160}
IMPORT = "from transformers import BertModel"
"""What an import of transformers comes to where a model is used: `import transformers` alone loads nothing."""


def measure(bench: Bench) -> dict[str, Table]:
    """Tables of texts, of photos, of one new text, and of other networks."""
    machine = Machine(bench.scratch / "prepared machine")
    return bench.only_chosen(
        {
            "texts": lambda: _whole_texts(bench, machine),
            "photos": lambda: _whole_photos(bench, machine),
            "one": lambda: _one_text(bench, machine),
            "networks": lambda: _networks(bench),
        }
    )


def _whole_texts(bench: Bench, machine: Machine) -> Table:
    corpus, path = _texts(bench)
    embed = text_peers.sentence_transformers(text_peers.minilm_folder())
    encode = Contestant(
        "its `encode` alone, without imports and loading",
        stopwatch(lambda: embed(text_peers.texts_of(path))),
        len(corpus.texts),
    )
    peer = ("script: sentence-transformers `encode`", ("text_peers", "sentence-transformers", path))
    return _extractions(
        bench, machine, corpus.said, path, texts.BACKBONE, len(corpus.texts), peer, encode=encode
    )


def _whole_photos(bench: Bench, machine: Machine) -> Table:
    photos = bench.data.photos(N_PHOTOS.get(bench.form.name, 48))
    peer = ("script: plain timm loop, batches of 64", ("image_peers", photos.folder))
    return _extractions(bench, machine, photos.said, photos.folder, images.BACKBONE, len(photos.paths), peer)


def _texts(bench: Bench) -> tuple[Corpus, Path]:
    corpus = bench.data.texts_of_fifty(N_TEXTS.get(bench.form.name, 24))
    return corpus, write_csv(bench.scratch / "texts.csv", corpus.texts)


class Machine:
    """The installed command on a machine that knows backbones and has them converted; caches are empty each time.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, backbone: str) -> None:
        """Let it have a backbone converted."""
        self.run("backbones", "prepare", backbone)

    def run(self, *words: str, cache: Path | None = None) -> None:
        """Run it; without a cache in one that holds nothing."""
        fresh = self._folder / "cache"
        shutil.rmtree(fresh, ignore_errors=True)
        environment = os.environ | {
            "XDG_CACHE_HOME": str(self._folder / "machine"),
            "HEADSTART_CACHE": str(cache or fresh),
            "HF_HUB_OFFLINE": "1",
        }
        done = subprocess.run(
            [*command(), *words], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"headstart {' '.join(words)} failed:\n{done.stderr[-2000:]}")


def _extractions(
    bench: Bench,
    machine: Machine,
    said: str,
    data: Path,
    backbone: str,
    n: int,
    peer: tuple[str, Sequence[object]],
    **more: Contestant,
) -> Table:
    bench.say(f"Two runtimes: {said}")
    machine.prepare(backbone)
    commands = Commands(bench.scratch)

    def turn(runtime: str) -> Turn:
        return stopwatch(
            lambda: machine.run("extract", str(data), "--backbone", backbone, "--runtime", runtime)
        )

    label, words = peer
    contestants = {
        "openvino": Contestant("`headstart extract`, converted before", turn("openvino"), n),
        "torch": Contestant("the same with `--runtime torch`", turn("torch"), n),
        "first": Contestant("the very first run", stopwatch(lambda: commands.headstart(data, backbone)), n),
        "peer": Contestant(label, stopwatch(lambda: commands.script(*words)), n),
        **more,
    }  # fmt: skip
    rows = take_turns(contestants, bench.form.whole_rounds, bench.say)
    return Table(
        f"Two runtimes, whole commands: {said}", "", rows, "openvino", "× of the first row", in_rates=False
    )


def _one_text(bench: Bench, machine: Machine) -> Table:
    bench.say("Two runtimes: one new text")
    machine.prepare(texts.BACKBONE)
    _, path = _texts(bench)
    cache, run = bench.scratch / "cache of a run", bench.scratch / "run of a runtime"
    labelled = bench.scratch / "labelled.csv"
    lines = path.read_text("utf-8").splitlines()[1:41]
    rows = [f'"{line.strip(chr(34)).replace(chr(34), "")}",{n % 2}' for n, line in enumerate(lines)]
    labelled.write_text("\n".join(["text,label", *rows]), "utf-8")
    machine.run("extract", str(labelled), "--backbone", texts.BACKBONE, "--set", "few", cache=cache)
    machine.run("fit-head", "few", "--head", "logistic", "--plots", "none", "--out", str(run), cache=cache)
    numbers = count()

    def turn(runtime: str, is_new: bool = True) -> Turn:
        def predict() -> None:
            text = f"a text that nobody has seen before, number {next(numbers) if is_new else 0}"
            machine.run("predict", str(run), "--text", text, "--runtime", runtime, cache=cache)

        return stopwatch(predict)

    contestants = {
        "openvino": Contestant("`headstart predict RUN --text`, a new text", turn("openvino")),
        "torch": Contestant("the same with `--runtime torch`", turn("torch")),
        "held": Contestant("a text that the cache holds", turn("openvino", is_new=False)),
        "import": Contestant(f"`{IMPORT}` alone", stopwatch(_import)),
    }
    found = take_turns(contestants, bench.form.rounds, bench.say)
    return Table("Two runtimes: one text", "", found, "import", "× of the import", in_rates=False)


def _networks(bench: Bench) -> Table:
    """Rates of other networks on photos, start-up aside."""
    import timm
    from safetensors.torch import save_file

    photos = bench.data.photos(N_NETWORK.get(bench.form.name, 16))
    bench.say(f"Two runtimes: other networks on {photos.said}")
    contestants = {}
    for name in NETWORKS:
        weights = bench.scratch / f"{name}.safetensors"
        save_file(timm.create_model(name, pretrained=False).state_dict(), weights)
        hs.prepare_backbone(f"timm:{name}", weights=str(weights))
        for runtime in ("openvino", "torch"):
            run = FreshCache(
                bench.scratch, f"timm:{name}", device="cpu", weights=str(weights), runtime=runtime
            )
            run(photos.folder)
            label = f"{name}, {runtime}"
            contestants[label] = Contestant(label, partial(run, photos.folder), len(photos.paths))
    rows = take_turns(contestants, bench.form.rounds, bench.say)
    first = f"{NETWORKS[0]}, openvino"
    return Table(f"Two runtimes, other networks: {photos.said}", "", rows, first)


def _import() -> None:
    subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True)
