"""Commands of the set group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice

from rq_leveldb.store.arguments import is_integer, limit_option, positive
from rq_leveldb.store.commands.members import length, random_members, remove_members
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.commands.scanning import ScanOptions, check_cursor
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import MAX_WHOLE, Pieces, Reply, SetReply, no_keys, syntax_error, too_many_keys
from rq_leveldb.store.types.set import Set

Operation = Callable[['list[Set]'], Iterable[bytes]]


def sadd(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed_or_new(argv[1], Set)
    return ctx.keys.changed_by(value, sum(map(value.add, argv[2:])))


def smembers(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], Set)
    return SetReply() if value is None else _members_reply(value)  # RQ asks for the dependents of every job


def sismember(ctx: Context, argv: list[bytes]) -> Reply:
    return int(argv[2] in ctx.read(argv[1], Set))


def smismember(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.read(argv[1], Set)
    return [int(member in value) for member in argv[2:]]


def smove(ctx: Context, argv: list[bytes]) -> Reply:
    source = ctx.typed(argv[1], Set)
    if source is None:
        return 0
    target = ctx.typed_or_new(argv[2], Set)
    if source is target:
        return int(argv[3] in source)
    if not source.delete(argv[3]):
        return 0
    ctx.keys.changed(source)
    if target.add(argv[3]):
        ctx.keys.changed(target)
    return 1


def spop(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    single = len(argv) == 2
    count = 1 if single else positive(argv[2])
    value = ctx.typed(argv[1], Set)
    if value is None or count == 0:
        return None if single else SetReply()
    if count >= len(value) and not single:
        reply = _members_reply(value)
        ctx.delete(argv[1])
        return reply
    members = [member for member, _ in value.draw(count)]
    for member in members:
        value.delete(member)
    ctx.keys.changed(value)
    return members[0] if single else SetReply(members)


def srandmember(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    return random_members(ctx, argv, Set)


def sscan(ctx: Context, argv: list[bytes]) -> Reply:
    check_cursor(argv[2])
    value = ctx.typed(argv[1], Set)
    if value is None:
        return [b'0', []]
    options = ScanOptions.read(argv, 2)
    end, members = value.page(options.cursor, options.count)
    return [b'%d' % end, [member for member, _ in members if options.matches(member)]]


def sintercard(ctx: Context, argv: list[bytes]) -> Reply:
    number = int(argv[1]) if is_integer(argv[1]) else 0
    if number < 1:
        raise no_keys()
    if number > len(argv) - 2:
        raise too_many_keys()
    limit = limit_option(argv, 2 + number)
    return sum(1 for _ in islice(_intersection(_sets(ctx, argv[2 : 2 + number])), limit))


def _members_reply(value: Set) -> Reply:
    if len(value) > MAX_WHOLE:
        return Pieces(len(value), iter(value), 'set')
    return SetReply(value)


def _sets(ctx: Context, keys: list[bytes]) -> list[Set]:
    return [ctx.read(key, Set) for key in keys]


def _intersection(sets: list[Set]) -> Iterable[bytes]:
    smallest, *others = sorted(sets, key=len)
    return (member for member in smallest if all(member in other for other in others))


def _union(sets: list[Set]) -> Iterable[bytes]:
    return dict.fromkeys(member for value in sets for member in value)


def _difference(sets: list[Set]) -> Iterable[bytes]:
    first, *others = sets
    return (member for member in first if not any(member in other for other in others))


def _combine(ctx: Context, argv: list[bytes], operation: Operation) -> Reply:
    return SetReply(operation(_sets(ctx, argv[1:])))


def _combine_and_store(ctx: Context, argv: list[bytes], operation: Operation) -> Reply:
    result = ctx.keys.new(Set)
    for member in operation(_sets(ctx, argv[2:])):
        result.add(member)
    return ctx.store(argv[1], result)


COMMANDS = (
    row('sadd', sadd, -3, 'write denyoom fast', 1, 1, 1),
    row('srem', partial(remove_members, Set), -3, 'write fast', 1, 1, 1),
    row('smembers', smembers, 2, 'readonly', 1, 1, 1),
    row('sismember', sismember, 3, 'readonly fast', 1, 1, 1),
    row('smismember', smismember, -3, 'readonly fast', 1, 1, 1),
    row('scard', partial(length, Set), 2, 'readonly fast', 1, 1, 1),
    row('smove', smove, 4, 'write fast', 1, 2, 1),
    row('spop', spop, -2, 'write fast', 1, 1, 1),
    row('srandmember', srandmember, -2, 'readonly', 1, 1, 1),
    row('sscan', sscan, -3, 'readonly', 1, 1, 1),
    row('sinter', partial(_combine, operation=_intersection), -2, 'readonly', 1, -1, 1),
    row('sinterstore', partial(_combine_and_store, operation=_intersection), -3, 'write denyoom', 1, -1, 1),
    row('sintercard', sintercard, -3, 'readonly movablekeys'),
    row('sunion', partial(_combine, operation=_union), -2, 'readonly', 1, -1, 1),
    row('sunionstore', partial(_combine_and_store, operation=_union), -3, 'write denyoom', 1, -1, 1),
    row('sdiff', partial(_combine, operation=_difference), -2, 'readonly', 1, -1, 1),
    row('sdiffstore', partial(_combine_and_store, operation=_difference), -3, 'write denyoom', 1, -1, 1),
)
