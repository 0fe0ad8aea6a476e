"""How much memory a stretch of work held at its height."""

from __future__ import annotations

import contextlib
from pathlib import Path

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
        self.level = _status("VmRSS") or peak_resident_bytes()
        self._on_gpu = device == "cuda"
        if self._on_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats()

    @property
    def peak(self) -> int:
        """The most resident bytes since."""
        return _status("VmHWM") or peak_resident_bytes()

    def report(self) -> dict[str, int]:
        """``loaded_resident_bytes``, ``peak_resident_bytes``, and on a GPU ``peak_gpu_bytes``."""
        found = {"loaded_resident_bytes": self.level, "peak_resident_bytes": self.peak}
        if self._on_gpu:
            import torch

            found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
        return found


def _status(name: str) -> int:
    """A line of the process's status, in bytes; 0: there is none."""
    try:
        lines = STATUS.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
