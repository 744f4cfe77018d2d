"""Commands of the server group for finding what is slow or large: SLOWLOG, LATENCY, MEMORY, MONITOR, DEBUG."""

from __future__ import annotations

import re
import time
from itertools import islice

from rq_leveldb.location import DATABASES
from rq_leveldb.process import resident_bytes
from rq_leveldb.store.arguments import Options, floating, integer, is_integer, positive
from rq_leveldb.store.commands.rows import Handler, always, container, row
from rq_leveldb.store.context import Context
from rq_leveldb.store.number_text import score_text
from rq_leveldb.store.replies import (
    NO_REPLY,
    OK,
    Reply,
    ReplyError,
    Status,
    Verbatim,
    no_such_key,
    shown,
    syntax_error,
    wrong_usage,
)
from rq_leveldb.store.types.sorted_set import SortedSet, split

# -- SLOWLOG


def slowlog_get(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise wrong_usage(argv)
    text = argv[2] if len(argv) == 3 else b'10'
    count = int(text) if is_integer(text) else -2
    if count < -1:
        raise ReplyError('ERR count should be greater than or equal to -1')
    return list(ctx.services.statistics.slow)[: None if count == -1 else count]


def slowlog_len(ctx: Context, argv: list[bytes]) -> Reply:
    return len(ctx.services.statistics.slow)


def slowlog_reset(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.services.statistics.slow.clear()
    return OK


# -- LATENCY, as of a server that watches none (latency-monitor-threshold 0, latency-tracking no)


def latency_graph(ctx: Context, argv: list[bytes]) -> Reply:
    raise ReplyError(f"ERR No samples available for event '{shown(argv[2])}'")


_LATENCY_DOCTOR = Verbatim(b'This store does not watch latencies. SLOWLOG GET shows the commands that were slow.\n')


# -- MEMORY


def memory_usage(ctx: Context, argv: list[bytes]) -> Reply:
    for samples in Options(argv, 3).values_of(b'SAMPLES'):
        if integer(samples) < 0:
            raise syntax_error()
    value = ctx.find(argv[2])
    if value is None:
        return None
    return ctx.keys.memory_usage(value)


def memory_stats(ctx: Context, argv: list[bytes]) -> Reply:
    used = resident_bytes()
    keys = sum(ctx.keys.count(db) for db in range(DATABASES))
    return {
        b'peak.allocated': used,
        b'total.allocated': used,
        b'startup.allocated': 0,
        b'clients.normal': sum(state.unsent_bytes() for state in ctx.services.clients.values()),
        b'keys.count': keys,
        b'keys.bytes-per-key': used // keys if keys else 0,
        b'dataset.bytes': ctx.keys.size_on_disk(),
        b'peak.percentage': 100.0,
        b'fragmentation': 1.0,
        b'fragmentation.bytes': 0,
    }


_MEMORY_DOCTOR = Verbatim(b'The data is on disk; see INFO memory for this process.')
_MALLOC_STATS = Verbatim(b'The allocator of this process has no statistics to show.')


# -- MONITOR


def monitor(ctx: Context, argv: list[bytes]) -> Reply:
    if not ctx.may_block:
        raise ReplyError("ERR MONITOR isn't allowed for DENY BLOCKING client")
    if ctx.client.monitor:
        return NO_REPLY  # as Redis
    ctx.client.monitor = True
    ctx.services.monitor(ctx.client, True)
    return OK


# -- DEBUG: what is of use to tests, Redis' own among them; and what Redis has not, for our own tools


def debug(ctx: Context, argv: list[bytes]) -> Reply:
    handler, arguments = _DEBUG.get(argv[1].lower(), (None, None))
    if handler is None or arguments not in (len(argv) - 2, None):
        raise wrong_usage(argv)
    return handler(ctx, argv)


def _debug_object(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.find(argv[2])
    if value is None:
        raise no_such_key()
    name = value.encoding_name(ctx.services.settings.layout).decode()
    return Status(f'Value at:0x0 refcount:1 encoding:{name} serializedlength:{len(value.record())}'.encode())


def _debug_sleep(ctx: Context, argv: list[bytes]) -> Reply:
    # A leading number counts; anything else is 0.
    seconds = re.match(rb'\s*\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?', argv[2])
    time.sleep(float(seconds[0]) if seconds else 0)
    return OK


def _debug_snapshot(ctx: Context, argv: list[bytes]) -> Reply:
    # Not in a transaction: it is about the commands that follow.
    word = argv[2].lower()
    if word == b'on':
        ctx.services.begin_snapshot(ctx)
    elif word != b'off':
        raise syntax_error()
    elif not ctx.services.end_snapshot(ctx.client):
        raise ReplyError('ERR this client has no snapshot')
    return OK


def _debug_set_active_expire(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.services.remove_expired(argv[2] != b'0')
    return OK


def _debug_zrange_behind(ctx: Context, argv: list[bytes]) -> Reply:
    """Return so many members and scores behind an entry, be it there or not: key, score, member, ASC or DESC, count.

    A command of Redis goes on behind one of many members of the same score only by their number.
    """
    score, order, count = floating(argv[3]), argv[5].upper(), positive(argv[6])
    if order not in (b'ASC', b'DESC'):
        raise syntax_error()
    entries = ctx.read(argv[2], SortedSet).behind(score, argv[4], order == b'DESC')
    return [part for member, score in map(split, islice(entries, count)) for part in (member, score_text(score))]


_DEBUG: dict[bytes, tuple[Handler, int | None]] = {
    b'object': (_debug_object, 1),
    b'sleep': (_debug_sleep, 1),
    b'snapshot': (_debug_snapshot, 1),
    b'zrange-behind': (_debug_zrange_behind, 5),
    b'set-active-expire': (_debug_set_active_expire, 1),
    # What is served is what is on disk, and there are no quicklists.
    b'reload': (always(OK), None),
    b'loadaof': (always(OK), 0),
    b'quicklist-packed-threshold': (always(OK), 1),
}

_LATENCY = 'admin noscript loading stale'

COMMANDS = (
    container(
        'slowlog',
        row('get', slowlog_get, -2, 'admin loading stale'),
        row('len', slowlog_len, 2, 'admin loading stale'),
        row('reset', slowlog_reset, 2, 'admin loading stale'),
    ),
    container(
        'latency',
        row('latest', always([]), 2, _LATENCY),
        row('history', always([]), 3, _LATENCY),
        row('histogram', always({}), -2, _LATENCY),
        row('reset', always(0), -2, _LATENCY),
        row('graph', latency_graph, 3, _LATENCY),
        row('doctor', always(_LATENCY_DOCTOR), 2, _LATENCY),
    ),
    container(
        'memory',
        row('usage', memory_usage, -3, 'readonly', 2, 2, 1),
        row('stats', memory_stats, 2, ''),
        row('doctor', always(_MEMORY_DOCTOR), 2, ''),
        row('malloc-stats', always(_MALLOC_STATS), 2, ''),
        row('purge', always(OK), 2, ''),
    ),
    row('monitor', monitor, 1, 'admin noscript loading stale'),
    row('debug', debug, -2, 'admin noscript loading stale may_write in_snapshot'),
)
