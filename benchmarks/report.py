"""Rows, goals and the table: plain data, and how a person or a program reads it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

OURS = 'rq-leveldb'
TCP = 'Redis tcp'
UNIX = 'Redis unix'
HUEY = 'Huey SQLite'
COLUMNS = (OURS, TCP, UNIX, HUEY)


@dataclass(frozen=True)
class Goal:
    """A promise. With `against`, about our median divided by that column's; without, about our median itself."""

    at_least: float | None = None
    at_most: float | None = None
    against: str | None = None

    def reached(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        bound = f'>= {self.at_least:g}' if self.at_least is not None else f'<= {self.at_most:g}'
        return f'{bound} x {self.against}' if self.against else bound


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what was measured.
        unit: of every value, for example `jobs/s` or `ms`.
        values: for each column the value of each run, in the order of the runs.
        more_is_better: the direction in which a ratio above 1 speaks for us.
        goals: what was promised; none for a line that only informs.
        judged: false where the run was too small to speak about the goal.
        note: what a reader has to know about this line.
    """

    name: str
    unit: str
    values: Mapping[str, Sequence[float]]
    more_is_better: bool = True
    goals: Sequence[Goal] = ()
    judged: bool = True
    note: str = ''

    def median(self, column: str) -> float | None:
        values = self.values.get(column)
        return statistics.median(values) if values else None

    def ratio(self, column: str) -> float | None:
        """Our median over that of another column; None where either is missing."""
        ours, theirs = self.median(OURS), self.median(column)
        return ours / theirs if ours is not None and theirs else None

    def verdict(self, goal: Goal) -> bool | None:
        value = self.ratio(goal.against) if goal.against else self.median(OURS)
        return goal.reached(value) if value is not None and self.judged else None


@dataclass
class Report:
    """What a run of the benchmarks found."""

    versions: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            'versions': self.versions,
            'rows': [
                {
                    'name': row.name,
                    'unit': row.unit,
                    'more_is_better': row.more_is_better,
                    'median': {column: row.median(column) for column in row.values},
                    'ratio': {column: row.ratio(column) for column in row.values if column != OURS},
                    'values': {column: list(values) for column, values in row.values.items()},
                    'goals': [{'goal': str(goal), 'reached': row.verdict(goal)} for goal in row.goals],
                    'note': row.note,
                }
                for row in self.rows
            ],
        }

    def print(self, console: Console) -> None:
        """A table: the ratios first, since only they mean something on another machine."""
        table = Table(show_lines=False, pad_edge=False)
        table.add_column('measured')
        table.add_column(f'{OURS} /\n{TCP}', justify='right')
        table.add_column(f'{OURS} /\n{UNIX}', justify='right')
        table.add_column(f'{OURS} /\n{HUEY}', justify='right')
        table.add_column('goal')
        table.add_column('', justify='center')
        table.add_column('unit')
        for column in COLUMNS:
            table.add_column(column, justify='right')
        for row in self.rows:
            ratios = [number(row.ratio(column)) for column in COLUMNS[1:]]
            marks = [WORDS[row.verdict(goal)] for goal in row.goals]
            medians = [number(row.median(column)) for column in COLUMNS]
            goals = '\n'.join(str(goal) for goal in row.goals)
            name = row.name if row.more_is_better else f'{row.name} (less is better)'
            table.add_row(name, *ratios, goals, '\n'.join(marks), row.unit, *medians)
        console.print(table)
        for row in self.rows:
            if row.note:
                console.print(f'{row.name}: {row.note}')
        console.print(', '.join(f'{name} {version}' for name, version in self.versions.items()))


WORDS: Mapping[bool | None, Literal['pass', 'FAIL', '-']] = {True: 'pass', False: 'FAIL', None: '-'}


def number(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return '-'
    if abs(value) >= 100:
        return f'{value:,.0f}'
    return f'{value:.2f}' if abs(value) < 10 else f'{value:.1f}'
