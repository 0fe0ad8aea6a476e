"""What a path holds: a tree of images, one image, tables, tars, or what Hugging Face datasets saved."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Literal

from headstart.data.contents import is_image
from headstart.data.folders import FolderSource, has_image
from headstart.data.hub import HUB, open_hub
from headstart.data.hub_source import open_saved
from headstart.data.memory import MemorySource
from headstart.data.metadata import MetadataSource, find_metadata
from headstart.data.read_table import TABLE_SUFFIXES, is_table
from headstart.data.source import printable
from headstart.data.table import split_of
from headstart.data.table_source import TableSource
from headstart.data.tars import TarSource, expand, is_pattern, is_tar, tar_files, tars_in
from headstart.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headstart.contracts import Source
    from headstart.data.options import SourceOptions
    from headstart.data.tar_block import TarFile
    from headstart.types import Modality

READABLE = (
    "a folder of images (best in class folders), an image, "
    f"a table ({', '.join(TABLE_SUFFIXES)}), a folder of tables named by split (train.csv, test.csv), "
    "WebDataset tars, a save_to_disk folder, or hf:NAME from the hub"
)
SHOWN_ENDINGS = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What a path holds; whether the names of its tables say their splits, and the files beside them."""

    kind: Literal["images", "image", "tables", "metadata", "tars", "saved", "hub"]
    tables: tuple[Path, ...] = ()
    by_split: bool = False
    ignored: tuple[str, ...] = ()
    tars: tuple[TarFile, ...] = ()


def open_path(path: Path, options: SourceOptions, modality: Modality | None) -> Source:
    """Open what a path holds."""
    found = detect(path, options)
    match found.kind:
        case "images":
            return FolderSource(path, options)
        case "image":
            return MemorySource([path])
        case "tables":
            return TableSource(found.tables, options, modality, found.by_split, found.ignored)
        case "metadata":
            return MetadataSource(path, found.tables, options, modality)
        case "tars":
            return TarSource(found.tars, options, modality)
        case "saved":
            return open_saved(path, options, modality)
        case "hub":
            return open_hub(str(path), options, modality)


def detect(path: Path, options: SourceOptions) -> Found:
    """Look at a path, and no further into it than to the first image.

    Raises
    ------
    ConfigError
        It could be taken for more than one thing, or an option does not fit it.
    DataError
        It is not there, or nothing in it can be read.
    """
    if str(path).startswith(HUB):
        found = Found("hub")
    elif (place := printable(os.path.abspath(path))) != os.path.abspath(path):
        # The set says where its data lies: without this it would fail when all is computed.
        raise DataError(f"{place}: the file's name is not UTF-8; rename it")
    elif is_pattern(str(path)):
        paths = expand(str(path))
        root = Path(os.path.commonpath([os.path.abspath(one.parent) for one in paths]))
        found = Found("tars", tars=tar_files(root, paths))
    elif _is_folder(path):
        found = _detect_in_folder(path, options)
    elif is_table(path.name):
        found = Found("tables", (path,))
    elif is_tar(path.name):
        found = Found("tars", tars=tar_files(path.parent, [path]))
    elif is_image(path.name):
        found = Found("image")
    else:
        raise DataError(f"{path} cannot be read as data; headstart reads {READABLE}")
    if options.streaming and found.kind != "hub":
        raise ConfigError(f"--streaming is for hf: data sets, and {path} is read where it lies; leave it out")
    unfit = options.for_tables()
    if found.kind in ("images", "image") and unfit:
        raise ConfigError(f"{unfit[0]} is for tables, but {path} holds images; leave it out")
    return found


def _is_folder(path: Path) -> bool:
    try:
        return S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_such(path) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"no file can have the path {str(path)!r}") from error


def _detect_in_folder(folder: Path, options: SourceOptions) -> Found:
    names = _listed(folder)
    if "dataset_dict.json" in names or {"state.json", "dataset_info.json"} <= {*names}:
        return Found("saved")
    if tars := tars_in(folder):
        return _choose_tars(folder, tars, names)
    tables = [name for name in names if is_table(name) and os.path.isfile(folder / name)]
    images = has_image(folder)
    if images and (metadata := find_metadata(folder)):
        return Found("metadata", metadata)
    if tables and images and not options.for_tables():
        raise ConfigError(
            f"{folder} holds both images and tables ({', '.join(tables[:SHOWN_ENDINGS])}); say which: "
            f"the path of the table ({folder / tables[0]}), a folder that holds the images alone, "
            "or call a table of their file_name metadata.csv"
        )
    if tables:
        return _choose_tables(folder, tables, names)
    if images:
        return Found("images")
    raise DataError(f"{folder} {_what_is_there(folder)}; headstart reads {READABLE}")


def _choose_tars(folder: Path, tars: Sequence[Path], names: Sequence[str]) -> Found:
    """The tars, unless there are images or tables beside them that may be meant as well."""
    stems = {path.name.partition(".")[0] for path in tars}
    # Whoever downloads tars often writes a table beside each: img2dataset does.
    others = [
        name for name in names if is_image(name) or (is_table(name) and name.partition(".")[0] not in stems)
    ]
    if others:
        shown = ", ".join(others[:SHOWN_ENDINGS])
        raise ConfigError(
            f"{folder} holds both tars and other data ({shown}); say which: the path of a tar, "
            f"a pattern such as {folder}/{{000..012}}.tar, or a folder that holds one kind alone"
        )
    return Found("tars", tars=tar_files(folder, tars))


def _choose_tables(folder: Path, tables: Sequence[str], names: Sequence[str]) -> Found:
    """The tables that are named by split; else the only one."""
    chosen = [name for name in tables if split_of(name)]
    if not chosen and len(tables) > 1:
        shown = ", ".join(tables[:SHOWN_ENDINGS])
        raise ConfigError(
            f"{folder} holds {len(tables)} tables, none named by split ({shown}); name one, "
            f"such as {folder / tables[0]}, or rename them to train.csv, validation.csv, test.csv"
        )
    _check_formats(folder, chosen)
    used = chosen or list(tables)
    others = (name for name in names if name not in used)
    ignored = tuple(printable(name) for name in others if os.path.isfile(folder / name))
    return Found("tables", tuple(folder / name for name in used), bool(chosen), ignored)


def _check_formats(folder: Path, tables: Sequence[str]) -> None:
    """Refuse the same split in two formats: its rows would be there twice."""
    first: dict[str | None, str] = {}
    for name in tables:
        other = first.setdefault(split_of(name), name)
        if Path(other).suffix.lower() != Path(name).suffix.lower():
            raise ConfigError(f"{folder} holds {other} and {name}, one split twice; name the one you mean")


def _listed(folder: Path) -> list[str]:
    """What a folder holds but for hidden files, sorted."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from error


def _what_is_there(folder: Path) -> str:
    """The endings of the files in a folder and below, the commonest first."""
    endings: Counter[str] = Counter()
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        endings.update(os.path.splitext(name)[1].lower() or "no ending" for name in files)
    if not endings:
        return "is empty"
    counts = ", ".join(f"{n:,} {ending}" for ending, n in endings.most_common(SHOWN_ENDINGS))
    deeper = [ending for ending in endings if ending in TABLE_SUFFIXES]
    hint = "; pass the folder that holds the tables itself" if deeper else ""
    return f"holds no images and no tables at its top, but files with these endings: {counts}{hint}"


def _no_such(path: Path) -> DataError:
    text = str(path)
    near: list[str] = []
    if os.path.isdir(path.parent):
        near = get_close_matches(path.name, _listed(path.parent), 1)
    meant = f"; did you mean {path.parent / near[0]}?" if near else ""
    return DataError(f"there is no file or folder {text}{meant}")
