"""Commands of the sorted set group."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from rq_leveldb.store import arguments
from rq_leveldb.store.command import row
from rq_leveldb.store.commands.scanning import MAX_REPETITIONS, ScanOptions, check_cursor, count_out_of_range
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import (
    NULL_ARRAY,
    Pieces,
    Reply,
    ReplyError,
    out_of_range,
    syntax_error,
    wrong_type,
)
from rq_leveldb.store.types.set import Set
from rq_leveldb.store.types.sorted_set import MemberBound, SortedSet, score_bounds, split

MAX_WHOLE_REPLY = 1000
"""How many entries a reply may have that is in memory at once."""

_ZADD_FLAGS = frozenset((b'NX', b'XX', b'GT', b'LT', b'CH', b'INCR'))


# -- one member


def zadd(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 4 and argv[2].upper() not in _ZADD_FLAGS:
        # One member and no flag, as nearly always.
        score = arguments.score(argv[2])
        value = ctx.typed_or_new(argv[1], SortedSet)
        new = value.set(argv[3], score)
        if new is not None:
            ctx.changed(value)
        return 1 if new else 0
    return _add_many(ctx, argv)


def _add_many(ctx: Context, argv: list[bytes]) -> Reply:
    index = 2
    flags = set()
    while index < len(argv) and argv[index].upper() in _ZADD_FLAGS:
        flags.add(argv[index].upper())
        index += 1
    pairs = argv[index:]
    if not pairs or len(pairs) % 2:
        raise syntax_error()
    if flags:
        return _add_with_flags(ctx, argv[1], pairs, flags)
    scores = [arguments.score(score) for score in pairs[::2]]
    value = ctx.typed_or_new(argv[1], SortedSet)
    added = 0
    changed = False
    for score, member in zip(scores, pairs[1::2], strict=True):
        new = value.set(member, score)
        if new:
            added += 1
        changed = changed or new is not None
    if changed:
        ctx.changed(value)
    return added


def _add_with_flags(ctx: Context, key: bytes, pairs: list[bytes], flags: set[bytes]) -> Reply:
    only_new, only_old = b'NX' in flags, b'XX' in flags
    greater, less = b'GT' in flags, b'LT' in flags
    if only_new and only_old:
        raise ReplyError('ERR XX and NX options at the same time are not compatible')
    if greater + less + only_new > 1:
        raise ReplyError('ERR GT, LT, and/or NX options at the same time are not compatible')
    increment = b'INCR' in flags
    if increment and len(pairs) > 2:
        raise ReplyError('ERR INCR option supports a single increment-element pair')
    scores = [arguments.score(score) for score in pairs[::2]]
    value = ctx.typed(key, SortedSet) if only_old else ctx.typed_or_new(key, SortedSet)
    if value is None:
        return None if increment else 0
    added = updated = 0
    processed: float | None = None
    for score, member in zip(scores, pairs[1::2], strict=True):
        old = value.score(member)
        if old is None:
            if only_old:
                continue
        else:
            if only_new:
                continue
            if increment:
                score = _sum(old, score)
            if (greater and score <= old) or (less and score >= old):
                continue
        new = value.set(member, score)
        added += new is True
        updated += new is False
        processed = score
    if added or updated:
        ctx.changed(value)
    if increment:
        return processed
    return added + updated if b'CH' in flags else added


def _sum(score: float, increment: float) -> float:
    result = score + increment
    if math.isnan(result):
        raise ReplyError('ERR resulting score is not a number (NaN)')
    return result


def zincrby(ctx: Context, argv: list[bytes]) -> Reply:
    return _add_with_flags(ctx, argv[1], argv[2:], {b'INCR'})


def zrem(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], SortedSet)
    if value is None:
        return 0
    removed = 0
    for member in argv[2:]:
        removed += value.delete(member)
    if removed:
        ctx.changed(value)
    return removed


def zcard(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], SortedSet)
    return 0 if value is None else len(value)


def zscore(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], SortedSet)
    return None if value is None else value.score(argv[2])


def zmscore(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], SortedSet)
    return [None if value is None else value.score(member) for member in argv[2:]]


def zrank(ctx: Context, argv: list[bytes]) -> Reply:
    return _rank(ctx, argv, False)


def zrevrank(ctx: Context, argv: list[bytes]) -> Reply:
    return _rank(ctx, argv, True)


def _rank(ctx: Context, argv: list[bytes], reverse: bool) -> Reply:
    if len(argv) > 4:
        raise ReplyError(f"ERR wrong number of arguments for '{'zrevrank' if reverse else 'zrank'}' command")
    with_score = len(argv) == 4
    if with_score and argv[3].upper() != b'WITHSCORE':
        raise syntax_error()
    value = ctx.typed(argv[1], SortedSet)
    rank = None if value is None else value.rank(argv[2], reverse)
    if value is None or rank is None:
        return NULL_ARRAY if with_score else None
    return [rank, value.score(argv[2])] if with_score else rank


# -- ranges


@dataclass(frozen=True, slots=True)
class _Range:
    """What a range command asks for.

    :ivar find: gives the entries, as often as it is called
    """

    find: Callable[[SortedSet], Iterator[bytes]]
    with_scores: bool

    @classmethod
    def read(
        cls,
        argv: list[bytes],
        start: int,
        by: bytes | None = None,
        reverse: bool | None = None,
        store: bool = False,
    ) -> _Range:
        """:param start: index of the first bound
        :param by: RANK, SCORE or LEX where the command's name says it
        :param reverse: where the command's name says it
        """
        chosen = by
        backwards = bool(reverse)
        with_scores = False
        offset, limit = 0, -1
        limited = False
        index = start + 2
        while index < len(argv):
            option = argv[index].upper()
            if option == b'WITHSCORES' and not store:
                with_scores = True
            elif option == b'LIMIT' and index + 2 < len(argv):
                offset, limit = arguments.integer(argv[index + 1]), arguments.integer(argv[index + 2])
                limited = True
                index += 2
            elif reverse is None and option == b'REV' and not backwards:
                backwards = True
            elif by is None and chosen is None and option in (b'BYSCORE', b'BYLEX'):
                chosen = option[2:]
            else:
                raise syntax_error()
            index += 1
        chosen = chosen or b'RANK'
        if limited and limit != -1 and chosen == b'RANK':
            raise ReplyError('ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX')
        if with_scores and chosen == b'LEX':
            raise ReplyError('ERR syntax error, WITHSCORES not supported in combination with BYLEX')
        first, last = argv[start], argv[start + 1]
        if chosen == b'RANK':
            return cls(_by_rank(arguments.integer(first), arguments.integer(last), backwards), with_scores)
        if backwards:
            first, last = last, first
        find = _by_score(first, last, backwards) if chosen == b'SCORE' else _by_lex(first, last, backwards)
        return cls(_limited(find, offset, limit), with_scores)

    def reply(self, ctx: Context, value: SortedSet | None) -> Reply:
        if value is None:
            return []
        found = list(islice(self.find(value), MAX_WHOLE_REPLY + 1))
        if len(found) <= MAX_WHOLE_REPLY:
            return _entries_reply(ctx, found, self.with_scores)
        del found
        return _entries_pieces(ctx, sum(1 for _ in self.find(value)), self.find(value), self.with_scores)


def _by_rank(start: int, stop: int, reverse: bool) -> Callable[[SortedSet], Iterator[bytes]]:
    return lambda value: value.by_rank(*arguments.slice_bounds(start, stop, len(value)), reverse)


def _by_score(low: bytes, high: bytes, reverse: bool) -> Callable[[SortedSet], Iterator[bytes]]:
    bounds = score_bounds(*arguments.score_bound(low), *arguments.score_bound(high))
    return lambda value: value.entries(bounds, reverse)


def _by_lex(low: bytes, high: bytes, reverse: bool) -> Callable[[SortedSet], Iterator[bytes]]:
    first, last = _lex_bound(low), _lex_bound(high)
    if low == b'+' or high == b'-':
        return lambda value: iter(())
    return lambda value: value.lexical(first, last, reverse)


def _lex_bound(argument: bytes) -> MemberBound | None:
    if argument in (b'-', b'+'):
        return None
    if argument[:1] not in (b'[', b'('):
        raise ReplyError('ERR min or max not valid string range item')
    return argument[1:], argument[:1] == b'('


def _limited(
    find: Callable[[SortedSet], Iterator[bytes]], offset: int, limit: int
) -> Callable[[SortedSet], Iterator[bytes]]:
    if offset == 0 and limit < 0:
        return find
    if offset < 0:
        return lambda value: iter(())

    def limited(value: SortedSet) -> Iterator[bytes]:
        # Neither number is more than there is, so that their sum is none that islice refuses.
        skipped = min(offset, len(value))
        return islice(find(value), skipped, None if limit < 0 else skipped + min(limit, len(value)))

    return limited


def _entries_reply(ctx: Context, entries: Iterable[bytes], with_scores: bool) -> Reply:
    if not with_scores:
        return [split(entry)[0] for entry in entries]
    if ctx.resp3:
        return [list(split(entry)) for entry in entries]
    return [part for entry in entries for part in split(entry)]


def _entries_pieces(ctx: Context, count: int, entries: Iterator[bytes], with_scores: bool) -> Reply:
    if not with_scores:
        return Pieces(count, (split(entry)[0] for entry in entries))
    if ctx.resp3:
        return Pieces(count, (list(split(entry)) for entry in entries))
    return Pieces(2 * count, (part for entry in entries for part in split(entry)))


def zrange(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = _Range.read(argv, 2)
    return wanted.reply(ctx, ctx.typed(argv[1], SortedSet))


def zrevrange(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = _Range.read(argv, 2, b'RANK', True)
    return wanted.reply(ctx, ctx.typed(argv[1], SortedSet))


def zrangebyscore(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = _Range.read(argv, 2, b'SCORE', False)
    return wanted.reply(ctx, ctx.typed(argv[1], SortedSet))


def zrevrangebyscore(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = _Range.read(argv, 2, b'SCORE', True)
    return wanted.reply(ctx, ctx.typed(argv[1], SortedSet))


def zrangebylex(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = _Range.read(argv, 2, b'LEX', False)
    return wanted.reply(ctx, ctx.typed(argv[1], SortedSet))


def zrevrangebylex(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = _Range.read(argv, 2, b'LEX', True)
    return wanted.reply(ctx, ctx.typed(argv[1], SortedSet))


def zrangestore(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = _Range.read(argv, 3, store=True)
    source = ctx.typed(argv[2], SortedSet)
    entries = [] if source is None else list(wanted.find(source))
    return _store(ctx, argv[1], (split(entry) for entry in entries))


def _store(ctx: Context, key: bytes, members: Iterable[tuple[bytes, float]]) -> int:
    result = SortedSet(ctx.keys.overlay, ctx.keys.overlay.new_version())
    for member, score in members:
        result.set(member, score)
    if len(result) == 0:
        ctx.delete(key)
        return 0
    ctx.put(key, result)
    return len(result)


def zcount(ctx: Context, argv: list[bytes]) -> Reply:
    bounds = score_bounds(*arguments.score_bound(argv[2]), *arguments.score_bound(argv[3]))
    value = ctx.typed(argv[1], SortedSet)
    return 0 if value is None else value.count(bounds)


def zlexcount(ctx: Context, argv: list[bytes]) -> Reply:
    find = _by_lex(argv[2], argv[3], False)
    value = ctx.typed(argv[1], SortedSet)
    return 0 if value is None else sum(1 for _ in find(value))


def zremrangebyscore(ctx: Context, argv: list[bytes]) -> Reply:
    bounds = score_bounds(*arguments.score_bound(argv[2]), *arguments.score_bound(argv[3]))
    value = ctx.typed(argv[1], SortedSet)
    if value is None:
        return 0
    removed = value.remove_range(bounds)
    if removed:
        ctx.changed(value)
    return removed


def zremrangebyrank(ctx: Context, argv: list[bytes]) -> Reply:
    first, last = arguments.integer(argv[2]), arguments.integer(argv[3])
    value = ctx.typed(argv[1], SortedSet)
    if value is None:
        return 0
    start, stop = arguments.slice_bounds(first, last, len(value))
    if stop - start == len(value):
        value.clear()
    elif start == 0:
        value.pop(False, stop)
    elif stop == len(value):
        value.pop(True, stop - start)
    else:
        value.remove(list(value.by_rank(start, stop)))
    if stop > start:
        ctx.changed(value)
    return stop - start


def zremrangebylex(ctx: Context, argv: list[bytes]) -> Reply:
    find = _by_lex(argv[2], argv[3], False)
    value = ctx.typed(argv[1], SortedSet)
    if value is None:
        return 0
    entries = list(find(value))
    value.remove(entries)
    if entries:
        ctx.changed(value)
    return len(entries)


# -- the ends


def zpopmin(ctx: Context, argv: list[bytes]) -> Reply:
    return _pop(ctx, argv, False)


def zpopmax(ctx: Context, argv: list[bytes]) -> Reply:
    return _pop(ctx, argv, True)


def _pop(ctx: Context, argv: list[bytes], highest: bool) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    count = None if len(argv) == 2 else arguments.positive(argv[2])
    value = ctx.typed(argv[1], SortedSet)
    if value is None or count == 0:
        return []
    entries = value.pop(highest, 1 if count is None else min(count, len(value)))
    ctx.changed(value)
    if count is None:
        return list(split(entries[0]))
    return _entries_reply(ctx, entries, True)


def bzpopmin(ctx: Context, argv: list[bytes]) -> Reply:
    return _blocking_pop(ctx, argv, False)


def bzpopmax(ctx: Context, argv: list[bytes]) -> Reply:
    return _blocking_pop(ctx, argv, True)


def _blocking_pop(ctx: Context, argv: list[bytes], highest: bool) -> Reply:
    keys = argv[1:-1]

    def take() -> Reply:
        found = ctx.first(keys, SortedSet)
        return None if found is None else _pop_with_key(ctx, *found, highest)

    return ctx.block_for(keys, SortedSet, arguments.timeout(argv[-1]), take, NULL_ARRAY)


def _pop_with_key(ctx: Context, key: bytes, value: SortedSet, highest: bool) -> Reply:
    (entry,) = value.pop(highest)
    ctx.changed(value)
    return [key, *split(entry)]


def zmpop(ctx: Context, argv: list[bytes]) -> Reply:
    keys, highest, count = _many_pop_arguments(argv, 1)
    return _pop_first(ctx, keys, highest, count) or NULL_ARRAY


def bzmpop(ctx: Context, argv: list[bytes]) -> Reply:
    keys, highest, count = _many_pop_arguments(argv, 2)
    timeout = arguments.timeout(argv[1])
    return ctx.block_for(keys, SortedSet, timeout, lambda: _pop_first(ctx, keys, highest, count), NULL_ARRAY)


def _many_pop_arguments(argv: list[bytes], start: int) -> tuple[list[bytes], bool, int]:
    """:returns: keys, whether the highest, count"""
    keys, index = arguments.counted_keys(argv, start)
    end = argv[index].upper() if index < len(argv) else b''
    if end not in (b'MIN', b'MAX'):
        raise syntax_error()
    return keys, end == b'MAX', arguments.pop_count(argv, index + 1)


def _pop_first(ctx: Context, keys: list[bytes], highest: bool, count: int) -> Reply:
    found = ctx.first(keys, SortedSet)
    return None if found is None else _pop_many(ctx, *found, highest, count)


def _pop_many(ctx: Context, key: bytes, value: SortedSet, highest: bool, count: int) -> Reply:
    entries = value.pop(highest, min(count, len(value)))
    ctx.changed(value)
    return [key, [list(split(entry)) for entry in entries]]


# -- sets of sorted sets


def zunion(ctx: Context, argv: list[bytes]) -> Reply:
    return _combined_reply(ctx, argv, _union)


def zinter(ctx: Context, argv: list[bytes]) -> Reply:
    return _combined_reply(ctx, argv, _intersection)


def zdiff(ctx: Context, argv: list[bytes]) -> Reply:
    return _combined_reply(ctx, argv, _difference)


def zunionstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], _Combination.read(ctx, argv, 2, _union).result().items())


def zinterstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], _Combination.read(ctx, argv, 2, _intersection).result().items())


def zdiffstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], _Combination.read(ctx, argv, 2, _difference).result().items())


def zintercard(ctx: Context, argv: list[bytes]) -> Reply:
    operands, index = _operands(ctx, argv, 1)
    limit = 0
    while index < len(argv):
        if argv[index].upper() != b'LIMIT' or index + 1 == len(argv):
            raise syntax_error()
        limit = arguments.positive(argv[index + 1], "LIMIT can't be negative")
        index += 2
    return sum(1 for _ in islice(_common(operands), limit or None))


Operand = SortedSet | Set | None
Aggregate = Callable[[float, float], float]


def _add(one: float, other: float) -> float:
    # inf and -inf make nan, which Redis calls 0.
    total = one + other
    return 0.0 if math.isnan(total) else total


_AGGREGATES: dict[bytes, Aggregate] = {b'SUM': _add, b'MIN': min, b'MAX': max}


@dataclass(frozen=True, slots=True)
class _Combination:
    """A union, intersection or difference and what it is made of."""

    operation: Callable[[list[Operand], list[float], Aggregate], dict[bytes, float]]
    operands: list[Operand]
    weights: list[float]
    aggregate: Aggregate
    with_scores: bool

    @classmethod
    def read(
        cls,
        ctx: Context,
        argv: list[bytes],
        start: int,
        operation: Callable[[list[Operand], list[float], Aggregate], dict[bytes, float]],
    ) -> _Combination:
        """:param start: index of the number of keys: 1, or 2 where the result is stored"""
        operands, index = _operands(ctx, argv, start)
        weights = [1.0] * len(operands)
        aggregate = b'SUM'
        with_scores = False
        while index < len(argv):
            option = argv[index].upper()
            rest = len(argv) - index - 1
            if option == b'WEIGHTS' and operation is not _difference and rest >= len(operands):
                weights = [_weight(argument) for argument in argv[index + 1 : index + 1 + len(operands)]]
                index += len(operands)
            elif option == b'AGGREGATE' and operation is not _difference and rest >= 1:
                aggregate = argv[index + 1].upper()
                if aggregate not in _AGGREGATES:
                    raise syntax_error()
                index += 1
            elif option == b'WITHSCORES' and start == 1:
                with_scores = True
            else:
                raise syntax_error()
            index += 1
        return cls(operation, operands, weights, _AGGREGATES[aggregate], with_scores)

    def result(self) -> dict[bytes, float]:
        return self.operation(self.operands, self.weights, self.aggregate)


def _weight(argument: bytes) -> float:
    try:
        return arguments.floating(argument)
    except ReplyError:
        raise ReplyError('ERR weight value is not a float') from None


def _operands(ctx: Context, argv: list[bytes], index: int) -> tuple[list[Operand], int]:
    """:returns: what the keys hold, and the index behind them"""
    count = arguments.integer(argv[index])
    if count < 1:
        name = argv[0].decode('latin-1').lower()
        raise ReplyError(f"ERR at least 1 input key is needed for '{name}' command")
    end = index + 1 + count
    if end > len(argv):
        raise syntax_error()
    operands: list[Operand] = []
    for key in argv[index + 1 : end]:
        value = ctx.find(key)
        if value is not None and not isinstance(value, (SortedSet, Set)):
            raise wrong_type()
        operands.append(value)
    return operands, end


def _scores(operand: Operand) -> Iterator[tuple[bytes, float]]:
    if isinstance(operand, SortedSet):
        return (split(entry) for entry in operand.entries())
    return ((member, 1.0) for member in operand or ())


def _score(operand: Operand, member: bytes) -> float | None:
    if isinstance(operand, SortedSet):
        return operand.score(member)
    return 1.0 if operand is not None and member in operand else None


def _weighted(weight: float, score: float) -> float:
    product = weight * score
    return 0.0 if math.isnan(product) else product


def _smallest_first(operands: list[Operand], weights: list[float]) -> list[tuple[Operand, float]]:
    """The order in which Redis adds up, on which a sum of fractions or infinities depends."""
    return sorted(zip(operands, weights, strict=True), key=lambda pair: 0 if pair[0] is None else len(pair[0]))


def _union(operands: list[Operand], weights: list[float], aggregate: Aggregate) -> dict[bytes, float]:
    result: dict[bytes, float] = {}
    for operand, weight in _smallest_first(operands, weights):
        for member, score in _scores(operand):
            old = result.get(member)
            new = _weighted(weight, score)
            result[member] = new if old is None else aggregate(old, new)
    return result


def _common(operands: list[Operand]) -> Iterator[bytes]:
    """:returns: the members that all have"""
    known = [operand for operand in operands if operand is not None]
    if len(known) < len(operands):
        return
    smallest = min(known, key=len)
    for member, _ in _scores(smallest):
        if all(operand is smallest or member in operand for operand in known):
            yield member


def _intersection(operands: list[Operand], weights: list[float], aggregate: Aggregate) -> dict[bytes, float]:
    (first, first_weight), *others = _smallest_first(operands, weights)
    result: dict[bytes, float] = {}
    for member in _common(operands):
        total = _weighted(first_weight, _score(first, member) or 0.0)
        for operand, weight in others:
            total = aggregate(total, weight * (_score(operand, member) or 0.0))
        result[member] = total
    return result


def _difference(operands: list[Operand], weights: list[float], aggregate: Aggregate) -> dict[bytes, float]:
    first, *others = operands
    subtracted = [operand for operand in others if operand is not None]
    return {member: score for member, score in _scores(first) if not any(member in operand for operand in subtracted)}


def _combined_reply(
    ctx: Context,
    argv: list[bytes],
    operation: Callable[[list[Operand], list[float], Aggregate], dict[bytes, float]],
) -> Reply:
    combination = _Combination.read(ctx, argv, 1, operation)
    ordered = sorted(combination.result().items(), key=lambda item: (item[1], item[0]))
    return _items_reply(ctx, ordered, combination.with_scores)


def _items_reply(ctx: Context, items: list[tuple[bytes, float]], with_scores: bool) -> Reply:
    if not with_scores:
        return [member for member, _ in items]
    if ctx.resp3:
        return [list(item) for item in items]
    return [part for item in items for part in item]


# -- without order


def zrandmember(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 2:
        value = ctx.typed(argv[1], SortedSet)
        return None if value is None else value.draw(1)[0][0]
    count = arguments.integer(argv[2])
    if count < -arguments.MAX_INTEGER:
        raise count_out_of_range()
    with_scores = len(argv) == 4
    if len(argv) > 4 or (with_scores and argv[3].upper() != b'WITHSCORES'):
        raise syntax_error()
    if with_scores and abs(count) > arguments.MAX_INTEGER // 2:
        raise out_of_range()
    value = ctx.typed(argv[1], SortedSet)
    if value is None or count == 0:
        return []
    if count > 0:
        if count >= len(value) > MAX_WHOLE_REPLY:
            return _entries_pieces(ctx, len(value), value.entries(), with_scores)
        return _items_reply(ctx, value.draw(count), with_scores)
    # With repetitions, as many as asked for: made while it is sent.
    if -count > MAX_REPETITIONS:
        raise out_of_range()
    members = list(value.entries())
    drawn = (random.choice(members) for _ in range(-count if members else 0))
    return _entries_pieces(ctx, -count, drawn, with_scores)


def zscan(ctx: Context, argv: list[bytes]) -> Reply:
    check_cursor(argv[2])
    value = ctx.typed(argv[1], SortedSet)
    if value is None:
        return [b'0', []]
    options = ScanOptions.read(argv, 2)
    if value.encoding_name(ctx.services.settings.layout) == b'listpack':
        # A small one comes as a whole, whatever the cursor.
        end, items = 0, list(map(split, value.entries()))
    else:
        end, items = value.page(options.cursor, options.count)
    return [
        b'%d' % end,
        [part for member, score in items if options.matches(member) for part in (member, arguments.float_reply(score))],
    ]


COMMANDS = (
    row('zadd', zadd, -4, 'write denyoom fast', 1, 1, 1),
    row('zincrby', zincrby, 4, 'write denyoom fast', 1, 1, 1),
    row('zrem', zrem, -3, 'write fast', 1, 1, 1),
    row('zcard', zcard, 2, 'readonly fast', 1, 1, 1),
    row('zscore', zscore, 3, 'readonly fast', 1, 1, 1),
    row('zmscore', zmscore, -3, 'readonly fast', 1, 1, 1),
    row('zrank', zrank, -3, 'readonly fast', 1, 1, 1),
    row('zrevrank', zrevrank, -3, 'readonly fast', 1, 1, 1),
    row('zcount', zcount, 4, 'readonly fast', 1, 1, 1),
    row('zlexcount', zlexcount, 4, 'readonly fast', 1, 1, 1),
    row('zrange', zrange, -4, 'readonly', 1, 1, 1),
    row('zrangestore', zrangestore, -5, 'write denyoom', 1, 2, 1),
    row('zrevrange', zrevrange, -4, 'readonly', 1, 1, 1),
    row('zrangebyscore', zrangebyscore, -4, 'readonly', 1, 1, 1),
    row('zrevrangebyscore', zrevrangebyscore, -4, 'readonly', 1, 1, 1),
    row('zrangebylex', zrangebylex, -4, 'readonly', 1, 1, 1),
    row('zrevrangebylex', zrevrangebylex, -4, 'readonly', 1, 1, 1),
    row('zremrangebyrank', zremrangebyrank, 4, 'write', 1, 1, 1),
    row('zremrangebyscore', zremrangebyscore, 4, 'write', 1, 1, 1),
    row('zremrangebylex', zremrangebylex, 4, 'write', 1, 1, 1),
    row('zpopmin', zpopmin, -2, 'write fast', 1, 1, 1),
    row('zpopmax', zpopmax, -2, 'write fast', 1, 1, 1),
    row('zmpop', zmpop, -4, 'write movablekeys'),
    row('bzpopmin', bzpopmin, -3, 'write blocking fast', 1, -2, 1),
    row('bzpopmax', bzpopmax, -3, 'write blocking fast', 1, -2, 1),
    row('bzmpop', bzmpop, -5, 'write blocking movablekeys'),
    row('zunion', zunion, -3, 'readonly movablekeys'),
    row('zinter', zinter, -3, 'readonly movablekeys'),
    row('zdiff', zdiff, -3, 'readonly movablekeys'),
    row('zunionstore', zunionstore, -4, 'write denyoom movablekeys', 1, 1, 1),
    row('zinterstore', zinterstore, -4, 'write denyoom movablekeys', 1, 1, 1),
    row('zdiffstore', zdiffstore, -4, 'write denyoom movablekeys', 1, 1, 1),
    row('zintercard', zintercard, -3, 'readonly movablekeys'),
    row('zrandmember', zrandmember, -2, 'readonly', 1, 1, 1),
    row('zscan', zscan, -3, 'readonly', 1, 1, 1),
)
