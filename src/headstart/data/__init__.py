"""Where samples come from: folders, tables, archives, the hub, and what a program holds in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.data.options import SourceOptions
from headstart.errors import ConfigError
from headstart.places import expanded
from headstart.remote.addresses import is_remote, plain_address

if TYPE_CHECKING:
    from headstart.contracts import Source
    from headstart.data.given import Given
    from headstart.types import Modality

__all__ = ["SourceOptions", "open_source"]


def open_source(
    data: Any,
    options: SourceOptions | None = None,
    modality: Modality | None = None,
    given: Given | None = None,
) -> Source:
    """Open data as what it is.

    Parameters
    ----------
    data : str, PathLike, or what a program holds
        The path of a folder of images or text files (``[split/]class/**/file``, or without classes, or of images
        named by metadata files), of an image, of a table (CSV, TSV, JSONL, Parquet), of a folder of tables named by
        split, of arrays (IDX, npz), of WebDataset tars (one, a folder, or ``train-{000..012}.tar``), or of a folder
        that ``datasets`` saved; all of these but the last also at ``s3://``, ``gs://``, ``az://`` and, by their names,
        ``https://``; ``hf:NAME[:CONFIG][@REVISION]`` from the hub; or samples in memory:
        see `headstart.extract`.
    options : SourceOptions, optional
        Overrides what is detected.
    modality : {"image", "text", "text-pair", "image-text"}, optional
        What is wanted: what strings in memory are, and what to take from data with both images
        and texts.
    given : Given, optional
        What is said beside samples in memory: their labels, splits, ids and groups.

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
    from headstart.data.given import Given
    from headstart.data.held import open_held
    from headstart.data.objects import hold

    given, options = given or Given(), options or SourceOptions()
    if isinstance(data, str | os.PathLike):
        if said := [*given.names(), *(["layout="] if given.layout else [])]:
            raise ConfigError(
                f"{said[0]} goes with samples in memory, and {data} is read where it lies; leave it out"
            )
        if is_remote(data):
            return _open_elsewhere(os.fspath(data), options, modality)
        return open_path(Path(expanded(data)), options, modality)
    return open_held(hold(data, given.layout), given, options, modality)


def _open_elsewhere(address: str, options: SourceOptions, modality: Modality | None) -> Source:
    """Open what an address stands for."""
    from headstart.data.detection import open_files, open_path
    from headstart.data.elsewhere import place_of, top_of

    place = place_of(address)
    if isinstance(place, list):
        return open_files(plain_address(address), place, top_of(place), options, modality)
    return open_path(place, options, modality)
