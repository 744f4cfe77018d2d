"""Commands of the generic group: keys, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain, islice

from rq_leveldb.store.arguments import MAX_INTEGER, MIN_INTEGER, Options, database, integer
from rq_leveldb.store.commands.expiry_times import invalid_expire_time
from rq_leveldb.store.commands.rows import container, row
from rq_leveldb.store.commands.scanning import ScanOptions
from rq_leveldb.store.commands.serialization import COMMANDS as SERIALIZATION_COMMANDS
from rq_leveldb.store.commands.sort import COMMANDS as SORT_COMMANDS
from rq_leveldb.store.context import Context
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import OK, Pieces, Reply, ReplyError, Status, no_such_key, same_object, shown

_AT_ONCE = 10_000
"""Number of keys that KEYS looks at before other clients get their turn."""
_SLICE = 512


def delete(ctx: Context, argv: list[bytes]) -> Reply:
    return sum(map(ctx.delete, argv[1:]))


def exists(ctx: Context, argv: list[bytes]) -> Reply:
    found = 0
    for key in argv[1:]:
        found += ctx.find(key) is not None
    return found


def type_(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.find(argv[1])
    return Status(b'none' if value is None else value.type_name.encode())


def _rename(ctx: Context, argv: list[bytes], only_new: bool) -> Reply:
    value = ctx.find(argv[1])
    if value is None:
        raise no_such_key()
    if only_new and ctx.find(argv[2]) is not None:
        return 0
    if argv[1] != argv[2]:
        ctx.keys.rename(value, ctx.db, argv[2])
    return 1 if only_new else OK


def copy(ctx: Context, argv: list[bytes]) -> Reply:
    given = Options(argv, 3).all({b'REPLACE': None, b'DB': database})
    db = given.get(b'DB', ctx.db)
    if db == ctx.db and argv[1] == argv[2]:
        raise same_object()
    value = ctx.find(argv[1])
    if value is None or (b'REPLACE' not in given and ctx.keys.find(db, argv[2]) is not None):
        return 0
    ctx.keys.copy(value, db, argv[2])
    return 1


def move(ctx: Context, argv: list[bytes]) -> Reply:
    db = database(argv[2])
    if db == ctx.db:
        raise same_object()
    value = ctx.find(argv[1])
    if value is None or ctx.keys.find(db, argv[1]) is not None:
        return 0
    ctx.keys.rename(value, db, argv[1])
    return 1


# -- the clock


def _expire(unit: int, relative: bool, ctx: Context, argv: list[bytes]) -> int:
    """Do what EXPIRE and related commands have in common.

    Args:
        unit: milliseconds per unit.
        relative: whether the argument counts from now; else from 1970.
        ctx: the command's context.
        argv: the command's arguments.
    """
    conditions = _conditions(argv) if len(argv) > 3 else ()
    when = integer(argv[2])
    if unit > 1 and not MIN_INTEGER // unit < when <= MAX_INTEGER // unit:
        raise invalid_expire_time(argv[0].decode('latin-1').lower())
    when = when * unit + (ctx.keys.now if relative else 0)
    if when > MAX_INTEGER:
        raise invalid_expire_time(argv[0].decode('latin-1').lower())
    value = ctx.find(argv[1])
    if value is None:
        return 0
    for condition in conditions:
        old = value.expire
        if (
            (condition == b'NX' and old)
            or (condition == b'XX' and not old)
            or (condition == b'GT' and (not old or when <= old))
            or (condition == b'LT' and old and when >= old)
        ):
            return 0
    if when <= ctx.keys.now:
        ctx.keys.remove(value)
    else:
        value.expire = when
        ctx.keys.changed(value)
    return 1


def _conditions(argv: list[bytes]) -> set[bytes]:
    given: set[bytes] = set()
    for argument in argv[3:]:
        condition = argument.upper()
        if condition not in (b'NX', b'XX', b'GT', b'LT'):
            raise ReplyError(f'ERR Unsupported option {shown(argument)}')
        given.add(condition)
    if b'NX' in given and len(given) > 1:
        raise ReplyError('ERR NX and XX, GT or LT options at the same time are not compatible')
    if b'GT' in given and b'LT' in given:
        raise ReplyError('ERR GT and LT options at the same time are not compatible')
    return given


def _expiry(ctx: Context, argv: list[bytes], unit: int, relative: bool) -> int:
    """Do what TTL and related commands have in common; see :func:`_expire`."""
    value = ctx.find(argv[1])
    if value is None:
        return -2
    if not value.expire:
        return -1
    when = max(value.expire - ctx.now, 0) if relative else value.expire
    return (when + unit // 2) // unit


def persist(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.find(argv[1])
    if value is None or not value.expire:
        return 0
    value.expire = 0
    ctx.keys.changed(value)
    return 1


# -- walking through the keys


def keys(ctx: Context, argv: list[bytes]) -> Reply:
    glob = Glob(argv[1])
    if glob.is_literal:
        return [glob.prefix] if ctx.find(glob.prefix) is not None else []
    names = ctx.keys.keys(ctx.db, glob.prefix)
    found: list[bytes] = []
    last = None
    for last in islice(names, _AT_ONCE - 1):
        if glob.matches(last):
            found.append(last)
    last = next(names, None)
    if last is None:
        return found
    # The rest is counted and then sent in slices, so that other clients get their turn.
    rest = ctx.keys.keys(ctx.db, glob.prefix, last)
    reply = Pieces(len(found), chain(found, filter(glob.matches, chain((last,), rest))))
    reply.counting = _counting(reply, glob, chain((last,), names))
    return reply


def _counting(reply: Pieces, glob: Glob, names: Iterator[bytes]) -> Iterator[None]:
    for number, name in enumerate(names):
        if glob.matches(name):
            reply.count += 1
        if number % _SLICE == 0:
            yield


def scan(ctx: Context, argv: list[bytes]) -> Reply:
    options = ScanOptions.read(argv, 1, with_type=True)
    prefix = b'' if options.glob is None else options.glob.prefix
    cursors = ctx.keys.cursors
    after = cursors.resolve(options.cursor) if options.cursor else None
    found: list[bytes] = []
    last = b''
    for looked_at, (name, type_name) in enumerate(ctx.keys.typed_keys(ctx.db, after, prefix)):
        if looked_at == options.count:
            return [b'%d' % cursors.issue(last), found]
        last = name
        if options.matches(name) and (options.type_name is None or type_name.encode() == options.type_name):
            found.append(name)
    return [b'0', found]


def randomkey(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.keys.random_key(ctx.db)


# -- OBJECT


def encoding(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.find(argv[2])
    return None if value is None else value.encoding_name(ctx.services.settings.layout)


def _of_any(ctx: Context, argv: list[bytes], answer: int) -> Reply:
    return None if ctx.find(argv[2]) is None else answer


def freq(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.find(argv[2]) is None:
        return None
    raise ReplyError(
        'ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching '
        'between policies at runtime LRU and LFU data will take some time to adjust.'
    )


COMMANDS = (
    row('del', delete, -2, 'write', 1, -1, 1),
    row('unlink', delete, -2, 'write fast', 1, -1, 1),
    row('exists', exists, -2, 'readonly fast', 1, -1, 1),
    row('touch', exists, -2, 'readonly fast', 1, -1, 1),
    row('type', type_, 2, 'readonly fast', 1, 1, 1),
    row('rename', partial(_rename, only_new=False), 3, 'write', 1, 2, 1),
    row('renamenx', partial(_rename, only_new=True), 3, 'write fast', 1, 2, 1),
    row('copy', copy, -3, 'write denyoom', 1, 2, 1),
    row('move', move, 3, 'write fast', 1, 1, 1),
    row('expire', partial(_expire, 1000, True), -3, 'write fast', 1, 1, 1),
    row('pexpire', partial(_expire, 1, True), -3, 'write fast', 1, 1, 1),
    row('expireat', partial(_expire, 1000, False), -3, 'write fast', 1, 1, 1),
    row('pexpireat', partial(_expire, 1, False), -3, 'write fast', 1, 1, 1),
    row('ttl', partial(_expiry, unit=1000, relative=True), 2, 'readonly fast', 1, 1, 1),
    row('pttl', partial(_expiry, unit=1, relative=True), 2, 'readonly fast', 1, 1, 1),
    row('expiretime', partial(_expiry, unit=1000, relative=False), 2, 'readonly fast', 1, 1, 1),
    row('pexpiretime', partial(_expiry, unit=1, relative=False), 2, 'readonly fast', 1, 1, 1),
    row('persist', persist, 2, 'write fast', 1, 1, 1),
    row('keys', keys, 2, 'readonly'),
    row('scan', scan, -2, 'readonly'),
    row('randomkey', randomkey, 1, 'readonly'),
    container(
        'object',
        row('encoding', encoding, 3, 'readonly', 2, 2, 1),
        row('refcount', partial(_of_any, answer=1), 3, 'readonly', 2, 2, 1),
        row('idletime', partial(_of_any, answer=0), 3, 'readonly', 2, 2, 1),
        row('freq', freq, 3, 'readonly', 2, 2, 1),
    ),
    *SORT_COMMANDS,
    *SERIALIZATION_COMMANDS,
)
