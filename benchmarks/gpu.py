"""On a GPU in bf16: headstart end to end against the bare forward on tensors that are on the device already.

ViT-B/16 and BERT-base with random weights: they are as fast as trained ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import image_peers, text_peers
from benchmarks.data import Photos, write_csv, write_files
from benchmarks.forms import Bench
from benchmarks.machine import n_cores
from benchmarks.ours import FreshCache
from benchmarks.results import Table
from benchmarks.rounds import Contestant, best_of, stopwatch, take_turns

BATCHES = (64, 128, 256, 512)
SIDE = 224
N_FORWARD = 1024


@dataclass(frozen=True)
class Setting:
    """Where to measure, and how large the models are.

    Parameters
    ----------
    device, precision : str
    vit : str
        timm's name.
    bert : dict
        What departs from BERT-base.
    batches : tuple of int
    """

    device: str = "cuda"
    precision: str = "bf16"
    vit: str = "vit_base_patch16_224"
    bert: tuple[tuple[str, int], ...] = ()
    batches: tuple[int, ...] = BATCHES

    @property
    def dtype(self) -> Any:
        """Of weights and activations."""
        import torch

        return {"bf16": torch.bfloat16, "fp32": torch.float32}[self.precision]

    @property
    def extraction(self) -> dict[str, str]:
        """The options of ``headstart extract``."""
        return {"device": self.device, "precision": self.precision}


def measure(bench: Bench, setting: Setting | None = None) -> dict[str, Table]:
    """A table for texts and one for images; none where there is no GPU."""
    import torch

    if setting is None and not torch.cuda.is_available():
        return {}
    setting = setting or Setting()
    return {"texts": text_table(bench, setting), "images": image_table(bench, setting)}


def text_table(bench: Bench, setting: Setting) -> Table:
    """BERT-base from texts, its tokenising counted."""
    folder = save_bert(bench.scratch / "bert", setting)
    corpus = bench.data.many_texts(bench.form.n_gpu)
    bench.say(f"BERT on {setting.device}: {corpus.said}")
    model, tokenizer = text_peers.load_bare(folder)
    model = model.to(device=setting.device, dtype=setting.dtype)

    def bare(size: int, compiled: bool = False) -> text_peers.BareForward:
        return text_peers.BareForward(model, tokenizer, corpus.texts, size, compiled)

    ours = FreshCache(bench.scratch, f"hf:{folder}", taps=["last.mean"], **setting.extraction)
    path = write_csv(bench.scratch / "gpu.csv", corpus.texts)
    ours(path)
    best = best_of(setting.batches, lambda size: bare(size).run, bench.form.trials)
    compiled, n = bare(best, compiled=True), len(corpus.texts)
    contestants = {
        "ours": Contestant("headstart, from texts", lambda: ours(path), n),
        "tokenise": Contestant("tokenise only", stopwatch(lambda: tokenizer(corpus.texts)), n),
        "eager": Contestant(f"ceiling: bare forward, batch {best}", bare(best).run, n),
        "compiled": Contestant("ceiling: the same compiled", compiled.run, n),
    }
    rows = take_turns(contestants, bench.form.rounds, bench.say)
    return Table(
        f"BERT-base, {setting.precision}", corpus.said, rows, notes=ours.notes(), shares=ours.shares()
    )


def image_table(bench: Bench, setting: Setting) -> Table:
    """ViT-B/16 from pictures that need no decoding, and from JPEGs."""
    weights, model = save_vit(bench.scratch / "vit.safetensors", setting)
    photos = bench.data.photos(bench.form.n_gpu // 4)
    bench.say(f"ViT on {setting.device}: {photos.said}")
    pictures = bitmaps(photos, bench.scratch / "bitmaps")
    transform, n = image_peers.transform_of(model), len(photos.paths)
    images = image_peers.decode_all(photos.paths[:N_FORWARD], transform)
    model = model.to(device=setting.device, dtype=setting.dtype)

    def bare(size: int, compiled: bool = False) -> image_peers.BareForward:
        return image_peers.BareForward(model, images, size, channels_last=False, compiled=compiled)

    def extraction(**options: Any) -> FreshCache:
        spec = f"timm:{setting.vit}"
        return FreshCache(bench.scratch, spec, weights=weights, **setting.extraction, **options)

    # Of the model's own size and without a crop there is nothing left to resize.
    decoded, encoded = extraction(crop_pct=1.0), extraction()
    decoded(pictures)
    best = best_of(setting.batches, lambda size: bare(size).run, bench.form.trials)
    eager, compiled = bare(best), bare(best, compiled=True)
    contestants = {
        "ours": Contestant("headstart, from decoded images (BMP)", lambda: decoded(pictures), n),
        "ours-jpeg": Contestant("headstart, from JPEGs", lambda: encoded(photos.folder), n),
        "decode": _decoding(photos, transform),
        "eager": Contestant(f"ceiling: bare forward, batch {best}", eager.run, eager.n),
        "compiled": Contestant("ceiling: the same compiled", compiled.run, compiled.n),
    }
    rows = take_turns(contestants, bench.form.rounds, bench.say)
    needed = rows["ours"].rate / (rows["decode"].rate / n_cores())
    limit = f"decoding JPEGs becomes the limit with fewer than {needed:.0f} cores a GPU"
    return Table(
        f"ViT-B/16, {setting.precision}",
        photos.said,
        rows,
        notes=(limit, *decoded.notes()),
        shares=decoded.shares(),
    )


def _decoding(photos: Photos, transform: Callable[[Any], Any]) -> Contestant:
    work = stopwatch(lambda: image_peers.decode_all(photos.paths, transform))
    return Contestant(f"read, decode and transform JPEGs, {n_cores()} threads", work, len(photos.paths))


def save_bert(folder: Path, setting: Setting) -> Path:
    """A BERT with random weights and the tokenizer of all-MiniLM-L6-v2, which is BERT's own."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(**dict(setting.bert))).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(str(text_peers.minilm_folder())).save_pretrained(folder)
    return folder


def save_vit(path: Path, setting: Setting) -> tuple[Path, Any]:
    """A vision transformer with random weights, and the file of them."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(setting.vit, pretrained=False, num_classes=0).eval()
    save_file(model.state_dict(), path)
    return path, model


def bitmaps(photos: Photos, folder: Path) -> Path:
    """The photos at the model's size, uncompressed, in a folder of class folders."""
    import io

    from PIL import Image

    def files() -> Iterator[tuple[str, bytes]]:
        for path in photos.paths:
            held = io.BytesIO()
            with Image.open(path) as image:
                image.convert("RGB").resize((SIDE, SIDE)).save(held, "BMP")
            yield f"{path.parent.name}/{path.stem}.bmp", held.getvalue()

    write_files(folder, files())
    return folder
