"""Show the arguments and results of jobs without running anybody's code: a pickle is only looked at.

This takes bounded time and memory, whatever is stored.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rq.serializers import Serializer, resolve_serializer

from .pickled import Name, Opaque, name_of, read

__all__ = ['Looking', 'Reader', 'Shown', 'Unreadable', 'call_text', 'read_call', 'show', 'value_text']

_LONGEST_REPR = 20_000
_LONGEST_INTEGER = 8192
_DEEPEST = 100
_DEEPEST_PLAIN = 200
# A list that contains another one twenty times, which contains a third twenty times, is small until it is written.
_MOST_PARTS = 300_000
_MOST_CHARACTERS = 8_000_000


class Reader:
    """RQ's serializer for a process that shows jobs and must not run what they hold.

    It is passed to RQ's classes as a serializer (`dumps`, `loads`). It refuses what it cannot read exactly, and RQ then
    keeps the stored bytes as they are. `look` is for showing, and reads everything.

    Args:
        name: `pickle`, `json`, or the dotted name of a class, which is then imported and trusted.
        max_value: largest value that `look` reads, bytes.
    """

    def __init__(self, name: str = 'pickle', max_value: int = 1024 * 1024) -> None:
        self._serializer: Serializer = resolve_serializer(name)
        self._is_pickle = self._serializer is resolve_serializer('pickle')
        self._max_value = max_value

    def dumps(self, value: Any, /) -> bytes:
        """Return a value as RQ stores it.

        Args:
            value: what came in as JSON.
        """
        return self._serializer.dumps(value)

    def loads(self, data: bytes, /) -> Any:
        """Return a stored value, exactly.

        Args:
            data: its bytes.

        Raises:
            Exception: it cannot be read, or holds objects of classes that are not imported.
        """
        return read(data, exactly=True) if self._is_pickle else self._serializer.loads(data)

    def look(self, data: bytes) -> Any:
        """Return a stored value in order to show it; what cannot be read becomes an `Unreadable`.

        Args:
            data: its bytes.
        """
        if len(data) > self._max_value:
            return Unreadable(f'{len(data)} bytes, too large to be shown')
        try:
            return read(data) if self._is_pickle else self._serializer.loads(data)
        except Exception as error:
            return Unreadable(f'{len(data)} bytes that cannot be read: {type(error).__name__}: {error}')


class Looking:
    """A serializer that reads everything, for values that are only shown.

    Args:
        reader: what it reads with.
    """

    def __init__(self, reader: Reader) -> None:
        self.loads = reader.look
        self.dumps = reader.dumps


@dataclass(frozen=True)
class Unreadable:
    """A stored value that is not shown.

    Args:
        reason: why.
    """

    reason: str

    def __repr__(self) -> str:
        return f'<{self.reason}>'


def read_call(reader: Reader, data: bytes) -> tuple[str | None, Any, Any]:
    """Return the function's name and the arguments of a job, without importing what they are made of.

    Args:
        reader: reads them.
        data: the job's.

    Returns:
        Name, positional arguments and keyword arguments; if the data cannot be read, None and twice the reason.
    """
    held = reader.look(data)
    if isinstance(held, (tuple, list)) and len(held) == 4:
        name, instance, args, kwargs = held
        if isinstance(name, str):
            return (f'{_class_name(instance)}.{name}' if instance else name), args, kwargs
    reason = held if isinstance(held, Unreadable) else Unreadable('not in the form that RQ stores')
    return None, reason, reason


def _class_name(instance: Any) -> str:
    if isinstance(instance, Opaque):
        return instance.class_name
    if isinstance(instance, (Name, type)):
        return name_of(instance)
    return f'{type(instance).__module__}.{type(instance).__qualname__}'


def call_text(name: str, args: Any, kwargs: Any) -> str:
    """Return a call as Python writes it.

    Args:
        name: the function's.
        args: positional arguments, as `read_call` returns them.
        kwargs: keyword arguments.
    """
    positional = list(args) if isinstance(args, (tuple, list)) else [args]
    named = list(kwargs.items()) if isinstance(kwargs, dict) else []
    return _Writer().call(name, positional, named)


def value_text(value: Any) -> str:
    """Return a value as Python writes it, cut where it is long.

    Args:
        value: any object, as `Reader.look` returns it.
    """
    return _Writer().text(value)


@dataclass(frozen=True)
class Shown:
    """A value in a form that JSON can hold: itself, or its text.

    Args:
        value: the value, None if it is not JSON.
        repr: how Python writes it, None if it is JSON.
    """

    value: Any
    repr: str | None


def show(value: Any) -> Shown:
    """Return how a value is shown in JSON.

    Args:
        value: any object.
    """
    try:
        return Shown(_Plain().of(value, 0), None)
    except (TypeError, ValueError, RecursionError):
        return Shown(None, value_text(value))


class _Plain:
    """Makes JSON values, tuples as lists; raises TypeError or ValueError for what JSON cannot hold."""

    def __init__(self) -> None:
        self._parts = _MOST_PARTS
        self._characters = _MOST_CHARACTERS

    def of(self, value: Any, depth: int) -> Any:
        self._parts -= 1
        if self._parts < 0 or depth > _DEEPEST_PLAIN:
            raise ValueError('too large')
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            # Python refuses to write longer ones in decimal: sys.int_info.default_max_str_digits.
            if value.bit_length() > _LONGEST_INTEGER:
                raise ValueError('too long')
            self._characters -= value.bit_length() // 3
        elif kind is str:
            self._take(value)
        elif kind is float:
            if not math.isfinite(value):
                raise ValueError('not finite')
        elif kind in (list, tuple):
            return [self.of(item, depth + 1) for item in value]
        elif kind is dict:
            return {self._key(key): self.of(item, depth + 1) for key, item in value.items()}
        else:
            raise TypeError(kind.__name__)
        return value

    def _key(self, key: Any) -> str:
        if type(key) is not str:
            raise TypeError('a key that is no string')
        self._take(key)
        return key

    def _take(self, text: str) -> None:
        self._characters -= len(text)
        if self._characters < 0:
            raise ValueError('too large')
        text.encode()


class _Full(Exception):
    """The text has the length that is shown."""


class _Writer:
    """Writes values as Python does, until the text is long enough."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._left = _LONGEST_REPR

    def text(self, value: Any) -> str:
        try:
            self._write(value, 0)
        except _Full:
            self._pieces.append('…')
        return ''.join(self._pieces)

    def call(self, name: str, args: list[Any], kwargs: list[tuple[Any, Any]]) -> str:
        try:
            self._put(f'{name}(')
            self._list(args, 0)
            self._named(kwargs, bool(args), 0)
            self._put(')')
        except _Full:
            self._pieces.append('…')
        return ''.join(self._pieces)

    def _put(self, text: str) -> None:
        self._pieces.append(text[: self._left])
        self._left -= len(text)
        if self._left < 0:
            raise _Full

    def _write(self, value: Any, depth: int) -> None:
        kind = type(value)
        if depth > _DEEPEST:
            self._put('...')
        elif kind is Name:
            self._put(f'<{value.text}>')
        elif kind is Opaque:
            self._opaque(value, depth)
        elif kind is list:
            self._around('[', value, ']', depth)
        elif kind is tuple:
            self._around('(', value, ',)' if len(value) == 1 else ')', depth)
        elif kind is deque:
            self._around('deque([', value, '])' if value.maxlen is None else f'], maxlen={value.maxlen})', depth)
        elif kind in (set, frozenset) and value:
            self._around('frozenset({' if kind is frozenset else '{', value, '})' if kind is frozenset else '}', depth)
        elif isinstance(value, dict):
            self._dict(value, depth)
        else:
            self._put(_atom(value))

    def _around(self, begin: str, items: Iterable[Any], end: str, depth: int) -> None:
        self._put(begin)
        self._list(items, depth)
        self._put(end)

    def _list(self, items: Iterable[Any], depth: int) -> None:
        for number, item in enumerate(items):
            if number:
                self._put(', ')
            self._write(item, depth + 1)

    def _named(self, items: Iterable[tuple[Any, Any]], is_behind: bool, depth: int) -> None:
        for number, (name, value) in enumerate(items):
            if number or is_behind:
                self._put(', ')
            self._put(f'{name}=' if type(name) is str else '?=')
            self._write(value, depth + 1)

    def _dict(self, value: dict[Any, Any], depth: int) -> None:
        kind = type(value)
        self._put('{' if kind is dict else f'{kind.__name__}({{')
        for number, (key, item) in enumerate(value.items()):
            if number:
                self._put(', ')
            self._write(key, depth + 1)
            self._put(': ')
            self._write(item, depth + 1)
        self._put('}' if kind is dict else '})')

    def _opaque(self, value: Opaque, depth: int) -> None:
        self._put(f'{value.class_name}(')
        begun = len(self._pieces)
        self._list(value.args, depth)
        self._named(value.kwargs.items(), len(self._pieces) > begun, depth)
        if isinstance(value.state, dict):
            self._named(value.state.items(), len(self._pieces) > begun, depth)
        for item in [*([] if value.state is None or isinstance(value.state, dict) else [value.state]), *value.items]:
            if len(self._pieces) > begun:
                self._put(', ')
            self._write(item, depth + 1)
        self._put(')')


def _atom(value: Any) -> str:
    """Return the text of a value that holds no others, or of one whose serializer is trusted."""
    if type(value) is int and value.bit_length() > _LONGEST_INTEGER:
        return f'<an integer of {value.bit_length()} bits>'
    if type(value) in (str, bytes, bytearray):
        value = value[: _LONGEST_REPR + 1]
    try:
        return repr(value)
    except Exception as error:
        return f'<no text: {type(error).__name__}>'
