"""What extract, predict and the embedder share: opening a backbone, and filling its spaces."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headstart.backbones import located_spec, open_backbone
from headstart.cache.resolutions import find_known, record_known
from headstart.errors import ConfigError, MismatchError, WeightsUnavailableError
from headstart.extraction.engine import LocalEngine

if TYPE_CHECKING:
    from headstart.backbones.options import BackboneOptions
    from headstart.cache.store import Cache
    from headstart.contracts import Backbone, FrozenModel, Progress, Source
    from headstart.stages.config import ComputeConfig
    from headstart.stages.spaces import Work
    from headstart.types import BackboneInfo, Failure, Json, Precision


class OpenedBackbone:
    """A backbone, and what is known of it before its weights are loaded.

    Parameters
    ----------
    spec : str
    options : BackboneOptions
    cache : Cache
        Its memo, and what lies beside its spaces, may know the backbone already.
    progress : Progress
    """

    def __init__(self, spec: str, options: BackboneOptions, cache: Cache, progress: Progress) -> None:
        self.spec = spec
        self._options = options
        self.cache = cache
        self._progress = progress
        self._backbone: Backbone | None = None
        self.was_loaded = False
        self.info = self._resolve()

    @property
    def portable_spec(self) -> dict[str, Json]:
        """Spec and options, without anything of this machine."""
        return {"spec": located_spec(self.spec), "options": self._options.given()}

    def backbone(self) -> Backbone:
        """The backbone, to be loaded.

        Raises
        ------
        BackboneError
            Its weights cannot be had on this machine.
        """
        if self._backbone is None:
            self._backbone = open_backbone(self.spec, self._options)
        return self._backbone

    def _resolve(self) -> BackboneInfo:
        """From this machine's memo, from the model, or from what the cache knows of it."""
        try:
            key = self.backbone().memo_key()
            if key is not None and (info := self.cache.resolutions.get(key)):
                return info
            began = time.time_ns()
            info = self.backbone().resolve()
        except WeightsUnavailableError as error:
            known = find_known(self.cache.space_paths(), self.portable_spec)
            if len(known) != 1:
                raise
            self._progress.say(f"{error}; going on with what the cache holds of it")
            return known[0]
        self.was_loaded = True
        if key is not None:
            self.cache.resolutions.put(key, info, self.backbone().witnesses(), began)
        return info


def forbid_network() -> None:
    """What ``--offline`` means to the libraries that would fetch a model; said before they load."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ[name] = "1"
    if "huggingface_hub" in sys.modules:  # it read the environment when it was imported
        sys.modules["huggingface_hub"].constants.HF_HUB_OFFLINE = True


def check_modality(source: Source, info: BackboneInfo) -> None:
    """Refuse images for a text backbone, and the other way round."""
    takes = {"text": ("text", "text-pair"), "text-pair": ("text-pair",), "image": ("image",)}
    if source.modality not in takes[info.modality]:
        raise ConfigError(
            f"{info.spec} takes {info.modality}s, and the data holds {source.modality}s "
            f"({source.description}); choose another backbone"
        )


def fill(
    work: Work,
    opened: OpenedBackbone,
    config: ComputeConfig,
    progress: Progress,
) -> tuple[int, list[Failure]]:
    """Compute and commit what the spaces of a plan lack.

    A plan with nothing to do loads no model.

    Returns
    -------
    n_computed : int
        The samples that this process computed.
    failures : list of Failure
    """
    plan = work.plan
    failures: list[Failure] = []
    n_computed = 0
    if len(plan.todo):
        opened.cache.prepare()
        model = _load(opened, config.device, work.precision)
        for space in plan.spaces:
            space.prepare()
            record_known(space.path, opened.portable_spec, opened.info)
        engine = LocalEngine(progress, work.stored, config.batch_size)
        progress.begin("extracting", len(plan.todo))
        try:
            for _ in engine.run(plan, model):
                pass
        finally:
            progress.end()
        n_computed, failures = engine.n_computed, engine.failures
    for space in plan.spaces:
        space.save_index()
    return n_computed, failures


def _load(opened: OpenedBackbone, device: str, precision: Precision) -> FrozenModel:
    from headstart.backbones.freezing import resolve_device

    backbone = opened.backbone()
    if not opened.was_loaded:
        # The memo named the space; the weights that fill it must be the ones that it was named after.
        differences = _differences(backbone.resolve(), opened.info)
        if differences:
            if (key := backbone.memo_key()) is not None:
                opened.cache.resolutions.forget(key)
            raise MismatchError(
                f"{opened.spec} is not what it was when its features were named "
                f"({', '.join(differences)} changed); run the command again"
            )
    return backbone.load(resolve_device(device), precision)


def _differences(now: BackboneInfo, then: BackboneInfo) -> list[str]:
    names = ("weights", "architecture", "preprocessing", "max_length", "code")
    return [name for name in names if _plain(getattr(now, name)) != _plain(getattr(then, name))]


def _plain(value: Json) -> Json:
    return dict(value) if isinstance(value, Mapping) else value
