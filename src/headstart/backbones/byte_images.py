"""Pictures that are bytes until they lie on the device: a quarter of what float32 takes to make, to pin and to copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.described_images import describe, trial_pictures
from headstart.backbones.images import decode_image
from headstart.backbones.plain_images import PlainTransform

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from PIL import Image


class BytePixels:
    """A transform in two parts: to the bytes of a picture on the CPU, and from these to numbers on the device.

    A byte is one of 256: what each of them is in each channel is looked up, so that the numbers are those of the whole
    transform to the last bit, whatever the arithmetic of the device.
    """

    def __init__(self, prepare: Callable[[Image.Image], torch.Tensor], table: torch.Tensor) -> None:
        self.prepare = prepare
        """From an RGB picture to its bytes (H, W, 3), resized and cut as the model takes it."""
        self._table = table.reshape(-1)
        self._tables: dict[torch.device, torch.Tensor] = {}

    def batch(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        """Pictures as one batch of uint8 (B, 3, H, W), channels last in memory."""
        import torch

        return torch.stack(list(prepared)).permute(0, 3, 1, 2)

    def numbers(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the model takes of a batch on its device, in float32 of the same shape, channels last in memory."""
        import torch

        table = self._tables.get(pixels.device)
        if table is None:
            table = self._tables[pixels.device] = self._table.to(pixels.device)
        rows = pixels.permute(0, 2, 3, 1)
        places = rows.int() + torch.arange(0, 3 * 256, 256, dtype=torch.int32, device=pixels.device)
        return table.index_select(0, places.reshape(-1)).reshape(rows.shape).permute(0, 3, 1, 2)


def sends_bytes(module: torch.nn.Module) -> bool:
    """Whether pictures go to a model as bytes: to one that is not on the CPU."""
    return next(module.parameters()).device.type != "cpu"


def byte_pixels(transform: Any, whole: Callable[[Image.Image], torch.Tensor]) -> BytePixels | None:
    """The two parts of a transform, shown to be those on pictures of several shapes; None: nothing is known of it.

    Parameters
    ----------
    transform : object
        A ``Compose`` as timm makes it, an ``ImageClassification`` of torchvision, or an image processor.
    whole : callable
        From an RGB picture to its numbers (3, H, W).
    """
    import torch

    parts = _of_processor(transform) if hasattr(transform, "do_rescale") else _of_steps(transform)
    if parts is None:
        return None
    pictures = [decode_image(file) for file in trial_pictures()]
    alike = (
        torch.equal(parts.numbers(parts.batch([parts.prepare(picture)]))[0], whole(picture))
        for picture in pictures
    )
    return parts if all(alike) else None


def _of_steps(transform: Any) -> BytePixels | None:
    """The parts of a transform of timm or torchvision, in Pillow and numpy."""
    import torch

    description = describe(transform)
    if description is None:
        return None
    plain = PlainTransform(description)
    table = plain.numbers_of(np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256)))
    return BytePixels(
        lambda image: torch.from_numpy(np.array(plain.pictured(image))), torch.from_numpy(table.reshape(-1))
    )


def _of_processor(processor: Any) -> BytePixels | None:
    """The parts of an image processor of transformers, each of which it does by itself."""
    import torch
    from PIL import Image

    if not processor.do_rescale:
        return None

    def prepare(image: Image.Image) -> torch.Tensor:
        made = processor(images=image, return_tensors="pt", do_rescale=False, do_normalize=False)
        pixels: torch.Tensor = made["pixel_values"][0]
        return pixels.to(torch.uint8).permute(1, 2, 0)

    every = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    as_it_is = {name: False for name in ("do_resize", "do_center_crop") if hasattr(processor, name)}
    try:
        made = processor(images=Image.fromarray(every), return_tensors="pt", **as_it_is)["pixel_values"][0]
    except (TypeError, ValueError, RuntimeError):  # it does not do one without the other
        return None
    return BytePixels(prepare, made.reshape(3, 256)) if made.shape == (3, 16, 16) else None
