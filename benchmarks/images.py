"""Images: headstart against the plain timm loop, and against what the cores can give.

headstart runs the model with OpenVINO, for which it was converted before, unless a row says otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import headstart as hs
from benchmarks import image_peers
from benchmarks.data import Photos
from benchmarks.forms import Bench
from benchmarks.machine import n_cores
from benchmarks.openvino_forward import OpenVINOForward
from benchmarks.ours import FreshCache
from benchmarks.results import Table
from benchmarks.rounds import Contestant, Timing, best_of, stopwatch, sum_of, take_turns

BACKBONE = "bundled:efficientnet-lite0"
TAP = "pooler"
TRIED = 64
"""Images over which the loop's best batch size is looked for."""


def measure(bench: Bench) -> dict[str, Table]:
    """Tables of photos and of small images."""
    model = image_peers.lite0()
    hs.prepare_backbone(BACKBONE)
    return {
        "photos": table(bench, model, "Photos", bench.data.photos(bench.form.n_photos)),
        "small": table(bench, model, "Small images", bench.data.small_images(bench.form.n_small)),
    }


def table(bench: Bench, model: Any, title: str, photos: Photos) -> Table:
    """All contestants on a folder of images."""
    bench.say(f"{title}: {photos.said}")
    paths = photos.paths
    ours = FreshCache(bench.scratch, BACKBONE, device="cpu")
    torch = FreshCache(bench.scratch, BACKBONE, device="cpu", runtime="torch")
    transform, loop = image_peers.transform_of(model), image_peers.timm_loop(model)
    ours(photos.folder)
    torch(photos.folder)
    contestants = {
        "ours": Contestant("headstart", lambda: ours(photos.folder), len(paths)),
        "torch": Contestant("headstart with `--runtime torch`", lambda: torch(photos.folder), len(paths)),
        "timm": Contestant("plain timm loop, batch 64", stopwatch(lambda: loop(photos.folder)), len(paths)),
        "timm-best": _best_loop(bench, model, photos),
        "decode": Contestant(
            f"ceiling: read, decode and transform, {n_cores()} threads",
            stopwatch(lambda: image_peers.decode_all(paths, transform)),
            len(paths),
        ),
        **_forwards(bench, model, image_peers.decode_all(paths[: bench.form.n_forward], transform)),
    }
    rows = take_turns(contestants, bench.form.rounds, bench.say)
    return Table(title, photos.said, _with_sum(rows), notes=ours.notes(), shares=ours.shares())


def _best_loop(bench: Bench, model: Any, photos: Photos) -> Contestant:
    """The loop with the batch size that is best for it, channels-last."""
    some = bench.scratch / f"{photos.folder.name}-some"
    for path in photos.paths[:TRIED] if not some.exists() else ():
        (some / path.parent.name).mkdir(parents=True, exist_ok=True)
        (some / path.parent.name / path.name).symlink_to(path.resolve())

    def loop(size: int) -> Any:
        return image_peers.timm_loop(model, batch_size=size, channels_last=True)

    sizes = bench.form.image_batches
    best = best_of(sizes, lambda size: stopwatch(lambda: loop(size)(some)), bench.form.trials)
    label = f"the same, channels-last, batch {best}, its best"
    return Contestant(label, stopwatch(lambda: loop(best)(photos.folder)), len(photos.paths))


def _forwards(bench: Bench, model: Any, images: list[Any]) -> dict[str, Contestant]:
    def bare(size: int, **options: bool) -> image_peers.BareForward:
        return image_peers.BareForward(model, images, size, **options)

    best = best_of(bench.form.image_batches, lambda size: bare(size).run, bench.form.trials)
    plain, eager = bare(image_peers.BATCH, channels_last=False), bare(best)
    found = {
        "contiguous": Contestant(f"forward only, contiguous, batch {image_peers.BATCH}", plain.run, plain.n),
        "eager": Contestant(f"ceiling: forward only, channels-last, batch {best}", eager.run, eager.n),
    }
    if bench.form.compiled_images:
        tried = {size: bare(size, compiled=True) for size in bench.form.compiled_images}
        size = best_of(bench.form.compiled_images, lambda size: tried[size].run, bench.form.trials)
        chosen = tried[size]
        label = f"ceiling: the same compiled with freezing, batch {size} (in {chosen.compile_seconds:.0f} s)"
        found["compiled"] = Contestant(label, chosen.run, chosen.n)
    converted = {
        size: OpenVINOForward(BACKBONE, [TAP], pixel_batches(images, size))
        for size in bench.form.image_batches
    }
    size = best_of(list(converted), lambda size: converted[size].run, bench.form.trials)
    label = f"ceiling: OpenVINO's own forward, batch {size}"
    return found | {"openvino": Contestant(label, converted[size].run, len(images))}


def pixel_batches(images: list[Any], size: int) -> list[dict[str, Any]]:
    """Transformed images as arrays."""
    arrays = np.stack([image.numpy() for image in images])
    return [{"images": arrays[start : start + size]} for start in range(0, len(arrays), size)]


def _with_sum(rows: dict[str, Timing]) -> dict[str, Timing]:
    """With what the cores can give when decoding and the fastest forward share them."""
    forward = min(
        (rows[key] for key in ("eager", "compiled", "openvino") if key in rows), key=lambda row: row.share
    )
    both = sum_of("ceiling: 1 / (1/forward + 1/decode)", rows["decode"], forward)
    return {**rows, "both": both}
