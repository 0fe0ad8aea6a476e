"""Images as pixels, in memory: those of Pillow, arrays and tensors.

A sample of them is known by its mode and pixels, whatever held them: what is read is a PNM file with just that in it,
which is the same for an array of uint8, a tensor of floats in [0, 1] and an image of Pillow with the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}
LAYOUTS = ("NHWC", "NCHW", "NHW", "HWC", "CHW", "HW")
REMEDY = (
    "images in arrays are uint8, or floats in [0, 1]; leave out the transform that normalises or scales them, or they "
    "would be preprocessed twice"
)


def is_picture(value: Any) -> bool:
    """Whether a value is an image of Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def is_array(value: Any) -> bool:
    """Whether a value is an array of numpy or a tensor of torch, of one axis or more."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(value).__mro__}
    return bool(kinds & {"numpy.ndarray", "torch.Tensor", "torch.TensorBase"}) and len(value.shape) > 0


def as_array(value: Any) -> NDArray[Any]:
    """An array, or the values of a tensor, in no more memory where that can be."""
    if isinstance(value, np.ndarray):
        return value
    plain = value.detach().cpu()
    return np.asarray(plain.float() if str(plain.dtype) == "torch.bfloat16" else plain)


def check_layout(layout: str | None) -> str | None:
    """The order of the axes, as ``layout=`` takes it.

    Raises
    ------
    ConfigError
        There is no such order.
    """
    if layout is not None and layout.upper() not in LAYOUTS:
        raise ConfigError(f"there is no layout {layout!r}; choose from: {', '.join(LAYOUTS)}")
    return None if layout is None else layout.upper()


def layout_of(shape: Sequence[int], layout: str | None = None) -> str:
    """The order of the axes of one image: HWC, CHW or HW.

    Raises
    ------
    ConfigError
        Two orders are possible, or none.

    Examples
    --------
    >>> layout_of((3, 224, 224)), layout_of((224, 224, 4)), layout_of((28, 28))
    ('CHW', 'HWC', 'HW')
    """
    shown = " × ".join(map(str, shape))
    if layout is not None:
        order = layout.removeprefix("N")
        if len(order) != len(shape) or ("C" in order and shape[order.index("C")] not in CHANNELS):
            raise ConfigError(
                f"layout={layout!r} does not fit an image of {shown}; C is {', '.join(map(str, CHANNELS))}"
            )
        return order
    if len(shape) == 2:
        return "HW"
    last, first = (len(shape) == 3 and shape[axis] in CHANNELS for axis in (-1, 0))
    if last != first:
        return "HWC" if last else "CHW"
    if last:
        raise ConfigError(
            f"an image of {shown} may be height × width × channels or channels × height × width; say which: "
            "layout='HWC' or layout='CHW'"
        )
    raise ConfigError(
        f"an array of {shown} is no image: images are height × width, and with 1, 3 or 4 channels before or after that"
    )


def check_range(values: NDArray[Any], said: str) -> None:
    """Refuse numbers that are no brightness.

    Raises
    ------
    ConfigError
        They are neither uint8 nor floats in [0, 1].
    """
    if values.dtype == np.uint8:
        return
    if not np.issubdtype(values.dtype, np.floating):
        raise ConfigError(
            f"{said} holds {values.dtype}; {REMEDY} (.astype('uint8') where they are in [0, 255])"
        )
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):  # so is NaN
        raise ConfigError(f"{said} holds {values.dtype} from {low:.4g} to {high:.4g}; {REMEDY}")


def encode_array(values: Any, layout: str | None = None, said: str = "the array") -> bytes:
    """An image in an array as a PNM file; for errors see `layout_of` and `check_range`.

    Examples
    --------
    >>> encode_array(np.zeros((2, 2, 3), dtype=np.uint8))[:13]
    b'P6\\n# RGB\\n2 2\\n'
    """
    array = as_array(values)
    order = layout_of(array.shape, layout)
    check_range(array, said)
    if array.dtype != np.uint8:
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    pixels = array[..., None] if order == "HW" else np.moveaxis(array, order.index("C"), -1)
    return _pnm(pixels, CHANNELS[pixels.shape[-1]])


def encode_picture(image: Any) -> bytes:
    """An image of Pillow as a PNM file of what `headstart.backbones.images.decode_image` makes of it.

    Raises
    ------
    ConfigError
        Nothing says what is white in it.
    """
    mode = image.mode
    if mode in ("I", "F"):
        raise ConfigError(f"an image of mode {mode!r} does not say what is white; convert it to 'L' or 'RGB'")
    if mode.startswith("I;16"):
        return _pnm((np.asarray(image) >> 8).astype(np.uint8)[..., None], mode)
    plain = image if mode in ("L", "RGB") else image.convert("RGB")  # transparency is dropped, as of files
    pixels = np.asarray(plain)
    return _pnm(pixels if pixels.ndim == 3 else pixels[..., None], mode)


def _pnm(pixels: NDArray[np.uint8], mode: str) -> bytes:
    """A file that says its mode; of four channels the last, transparency, is dropped as of files."""
    height, width, n = pixels.shape
    kept = np.ascontiguousarray(pixels[..., :3])
    return f"P{5 if n == 1 else 6}\n# {mode}\n{width} {height}\n255\n".encode("ascii") + kept.tobytes()


class ArrayImages(Sequence[Any]):
    """The images of an array of N, each as an array of its own, looked at as a whole for what they hold.

    Raises
    ------
    ConfigError
        See `layout_of` and `check_range`.
    """

    def __init__(self, values: Any, layout: str | None = None) -> None:
        self._values = as_array(values)
        check_range(self._values, "the array")
        self.layout = layout_of(self._values.shape[1:], layout)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: Any) -> Any:
        return list(self._values[place]) if isinstance(place, slice) else self._values[place]


def images_in(values: Any, layout: str | None) -> Sequence[Any]:
    """The images that an array holds: one, or N along the first axis.

    Raises
    ------
    ConfigError
        Its axes can be taken in several ways, or in none.
    """
    shape = tuple(values.shape)
    shown = " × ".join(map(str, shape))
    if layout is not None:
        order = layout.removeprefix("N")
        if len(shape) == len(order) + 1:
            return ArrayImages(values, order)
        if layout.startswith("N") or len(shape) != len(order):
            raise ConfigError(f"layout={layout!r} does not fit an array of {shown}")
        return [values]
    if len(shape) == 4:
        return ArrayImages(values)
    if len(shape) == 3 and shape[0] not in CHANNELS:
        return [values] if shape[-1] in CHANNELS else ArrayImages(values)
    if len(shape) == 3 and shape[-1] not in CHANNELS:
        raise ConfigError(
            f"an array of {shown} may be one image or {shape[0]}; say which: layout='CHW' or layout='NHW'"
        )
    if len(shape) == 3:
        layout_of(shape)  # refuses it
    raise ConfigError(
        f"an array of {shown} is no images; give (N, H, W, C) or (N, C, H, W), or layout='HW' for one without channels "
        "(features that you have already go in by `headstart cache import`)"
    )
