"""Commands of the set group."""

from __future__ import annotations

import random
from collections.abc import Iterable

from rq_leveldb.store.arguments import MAX_INTEGER, integer
from rq_leveldb.store.command import row
from rq_leveldb.store.commands.scanning import MAX_REPETITIONS, ScanOptions, check_cursor, count_out_of_range
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Pieces, Reply, ReplyError, SetReply, out_of_range, syntax_error
from rq_leveldb.store.types.set import Set

_LARGE = 1000
"""Elements from which on a reply is made while it is sent."""


def sadd(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed_or_new(argv[1], Set)
    added = 0
    for member in argv[2:]:
        added += value.add(member)
    if added:
        ctx.changed(value)
    return added


def srem(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Set)
    if value is None:
        return 0
    removed = 0
    for member in argv[2:]:
        removed += value.remove(member)
    if removed:
        ctx.changed(value)
    return removed


def smembers(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Set)
    return SetReply() if value is None else _members_reply(value)


def sismember(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Set)
    return int(value is not None and argv[2] in value)


def smismember(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Set)
    return [int(value is not None and member in value) for member in argv[2:]]


def scard(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Set)
    return 0 if value is None else len(value)


def smove(ctx: Context, argv: list[bytes]) -> Reply:
    source = ctx.typed(argv[1], Set)
    if source is None:
        return 0
    target = ctx.typed_or_new(argv[2], Set)
    if source is target:
        return int(argv[3] in source)
    if not source.remove(argv[3]):
        return 0
    ctx.changed(source)
    if target.add(argv[3]):
        ctx.changed(target)
    return 1


def spop(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    if len(argv) == 2:
        value = ctx.typed(argv[1], Set)
        if value is None:
            return None
        member = value.draw(1)[0]
        value.remove(member)
        ctx.changed(value)
        return member
    count = _count(argv[2])
    value = ctx.typed(argv[1], Set)
    if value is None or count == 0:
        return SetReply()
    if count >= len(value):
        reply = _members_reply(value)
        ctx.delete(argv[1])
        return reply
    members = value.draw(count)
    for member in members:
        value.remove(member)
    ctx.changed(value)
    return SetReply(members)


def srandmember(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    if len(argv) == 2:
        value = ctx.typed(argv[1], Set)
        return None if value is None else value.draw(1)[0]
    count = integer(argv[2])
    if count < -MAX_INTEGER:
        raise count_out_of_range()
    value = ctx.typed(argv[1], Set)
    if value is None or count == 0:
        return []
    if count > 0:
        if count > _LARGE and count >= len(value):
            return Pieces(len(value), iter(value))
        return value.draw(count)
    # With repetitions, as many as asked for: made while it is sent.
    if -count > MAX_REPETITIONS:
        raise out_of_range()
    members = list(value)
    return Pieces(-count, (random.choice(members) for _ in range(-count if members else 0)))


def sscan(ctx: Context, argv: list[bytes]) -> Reply:
    check_cursor(argv[2])
    value = ctx.typed(argv[1], Set)
    if value is None:
        return [b'0', []]
    options = ScanOptions.read(argv, 2)
    end, members = value.page(options.cursor, options.count)
    return [b'%d' % end, [member for member in members if options.matches(member)]]


def sinter(ctx: Context, argv: list[bytes]) -> Reply:
    return SetReply(_intersection(_sets(ctx, argv[1:])))


def sinterstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], _intersection(_sets(ctx, argv[2:])))


def sintercard(ctx: Context, argv: list[bytes]) -> Reply:
    try:
        number = integer(argv[1])
    except ReplyError:
        number = 0
    if number < 1:
        raise ReplyError('ERR numkeys should be greater than 0')
    if number > len(argv) - 2:
        raise ReplyError("ERR Number of keys can't be greater than number of args")
    limit = 0
    index = 2 + number
    while index < len(argv):
        if argv[index].upper() != b'LIMIT' or index + 1 >= len(argv):
            raise syntax_error()
        try:
            limit = integer(argv[index + 1])
        except ReplyError:
            limit = -1
        if limit < 0:
            raise ReplyError("ERR LIMIT can't be negative")
        index += 2
    cardinality = 0
    for _ in _intersection(_sets(ctx, argv[2 : 2 + number])):
        cardinality += 1
        if cardinality == limit:
            break
    return cardinality


def sunion(ctx: Context, argv: list[bytes]) -> Reply:
    return SetReply(_union(_sets(ctx, argv[1:])))


def sunionstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], _union(_sets(ctx, argv[2:])))


def sdiff(ctx: Context, argv: list[bytes]) -> Reply:
    return SetReply(_difference(_sets(ctx, argv[1:])))


def sdiffstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], _difference(_sets(ctx, argv[2:])))


def _count(argument: bytes) -> int:
    try:
        count = integer(argument)
    except ReplyError:
        count = -1
    if count < 0:
        raise ReplyError('ERR value is out of range, must be positive')
    return count


def _members_reply(value: Set) -> Reply:
    if len(value) > _LARGE:
        return Pieces(len(value), iter(value), 'set')
    return SetReply(value)


def _sets(ctx: Context, keys: list[bytes]) -> list[Set | None]:
    return [ctx.typed(key, Set) for key in keys]


def _intersection(sets: list[Set | None]) -> Iterable[bytes]:
    known = [value for value in sets if value is not None]
    if len(known) < len(sets):
        return ()
    smallest, *others = sorted(known, key=len)
    return (member for member in smallest if all(member in other for other in others))


def _union(sets: list[Set | None]) -> Iterable[bytes]:
    return dict.fromkeys(member for value in sets if value is not None for member in value)


def _difference(sets: list[Set | None]) -> Iterable[bytes]:
    first, *others = sets
    if first is None:
        return ()
    subtracted = [value for value in others if value is not None]
    return (member for member in first if not any(member in other for other in subtracted))


def _store(ctx: Context, key: bytes, members: Iterable[bytes]) -> int:
    result = Set(ctx.keys.overlay, 0)
    for member in members:
        result.add(member)
    if len(result) == 0:
        ctx.delete(key)
        return 0
    ctx.put(key, result)
    return len(result)


COMMANDS = (
    row('sadd', sadd, -3, 'write denyoom fast', 1, 1, 1),
    row('srem', srem, -3, 'write fast', 1, 1, 1),
    row('smembers', smembers, 2, 'readonly', 1, 1, 1),
    row('sismember', sismember, 3, 'readonly fast', 1, 1, 1),
    row('smismember', smismember, -3, 'readonly fast', 1, 1, 1),
    row('scard', scard, 2, 'readonly fast', 1, 1, 1),
    row('smove', smove, 4, 'write fast', 1, 2, 1),
    row('spop', spop, -2, 'write fast', 1, 1, 1),
    row('srandmember', srandmember, -2, 'readonly', 1, 1, 1),
    row('sscan', sscan, -3, 'readonly', 1, 1, 1),
    row('sinter', sinter, -2, 'readonly', 1, -1, 1),
    row('sinterstore', sinterstore, -3, 'write denyoom', 1, -1, 1),
    row('sintercard', sintercard, -3, 'readonly movablekeys'),
    row('sunion', sunion, -2, 'readonly', 1, -1, 1),
    row('sunionstore', sunionstore, -3, 'write denyoom', 1, -1, 1),
    row('sdiff', sdiff, -2, 'readonly', 1, -1, 1),
    row('sdiffstore', sdiffstore, -3, 'write denyoom', 1, -1, 1),
)
