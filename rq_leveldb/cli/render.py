"""Output for people: colour and tables on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click

from rq_leveldb.errors import StoreError

__all__ = ['complain', 'duration', 'fail', 'fields', 'size', 'table']


def fail(error: StoreError) -> None:
    """Print an error to standard error: what, where, what to do."""
    complain(f'{error.title}: {error.where}', error.advice)


def complain(what: str, advice: str = '') -> None:
    """Print what went wrong, and on a separate line what to do about it.

    Args:
        what: one line.
        advice: one line, or nothing.
    """
    click.echo(f'{click.style("Error:", fg="red", bold=True)} {what}', err=True)
    if advice:
        click.echo(f'       {advice}', err=True)


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair per line."""
    rows = list(pairs)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        click.echo(f'{click.style(name.ljust(width), bold=True)}  {value}')


def table(columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    """Print a table whose first column is text and whose others are numbers.

    Args:
        columns: headings.
        rows: as many cells as there are columns.
    """
    if not sys.stdout.isatty():
        widths = [max(len(str(cell)) for cell in column) for column in zip(columns, *rows, strict=True)]
        for row in (columns, *rows):
            cells = [str(cell) for cell in row]
            numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
            click.echo('  '.join([cells[0].ljust(widths[0]), *numbers]).rstrip())
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(columns):
        shown.add_column(heading, justify='right' if number else 'left')
    for row in rows:
        # Text objects, since a queue's name may contain what rich takes for markup.
        shown.add_row(*(Text(str(cell), style='dim' if cell == 0 else '') for cell in row))
    Console().print(shown)


def size(count: float) -> str:
    """Return a number of bytes in words, such as '3.4 MB'."""
    number = float(count)
    for unit in ('bytes', 'kB', 'MB', 'GB'):
        if number < 1000:
            return f'{number:.0f} {unit}' if unit == 'bytes' else f'{number:.1f} {unit}'
        number /= 1000
    return f'{number:.1f} TB'


def duration(seconds: float) -> str:
    """Return a duration in words, its two largest units, such as '2 h 5 min'."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, length in (('d', 86400), ('h', 3600), ('min', 60), ('s', 1)):
        count, rest = divmod(rest, length)
        if count or (unit == 's' and not parts):
            parts.append(f'{count} {unit}')
    return ' '.join(parts[:2])
