"""Commands of the server group."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from functools import partial

from rq_leveldb.location import DATABASES
from rq_leveldb.store.arguments import MAX_INTEGER, integer, is_integer, milliseconds, positive
from rq_leveldb.store.commands.information import info
from rq_leveldb.store.commands.rows import always, container, row
from rq_leveldb.store.context import Context
from rq_leveldb.store.descriptors import most_clients
from rq_leveldb.store.info import REDIS_VERSION
from rq_leveldb.store.replies import (
    NO_REPLY,
    OK,
    Reply,
    ReplyError,
    Status,
    Verbatim,
    db_out_of_range,
    integer_out_of_range,
    shown,
    syntax_error,
)

# -- the database


def dbsize(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.keys.count(ctx.db)


def time_(ctx: Context, argv: list[bytes]) -> Reply:
    seconds, microseconds = divmod(ctx.keys.clock // 1000, 1_000_000)
    return [b'%d' % seconds, b'%d' % microseconds]


def lastsave(ctx: Context, argv: list[bytes]) -> Reply:
    return int(ctx.services.statistics.saved)


def save(ctx: Context, argv: list[bytes]) -> Reply:
    _note_save(ctx)
    return OK


def _note_save(ctx: Context) -> None:
    ctx.keys.note_save()
    ctx.services.statistics.saved = time.time()


def bgsave(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 2 or (len(argv) == 2 and argv[1].upper() != b'SCHEDULE'):
        raise syntax_error()
    _note_save(ctx)
    return Status(b'Background saving started')


def shutdown(ctx: Context, argv: list[bytes]) -> Reply:
    for argument in argv[1:]:
        if argument.upper() not in (b'NOSAVE', b'SAVE', b'NOW', b'FORCE', b'ABORT'):
            raise syntax_error()
    ctx.services.shutdown()
    ctx.client.close()
    # As in Redis, closing the connection is the answer; redis-py takes any other for a refusal.
    return NO_REPLY


# -- FLUSHDB, FLUSHALL, SWAPDB


def _flush(ctx: Context, db: int) -> None:
    for place in ctx.services.watches.places(db):
        if ctx.keys.find(*place) is not None:
            ctx.services.watches.touch(place)
    # Clients blocked in XREADGROUP have to learn that the group is gone.
    gone = [key for _, key in ctx.services.waiting.places(db) if ctx.keys.find(db, key) is not None]
    ctx.keys.flush(db)
    for key in gone:
        ctx.keys.wake(db, key)


def _flush_some(ctx: Context, argv: list[bytes], everything: bool) -> Reply:
    if len(argv) > 2 or (len(argv) == 2 and argv[1].upper() not in (b'SYNC', b'ASYNC')):
        raise syntax_error()
    for db in range(DATABASES) if everything else (ctx.db,):
        _flush(ctx, db)
    return OK


def swapdb(ctx: Context, argv: list[bytes]) -> Reply:
    numbers = []
    for which, argument in (('first', argv[1]), ('second', argv[2])):
        if not is_integer(argument) or not -(1 << 31) <= int(argument) < 1 << 31:
            raise ReplyError(f'ERR invalid {which} DB index')
        numbers.append(int(argument))
    if not all(0 <= number < DATABASES for number in numbers):
        raise db_out_of_range()
    one, other = numbers
    if one != other:
        places = [*ctx.services.watches.places(one), *ctx.services.watches.places(other)]
        waited = [*ctx.services.waiting.places(one), *ctx.services.waiting.places(other)]
        held = {place for place in (*places, *waited) if ctx.keys.find(*place) is not None}
        ctx.keys.swap(one, other)
        held.update(place for place in (*places, *waited) if ctx.keys.find(*place) is not None)
        for place in filter(held.__contains__, places):
            ctx.services.watches.touch(place)
        for place in filter(held.__contains__, waited):
            ctx.keys.wake(*place)
    return OK


# -- CONFIG


def config_get(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = [pattern.decode('latin-1').lower() for pattern in argv[2:]]
    return {
        name.encode(): value.encode('utf-8', 'surrogateescape')
        for name, value in _settings(ctx).items()
        if any(fnmatchcase(name, pattern) for pattern in wanted)
    }


def config_resetstat(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.services.statistics.reset()
    ctx.services.forget_statistics()
    ctx.services.sweeper.forget_statistics()
    return OK


def config_rewrite(ctx: Context, argv: list[bytes]) -> Reply:
    raise ReplyError('ERR The server is running without a config file')


def _settings(ctx: Context) -> dict[str, str]:
    settings = ctx.services.settings
    return {
        'appendfsync': settings.fsync,
        'appendonly': 'yes',
        'bind': '127.0.0.1',
        'busy-reply-threshold': str(settings.busy_reply_threshold),
        'databases': str(DATABASES),
        'dir': str(settings.directory.path),
        'latency-monitor-threshold': '0',
        'latency-tracking': 'no',
        'lua-time-limit': str(settings.busy_reply_threshold),
        'maxclients': str(most_clients()),
        'maxmemory': '0',
        'maxmemory-policy': 'noeviction',
        'notify-keyspace-events': '',
        'port': str(settings.port),
        'proto-max-bulk-len': str(512 << 20),
        'save': '',
        'slowlog-log-slower-than': str(settings.slower_than),
        'slowlog-max-len': str(settings.slowlog_length),
        'timeout': '0',
        'unixsocket': str(settings.directory.socket),
        'unixsocketperm': '600',
        **settings.layout.parameters(),
    }


_NUMBERS = {
    'busy-reply-threshold': 'busy_reply_threshold',
    'lua-time-limit': 'busy_reply_threshold',
    'slowlog-log-slower-than': 'slower_than',
    'slowlog-max-len': 'slowlog_length',
}
"""Parameters that can be set, and what they are among the settings."""


def config_set(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2:
        raise syntax_error()
    pairs = argv[2:]
    settings = ctx.services.settings
    known = _settings(ctx)
    given: set[str] = set()
    for name in pairs[::2]:
        text = name.decode('latin-1').lower()
        if text in given:
            raise _config_set_failed(text, 'duplicate parameter')
        given.add(text)
    # If one cannot be set, none is.
    layout = settings.layout
    numbers: dict[str, int] = {}
    always = False
    for name, value in zip(pairs[::2], pairs[1::2], strict=True):
        text = name.decode('latin-1').lower()
        if text not in known:
            raise ReplyError(f"ERR Unknown option or number of arguments for CONFIG SET - '{shown(name)}'")
        if text in layout.parameters():
            try:
                layout = layout.changed(text, value.decode('latin-1'))
            except ValueError as error:
                raise _config_set_failed(text, str(error)) from None
        elif text in _NUMBERS:
            number = numbers[_NUMBERS[text]] = _config_integer(text, value)
            if number < 0 and text != 'slowlog-log-slower-than':
                raise _config_set_failed(text, f'argument must be between 0 and {MAX_INTEGER} inclusive')
        elif text == 'appendfsync' and value == b'always':
            # A client's URL may ask for more durability than the store was started with, but not for less.
            always = True
        elif value.decode('latin-1') != known[text]:
            if known[text].isdigit():
                _config_integer(text, value)
            raise _config_set_failed(text, "can't set immutable config")
    settings.layout = layout
    for attribute, number in numbers.items():
        setattr(settings, attribute, number)
    if always:
        ctx.services.demand_fsync()
    return OK


def _config_integer(name: str, value: bytes) -> int:
    return integer(value, _config_set_failed(name, "argument couldn't be parsed into an integer").text)


def _config_set_failed(name: str, reason: str) -> ReplyError:
    return ReplyError(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")


# -- what a server without replicas, modules and an append only file of its own says


def wait(ctx: Context, argv: list[bytes]) -> Reply:
    integer(argv[1])
    milliseconds(argv[2], ctx.now)
    return 0


def waitaof(ctx: Context, argv: list[bytes]) -> Reply:
    local = integer(argv[1])
    if not 0 <= local <= 1:
        raise integer_out_of_range(0, 1)
    positive(argv[2])
    timeout = milliseconds(argv[3], ctx.now)
    if ctx.services.is_synced():
        return [1, 0]
    if not local or not ctx.may_block:
        return [0, 0]
    return ctx.services.wait_for_sync(ctx, timeout / 1000, [1, 0], [0, 0])


def bgrewriteaof(ctx: Context, argv: list[bytes]) -> Reply:
    if not ctx.services.compaction.demand():
        raise ReplyError('ERR Background append only file rewriting already in progress')
    return Status(b'Background append only file rewriting started')


def lolwut(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 2 and argv[1].upper() == b'VERSION':
        integer(argv[2])
    return Verbatim(f'Redis ver. {REDIS_VERSION}\n'.encode())


COMMANDS = (
    row('info', info, -1, 'loading stale in_snapshot'),
    row('dbsize', dbsize, 1, 'readonly fast'),
    row('time', time_, 1, 'loading stale fast in_snapshot'),
    row('lastsave', lastsave, 1, 'loading stale fast'),
    row('save', save, 1, 'admin noscript no_async_loading no_multi'),
    row('bgsave', bgsave, -1, 'admin noscript no_async_loading'),
    row('bgrewriteaof', bgrewriteaof, 1, 'admin noscript no_async_loading'),
    row('shutdown', shutdown, -1, 'admin noscript loading stale allow_busy no_multi'),
    row('flushdb', partial(_flush_some, everything=False), -1, 'write'),
    row('flushall', partial(_flush_some, everything=True), -1, 'write'),
    row('swapdb', swapdb, 3, 'write fast'),
    row('role', always([b'master', 0, []]), 1, 'noscript loading stale fast'),
    row('wait', wait, 3, 'blocking'),
    row('waitaof', waitaof, 4, 'blocking'),
    row('lolwut', lolwut, -1, 'readonly fast'),
    container(
        'config',
        row('get', config_get, -3, 'admin noscript loading stale'),
        row('set', config_set, -4, 'admin noscript loading stale'),
        row('resetstat', config_resetstat, 2, 'admin noscript loading stale'),
        row('rewrite', config_rewrite, 2, 'admin noscript loading stale'),
    ),
    container('module', row('list', always([]), 2, 'admin noscript')),
)
