"""Commands of the hash group."""

from __future__ import annotations

from functools import partial
from operator import itemgetter

from rq_leveldb.store import long_double
from rq_leveldb.store.arguments import float_incremented, incremented, integer, is_integer
from rq_leveldb.store.commands.members import length, random_members, remove_members
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.commands.scanning import ScanOptions, check_cursor
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import (
    MAX_WHOLE,
    OK,
    Pieces,
    Reply,
    ReplyError,
    not_a_float,
    pairs_reply,
    shown,
    wrong_arity,
)
from rq_leveldb.store.types.hash import Hash


def hset(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2:
        raise wrong_arity(shown(argv[0]).lower())
    value = ctx.typed_or_new(argv[1], Hash)
    new = value.set(argv[2], argv[3]) if len(argv) == 4 else value.set_many(argv[2::2], argv[3::2])
    ctx.keys.changed(value)
    return int(new)


def hmset(ctx: Context, argv: list[bytes]) -> Reply:
    hset(ctx, argv)
    return OK


def hsetnx(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed_or_new(argv[1], Hash)
    if value.get(argv[2]) is not None:
        return 0
    value.set(argv[2], argv[3])
    ctx.keys.changed(value)
    return 1


def hget(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Hash)
    return None if value is None else value.get(argv[2])


def hmget(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.read(argv[1], Hash)
    return [value.get(field) for field in argv[2:]]


def hgetdel(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.read(argv[1], Hash)
    if argv[2].upper() != b'FIELDS':
        raise ReplyError('ERR Mandatory argument FIELDS is missing or not at the right position')
    if not is_integer(argv[3]) or int(argv[3]) <= 0:
        raise ReplyError('ERR Number of fields must be a positive integer')
    fields = argv[4:]
    if int(argv[3]) != len(fields):
        raise ReplyError('ERR The `numfields` parameter must match the number of arguments')
    found: list[bytes | None] = []
    for field in fields:
        found.append(value.get(field))
        value.delete(field)
    if any(data is not None for data in found):
        ctx.keys.changed(value)
    return found


def hgetall(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.read(argv[1], Hash)
    if len(value) > MAX_WHOLE:
        return Pieces(2 * len(value), (part for item in value.items() for part in item), 'map')
    return value.as_dict()


def _one_of_each(ctx: Context, argv: list[bytes], index: int) -> Reply:
    value = ctx.read(argv[1], Hash)
    found = map(itemgetter(index), value.items())
    return Pieces(len(value), found) if len(value) > MAX_WHOLE else list(found)


def hstrlen(ctx: Context, argv: list[bytes]) -> Reply:
    return len(ctx.read(argv[1], Hash).get(argv[2]) or b'')


def hexists(ctx: Context, argv: list[bytes]) -> Reply:
    return int(ctx.read(argv[1], Hash).get(argv[2]) is not None)


def hincrby(ctx: Context, argv: list[bytes]) -> Reply:
    increment = integer(argv[3])
    value = ctx.typed_or_new(argv[1], Hash)
    old = value.get(argv[2])
    if old is not None and not is_integer(old):
        raise ReplyError('ERR hash value is not an integer')
    number = incremented(int(old or 0), increment)
    value.set(argv[2], b'%d' % number)
    ctx.keys.changed(value)
    return number


def hincrbyfloat(ctx: Context, argv: list[bytes]) -> Reply:
    increment = long_double.parse(argv[3])
    if increment is None:
        raise not_a_float()
    if not long_double.is_finite(increment):
        raise ReplyError('ERR value is NaN or Infinity')
    value = ctx.typed_or_new(argv[1], Hash)
    old = value.get(argv[2])
    number = long_double.ZERO if old is None else long_double.parse(old)
    if number is None:
        raise ReplyError('ERR hash value is not a float')
    text = float_incremented(number, increment)
    value.set(argv[2], text)
    ctx.keys.changed(value)
    return text


def hscan(ctx: Context, argv: list[bytes]) -> Reply:
    check_cursor(argv[2])
    value = ctx.typed(argv[1], Hash)
    if value is None:
        return [b'0', []]
    options = ScanOptions.read(argv, 2, frozenset((b'NOVALUES',)))
    end, items = value.page(options.cursor, options.count)
    found = [item for item in items if options.matches(item[0])]
    return [b'%d' % end, pairs_reply(found, b'NOVALUES' not in options.flags, False)]


COMMANDS = (
    row('hset', hset, -4, 'write denyoom fast', 1, 1, 1),
    row('hmset', hmset, -4, 'write denyoom fast', 1, 1, 1),
    row('hsetnx', hsetnx, 4, 'write denyoom fast', 1, 1, 1),
    row('hget', hget, 3, 'readonly fast', 1, 1, 1),
    row('hgetdel', hgetdel, -5, 'write fast', 1, 1, 1),
    row('hmget', hmget, -3, 'readonly fast', 1, 1, 1),
    row('hgetall', hgetall, 2, 'readonly', 1, 1, 1),
    row('hkeys', partial(_one_of_each, index=0), 2, 'readonly', 1, 1, 1),
    row('hvals', partial(_one_of_each, index=1), 2, 'readonly', 1, 1, 1),
    row('hlen', partial(length, Hash), 2, 'readonly fast', 1, 1, 1),
    row('hstrlen', hstrlen, 3, 'readonly fast', 1, 1, 1),
    row('hexists', hexists, 3, 'readonly fast', 1, 1, 1),
    row('hdel', partial(remove_members, Hash), -3, 'write fast', 1, 1, 1),
    row('hincrby', hincrby, 4, 'write denyoom fast', 1, 1, 1),
    row('hincrbyfloat', hincrbyfloat, 4, 'write denyoom fast', 1, 1, 1),
    row('hscan', hscan, -3, 'readonly', 1, 1, 1),
    row('hrandfield', partial(random_members, type_=Hash, word=b'WITHVALUES'), -2, 'readonly', 1, 1, 1),
)
