"""python -m benchmarks.depth_plot RESULTS SVG: draws what `python -m benchmarks.depth --results` wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.deep_store import STATES
from tests.charts import Sheet, powers, steps

_WIDTH, _HEIGHT = 250, 110

_STYLE = """
  .back { fill: #fcfcfb }
  text { font: 11px system-ui, sans-serif; fill: #52514e }
  .title { font-weight: 600; fill: #0b0b0b }
  .grid { stroke: #e4e3df; stroke-width: 1 }
  .goal { stroke: #8a8984; stroke-width: 1; stroke-dasharray: 2 3 }
  .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
  .one { stroke: #2a78d6 } .two { stroke: #d1591f } .three { stroke: #1b8a5a } .four { stroke: #8a4fc4 }
  text.one { fill: #2a78d6; stroke: none } text.two { fill: #d1591f; stroke: none }
  text.three { fill: #1b8a5a; stroke: none } text.four { fill: #8a4fc4; stroke: none }
  circle.one { fill: #2a78d6 } circle.two { fill: #d1591f } circle.three { fill: #1b8a5a }
  circle.four { fill: #8a4fc4 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #1a1a19 }
    text { fill: #c3c2b7 }
    .title { fill: #ffffff }
    .grid { stroke: #33322f }
    .goal { stroke: #77766f }
    .one { stroke: #5aa0f0 } .two { stroke: #f0884e } .three { stroke: #4cc38a } .four { stroke: #b98ae8 }
    text.one { fill: #5aa0f0 } text.two { fill: #f0884e } text.three { fill: #4cc38a } text.four { fill: #b98ae8 }
    circle.one { fill: #5aa0f0 } circle.two { fill: #f0884e } circle.three { fill: #4cc38a }
    circle.four { fill: #b98ae8 }
  }
"""
_SHEET = Sheet(_WIDTH, _HEIGHT, left=46, right=74, top=30, bottom=22, columns=3, style=_STYLE)
_COLOURS = dict(zip(STATES, ('one', 'two', 'three', 'four'), strict=True))

Results = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By state, by number of jobs, by name of what was measured."""

Point = tuple[float, float]


@dataclass(frozen=True)
class _Chart:
    """One chart.

    Args:
        title: what it shows, with its unit.
        names: of the results that it shows; a state has at most one of them.
        goal: a line that no value should reach; it also makes the scale linear.
    """

    title: str
    names: tuple[str, ...]
    goal: float | None = None


_CHARTS = (
    _Chart('Enqueueing a job, ms', ('enqueue',)),
    _Chart('Dequeueing a job, ms', ('dequeue',)),
    _Chart('Job.fetch, ms', ('fetch',)),
    _Chart('Canceling or requeueing a job, ms', ('cancel', 'requeue')),
    _Chart('HTTP: first page of a list, ms', ('page',)),
    _Chart('HTTP: a page in the middle, ms', ('middle',)),
    _Chart('rq-leveldb info, ms', ('info',)),
    _Chart('From stopping to the first PING, ms', ('reopen',)),
    _Chart('Private memory of the store, MB', ('memory',), goal=128),
)


def draw(results: Results) -> str:
    """Return the charts as an SVG.

    Args:
        results: what was measured.
    """
    depths = [float(depth) for values in results.values() for depth in values]
    return _SHEET.draw(
        'Latencies, reopening and memory by the number of stored jobs',
        _CHARTS,
        lambda chart, x, y: _chart(chart, results, min(depths), max(depths), x, y),
        'Stored jobs, by their state. Dashed: the goal.',
    )


def _chart(chart: _Chart, results: Results, first: float, last: float, x: int, y: int) -> list[str]:
    lines: dict[str, list[Point]] = {}
    for state, measured in results.items():
        for name in chart.names:
            points = [(float(depth), values[name]) for depth, values in measured.items() if name in values]
            if points:
                lines[state] = sorted(points)
    values = [value for points in lines.values() for _, value in points] or [1.0]
    ticks = powers(min(values), max(values)) if chart.goal is None else steps(max(*values, chart.goal))
    low, high = ticks[0], ticks[-1]

    def across(depth: float) -> float:
        return round(x + _WIDTH * math.log(depth / first) / math.log(last / first), 1)

    def up(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if chart.goal is None else value / high
        return round(y + _HEIGHT * (1 - share), 1)

    parts = _SHEET.frame(chart.title, ticks, up, x, y)
    if chart.goal is not None:
        parts.append(f'<line class="goal" x1="{x}" x2="{x + _WIDTH}" y1="{up(chart.goal)}" y2="{up(chart.goal)}"/>')
    for depth in sorted({float(depth) for measured in results.values() for depth in measured}):
        parts.append(f'<text x="{across(depth)}" y="{y + _HEIGHT + 15}" text-anchor="middle">{_short(depth)}</text>')
    beside: list[float] = []
    for state, points in sorted(lines.items(), key=lambda line: line[1][-1][1], reverse=True):
        colour = _COLOURS[state]
        path = ' '.join(f'{across(depth)},{up(value)}' for depth, value in points)
        parts.append(f'<polyline class="line {colour}" points="{path}"/>')
        parts += [f'<circle class="{colour}" cx="{across(depth)}" cy="{up(value)}" r="2"/>' for depth, value in points]
        # From the top down, each below the one before.
        place = max([up(points[-1][1]) + 4, *(other + 13 for other in beside)])
        beside.append(place)
        parts.append(f'<text class="{colour}" x="{x + _WIDTH + 8}" y="{place}">{state}</text>')
    return parts


def _short(depth: float) -> str:
    return f'{depth / 1e6:g}M' if depth >= 1e6 else f'{depth / 1e3:g}k'


@click.command(help=__doc__)
@click.argument('results', type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument('svg', type=click.Path(path_type=Path, dir_okay=False))
def main(results: Path, svg: Path) -> None:
    svg.write_text(draw(json.loads(results.read_text())['states']))


if __name__ == '__main__':
    main()
