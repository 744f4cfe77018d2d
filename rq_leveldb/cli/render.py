"""Output for people: colour and tables on a terminal, plain lines in a pipe."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from rq_leveldb.errors import StoreError

if TYPE_CHECKING:
    from rq_leveldb.lookup import Strange

__all__ = [
    'bad',
    'complain',
    'cut',
    'document',
    'duration',
    'fail',
    'fields',
    'findings',
    'good',
    'moment',
    'plain',
    'size',
    'table',
    'unreadable',
    'warn',
]


def fail(error: StoreError) -> None:
    """Print an error to standard error: what, where, what to do."""
    complain(f'{error.title}: {error.where}', error.advice)


def complain(what: str, advice: str = '') -> None:
    """Print what went wrong, and on a separate line what to do about it.

    Args:
        what: one line.
        advice: one line, or nothing.
    """
    _say('Error:', 'red', what, advice)


def warn(what: str, advice: str = '') -> None:
    """Print to standard error what may not be meant, and on a separate line what to do about it.

    Args:
        what: one line.
        advice: one line, or nothing.
    """
    _say('Warning:', 'yellow', what, advice)


def _say(title: str, colour: str, what: str, advice: str) -> None:
    click.echo(f'{click.style(title, fg=colour, bold=True)} {what}', err=True)
    if advice:
        click.echo(f'{" " * len(title)} {advice}', err=True)


def unreadable(items: Iterable[Strange]) -> None:
    """Print to standard error what is stored where records should be."""
    for item in items:
        click.echo(f'{click.style("Cannot be read:", fg="yellow")} {item.key}: {item.reason}', err=True)


def document(what: Mapping[str, object], err: bool = False) -> None:
    """Print one JSON object, for programs.

    Args:
        what: the object.
        err: whether it goes to standard error.
    """
    click.echo(json.dumps(what, indent=2), err=err)


def good(text: str) -> str:
    """Return the word for a good end."""
    return click.style(text, fg='green', bold=True)


def bad(text: str) -> str:
    """Return the word for a bad end, or for what is in the way of one."""
    return click.style(text, fg='red', bold=True)


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair per line."""
    rows = list(pairs)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        click.echo(f'{click.style(name.ljust(width), bold=True)}  {value}')


def table(columns: Sequence[str], rows: Sequence[Sequence[str | int]], texts: int = 1) -> None:
    """Print a table whose first columns are text and whose others are numbers.

    Args:
        columns: headings.
        rows: as many cells as there are columns.
        texts: how many columns are text. On a terminal, those after the first are cut to its width.
    """
    if not sys.stdout.isatty():
        widths = [max(len(str(cell)) for cell in column) for column in zip(columns, *rows, strict=True)]
        for row in (columns, *rows):
            cells = [
                str(cell).ljust(width) if number < texts else str(cell).rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            click.echo('  '.join(cells).rstrip())
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(columns):
        if number and number < texts:
            shown.add_column(heading, no_wrap=True, overflow='ellipsis')
        else:
            shown.add_column(heading, justify='right' if number else 'left', overflow='fold')
    for row in rows:
        # Text objects, since a queue's name may contain what rich takes for markup.
        shown.add_row(*(Text(str(cell), style='dim' if cell == 0 else '') for cell in row))
    Console().print(shown)


def findings(rows: Iterable[tuple[bool, str, str, str]], level: str, heading: str, prefix: str = '') -> None:
    """Print what is wrong: a table on a terminal, else a line for each.

    Args:
        rows: whether it is harmless, where it is, what it is, and what is done about it.
        level: what a line begins with if it is not harmless.
        heading: of the last column.
        prefix: stands in a line before what is done.
    """
    if not sys.stdout.isatty():
        for harmless, where, problem, remedy in rows:
            click.echo(f'{"note" if harmless else level}: {where}: {problem}. {prefix}{remedy}.')
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ('Where', 'What', heading):
        shown.add_column(name, overflow='fold')
    for harmless, where, problem, remedy in rows:
        shown.add_row(Text(where, style='yellow' if harmless else 'red'), Text(problem), Text(remedy))
    Console().print(shown)


def size(count: float) -> str:
    """Return a number of bytes in words, such as '3.4 MB'."""
    number = float(count)
    for unit in ('bytes', 'kB', 'MB', 'GB'):
        if number < 1000:
            return f'{number:.0f} {unit}' if unit == 'bytes' else f'{number:.1f} {unit}'
        number /= 1000
    return f'{number:.1f} TB'


def moment(when: datetime | None) -> str:
    """Return a point in time in local time, and how far away it is; '' if it is not known.

    Args:
        when: aware.
    """
    if when is None:
        return ''
    passed = time.time() - when.timestamp()
    far = f'{duration(passed)} ago' if passed >= 0 else f'in {duration(-passed)}'
    return f'{when.astimezone():%Y-%m-%d %H:%M:%S} ({far})'


def plain(text: str) -> str:
    """Return a text in which nothing but its lines moves a terminal's cursor; the rest is shown as Python writes it.

    Args:
        text: any text, which may come from a job.
    """
    return ''.join(char if char.isprintable() or char == '\n' else repr(char)[1:-1] for char in text)


def cut(text: str, most: int = 2000) -> str:
    """Return the first line of a text, cut if it is long.

    Args:
        text: any text, as for `plain`.
        most: how many characters.
    """
    line = plain(text.strip().partition('\n')[0][: most + 1])
    return line if len(line) <= most else f'{line[: most - 1]}…'


def duration(seconds: float) -> str:
    """Return a duration in words, its two largest units, such as '2 h 5 min'."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, length in (('d', 86400), ('h', 3600), ('min', 60), ('s', 1)):
        count, rest = divmod(rest, length)
        if count or (unit == 's' and not parts):
            parts.append(f'{count} {unit}')
    return ' '.join(parts[:2])
