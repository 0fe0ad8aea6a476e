"""Finding the metadata files of a folder of images, as Hugging Face's ImageFolder lays them out."""

from __future__ import annotations

import os
from pathlib import Path

from headstart.data.folders.layout import folders_in
from headstart.data.splits import split_name
from headstart.errors import ConfigError

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"


def find_metadata(root: Path) -> tuple[Path, ...]:
    """The metadata files at the top of a folder, in its folders, and in the folders of its splits.

    Raises
    ------
    ConfigError
        There are two in one folder.
    """
    tops = [root / name for name in folders_in(root)]
    below = [top / name for top in tops if split_name(top.name) for name in folders_in(top)]
    found = (_metadata_in(folder) for folder in sorted((root, *tops, *below)))
    return tuple(path for path in found if path)


def _metadata_in(folder: Path) -> Path | None:
    names = [name for name in METADATA_NAMES if os.path.isfile(folder / name)]
    if len(names) > 1:
        raise ConfigError(f"{folder} holds {' and '.join(names)}; keep one of them")
    return folder / names[0] if names else None
