"""Commands of the hash group."""

from __future__ import annotations

from rq_leveldb.store.command import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Reply, wrong_arity
from rq_leveldb.store.types.hash import Hash


def hset(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2:
        raise wrong_arity(argv[0].decode('latin-1').lower())
    value = ctx.typed_or_new(argv[1], Hash)
    new = 0
    for index in range(2, len(argv), 2):
        new += value.set(argv[index], argv[index + 1])
    ctx.changed(value)
    return new


def hget(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Hash)
    return None if value is None else value.get(argv[2])


def hgetall(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Hash)
    return {} if value is None else dict(value.items())


COMMANDS = (
    row('hset', hset, -4, 'write denyoom fast', 1, 1, 1),
    row('hget', hget, 3, 'readonly fast', 1, 1, 1),
    row('hgetall', hgetall, 2, 'readonly', 1, 1, 1),
)
