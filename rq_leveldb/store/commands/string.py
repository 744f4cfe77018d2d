"""Commands of the string group."""

from __future__ import annotations

from functools import partial

from rq_leveldb.store import long_double
from rq_leveldb.store.arguments import MAX_INTEGER, Options, float_incremented, incremented, integer, slice_bounds
from rq_leveldb.store.commands.expiry_times import UNITS, positive_time
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import OK, Reply, ReplyError, not_a_float, out_of_range, syntax_error, wrong_arity
from rq_leveldb.store.types.string import String

MAX_LENGTH = 512 << 20


def get(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], String)
    return None if value is None else value.data


def set_(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 3:
        ctx.assign(argv[1], argv[2])
        return OK
    only_new = only_old = keep = returns = False
    unit = time = b''
    options = Options(argv, 3)
    for option in options:
        if option == b'NX' and not only_old:
            only_new = True
        elif option == b'XX' and not only_new:
            only_old = True
        elif option == b'GET':
            returns = True
        elif option == b'KEEPTTL' and not unit:
            keep = True
        elif option in UNITS and unit in (b'', option) and not keep:
            unit, time = option, options.value()
        else:
            raise syntax_error()
    expire = positive_time(time, *UNITS[unit], ctx.now, 'set') if unit else 0
    if not (only_new or only_old or keep or returns):
        ctx.assign(argv[1], argv[2], expire)
        return OK
    old = ctx.typed(argv[1], String) if returns else ctx.find(argv[1])
    old_data = old.data if returns and isinstance(old, String) else None
    if old is None if only_old else old is not None and only_new:
        return old_data
    if keep and old is not None:
        expire = old.expire
    ctx.assign(argv[1], argv[2], expire)
    return old_data if returns else OK


def setnx(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.find(argv[1]) is not None:
        return 0
    ctx.assign(argv[1], argv[2])
    return 1


def _set_with_time(ctx: Context, argv: list[bytes], unit: int) -> Reply:
    ctx.assign(argv[1], argv[3], positive_time(argv[2], unit, True, ctx.now, argv[0].decode('latin-1').lower()))
    return OK


def getset(ctx: Context, argv: list[bytes]) -> Reply:
    old = get(ctx, argv)
    ctx.assign(argv[1], argv[2])
    return old


def getdel(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], String)
    if value is None:
        return None
    ctx.keys.remove(value)
    return value.data


def getex(ctx: Context, argv: list[bytes]) -> Reply:
    unit = time = b''
    persist = False
    options = Options(argv, 2)
    for option in options:
        if option == b'PERSIST' and not unit:
            persist = True
        elif option in UNITS and unit in (b'', option) and not persist:
            unit, time = option, options.value()
        else:
            raise syntax_error()
    value = ctx.typed(argv[1], String)
    if value is None:
        return None
    if unit:
        ctx.keys.expire_at(value, positive_time(time, *UNITS[unit], ctx.now, 'getex'))
    elif persist and value.expire:
        ctx.keys.expire_at(value, 0)
    return value.data


def mget(ctx: Context, argv: list[bytes]) -> Reply:
    values = [ctx.find(key) for key in argv[1:]]
    return [value.data if isinstance(value, String) else None for value in values]


def mset(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2 == 0:
        raise wrong_arity('mset')
    for index in range(1, len(argv), 2):
        ctx.assign(argv[index], argv[index + 1])
    return OK


def msetnx(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2 == 0:
        raise wrong_arity('msetnx')
    if any(ctx.find(key) is not None for key in argv[1::2]):
        return 0
    mset(ctx, argv)
    return 1


def append(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed_or_new(argv[1], String)
    _check_length(len(value.data) + len(argv[2]))
    value.data += argv[2]
    ctx.keys.changed(value)
    return len(value.data)


def strlen(ctx: Context, argv: list[bytes]) -> Reply:
    return len(ctx.read(argv[1], String).data)


def setrange(ctx: Context, argv: list[bytes]) -> Reply:
    offset = integer(argv[2])
    if offset < 0:
        raise out_of_range('offset')
    patch = argv[3]
    value = ctx.typed(argv[1], String)
    if not patch:
        return 0 if value is None else len(value.data)
    _check_length(offset + len(patch))
    if value is None:
        value = ctx.typed_or_new(argv[1], String)
    data = value.data
    value.data = data[:offset].ljust(offset, b'\x00') + patch + data[offset + len(patch) :]
    ctx.keys.changed(value)
    return len(value.data)


def getrange(ctx: Context, argv: list[bytes]) -> Reply:
    start, stop = integer(argv[2]), integer(argv[3])
    data = ctx.read(argv[1], String).data
    if start < 0 and stop < 0 and start > stop:
        return b''
    size = len(data)
    # Unlike a list's, an end before the beginning is the beginning.
    start, stop = slice_bounds(start, max(stop + size, 0) if stop < 0 else stop, size)
    return data[start:stop]


def _increment(sign: int, ctx: Context, argv: list[bytes]) -> Reply:
    increment = sign * (integer(argv[2]) if len(argv) > 2 else 1)
    if increment > MAX_INTEGER:
        raise ReplyError('ERR decrement would overflow')
    value = ctx.typed(argv[1], String)
    number = incremented(0 if value is None else integer(value.data), increment)
    if value is None:
        value = ctx.typed_or_new(argv[1], String)
    value.data = b'%d' % number
    ctx.keys.changed(value)
    return number


def incrbyfloat(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], String)
    number = long_double.ZERO if value is None else long_double.parse(value.data)
    increment = long_double.parse(argv[2])
    if number is None or increment is None:
        raise not_a_float()
    text = float_incremented(number, increment)
    if value is None:
        value = ctx.typed_or_new(argv[1], String)
    value.data = text
    ctx.keys.changed(value)
    return text


def lcs(ctx: Context, argv: list[bytes]) -> Reply:
    texts = []
    for key in argv[1:3]:
        value = ctx.find(key)
        if value is not None and not isinstance(value, String):
            raise ReplyError('ERR The specified keys must contain string values')
        texts.append(b'' if value is None else value.data)
    given = Options(argv, 3).all({b'IDX': None, b'LEN': None, b'WITHMATCHLEN': None, b'MINMATCHLEN': integer})
    if b'IDX' in given and b'LEN' in given:
        raise ReplyError('ERR If you want both the length and indexes, please just use IDX.')
    if len(texts[0]) * len(texts[1]) > MAX_LCS_CELLS:
        raise ReplyError('ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len')
    common, ranges = _longest_common_subsequence(*texts)
    if b'LEN' in given:
        return len(common)
    if b'IDX' not in given:
        return common
    matches = []
    for a, b, size in ranges:
        if size >= given.get(b'MINMATCHLEN', 0):
            match: list[Reply] = [[a, a + size - 1], [b, b + size - 1]]
            matches.append([*match, size] if b'WITHMATCHLEN' in given else match)
    return {b'matches': matches, b'len': len(common)}


MAX_LCS_CELLS = 1 << 24
"""What is computed is a table of this size, while everybody waits."""


def _longest_common_subsequence(a: bytes, b: bytes) -> tuple[bytes, list[tuple[int, int, int]]]:
    """Return the subsequence, and the ranges it consists of, last first: begin in `a`, begin in `b`, length."""
    lengths = [[0] * (len(b) + 1)]
    for byte in a:
        above = lengths[-1]
        line = [0]
        for j, other in enumerate(b, 1):
            line.append(above[j - 1] + 1 if byte == other else max(above[j], line[j - 1]))
        lengths.append(line)
    common = bytearray()
    ranges: list[tuple[int, int, int]] = []
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            common.append(a[i - 1])
            i -= 1
            j -= 1
            if ranges and ranges[-1][0] == i + 1 and ranges[-1][1] == j + 1:
                ranges[-1] = (i, j, ranges[-1][2] + 1)
            else:
                ranges.append((i, j, 1))
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return bytes(reversed(common)), ranges


def _check_length(length: int) -> None:
    if length > MAX_LENGTH:
        raise ReplyError('ERR string exceeds maximum allowed size (proto-max-bulk-len)')


COMMANDS = (
    row('get', get, 2, 'readonly fast', 1, 1, 1),
    row('set', set_, -3, 'write denyoom', 1, 1, 1),
    row('setnx', setnx, 3, 'write denyoom fast', 1, 1, 1),
    row('setex', partial(_set_with_time, unit=1000), 4, 'write denyoom', 1, 1, 1),
    row('psetex', partial(_set_with_time, unit=1), 4, 'write denyoom', 1, 1, 1),
    row('getset', getset, 3, 'write denyoom fast', 1, 1, 1),
    row('getdel', getdel, 2, 'write fast', 1, 1, 1),
    row('getex', getex, -2, 'write fast', 1, 1, 1),
    row('mget', mget, -2, 'readonly fast', 1, -1, 1),
    row('mset', mset, -3, 'write denyoom', 1, -1, 2),
    row('msetnx', msetnx, -3, 'write denyoom', 1, -1, 2),
    row('append', append, 3, 'write denyoom fast', 1, 1, 1),
    row('strlen', strlen, 2, 'readonly fast', 1, 1, 1),
    row('setrange', setrange, 4, 'write denyoom', 1, 1, 1),
    row('getrange', getrange, 4, 'readonly', 1, 1, 1),
    row('substr', getrange, 4, 'readonly', 1, 1, 1),
    row('incr', partial(_increment, 1), 2, 'write denyoom fast', 1, 1, 1),
    row('decr', partial(_increment, -1), 2, 'write denyoom fast', 1, 1, 1),
    row('incrby', partial(_increment, 1), 3, 'write denyoom fast', 1, 1, 1),
    row('decrby', partial(_increment, -1), 3, 'write denyoom fast', 1, 1, 1),
    row('incrbyfloat', incrbyfloat, 3, 'write denyoom fast', 1, 1, 1),
    row('lcs', lcs, -3, 'readonly', 1, 2, 1),
)
