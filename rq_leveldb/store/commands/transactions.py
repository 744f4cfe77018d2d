"""Commands of the transactions group. A transaction is committed as one batch, since it runs inside one unit."""

from __future__ import annotations

from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import NULL_ARRAY, OK, Reply, ReplyError


def multi(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.client.queue is not None:
        raise ReplyError('ERR MULTI calls can not be nested')
    ctx.client.begin_transaction()
    return OK


def exec_(ctx: Context, argv: list[bytes]) -> Reply:
    client = ctx.client
    if client.queue is None:
        raise ReplyError('ERR EXEC without MULTI')
    queue, failed = client.queue, client.failed
    dirty = client.dirty
    if client.watched and not dirty:
        dirty = any(lived and ctx.keys.find(db, key) is None for (db, key), lived in client.watched.items())
    ctx.services.watches.end_transaction(client)
    if failed:
        raise ReplyError('EXECABORT Transaction discarded because of previous errors.')
    if dirty:
        ctx.keys.saw_all = True  # that a key was changed shows in the reply
        return NULL_ARRAY
    replies: list[Reply] = []
    ctx.may_block = False
    try:
        for command in queue:
            try:
                replies.append(ctx.services.call(ctx, command))
            except ReplyError as error:
                replies.append(error)
    finally:
        ctx.may_block = True
    return replies


def discard(ctx: Context, argv: list[bytes]) -> Reply:
    client = ctx.client
    if client.queue is None:
        raise ReplyError('ERR DISCARD without MULTI')
    ctx.services.watches.end_transaction(client)
    return OK


def watch(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.client.queue is not None:
        raise ReplyError('ERR WATCH inside MULTI is not allowed')
    for key in argv[1:]:
        ctx.services.watches.watch(ctx.client, (ctx.db, key), ctx.find(key) is not None)
    return OK


def unwatch(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.services.watches.unwatch(ctx.client)
    return OK


COMMANDS = (
    row('multi', multi, 1, 'noscript loading stale fast allow_busy skip_queue never_refused'),
    row('exec', exec_, 1, 'noscript loading stale skip_slowlog skip_queue'),
    row('discard', discard, 1, 'noscript loading stale fast allow_busy skip_queue'),
    row('watch', watch, -2, 'noscript loading stale fast allow_busy skip_queue', 1, -1, 1),
    row('unwatch', unwatch, 1, 'noscript loading stale fast allow_busy'),
)
