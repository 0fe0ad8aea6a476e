"""How much energy a stretch of work took, where the machine counts it."""

from __future__ import annotations

from pathlib import Path

COUNTERS = Path("/sys/class/powercap")
MICRO = 1e-6


class EnergyMeter:
    """Reads the energy counters of the processor's packages (RAPL) from when it is made.

    They count what the whole machine takes, and many machines, virtual ones above all, have none.
    """

    def __init__(self) -> None:
        self._packages = sorted(COUNTERS.glob("intel-rapl:?")) if COUNTERS.is_dir() else []
        self._start = [_read(package / "energy_uj") for package in self._packages]

    @property
    def joules(self) -> dict[str, float]:
        """``joules`` since; empty where nothing counts."""
        total = 0.0
        for package, start in zip(self._packages, self._start, strict=True):
            now, most = _read(package / "energy_uj"), _read(package / "max_energy_range_uj")
            if start is None or now is None:
                return {}
            total += (now - start if now >= start else now + (most or 0) - start) * MICRO  # it began anew
        return {"joules": total} if self._packages else {}


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
