"""SORT and SORT_RO."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rq_leveldb.store.arguments import integer
from rq_leveldb.store.command import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Reply, ReplyError, syntax_error, wrong_type
from rq_leveldb.store.types.hash import Hash
from rq_leveldb.store.types.list import List
from rq_leveldb.store.types.set import Set
from rq_leveldb.store.types.sorted_set import SortedSet, split
from rq_leveldb.store.types.string import String

_NUMBER = re.compile(rb'[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|inf(?:inity)?)', re.I)


@dataclass(slots=True)
class _Options:
    """:ivar by: pattern of the keys to sort by, None for the elements themselves
    :ivar get: patterns of what to return, none for the elements
    :ivar limit: offset and count, a negative count for all
    """

    by: bytes | None = None
    get: list[bytes] = field(default_factory=list)
    limit: tuple[int, int] | None = None
    descending: bool = False
    alpha: bool = False
    store: bytes | None = None


def _read(argv: list[bytes], may_store: bool) -> _Options:
    options = _Options()
    at = 2
    while at < len(argv):
        option = argv[at].upper()
        more = len(argv) - 1 - at
        if option in (b'ASC', b'DESC'):
            options.descending = option == b'DESC'
        elif option == b'ALPHA':
            options.alpha = True
        elif option == b'LIMIT' and more >= 2:
            options.limit = integer(argv[at + 1]), integer(argv[at + 2])
            at += 2
        elif option == b'STORE' and more >= 1 and may_store:
            at += 1
            options.store = argv[at]
        elif option == b'BY' and more >= 1:
            at += 1
            options.by = argv[at]
        elif option == b'GET' and more >= 1:
            at += 1
            options.get.append(argv[at])
        else:
            raise syntax_error()
        at += 1
    return options


def sort(ctx: Context, argv: list[bytes]) -> Reply:
    return _sort(ctx, argv[1], _read(argv, may_store=True))


def sort_ro(ctx: Context, argv: list[bytes]) -> Reply:
    return _sort(ctx, argv[1], _read(argv, may_store=False))


def _sort(ctx: Context, key: bytes, options: _Options) -> Reply:
    value = ctx.find(key)
    if value is None:
        elements: list[bytes] = []
    elif isinstance(value, List):
        elements = value.range(0, len(value))
    elif isinstance(value, Set):
        elements = list(iter(value))
    elif isinstance(value, SortedSet):
        elements = [split(entry)[0] for entry in value.entries()]
    else:
        raise wrong_type()
    unsorted = options.by is not None and b'*' not in options.by
    if unsorted and isinstance(value, Set) and (options.store is not None or ctx.in_script):
        # What is stored, and what a script sees, must not depend on the order that a set happens to have.
        elements.sort(reverse=options.descending)
    elif unsorted:
        if options.descending and not isinstance(value, Set):
            elements.reverse()
    else:
        elements = _sorted(ctx, elements, options)
    elements = _limited(elements, options.limit)
    found: list[bytes | None] = []
    for element in elements:
        if options.get:
            found.extend(_lookup(ctx, pattern, element) for pattern in options.get)
        else:
            found.append(element)
    if options.store is None:
        return found
    if not found:
        ctx.delete(options.store)
        return 0
    result = List(ctx.keys.overlay, ctx.keys.overlay.new_version())
    for item in found:
        result.push_right(item or b'')
    ctx.put(options.store, result)
    return len(found)


def _sorted(ctx: Context, elements: list[bytes], options: _Options) -> list[bytes]:
    weigh: Callable[[bytes | None], Any] = _text_weight if options.alpha else _number_weight
    by = options.by
    weighed = [(weigh(element if by is None else _lookup(ctx, by, element)), element) for element in elements]
    if options.alpha and by is not None:
        weighed.sort(key=lambda pair: pair[0], reverse=options.descending)
    else:
        weighed.sort(reverse=options.descending)
    return [element for _, element in weighed]


def _text_weight(text: bytes | None) -> tuple[bool, bytes]:
    return (False, b'') if text is None else (True, text)


def _number_weight(text: bytes | None) -> float:
    if not text:
        return 0.0
    if not _NUMBER.fullmatch(text):
        raise ReplyError("ERR One or more scores can't be converted into double")
    return float(text)


def _limited(elements: list[bytes], limit: tuple[int, int] | None) -> list[bytes]:
    if limit is None:
        return elements
    start = max(limit[0], 0)
    return elements[start:] if limit[1] < 0 else elements[start : start + limit[1]]


def _lookup(ctx: Context, pattern: bytes, element: bytes) -> bytes | None:
    """:returns: what the key that the pattern makes of the element holds; ``->`` leads to a field of a hash"""
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
    row('sort', sort, -2, 'write denyoom movablekeys', 1, 1, 1),
    row('sort_ro', sort_ro, -2, 'readonly movablekeys', 1, 1, 1),
)
