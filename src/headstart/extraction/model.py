"""The model that an extraction runs: by torch, or a converted one where it is exact and the faster one here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from headstart.cache.memos import IDENTITY
from headstart.devices import Processor, pick_gpu, processor
from headstart.errors import ConfigError
from headstart.extraction.backbone import load_model
from headstart.extraction.inference import lay_out
from headstart.extraction.windows import open_joiner
from headstart.runtimes.background import Conversion
from headstart.runtimes.compiled import outputs_of
from headstart.runtimes.converted import is_sooner, open_converted, proves
from headstart.runtimes.kept import KeptModels
from headstart.runtimes.library import openvino_version
from headstart.runtimes.outputs import offered

if TYPE_CHECKING:
    from headstart.config import ComputeConfig
    from headstart.contracts import FrozenModel, ModelInputs, Progress
    from headstart.extraction.backbone import OpenedBackbone
    from headstart.extraction.plan import ExtractionPlan


Loaded: TypeAlias = "tuple[ModelInputs, Conversion | None]"
"""A model, and how it can be converted while it works."""
OpenModel: TypeAlias = "Callable[[OpenedBackbone, ExtractionPlan, ComputeConfig, Progress], Loaded]"
"""What opens a model as `open_model` does."""
INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}


def open_model(
    opened: OpenedBackbone, plan: ExtractionPlan, config: ComputeConfig, progress: Progress
) -> Loaded:
    """A model for the taps of a plan, and how it can be converted while it works.

    Raises
    ------
    ConfigError
        openvino was asked for, and cannot give these features.
    """
    joiner, kept = open_joiner(plan), KeptModels()
    taps = joiner.taps if joiner else plan.taps
    reason = _keeps_torch(opened, plan, taps, config)
    asked = config.runs_with == "openvino"
    if asked and reason:
        raise ConfigError(f"--runtime openvino cannot be used: {reason}; leave it out")
    if not reason and (found := _converted(opened, taps, None if asked else int(plan.wants.sum()), kept)):
        progress.say(f"running {opened.spec} with openvino")
        return found, None
    is_new = not reason and kept.find(opened.info) is None
    progress.say(f"loading {opened.spec}{_hint(opened) if is_new and not asked else ''}")
    model = load_model(opened, config.device, plan.precision)
    if reason:
        if plan.precision == "int8" and lacks_int8(processor()):
            progress.say(f"int8 is slower than fp32 on this processor ({processor().name} has no VNNI)")
        return model, None
    n_bytes = sum(part.numel() * part.element_size() for part in model.module.state_dict().values())
    conversion = Conversion(*opened.source, opened.info, taps, n_bytes, progress, kept, is_asked_for=asked)
    if asked and is_new:
        _convert_now(model, opened, kept, progress)
    if asked and not conversion.is_proved:
        raise ConfigError(
            f"--runtime openvino cannot be used: it gives other features for {', '.join(taps)}; leave it out"
        )
    return model, conversion


@dataclass
class ModelInMemory:
    """Opens a model as `open_model` does, and has it at hand for the next plan of the same taps."""

    _held_for: tuple[Any, ...] = ()
    _held: Loaded | None = None

    def open(
        self, opened: OpenedBackbone, plan: ExtractionPlan, config: ComputeConfig, progress: Progress
    ) -> Loaded:
        """See `open_model`."""
        identity = [getattr(opened.info, name) for name in IDENTITY]
        wanted = (opened.spec, identity, plan.taps, plan.precision, config.device, config.runs_with)
        if self._held is None or self._held_for != wanted:
            self._held = None  # before the next one is loaded: there may be no room for both
            self._held, self._held_for = open_model(opened, plan, config, progress), wanted
        model, conversion = self._held
        # Each piece of work has a conversion of its own to begin and to stop.
        return model, conversion and replace(conversion, progress=progress, _process=None)


def _hint(opened: OpenedBackbone) -> str:
    """How later runs start faster; nothing where the command would need options that the user gave."""
    spec, options = opened.source
    return "" if options.given() else f"; after `headstart backbones prepare {spec}` runs start faster"


def lacks_int8(found: Processor) -> bool:
    """Whether a processor has no instructions for products of int8; False where it does not say what it has."""
    return bool(found.flags) and found.flags.isdisjoint(INT8_FLAGS)


def _keeps_torch(
    opened: OpenedBackbone, plan: ExtractionPlan, taps: Sequence[str], config: ComputeConfig
) -> str:
    """Why torch runs the model in any case; empty if it need not."""
    if config.runs_with == "torch":
        return "torch was asked for"
    if opened.info.code is not None:
        return f"{opened.spec} is code of your own, which is not converted"
    if plan.precision != "fp32":
        return f"it computes in fp32, and the precision is {plan.precision}"
    if openvino_version() is None:
        return "it is not installed (pip install openvino)"
    if pick_gpu(config.device) is not None:
        return "a GPU is faster by far with torch"
    every = offered(opened.info)
    if unknown := [name for name in outputs_of(taps, every) if name not in every]:
        return f"it gives no {unknown[0]}"
    return KeptModels().refusal(opened.info) or ""


def _converted(
    opened: OpenedBackbone, taps: Sequence[str], n_samples: int | None, kept: KeptModels
) -> ModelInputs | None:
    """The converted model with what prepares samples for it without torch; None: there is none.

    ``n_samples``: views of samples that it must be done with before torch is; None: it may be slower.
    """
    found = kept.find(opened.info)
    if found is None or not proves(found, taps):
        return None
    if n_samples is not None and not is_sooner(found, n_samples):
        return None
    try:
        return open_converted(found, taps, lay_out("cpu"))
    except Exception:  # a file is damaged, or this OpenVINO refuses it: the next conversion makes it anew
        kept.drop(found.path)
        return None


def _convert_now(model: FrozenModel, opened: OpenedBackbone, kept: KeptModels, progress: Progress) -> None:
    from headstart.runtimes.conversion import NotConvertibleError, convert

    progress.say(f"converting {opened.spec} for openvino")
    try:
        convert(model, opened.info, [], kept)
    except NotConvertibleError as error:
        kept.refuse(opened.info, str(error))
        raise ConfigError(f"--runtime openvino cannot be used: {error}; leave it out") from error
