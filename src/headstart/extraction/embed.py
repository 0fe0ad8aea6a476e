"""Vectors of raw inputs, by way of the cache: of what an `Embedder` is given."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones import DeclaredPrompts, declared_prompts, declared_similarity, open_backbone
from headstart.cache.store import Cache
from headstart.data import SourceOptions, open_source
from headstart.errors import DataError
from headstart.extraction.backbone import OpenedBackbone, check_modality
from headstart.extraction.fill import fill
from headstart.extraction.long_texts import ShortTexts, TokenCounter, check_on_long, long_of
from headstart.extraction.model import ModelInMemory
from headstart.extraction.plan import plan_extraction
from headstart.extraction.samples import register
from headstart.network import forbid_network
from headstart.progress import open_progress
from headstart.trust import trust_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.config import ExtractConfig
    from headstart.contracts import Source
    from headstart.extraction.long_texts import LongTexts
    from headstart.types import Modality


_WARNED: set[tuple[str, int | None]] = set()


@dataclass
class Embedding:
    """What an `Embedder` keeps in memory between two calls: a model, and what its authors say of its use."""

    _model: ModelInMemory = field(default_factory=ModelInMemory)
    _lock: Lock = field(default_factory=Lock)
    _declared: dict[tuple[str, bool], tuple[DeclaredPrompts, str]] = field(default_factory=dict)

    def vectors(self, config: ExtractConfig, kind: Modality | None) -> NDArray[np.float32]:
        """Vectors of the items that are the data of a config, shape (N, D); computed where the cache lacks them.

        ``kind`` is what the items are; None: the backbone says it.
        """
        if not len(config.data):
            raise DataError("there is no input to transform")
        trust_named(config.backbone)
        progress = open_progress(quiet=True)
        opened = open_for(config, kind)
        source: Source = open_source(config.data, SourceOptions(labels=False), kind or opened.info.modality)
        check_modality(source, opened.info)
        check_on_long(config.on_long, opened.info)
        if config.on_long in ("skip", "refuse"):
            source = ShortTexts(source, [TokenCounter(opened, config)], refuses=True)
        samples = register(source, opened.cache.keys, progress)
        plan = plan_extraction(opened.cache, config, opened.info, source, samples)
        with self._lock:  # threads of a server share the model, which one of them runs at a time
            filled = fill(plan, opened, config, progress, load=self._model.open)
        failures = [*samples.failures, *filled.failures]
        if failures:
            raise DataError(f"input {failures[0].id} cannot be used: {failures[0].reason}")
        _warn(config.backbone, long_of(plan))
        found = plan.spaces[0].gather(samples.keys).values
        return np.ascontiguousarray(found, dtype=np.float32)  # as faiss takes them

    def declared(self, config: ExtractConfig) -> tuple[DeclaredPrompts, str]:
        """The prompts that the authors of the backbone declare, and how they compare vectors."""
        asked = config.backbone, config.offline
        if asked not in self._declared:
            trust_named(config.backbone)
            backbone = open_backbone(config.backbone, config.backbone_options(None))
            self._declared[asked] = declared_prompts(backbone), declared_similarity(backbone)
        return self._declared[asked]


def open_for(config: ExtractConfig, kind: Modality | None) -> OpenedBackbone:
    """The backbone of a config, described and not loaded."""
    if config.offline:
        forbid_network()
    progress = open_progress(quiet=True)
    return OpenedBackbone(config.backbone, config.backbone_options(kind), Cache(config.cache), progress)


def _warn(backbone: str, found: LongTexts | None) -> None:
    """Warn of texts that are cut, once for each backbone and length."""
    said = (backbone, found.max_length if found else None)
    if found is None or not found.longer or found.in_windows or said in _WARNED:
        return
    _WARNED.add(said)
    warnings.warn(f"{backbone}: {found}; on_long says what else to do", UserWarning, stacklevel=5)


def kind_of(item: Any) -> Modality | None:
    """What an input is; None where only the backbone can tell: strings are texts or paths."""
    if isinstance(item, tuple):
        return "text-pair" if isinstance(item[0], str) else "image-text"
    return None if item is None or isinstance(item, str) else "image"
