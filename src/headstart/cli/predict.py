"""``headstart predict``, ``evaluate`` and ``export``: what a run makes of raw inputs, and what it leaves for others."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart import api
from headstart.api import shared
from headstart.cli.command import AsJson, Quiet, Said, made_from, write_json
from headstart.cli.figures import figures_line
from headstart.errors import ConfigError, DataError
from headstart.options import Option
from headstart.places import expanded, is_there
from headstart.remote.addresses import is_remote
from headstart.words import counted


def check_all_data(given: Sequence[str], said: str) -> list[Any]:
    """The same as `shared.check_data` of each."""
    return [shared.check_data(one, said) for one in given]


SeveralData = Annotated[
    Sequence[str] | None,
    Option(
        shared.Data.__metadata__[0].help,
        metavar="DATA",
        is_argument=True,
        repeats=True,
        reads=check_all_data,
    ),
]


@made_from(api.predict, optional=["data"], instead={"data": SeveralData})
def predict(
    said: Said,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="A text instead of DATA; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help=".parquet, .csv or .jsonl. Default: CSV on stdout."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    from headstart.extraction.counts import said_by_reason
    from headstart.prediction_table import count_unpredicted
    from headstart.progress import open_progress
    from headstart.table_files import check_writable, write_table

    check_writable(out, *(said["data"] or []), said["run"])
    run = api.load_run(said["run"])
    data = _inputs(said["data"] or [], text or [], run.features["modality"])
    table = api.predict(**{**said.values, "run": run, "data": data}, quiet=quiet).table
    progress = open_progress(quiet)
    write_table(table, out)
    n_bad = count_unpredicted(table)
    if n_bad:
        by_reason = said_by_reason(_reasons(table))
        progress.say(
            f"found {table.num_rows:,}: {table.num_rows - n_bad:,} predicted, {n_bad:,} skipped{by_reason}; see the "
            "column 'error'"
        )
    if out is not None:
        progress.say(f"{counted(table.num_rows, 'row')} written to {out}")


def _reasons(table: Any) -> dict[str, int]:
    """How many inputs were skipped for each reason, the most frequent first."""
    errors = table.column("error").to_pylist() if "error" in table.column_names else []
    return dict(Counter(error for error in errors if error is not None).most_common())


def _inputs(data: Sequence[str], texts: Sequence[str], modality: str) -> Any:
    """What is to be predicted: one DATA, several images, or texts."""
    if data and texts:
        raise ConfigError(f"--text goes without DATA (got {data[0]} as well); run the command twice")
    if texts:
        return _texts(texts, modality)
    if not data:
        raise ConfigError("say what to predict: headstart predict RUN DATA, or --text TEXT")
    if len(data) == 1:
        return _place(data[0])
    return _files(data, modality)


def _files(paths: Sequence[str], modality: str) -> list[Any]:
    """Several files, each of which is a sample: images, or texts."""
    from headstart.data.contents import is_image
    from headstart.data.file_kinds import is_text
    from headstart.remote.paths import RemotePath

    files: list[Any] = [RemotePath.of(path) if is_remote(path) else Path(expanded(path)) for path in paths]
    are_texts = is_text(paths[0])
    fits = is_text if are_texts else is_image
    for file in files:
        if not fits(file.name) or (isinstance(file, Path) and file.is_dir()):
            raise ConfigError(
                f"several DATA are images or text files, a sample each, and {file} is none; give one table, folder or "
                "pattern in quotes at a time"
            )
        if not file.is_file():
            raise DataError(f"there is no file {file}")
    if modality not in (("text", "words") if are_texts else ("image",)):
        kind = "a text" if are_texts else "an image"
        raise ConfigError(f"this run reads {_worded(modality)}, and {paths[0]} is {kind}")
    return (
        files
        if are_texts
        else [path if is_remote(path) else file for path, file in zip(paths, files, strict=True)]
    )


def _texts(texts: Sequence[str], modality: str) -> Any:
    """The texts; what is the path of data is that data, and what only looks like one is refused."""
    if modality not in ("text", "words"):
        raise ConfigError(f"--text is for runs on texts, and this one reads {_worded(modality)}; give DATA")
    for text in texts:
        if _is_there(text) and len(texts) > 1:
            raise ConfigError(f"--text {text} is a file or folder that is there; give it as DATA, alone")
        if not _is_there(text) and _looks_like_path(text):
            raise DataError(
                f"there is no file or folder {text}, and --text takes it for one by its look; "
                "a text like this goes into a table, or through standard input (-)"
            )
    return _place(texts[0]) if _is_there(texts[0]) else list(texts)


def _place(text: str) -> str | Path:
    """Where data lies: a path, so that it is not taken for a text; an address, which would not stay one as a path."""
    return text if is_remote(text) else Path(text)


def _is_there(text: str) -> bool:
    try:
        return bool(text) and is_there(text)
    except ValueError:  # a NUL: no file can have it in its name
        return False


def _looks_like_path(text: str) -> bool:
    """Whether a text has the ending of data, or a separator, and no blanks."""
    from headstart.data.contents import is_image
    from headstart.data.read_table import is_table
    from headstart.data.tars import is_tar

    if not text or any(map(str.isspace, text)):
        return False
    return is_table(text) or is_image(text) or is_tar(text) or os.sep in text


def _worded(modality: str) -> str:
    return {"image": "images", "text": "texts", "text-pair": "pairs of texts", "words": "words"}.get(
        modality, "pairs of image and text"
    )


@made_from(api.evaluate)
def evaluate(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    done = api.evaluate(**said.values, quiet=quiet)
    if as_json:
        write_json({"evaluation": str(done.path), **done.report})
        return
    data = done.report["data"]
    for label in done.label_names:
        part = done.of(label)
        title = label if len(done.label_names) > 1 else part.report["name"]
        typer.echo(figures_line(title, part.report["task"], part.metrics))
    left_out = {
        "without a label": data["n_unlabelled"],
        "that could not be used": data["n_skipped"],
        "of other splits": data["n_other_splits"],
    }
    for reason, n in left_out.items():
        if n:
            typer.echo(f"{n:,} more {reason}")
    if any(left_out.values()):
        typer.echo(f"found {data['n_found']:,}: {data['n']:,} judged, {sum(left_out.values()):,} left out")
    typer.echo(
        f"the evaluation lies in {done.path}; headstart compare RUN RUN --on {done.report['name']} takes it"
    )


@made_from(api.export)
def export(said: Said, as_json: AsJson = False, quiet: Quiet = False) -> None:
    done = api.export(**said.values, quiet=quiet)
    if as_json:
        write_json(done.as_json)
