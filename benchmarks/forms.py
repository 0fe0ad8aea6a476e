"""How thoroughly to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import Data
from benchmarks.results import Table


@dataclass(frozen=True)
class Form:
    """Sample sizes and rounds.

    Parameters
    ----------
    name : str
    rounds : int
        Turns of each contestant.
    trials : int
        Turns of each batch size among which the best is looked for.
    whole_rounds : int
        Turns of each command in the tables that count everything.
    n_short, n_long, n_fifty, n_photos, n_small, n_taps, n_forward : int
        Samples: short texts, docstrings, texts of 50 tokens, photos, small images, samples of the tables
        about taps and growth, images that the bare forward runs over.
    n_whole_texts, n_whole_photos : tuple of int
        Samples of the tables that count everything, one table each.
    n_gpu : int
    text_batches, peer_batches, image_batches : tuple of int
        Batch sizes among which the best is looked for.
    compiled_texts : bool
        Whether the compiled text model is measured: it compiles for a minute.
    """

    name: str
    rounds: int
    trials: int
    whole_rounds: int
    n_short: int
    n_long: int
    n_fifty: int
    n_photos: int
    n_small: int
    n_taps: int
    n_forward: int
    n_whole_texts: tuple[int, ...]
    n_whole_photos: tuple[int, ...]
    n_gpu: int
    text_batches: tuple[int, ...]
    peer_batches: tuple[int, ...]
    image_batches: tuple[int, ...]
    compiled_images: tuple[int, ...]
    compiled_texts: bool = True

    @property
    def said(self) -> str:
        """In words."""
        return f"{self.name} form: {self.rounds} rounds, {self.whole_rounds} of whole commands"


LONG = Form(
    "long", rounds=5, trials=2, whole_rounds=3, n_short=2000, n_long=1000, n_fifty=1000, n_photos=1000,
    n_small=1000, n_taps=1000, n_forward=256, n_whole_texts=(2000,), n_whole_photos=(1000, 10_000), n_gpu=20_000,
    text_batches=(4, 8, 16, 32, 64), peer_batches=(8, 16, 32, 64, 128, 256), image_batches=(4, 8, 16, 32, 64),
    compiled_images=(8, 16, 32),
)  # fmt: skip

SHORT = Form(
    "short", rounds=2, trials=1, whole_rounds=1, n_short=64, n_long=24, n_fifty=24, n_photos=48,
    n_small=32, n_taps=16, n_forward=48, n_whole_texts=(), n_whole_photos=(48,), n_gpu=2_000,
    text_batches=(16,), peer_batches=(16, 64), image_batches=(8,), compiled_images=(), compiled_texts=False,
)  # fmt: skip

MEDIUM = Form(
    "medium", rounds=3, trials=1, whole_rounds=1, n_short=1500, n_long=600, n_fifty=1000, n_photos=1000,
    n_small=1000, n_taps=1000, n_forward=128, n_whole_texts=(), n_whole_photos=(1000, 10_000), n_gpu=20_000,
    text_batches=(16, 32), peer_batches=(16, 32, 64), image_batches=(4, 8), compiled_images=(16,), compiled_texts=False,
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What every part of the benchmark is given.

    Parameters
    ----------
    form : Form
    data : Data
    scratch : Path
        A folder that is deleted at the end.
    say : callable
        For whoever waits.
    peers : Path, optional
        The interpreter of an environment with ``sentence-transformers[openvino,onnx]``.
    chosen : frozenset of str
        The tables of a part that are measured; empty: all of them.
    """

    form: Form
    data: Data
    scratch: Path
    say: Callable[[str], None]
    peers: Path | None = None
    chosen: frozenset[str] = frozenset()

    def only_chosen(self, tables: Mapping[str, Callable[[], Table]]) -> dict[str, Table]:
        """Measure the tables that are wanted."""
        return {name: table() for name, table in tables.items() if not self.chosen or name in self.chosen}
