"""backbones prepare: convert a backbone for OpenVINO ahead, so that the first run needs no torch either."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from headstart.cache.store import Cache
from headstart.devices import processor
from headstart.errors import BackboneError
from headstart.extraction.backbone import OpenedBackbone, load_model
from headstart.files import size_of
from headstart.network import forbid_network
from headstart.notebook import html_facts
from headstart.runtimes.kept import KeptModel, KeptModels
from headstart.runtimes.library import openvino_version

if TYPE_CHECKING:
    from headstart.backbones import BackboneOptions
    from headstart.contracts import Progress


@dataclass(frozen=True, slots=True)
class Prepared:
    """A backbone that is converted."""

    spec: str
    largest_error: float
    """Of the features of made-up samples against torch's, in parts of a vector's largest value."""
    gain: float | None
    """How many times as fast as torch it was, a thread each."""
    starts_without_torch: bool
    """Whether its samples are prepared without torch as well."""
    n_bytes: int
    path: str
    seconds: float
    was_there: bool

    def _repr_html_(self) -> str:
        facts = {
            "largest error": f"{self.largest_error:.2g}",
            "speed": "not measured" if self.gain is None else f"{self.gain:.2f} times that of torch",
            "starts without torch": "yes" if self.starts_without_torch else "no",
            "converted": "before" if self.was_there else f"in {self.seconds:.1f} s",
            "bytes": f"{self.n_bytes:,}",
            "folder": self.path,
        }
        return html_facts(f"backbone {self.spec}", facts)


def prepare(spec: str, options: BackboneOptions, progress: Progress) -> Prepared:
    """Convert a backbone for OpenVINO, prove it, and keep it for this machine; one that is kept already stays.

    Raises
    ------
    BackboneError
        It cannot be converted, or OpenVINO gives other features.
    """
    began = perf_counter()
    if options.offline:
        forbid_network()
    if openvino_version() is None:
        raise BackboneError("openvino is not installed; install it with: pip install openvino")
    opened = _opened(spec, options, progress)
    if opened.info.code is not None:
        raise BackboneError(f"{spec} is code of your own, which is not converted; torch runs it")
    kept = KeptModels()
    found = kept.find(opened.info)
    made = found or _convert(opened, kept, progress)
    errors, speed = made.manifest["errors"], made.speed(processor().id)
    return Prepared(
        spec=spec,
        largest_error=max(errors.values()),
        gain=speed.gain if speed else None,
        starts_without_torch=made.manifest["plain"] is not None,
        n_bytes=size_of(made.path),
        path=str(made.path),
        seconds=perf_counter() - began,
        was_there=found is not None,
    )


def _opened(spec: str, options: BackboneOptions, progress: Progress) -> OpenedBackbone:
    """The backbone, known to this machine's memo under the modality of its samples too."""
    opened = OpenedBackbone(spec, options, Cache(), progress)
    if options.modality is None:
        opened = OpenedBackbone(spec, replace(options, modality=opened.info.modality), opened.cache, progress)
    return opened


def _convert(opened: OpenedBackbone, kept: KeptModels, progress: Progress) -> KeptModel:
    from headstart.runtimes.conversion import NotConvertibleError, convert

    progress.say(f"loading {opened.spec}")
    model = load_model(opened, "cpu", "fp32")
    progress.say("converting")
    try:
        return convert(model, opened.info, [], kept)
    except NotConvertibleError as error:
        kept.refuse(opened.info, str(error))
        raise BackboneError(f"{error}; torch runs {opened.spec}") from error
