"""Write today's caches, runs, comparison and unfinished work, to be re-read by the tests of every later version.

Run it once a format, and commit what it wrote::

    python tests/archives/make_runs.py tests/archives/runs-1

An archive that is committed is never written again: that old files are read and used is its only use. It takes
some minutes, since the unfinished extraction has to run until its first shard is committed.

Sets and runs record where their data and backbones lie, in full. Here they lie in ``/proc/self/cwd``, which is
the folder that a process works in: whoever works in a copy of the archive finds all of it, on every Linux.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BertConfig, BertModel, BertTokenizerFast
from typer.testing import CliRunner

import headstart as hs
from headstart.cli.app import app

HERE = "/proc/self/cwd"
BERT = f"hf:{HERE}/backbones/bert"
OWN = "archived_code_1"
WORDS = {
    "animal": "cat dog cow hen pig",
    "colour": "red blue tan gold grey",
    "food": "rice bread egg jam oat",
}
SPLITS = ["train", "train", "validation", "test"]
MEMORY = ["red", "green", "naïve façade – 東京", "red and green", "the last"]

CODE = '''\
"""Backbones and a head that an archive was made with; their digest is that of this file, so it never changes."""

import io
import os
import time

import numpy as np
import torch
from PIL import Image


class Images:
    """A convolution over 8 × 8 pixels, with seeded weights."""

    modality = "image"
    version = "1"

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.module = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
        )
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def prepare(self, payload):
        pixels = np.asarray(Image.open(io.BytesIO(payload)).convert("RGB").resize((8, 8)), dtype=np.float32)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy() / 255)


class Texts:
    """Counts of letters through a seeded linear layer; sleeps if it is asked to."""

    modality = "text"
    version = "1"

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.module = torch.nn.Linear(64, 8)
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def prepare(self, payload):
        codes = np.frombuffer(payload.encode("utf-8"), dtype=np.uint8) % 64
        return torch.from_numpy(np.bincount(codes, minlength=64).astype(np.float32))

    def forward(self, batch):
        time.sleep(float(os.environ.get("ARCHIVED_SECONDS", "0")) * len(batch))
        return self.module(batch)


def head(n_features, n_outputs):
    """Two layers."""
    return torch.nn.Sequential(
        torch.nn.Linear(n_features, 4), torch.nn.Tanh(), torch.nn.Linear(4, n_outputs)
    )
'''

SETS: dict[str, list[str]] = {
    "words": ["words.csv", "--backbone", BERT],
    "layers": ["words.csv", "--backbone", BERT, "--taps", "1.mean,last.cls,pooler", "--format", "parquet"],
    "tokens": ["words.csv", "--backbone", BERT, "--taps", "last.tokens", "--dtype", "float16"],
    "tags": ["tags.csv", "--backbone", BERT, "--label-kind", "multi", "--label-separator", ";"],
    "numbers": ["numbers.csv", "--backbone", BERT, "--label-kind", "regression"],
    "photos": ["photos", "--backbone", f"py:{OWN}:Images", "--views", "1"],
}
FITS: dict[str, list[str]] = {
    **{head: ["words", "--head", head] for head in ("logistic", "ridge", "knn", "centroid", "svm", "linear")},
    "mlp": ["words", "--head", "mlp", "--param", "width=16"],
    "residual": ["words", "--head", "residual", "--param", "width=16"],
    "attention": ["tokens", "--head", "attention", "--param", "width=16"],
    "own": ["words", "--head", f"py:{OWN}:head"],
    "prepared": ["words", "--head", "logistic", "--prepare", "standardise,pca=4"],
    "swept": ["words", "--head", "linear", "--sweep", "lr=1e-3,1e-2"],
    "side-by-side": ["layers", "--head", "ridge", "--tap", "1.mean", "--tap", "last.cls"],
    "tags-logistic": ["tags", "--head", "logistic"],
    "tags-ridge": ["tags", "--head", "ridge"],
    "numbers-ridge": ["numbers", "--head", "ridge"],
    "numbers-linear": ["numbers", "--head", "linear"],
    "photos-logistic": ["photos", "--head", "logistic"],
    "photos-views": ["photos", "--head", "linear"],
}
TUNES: dict[str, list[str]] = {
    "tuned-full": ["--strategy", "full", "--epochs", "2"],
    "tuned-frozen": ["--strategy", "frozen", "--epochs", "2"],
    "tuned-last": ["--strategy", "last:1", "--epochs", "2"],
    "tuned-gradual": ["--strategy", "gradual", "--unfreeze", "1,all", "--epochs", "1"],
    "tuned-lora": ["--strategy", "lora", "--lora-rank", "2", "--epochs", "2"],
    "tuned-scratch": ["--strategy", "scratch", "--epochs", "2"],
}
COMPARED = ["logistic", "ridge", "knn", "tuned-full", "tuned-lora"]
UNFINISHED = [
    "extract", f"{HERE}/data/many.csv", "--backbone", f"py:{OWN}:Texts", "--set", "many", "--batch-size", "4",
]  # fmt: skip
INTERRUPTED = [
    "fine-tune", f"{HERE}/data/words.csv", "--backbone", BERT, "--set", "words", "--strategy", "full",
    "--epochs", "8", "--lr", "1e-3", "--batch-size", "8", "--out", "interrupted", "--cache", "cache",
]  # fmt: skip


def make_bert(folder: Path) -> None:
    """A BERT of two layers and its tokenizer."""
    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{one}" for one in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def make_data(folder: Path) -> None:
    """What the sets are extracted from, and a few new inputs of each kind."""
    folder.mkdir()
    drawn = random.Random(0)

    def text(kind: str, n: int) -> str:
        return " ".join([*drawn.choices(WORDS[kind].split(), k=drawn.randint(1, 4)), chr(97 + n)])

    kinds = [list(WORDS)[row % 3] for row in range(48)]
    splits = [SPLITS[row // 3 % 4] for row in range(48)]
    texts = [text(kind, row % 26) for row, kind in enumerate(kinds)]
    new = [(text(kind, 25), kind) for kind in kinds[:6]]
    write_csv(folder / "words.csv", [("text", "label", "split"), *zip(texts, kinds, splits, strict=True)])
    tags = [
        ";".join([kind, *(["long"] if len(text) > 12 else [])])
        for kind, text in zip(kinds, texts, strict=True)
    ]
    write_csv(folder / "tags.csv", [("text", "label", "split"), *zip(texts, tags, splits, strict=True)])
    sizes = [len(text) / 4 for text in texts]
    write_csv(folder / "numbers.csv", [("text", "label", "split"), *zip(texts, sizes, splits, strict=True)])
    write_csv(folder / "new-words.csv", [("text",), *((text,) for text, _ in new)])
    many = [(f"text {row} " + "ox" * (row % 9), f"class {row % 3}") for row in range(70)]
    write_csv(folder / "many.csv", [("text", "label"), *many])
    for number in range(24):
        write_picture(folder / "photos" / f"class-{number % 3}" / f"{number:02}.png", number, number % 3)
    for number in range(3):
        write_picture(folder / "new-photos" / f"{number}.png", 100 + number, number % 3)


def write_picture(path: Path, seed: int, colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 120, (8, 8, 3), dtype=np.uint8)
    pixels[..., colour] += 120
    Image.fromarray(pixels).save(path)


def run(*arguments: str) -> str:
    """A command that must succeed, and its output."""
    print("headstart", *arguments, flush=True)
    done = CliRunner().invoke(app, list(arguments))
    if done.exit_code:
        raise SystemExit(f"it ended with {done.exit_code}: {done.output}") from done.exception
    return done.stdout


def kill_when(pattern: str, arguments: Sequence[str], seconds: float = 0.0) -> None:
    """Start a command, and kill it some seconds after a file of that pattern has appeared."""
    print("headstart", *arguments, "(to be killed)", flush=True)
    process = subprocess.Popen([sys.executable, "-m", "headstart", *arguments])
    while not list(Path().glob(pattern)):
        if process.poll() is not None:
            raise SystemExit("it ended before it could be killed")
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def new_inputs(name: str) -> str:
    """What a run is to predict."""
    return f"{HERE}/data/new-photos" if name.startswith("photos") else f"{HERE}/data/new-words.csv"


def export_features(name: str) -> list[dict[str, Any]]:
    """Export every feature of a set, and say which file holds which."""
    written = []
    for number, feature in enumerate(json.loads(run("cache", "show", name, "--cache", "cache"))["features"]):
        file = f"features/{name}-{number}.parquet"
        chosen = ["--tap", feature["tap"], *(["--view", feature["view"]] if feature["view"] else [])]
        run("cache", "export", name, file, *chosen, "--cache", "cache")
        written.append({"options": chosen, "file": file})
    return written


def make_everything() -> dict[str, Any]:
    """Fill the folder that this process works in; returns what later versions must give."""
    expected: dict[str, Any] = {"sets": {}, "runs": {}, "memory": {"texts": MEMORY}}
    Path("features").mkdir()
    for name, (data, *options) in SETS.items():
        arguments = ["extract", f"{HERE}/data/{data}", *options, "--set", name]
        told = json.loads(run(*arguments, "--cache", "cache", "--json"))
        expected["sets"][name] = {
            "command": arguments,
            **{key: told[key] for key in ("digest", "samples", "spaces")},
            "features": export_features(name),
        }
    memory = hs.extract(MEMORY, f"py:{OWN}:Texts", set="memory", cache="cache", quiet=True)
    features = memory.arrays()[0].tolist()
    expected["memory"] |= {"backbone": f"py:{OWN}:Texts", "digest": memory.digest, "features": features}
    for name, arguments in FITS.items():
        run("fit-head", *arguments, "--cache", "cache", "--out", f"runs/{name}")
    for name, arguments in TUNES.items():
        rates = ["--lr", "1e-3", "--batch-size", "8"]
        data = [f"{HERE}/data/words.csv", "--backbone", BERT, "--set", "words", "--cache", "cache"]
        run("fine-tune", *data, *rates, *arguments, "--out", f"runs/{name}")
    run("compare", *(f"runs/{name}" for name in COMPARED), "--out", "comparison")
    os.environ["ARCHIVED_SECONDS"] = "1"
    kill_when("unfinished/spaces/*/shards/*.h5", [*UNFINISHED, "--cache", "unfinished"], seconds=9.0)
    os.environ["ARCHIVED_SECONDS"] = "0"
    kill_when(".interrupted.training/**/trainer_state.json", INTERRUPTED)
    for place in Path().rglob("features.json"):  # the one path that is recorded without its links
        place.write_text(place.read_text("utf-8").replace(os.getcwd(), HERE), "utf-8")
    for place in list(Path().rglob("plots")):
        shutil.rmtree(place)
    # What is expected comes from a copy, so that asking for it leaves the archive as it was made.
    with tempfile.TemporaryDirectory() as scratch:
        whole = shutil.copytree("cache", Path(scratch) / "cache")
        for name in [*FITS, *TUNES]:
            data = new_inputs(name)
            predicted = hs.predict(f"runs/{name}", data, cache=str(whole)).to_pydict()
            expected["runs"][name] = {
                "data": data,
                "predictions": predicted,
                "test": hs.load_run(f"runs/{name}").report["metrics"]["test"],
            }
    expected["compared"] = [f"runs/{name}" for name in COMPARED]
    expected["unfinished"] = UNFINISHED
    expected["interrupted"] = INTERRUPTED
    return expected


def main(target: Path) -> None:
    """Write the archive to a folder that does not exist yet."""
    print("made with", hs.__file__, flush=True)
    if target.exists():
        raise SystemExit(f"{target} exists; an archive is never written again")
    with tempfile.TemporaryDirectory() as machine, tempfile.TemporaryDirectory() as scratch:
        os.environ |= {
            "XDG_CACHE_HOME": machine, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ARCHIVED_SECONDS": "0",
        }  # fmt: skip
        folder = Path(scratch, target.name)
        (folder / "code").mkdir(parents=True)
        (folder / "code" / f"{OWN}.py").write_text(CODE, "utf-8")
        sys.path.insert(0, str(folder / "code"))
        code = [str(folder / "code"), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(part for part in code if part)
        target = target.resolve()
        os.chdir(folder)
        make_bert(Path("backbones/bert"))
        make_data(Path("data"))
        expected = make_everything()
        Path("expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", "utf-8")
        os.chdir(target.parent)
        shutil.copytree(folder, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
