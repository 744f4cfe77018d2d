"""What the plots in docs/ have in common: small charts in rows on one sheet, as SVG, and their scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

C = TypeVar('C')


@dataclass(frozen=True)
class Sheet:
    """Where charts are drawn.

    Args:
        width, height: of each, pixels.
        left, right, top, bottom: room around each, pixels.
        columns: how many are beside each other.
        style: CSS; the class of the background is `back`.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    columns: int
    style: str

    def draw(self, label: str, charts: Sequence[C], draw: Callable[[C, int, int], list[str]], below: str) -> str:
        """Return the sheet as an SVG.

        Args:
            label: what it shows.
            charts: what is drawn, in rows.
            draw: returns the elements of a chart whose upper left corner is at x and y.
            below: a line of text.
        """
        rows = math.ceil(len(charts) / self.columns)
        width = self.columns * (self.left + self.width + self.right)
        height = rows * (self.top + self.height + self.bottom) + 24
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{label}">',
            f'<style>{self.style}</style>',
            f'<rect class="back" width="{width}" height="{height}"/>',
        ]
        for number, chart in enumerate(charts):
            x = number % self.columns * (self.left + self.width + self.right) + self.left
            y = number // self.columns * (self.top + self.height + self.bottom) + self.top
            parts += draw(chart, x, y)
        parts.append(f'<text x="{self.left}" y="{height - 8}">{below}</text>')
        return '\n'.join([*parts, '</svg>', ''])

    def frame(self, title: str, ticks: Sequence[float], up: Callable[[float], float], x: int, y: int) -> list[str]:
        """Return a chart's title and its grid with the numbers.

        Args:
            title: what it shows.
            ticks: where the lines are.
            up: returns the vertical position of a value.
            x: of the upper left corner.
            y: of the same.
        """
        parts = [f'<text class="title" x="{x}" y="{y - 12}">{title}</text>']
        for tick in ticks:
            parts.append(f'<line class="grid" x1="{x}" x2="{x + self.width}" y1="{up(tick)}" y2="{up(tick)}"/>')
            parts.append(f'<text x="{x - 6}" y="{up(tick) + 4}" text-anchor="end">{tick:g}</text>')
        return parts


def steps(most: float) -> list[float]:
    """Return three to six round numbers from 0 to what is at least `most`."""
    size = 10.0 ** math.floor(math.log10(most or 1))
    step = next(factor * size for factor in (0.2, 0.25, 0.5, 1, 2, 2.5) if most <= 5 * factor * size)
    return [step * number for number in range(max(1, math.ceil(most / step - 1e-9)) + 1)]


def powers(least: float, most: float) -> list[float]:
    """Return powers of ten around what lies between."""
    first = math.floor(math.log10(max(least, 1e-3)))
    last = max(first + 1, math.ceil(math.log10(max(most, 1e-3))))
    return [10.0**exponent for exponent in range(first, last + 1)]
