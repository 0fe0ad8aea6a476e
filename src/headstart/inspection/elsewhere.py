"""A projection for other tools to open: Embedding Atlas, Renumics Spotlight, FiftyOne."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.arrow import column_of, strings, vectors_of
from headstart.cache.layout import LABEL
from headstart.data.shown import text_of
from headstart.errors import ConfigError
from headstart.extraction.inputs import inputs_of_set
from headstart.files import write_durably, write_folder
from headstart.heads.approximate import Index, asks_for_an_index, recall_of
from headstart.heads.neighbours import nearest, nearest_within
from headstart.heads.rows import mean_of
from headstart.inspection.project import META, as_numbers
from headstart.inspection.thumbnails import shown_image, suffix_of_image
from headstart.registry.run_files import check_free, parquet_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.contracts import Progress
    from headstart.extraction.inputs import SetInputs
    from headstart.heads.neighbours import Neighbours
    from headstart.inspection.project import DrawnSamples, ProjectConfig, Projection

SAMPLES, SCRIPT, IMAGES = "samples.parquet", "open_in_fiftyone.py", "images"
N_NEIGHBOURS = 15
MOST_COMPARED = 20_000
"""Samples of which all pairs are compared."""
FEW = 200
"""Distinct values of a column that is one of categories."""
TAKEN = ("id", "key", "split", "origin", "x", "y", "neighbors", "text", "image", "embedding")
RESERVED = ("id", "filepath", "tags", "metadata", "media_type", "created_at", "last_modified_at", "pk")
"""Fields that each sample of FiftyOne has."""
PACKAGES = {"atlas": "embedding-atlas", "spotlight": "renumics-spotlight", "fiftyone": "fiftyone pyarrow"}
"""What reads each folder: FiftyOne does not bring what reads Parquet."""
PAGE = """# {title}

Points, labels, metadata and samples, written by `headstart project`. Images that are files stay where they are. In this
folder:

    pip install {package}
    {command}
"""
SIDES = {"atlas": 192, "spotlight": 512}
"""The longest side, in pixels, of images that lie in the table itself."""


@dataclass(frozen=True)
class Seen:
    """What people see of N samples; None where it cannot be read any more."""

    texts: Sequence[str | None]
    images: Sequence[bytes | Path | None]
    """A file of this machine, or the bytes of what lies in a larger one."""

    @property
    def has_texts(self) -> bool:
        """Whether any sample has a text."""
        return any(text is not None for text in self.texts)

    @property
    def has_images(self) -> bool:
        """Whether any sample has an image."""
        return any(image is not None for image in self.images)


def check_elsewhere(to: str, out: Path, overwrite: bool, modality: str) -> None:
    """Refuse a folder that holds something else, and samples that a tool cannot show, before any work is done."""
    check_free(out, overwrite, SAMPLES, "points for another tool")
    if to == "fiftyone" and "image" not in modality:
        raise ConfigError(
            f"fiftyone shows images, and these are samples of {modality}; choose atlas or spotlight"
        )


def write_elsewhere(
    projection: Projection, to: str, out: Path, config: ProjectConfig, progress: Progress
) -> str:
    """Write a folder that a tool opens, whole or not at all; the command that opens it.

    Parameters
    ----------
    projection : Projection
        Of a set.
    to : {"atlas", "spotlight", "fiftyone"}
    out : Path
    config : ProjectConfig
        Features are written as well if it says so, or does not say and the tool compares samples by them.
    """
    drawn = projection.drawn
    assert drawn is not None  # what is projected is a set's
    seen = _seen(drawn)
    if not seen.has_texts and not seen.has_images:
        progress.say("the samples themselves are left out: their data has moved or changed, or was in memory")
    if to == "fiftyone" and not seen.has_images:
        raise ConfigError("fiftyone shows images, and those of this set are not there any more")
    columns = {**_described(drawn, to), **_places(projection)}
    if config.vectors or (config.vectors is None and to != "atlas"):
        columns["embedding"] = vectors_of(np.asarray(drawn.X, dtype=np.float32))
    if to == "atlas":
        columns |= _neighbours(drawn, config, progress)
    if seen.has_texts:
        columns["text"] = strings(list(seen.texts))
    writer: Callable[[Path, dict[str, Any], Seen], None] = {
        "atlas": _write_atlas, "spotlight": _write_spotlight, "fiftyone": _write_fiftyone
    }[to]  # fmt: skip

    def write(folder: Path) -> None:
        writer(folder, columns, seen)
        page = PAGE.format(
            title=projection.title, package=PACKAGES[to], command=_command(to, Path(), columns, seen)
        )
        write_durably(folder / "README.md", page.encode("utf-8"))

    write_folder(out, write)
    return _command(to, out, columns, seen)


def _command(to: str, folder: Path, columns: Mapping[str, Any], seen: Seen) -> str:
    """What opens a folder."""
    file = quote(str(folder / SAMPLES))
    if to == "spotlight":
        return f"spotlight {file}"
    if to == "fiftyone":
        return f"python {quote(str(folder / SCRIPT))}"
    shown = [("text", seen.has_texts), ("image", seen.has_images), ("neighbors", "neighbors" in columns)]
    options = "".join(f" --{name} {name}" for name, is_there in shown if is_there)
    return f"embedding-atlas {file} --x x --y y{options}"


# -- the samples


def _seen(drawn: DrawnSamples) -> Seen:
    found = inputs_of_set(drawn.features)
    rows = [-1] * drawn.table.num_rows if found is None else found.rows_of(drawn.table).tolist()
    pairs = [_input(found, row) if found is not None and row >= 0 else (None, None) for row in rows]
    return Seen([text for text, _ in pairs], [image for _, image in pairs])


def _input(found: SetInputs, row: int) -> tuple[str | None, bytes | Path | None]:
    """The text and the image of a sample. A file of images is not read: its path is enough."""
    modality = found.source.modality
    if modality == "image" and (path := found.path(row)) is not None:
        return None, path
    payload = found.payload(row)
    if payload is None:
        return None, None
    image = payload if isinstance(payload, bytes) else payload[0] if modality == "image-text" else None
    text = None if isinstance(payload, bytes) else text_of(payload)
    return text, image if isinstance(image, bytes) else None


def _described(drawn: DrawnSamples, to: str) -> dict[str, Any]:
    """Ids, splits, labels and metadata under plain names."""
    table, is_fiftyone = drawn.table, to == "fiftyone"
    found: dict[str, Any] = {
        "sample_id" if is_fiftyone else "id": table.column("id"),
        "key": strings([key.hex() for key in table.column("key").to_pylist()]),
        "split": table.column("split"),
        "origin": table.column("origin"),
    }
    ours = [name for name in table.column_names if name.startswith((LABEL, META))]
    for name, plain in _plain_names(ours, is_fiftyone).items():
        found[plain] = _readable(table.column(name), name, keeps_lists=is_fiftyone)
    return found


def _plain_names(names: Sequence[str], is_fiftyone: bool) -> dict[str, str]:
    """Columns without what stands before their names, where no two would be called alike."""
    taken = {*TAKEN, *(RESERVED if is_fiftyone else ()), "sample_id"}
    found: dict[str, str] = {}
    for name in names:
        kind, _, bare = name.partition(":")
        plain = (re.sub(r"\W", "_", bare).strip("_") if is_fiftyone else bare) or "column"
        plain = f"{kind}_{plain}" if plain in taken else plain
        choices = [plain, *(f"{plain}_{number}" for number in range(2, len(names) + 2))]
        found[name] = next(choice for choice in choices if choice not in taken)
        taken.add(found[name])
    return found


def _readable(column: pa.ChunkedArray, name: str, keeps_lists: bool) -> Any:
    """Numbers as numbers, also where metadata is written as text; several labels as a text, unless lists are kept."""
    numbers = as_numbers(column, is_text=name.startswith(META))
    if numbers is not None:
        return numbers
    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        return column if keeps_lists else pc.binary_join(column, " + ")
    if pa.types.is_nested(column.type):
        cells = column.to_pylist()
        return strings([None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells])
    return column


def _places(projection: Projection) -> dict[str, Any]:
    return {name: projection.table.column(name) for name in "xy"}


def _neighbours(drawn: DrawnSamples, config: ProjectConfig, progress: Progress) -> dict[str, Any]:
    """The nearest samples of each as Embedding Atlas takes them: by row number, with one minus their cosine."""
    X = np.asarray(drawn.X)
    if len(X) > MOST_COMPARED and config.neighbours == "exact":
        progress.say(
            f"neighbours are left out: of more than {MOST_COMPARED:,} samples not all pairs are compared; --neighbours "
            "approximate writes them"
        )
        return {}
    if len(X) < 2:
        return {}
    k = min(N_NEIGHBOURS, len(X) - 1)
    found = _nearest(X, k, config, progress)
    distances = (1 - found.cosine).astype(np.float32)
    lists = [
        pa.FixedSizeListArray.from_arrays(column_of(part.reshape(-1)), k) for part in (found.row, distances)
    ]
    return {"neighbors": pa.StructArray.from_arrays(lists, ["ids", "distances"])}


def _nearest(X: NDArray[Any], k: int, config: ProjectConfig, progress: Progress) -> Neighbours:
    centre = mean_of(X)
    if not asks_for_an_index(config.neighbours, len(X), progress):
        return nearest_within(X, k, centre=centre)[0]
    found = nearest(X, X, k, centre, np.arange(len(X)), index=Index.made(X, config.seed, centre))
    recall = recall_of(
        found.of, lambda rows: nearest(X[rows], X, k, centre, rows, is_comparable=True), len(X), config.seed
    )
    progress.say(f"neighbours are approximate: {recall}")
    return found


# -- the tools


def _write_atlas(folder: Path, columns: dict[str, Any], seen: Seen) -> None:
    """Images lie in the table, as structs of bytes and path like Hugging Face's: a browser opens no file."""
    if seen.has_images:
        images = pa.array(_thumbnails(seen, "atlas"), pa.binary())
        paths = strings([str(image) if isinstance(image, Path) else None for image in seen.images])
        columns["image"] = pa.StructArray.from_arrays([images, paths], ["bytes", "path"])
    _write(folder, columns)


def _write_spotlight(folder: Path, columns: dict[str, Any], seen: Seen) -> None:
    """What is among few names is a category. Images are files of this machine, or lie in the table."""
    shown = {
        name: column.dictionary_encode() if _is_category(name, column) else column
        for name, column in columns.items()
    }
    if seen.has_images:
        in_files = not any(isinstance(image, bytes) for image in seen.images)
        shown["image"] = (
            strings([None if image is None else str(image) for image in seen.images])
            if in_files
            else pa.array(_thumbnails(seen, "spotlight"), pa.binary())
        )
    _write(folder, shown)


def _is_category(name: str, column: Any) -> bool:
    is_name = pa.types.is_string(column.type) and name not in ("id", "key", "origin", "text")
    return is_name and pc.count_distinct(column).as_py() <= FEW


def _write_fiftyone(folder: Path, columns: dict[str, Any], seen: Seen) -> None:
    """A script builds the data set. An image that is no file becomes one."""
    columns["filepath"] = strings([_file_of(folder, n, image) for n, image in enumerate(seen.images)])
    _write(folder, columns)
    script = Path(__file__).parents[1] / "portable" / SCRIPT
    write_durably(folder / SCRIPT, script.read_bytes())


def _file_of(folder: Path, number: int, image: bytes | Path | None) -> str | None:
    """Where an image lies; of one that is written, from the folder on."""
    if not isinstance(image, bytes):
        return None if image is None else str(image)
    (folder / IMAGES).mkdir(exist_ok=True)
    name = f"{IMAGES}/{number:06d}{suffix_of_image(image)}"
    (folder / name).write_bytes(image)
    return name


def _thumbnails(seen: Seen, to: str) -> Iterator[bytes | None]:
    for image in seen.images:
        yield None if image is None else shown_image(image, SIDES[to])


def _write(folder: Path, columns: Mapping[str, Any]) -> None:
    write_durably(folder / SAMPLES, parquet_bytes(pa.table(dict(columns))))
