"""headstart: run the frozen backbone once, give every head a head start.

Importing this module imports nothing heavy: each name is loaded when it is first used (PEP 562). Type checkers and
editors find the names in ``__init__.pyi``.
"""

from __future__ import annotations

from typing import Any

from headstart.version import __version__ as __version__

__all__ = [
    "Comparison",
    "Embedder",
    "FeatureSet",
    "Matches",
    "Page",
    "PredictionTable",
    "Run",
    "RunEvaluation",
    "audit",
    "cluster",
    "compare",
    "correct",
    "draw_plots",
    "evaluate",
    "export",
    "extract",
    "fine_tune",
    "fit_head",
    "load_module",
    "load_run",
    "open_set",
    "predict",
    "prepare_backbone",
    "project",
    "pull",
    "push",
    "rank",
    "report",
    "run_pipeline",
    "runs",
    "search",
    "suggest",
]

_HOMES = {
    "Comparison": "headstart.comparison.comparison",
    "Embedder": "headstart.extraction.embedder",
    "FeatureSet": "headstart.cache.sets",
    "Matches": "headstart.matches",
    "Page": "headstart.report_page",
    "PredictionTable": "headstart.prediction_table",
    "Run": "headstart.registry.run",
    "RunEvaluation": "headstart.registry.evaluations",
    "cluster": "headstart.api",
    "compare": "headstart.api",
    "correct": "headstart.api",
    "draw_plots": "headstart.api",
    "evaluate": "headstart.api",
    "export": "headstart.api",
    "extract": "headstart.api",
    "fine_tune": "headstart.api",
    "fit_head": "headstart.api",
    "load_module": "headstart.api",
    "load_run": "headstart.api",
    "open_set": "headstart.api",
    "predict": "headstart.api",
    "prepare_backbone": "headstart.api",
    "run_pipeline": "headstart.api",
    "pull": "headstart.api",
    "push": "headstart.api",
    "runs": "headstart.api",
    "suggest": "headstart.api",
    "rank": "headstart.api",
    "report": "headstart.api",
    "project": "headstart.api",
    "audit": "headstart.api",
    "search": "headstart.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
