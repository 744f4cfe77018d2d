"""How much memory a process has."""

from __future__ import annotations

import psutil


def pss(pid: int) -> float:
    """MB of a process' proportional set size on Linux: what would be free without it; elsewhere its resident size."""
    process = psutil.Process(pid)
    full = process.memory_full_info()
    return float(getattr(full, 'pss', full.rss)) / 1e6
