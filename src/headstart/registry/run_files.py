"""The files of a run that others read or write as well: predictions, and the directory that may be replaced."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError, StorageError, first_line
from headstart.files import read_json
from headstart.options import nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.types import Json

PREDICTIONS, HISTORY = "predictions.parquet", "metrics.jsonl"
PREDICTION_COLUMNS = ("id", "key", "split", "label", "prediction")
ROWS_AT_ONCE = 1 << 16
IN_RUN = "@run"
"""Stands for the folder of a tuned backbone in ``features.json``: a run may be moved."""


def state_folder(target: Path) -> Path:
    """Where a training run keeps its state until the run at ``target`` is whole."""
    return target.with_name(f".{target.name}.training")


def nearest_folder(path: Path) -> str:
    """Why a run is not there, or the folder beside it whose name is nearest, for a message; else nothing."""
    if path.name and state_folder(path).exists():
        return "; its training was interrupted: the same command goes on with it, fine-tune with --resume"
    if path.exists() or not path.parent.is_dir():
        return ""
    near = nearest(path.name, [each.name for each in path.parent.iterdir() if each.is_dir()])
    return f"; did you mean {path.parent / near}?" if near else ""


def check_free(target: Path, overwrite: bool, mark: str = "report.json", what: str = "a run") -> None:
    """Refuse a directory that holds something, before any work is done.

    It may be overwritten if it is what would be written, which is known by the file ``mark``.
    """
    if target.is_symlink() and not target.exists():
        raise ConfigError(f"{target} is a link to nothing; delete it, or choose another --out")
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file; --out takes a directory")
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise ConfigError(f"{target} is not empty; choose another --out, or pass --overwrite")
        if not (target / mark).exists():
            raise ConfigError(f"{target} holds something else than {what}, and is not overwritten")
    above = next((folder for folder in target.absolute().parents if folder.exists()), target)
    if not above.is_dir():
        raise ConfigError(f"{above} is a file, and {target} would lie in it; choose another --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"nothing may be written to {above}; choose another --out")


def read_predictions(run: Path, split: str, needed: Sequence[str] = PREDICTION_COLUMNS) -> pa.Table:
    """The predictions of a run for the samples of one split, in their order; ``needed`` are columns that must be."""
    import pyarrow as pa  # which `runs ls` lacks

    from headstart.parquet_file import open_parquet

    path = run / PREDICTIONS
    try:
        with open_parquet(path) as file:
            schema = file.schema_arrow
            _check_predictions(path, schema, needed)
            batches = file.iter_batches(ROWS_AT_ONCE, use_threads=False)
            return pa.Table.from_batches([of_split(batch, split) for batch in batches], schema)
    except FileNotFoundError as error:
        raise StorageError(f"{run} has no {PREDICTIONS}; restore it, or make the run again") from error
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        raise StorageError(
            f"{path} cannot be read ({reason[:120]}): it is truncated or damaged; restore it, or make the run again"
        ) from error


def read_object(run: Path, name: str) -> dict[str, Json]:
    """What a JSON file of a run holds, an object."""
    try:
        content = read_json(run / f"{name}.json")
    except OSError as error:
        raise StorageError(f"{run}: {name}.json cannot be read ({error.strerror})") from error
    except StorageError as error:
        raise StorageError(f"{run}: {name}.json is not valid JSON") from error
    if not isinstance(content, dict):
        raise StorageError(f"{run}: {name}.json is not a JSON object")
    return content


def check_whole(path: Path, value: Json, names: Sequence[str]) -> None:
    """Refuse an object that lacks a part."""
    missing = [name for name in names if not isinstance(value, dict) or name not in value]
    if missing:
        raise StorageError(f"{path} lacks {missing[0]!r}; restore it, or fit the head again")


def read_split(run: Path) -> pa.Table | None:
    """``id``, ``key`` and ``split`` of every sample of the set; None if the file is missing or damaged."""
    import pyarrow as pa  # which `runs ls` lacks

    from headstart.parquet_file import open_parquet

    try:
        with open_parquet(run / "split.parquet") as file:
            return file.read(["id", "key", "split"])
    except (pa.ArrowException, OSError, KeyError):
        return None


def draws_file(label: int = 0) -> str:
    """The file with the draws of a label, by its place among those of the run."""
    return f"draws-{label + 1}.parquet" if label else "draws.parquet"


def read_draws(run: Path, label: int = 0) -> pa.Table | None:
    """What each draw of a protocol has right; None if the run has no such file."""
    import pyarrow as pa

    from headstart.parquet_file import open_parquet

    path = run / draws_file(label)
    try:
        with open_parquet(path) as file:
            return file.read(["id", "marks"])
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StorageError(
            f"{path} cannot be read ({first_line(error)[:120]}): it is truncated or damaged; restore it, or make the "
            "run again"
        ) from error


def read_history(run: Path) -> list[dict[str, Json]]:
    """What ``metrics.jsonl`` of a run holds."""
    path = run / HISTORY
    try:
        # Not splitlines(): a label may hold U+2028 and its like, which end no line of JSON.
        found = [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path} cannot be read ({first_line(error)}); restore it, or make the run again"
        ) from error
    if not all(isinstance(record, dict) for record in found):
        raise StorageError(f"{path} has lines that are no JSON objects, so headstart did not write it")
    return found


def of_split(rows: Any, split: str) -> Any:
    """The rows of a table, or of a batch of one, that are in a split."""
    from headstart.arrow import codes_by_name, mask_of

    return rows.filter(mask_of(codes_by_name(rows.column("split"), [split]) == 0))


def _check_predictions(path: Path, schema: pa.Schema, needed: Sequence[str]) -> None:
    import pyarrow as pa

    from headstart.keys import KEY_BYTES

    missing = [name for name in needed if name not in schema.names]
    if missing:
        raise StorageError(
            f"{path} has no column {missing[0]!r}, so headstart did not write it; make the run again"
        )
    for name, expected in (("key", pa.binary(KEY_BYTES)), ("split", pa.string()), ("id", pa.string())):
        if schema.field(name).type != expected:
            raise StorageError(
                f"{path} has {schema.field(name).type} in column {name!r}, expected {expected}; make the run again"
            )


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    import pyarrow.parquet as pq  # `runs ls` needs none of it

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def place_backbone(features: Mapping[str, Json], folder: Path) -> dict[str, Json]:
    """What ``features.json`` says, with the folder that a backbone of the run's own lies in."""
    where = str(folder.resolve())
    options = dict(features.get("options", {}))
    if str(options.get("weights", "")).startswith(f"{IN_RUN}/"):
        options["weights"] = where + str(options["weights"])[len(IN_RUN) :]
    located = str(features.get("located", features.get("backbone", "?")))
    kind, _, place = located.partition(":")
    return {**features, "located": f"{kind}:{where}" if place == IN_RUN else located, "options": options}
