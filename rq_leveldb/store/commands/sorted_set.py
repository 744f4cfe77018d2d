"""Commands of the sorted set group: members, the ends, and what has no order."""

from __future__ import annotations

import math
from functools import partial

from rq_leveldb.store import arguments
from rq_leveldb.store.commands.members import length, random_members, remove_members
from rq_leveldb.store.commands.popping import blocking_pop, pop_from_first
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.commands.scanning import ScanOptions, check_cursor
from rq_leveldb.store.commands.sorted_set_algebra import COMMANDS as ALGEBRA_COMMANDS
from rq_leveldb.store.commands.sorted_set_ranges import COMMANDS as RANGE_COMMANDS
from rq_leveldb.store.context import Context
from rq_leveldb.store.number_text import score_text
from rq_leveldb.store.replies import NULL_ARRAY, Reply, ReplyError, pairs_reply, syntax_error, wrong_arity
from rq_leveldb.store.types.sorted_set import SortedSet, split

_ZADD_FLAGS = frozenset((b'NX', b'XX', b'GT', b'LT', b'CH', b'INCR'))


# -- one member


def zadd(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 4 and argv[2].upper() not in _ZADD_FLAGS:
        # One member and no flag, as nearly always.
        score = arguments.floating(argv[2])
        value = ctx.typed_or_new(argv[1], SortedSet)
        new = value.set(argv[3], score)
        if new is not None:
            ctx.keys.changed(value)
        return 1 if new else 0
    return _add_many(ctx, argv)


def _add_many(ctx: Context, argv: list[bytes]) -> Reply:
    options = arguments.Options(argv, 2)
    flags = options.flags(_ZADD_FLAGS)
    pairs = options.rest()
    if not pairs or len(pairs) % 2:
        raise syntax_error()
    if flags:
        return _add_with_flags(ctx, argv[1], pairs, flags)
    scores = [arguments.floating(score) for score in pairs[::2]]
    value = ctx.typed_or_new(argv[1], SortedSet)
    new = list(map(value.set, pairs[1::2], scores))
    if new.count(None) < len(new):
        ctx.keys.changed(value)
    return new.count(True)


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
    scores = [arguments.floating(score) for score in pairs[::2]]
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
                score += old
                if math.isnan(score):
                    raise ReplyError('ERR resulting score is not a number (NaN)')
            if (greater and score <= old) or (less and score >= old):
                continue
        new = value.set(member, score)
        added += new is True
        updated += new is False
        processed = score
    if added or updated:
        ctx.keys.changed(value)
    if increment:
        return processed
    return added + updated if b'CH' in flags else added


def zincrby(ctx: Context, argv: list[bytes]) -> Reply:
    if argv[2].upper() in _ZADD_FLAGS:
        # Redis takes it for an option of ZADD.
        raise syntax_error()
    return _add_with_flags(ctx, argv[1], argv[2:], {b'INCR'})


def zscore(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.typed(argv[1], SortedSet)
    return None if value is None else value.score(argv[2])


def zmscore(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.read(argv[1], SortedSet)
    return [value.score(member) for member in argv[2:]]


def _rank(ctx: Context, argv: list[bytes], reverse: bool) -> Reply:
    if len(argv) > 4:
        raise wrong_arity('zrevrank' if reverse else 'zrank')
    with_score = len(argv) == 4
    if with_score and argv[3].upper() != b'WITHSCORE':
        raise syntax_error()
    value = ctx.read(argv[1], SortedSet)
    rank = value.rank(argv[2], reverse)
    if rank is None:
        return NULL_ARRAY if with_score else None
    return [rank, value.score(argv[2])] if with_score else rank


# -- the ends


def _pop(ctx: Context, argv: list[bytes], highest: bool) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    count = None if len(argv) == 2 else arguments.positive(argv[2])
    value = ctx.typed(argv[1], SortedSet)
    if value is None or count == 0:
        return []
    entries = value.pop(highest, 1 if count is None else min(count, len(value)))
    ctx.keys.changed(value)
    if count is None:
        return list(split(entries[0]))
    return pairs_reply(map(split, entries), True, ctx.resp3)


def _blocking_pop(ctx: Context, argv: list[bytes], highest: bool) -> Reply:
    return blocking_pop(ctx, argv, SortedSet, lambda value: [*split(value.pop(highest)[0])])


def _pop_many(ctx: Context, value: SortedSet, highest: bool, count: int) -> Reply:
    entries = value.pop(highest, min(count, len(value)))
    ctx.keys.changed(value)
    return [list(split(entry)) for entry in entries]


_pop_from_first = partial(pop_from_first, type_=SortedSet, ends=(b'MAX', b'MIN'), pop=_pop_many)


# -- without order


def zscan(ctx: Context, argv: list[bytes]) -> Reply:
    check_cursor(argv[2])
    value = ctx.typed(argv[1], SortedSet)
    if value is None:
        return [b'0', []]
    options = ScanOptions.read(argv, 2)
    if value.encoding_name(ctx.services.settings.layout) == b'listpack':
        # A small one comes as a whole, whatever the cursor.
        end, items = 0, list(value.items())
    else:
        end, items = value.page(options.cursor, options.count)
    return [
        b'%d' % end,
        [part for member, score in items if options.matches(member) for part in (member, score_text(score))],
    ]


COMMANDS = (
    row('zadd', zadd, -4, 'write denyoom fast', 1, 1, 1),
    row('zincrby', zincrby, 4, 'write denyoom fast', 1, 1, 1),
    row('zrem', partial(remove_members, SortedSet), -3, 'write fast', 1, 1, 1),
    row('zcard', partial(length, SortedSet), 2, 'readonly fast', 1, 1, 1),
    row('zscore', zscore, 3, 'readonly fast', 1, 1, 1),
    row('zmscore', zmscore, -3, 'readonly fast', 1, 1, 1),
    row('zrank', partial(_rank, reverse=False), -3, 'readonly fast', 1, 1, 1),
    row('zrevrank', partial(_rank, reverse=True), -3, 'readonly fast', 1, 1, 1),
    row('zpopmin', partial(_pop, highest=False), -2, 'write fast', 1, 1, 1),
    row('zpopmax', partial(_pop, highest=True), -2, 'write fast', 1, 1, 1),
    row('zmpop', partial(_pop_from_first, blocking=False), -4, 'write movablekeys'),
    row('bzpopmin', partial(_blocking_pop, highest=False), -3, 'write blocking fast', 1, -2, 1),
    row('bzpopmax', partial(_blocking_pop, highest=True), -3, 'write blocking fast', 1, -2, 1),
    row('bzmpop', partial(_pop_from_first, blocking=True), -5, 'write blocking movablekeys'),
    row('zrandmember', partial(random_members, type_=SortedSet, word=b'WITHSCORES'), -2, 'readonly', 1, 1, 1),
    row('zscan', zscan, -3, 'readonly', 1, 1, 1),
    *RANGE_COMMANDS,
    *ALGEBRA_COMMANDS,
)
