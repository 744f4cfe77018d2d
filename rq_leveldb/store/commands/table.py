"""Every command of the store, group by group."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

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

_ABOUT_KEYS = (string, hash, list, set, sorted_set, stream, generic)
_OTHERS = (connection, server, diagnostics, introspection, transactions, scripting, pubsub)


def all_commands() -> Iterator[Command]:
    """Return every command of the store."""
    return chain.from_iterable(group.COMMANDS for group in (*_ABOUT_KEYS, *_OTHERS))
