"""Where samples come from: folders of images, tables, and what a program holds in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.sources.options import SourceOptions

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
        The path of a folder of images (``[split/]class/**/image``, or without classes), of an
        image, of a table (CSV, TSV, JSONL, Parquet), or of a folder of tables named by split; or
        samples in memory: texts, pairs of texts, images as bytes or by path.
    options : SourceOptions, optional
        Overrides what is detected.
    modality : {"image", "text", "text-pair"}, optional
        What is wanted: what strings in memory are, and what to take from a table with both images
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
    options = options or SourceOptions()
    if not isinstance(data, str | os.PathLike):
        from headstart.sources.memory import MemorySource

        return MemorySource(data, modality)
    return _open_path(Path(os.path.expanduser(data)), options, modality)


def _open_path(path: Path, options: SourceOptions, modality: Modality | None) -> Source:
    from headstart.sources.detection import detect

    found = detect(path, options)
    match found.kind:
        case "images":
            from headstart.sources.folder import FolderSource

            return FolderSource(path, options)
        case "image":
            from headstart.sources.memory import MemorySource

            return MemorySource([path])
        case "tables":
            from headstart.sources.table import TableSource

            return TableSource(found.tables, options, modality, found.by_split, found.ignored)
