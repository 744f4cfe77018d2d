"""Commands of the sorted set group that combine several sets: unions, intersections, differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from rq_leveldb.store import arguments
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.commands.sorted_set_ranges import store_result
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Reply, ReplyError, pairs_reply, syntax_error
from rq_leveldb.store.types.set import Set
from rq_leveldb.store.types.sorted_set import SortedSet


def zintercard(ctx: Context, argv: list[bytes]) -> Reply:
    operands, index = _operands(ctx, argv, 1)
    return sum(1 for _ in islice(_common(operands), arguments.limit_option(argv, index)))


Operand = SortedSet | Set
Aggregate = Callable[[float, float], float]
Operation = Callable[['list[Operand]', 'list[float]', Aggregate], 'dict[bytes, float]']


def _number(result: float) -> float:
    # inf and -inf make nan, which Redis calls 0.
    return 0.0 if math.isnan(result) else result


_AGGREGATES: dict[bytes, Aggregate] = {b'SUM': lambda one, other: _number(one + other), b'MIN': min, b'MAX': max}


def _combined(ctx: Context, argv: list[bytes], start: int, operation: Operation) -> tuple[dict[bytes, float], bool]:
    """Read the keys and the options after them, and combine what the keys hold.

    Args:
        ctx: the command's context.
        argv: all arguments of the command.
        start: index of the number of keys: 1, or 2 where the result is stored.
        operation: what is made of the operands.

    Returns:
        The result, and whether its scores are wanted.
    """
    operands, index = _operands(ctx, argv, start)
    weights = [1.0] * len(operands)
    aggregate = b'SUM'
    with_scores = False
    options = arguments.Options(argv, index)
    for option in options:
        if option == b'WEIGHTS' and operation is not _difference:
            weights = [_weight(argument) for argument in options.values(len(operands))]
        elif option == b'AGGREGATE' and operation is not _difference:
            aggregate = options.one_of(*_AGGREGATES)
        elif option == b'WITHSCORES' and start == 1:
            with_scores = True
        else:
            raise syntax_error()
    return operation(operands, weights, _AGGREGATES[aggregate]), with_scores


def _weight(argument: bytes) -> float:
    try:
        return arguments.floating(argument)
    except ReplyError:
        raise ReplyError('ERR weight value is not a float') from None


def _operands(ctx: Context, argv: list[bytes], index: int) -> tuple[list[Operand], int]:
    """Return the values of the keys, and the index after them."""
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
        operands.append(value if isinstance(value, SortedSet) else ctx.read(key, Set))
    return operands, end


def _scores(operand: Operand) -> Iterator[tuple[bytes, float]]:
    return operand.items() if isinstance(operand, SortedSet) else ((member, 1.0) for member in operand)


def _score(operand: Operand, member: bytes) -> float | None:
    if isinstance(operand, SortedSet):
        return operand.score(member)
    return 1.0 if member in operand else None


def _smallest_first(operands: list[Operand], weights: list[float]) -> list[tuple[Operand, float]]:
    """The order in which Redis adds up, on which a sum of fractions or infinities depends."""
    return sorted(zip(operands, weights, strict=True), key=lambda pair: len(pair[0]))


def _union(operands: list[Operand], weights: list[float], aggregate: Aggregate) -> dict[bytes, float]:
    result: dict[bytes, float] = {}
    for operand, weight in _smallest_first(operands, weights):
        for member, score in _scores(operand):
            old = result.get(member)
            new = _number(weight * score)
            result[member] = new if old is None else aggregate(old, new)
    return result


def _common(operands: list[Operand]) -> Iterator[bytes]:
    """Return the members that all have."""
    smallest = min(operands, key=len)
    for member, _ in _scores(smallest):
        if all(operand is smallest or member in operand for operand in operands):
            yield member


def _intersection(operands: list[Operand], weights: list[float], aggregate: Aggregate) -> dict[bytes, float]:
    (first, first_weight), *others = _smallest_first(operands, weights)
    result: dict[bytes, float] = {}
    for member in _common(operands):
        total = _number(first_weight * (_score(first, member) or 0.0))
        for operand, weight in others:
            total = aggregate(total, weight * (_score(operand, member) or 0.0))
        result[member] = total
    return result


def _difference(operands: list[Operand], weights: list[float], aggregate: Aggregate) -> dict[bytes, float]:
    first, *others = operands
    return {member: score for member, score in _scores(first) if not any(member in operand for operand in others)}


def _combine(ctx: Context, argv: list[bytes], operation: Operation) -> Reply:
    result, with_scores = _combined(ctx, argv, 1, operation)
    return pairs_reply(sorted(result.items(), key=lambda item: (item[1], item[0])), with_scores, ctx.resp3)


def _combine_and_store(ctx: Context, argv: list[bytes], operation: Operation) -> Reply:
    return store_result(ctx, argv[1], _combined(ctx, argv, 2, operation)[0].items())


COMMANDS = (
    row('zunion', partial(_combine, operation=_union), -3, 'readonly movablekeys'),
    row('zinter', partial(_combine, operation=_intersection), -3, 'readonly movablekeys'),
    row('zdiff', partial(_combine, operation=_difference), -3, 'readonly movablekeys'),
    row('zunionstore', partial(_combine_and_store, operation=_union), -4, 'write denyoom movablekeys', 1, 1, 1),
    row('zinterstore', partial(_combine_and_store, operation=_intersection), -4, 'write denyoom movablekeys', 1, 1, 1),
    row('zdiffstore', partial(_combine_and_store, operation=_difference), -4, 'write denyoom movablekeys', 1, 1, 1),
    row('zintercard', zintercard, -3, 'readonly movablekeys'),
)
