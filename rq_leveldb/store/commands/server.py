"""Commands of the server group."""

from __future__ import annotations

import time
from collections.abc import Sized
from fnmatch import fnmatchcase
from itertools import islice

from rq_leveldb.store import encoding
from rq_leveldb.store.arguments import MAX_INTEGER, integer, is_integer, milliseconds
from rq_leveldb.store.command import Command, row
from rq_leveldb.store.context import Context
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.info import Snapshot, sections
from rq_leveldb.store.keyspace import DATABASES
from rq_leveldb.store.replies import (
    NO_REPLY,
    OK,
    Reply,
    ReplyError,
    SetReply,
    Status,
    Verbatim,
    no_such_key,
    syntax_error,
    unknown_subcommand,
    unknown_subcommand_or_arity,
    wrong_arity,
)

_SAMPLED = 1000
"""Records that MEMORY USAGE looks at."""

# -- INFO


def info(ctx: Context, argv: list[bytes]) -> Reply:
    services = ctx.services
    asked = [argument.decode('latin-1').lower() for argument in argv[1:]] or ['default']
    # Counted only for those who want to know it: RQ asks for other sections again and again.
    wanted = not {'keyspace', 'default', 'all', 'everything'}.isdisjoint(asked)
    expiring = ctx.keys.count_expiring() if wanted else {}
    snapshot = Snapshot(
        clients=len(services.clients),
        blocked_clients=services.blocked_clients(),
        subscribers=sum(bool(state.channels or state.patterns) for state in services.clients.values()),
        databases=[(db, count, expiring.get(db, 0)) for db in range(DATABASES) if (count := ctx.keys.count(db))],
        disk_bytes=ctx.keys.engine.size_on_disk(),
        expired_keys=ctx.keys.expired_keys,
        channels=services.pubsub.channel_count(),
        patterns=services.pubsub.pattern_count(),
        write_refused='',
    )
    found = sections(services.settings, services.statistics, snapshot)
    if 'all' in asked or 'everything' in asked:
        names = list(found)
    else:
        names = [
            name
            for name in found
            if name in asked or ('default' in asked and name not in ('commandstats', 'latencystats'))
        ]
    text = '\r\n'.join(
        f'# {name.capitalize()}\r\n' + ''.join(f'{key}:{value}\r\n' for key, value in found[name].items())
        for name in names
    )
    return Verbatim(text.encode())


def dbsize(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.keys.count(ctx.db)


def time_(ctx: Context, argv: list[bytes]) -> Reply:
    seconds, microseconds = divmod(ctx.keys.clock // 1000, 1_000_000)
    return [b'%d' % seconds, b'%d' % microseconds]


def lastsave(ctx: Context, argv: list[bytes]) -> Reply:
    return int(time.time())


def save(ctx: Context, argv: list[bytes]) -> Reply:
    return OK


def bgsave(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 2 or (len(argv) == 2 and argv[1].upper() != b'SCHEDULE'):
        raise syntax_error()
    return Status(b'Background saving started')


def shutdown(ctx: Context, argv: list[bytes]) -> Reply:
    for argument in argv[1:]:
        if argument.upper() not in (b'NOSAVE', b'SAVE', b'NOW', b'FORCE', b'ABORT'):
            raise syntax_error()
    ctx.services.shutdown()
    ctx.client.close()
    # As Redis: the end of the connection is the answer, and redis-py takes any other for a refusal.
    return NO_REPLY


# -- FLUSHDB, FLUSHALL, SWAPDB


def _flush(ctx: Context, db: int) -> None:
    for place in ctx.services.watches.places(db):
        if ctx.keys.find(*place) is not None:
            ctx.services.watches.touch(place)
    # Who waits in XREADGROUP has to learn that the group has gone.
    gone = [key for _, key in ctx.services.waited_places(db) if ctx.keys.find(db, key) is not None]
    ctx.keys.flush(db)
    for key in gone:
        ctx.keys.wake(db, key)


def _check_flush(argv: list[bytes]) -> None:
    if len(argv) > 2 or (len(argv) == 2 and argv[1].upper() not in (b'SYNC', b'ASYNC')):
        raise syntax_error()


def flushdb(ctx: Context, argv: list[bytes]) -> Reply:
    _check_flush(argv)
    _flush(ctx, ctx.db)
    return OK


def flushall(ctx: Context, argv: list[bytes]) -> Reply:
    _check_flush(argv)
    for db in range(DATABASES):
        _flush(ctx, db)
    return OK


def swapdb(ctx: Context, argv: list[bytes]) -> Reply:
    numbers = []
    for which, argument in (('first', argv[1]), ('second', argv[2])):
        if not is_integer(argument) or not -(1 << 31) <= int(argument) < 1 << 31:
            raise ReplyError(f'ERR invalid {which} DB index')
        numbers.append(int(argument))
    if not all(0 <= number < DATABASES for number in numbers):
        raise ReplyError('ERR DB index is out of range')
    one, other = numbers
    if one != other:
        places = [*ctx.services.watches.places(one), *ctx.services.watches.places(other)]
        waited = [*ctx.services.waited_places(one), *ctx.services.waited_places(other)]
        held = {place for place in waited if ctx.keys.find(*place) is not None}
        before = {place: ctx.keys.find(*place) for place in places}
        ctx.keys.swap(one, other)
        for place in places:
            if before[place] is not None or ctx.keys.find(*place) is not None:
                ctx.services.watches.touch(place)
        for place in waited:
            if place in held or ctx.keys.find(*place) is not None:
                ctx.keys.wake(*place)
    return OK


# -- CONFIG


def config(ctx: Context, argv: list[bytes]) -> Reply:
    subcommand = argv[1].lower()
    if subcommand == b'get':
        if len(argv) < 3:
            raise wrong_arity('config|get')
        return _config_get(ctx, argv[2:])
    if subcommand == b'set':
        if len(argv) < 4:
            raise wrong_arity('config|set')
        if len(argv) % 2:
            raise syntax_error()
        return _config_set(ctx, argv[2:])
    if subcommand == b'resetstat':
        if len(argv) != 2:
            raise wrong_arity('config|resetstat')
        ctx.services.statistics.reset()
        ctx.services.forget_statistics()
        return OK
    if subcommand == b'rewrite':
        raise ReplyError('ERR The server is running without a config file')
    raise unknown_subcommand(argv[1].decode('utf-8', 'surrogateescape'), 'CONFIG')


def _settings(ctx: Context) -> dict[str, str]:
    settings = ctx.services.settings
    return {
        'appendfsync': settings.fsync,
        'appendonly': 'yes',
        'bind': '127.0.0.1',
        'databases': str(DATABASES),
        'dir': str(settings.directory.path),
        'maxclients': '10000',
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


def _config_get(ctx: Context, patterns: list[bytes]) -> Reply:
    wanted = [pattern.decode('latin-1').lower() for pattern in patterns]
    return {
        name.encode(): value.encode('utf-8', 'surrogateescape')
        for name, value in _settings(ctx).items()
        if any(fnmatchcase(name, pattern) for pattern in wanted)
    }


def _config_set(ctx: Context, pairs: list[bytes]) -> Reply:
    settings = ctx.services.settings
    known = _settings(ctx)
    given: set[str] = set()
    for name in pairs[::2]:
        text = name.decode('latin-1').lower()
        if text in given:
            raise _config_set_failed(text, 'duplicate parameter')
        given.add(text)
    # One that cannot be set leaves all as they were.
    layout, slower_than, slowlog_length = settings.layout, settings.slower_than, settings.slowlog_length
    always = False
    for name, value in zip(pairs[::2], pairs[1::2], strict=True):
        text = name.decode('latin-1').lower()
        if text not in known:
            shown = name.decode('utf-8', 'surrogateescape')
            raise ReplyError(f"ERR Unknown option or number of arguments for CONFIG SET - '{shown}'")
        if text in layout.parameters():
            try:
                layout = layout.changed(text, value.decode('latin-1'))
            except ValueError as error:
                raise _config_set_failed(text, str(error)) from None
        elif text in ('slowlog-log-slower-than', 'slowlog-max-len'):
            number = _config_integer(text, value)
            if text == 'slowlog-max-len':
                if number < 0:
                    raise _config_set_failed(text, f'argument must be between 0 and {MAX_INTEGER} inclusive')
                slowlog_length = number
            else:
                slower_than = number
        elif text == 'appendfsync' and value == b'always':
            # A client's URL may ask for more than the store was started with; none may ask for less.
            always = True
        elif value.decode('latin-1') != known[text]:
            if known[text].isdigit():
                _config_integer(text, value)
            raise _config_set_failed(text, "can't set immutable config")
    settings.layout, settings.slower_than, settings.slowlog_length = layout, slower_than, slowlog_length
    if always:
        ctx.services.demand_fsync()
    return OK


def _config_integer(name: str, value: bytes) -> int:
    try:
        return integer(value)
    except ReplyError:
        raise _config_set_failed(name, "argument couldn't be parsed into an integer") from None


def _config_set_failed(name: str, reason: str) -> ReplyError:
    return ReplyError(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")


# -- COMMAND


def command(ctx: Context, argv: list[bytes]) -> Reply:
    commands = ctx.services.commands
    if len(argv) == 1:
        return [_describe(found) for found in commands.values()]
    subcommand = argv[1].lower()
    if subcommand == b'count':
        if len(argv) != 2:
            raise wrong_arity('command|count')
        return len(commands)
    if subcommand == b'list':
        return _list(ctx, argv)
    if subcommand == b'info':
        names = [name.lower() for name in argv[2:]] or list(commands)
        return [_describe(commands[name]) if name in commands else None for name in names]
    if subcommand == b'docs':
        names = [name.lower() for name in argv[2:]] or list(commands)
        return {name: _document(commands[name]) for name in names if name in commands}
    if subcommand == b'getkeys':
        if len(argv) < 3:
            raise wrong_arity('command|getkeys')
        found = commands.get(argv[2].lower())
        if found is None:
            raise ReplyError('ERR Invalid command specified')
        if not found.accepts(len(argv) - 2):
            raise ReplyError('ERR Invalid number of arguments specified for command')
        keys = _keys(found, argv[2:])
        if not keys:
            raise ReplyError('ERR The command has no key arguments')
        return keys
    raise unknown_subcommand(argv[1].decode('utf-8', 'surrogateescape'), 'COMMAND')


def _list(ctx: Context, argv: list[bytes]) -> Reply:
    names = list(ctx.services.commands)
    if len(argv) == 2:
        return names
    if len(argv) != 5 or argv[2].lower() != b'filterby':
        raise syntax_error()
    kind, value = argv[3].lower(), argv[4]
    if kind == b'pattern':
        glob = Glob(value.lower())
        return [name for name in names if glob.matches(name)]
    if kind in (b'module', b'aclcat'):
        return []  # there are none of them
    raise syntax_error()


def _keys(found: Command, argv: list[bytes]) -> list[bytes]:
    first, last, step = found.keys
    if not first:
        return []
    end = len(argv) + last if last < 0 else last
    return argv[first : end + 1 : step]


def _describe(found: Command) -> Reply:
    own = {'no_multi', 'in_subscription', 'skip_queue'}
    names = SetReply(Status(flag.encode()) for flag in sorted(found.flags - own))
    return [found.name.encode(), found.arity, names, *found.keys, SetReply(), [], [], []]


def _document(found: Command) -> Reply:
    group = found.handler.__module__.rpartition('.')[2].replace('_', '-').encode()
    return {b'group': group, b'arity': found.arity}


# -- SLOWLOG, MONITOR, MEMORY, DEBUG


def slowlog(ctx: Context, argv: list[bytes]) -> Reply:
    slow = ctx.services.statistics.slow
    subcommand = argv[1].lower()
    if subcommand == b'get':
        if len(argv) > 3:
            raise unknown_subcommand_or_arity('GET', 'SLOWLOG')
        count = 10
        if len(argv) == 3:
            count = integer(argv[2]) if is_integer(argv[2]) else -2
        if count < -1:
            raise ReplyError('ERR count should be greater than or equal to -1')
        shown = list(slow)[: None if count == -1 else count]
        return [[one.number, one.started, one.duration, one.argv, one.address.encode(), one.name] for one in shown]
    if subcommand in (b'len', b'reset') and len(argv) != 2:
        raise wrong_arity(f'slowlog|{subcommand.decode()}')
    if subcommand == b'len':
        return len(slow)
    if subcommand == b'reset':
        slow.clear()
        return OK
    raise unknown_subcommand(argv[1].decode('utf-8', 'surrogateescape'), 'SLOWLOG')


def monitor(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.client.monitor:
        return NO_REPLY  # as Redis
    ctx.client.monitor = True
    ctx.services.monitor(ctx.client, True)
    return OK


def memory(ctx: Context, argv: list[bytes]) -> Reply:
    subcommand = argv[1].lower()
    if subcommand == b'usage':
        if len(argv) < 3:
            raise wrong_arity('memory|usage')
        for at in range(3, len(argv), 2):
            if argv[at].upper() != b'SAMPLES' or at + 1 == len(argv) or integer(argv[at + 1]) < 0:
                raise syntax_error()
        value = ctx.find(argv[2])
        if value is None:
            return None
        record = value.record()
        size = len(value.meta_key) + len(record)
        version = encoding.meta_version(record)
        if version:
            size += _members_size(ctx, encoding.members_prefix(version), len(value) if isinstance(value, Sized) else 0)
        return size
    if subcommand == b'doctor':
        return Verbatim(b'The data is on disk; see INFO memory for this process.')
    if subcommand == b'purge':
        return OK
    raise unknown_subcommand(argv[1].decode('utf-8', 'surrogateescape'), 'MEMORY')


def _members_size(ctx: Context, prefix: bytes, count: int) -> int:
    """:returns: bytes of a value's members, estimated from the first ones where they are many"""
    sampled = records = 0
    for key, record in islice(ctx.keys.overlay.scan_prefix(prefix), _SAMPLED):
        sampled += len(key) + len(record)
        records += 1
    if records < _SAMPLED:
        return sampled
    # LevelDB knows only of what has left its log.
    on_disk = ctx.keys.engine.approximate_size(prefix, encoding.after(prefix))
    return max(on_disk, sampled, sampled * count // records)


def debug(ctx: Context, argv: list[bytes]) -> Reply:
    subcommand = argv[1].lower()
    if subcommand == b'object' and len(argv) == 3:
        value = ctx.find(argv[2])
        if value is None:
            raise no_such_key()
        name = value.encoding_name(ctx.services.settings.layout).decode()
        return Status(f'Value at:0x0 refcount:1 encoding:{name} serializedlength:{len(value.record())}'.encode())
    raise ReplyError('ERR DEBUG has only OBJECT here')


def wait(ctx: Context, argv: list[bytes]) -> Reply:
    integer(argv[1])
    milliseconds(argv[2], ctx.now)
    return 0


COMMANDS = (
    row('info', info, -1, 'loading stale'),
    row('dbsize', dbsize, 1, 'readonly fast'),
    row('time', time_, 1, 'loading stale fast'),
    row('lastsave', lastsave, 1, 'loading stale fast'),
    row('save', save, 1, 'admin noscript no_multi'),
    row('bgsave', bgsave, -1, 'admin noscript'),
    row('shutdown', shutdown, -1, 'admin noscript loading stale no_multi'),
    row('flushdb', flushdb, -1, 'write'),
    row('flushall', flushall, -1, 'write'),
    row('swapdb', swapdb, 3, 'write fast'),
    row('config', config, -2, 'admin noscript loading stale'),
    row('command', command, -1, 'loading stale'),
    row('slowlog', slowlog, -2, 'admin loading stale'),
    row('monitor', monitor, 1, 'admin noscript loading stale no_multi'),
    row('memory', memory, -2, 'readonly'),
    row('debug', debug, -2, 'admin noscript loading stale'),
    row('wait', wait, 3, 'blocking'),
)
