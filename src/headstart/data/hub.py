"""Data sets of the Hugging Face hub: ``hf:NAME[:CONFIG][@REVISION]``, or ``hf:PATH`` of one on this machine.

No code of a data set is ever run: the library reads data files only.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.data.hub_source import import_datasets, open_loaded
from headstart.data.hub_stream import StreamSource
from headstart.data.table_file import first_line
from headstart.errors import ConfigError, DataError, HeadstartError
from headstart.network import forbid_network, hub_is_reachable

if TYPE_CHECKING:
    from headstart.contracts import Source
    from headstart.data.options import SourceOptions
    from headstart.types import Modality

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
    path = os.path.expanduser(body)
    if body and os.path.exists(path):
        return HubSpec(path)
    body, _, revision = body.partition("@")
    path = os.path.expanduser(body)
    if body and os.path.exists(path):
        return HubSpec(path, None, revision or None)
    name, _, config = body.partition(":")
    if not name:
        raise ConfigError(f"{data} names no data set; write hf:NAME, hf:NAME:CONFIG or hf:NAME@REVISION")
    return HubSpec(os.path.expanduser(name), config or None, revision or None)


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
