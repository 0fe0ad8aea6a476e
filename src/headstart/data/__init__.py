"""Where samples come from: folders, tables, archives, the hub, and what a program holds in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.options import SourceOptions

if TYPE_CHECKING:
    from headstart.contracts import Source
    from headstart.types import Modality

__all__ = ["SourceOptions", "open_source"]


def open_source(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | bytes | tuple[str, str]],
    options: SourceOptions | None = None,
    modality: Modality | None = None,
) -> Source:
    """Open data as what it is.

    Parameters
    ----------
    data : str, PathLike, or sequence
        The path of a folder of images (``[split/]class/**/image``, or without classes, or named by
        metadata files), of an image, of a table (CSV, TSV, JSONL, Parquet), of a folder of tables named by split, of
        WebDataset tars (one, a folder, or ``train-{000..012}.tar``), or of a folder that
        ``datasets`` saved; ``hf:NAME[:CONFIG][@REVISION]`` from the hub; or samples in memory:
        texts, pairs of texts, images as bytes or by path.
    options : SourceOptions, optional
        Overrides what is detected.
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What is wanted: what strings in memory are, and what to take from data with both images
        and texts.

    Returns
    -------
    Source

    Raises
    ------
    DataError
        The data is not there, or cannot be read.
    ConfigError
        It could be taken for more than one thing, or an option does not fit it.

    Examples
    --------
    >>> open_source(["good", "bad"], modality="text").description
    '2 texts'
    """
    from headstart.data.detection import open_path
    from headstart.data.memory import MemorySource

    if isinstance(data, str | os.PathLike):
        return open_path(Path(os.path.expanduser(data)), options or SourceOptions(), modality)
    return MemorySource(data, modality)
