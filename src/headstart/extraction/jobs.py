"""Which spaces a command means: precision and stored dtype, and what ``auto`` makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from headstart.backbones.pooling import choose_taps, display_tap
from headstart.cache.formats import shard_format
from headstart.cache.recipe import make_recipe
from headstart.extraction.plan import PLAIN, ExtractionPlan, plan_extraction
from headstart.extraction.views import views_for
from headstart.keys import contains, pack
from headstart.types import Precision, StoredDtype

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.augmentation import View
    from headstart.cache.sets import FeatureSet
    from headstart.cache.space import Space
    from headstart.cache.store import Cache
    from headstart.config import ExtractConfig
    from headstart.contracts import Payloads
    from headstart.extraction.samples import Samples
    from headstart.types import BackboneInfo


def stored_dtype(precision: Precision, asked: StoredDtype | None) -> StoredDtype:
    """What is stored: what was computed, unless the user says otherwise."""
    return asked or ("float32" if precision == "fp32" else "float16")


def spaces_for(
    cache: Cache,
    info: BackboneInfo,
    taps: Sequence[str],
    precision: Precision,
    dtype: StoredDtype | None,
    views: tuple[View | None, ...] = PLAIN,
) -> list[Space]:
    """The spaces of some views and taps at one precision, in the order of an `ExtractionPlan`."""
    stored = stored_dtype(precision, dtype)
    entries = [None if view is None else view.entry for view in views]
    return [
        cache.space(make_recipe(info, tap, precision, stored, entry)) for entry in entries for tap in taps
    ]


def choose_precision(
    cache: Cache,
    info: BackboneInfo,
    taps: Sequence[str],
    asked: Literal["auto", "fp32", "bf16", "fp16", "int8"],
    dtype: StoredDtype | None,
    keys: NDArray[np.uint8],
    device: str,
    n_given_up: int = 0,
) -> tuple[Precision, str]:
    """The compute precision, and why.

    ``auto`` is the space that already holds most of these samples, if this device can extend it;
    otherwise bf16 on a GPU that has it and fp32 elsewhere. int8 has to be asked for. torch is asked only if
    it matters: samples that were given up (permanent failures) count as held.
    """
    if asked != "auto":
        return asked, "as asked"
    candidates: tuple[Precision, ...] = tuple(each for each in get_args(Precision) if each != "int8")
    held = {
        precision: min(
            int(space.held(keys).sum()) for space in spaces_for(cache, info, taps, precision, dtype)
        )
        for precision in candidates
    }
    best = max(candidates, key=lambda precision: held[precision])
    if held[best] and (held[best] >= len(keys) - n_given_up or best == "fp32"):
        return best, f"its space holds {held[best]:,} of these samples"
    from headstart.backbones.freezing import best_precision, resolve_device

    kind = resolve_device(device)
    if held[best] and kind.startswith("cuda"):
        return best, f"its space holds {held[best]:,} of these samples"
    if held["fp32"]:
        return "fp32", f"its space holds {held['fp32']:,} of these samples"
    return best_precision(kind), f"the best for {kind}"


@dataclass(frozen=True, slots=True)
class Work:
    """What a command has to compute, and how.

    Parameters
    ----------
    plan : ExtractionPlan
    precision : {"fp32", "bf16", "fp16", "int8"}
    stored : {"float16", "float32"}
    why : str
        Why this precision.
    """

    plan: ExtractionPlan
    precision: Precision
    stored: StoredDtype
    why: str


def failed_for_good(earlier: FeatureSet | None) -> frozenset[tuple[str, str]]:
    """Key and space of the permanent failures of a set: they count as held until their bytes change."""
    failures = earlier.failures if earlier else []
    return frozenset((f.key, f.space) for f in failures if f.kind == "permanent" and f.space)


def plan_work(
    cache: Cache,
    config: ExtractConfig,
    info: BackboneInfo,
    source: Payloads,
    samples: Samples,
    given_up: frozenset[tuple[str, str]] = frozenset(),
    viewed: NDArray[np.bool_] | None = None,
) -> Work:
    """Choose taps, precision and spaces, and find what they lack.

    Parameters
    ----------
    given_up : frozenset of (key in hex, space id)
        Permanent failures of earlier runs: they count as held.
    viewed : ndarray of bool, shape (N,), optional
        The samples that augmented views are computed of; None: all.
    """
    taps = choose_taps(config.taps, info, config.normalize)
    precision, why = choose_precision(
        cache,
        info,
        taps,
        config.precision,
        config.dtype,
        samples.keys,
        config.device,
        _count_given_up(samples, given_up),
    )
    views = views_for(config, info, source.modality)
    spaces = spaces_for(cache, info, taps, precision, config.dtype, views)
    kept_as = shard_format(config.format)
    plan = plan_extraction(source, samples, spaces, taps, kept_as, given_up, views, viewed)
    return Work(plan, precision, stored_dtype(precision, config.dtype), why)


def _count_given_up(samples: Samples, given_up: frozenset[tuple[str, str]]) -> int:
    """How many of these samples were given up: copies count, and the spaces that one failed in do not."""
    keys = pack(bytes.fromhex(key) for key in {key for key, _ in given_up})
    return int(contains(keys, samples.keys).sum())


def describe_work(backbone: str, work: Work) -> str:
    """Backbone, taps and precision, in a phrase for the user."""
    taps = ", ".join(display_tap(tap) for tap in work.plan.taps)
    return f"{backbone}, {taps}, {work.precision}: {work.why}"
