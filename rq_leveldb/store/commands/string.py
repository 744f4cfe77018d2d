"""Commands of the string group."""

from __future__ import annotations

from rq_leveldb.store.command import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Reply
from rq_leveldb.store.types.string import String


def get(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], String)
    return None if value is None else value.data


COMMANDS = (row('get', get, 2, 'readonly fast', 1, 1, 1),)
