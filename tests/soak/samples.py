"""Samples taken while a soak runs, one JSON object per line."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.memory import memory

PROCESSES = ('store', 'supervisor', 'forker')


@dataclass
class Sample:
    """One sample.

    Args:
        seconds: since the first job.
        memory: MB of each process that only it has.
        descriptors: of each process.
        disk: MB of the database.
        keys: how many the store holds; -1 if it was not running.
        queued: waiting jobs.
        ended: jobs that ended since the last sample.
        enqueue: median and 99th percentile, milliseconds, since the last sample; empty if there were none.
        start: from enqueueing to the job's first line, likewise.
        blows: what was killed since the last sample.
        load: the machine's load average of the last minute.
    """

    seconds: float
    memory: dict[str, float]
    descriptors: dict[str, int]
    disk: float
    keys: int
    queued: int
    ended: int
    enqueue: list[float]
    start: list[float]
    blows: list[str]
    load: float

    def line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(asdict(self))


def read(path: Path) -> list[Sample]:
    """Return the samples of a file.

    Raises:
        ValueError: a line is not a sample.
    """
    samples = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            samples.append(Sample(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f'{path}, line {number}: not a sample of python -m tests.soak ({error})') from error
    return samples


def look_at(pid: int) -> tuple[float, int] | None:
    """Return the memory (MB) and the number of descriptors of a process; None if it has ended."""
    try:
        return memory(pid).own, len(os.listdir(f'/proc/{pid}/fd'))
    except (OSError, psutil.NoSuchProcess):
        return None


def size_of(directory: Path) -> float:
    """Return how many MB the files of a directory take."""
    total = 0
    for entry in os.scandir(directory):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:
            continue  # removed by a compaction
    return total / 1e6


def middle_and_late(values: Sequence[float]) -> list[float]:
    """Return the median and the 99th percentile, in thousandths; nothing of nothing."""
    if not values:
        return []
    ordered = sorted(values)
    return [round(ordered[len(ordered) * share // 100] * 1000, 3) for share in (50, 99)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line through the points."""
    if len(points) < 2:
        return 0.0
    x_mean = sum(x for x, _ in points) / len(points)
    y_mean = sum(y for _, y in points) / len(points)
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / spread if spread else 0.0
