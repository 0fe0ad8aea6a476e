"""Samples as the views want them, where a change comes before the model's own preparation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headstart.backbones.images import prepare_images
from headstart.errors import SampleError

if TYPE_CHECKING:
    from PIL import Image

    from headstart.contracts import Change
    from headstart.types import Payload


def change_texts(
    payloads: Sequence[Payload], changes: Sequence[Change | None]
) -> list[Payload | SampleError]:
    """Texts, and pairs of texts, as their changes make them; without a change as they are."""
    return [
        payload if change is None else _change_text(payload, change)
        for payload, change in zip(payloads, changes, strict=True)
    ]


def change_files(
    payloads: Sequence[Payload], changes: Sequence[Change | None]
) -> list[Payload | SampleError]:
    """Image files, alone or with a text, as PNGs of what their changes make; without a change as they are."""
    changed: list[Any] = list(payloads)
    rows = [row for row, change in enumerate(changes) if change is not None]
    files = [payload[0] if isinstance(payload, tuple) else payload for payload in payloads]
    made = prepare_images([files[row] for row in rows], [changes[row] for row in rows], _png)
    for row, file in zip(rows, made, strict=True):
        payload = payloads[row]
        alone = isinstance(file, SampleError) or not isinstance(payload, tuple)
        changed[row] = file if alone else (file, payload[1])
    return changed


def _change_text(payload: Payload, change: Change) -> Payload | SampleError:
    try:
        if isinstance(payload, tuple):
            return change.text(str(payload[0])), change.text(payload[1])
        return change.text(str(payload))
    except SampleError as error:
        return error


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # of the levels the quickest; each keeps every pixel
    return buffer.getvalue()
