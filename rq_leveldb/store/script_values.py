"""Conversion between commands and Lua: replies to Lua values, and Lua values to replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from rq_leveldb.store.number_text import lua_text
from rq_leveldb.store.replies import NullArray, Pieces, Reply, ReplyError, SetReply, Status, Verbatim, shown

# Tags of a reply's tokens, and of a run's end, in sandbox.lua.
_T_VALUE, _T_LIST, _T_STATUS, _T_ERROR, _T_DOUBLE, _T_MAP, _T_SET, _T_BIG, _T_VERBATIM = range(1, 10)
_T_NULL, _T_TRUE, _T_FALSE, _T_RUN = range(10, 14)


_BYTES = frozenset((bytes,))
_AS_IS = frozenset((bytes, int))


# -- from replies to Lua


def to_lua(reply: Reply, resp3: bool) -> Any:
    """Return a reply as bytes, numbers, booleans, lists and (for tables with names) dictionaries."""
    kind = type(reply)
    if kind is bytes or kind is int:
        return reply
    if reply is None or isinstance(reply, NullArray):
        return None if resp3 else False
    if isinstance(reply, bool):
        return reply if resp3 else int(reply)
    if isinstance(reply, float):
        return {b'double': reply} if resp3 else lua_text(reply)
    if isinstance(reply, Status):
        return {b'ok': reply.text}
    if isinstance(reply, ReplyError):
        return {b'err': reply.text.encode('utf-8', 'surrogateescape')}
    if isinstance(reply, Verbatim):
        return {b'verbatim_string': {b'format': b'txt', b'string': reply.text}} if resp3 else reply.text
    if isinstance(reply, dict):
        if resp3:
            return {b'map': {_key(key): to_lua(value, True) for key, value in reply.items()}}
        return _list_to_lua(list(chain.from_iterable(reply.items())), False)
    if isinstance(reply, Pieces):
        items = _list_to_lua(list(reply.elements), resp3)
        if resp3 and reply.kind == 'set':
            return {b'set': {item if isinstance(item, bytes) else b'': True for item in items}}
        if resp3 and reply.kind == 'map':
            return {b'map': dict(zip(items[::2], items[1::2], strict=True))}
        return items
    if isinstance(reply, SetReply) and resp3:
        return {b'set': {_key(item): True for item in reply}}
    if isinstance(reply, (list, tuple)):
        return _list_to_lua(reply, resp3)
    raise TypeError(f'no reply for a script: {reply!r}')


def _list_to_lua(items: Sequence[Any], resp3: bool) -> list[Any]:
    # Most are what they are in Lua.
    return list(items) if _AS_IS.issuperset(map(type, items)) else [to_lua(item, resp3) for item in items]


def _key(item: Any) -> Any:
    return item if isinstance(item, (bytes, int)) else lua_text(item) if isinstance(item, float) else b''


def size_in_lua(value: Any) -> int:
    """Return an upper estimate of the bytes that `value` needs in Lua."""
    if type(value) is bytes:
        return 2 * len(value) + 64
    if type(value) is list:
        if _BYTES.issuperset(map(type, value)):
            return 128 + 64 * len(value) + 2 * sum(map(len, value))
        return 128 + sum(64 + (2 * len(item) if type(item) is bytes else size_in_lua(item)) for item in value)
    if type(value) is dict:
        return 128 + sum(64 + size_in_lua(key) + size_in_lua(item) for key, item in value.items())
    return 64


# -- from Lua to replies


def integer_reply(number: float) -> int:
    """Return the integer that Redis makes of a Lua number: truncated."""
    # The result of a conversion to 64 bits on the machines that Redis runs on.
    if isinstance(number, int):
        return number
    if number != number or abs(number) >= 2**63:
        return -(2**63)
    return int(number)


def plain_values(values: Iterable[bytes | float]) -> list[Reply]:
    """Return the replies for Lua values that are all strings or numbers."""
    return [value if type(value) is bytes else integer_reply(value) for value in values]  # type: ignore[arg-type]


def scalar_reply(value: Any, resp3: bool) -> Reply:
    """Return the reply for a Lua value that is not a table."""
    if type(value) is bytes or value is None:
        return value
    if value is True:
        return True if resp3 else 1
    if value is False:
        return False if resp3 else None
    return integer_reply(value)


def read_tokens(tokens: Iterator[Any], resp3: bool) -> Any:
    """Read the next value from a reply's tokens, with everything in it."""
    tag = next(tokens)
    value: Any = None if tag in (_T_TRUE, _T_FALSE, _T_NULL) else next(tokens)
    if tag == _T_VALUE:
        return value if type(value) is bytes else integer_reply(value)
    if tag == _T_RUN:
        return plain_values(islice(tokens, value))
    if tag == _T_LIST:
        return [read_tokens(tokens, resp3) for _ in range(value)]
    if tag == _T_STATUS:
        return Status(one_line(value))
    if tag == _T_ERROR:
        return ReplyError(shown(one_line(value)))
    if tag == _T_DOUBLE:
        return float(value)
    if tag == _T_SET:
        return SetReply([read_tokens(tokens, resp3) for _ in range(value)])
    if tag == _T_MAP:
        return {_hashable(read_tokens(tokens, resp3)): read_tokens(tokens, resp3) for _ in range(value)}
    if tag == _T_BIG:
        return one_line(value)
    if tag == _T_VERBATIM:
        return Verbatim(value)
    return scalar_reply(tag == _T_TRUE if tag != _T_NULL else None, resp3)


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value).encode()
    return value


def one_line(words: bytes) -> bytes:
    """Return words with line ends replaced by spaces, as simple strings and errors need them."""
    return words.replace(b'\r', b' ').replace(b'\n', b' ')
