"""Commands of the pubsub group. Sharded channels are out: they mean something in a cluster only."""

from __future__ import annotations

from collections.abc import Callable

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.command import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.pubsub import subscriptions
from rq_leveldb.store.replies import (
    Push,
    Pushes,
    Reply,
    Status,
    unknown_subcommand,
    unknown_subcommand_or_arity,
    wrong_arity,
)


def subscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx, b'subscribe', argv[1:], ctx.services.pubsub.subscribe)


def psubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx, b'psubscribe', argv[1:], ctx.services.pubsub.psubscribe)


def unsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx, b'unsubscribe', argv[1:] or sorted(ctx.client.channels), ctx.services.pubsub.unsubscribe)


def punsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx, b'punsubscribe', argv[1:] or sorted(ctx.client.patterns), ctx.services.pubsub.punsubscribe)


def _confirm(ctx: Context, kind: bytes, names: list[bytes], change: Callable[[ClientState, bytes], int]) -> Reply:
    # One confirmation for each name.
    if not names:
        return Push([kind, None, subscriptions(ctx.client)])
    confirmations = [Push([kind, name, change(ctx.client, name)]) for name in names]
    return confirmations[0] if len(confirmations) == 1 else Pushes(confirmations)


def publish(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.services.pubsub.publish(argv[1], argv[2])


def pubsub(ctx: Context, argv: list[bytes]) -> Reply:
    hub = ctx.services.pubsub
    subcommand = argv[1].lower()
    if subcommand == b'channels':
        if len(argv) > 3:
            raise unknown_subcommand_or_arity(argv[1].decode('utf-8', 'surrogateescape'), 'PUBSUB')
        return list(hub.channels(argv[2] if len(argv) == 3 else None))
    if subcommand == b'numsub':
        return [item for channel in argv[2:] for item in (channel, hub.listener_count(channel))]
    if subcommand == b'numpat':
        if len(argv) != 2:
            raise wrong_arity('pubsub|numpat')
        return hub.pattern_count()
    if subcommand == b'help':
        if len(argv) != 2:
            raise wrong_arity('pubsub|help')
        return [Status(line) for line in _HELP]
    raise unknown_subcommand(argv[1].decode('utf-8', 'surrogateescape'), 'PUBSUB')


_HELP = (
    b'PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
    b'CHANNELS [<pattern>]',
    b"    Return the currently active channels matching a <pattern> (default: '*').",
    b'NUMPAT',
    b'    Return number of subscriptions to patterns.',
    b'NUMSUB [<channel> ...]',
    b'    Return the number of subscribers for the specified channels, excluding',
    b'    pattern subscriptions(default: no channels).',
    b'HELP',
    b'    Print this help.',
)

COMMANDS = (
    row('subscribe', subscribe, -2, 'pubsub noscript loading stale in_subscription'),
    row('psubscribe', psubscribe, -2, 'pubsub noscript loading stale in_subscription'),
    row('unsubscribe', unsubscribe, -1, 'pubsub noscript loading stale in_subscription'),
    row('punsubscribe', punsubscribe, -1, 'pubsub noscript loading stale in_subscription'),
    row('publish', publish, 3, 'pubsub loading stale fast'),
    row('pubsub', pubsub, -2, 'pubsub loading stale'),
)
