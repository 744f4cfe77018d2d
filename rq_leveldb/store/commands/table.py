"""Every command of the store, group by group."""

from __future__ import annotations

from collections.abc import Iterator

from rq_leveldb.store.command import Command
from rq_leveldb.store.commands import (
    connection,
    diagnostics,
    generic,
    hash,
    introspection,
    list,
    pubsub,
    scripting,
    server,
    set,
    sorted_set,
    stream,
    string,
    transactions,
)


def all_commands() -> Iterator[Command]:
    """Return every command of the store."""
    for group in (
        string,
        hash,
        list,
        set,
        sorted_set,
        stream,
        generic,
        connection,
        server,
        diagnostics,
        introspection,
        transactions,
        scripting,
        pubsub,
    ):
        yield from group.COMMANDS
