"""Data sets of the Hugging Face hub: ``hf:NAME[:CONFIG][@REVISION]``, or ``hf:PATH`` of one on this machine.

No code of a data set is ever run: the library reads data files only. What is too large for this machine is read once,
block by block.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headstart.contracts import Source
from headstart.data.hub_source import (
    HubSource,
    class_kinds,
    class_names,
    import_datasets,
    open_loaded,
    part_of,
)
from headstart.data.label_cells import in_order
from headstart.data.splits import LEFT_OUT, SplitNames
from headstart.errors import ConfigError, DataError, HeadstartError, SampleError, first_line
from headstart.network import forbid_network, hub_is_reachable
from headstart.places import expanded
from headstart.tasks import open_task

if TYPE_CHECKING:
    from headstart.contracts import KeyMemo
    from headstart.data.options import SourceOptions
    from headstart.types import Grouping, LabelKind, Modality, Payload, SampleBlock

HUB = "hf:"
UNREACHABLE = "the hub cannot be reached"
STREAMED_BYTES = 20 * 10**9
"""What is larger is not copied to the disk first."""

_READERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".txt": "text",
    ".arrow": "arrow",
}
ROWS = 512
BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class HubSpec:
    """What to load: the name of a repository, or a path."""

    name: str
    config: str | None = None
    revision: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is a path."""
        return os.path.exists(self.name)

    @property
    def folder(self) -> Path:
        """What relative paths of images are relative to."""
        path = Path(self.name)
        return path.parent if path.is_file() else path

    def arguments(self) -> dict[str, Any]:
        """The same as the library's functions take it."""
        if os.path.isfile(self.name):
            reader = _READERS.get(Path(self.name).suffix.lower())
            if reader is None:
                raise DataError(
                    f"{HUB}{self.name} cannot be read; of files the library reads {', '.join(_READERS)}"
                )
            more = {"sep": "\t"} if self.name.lower().endswith(".tsv") else {}
            return {"path": reader, "data_files": self.name, **more}
        return {"path": self.name, "name": self.config, "revision": self.revision}


def parse_spec(data: str) -> HubSpec:
    """Read ``hf:NAME[:CONFIG][@REVISION]``; a path that is there is taken as it is.

    Raises
    ------
    ConfigError
        There is no name.

    Examples
    --------
    >>> parse_spec("hf:nyu-mll/glue:sst2@main")
    HubSpec(name='nyu-mll/glue', config='sst2', revision='main')
    """
    body = data.removeprefix(HUB)
    path = expanded(body)
    if body and os.path.exists(path):
        return HubSpec(path)
    body, _, revision = body.partition("@")
    path = expanded(body)
    if body and os.path.exists(path):
        return HubSpec(path, None, revision or None)
    name, _, config = body.partition(":")
    if not name:
        raise ConfigError(f"{data} names no data set; write hf:NAME, hf:NAME:CONFIG or hf:NAME@REVISION")
    return HubSpec(expanded(name), config or None, revision or None)


def open_hub(data: str, options: SourceOptions, modality: Modality | None) -> Source:
    """Open a data set by way of the library: copied to its cache, or streamed where it is too large.

    Raises
    ------
    DataError
        It is not there, cannot be fetched, or cannot be read.
    ConfigError
        It has several configurations, or a column could be several things.
    MissingDependencyError
        datasets is not installed.
    """
    spec = parse_spec(data)
    if not spec.is_local and spec.name.startswith((os.sep, ".")):
        raise DataError(f"{data}: there is no file or folder {spec.name}")
    if not spec.is_local and not hub_is_reachable():
        forbid_network()  # the library would try for most of a minute, and a copy may be here
    datasets = import_datasets()
    try:
        streaming = options.streaming
        if streaming is None:
            streaming = _is_too_large(datasets, datasets.load_dataset_builder(**spec.arguments()).info)
        loaded = datasets.load_dataset(**spec.arguments(), streaming=streaming)
    except HeadstartError:
        raise
    except Exception as error:  # each builder, and the network, have their own
        raise _explained(data, spec, error) from error
    if streaming:
        return StreamSource(data, dict(loaded), spec.folder, options, modality)
    return open_loaded(loaded, spec.folder, options, modality)


def _is_too_large(datasets: Any, info: Any) -> bool:
    n_bytes = max(info.size_in_bytes or 0, info.dataset_size or 0, info.download_size or 0)
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    while not cache.exists() and cache != cache.parent:
        cache = cache.parent
    return n_bytes > min(STREAMED_BYTES, shutil.disk_usage(cache).free)


def _explained(data: str, spec: HubSpec, error: Exception) -> HeadstartError:
    """What went wrong, by what the library calls it."""
    said = first_line(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "onfig" in said and isinstance(error, ValueError):
        choices = str(error).partition("Available: ")[2] or " ".join(str(error).split())
        return ConfigError(f"{data}: choose a configuration with hf:{spec.name}:CONFIG; {choices[:300]}")
    if spec.is_local:
        return DataError(f"{data} cannot be read: {said}")
    if "DatasetNotFoundError" in kinds:
        return DataError(
            f"{data} is not on the hub, or not for you; check its name, or log in with `hf auth login`"
        )
    if "script" in said:
        return DataError(
            f"{data} is made by a program, which is not run; take a copy of it that holds data files, or "
            "load it yourself, save_to_disk it and give that folder"
        )
    offline = [name for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(name, "0") != "0"]
    if offline or isinstance(error, OSError):
        why = f"--offline was given, or {offline[0]} is set" if offline else UNREACHABLE
        if not hub_is_reachable():
            why = UNREACHABLE
        return DataError(
            f"{data}: {why}, and there is no copy in this machine's cache of datasets ({said}); fetch it "
            "where there is a network, or save_to_disk it there and give that folder"
        )
    return DataError(f"{data} cannot be loaded: {said}")


class StreamSource(Source):
    """The rows of a data set as they come; a payload can be had while its block is the last one.

    Relative paths of images are relative to ``folder``.

    Raises
    ------
    DataError
        It has no rows, or cannot be read.
    """

    streams = True

    def __init__(
        self,
        name: str,
        splits: Mapping[str | None, Any],
        folder: Path,
        options: SourceOptions,
        modality: Modality | None,
    ) -> None:
        self._name = name
        self._folder = folder
        self._options = options
        names = SplitNames(options.split_map)
        words = [str(split) for split in splits if split is not None]
        names.check(words, name)
        self._meant = {split: None if split is None else names.of(str(split)) for split in splits}
        self._said = names.said(words)
        self._splits = {
            # Where features are not known, nothing is decoded.
            split: rows.decode(False) if rows.features else rows
            for split, rows in splits.items()
            if self._meant[split] != LEFT_OUT
        }
        self._look(modality)
        self._seen: dict[str, set[str]] = {}
        self._first, self._n = 0, 0
        self._window: HubSource | None = None

    def _look(self, modality: Modality | None) -> None:
        """Take the first block for what all of them are."""
        for split, rows in self._splits.items():
            examples = next(_blocks(self._name, rows), None)
            if examples:
                features = rows.features or import_datasets().Dataset.from_list(examples).features
                self._features = features
                self._names, self._kinds = class_names(features), class_kinds(features)
                part = self._part(examples, split, 0)
                first = HubSource([part], self._options, modality, self._names, self._kinds)
                self._roles, self._label_kinds = first.roles, dict(first.label_kinds)
                self._grouping = first.grouping
                self._kinds = {**self._kinds, **self._label_kinds}
                return
        raise DataError(f"{self._name} holds no rows")

    @property
    def modality(self) -> Modality:
        """What the columns hold."""
        return self._roles.modality

    @property
    def grouping(self) -> Grouping | None:
        """As that of the first block."""
        return self._grouping

    @property
    def label_kinds(self) -> Mapping[str, LabelKind]:
        """What the first labels are."""
        return self._label_kinds

    @property
    def label_names(self) -> Mapping[str, Sequence[str]]:
        """The given names, else those the data set knows, else integers in order, after the scan."""
        return {
            name: self._options.label_names
            or self._names.get(name)
            or in_order(list(self._seen.get(name, ())))
            for name in self._label_kinds
        }

    @property
    def description(self) -> str:
        """What the data set was taken for."""
        content = " and ".join(map(repr, self._roles.content))
        labels = ", ".join(f"{name!r} ({kind})" for name, kind in self._label_kinds.items())
        said = f"{self.modality} in {content}, {f'labels in {labels}' if labels else 'no labels'}"
        named = ", ".join(split for split in self._splits if split is not None)
        streamed = f"{self._name}, streamed{f', splits {named}' if named else ''}: {said}"
        return "; ".join([streamed, *self._said])

    def scan(self, memo: KeyMemo) -> Iterator[SampleBlock]:
        """All rows in blocks of at most 512, each in memory until the next."""
        self._first = self._n = 0
        for split, rows in self._splits.items():
            read = 0
            for examples in _blocks(self._name, rows):
                part = self._part(examples, split, read)
                read += len(examples)
                yield from self._scanned(part, memo)

    def payload(self, row: int) -> Payload:
        """The content of the ``row``-th sample, if it is of the block that was yielded last.

        Raises
        ------
        SampleError
            It is not: the data set has to be streamed again.
        """
        if self._window is None or not self._first <= row < self._n:
            raise SampleError(
                f"{self._name}: sample {row:,} has streamed by; it can be had while its block can"
            )
        return self._window.payload(row - self._first)

    def _scanned(self, part: Any, memo: KeyMemo) -> Iterator[SampleBlock]:
        source = HubSource([part], self._options, self.modality, self._names, self._kinds, self._roles)
        for block in source.scan(memo):
            self._window = source
            self._first, self._n = self._n, self._n + block.table.num_rows
            for name, kind in self._label_kinds.items():
                found = open_task(kind).names_in(block.table.column(f"label:{name}"))
                self._seen.setdefault(name, set()).update(found)
            yield block

    def _part(self, examples: list[dict[str, Any]], split: str | None, read: int) -> Any:
        try:
            table = import_datasets().Dataset.from_list(examples, features=self._features)
        except (pa.ArrowException, TypeError, ValueError) as error:
            where = f"{self._name}{f', split {split}' if split else ''}, rows from {read + 1:,}"
            raise DataError(
                f"{where}: not of the types of the first rows ({first_line(error)}); try it without streaming"
            ) from error
        names = {} if self._options.label_names else self._names
        rows = table.with_format("arrow")[:]
        place = self._folder / (split or self._name)
        return part_of(rows, names, place, split, self._meant[split], numbered_from=read)


def _blocks(name: str, rows: Any) -> Iterator[list[dict[str, Any]]]:
    """Examples, at most so many and so many bytes at a time."""
    block: list[dict[str, Any]] = []
    n_bytes = 0
    try:
        for example in rows:
            n_bytes += sum(_fetched(value) for value in example.values())
            block.append(example)
            if len(block) == ROWS or n_bytes >= BYTES:
                yield block
                block, n_bytes = [], 0
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{name}: the stream broke ({first_line(error)}); run the same command again"
        ) from error
    if block:
        yield block


def _fetched(value: Any) -> int:
    """About how many bytes a value has; an image that is only named, elsewhere, is fetched."""
    if isinstance(value, dict) and "bytes" in value:
        path = value.get("path")
        if value["bytes"] is None and path and "://" in path:
            import fsspec  # type: ignore[import-untyped]

            with contextlib.suppress(OSError), fsspec.open(path, "rb") as file:
                value["bytes"] = file.read()
        return len(value["bytes"] or b"")
    return len(value) if isinstance(value, bytes | str) else 8
