"""SORT and SORT_RO."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rq_leveldb.store.arguments import FLOAT, Options, integer
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Reply, ReplyError, syntax_error, wrong_type
from rq_leveldb.store.types.hash import Hash
from rq_leveldb.store.types.list import List
from rq_leveldb.store.types.set import Set
from rq_leveldb.store.types.sorted_set import SortedSet, members_of
from rq_leveldb.store.types.string import String


@dataclass(slots=True)
class _Wanted:
    """The options of SORT.

    Attributes:
        by: pattern of the keys to sort by, None for the elements themselves.
        get: patterns of what to return, none for the elements.
        limit: offset and count, a negative count for all.
    """

    by: bytes | None = None
    get: list[bytes] = field(default_factory=list)
    limit: tuple[int, int] = (0, -1)
    descending: bool = False
    alpha: bool = False
    store: bytes | None = None


def _read(argv: list[bytes], may_store: bool) -> _Wanted:
    wanted = _Wanted()
    options = Options(argv, 2)
    for option in options:
        if option in (b'ASC', b'DESC'):
            wanted.descending = option == b'DESC'
        elif option == b'ALPHA':
            wanted.alpha = True
        elif option == b'LIMIT':
            offset, count = options.values(2)
            wanted.limit = integer(offset), integer(count)
        elif option == b'STORE' and may_store:
            wanted.store = options.value()
        elif option == b'BY':
            wanted.by = options.value()
        elif option == b'GET':
            wanted.get.append(options.value())
        else:
            raise syntax_error()
    return wanted


def _sort(ctx: Context, argv: list[bytes], may_store: bool) -> Reply:
    wanted = _read(argv, may_store)
    value = ctx.find(argv[1])
    if value is None:
        elements: list[bytes] = []
    elif isinstance(value, List):
        elements = value.range(0, len(value))
    elif isinstance(value, Set):
        elements = list(iter(value))
    elif isinstance(value, SortedSet):
        elements = members_of(value.entries())
    else:
        raise wrong_type()
    unsorted = wanted.by is not None and b'*' not in wanted.by
    if unsorted and isinstance(value, Set) and (wanted.store is not None or ctx.in_script):
        # What is stored, and what a script sees, must not depend on the arbitrary order of a set.
        elements.sort(reverse=wanted.descending)
    elif unsorted:
        if wanted.descending and not isinstance(value, Set):
            elements.reverse()
    else:
        elements = _sorted(ctx, elements, wanted)
    start, count = max(wanted.limit[0], 0), wanted.limit[1]
    elements = elements[start:] if count < 0 else elements[start : start + count]
    found = [_lookup(ctx, pattern, element) for element in elements for pattern in wanted.get or (b'#',)]
    if wanted.store is None:
        return found
    result = ctx.keys.new(List)
    for item in found:
        result.push(item or b'')
    return ctx.store(wanted.store, result)


def _sorted(ctx: Context, elements: list[bytes], wanted: _Wanted) -> list[bytes]:
    by = wanted.by
    found = [element if by is None else _lookup(ctx, by, element) for element in elements]
    weights: Iterable[Any] = ((text is not None, text) for text in found) if wanted.alpha else map(_weight, found)
    weighed = list(zip(weights, elements, strict=True))
    if wanted.alpha and by is not None:
        weighed.sort(key=lambda pair: pair[0], reverse=wanted.descending)
    else:
        weighed.sort(reverse=wanted.descending)
    return [element for _, element in weighed]


def _weight(text: bytes | None) -> float:
    if not text:
        return 0.0
    if not FLOAT.fullmatch(text):
        raise ReplyError("ERR One or more scores can't be converted into double")
    return float(text)


def _lookup(ctx: Context, pattern: bytes, element: bytes) -> bytes | None:
    """Return the value of the key that the pattern and element give; ``->`` selects a hash field."""
    if pattern == b'#':
        return element
    before, star, after = pattern.partition(b'*')
    if not star:
        return None
    rest, arrow, name = after.partition(b'->')
    if arrow and name:
        value = ctx.find(before + element + rest)
        return value.get(name) if isinstance(value, Hash) else None
    value = ctx.find(before + element + after)
    return value.data if isinstance(value, String) else None


COMMANDS = (
    row('sort', partial(_sort, may_store=True), -2, 'write denyoom movablekeys', 1, 1, 1),
    row('sort_ro', partial(_sort, may_store=False), -2, 'readonly movablekeys', 1, 1, 1),
)
