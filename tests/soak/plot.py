"""python -m tests.soak.plot SAMPLES SVG: draws what a soak saw, as small charts with one axis of time."""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.charts import Sheet, powers, steps
from tests.soak.samples import PROCESSES, Sample, read

_WIDTH, _HEIGHT = 330, 130
_POINTS = 120

_STYLE = """
  .back { fill: #fcfcfb }
  text { font: 11px system-ui, sans-serif; fill: #52514e }
  .title { font-weight: 600; fill: #0b0b0b }
  .grid { stroke: #e4e3df; stroke-width: 1 }
  .kill { stroke: #b9b8b3; stroke-width: 1; stroke-dasharray: 2 3 }
  .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
  .one { stroke: #2a78d6 } .two { stroke: #d1591f } .three { stroke: #1b8a5a }
  text.one { fill: #2a78d6; stroke: none } text.two { fill: #d1591f; stroke: none }
  text.three { fill: #1b8a5a; stroke: none }
  @media (prefers-color-scheme: dark) {
    .back { fill: #1a1a19 }
    text { fill: #c3c2b7 }
    .title { fill: #ffffff }
    .grid { stroke: #33322f }
    .kill { stroke: #5c5b56 }
    .one { stroke: #5aa0f0 } .two { stroke: #f0884e } .three { stroke: #4cc38a }
    text.one { fill: #5aa0f0 } text.two { fill: #f0884e } text.three { fill: #4cc38a }
  }
"""
_SHEET = Sheet(_WIDTH, _HEIGHT, left=46, right=96, top=30, bottom=22, columns=2, style=_STYLE)
_COLOURS = ('one', 'two', 'three')

Point = tuple[float, float]


@dataclass
class _Chart:
    """One chart.

    Args:
        title: what it shows, with its unit.
        lines: by name; what it takes from a sample, None where that has nothing.
        logarithmic: whether each step is ten times the one before.
    """

    title: str
    lines: dict[str, Callable[[Sample], float | None]]
    logarithmic: bool = False


def _of(values: Callable[[Sample], dict[str, float] | dict[str, int]], name: str) -> Callable[[Sample], float | None]:
    return lambda sample: values(sample).get(name)


def _nth(values: Callable[[Sample], list[float]], index: int) -> Callable[[Sample], float | None]:
    return lambda sample: values(sample)[index] if values(sample) else None


def _latencies(values: Callable[[Sample], list[float]]) -> dict[str, Callable[[Sample], float | None]]:
    return {'99th percentile': _nth(values, 1), 'median': _nth(values, 0)}


_CHARTS = (
    _Chart('Private memory, MB', {name: _of(lambda sample: sample.memory, name) for name in PROCESSES}),
    _Chart('Open descriptors', {name: _of(lambda sample: sample.descriptors, name) for name in PROCESSES}),
    _Chart('Database on the disk, MB', {'': lambda sample: sample.disk}),
    _Chart('Jobs that ended, a second', {'': lambda sample: sample.ended}),
    _Chart('Enqueueing, ms', _latencies(lambda sample: sample.enqueue), logarithmic=True),
    _Chart('From enqueueing to start, ms', _latencies(lambda sample: sample.start), logarithmic=True),
)


def draw(samples: Sequence[Sample]) -> str:
    """Return the charts as an SVG.

    Args:
        samples: in the order of time; at least two.
    """
    return _SHEET.draw(
        'Memory, descriptors, disk, jobs and latencies over time',
        _CHARTS,
        lambda chart, x, y: _chart(chart, samples, x, y),
        'Minutes. Dashed: kill -9 of store, supervisor or forker; children are killed all the time. Each point is the '
        'median of several seconds.',
    )


def _chart(chart: _Chart, samples: Sequence[Sample], x: int, y: int) -> list[str]:
    end = samples[-1].seconds
    lines = {name: _thinned(samples, take) for name, take in chart.lines.items()}
    values = [value for points in lines.values() for _, value in points] or [0.0]
    ticks = powers(min(values), max(values)) if chart.logarithmic else steps(max(values))
    low, high = ticks[0], ticks[-1]

    def across(seconds: float) -> float:
        return round(x + _WIDTH * seconds / end, 1)

    def up(value: float) -> float:
        if chart.logarithmic:
            share = math.log(max(value, low) / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return round(y + _HEIGHT * (1 - share), 1)

    parts = _SHEET.frame(chart.title, ticks, up, x, y)
    for minutes in steps(end / 60):
        if minutes * 60 <= end:
            parts.append(
                f'<text x="{across(minutes * 60)}" y="{y + _HEIGHT + 15}" text-anchor="middle">{minutes:g}</text>'
            )
    for sample in samples:
        if set(sample.blows) & set(PROCESSES):
            at = across(sample.seconds)
            parts.append(f'<line class="kill" x1="{at}" x2="{at}" y1="{y}" y2="{y + _HEIGHT}"/>')
    beside: list[float] = []
    for (name, points), colour in zip(lines.items(), _COLOURS, strict=False):
        path = ' '.join(f'{across(seconds)},{up(value)}' for seconds, value in points)
        parts.append(f'<polyline class="line {colour}" points="{path}"/>')
        if name and points:
            # Beside its end, as far as another name leaves room.
            place = up(points[-1][1]) + 4
            while any(abs(place - other) < 13 for other in beside):
                place += 1 if place < y + _HEIGHT - 20 else -14
            beside.append(place)
            parts.append(f'<text class="{colour}" x="{x + _WIDTH + 6}" y="{place}">{name}</text>')
    return parts


def _thinned(samples: Sequence[Sample], take: Callable[[Sample], float | None]) -> list[Point]:
    """Return at most so many points as can be seen: the median of what lies close together."""
    size = max(1, len(samples) // _POINTS)
    points = []
    for start in range(0, len(samples), size):
        part = [(sample.seconds, take(sample)) for sample in samples[start : start + size]]
        found = [value for _, value in part if value is not None]
        if found:
            points.append((part[len(part) // 2][0], statistics.median(found)))
    return points


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.soak.plot', description='Draws what a soak saw.')
    parser.add_argument('samples', type=Path, help='what python -m tests.soak --out wrote')
    parser.add_argument('svg', type=Path, help='the picture')
    options = parser.parse_args()
    try:
        samples = read(options.samples)
        if len(samples) < 2:
            raise ValueError(f'{options.samples}: too few samples to draw')
        options.svg.write_text(draw(samples))
    except (OSError, ValueError) as error:
        print(f'python -m tests.soak.plot: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
