"""What a run was made on."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.types import Json

PACKAGES = (
    "headstart", "torch", "torchvision", "transformers", "timm", "numpy", "scikit-learn", "pyarrow",
    "h5py", "safetensors",
)  # fmt: skip


def describe_environment() -> dict[str, Json]:
    """Python, platform, cores and the versions of what computes."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def peak_resident_bytes() -> int:
    """The most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
