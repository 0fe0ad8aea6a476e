"""One step resolved: its command's own configuration, the key that it is known by, and the folder that it fills."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cache.layout import set_name_from
from headstart.config import CompareConfig, ExtractConfig, FitConfig, PredictConfig, TuneConfig
from headstart.pipelines.made_data import made_path, make_data
from headstart.pipelines.options import ExportStep
from headstart.pipelines.state import mark_of

if TYPE_CHECKING:
    from headstart.config import Config
    from headstart.contracts import Progress
    from headstart.pipelines.schema import Pipeline, Step
    from headstart.pipelines.state import Done

NO_DIFFERENCE = (
    "cache", "device", "workers", "format", "offline", "track", "part_size", "plots", "data", "init_head", "runs", "run"
)  # fmt: skip
"""What changes no result, or is in the key by its content."""


@dataclass(frozen=True)
class Bench:
    """Where and how a pipeline works."""

    pipeline: Pipeline
    folder: Path
    cache: str | None
    offline: bool
    progress: Progress

    def place(self, step: str) -> Path:
        """The folder of a step."""
        return self.folder / step


@dataclass(frozen=True)
class Work:
    """A step that is ready to run, with the runs that it names by step, and ``set`` and ``digest`` of its features."""

    step: Step
    config: Config
    key: str
    target: Path
    runs: Mapping[str, Path]
    features: Mapping[str, Any] | None = None


def work_of(step: Step, bench: Bench, done: Mapping[str, Done], make: bool) -> Work:
    """Resolve a step whose needs are there; without ``make``, data that is to be made is not made."""
    verb = step.verb
    runs = {name: bench.place(name) for name in step.needs if bench.pipeline.step(name).verb != "extract"}
    named = next((name for name in step.needs if name not in runs), None)
    features = None if named is None else done[named].result
    config = _config(step, bench, features, make)
    tokens = [_token(bench, name, done, reads_head_only=verb == "fine-tune") for name in step.needs]
    return Work(step, config, _key(verb, config, tokens), bench.place(step.name), runs, features)


def _config(step: Step, bench: Bench, features: Mapping[str, Any] | None, make: bool) -> Config:
    """The options as the command's own configuration."""
    options = dict(step.options)
    computes: dict[str, Any] = {"cache": bench.cache}
    if bench.offline:
        computes["offline"] = True
    pinned = {} if features is None else {"set": features["set"], "digest": features["digest"]}
    match step.verb:
        case "extract":
            name = options.pop("set", None) or set_name_from(f"{bench.pipeline.name}-{step.name}")
            return ExtractConfig(**{**options, **computes, "set": name, "data": _data(step, bench, make)})
        case "fit-head":
            return FitConfig(**{**options, **pinned, "cache": bench.cache})
        case "fine-tune":
            if "init_head" in options:
                options["init_head"] = (bench.folder / options["init_head"]).resolve()
            assert features is not None  # the schema saw to it
            where = {"data": features["data"], **pinned}
            return TuneConfig(**{**options, **computes, **where})
        case "predict":
            del options["run"]
            return PredictConfig(**{**options, **computes, "data": _data(step, bench, make)})
        case "export":
            return ExportStep(**{**options, "offline": options.get("offline", False) or bench.offline})
    return CompareConfig(**options)


def _data(step: Step, bench: Bench, make: bool) -> str:
    """Where the data lies."""
    data = step.data
    assert data is not None  # the schema saw to it
    if data.make is None:
        return str(data.path)
    find = make_data if make else made_path
    return str(find(data.make, data.rows, bench.folder / "data"))


def _token(bench: Bench, name: str, done: Mapping[str, Done], reads_head_only: bool) -> str:
    """What of an earlier step a later one hangs on: a set's digest, a head's files, or a whole report."""
    if bench.pipeline.step(name).verb == "extract":
        return str(done[name].result["digest"])
    if not reads_head_only:
        return mark_of(bench.place(name))
    digest = blake2b(digest_size=8)
    model = bench.place(name) / "model"
    for path in sorted(model.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(model).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _key(verb: str, config: Config, tokens: list[str]) -> str:
    said = config.model_dump(mode="json", exclude_none=True, exclude=set(NO_DIFFERENCE))
    if isinstance(config, ExtractConfig | PredictConfig):
        said["data"] = config.data
    text = json.dumps([verb, said, tokens], sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode("utf-8"), digest_size=8).hexdigest()
