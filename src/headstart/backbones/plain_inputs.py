"""What prepares a model's input without torch, as files that a converted model keeps beside it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from headstart.errors import SampleError
from headstart.token_rows import TokenRow, Windows, n_tokens_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from headstart.contracts import FrozenModel, ModelInputs
    from headstart.types import Json, Payload


@dataclass(frozen=True, slots=True)
class PlainInputs:
    """How samples become batches, in words and files."""

    kind: str  # ``texts`` or ``images``
    settings: dict[str, Json]
    files: dict[str, bytes]  # by name


@runtime_checkable
class HasPlainInputs(Protocol):
    """A frozen model whose samples may be prepared without torch."""

    def plain(self) -> PlainInputs | None:
        """What does it; None if nothing does it alike."""


def open_plain_inputs(kind: str, settings: Mapping[str, Json], files: Mapping[str, bytes]) -> ModelInputs:
    """What `PlainInputs` describes, ready to work; neither torch nor transformers nor timm is imported."""
    if kind == "texts":
        from headstart.backbones.hf.plain_texts import PlainTexts

        return PlainTexts(settings, files)
    if kind == "images":
        from headstart.backbones.plain_images import PlainImages

        return PlainImages(settings)
    raise ValueError(f"there are no plain inputs of the kind {kind!r}")


def proven(plain: PlainInputs, model: FrozenModel, trials: Sequence[Sequence[Payload]]) -> PlainInputs | None:
    """Plain inputs, if they give what a model's own do, bit for bit, for every batch of samples; else None."""
    plain = replace(plain, settings=json.loads(json.dumps(plain.settings)))  # as they will be read
    opened = open_plain_inputs(plain.kind, plain.settings, plain.files)
    alike = all(
        _are_alike(opened, model, payloads, changes)
        for payloads in trials
        for changes in (None, [_Probe()] * len(payloads))
    )
    return plain if alike else None


class _Probe:
    """A change that shows whatever a change is told."""

    def image(self, image: Image.Image) -> Image.Image:
        return image.crop((0, 0, (image.width + 1) // 2, image.height))

    def text(self, text: str) -> str:
        return text.swapcase()

    def tokens(self, ids: Sequence[int], special: Collection[int], mask: int | None) -> list[int]:
        return [token if token in special else -1 if mask is None else mask for token in ids]


def _are_alike(
    opened: ModelInputs, model: FrozenModel, payloads: Sequence[Payload], changes: Sequence[_Probe] | None
) -> bool:
    found, expected = opened.prepare(payloads, changes), model.prepare(payloads, changes)
    if [_said(part) for part in found] != [_said(part) for part in expected]:
        return False
    rows, own = _rows(found), _rows(expected)
    if [opened.length(row) for row in rows] != [model.length(row) for row in own]:
        return False
    if not own:
        return True
    made = opened.collate(rows)
    batch = {name: part.numpy() for name, part in model.collate(own).items()}
    return list(made) == list(batch) and all(_equal(made[name], batch[name]) for name in made)


def _said(part: Any) -> Any:
    """What can be compared of a prepared sample; of a picture nothing, for its batch is."""
    if isinstance(part, SampleError):
        return str(part)
    return (part, n_tokens_of(part)) if isinstance(part, TokenRow | Windows) else None


def _rows(prepared: Sequence[Any]) -> list[Any]:
    """What goes into batches."""
    usable = [part for part in prepared if not isinstance(part, SampleError)]
    return [row for part in usable for row in (part.rows if isinstance(part, Windows) else [part])]


def _equal(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    alike = found.dtype == expected.dtype and found.shape == expected.shape
    return alike and found.tobytes() == expected.tobytes()
