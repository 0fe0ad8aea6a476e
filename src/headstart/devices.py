"""Where networks run and heads are fitted, and by which seed.

Heads compute with arrays of numpy on the CPU and of torch on a GPU, by the same code: what is written in the array
API standard runs on both (`array_namespace`).
"""

from __future__ import annotations

import math
import os
import platform
import sys
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from headstart.errors import ConfigError, first_line

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of numpy or a tensor of torch."""
GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What the drivers of NVIDIA, of AMD and of Windows' Linux make: without any of them torch finds no GPU."""


def array_namespace(array: Array) -> Any:
    """The functions of the array API standard for an array: numpy's own, or torch's as `array_api_compat` has them.

    What it has for numpy, whose functions are of the standard since 2.1, takes a fifth of a second to import.
    """
    if isinstance(array, np.ndarray | np.generic):
        return np
    import array_api_compat

    return array_api_compat.array_namespace(array)


def seed_of(random_state: Any) -> int:
    """A seed from what scikit-learn takes as ``random_state``; of None another one each time."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def pick_device(name: str) -> torch.device:
    """The torch device that ``auto`` means here, or the one asked for.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = first_line(error)
        raise ConfigError(f"device {name!r} cannot be used here ({reason}); try --device auto") from error
    return device


def pick_gpu(name: str) -> torch.device | None:
    """The same, if it is none of the CPU's; torch is imported only where asking it for a GPU is worth that."""
    if name == "cpu":
        return None
    if name == "auto" and (sys.platform == "darwin" or not any(Path(node).exists() for node in GPU_NODES)):
        return None
    device = pick_device(name)
    return None if device.type == "cpu" else device


class Processor(NamedTuple):
    """The CPU of this machine."""

    name: str
    flags: frozenset[str]  # what it can do, such as ``avx2``; empty where the system does not say

    @property
    def id(self) -> str:
        """Equal for processors that compute alike."""
        flags = " ".join(sorted(self.flags))
        return f"{self.name} {blake2b(flags.encode(), digest_size=4).hexdigest()}"


@cache
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """What the system says of the CPU."""
    try:
        lines = cpuinfo.read_text("utf-8", errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        return Processor(platform.processor() or platform.machine(), frozenset())
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = said.get("flags") or said.get("Features") or ""
    return Processor(said.get("model name") or platform.machine(), frozenset(flags.split()))


def usable_cores() -> int:
    """The cores that this process may use, by its affinity, its container's limit and OMP_NUM_THREADS; at least 1.

    Two threads of one core count as one: networks gain nothing from the second.
    """
    limits: list[float] = [
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ]
    limits.append(_container_cores())
    if torch := sys.modules.get("torch"):
        limits.append(torch.get_num_threads())
    else:
        import psutil  # type: ignore[import-untyped]

        limits.append(psutil.cpu_count(logical=False) or limits[0])
        if (given := os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()).isdecimal():
            limits.append(int(given))
    return max(math.ceil(min(limits)), 1)


def _container_cores(root: Path = Path("/sys/fs/cgroup")) -> float:
    """How many cores a container may use, by version 2 or 1 of its control groups; infinity where it has no limit."""
    for files in ((root / "cpu.max",), (root / "cpu/cpu.cfs_quota_us", root / "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join(file.read_text("ascii") for file in files).split()
            if quota not in ("max", "-1"):
                return int(quota) / int(period)
        except (OSError, ValueError):
            continue
    return math.inf


def moved(array: NDArray[Any], gpu: torch.device | None) -> Array:
    """The array itself, or a tensor on the GPU."""
    if gpu is None:
        return array
    import torch

    # A copy in any case: blocks are read into memory that the next one overwrites.
    return torch.from_numpy(np.ascontiguousarray(array)).to(gpu, copy=True)


def fetched(array: Array) -> NDArray[Any]:
    """What lies anywhere as an array of numpy."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()
