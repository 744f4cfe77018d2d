"""Commands of the pubsub group."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.commands.rows import container, row
from rq_leveldb.store.context import Context
from rq_leveldb.store.pubsub import subscriptions
from rq_leveldb.store.replies import Push, Pushes, Reply, ReplyError, wrong_usage


def subscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx, b'subscribe', argv[1:], ctx.services.pubsub.subscribe)


def psubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx, b'psubscribe', argv[1:], ctx.services.pubsub.psubscribe)


def ssubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    if not ctx.may_block:
        raise ReplyError("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return _confirm(ctx, b'ssubscribe', argv[1:], ctx.services.pubsub.shards.join)


def unsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx, b'unsubscribe', argv[1:] or sorted(ctx.client.channels), ctx.services.pubsub.unsubscribe)


def punsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx, b'punsubscribe', argv[1:] or sorted(ctx.client.patterns), ctx.services.pubsub.punsubscribe)


def sunsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    names = argv[1:] or sorted(ctx.client.shard_channels)
    return _confirm(ctx, b'sunsubscribe', names, ctx.services.pubsub.shards.leave)


def _confirm(ctx: Context, kind: bytes, names: list[bytes], change: Callable[[ClientState, bytes], int]) -> Reply:
    # One confirmation for each name.
    if not names:
        return Push([kind, None, 0 if kind == b'sunsubscribe' else subscriptions(ctx.client)])
    confirmations = [Push([kind, name, change(ctx.client, name)]) for name in names]
    return confirmations[0] if len(confirmations) == 1 else Pushes(confirmations)


def publish(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.services.pubsub.publish(argv[1], argv[2])


def spublish(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.services.pubsub.shards.send(argv[1], Push([b'smessage', argv[1], argv[2]]))


# -- PUBSUB


def _channels(ctx: Context, argv: list[bytes], sharded: bool) -> Reply:
    if len(argv) > 3:
        raise wrong_usage(argv)
    pubsub = ctx.services.pubsub
    return (pubsub.shards.names if sharded else pubsub.channels)(argv[2] if len(argv) == 3 else None)


def _counts(ctx: Context, argv: list[bytes], sharded: bool) -> Reply:
    pubsub = ctx.services.pubsub
    count = pubsub.shards.count if sharded else pubsub.listener_count
    return [item for channel in argv[2:] for item in (channel, count(channel))]


def numpat(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.services.pubsub.pattern_count()


COMMANDS = (
    row('subscribe', subscribe, -2, 'pubsub noscript loading stale in_subscription'),
    row('psubscribe', psubscribe, -2, 'pubsub noscript loading stale in_subscription'),
    row('ssubscribe', ssubscribe, -2, 'pubsub noscript loading stale in_subscription', 1, -1, 1),
    row('unsubscribe', unsubscribe, -1, 'pubsub noscript loading stale in_subscription'),
    row('punsubscribe', punsubscribe, -1, 'pubsub noscript loading stale in_subscription'),
    row('sunsubscribe', sunsubscribe, -1, 'pubsub noscript loading stale in_subscription', 1, -1, 1),
    row('publish', publish, 3, 'pubsub loading stale fast may_replicate'),
    row('spublish', spublish, 3, 'pubsub loading stale fast may_replicate', 1, 1, 1),
    container(
        'pubsub',
        row('channels', partial(_channels, sharded=False), -2, 'pubsub loading stale'),
        row('numsub', partial(_counts, sharded=False), -2, 'pubsub loading stale'),
        row('numpat', numpat, 2, 'pubsub loading stale'),
        row('shardchannels', partial(_channels, sharded=True), -2, 'pubsub loading stale'),
        row('shardnumsub', partial(_counts, sharded=True), -2, 'pubsub loading stale'),
    ),
)
