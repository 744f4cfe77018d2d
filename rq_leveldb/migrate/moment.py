"""A long key as it is at one moment: it is read while it is watched; if it is changed meanwhile, from a copy."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

from rq_leveldb.migrate.scope import OWN
from rq_leveldb.migrate.wire import Refused, Wire

__all__ = ['Moment', 'read_at_one_moment']

_COPY = OWN + b':copy:'
"""Prefix of the copies."""
# Milliseconds after which a copy goes that was left behind.
_COPY_LASTS = 600_000


class Moment(NamedTuple):
    """A try to read a key.

    Args:
        name: where to read it.
        kind: its type.
        expires: in ms since the epoch, or `value.NO_EXPIRY`.
        is_whole: to be called when it was read; says whether all that was read is of one moment.
    """

    name: bytes
    kind: bytes
    expires: int
    is_whole: Callable[[], bool]


def read_at_one_moment(wire: Wire, name: bytes, read: Callable[[Moment], bool]) -> str:
    """Have a key read, twice if need be; not at all if it is gone.

    Args:
        wire: where it is; nothing is watched there.
        name: its name.
        read: reads it, and returns what `is_whole` said.

    Returns:
        '' if it was read, else why not.
    """
    # Who may do nothing but read is not let watch, and learns later what has changed.
    watched, *_ = wire.ask([(b'WATCH', name)])
    is_watched = not isinstance(watched, Refused)
    kind, expires = wire.do([(b'TYPE', name), (b'PEXPIRETIME', name)])
    if kind == b'none' or expires == -2:
        if is_watched:
            wire.call(b'UNWATCH')
        return ''

    def is_whole() -> bool:
        return not is_watched or wire.do([(b'MULTI',), (b'PING',), (b'EXEC',)])[-1] is not None

    return '' if read(Moment(name, kind, expires, is_whole)) else _read_copy(wire, name, read)


def _read_copy(wire: Wire, name: bytes, read: Callable[[Moment], bool]) -> str:
    copy = _COPY + secrets.token_hex(8).encode()
    replies = wire.ask(
        [
            (b'MULTI',),
            (b'COPY', name, copy),
            (b'PEXPIRE', copy, _COPY_LASTS),
            (b'TYPE', name),
            (b'PEXPIRETIME', name),
            (b'EXEC',),
        ]
    )
    problem = next((reply for reply in [*replies, *_list(replies[-1])] if isinstance(reply, Refused)), None)
    if problem is not None:
        return f'it is changed all the time while it is read, and the server makes no copy of it ({problem})'
    is_copied, _, kind, expires = replies[-1]
    if not is_copied:
        return ''
    try:
        is_whole = read(Moment(copy, kind, expires, lambda: bool(wire.call(b'EXISTS', copy))))
    finally:
        wire.call(b'UNLINK', copy)
    return '' if is_whole else 'it is changed all the time while it is read, and its copy was gone too soon'


def _list(reply: Any) -> list[Any]:
    return reply if isinstance(reply, list) else []
