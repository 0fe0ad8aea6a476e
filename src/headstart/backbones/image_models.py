"""Image models as frozen models, and what the backbones of timm and torchvision share."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from headstart.backbones.blocks import BLOCK
from headstart.backbones.byte_images import byte_pixels, sends_bytes
from headstart.backbones.described_images import plain_images
from headstart.backbones.freezing import grad_context, n_parameters
from headstart.backbones.images import CPU_IMAGES, GPU_IMAGES, PIXELS, prepare_images
from headstart.backbones.portable import WEIGHTS
from headstart.errors import ConfigError, SampleError
from headstart.types import AT_END

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from PIL import Image

    from headstart.backbones.options import BackboneOptions
    from headstart.backbones.plain_inputs import PlainInputs
    from headstart.backbones.portable import BackboneSaver
    from headstart.contracts import Change
    from headstart.types import Activations, Payload


class FrozenImageModel:
    """An image model with its own transform, in memory and frozen.

    ``module``: in eval mode, on its device; ``transform``: from an RGB image to a float tensor (3, H, W);
    ``read``: from a batch (B, 3, H, W) on the device, and what is wanted, to `Activations`; ``read_blocks``:
    the same for what leaves blocks (``block1`` …), where they can be told apart; ``blocks``: first to last,
    where neither timm nor transformers says which they are; ``processor``: of transformers, if it is what
    transforms.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        transform: Callable[[Image.Image], torch.Tensor],
        read: Callable[[torch.Tensor, Collection[str]], Activations],
        read_blocks: Callable[[torch.Tensor, Collection[str]], Activations],
        blocks: Sequence[torch.nn.Module] | None = None,
        processor: Any = None,
    ) -> None:
        import torch

        # Pillow warns of odd EXIF, palettes and many pixels; what matters is raised. Set once, since the
        # reader threads could not each change the process's filters and put them back.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        self.module = module
        self._transform, self._processor = transform, processor
        # A GPU gets bytes: readers write a quarter, and so does the bus.
        self._bytes = byte_pixels(processor or transform, transform) if sends_bytes(module) else None
        self._read, self._read_blocks = read, read_blocks
        self.blocks = blocks
        parameter = next(module.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self.is_reentrant = True
        self.module.to(memory_format=torch.channels_last)
        self.budget = CPU_IMAGES if self.device.type == "cpu" else GPU_IMAGES

    def prepare(
        self, payloads: Sequence[Payload], changes: Sequence[Change | None] | None = None
    ) -> list[Any | SampleError]:
        """Decoded and transformed images, or the reason why one cannot be."""
        return prepare_images(
            payloads, changes, self._transform if self._bytes is None else self._bytes.prepare
        )

    def length(self, prepared: Any) -> int:
        """All images cost the same."""
        return 1

    def collate(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Images as one batch (B, 3, H, W), channels last in memory: transformed, or bytes still."""
        import torch

        if self._bytes is not None:
            return {PIXELS: self._bytes.batch(prepared)}
        return {PIXELS: torch.stack(list(prepared)).to(memory_format=torch.channels_last)}

    def plain(self) -> PlainInputs | None:
        """What prepares its batches on a CPU without torch; None if nothing does it alike."""
        return plain_images(self, self._processor or self._transform)

    def forward(self, batch: Mapping[str, torch.Tensor], reads: Collection[str] = AT_END) -> Activations:
        """Run the model over a batch of transformed images."""
        import torch

        pixels = batch[PIXELS]
        if self._bytes is not None and pixels.dtype == torch.uint8:
            pixels = self._bytes.numbers(pixels)
        pixels = pixels.to(self._dtype)
        layers = [name for name in reads if name.startswith(BLOCK)]
        with grad_context(self.module):
            if layers:
                return self._read_blocks(pixels, layers)
            return self._read(pixels, reads)


class LibraryBackbone:
    """An image model of a library, by its name there: what timm and torchvision share."""

    library: str
    remedy = "fetch the weights where there is a network, pass --weights FILE, or choose a bundled: backbone"
    _model: Any  # loaded when it is first asked for

    def __init__(self, spec: str, name: str, options: BackboneOptions) -> None:
        self.spec = spec
        self._name = name
        self._options = options

    def cache_key(self) -> Mapping[str, Any]:
        """Spec, options and the versions that could resolve it otherwise."""
        versions = {package: metadata.version(package) for package in (self.library, "torch")}
        return {"spec": self.spec, "options": self._options.given(), "versions": versions}

    def source_files(self) -> Sequence[Path]:
        """The files that the weights were read from."""
        raise NotImplementedError

    def provenance(self) -> dict[str, Any]:
        """What made the features, for people."""
        return {
            "versions": self.cache_key()["versions"],
            "parameters": n_parameters(self._model),
            "files": sorted(path.name for path in self.source_files()),
        }

    def tunable(self, tap: str) -> BackboneSaver:
        """Its weights, under the names of its library."""

        def keep(folder: Path) -> tuple[str, BackboneOptions]:
            from safetensors.torch import save_model

            save_model(self._model, str(folder / WEIGHTS))
            return f"{self.library}:{self._name}", replace(self._options, weights=folder / WEIGHTS)

        return keep

    def unknown(self, what: str, name: str, known: Collection[str]) -> ConfigError:
        """The library has nothing of this name; the nearest are named."""
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        return ConfigError(f"{self.library} has no {what} {name!r}{hint}")
