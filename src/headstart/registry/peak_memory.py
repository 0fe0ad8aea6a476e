"""How much memory a stretch of work held at its height."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from headstart.registry.environment import peak_resident_bytes

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"


class MemoryWatch:
    """Watches the memory of this process from when it is made.

    Where the system keeps no peak that can be begun anew (outside Linux), the peak is that of the whole process.

    Parameters
    ----------
    device : str
        ``cuda``: that of the current GPU, too.

    Attributes
    ----------
    level : int
        Resident bytes when it was made.
    """

    def __init__(self, device: str = "cpu") -> None:
        with contextlib.suppress(OSError):
            CLEAR.write_text(FORGET_PEAK)
        self.level = int(psutil.Process().memory_info().rss)
        self._on_gpu = device == "cuda"
        if self._on_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats()

    @property
    def peak(self) -> int:
        """The most resident bytes since."""
        return _peak_since_cleared() or peak_resident_bytes()

    def report(self) -> dict[str, int]:
        """``loaded_resident_bytes``, ``peak_resident_bytes``, and on a GPU ``peak_gpu_bytes``."""
        found = {"loaded_resident_bytes": self.level, "peak_resident_bytes": self.peak}
        if self._on_gpu:
            import torch

            found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
        return found


def _peak_since_cleared() -> int:
    """The peak that Linux keeps and can begin anew, in bytes, which psutil has not; 0 elsewhere."""
    with contextlib.suppress(OSError, ValueError):
        lines = STATUS.read_text("ascii").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
    return 0
