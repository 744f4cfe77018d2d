"""How much memory and processor time a process has taken."""

from __future__ import annotations

import psutil


def pss(pid: int) -> float:
    """MB of a process' proportional set size on Linux: what would be free without it; elsewhere its resident size."""
    process = psutil.Process(pid)
    full = process.memory_full_info()
    return float(getattr(full, 'pss', full.rss)) / 1e6


def cpu_seconds(pid: int | None) -> float:
    """Seconds of processor time of a process; 0 for none."""
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
