"""What is shown of each sample: its text, or a small picture, read again where the data is still there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.arrow import mask_of
from headstart.cache.imported import SCHEME
from headstart.data.shown import shown_text
from headstart.errors import HeadstartError
from headstart.extraction.read_again import read_again
from headstart.progress import shown
from headstart.reporting.arrays import encoded_rows
from headstart.reporting.budget import TEXT_BYTES
from headstart.thumbnails import LARGE_SIDE, MOST_LARGE, SIDE, image_in, thumbnails
from headstart.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.extraction.read_again import RawData
    from headstart.reporting.config import ReportConfig
    from headstart.reporting.samples import PageSamples
    from headstart.types import Json

    Rows = NDArray[np.int64]

TRIED_TEXTS = 1000
"""Texts that are read first, to know how many there is room for."""
FIRST_TRIED = 100
"""Samples that are read to see what they are made of."""
PER_TEXT = 4
"""Bytes of the page for a text besides its own."""


@dataclass(frozen=True)
class Thumbnails:
    """Small pictures of some samples of a page."""

    rows: Rows
    images: list[str]

    def to_json(self) -> dict[str, Json]:
        """As the page has it."""
        return {"rows": encoded_rows(self.rows), "images": self.images}


@dataclass(frozen=True)
class Inputs:
    """What is shown of the N samples of a page; an empty text where nothing is."""

    texts: list[str] | None = None
    thumbnails: Thumbnails | None = None

    def to_json(self) -> dict[str, Json]:
        """As the page has it."""
        thumbs = None if self.thumbnails is None else self.thumbnails.to_json()
        return {"texts": self.texts, "thumbs": thumbs}


def inputs_of(
    samples: PageSamples, order: Rows, config: ReportConfig, notes: list[str], progress: Progress
) -> Inputs:
    """Read the samples of a page again; ``order`` has all of them, those to look at first.

    The page is made whatever can be read, and says what could not.
    """
    features = samples.features
    if features is None:
        return Inputs()
    if not config.thumbnails and features.info["source"]["modality"] == "image":
        return Inputs()  # all that there is to show are pictures, and none is wanted
    if all(ref.backbone.startswith(SCHEME) for ref in features.features) and config.data is None:
        notes.append(
            "the features were imported, and nothing is known of their data: neither pictures nor texts"
        )
        return Inputs()
    try:
        raw = read_again(features, config.data, progress)
    except (HeadstartError, OSError) as error:
        notes.append(_why_not(config, error))
        return Inputs()
    content = _Content.of(raw, samples, notes)
    if not content.is_there.any():
        return Inputs()
    order = order[content.is_there[order]]
    first = next((found for row in order[:FIRST_TRIED].tolist() if (found := content.read(row))), None)
    return Inputs(
        _texts(content, order, config, notes, progress) if shown_text(first, 1) else None,
        _thumbnails(content, order, config, notes, progress)
        if image_in(first) and config.thumbnails
        else None,
    )


def _why_not(config: ReportConfig, error: Exception) -> str:
    """In words of our own: what is said of data names the folders of whoever made the page."""
    where = "where --data says" if config.data is not None else "where it was; --data says where it is now"
    return f"neither pictures nor texts are shown: the data cannot be read {where} ({type(error).__name__})"


@dataclass
class _Content:
    """The content of a page's samples, as far as the data still has it."""

    is_there: NDArray[np.bool_]
    number: Rows
    payload: Callable[[int], Any]
    n_broken: int = 0

    @classmethod
    def of(cls, raw: RawData, samples: PageSamples, notes: list[str]) -> _Content:
        """Of data that was read again."""
        is_there = raw.holds(samples.table)
        if n := int((~is_there).sum()):
            notes.append(
                f"{n:,} of {len(samples):,} samples are not in the data any more, or have changed: nothing is shown of "
                "them"
            )
        there = samples.table.select(["id", "key"]).filter(mask_of(is_there))
        return cls(is_there, np.cumsum(is_there) - 1, raw.payloads(there))

    def read(self, row: int) -> Any:
        """The content of a sample; None if it cannot be read."""
        try:
            return self.payload(int(self.number[row]))
        except (HeadstartError, OSError):
            self.n_broken += 1
            return None


def _texts(
    content: _Content, order: Rows, config: ReportConfig, notes: list[str], progress: Progress
) -> list[str]:
    """The texts of a page's samples, cut; where not all fit, those of the first and of a draw."""
    texts = [""] * len(content.is_there)
    n_cut = 0

    def read(rows: Rows) -> int:
        nonlocal n_cut
        size = 0
        for row in np.sort(rows).tolist():  # as they lie in the data: a row group or a tar is read once
            whole = shown_text(content.read(row), config.text_length + 1)
            n_cut += len(whole) > config.text_length
            texts[row] = whole if len(whole) <= config.text_length else whole[: config.text_length - 1] + "…"
            size += len(texts[row].encode("utf-8", "replace")) + PER_TEXT
            progress.advance(1)
        return size

    n_broken = content.n_broken
    with shown(progress, "reading texts", len(order)):
        tried = order[:: max(len(order) // TRIED_TEXTS, 1)]
        each = read(tried) / len(tried)
        chosen = order[: int(TEXT_BYTES / max(each, 1))]
        read(np.setdiff1d(chosen, tried))
    if n := content.n_broken - n_broken:
        notes.append(f"{counted(n, 'text')} cannot be read")
    if n_cut:
        cut = f"{counted(n_cut, 'text')} {'is' if n_cut == 1 else 'are'} cut"
        notes.append(f"{cut} at {config.text_length:,} letters; --text-length changes that")
    if len(chosen) < len(order):
        notes.append(
            f"texts of about {len(chosen):,} of {len(order):,} samples are on this page: of those to look at, and of a "
            "draw by label and split"
        )
    return texts


def _thumbnails(
    content: _Content, order: Rows, config: ReportConfig, notes: list[str], progress: Progress
) -> Thumbnails:
    """Pictures of the first samples, large ones, and of a draw of the others."""
    rows = np.sort(order[: config.thumbnails])
    large = set(order[:MOST_LARGE].tolist())
    found: list[str | None] = []
    wanted = ((content.read(row), LARGE_SIDE if row in large else SIDE) for row in rows.tolist())
    with shown(progress, "making thumbnails", len(rows)):
        for image in thumbnails(wanted):
            found.append(image)
            progress.advance(1)
    if n := found.count(None):
        notes.append(f"{counted(n, 'picture')} cannot be read or decoded, and nothing is shown of it")
    if len(rows) < len(order):
        notes.append(
            f"thumbnails of {len(rows):,} of {len(order):,} samples are on this page: of those to look at, then a draw "
            "by label and split; --thumbnails shows more"
        )
    kept = [place for place, image in enumerate(found) if image is not None]
    return Thumbnails(rows[kept], [image for image in found if image is not None])
