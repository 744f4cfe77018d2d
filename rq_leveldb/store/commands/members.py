"""What the commands of hashes, sets and sorted sets have in common: counting, removing and drawing members."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rq_leveldb.store.arguments import MAX_INTEGER, integer
from rq_leveldb.store.commands.scanning import count_out_of_range
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import MAX_WHOLE, Reply, out_of_range, pairs_pieces, pairs_reply, syntax_error

T = TypeVar('T')

MAX_REPETITIONS = 1 << 22
"""Most random elements, with repetitions, that a command returns: in a script they are all in memory."""


def length(type_: type[Any], ctx: Context, argv: list[bytes]) -> Reply:
    """Do what HLEN, LLEN, SCARD, XLEN and ZCARD have in common."""
    return len(ctx.read(argv[1], type_))


def remove_members(type_: type[Any], ctx: Context, argv: list[bytes]) -> Reply:
    """Do what HDEL, SREM and ZREM have in common."""
    value = ctx.typed(argv[1], type_)
    if value is None:
        return 0
    return ctx.keys.changed_by(value, sum(map(value.delete, argv[2:])))


def random_members(ctx: Context, argv: list[bytes], type_: type[Any], word: bytes | None = None) -> Reply:
    """Do what HRANDFIELD, SRANDMEMBER and ZRANDMEMBER have in common.

    Args:
        ctx: the command's context.
        argv: all arguments of the command.
        type_: what the key must hold.
        word: asks for values or scores as well.
    """
    count, both = (1, False) if len(argv) == 2 else _random_count(argv, word)
    value = ctx.typed(argv[1], type_)
    if len(argv) == 2:
        return None if value is None else value.draw(1)[0][0]
    if value is None or count == 0:
        return []
    if count < 0:
        return pairs_pieces(-count, _drawn_with_repetitions(value.items(), -count), both, ctx.resp3)
    if count >= len(value) > MAX_WHOLE:
        return pairs_pieces(len(value), value.items(), both, ctx.resp3)
    return pairs_reply(value.draw(count), both, ctx.resp3)


def _random_count(argv: list[bytes], word: bytes | None) -> tuple[int, bool]:
    """Return the trailing ``count [word]``: a count, negative with repetitions, and whether the word was given."""
    count = integer(argv[2])
    if count < -MAX_INTEGER:
        raise count_out_of_range()
    paired = len(argv) > 3
    if len(argv) > 4 or (paired and argv[3].upper() != word):
        raise syntax_error()
    if paired and abs(count) > MAX_INTEGER // 2:
        raise out_of_range()
    return count, paired


def _drawn_with_repetitions(elements: Iterable[T], count: int) -> Iterator[T]:
    """Draw elements with repetitions, lazily.

    Raises:
        ReplyError: they are too many.
    """
    if count > MAX_REPETITIONS:
        raise out_of_range()
    known = list(iter(elements))  # whatever number of them a damaged record says
    return (random.choice(known) for _ in range(count if known else 0))
