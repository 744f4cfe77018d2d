"""Commands of the sorted set group that take a range: by rank, by score, by the order of members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

from rq_leveldb.store import arguments
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import MAX_WHOLE, Reply, ReplyError, pairs_pieces, pairs_reply, syntax_error
from rq_leveldb.store.types.sorted_set import MemberBound, SortedSet, members_of, score_bounds, split

_Find = Callable[[SortedSet], Iterator[bytes]]
"""Gives the entries of a range, as often as it is called."""


def _read_range(
    argv: list[bytes], start: int, by: bytes | None = None, reverse: bool | None = None, store: bool = False
) -> tuple[_Find, bool]:
    """Read the bounds of a range, and the options after them.

    Args:
        argv: all arguments of the command.
        start: index of the first bound.
        by: RANK, SCORE or LEX where the command's name says it.
        reverse: where the command's name says it.
        store: whether the result is stored, as ZRANGESTORE does.

    Returns:
        What finds the entries, and whether scores are wanted.
    """
    chosen = by
    backwards = bool(reverse)
    with_scores = False
    offset, limit = 0, -1
    limited = False
    options = arguments.Options(argv, start + 2)
    for option in options:
        if option == b'WITHSCORES' and not store:
            with_scores = True
        elif option == b'LIMIT' and options.left() >= 2:
            offset, limit = options.integer(), options.integer()
            limited = True
        elif reverse is None and option == b'REV' and not backwards:
            backwards = True
        elif by is None and chosen is None and option in (b'BYSCORE', b'BYLEX'):
            chosen = option[2:]
        else:
            raise syntax_error()
    chosen = chosen or b'RANK'
    if limited and limit != -1 and chosen == b'RANK':
        raise ReplyError('ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX')
    if with_scores and chosen == b'LEX':
        raise ReplyError('ERR syntax error, WITHSCORES not supported in combination with BYLEX')
    low, high = argv[start], argv[start + 1]
    if chosen == b'RANK':
        first, last = arguments.integer(low), arguments.integer(high)
        return lambda value: value.by_rank(*arguments.slice_bounds(first, last, len(value)), backwards), with_scores
    if backwards:
        low, high = high, low
    if chosen == b'LEX':
        return _limited(_by_lex(low, high, backwards), offset, limit), with_scores
    bounds = score_bounds(*arguments.score_bound(low), *arguments.score_bound(high))
    return _limited(lambda value: value.entries(bounds, backwards), offset, limit), with_scores


def _by_lex(low: bytes, high: bytes, reverse: bool) -> _Find:
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


def _limited(find: _Find, offset: int, limit: int) -> _Find:
    if offset == 0 and limit < 0:
        return find
    if offset < 0:
        return lambda value: iter(())

    def limited(value: SortedSet) -> Iterator[bytes]:
        # Neither number is more than there is, so that their sum is none that islice refuses.
        skipped = min(offset, len(value))
        return islice(find(value), skipped, None if limit < 0 else skipped + min(limit, len(value)))

    return limited


def _range(ctx: Context, argv: list[bytes], by: bytes | None = None, reverse: bool | None = None) -> Reply:
    find, with_scores = _read_range(argv, 2, by, reverse)
    value = ctx.read(argv[1], SortedSet)
    found = list(islice(find(value), MAX_WHOLE + 1))
    if len(found) <= MAX_WHOLE:
        return pairs_reply(map(split, found), True, ctx.resp3) if with_scores else members_of(found)
    del found
    return pairs_pieces(sum(1 for _ in find(value)), map(split, find(value)), with_scores, ctx.resp3)


def zrangestore(ctx: Context, argv: list[bytes]) -> Reply:
    find, _ = _read_range(argv, 3, store=True)
    return store_result(ctx, argv[1], map(split, list(find(ctx.read(argv[2], SortedSet)))))


def zcount(ctx: Context, argv: list[bytes]) -> Reply:
    bounds = score_bounds(*arguments.score_bound(argv[2]), *arguments.score_bound(argv[3]))
    return ctx.read(argv[1], SortedSet).count(bounds)


def zlexcount(ctx: Context, argv: list[bytes]) -> Reply:
    find = _by_lex(argv[2], argv[3], False)
    return sum(1 for _ in find(ctx.read(argv[1], SortedSet)))


def zremrangebyscore(ctx: Context, argv: list[bytes]) -> Reply:
    bounds = score_bounds(*arguments.score_bound(argv[2]), *arguments.score_bound(argv[3]))
    value = ctx.read(argv[1], SortedSet)
    return ctx.keys.changed_by(value, value.remove_range(bounds))


def zremrangebyrank(ctx: Context, argv: list[bytes]) -> Reply:
    first, last = arguments.integer(argv[2]), arguments.integer(argv[3])
    value = ctx.read(argv[1], SortedSet)
    start, stop = arguments.slice_bounds(first, last, len(value))
    if stop - start == len(value):
        value.clear()
    elif start == 0:
        value.pop(False, stop)
    elif stop == len(value):
        value.pop(True, stop - start)
    else:
        value.remove(list(value.by_rank(start, stop)))
    return ctx.keys.changed_by(value, stop - start)


def zremrangebylex(ctx: Context, argv: list[bytes]) -> Reply:
    find = _by_lex(argv[2], argv[3], False)
    value = ctx.read(argv[1], SortedSet)
    entries = list(find(value))
    value.remove(entries)
    return ctx.keys.changed_by(value, len(entries))


def store_result(ctx: Context, key: bytes, members: Iterable[tuple[bytes, float]]) -> int:
    result = ctx.keys.new(SortedSet)
    for member, score in members:
        result.set(member, score)
    return ctx.store(key, result)


COMMANDS = (
    row('zcount', zcount, 4, 'readonly fast', 1, 1, 1),
    row('zlexcount', zlexcount, 4, 'readonly fast', 1, 1, 1),
    row('zrange', _range, -4, 'readonly', 1, 1, 1),
    row('zrangestore', zrangestore, -5, 'write denyoom', 1, 2, 1),
    row('zrevrange', partial(_range, by=b'RANK', reverse=True), -4, 'readonly', 1, 1, 1),
    row('zrangebyscore', partial(_range, by=b'SCORE', reverse=False), -4, 'readonly', 1, 1, 1),
    row('zrevrangebyscore', partial(_range, by=b'SCORE', reverse=True), -4, 'readonly', 1, 1, 1),
    row('zrangebylex', partial(_range, by=b'LEX', reverse=False), -4, 'readonly', 1, 1, 1),
    row('zrevrangebylex', partial(_range, by=b'LEX', reverse=True), -4, 'readonly', 1, 1, 1),
    row('zremrangebyrank', zremrangebyrank, 4, 'write', 1, 1, 1),
    row('zremrangebyscore', zremrangebyscore, 4, 'write', 1, 1, 1),
    row('zremrangebylex', zremrangebylex, 4, 'write', 1, 1, 1),
)
