"""The transforms of timm, torchvision and transformers in words, from which `PlainTransform` does the same."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.plain_inputs import PlainInputs, proven

if TYPE_CHECKING:
    from headstart.contracts import FrozenModel
    from headstart.types import Json

    Step = tuple[str, dict[str, Json]]


# (width, height); both larger and smaller than what models take, with odd and even rests, and one pixel
TRIAL_SIZES = ((500, 375), (375, 501), (64, 64), (33, 20), (9, 40), (1, 1), (700, 70), (256, 257))
# Where a class of transformers could do something else than its backend, which resizes with Pillow.
_ON_THE_WAY = (
    "__call__", "preprocess", "_standardize_kwargs", "_prepare_images_structure", "_prepare_image_like_inputs",
    "_preprocess_image_like_inputs", "process_image", "convert_to_rgb", "_preprocess", "resize", "center_crop",
    "rescale", "normalize",
)  # fmt: skip


def plain_images(model: FrozenModel, transform: Any) -> PlainInputs | None:
    """What does for a model's images without torch, proven on pictures of several shapes; None: nothing does.

    ``transform``: as `describe` takes it.
    """
    description = describe(transform)
    if description is None:
        return None
    plain = PlainInputs("images", {"transform": description}, {})
    return proven(plain, model, [[picture] for picture in trial_pictures()])


def describe(transform: Any) -> dict[str, Json] | None:
    """A transform as JSON; None if it is not one of those that are known.

    Parameters
    ----------
    transform : object
        A ``Compose`` as timm makes it, an ``ImageClassification`` of torchvision, or an image processor of
        transformers.
    """
    from torchvision import transforms
    from torchvision.transforms._presets import ImageClassification

    if type(transform) is transforms.Compose:
        return _of_timm(transform.transforms)
    if type(transform) is ImageClassification:
        return _of_torchvision(transform)
    return _of_transformers(transform)


def _of_timm(steps: Sequence[Any]) -> dict[str, Json] | None:
    from timm.data.transforms import MaybeToTensor
    from torchvision import transforms

    kinds = [type(step) for step in steps]
    if kinds[-2:] not in ([MaybeToTensor, transforms.Normalize], [transforms.ToTensor, transforms.Normalize]):
        return None
    described = [_step_of_timm(step) for step in steps[:-2]]
    known = [step for step in described if step is not None]
    normalize = _normalize(steps[-1].mean, steps[-1].std)
    if len(known) < len(described) or normalize is None:
        return None
    return {"steps": known, "scale": {"how": "divide", "by": 255}, "normalize": normalize}


def _step_of_timm(step: Any) -> Step | None:
    from timm.data.transforms import CenterCropOrPad, ResizeKeepRatio
    from torchvision import transforms

    kind = type(step)
    if kind is transforms.Resize and step.max_size is None:
        return _resize(step.size, step.interpolation)
    if kind is ResizeKeepRatio and not (step.random_scale_prob or step.random_aspect_prob):
        if isinstance(step.interpolation, tuple):  # one of two at random
            return None
        height, width = step.size
        return "resize_to_cover", {
            "height": height, "width": width, "longest": step.longest, "filter": _filter(step.interpolation),
        }  # fmt: skip
    if kind is transforms.CenterCrop:
        return _crop(step.size)
    if kind is CenterCropOrPad and step.padding_mode == "constant":
        return _crop(step.size, step.fill)
    return None


def _of_torchvision(preset: Any) -> dict[str, Json] | None:
    """Of a picture that is no tensor ``antialias`` is without meaning: Pillow always smooths."""
    normalize = _normalize(preset.mean, preset.std)
    if normalize is None:
        return None
    steps = [_resize(preset.resize_size, preset.interpolation), _crop(preset.crop_size)]
    return {"steps": steps, "scale": {"how": "divide", "by": 255}, "normalize": normalize}


def _of_transformers(processor: Any) -> dict[str, Json] | None:
    if not _resizes_with_pillow(type(processor)) or processor.do_pad or not processor.do_rescale:
        return None
    steps: list[Step] = [("onto_white", {})] if processor.do_convert_rgb else []
    if processor.do_resize:
        resize = _resize_of_transformers(processor.size, processor.resample)
        if resize is None:
            return None
        steps.append(resize)
    if processor.do_center_crop:
        size = processor.crop_size
        steps.append(_crop([size.height, size.width], rounding="transformers"))
    normalize = _normalize(processor.image_mean, processor.image_std) if processor.do_normalize else {}
    if normalize is None:
        return None
    return {
        "steps": steps,
        "scale": {"how": "multiply", "by": processor.rescale_factor},
        "normalize": normalize,
    }


def _resizes_with_pillow(kind: type) -> bool:
    try:
        from transformers.image_processing_backends import PilBackend
    except ImportError:  # transformers 4 has no backends
        return False
    alike = (getattr(kind, name, None) is getattr(PilBackend, name, None) for name in _ON_THE_WAY)
    return issubclass(kind, PilBackend) and all(alike)


def _resize_of_transformers(size: Any, resample: Any) -> Step | None:
    given = {name for name, value in dict(size).items() if value}
    if given == {"height", "width"}:
        return _resize([size.height, size.width], resample)
    return _resize([size.shortest_edge], resample) if given == {"shortest_edge"} else None


def _resize(size: int | Sequence[int], interpolation: Any) -> Step:
    sides = [size] if isinstance(size, int) else list(size)
    named = {"filter": _filter(interpolation)}
    if len(sides) == 1:
        return "resize_short_side", {"side": sides[0], **named}
    return "resize", {"height": sides[0], "width": sides[1], **named}


def _crop(size: int | Sequence[int], fill: int | Sequence[int] = 0, rounding: str = "torchvision") -> Step:
    sides = [size] if isinstance(size, int) else list(size)
    color = [fill] * 3 if isinstance(fill, int) else list(fill)
    return "crop_center", {"height": sides[0], "width": sides[-1], "rounding": rounding, "fill": color}


def _filter(interpolation: Any) -> str:
    """The name of a filter of Pillow, of what torchvision or transformers calls it."""
    from PIL import Image
    from torchvision.transforms import InterpolationMode

    if isinstance(interpolation, InterpolationMode):
        name: str = interpolation.value
        return name.removesuffix("-exact")
    filter = Image.Resampling.BILINEAR if interpolation is None else Image.Resampling(interpolation)
    return filter.name.lower()


def _normalize(mean: Any, std: Any) -> dict[str, Json] | None:
    """Three means and standard deviations, as numbers that float32 can hold; None if there are not three."""
    means, stds = (np.asarray(values, np.float32) for values in (mean, std))
    if means.shape != (3,) or stds.shape != (3,):
        return None
    return {"mean": means.tolist(), "std": stds.tolist()}


def trial_pictures() -> list[bytes]:
    """Pictures of several shapes, one with a color that its file calls transparent, as files."""
    from PIL import Image

    draw = np.random.default_rng(0)
    files = []
    for width, height in TRIAL_SIZES:
        image = Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1, transparency=image.getpixel((0, 0)))
        files.append(buffer.getvalue())
    return files
