"""What a path holds: a tree of images or texts, one image, tables, tars, or what Hugging Face datasets saved."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from glob import glob
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any, Literal

from headstart.data.contents import is_image
from headstart.data.conversions import check_convertible, check_folder
from headstart.data.file_kinds import IMAGES, TEXTS, files_below, text_kind
from headstart.data.file_tree import entries_in
from headstart.data.folders import FolderSource
from headstart.data.hub import HUB, open_hub
from headstart.data.hub_source import open_saved
from headstart.data.idx import idx_files, is_idx, open_idx
from headstart.data.layout import holds, layout_of
from headstart.data.memory import MemorySource
from headstart.data.metadata import MetadataSource, find_metadata
from headstart.data.npz import is_npz, open_npz
from headstart.data.read_table import TABLE_SUFFIXES, is_surely_table, is_table, suffix_of
from headstart.data.source import printable
from headstart.data.splits import SplitNames
from headstart.data.streams import STANDARD_INPUT, spool_standard_input
from headstart.data.table import word_of
from headstart.data.table_source import TableSource
from headstart.data.tars import TarSource, expand, is_pattern, is_tar, tar_files, tars_in
from headstart.errors import ConfigError, DataError
from headstart.remote.paths import RemotePath
from headstart.words import plural

if TYPE_CHECKING:
    from headstart.contracts import Source
    from headstart.data.file_kinds import FileKind
    from headstart.data.options import SourceOptions
    from headstart.data.tar_block import TarFile
    from headstart.types import Modality

READABLE = (
    "a folder of images or of text files (best in class folders), an image, "
    f"a table ({', '.join(TABLE_SUFFIXES)}), a folder of tables named by split (train.csv, test.csv), "
    "IDX files, .npz, WebDataset tars, a save_to_disk folder, or hf:NAME from the hub"
)
SHOWN_ENDINGS = 5
DEEPEST_ARRAYS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What a path holds; the words that say the splits of its tables, and the files beside them."""

    kind: Literal["files", "image", "idx", "npz", "tables", "metadata", "tars", "saved", "hub"]
    tables: tuple[Path, ...] = ()
    words: Mapping[Path, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    tars: tuple[TarFile, ...] = ()
    root: Path | None = None
    files: FileKind = IMAGES
    arrays: tuple[Path, ...] = ()


def open_path(path: Path, options: SourceOptions, modality: Modality | None) -> Source:
    """Open what a path holds; ``-`` is a table on standard input."""
    if str(path) == STANDARD_INPUT:
        return TableSource([spool_standard_input()], options, modality)
    return _open(path, detect(path, options), options, modality)


def open_files(
    said: str, paths: Sequence[Path], root: Path, options: SourceOptions, modality: Modality | None
) -> Source:
    """Open the files that a pattern stands for, which is ``said``."""
    found = _detect_files(said, paths, root, options)
    _check_fits(found, said, options)
    return _open(root, found, options, modality)


def _open(path: Path, found: Found, options: SourceOptions, modality: Modality | None) -> Source:
    match found.kind:
        case "files":
            return FolderSource(path, options, found.files, found.ignored)
        case "image":
            return MemorySource([path.signed if isinstance(path, RemotePath) else str(path)], "image")
        case "idx":
            return open_idx(found.arrays, options, modality, _ignored_said(found.ignored))
        case "npz":
            return open_npz(found.arrays[0], options, modality, _ignored_said(found.ignored))
        case "tables":
            return TableSource(found.tables, options, modality, found.words, found.ignored, found.root)
        case "metadata":
            return MetadataSource(path, found.tables, options, modality)
        case "tars":
            return TarSource(found.tars, options, modality)
        case "saved":
            if isinstance(path, RemotePath):
                raise DataError(
                    f"{path} was saved by datasets, which reads it from a disk; fetch it first, and give the folder"
                )
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
    elif isinstance(path, RemotePath):
        found = _detect_place(path, options)
    elif (place := printable(os.path.abspath(path))) != os.path.abspath(path):
        # The set says where its data lies: without this it would fail when all is computed.
        raise DataError(f"{place}: the file's name is not UTF-8; rename it")
    elif is_pattern(str(path)):
        paths = expand(str(path))
        root = Path(os.path.commonpath([os.path.abspath(one.parent) for one in paths]))
        found = Found("tars", tars=tar_files(root, paths, SplitNames(options.split_map)))
    elif is_glob(path):
        found = _detect_pattern(path, options)
    else:
        found = _detect_place(path, options)
    _check_fits(found, path, options)
    return found


def _detect_place(path: Path, options: SourceOptions) -> Found:
    """A folder, or a file by its name."""
    if _is_folder(path):
        return _detect_in_folder(path, options)
    if is_table(path.name):
        return Found("tables", (path,))
    if is_tar(path.name):
        return Found("tars", tars=tar_files(path.parent, [path], SplitNames(options.split_map)))
    if is_image(path.name):
        return Found("image")
    if is_idx(path.name):
        return Found("idx", arrays=(path,))
    if is_npz(path.name):
        return Found("npz", arrays=(path,))
    check_convertible(path)
    raise DataError(f"{path} cannot be read as data; headstart reads {READABLE}")


def _check_fits(found: Found, path: Any, options: SourceOptions) -> None:
    """Refuse options that mean nothing for what was found."""
    if options.streaming and found.kind != "hub":
        raise ConfigError(f"--streaming is for hf: data sets, and {path} is read where it lies; leave it out")
    unfit = options.for_tables()
    if found.kind in ("files", "image") and unfit:
        raise ConfigError(f"{unfit[0]} is for tables, but {path} holds {found.files.modality}s; leave it out")


def _is_folder(path: Path) -> bool:
    if isinstance(path, RemotePath):
        return path.listing is not None
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
    splits = SplitNames(options.split_map)
    if tars := tars_in(folder, splits):
        return _choose_tars(folder, tars, names, splits)
    tables = [name for name in names if is_surely_table(name) and (folder / name).is_file()]
    images = holds(folder)
    if not tables and not images:
        tables = [name for name in names if is_table(name) and splits.of(word_of(name))]
    if tables and not images and not options.for_tables():
        _check_no_texts(folder, tables, splits)
    if images and (metadata := find_metadata(folder, options.split_map)):
        return Found("metadata", metadata)
    has_classes = images and len(_classes_in(folder, splits, IMAGES)) > 1
    check_folder(folder, names, has_classes or bool(tables))
    if tables and has_classes and not options.for_tables() and not any(map(splits.of, map(word_of, tables))):
        return Found("files", ignored=tuple(printable(name) for name in tables))
    if tables and images and not options.for_tables():
        raise ConfigError(
            f"{folder} holds both images and tables ({', '.join(tables[:SHOWN_ENDINGS])}); say which: "
            f"the path of the table ({folder / tables[0]}), a folder that holds the images alone, "
            "or call a table of their file_name metadata.csv"
        )
    if tables:
        if not options.for_tables():
            _check_no_arrays(folder, tables, names)
        return _choose_tables(folder, tables, names, splits)
    if images:
        return Found("files")
    if (arrays := _detect_arrays(folder, names)) is not None:
        return arrays
    if parts := _parts_by_folder(folder, names):
        return _by_word(folder, parts, splits)
    if (texts := text_kind(folder)) is not None:
        return Found("files", files=texts)
    raise DataError(f"{folder} {_what_is_there(folder)}; headstart reads {READABLE}")


def _detect_arrays(folder: Path, names: Sequence[str]) -> Found | None:
    """IDX files or an archive of numpy in a folder, or below where that is one folder, as torchvision has them."""
    for _ in range(DEEPEST_ARRAYS):
        below = [name for name in names if (folder / name).is_dir()]
        if len(below) != 1 or any(is_idx(name) or is_npz(name) for name in names):
            break
        folder = folder / below[0]
        names = _listed(folder)
    if images := idx_files(folder, names):
        others = tuple(printable(name) for name in names if not is_idx(name))
        return Found("idx", arrays=tuple(images), ignored=others)
    archives = [name for name in names if is_npz(name)]
    if len(archives) > 1:
        shown = ", ".join(archives[:SHOWN_ENDINGS])
        raise ConfigError(
            f"{folder} holds {len(archives)} archives ({shown}); name one: {folder / archives[0]}"
        )
    if archives:
        others = tuple(printable(name) for name in names if name not in archives)
        return Found("npz", arrays=(folder / archives[0],), ignored=others)
    return None


def _classes_in(folder: Path, splits: SplitNames, kind: FileKind) -> tuple[str, ...]:
    """The class folders of a folder; none where its folders cannot stand beside each other."""
    try:
        return layout_of(folder, splits, kind, "first").classes
    except ConfigError:
        return ()


def _check_no_texts(folder: Path, tables: Sequence[str], splits: SplitNames) -> None:
    """Refuse tables beside class folders of text files: either may be meant."""
    classes = _classes_in(folder, splits, TEXTS)
    if len(classes) > 1:
        raise ConfigError(
            f"{folder} holds both class folders of texts ({', '.join(classes[:SHOWN_ENDINGS])}) and tables "
            f"({', '.join(tables[:SHOWN_ENDINGS])}); say which: the path of the table ({folder / tables[0]}), or a "
            "folder that holds the texts alone"
        )


def _check_no_arrays(folder: Path, tables: Sequence[str], names: Sequence[str]) -> None:
    """Refuse tables beside arrays of images: either may be meant."""
    if arrays := [name for name in names if is_idx(name) or is_npz(name)]:
        raise ConfigError(
            f"{folder} holds both arrays of images ({', '.join(arrays[:SHOWN_ENDINGS])}) and tables "
            f"({', '.join(tables[:SHOWN_ENDINGS])}); say which: the path of one ({folder / arrays[0]}, "
            f"{folder / tables[0]}), or a folder that holds one kind alone"
        )


def _ignored_said(names: Sequence[str]) -> list[str]:
    """How many files beside the data are ignored, in a phrase."""
    shown = ", ".join(names[:SHOWN_ENDINGS]) + (", …" if len(names) > SHOWN_ENDINGS else "")
    return [f"{len(names)} other {plural('file', len(names))} ignored ({shown})"] if names else []


def _choose_tars(folder: Path, tars: Sequence[Path], names: Sequence[str], splits: SplitNames) -> Found:
    """The tars, unless there are images or tables beside them that may be meant as well."""
    stems = {path.name.partition(".")[0] for path in tars}
    # Whoever downloads tars often writes a table beside each: img2dataset does.
    others = [
        name
        for name in names
        if is_image(name) or (is_surely_table(name) and name.partition(".")[0] not in stems)
    ]
    if others:
        shown = ", ".join(others[:SHOWN_ENDINGS])
        raise ConfigError(
            f"{folder} holds both tars and other data ({shown}); say which: the path of a tar, "
            f"a pattern such as {folder}/{{000..012}}.tar, or a folder that holds one kind alone"
        )
    return Found("tars", tars=tar_files(folder, tars, splits))


def _choose_tables(folder: Path, tables: Sequence[str], names: Sequence[str], splits: SplitNames) -> Found:
    """The tables that are named by split; else the only one, or the parts of one."""
    chosen = [name for name in tables if splits.of(word_of(name))]
    if not chosen and len(tables) > 1 and len({(word_of(name), suffix_of(name)) for name in tables}) > 1:
        shown = ", ".join(tables[:SHOWN_ENDINGS])
        raise ConfigError(
            f"{folder} holds {len(tables)} tables, none named by split ({shown}); name one, "
            f"such as {folder / tables[0]}, rename them to train.csv, validation.csv, test.csv, or say what they are, "
            f"such as {splits.suggestion(map(word_of, tables))}"
        )
    words = {folder / name: word_of(name) for name in chosen}
    splits.check(dict.fromkeys(words.values()), folder)
    _check_formats(folder, words, splits)
    used = chosen or list(tables)
    others = (name for name in names if name not in used)
    endings = {suffix_of(name) for name in used}
    ignored = tuple(
        _with_remedy(name, suffix_of(name) in endings, splits) for name in others if (folder / name).is_file()
    )
    return Found("tables", tuple(folder / name for name in used), words, ignored)


def _with_remedy(name: str, is_data: bool, splits: SplitNames) -> str:
    """A file that is ignored; of a table also the option that takes it."""
    word = word_of(name)
    return printable(name) + (
        f", taken by --split-map {word}={splits.hint(word) or 'test'}" if is_data else ""
    )


def _check_formats(folder: Path, words: Mapping[Path, str], splits: SplitNames) -> None:
    """Refuse the same split in two formats: its rows would be there twice."""
    first: dict[str | None, Path] = {}
    for path, word in words.items():
        other = first.setdefault(splits.of(word), path)
        if suffix_of(other.name) != suffix_of(path.name):
            raise ConfigError(
                f"{folder} holds {other.name} and {path.name}, one split twice; name the one you mean"
            )


def _parts_by_folder(folder: Path, names: Sequence[str]) -> list[Path]:
    """The tables in the folders of a folder."""
    below = [folder / name for name in names if (folder / name).is_dir()]
    return [top / name for top in below for name in _listed(top) if is_surely_table(name)]


def _by_word(folder: Path, parts: Sequence[Path], splits: SplitNames) -> Found:
    """Tables in folders named by split; each file is a part of its folder's.

    Raises
    ------
    ConfigError
        A folder is not, or two mean one split.
    DataError
        None of them is.
    """
    words = {path: path.parent.name for path in parts}
    if not any(map(splits.of, words.values())):
        raise DataError(f"{folder} {_what_is_there(folder)}; headstart reads {READABLE}")
    splits.check(dict.fromkeys(words.values()), folder)
    _check_formats(folder, words, splits)
    return Found("tables", tuple(parts), words, root=folder)


def is_glob(path: Path) -> bool:
    """Whether a path is a pattern, such as ``data/*.parquet``, and no file."""
    return any(mark in str(path) for mark in "*?[") and not os.path.exists(path)


def _detect_pattern(path: Path, options: SourceOptions) -> Found:
    """The tables or the tars that a pattern stands for.

    Raises
    ------
    DataError
        There are none.
    ConfigError
        They are of several kinds, or the splits of some are not known.
    """
    paths = [Path(found) for found in sorted(glob(str(path), recursive=True)) if os.path.isfile(found)]
    if not paths:
        raise DataError(f"{path}: no file matches the pattern")
    root = Path(os.path.commonpath([os.path.abspath(one.parent) for one in paths]))
    if not all(is_tar(one.name) for one in paths):
        paths = [Path(os.path.abspath(one)) for one in paths]
    return _detect_files(path, paths, root, options)


def _detect_files(said: Any, paths: Sequence[Path], root: Path, options: SourceOptions) -> Found:
    """Tables or tars that were found by a pattern, which is ``said``."""
    splits = SplitNames(options.split_map)
    if all(is_tar(one.name) for one in paths):
        return Found("tars", tars=tar_files(root, paths, splits))
    odd = next((one for one in paths if not is_table(one.name)), None)
    if odd is not None:
        raise DataError(f"{said} matches {odd.name}, which is no table; headstart reads {READABLE}")
    words = {one: _word(one, root, splits) for one in paths}
    if not any(map(splits.of, words.values())) and not any(map(splits.speak_in, words.values())):
        words = {}
    splits.check(dict.fromkeys(words.values()), said)
    _check_formats(root, words, splits)
    several = len({one.name for one in paths}) < len(paths)
    return Found("tables", tuple(paths), words, root=root if several else None)


def _word(path: Path, root: Path, splits: SplitNames) -> str:
    """What says the split of a file: its name, else the name of its folder."""
    word = word_of(path.name)
    return path.parent.name if not splits.of(word) and path.parent != root else word


def _listed(folder: Path) -> list[str]:
    """What a folder holds but for hidden files, sorted."""
    if isinstance(folder, RemotePath):
        return sorted(name for name, _ in entries_in(folder))
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from error


def _what_is_there(folder: Path) -> str:
    """The endings of the files in a folder and below, the commonest first."""
    endings = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in files_below(folder))
    if not endings:
        return (
            "holds nothing but hidden files"
            if isinstance(folder, RemotePath) or os.listdir(folder)
            else "is empty"
        )
    shown = sorted(endings.items(), key=lambda counted: (-counted[1], counted[0]))[:SHOWN_ENDINGS]
    counts = ", ".join(f"{n:,} {ending}" for ending, n in shown)
    deeper = [ending for ending in endings if is_surely_table(f"x{ending}")]
    hint = "; pass the folder that holds the tables itself" if deeper else ""
    if endings.keys() <= {".txt"}:
        hint = "; to read it as a sample a line, pass the path of the file itself"
    return f"holds no images, no texts and no tables at its top, but files with these endings: {counts}{hint}"


def _no_such(path: Path) -> DataError:
    text = str(path)
    near: list[str] = []
    if os.path.isdir(path.parent):
        near = get_close_matches(path.name, _listed(path.parent), 1)
    meant = f"; did you mean {path.parent / near[0]}?" if near else ""
    return DataError(f"there is no file or folder {text}{meant}")
