"""What the figures were measured on: the machine and the versions, without its name."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import date
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "headstart", "torch", "transformers", "timm", "sentence-transformers", "numpy", "h5py", "pyarrow", "pillow",
)  # fmt: skip


def n_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, GPU, system and versions."""
    versions = {name: version for name in PACKAGES if (version := _version(name))}
    return {
        "processor": _processor(),
        "cores": str(n_cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "gpu": gpu_name() or "none",
        "system": f"{platform.system()} ({platform.machine()}), Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "date": date.today().isoformat(),
    }


def gpu_name() -> str | None:
    """The first CUDA device's name; None where there is none."""
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        lines = path.read_text("utf-8").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        flags = next((line.split() for line in lines if line.startswith("flags")), [])
        widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
        name = named[0] if named else platform.processor()
        return f"{name} ({widest.removesuffix('f').upper()})" if widest else name
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def apart() -> tuple[set[int], set[int]]:
    """Two sets of cores: for what is measured, and for a server that would lie on another machine.

    Where there is one core, or the system pins nothing, they are the same.
    """
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    cores = sorted(os.sched_getaffinity(0))
    half = max(len(cores) // 2, 1)
    return set(cores[:half]), set(cores[half:] or cores)


def pin(cores: set[int]) -> None:
    """Keep this process, and those that it starts from now on, on some cores."""
    if cores:
        os.sched_setaffinity(0, cores)
