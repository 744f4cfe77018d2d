"""What migrate, dump and restore say alike: what they did, what is in the way, and keys that need a word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import render

if TYPE_CHECKING:
    from rq_leveldb.migrate import Notes

__all__ = ['say_done', 'say_nothing_done', 'show_counts', 'show_notes', 'show_obstacles']

_SOME = 20


def show_notes(title: str, notes: Notes, unit: str = 'keys') -> None:
    """Print notes; nothing if there are none.

    Args:
        title: what the keys have in common.
        notes: the keys, and what is said of each.
        unit: what is counted.
    """
    if not notes.count:
        return
    click.echo(f'{click.style(f"{title}:", fg="red")} {notes.count:,} {unit}')
    shown = list(notes.some.items())[:_SOME]
    for name, reason in shown:
        click.echo(f'  {name}: {reason}')
    if notes.count > len(shown):
        click.echo(f'  and {notes.count - len(shown):,} more (--json names up to 1,000)')


def show_counts(counts: Iterable[tuple[int, str]], none: str) -> None:
    """Print how many keys became what.

    Args:
        counts: numbers, and what became of so many.
        none: what is said if all of them are 0.
    """
    click.echo(f'Keys: {", ".join(f"{count:,} {what}" for count, what in counts if count) or none}')


def show_obstacles(sentences: Iterable[str]) -> None:
    """Print what is in the way."""
    for sentence in sentences:
        click.echo(f'{click.style("In the way:", fg="red")} {sentence}')


def say_nothing_done() -> None:
    """Say that nothing was done, because of what is in the way."""
    click.echo(f'{render.bad("Nothing was done.")} Mend this, and run the same command again.')


def say_done(report: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    """Say that the same was done a moment ago.

    Args:
        report: what --json prints beside that.
        sentence: for people.
        as_json: whether to print JSON.
    """
    if as_json:
        render.document({**report, 'completed': True})
    else:
        click.echo(sentence)
