"""Commands of the list group."""

from __future__ import annotations

from functools import partial
from itertools import islice

from rq_leveldb.store import arguments
from rq_leveldb.store.commands.members import length
from rq_leveldb.store.commands.popping import blocking_pop, pop_from_first
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.commands.scanning import count_out_of_range
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import (
    MAX_WHOLE,
    NULL_ARRAY,
    OK,
    Pieces,
    Reply,
    ReplyError,
    no_such_key,
    syntax_error,
    wrong_arity,
)
from rq_leveldb.store.types.list import List

# -- the ends


def _push(left: bool, ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed_or_new(argv[1], List)
    for element in argv[2:]:
        value.push(element, left)
    ctx.keys.changed(value)
    return len(value)


def _push_if_there(ctx: Context, argv: list[bytes], left: bool) -> Reply:
    return 0 if ctx.typed(argv[1], List) is None else _push(left, ctx, argv)


def _pop(ctx: Context, argv: list[bytes], left: bool) -> Reply:
    if len(argv) > 3:
        raise wrong_arity('lpop' if left else 'rpop')
    count = None if len(argv) == 2 else arguments.positive(argv[2])
    value = ctx.typed(argv[1], List)
    if value is None:
        return None if count is None else NULL_ARRAY
    if count is None:
        element = value.pop(left)
        ctx.keys.changed(value)
        return element
    return _pop_many(ctx, value, left, count)


def _pop_many(ctx: Context, value: List, left: bool, count: int) -> Reply:
    count = min(count, len(value))
    if count == 0:
        return []
    reply: Reply
    if count > MAX_WHOLE:
        # The elements are read while being sent, from the database as it is now.
        start = 0 if left else len(value) - count
        reply = Pieces(count, value.iterate(start, start + count, reverse=not left))
        value.trim(*((count, len(value)) if left else (0, start)))
    else:
        reply = value.pop_many(left, count)
    ctx.keys.changed(value)
    return reply


# -- by index


def lindex(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], List)
    return None if value is None else value.get(arguments.integer(argv[2]))


def lset(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], List)
    if value is None:
        raise no_such_key()
    # Redis keeps the last 32 bits of the index.
    index = (arguments.integer(argv[2]) + (1 << 31)) % (1 << 32) - (1 << 31)
    if not value.set(index, argv[3]):
        raise ReplyError('ERR index out of range')
    ctx.keys.changed(value)
    return OK


def lrange(ctx: Context, argv: list[bytes]) -> Reply:
    first, last = arguments.integer(argv[2]), arguments.integer(argv[3])
    value = ctx.read(argv[1], List)
    start, stop = arguments.slice_bounds(first, last, len(value))
    if stop - start > MAX_WHOLE:
        return Pieces(stop - start, value.iterate(start, stop))
    return value.range(start, stop)


def ltrim(ctx: Context, argv: list[bytes]) -> Reply:
    first, last = arguments.integer(argv[2]), arguments.integer(argv[3])
    value = ctx.typed(argv[1], List)
    if value is not None:
        value.trim(*arguments.slice_bounds(first, last, len(value)))
        ctx.keys.changed(value)
    return OK


# -- by element


def lrem(ctx: Context, argv: list[bytes]) -> Reply:
    count = arguments.integer(argv[2])
    if count == arguments.MIN_INTEGER:
        raise count_out_of_range()
    value = ctx.typed(argv[1], List)
    return 0 if value is None else ctx.keys.changed_by(value, value.remove(argv[3], count))


def linsert(ctx: Context, argv: list[bytes]) -> Reply:
    where = argv[2].upper()
    if where not in (b'BEFORE', b'AFTER'):
        raise syntax_error()
    value = ctx.typed(argv[1], List)
    if value is None:
        return 0
    if not value.insert(argv[3], argv[4], where == b'AFTER'):
        return -1
    ctx.keys.changed(value)
    return len(value)


def _rank(argument: bytes) -> int:
    rank = arguments.integer(argument)
    if rank == arguments.MIN_INTEGER:
        raise count_out_of_range()
    if rank == 0:
        raise ReplyError(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
            'or use negative to start from the end of the list'
        )
    return rank


def lpos(ctx: Context, argv: list[bytes]) -> Reply:
    given = arguments.Options(argv, 3).all(
        {
            b'RANK': _rank,
            b'COUNT': partial(arguments.positive, error="ERR COUNT can't be negative"),
            b'MAXLEN': partial(arguments.positive, error="ERR MAXLEN can't be negative"),
        }
    )
    rank, count = given.get(b'RANK', 1), given.get(b'COUNT')
    value = ctx.typed(argv[1], List)
    if value is None:
        return None if count is None else []
    found = value.indices(argv[2], rank < 0, given.get(b'MAXLEN', 0))
    skipped = islice(found, min(abs(rank) - 1, len(value)), None)
    if count is None:
        return next(skipped, None)
    return list(islice(skipped, count or None))


# -- from list to list


def lmove(ctx: Context, argv: list[bytes]) -> Reply:
    return _move(ctx, argv[1], argv[2], _is_left(argv[3]), _is_left(argv[4]))


def rpoplpush(ctx: Context, argv: list[bytes]) -> Reply:
    return _move(ctx, argv[1], argv[2], False, True)


def _is_left(argument: bytes) -> bool:
    side = argument.upper()
    if side not in (b'LEFT', b'RIGHT'):
        raise syntax_error()
    return side == b'LEFT'


def _move(ctx: Context, source_key: bytes, target_key: bytes, from_left: bool, to_left: bool) -> bytes | None:
    source = ctx.typed(source_key, List)
    if source is None:
        return None
    target = ctx.typed_or_new(target_key, List)
    element = source.pop(from_left)
    if element is not None:
        target.push(element, to_left)
    if source is not target:
        ctx.keys.changed(source)
    ctx.keys.changed(target)
    return element


# -- blocking


def _blocking_pop(ctx: Context, argv: list[bytes], left: bool) -> Reply:
    return blocking_pop(ctx, argv, List, lambda value: [value.pop(left)])


def blmove(ctx: Context, argv: list[bytes]) -> Reply:
    from_left, to_left = _is_left(argv[3]), _is_left(argv[4])
    return _blocking_move(ctx, argv, from_left, to_left, arguments.timeout(argv[5]))


def brpoplpush(ctx: Context, argv: list[bytes]) -> Reply:
    return _blocking_move(ctx, argv, False, True, arguments.timeout(argv[3]))


def _blocking_move(ctx: Context, argv: list[bytes], from_left: bool, to_left: bool, timeout: float) -> Reply:
    source_key, target_key = argv[1], argv[2]
    # Redis answers one kind of null if it may not block and the other after it has blocked.
    timeout_reply = NULL_ARRAY if ctx.may_block else None
    return ctx.block_for(
        [source_key], List, timeout, lambda: _move(ctx, source_key, target_key, from_left, to_left), timeout_reply
    )


_pop_from_first = partial(pop_from_first, type_=List, ends=(b'LEFT', b'RIGHT'), pop=_pop_many)

COMMANDS = (
    row('lpush', partial(_push, True), -3, 'write denyoom fast', 1, 1, 1),
    row('rpush', partial(_push, False), -3, 'write denyoom fast', 1, 1, 1),
    row('lpushx', partial(_push_if_there, left=True), -3, 'write denyoom fast', 1, 1, 1),
    row('rpushx', partial(_push_if_there, left=False), -3, 'write denyoom fast', 1, 1, 1),
    row('lpop', partial(_pop, left=True), -2, 'write fast', 1, 1, 1),
    row('rpop', partial(_pop, left=False), -2, 'write fast', 1, 1, 1),
    row('llen', partial(length, List), 2, 'readonly fast', 1, 1, 1),
    row('lindex', lindex, 3, 'readonly', 1, 1, 1),
    row('lset', lset, 4, 'write denyoom', 1, 1, 1),
    row('lrange', lrange, 4, 'readonly', 1, 1, 1),
    row('lrem', lrem, 4, 'write', 1, 1, 1),
    row('ltrim', ltrim, 4, 'write', 1, 1, 1),
    row('linsert', linsert, 5, 'write denyoom', 1, 1, 1),
    row('lpos', lpos, -3, 'readonly', 1, 1, 1),
    row('lmove', lmove, 5, 'write denyoom', 1, 2, 1),
    row('rpoplpush', rpoplpush, 3, 'write denyoom', 1, 2, 1),
    row('lmpop', partial(_pop_from_first, blocking=False), -4, 'write movablekeys'),
    row('blpop', partial(_blocking_pop, left=True), -3, 'write blocking', 1, -2, 1),
    row('brpop', partial(_blocking_pop, left=False), -3, 'write blocking', 1, -2, 1),
    row('blmove', blmove, 6, 'write denyoom blocking', 1, 2, 1),
    row('brpoplpush', brpoplpush, 4, 'write denyoom blocking', 1, 2, 1),
    row('blmpop', partial(_pop_from_first, blocking=True), -5, 'write blocking movablekeys'),
)
