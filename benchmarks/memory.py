"""How much memory and processor time a process has taken."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil


class Memory(NamedTuple):
    """MB of a process.

    Args:
        own: what only it has and the system cannot drop: anonymous pages, shared ones by share.
        mapped: pages of files that it maps, by share; a cache, which the system drops when it needs room.
    """

    own: float
    mapped: float


def memory(pid: int) -> Memory:
    """The memory of a process; where the system does not tell its kinds apart, all of it counts as its own."""
    try:
        lines = [line.split() for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()[1:]]
    except OSError:
        return Memory(psutil.Process(pid).memory_info().rss / 1e6, 0.0)
    sizes = {words[0].rstrip(':'): int(words[1]) * 1024 / 1e6 for words in lines}
    return Memory(sizes['Pss_Anon'], sizes['Pss_File'] + sizes['Pss_Shmem'])


def cpu_seconds(pid: int | None) -> float:
    """Seconds of processor time of a process; 0 for none."""
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
