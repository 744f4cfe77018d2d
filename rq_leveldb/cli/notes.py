"""Keys of which something is to be said, as migrate, dump and restore show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rq_leveldb.migrate import Notes

__all__ = ['described', 'show_notes']

_SOME = 20


def described(notes: Notes | dict[str, Any]) -> dict[str, Any]:
    """Return notes as --json prints them."""
    from rq_leveldb.migrate import Notes

    assert isinstance(notes, Notes)
    return {'count': notes.count, 'some': notes.some}


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
