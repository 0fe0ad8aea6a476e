"""Texts: headstart against what people run today, and against the bare forward of the same model.

headstart runs it with OpenVINO, for which it was converted before, unless a row says otherwise.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import headstart as hs
from benchmarks import text_peers
from benchmarks.data import Corpus, write_csv
from benchmarks.forms import Bench
from benchmarks.openvino_forward import OpenVINOForward
from benchmarks.ours import FreshCache
from benchmarks.results import Table
from benchmarks.rounds import Contestant, best_of, stopwatch, take_turns

TABLES = ("short", "long", "fifty")
BACKBONE = "bundled:all-minilm-l6-v2"
TAP = "final.mean.l2"
WARM = 8  # texts that each peer sees before its first turn
SLOW_PART = 4  # the loop that pads and the pipeline embed every so-many-th text: they take minutes otherwise


def measure(bench: Bench) -> dict[str, Table]:
    """Tables of short texts, of docstrings, and of texts of about fifty tokens."""
    peers = TextPeers(bench)
    form, data = bench.form, bench.data
    return bench.only_chosen(
        {
            "short": lambda: peers.table("Short texts", data.short_texts(form.n_short)),
            "long": lambda: peers.table("Long texts of mixed length", data.long_texts(form.n_long)),
            "fifty": lambda: peers.table("Texts of about 50 tokens", data.texts_of_fifty(form.n_fifty)),
        }
    )


class TextPeers:
    """All contestants, loaded once."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        folder = text_peers.minilm_folder()
        self._sentences = text_peers.sentence_transformers(folder)
        self._padded = text_peers.padded_loop(folder)
        self._pipeline = text_peers.feature_pipeline(folder)
        self._bare = text_peers.load_bare(folder)
        hs.prepare_backbone(BACKBONE)
        python = bench.peers
        self._backends = [text_peers.Backend(python, name) for name in text_peers.BACKENDS] if python else []

    def table(self, title: str, corpus: Corpus) -> Table:
        """All contestants on a corpus."""
        self._bench.say(f"{title}: {corpus.said}")
        ours = FreshCache(self._bench.scratch, BACKBONE, device="cpu")
        torch = FreshCache(self._bench.scratch, BACKBONE, device="cpu", runtime="torch")
        path = write_csv(self._bench.scratch / "texts.csv", corpus.texts)
        ours(path)  # first calls allocate, and remember what a backbone is
        torch(path)
        for embed in (self._sentences, self._padded, self._pipeline):
            embed(corpus.texts[:WARM])
        contestants = {
            "ours": Contestant("headstart", lambda: ours(path), len(corpus.texts)),
            "torch": Contestant("headstart with `--runtime torch`", lambda: torch(path), len(corpus.texts)),
            **self._peers(corpus.texts),
            **self._other_backends(path, len(corpus.texts)),
            **self._ceilings(corpus.texts),
        }
        rows = take_turns(contestants, self._bench.form.rounds, self._bench.say)
        return Table(title, corpus.said, rows, notes=ours.notes(), shares=ours.shares())

    def _peers(self, texts: list[str]) -> dict[str, Contestant]:
        sizes = self._bench.form.peer_batches
        best = best_of(
            sizes, lambda size: stopwatch(lambda: self._sentences(texts, size)), self._bench.form.trials
        )
        some = texts[::SLOW_PART]
        turns = {
            "st": ("sentence-transformers `encode`", lambda: self._sentences(texts), texts),
            "st-best": (f"the same, batch {best}, its best", lambda: self._sentences(texts, best), texts),
            "padded": ("loop that pads every text to 128", lambda: self._padded(some), some),
            "pipeline": ("`feature-extraction` pipeline", lambda: self._pipeline(some), some),
        }
        return {
            key: Contestant(label, stopwatch(work), len(given)) for key, (label, work, given) in turns.items()
        }

    def _ceilings(self, texts: list[str]) -> dict[str, Contestant]:
        def bare(size: int, compiled: bool = False) -> text_peers.BareForward:
            return text_peers.BareForward(*self._bare, texts, size, compiled)

        best = best_of(self._bench.form.text_batches, lambda size: bare(size).run, self._bench.form.trials)
        found = {
            "eager": Contestant(f"ceiling: torch's bare forward, batch {best}", bare(best).run, len(texts))
        }
        if self._bench.form.compiled_texts:
            compiled = bare(best, compiled=True).run
            found["compiled"] = Contestant("ceiling: the same compiled", compiled, len(texts))
        tried = {size: self._converted(texts, size).run for size in self._bench.form.text_batches}
        best = best_of(list(tried), tried.__getitem__, self._bench.form.trials)
        label = f"ceiling: OpenVINO's own forward, batch {best}"
        return found | {"openvino": Contestant(label, tried[best], len(texts))}

    def _converted(self, texts: list[str], size: int) -> OpenVINOForward:
        return OpenVINOForward(BACKBONE, [TAP], token_batches(self._bare[1], texts, size))

    def _other_backends(self, path: Path, n: int) -> dict[str, Contestant]:
        """sentence-transformers' own other runtimes, each with its best batch size."""
        found = {}
        for backend in self._backends:
            sizes, trials = self._bench.form.peer_batches, self._bench.form.trials
            best = best_of(sizes, lambda size, run=backend: partial(run, path, size), trials)
            label = f"the same, backend {backend.name}, batch {best}, its best"
            found[f"st-{backend.name}"] = Contestant(label, partial(backend, path, best), n)
        return found


def token_batches(tokenizer: Any, texts: list[str], size: int) -> list[dict[str, Any]]:
    """Tokens of texts as arrays, longest first, with all that the model takes."""
    batches = text_peers.sorted_batches(tokenizer, texts, size, "cpu")
    arrays = [{name: tensor.numpy() for name, tensor in batch.items()} for batch in batches]
    return [{**batch, "token_type_ids": np.zeros_like(batch["input_ids"])} for batch in arrays]
