"""Images from bytes to model input, and timm-style image models as frozen models."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from headstart.errors import SampleError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from headstart.types import Activations, Payload

CPU_BATCH = 8  # small batches are fastest on CPUs: the activations stay in the cache
GPU_BATCH = 64


def decode_image(payload: Payload) -> Image.Image:
    """Decode an image file to RGB.

    Raises
    ------
    SampleError
        The bytes are not an image that Pillow can read whole.
    """
    from PIL import Image, UnidentifiedImageError

    if not isinstance(payload, bytes):
        raise SampleError(f"expected the bytes of an image, got {type(payload).__name__}")
    try:
        with Image.open(io.BytesIO(payload)) as image:
            return image.convert("RGB")
    except UnidentifiedImageError:
        raise SampleError("the file is not an image that can be read") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise SampleError(f"the image cannot be decoded: {str(error).splitlines()[0]}") from None


class FrozenImageModel:
    """An image model with its own transform, in memory and frozen.

    Parameters
    ----------
    module : torch.nn.Module
        In eval mode, on its device.
    transform : callable
        From an RGB image to a float tensor (3, H, W).
    read : callable
        From a batch (B, 3, H, W) on the device to `Activations`.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        transform: Callable[[Image.Image], torch.Tensor],
        read: Callable[[torch.Tensor], Activations],
    ) -> None:
        import torch

        # Pillow warns of odd EXIF and palettes; what matters is raised. Set once, since the reader
        # threads could not each change the process's filters and put them back.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        self.module = module
        self._transform = transform
        self._read = read
        parameter = next(module.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self.module.to(memory_format=torch.channels_last)
        self.batch_size = CPU_BATCH if self._device.type == "cpu" else GPU_BATCH

    def prepare(self, payloads: Sequence[Payload]) -> list[Any | SampleError]:
        """Decoded and transformed images, or the reason why one cannot be."""
        prepared: list[Any | SampleError] = []
        for payload in payloads:
            try:
                prepared.append(self._transform(decode_image(payload)))
            except SampleError as error:
                prepared.append(error)
        return prepared

    def length(self, prepared: Any) -> int:
        """All images cost the same."""
        return 1

    def forward(self, prepared: Sequence[Any]) -> Activations:
        """Run the model over a batch of transformed images."""
        import torch

        batch = torch.stack(list(prepared)).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            return self._read(batch.to(device=self._device, dtype=self._dtype))
