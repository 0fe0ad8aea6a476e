"""What more features, new samples and copies cost: ratios of headstart against itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import headstart as hs
from benchmarks import image_peers, images, text_peers, texts
from benchmarks.data import Photos, write_csv
from benchmarks.forms import Bench
from benchmarks.openvino_forward import OpenVINOForward
from benchmarks.ours import FreshCache, ours
from benchmarks.results import Table
from benchmarks.rounds import Contestant, Timing, take_turns
from headstart.backbones.pooling import canonical_tap

NEW_SHARE = 100  # one sample in so many is new
TIMES = "time: × of the first row"
TEXTS_A_BATCH, PHOTOS_A_BATCH = 16, 4
"""Of the model alone."""


@dataclass(frozen=True)
class Taps:
    """The taps that are compared for one backbone."""

    n_layers: int
    one: tuple[str, ...]
    nine: tuple[str, ...]
    half: tuple[str, ...]


def crossed(layers: tuple[str, ...], poolings: tuple[str, ...]) -> tuple[str, ...]:
    """Every layer with every pooling."""
    return tuple(f"{layer}.{pooling}" for layer in layers for pooling in poolings)


MINILM = Taps(6, ("last.mean",), crossed(("2", "4", "last"), ("mean", "cls", "max")), ("3.mean",))
LITE0 = Taps(5, ("last.mean",), crossed(("2", "4", "last"), ("mean", "max", "gem")), ("3.mean",))  # stages


def measure(bench: Bench) -> dict[str, Table]:
    """Tables of taps and of growth, for texts and for photos."""
    for backbone in (texts.BACKBONE, images.BACKBONE):
        hs.prepare_backbone(backbone)
    corpus = bench.data.long_texts(bench.form.n_taps)
    photos = bench.data.photos(bench.form.n_taps)
    path = write_csv(bench.scratch / "taps.csv", corpus.texts)
    tokenizer = text_peers.load_bare(text_peers.minilm_folder())[1]
    tokens = texts.token_batches(tokenizer, corpus.texts, TEXTS_A_BATCH)
    some = photos.paths[: bench.form.n_forward]
    decoded = image_peers.decode_all(some, image_peers.transform_of(image_peers.lite0()))
    pixels = images.pixel_batches(decoded, PHOTOS_A_BATCH)
    new_texts = Growth(bench, texts.BACKBONE, SomeTexts(corpus.texts))
    new_photos = Growth(bench, images.BACKBONE, SomePhotos(photos))
    return {
        "taps-texts": _taps(
            bench, texts.BACKBONE, MINILM, Samples(path, len(corpus.texts), corpus.said, tokens)
        ),
        "taps-photos": _taps(
            bench, images.BACKBONE, LITE0, Samples(photos.folder, len(photos.paths), photos.said, pixels)
        ),
        "growth-texts": new_texts.table("New texts", corpus.said, len(corpus.texts)),
        "growth-photos": new_photos.table("New photos", photos.said, len(photos.paths)),
    }


@dataclass(frozen=True)
class Samples:
    """What taps are read from: the data of a command, and batches of it in memory."""

    data: Any
    n: int
    said: str
    batches: list[dict[str, Any]]

    @property
    def n_in_batches(self) -> int:
        """How many samples the batches have."""
        return sum(len(next(iter(batch.values()))) for batch in self.batches)


def _taps(bench: Bench, backbone: str, taps: Taps, samples: Samples) -> Table:
    bench.say(f"Taps of {backbone}: {samples.said}")
    labels = {
        "one": f"one tap, `{taps.one[0]}`",
        "nine": "three layers × three poolings",
        "half": f"one tap at half depth, `{taps.half[0]}`",
    }
    caches = {
        key: FreshCache(bench.scratch, backbone, device="cpu", taps=list(getattr(taps, key)))
        for key in labels
    }
    for cache in caches.values():
        cache(samples.data)
    asked = {key: [canonical_tap(tap, taps.n_layers) for tap in getattr(taps, key)] for key in labels}
    passes = {key: OpenVINOForward(backbone, asked[key], samples.batches) for key in labels}
    for alone in passes.values():
        alone.run()
    contestants = {
        key: Contestant(label, lambda cache=caches[key]: cache(samples.data), samples.n)  # type: ignore[misc]
        for key, label in labels.items()
    } | {
        f"{key}-pass": Contestant(f"{label}: the model alone", passes[key].run, samples.n_in_batches)
        for key, label in labels.items()
    }
    rows = take_turns(contestants, bench.form.rounds, bench.say)
    return Table(f"Taps of `{backbone}`", samples.said, rows, reference="one", versus=TIMES)


class SomeTexts:
    """The first of some texts, as a table; from ``n`` on they begin again."""

    def __init__(self, corpus: list[str]) -> None:
        self._corpus = corpus

    def __call__(self, count: int, target: Path) -> Path:
        return write_csv(target.with_suffix(".csv"), list(islice(cycle(self._corpus), count)))


class SomePhotos:
    """The first photos of a folder, as a folder of their own; from ``n`` on they come as copies."""

    def __init__(self, photos: Photos) -> None:
        self._photos = photos

    def __call__(self, count: int, target: Path) -> Path:
        for number, path in enumerate(islice(cycle(self._photos.paths), count)):
            copy = target / path.parent.name / f"{number:06d}{path.suffix}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return target


class Growth:
    """One percent of new samples, and copies, against the full extraction.

    Parameters
    ----------
    bench : Bench
    backbone : str
    some : callable
        Writes so many of the samples to a path, and gives the data that it made.
    """

    def __init__(self, bench: Bench, backbone: str, some: Callable[[int, Path], Path]) -> None:
        self._bench = bench
        self._backbone = backbone
        self._some = some

    def table(self, title: str, said: str, n: int) -> Table:
        """The table: seconds of whole extractions; loading the model is a row of its own."""
        self._bench.say(f"{title}: {said}")
        scratch = self._bench.scratch / title.replace(" ", "-")
        scratch.mkdir()
        n_new = max(n // NEW_SHARE, 1)
        whole, most = self._some(n, scratch / "whole"), self._some(n - n_new, scratch / "most")
        twice = self._some(2 * n, scratch / "twice")
        ours(most, self._backbone, scratch / "held", device="cpu")
        full = FreshCache(scratch, self._backbone, device="cpu")
        grown, warm = Grown(scratch / "held", self._backbone), Grown(scratch / "held", self._backbone)
        contestants = {
            "full": Contestant(f"all {n:,} samples", lambda: full(whole)),
            "twice": Contestant("all samples, each of them twice", lambda: full(twice)),
            "new": Contestant(f"{n_new:,} new, the others held", lambda: grown(whole)),
            "none": Contestant("nothing new", lambda: warm(most)),
        }
        rows = take_turns(contestants, self._bench.form.rounds, self._bench.say)
        rows["loading"] = Timing("loading the model, which is in none of them", 0, tuple(grown.loading))
        return Table(title, said, rows, reference="full", versus=TIMES, in_rates=False)


class Grown:
    """`ours`, each time in a copy of a cache that holds most of the samples."""

    def __init__(self, held: Path, backbone: str) -> None:
        self._held = held
        self._backbone = backbone
        self.loading: list[float] = []

    def __call__(self, data: Any) -> float:
        """Seconds of extracting what the cache lacks."""
        cache = self._held.with_name(self._held.name + "-copy")
        shutil.copytree(self._held, cache)
        try:
            done = ours(data, self._backbone, cache, device="cpu")
        finally:
            shutil.rmtree(cache)
        self.loading.append(done.loading)
        return done.seconds
