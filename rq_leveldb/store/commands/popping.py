"""What the commands have in common that pop from the first of several lists or sorted sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rq_leveldb.store.arguments import Options, is_integer, timeout
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import NULL_ARRAY, Reply, ReplyError, no_keys, syntax_error
from rq_leveldb.store.types.value import Value

V = TypeVar('V', bound=Value)


def blocking_pop(ctx: Context, argv: list[bytes], type_: type[V], pop: Callable[[V], list[Reply]]) -> Reply:
    """Do what BLPOP, BRPOP, BZPOPMIN and BZPOPMAX have in common.

    Args:
        ctx: the command's context.
        argv: all arguments of the command.
        type_: what the keys must hold.
        pop: removes an element, and returns what follows the key in the reply.
    """
    keys = argv[1:-1]

    def take() -> Reply:
        found = ctx.first(keys, type_)
        if found is None:
            return None
        key, value = found
        popped = pop(value)
        ctx.keys.changed(value)
        return [key, *popped]

    return ctx.block_for(keys, type_, timeout(argv[-1]), take, NULL_ARRAY)


def pop_from_first(
    ctx: Context,
    argv: list[bytes],
    type_: type[V],
    ends: tuple[bytes, bytes],
    pop: Callable[[Context, V, bool, int], Reply],
    blocking: bool,
) -> Reply:
    """Do what LMPOP, BLMPOP, ZMPOP and BZMPOP have in common.

    Args:
        ctx: the command's context.
        argv: all arguments of the command.
        type_: what the keys must hold.
        ends: what the two ends are called.
        pop: removes elements; gets whether it is the first of the ends, and how many, which may be too many.
        blocking: whether a time-out comes first, for which to wait.
    """
    at = 2 if blocking else 1
    count = int(argv[at]) if is_integer(argv[at]) else 0
    if count <= 0:
        raise no_keys()
    stop = at + 1 + count
    end = argv[stop].upper() if stop < len(argv) else b''
    if end not in ends:
        raise syntax_error()
    keys, count = argv[at + 1 : stop], _count(argv, stop + 1)

    def take() -> Reply:
        found = ctx.first(keys, type_)
        if found is None:
            return None
        key, value = found
        return [key, pop(ctx, value, end == ends[0], count)]

    if blocking:
        return ctx.block_for(keys, type_, timeout(argv[1]), take, NULL_ARRAY)
    return take() or NULL_ARRAY


def _count(argv: list[bytes], index: int) -> int:
    """Read the trailing ``[COUNT count]``, 1 if not given."""
    count: int | None = None
    for text in Options(argv, index).values_of(b'COUNT'):
        if count is not None:
            raise syntax_error()
        count = int(text) if is_integer(text) else 0
        if count <= 0:
            raise ReplyError('ERR count should be greater than 0')
    return 1 if count is None else count
