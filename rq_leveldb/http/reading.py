"""Showing what jobs hold, arguments and results, without running anybody's code: a pickle is only looked at."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rq.serializers import Serializer, resolve_serializer

__all__ = ['Opaque', 'Reader', 'Shown', 'show']

# Classes of the standard library whose construction does nothing but construct.
_HARMLESS = {
    'builtins': frozenset(
        [
            'bool',
            'bytearray',
            'bytes',
            'complex',
            'dict',
            'float',
            'frozenset',
            'int',
            'list',
            'range',
            'set',
            'slice',
            'str',
            'tuple',
        ]
    ),
    'collections': frozenset(('OrderedDict', 'deque', 'Counter')),
    'datetime': frozenset(('date', 'datetime', 'time', 'timedelta', 'timezone')),
    'decimal': frozenset(('Decimal',)),
    'fractions': frozenset(('Fraction',)),
    'pathlib': frozenset(('PosixPath', 'PurePosixPath', 'PureWindowsPath')),
    'uuid': frozenset(('UUID',)),
}
_LONGEST_REPR = 20_000
_LONGEST_INTEGER = 8192


class _OpaqueClass(type):
    """A class that is only a name; pickled functions and classes are shown by it."""

    def __repr__(cls) -> str:
        return f'<{cls.__module__}.{cls.__qualname__}>'


class Opaque(metaclass=_OpaqueClass):
    """Stands for an object of a class that was not imported; shows what the pickle holds of it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Opaque:
        made = super().__new__(cls)
        made.__dict__.update(_args=args, _kwargs=kwargs, _state=None, _items=[])
        return made

    def __setstate__(self, state: Any) -> None:
        self.__dict__['_state'] = state

    def append(self, item: Any) -> None:
        """Take an element, as a subclass of list would."""
        self.__dict__['_items'].append(item)

    def extend(self, items: list[Any]) -> None:
        """Take elements, as a subclass of list would."""
        self.__dict__['_items'].extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__['_items'].append((key, value))

    def __repr__(self) -> str:
        held = self.__dict__
        parts = [repr(value) for value in held['_args']]
        parts += [f'{name}={value!r}' for name, value in held['_kwargs'].items()]
        state = held['_state']
        if isinstance(state, dict):
            parts += [f'{name}={value!r}' for name, value in state.items()]
        elif state is not None:
            parts.append(repr(state))
        parts += [repr(item) for item in held['_items']]
        return f'{type(self).__module__}.{type(self).__qualname__}({", ".join(parts)})'


class _Unpickler(pickle.Unpickler):
    """Reads a pickle; a class that is not harmless becomes `unknown` of it."""

    def __init__(self, data: bytes, unknown: Callable[[str, str], Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._unknown = unknown

    def find_class(self, module: str, name: str) -> Any:
        if name in _HARMLESS.get(module, ()):
            return super().find_class(module, name)
        return self._unknown(module, name)

    def persistent_load(self, identifier: Any) -> Any:
        raise pickle.UnpicklingError('it refers to objects outside of itself')


def _refuse(module: str, name: str) -> Any:
    raise pickle.UnpicklingError(f'{module}.{name} is not imported here')


def _opaque(module: str, name: str) -> Any:
    return _OpaqueClass(name.rpartition('.')[2], (Opaque,), {'__module__': module, '__qualname__': name})


class Reader:
    """RQ's serializer for a process that shows jobs and must not run what they hold.

    As a serializer (`dumps`, `loads`) it is given to RQ's classes: what it cannot read exactly it refuses, and RQ then
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
        return _Unpickler(data, _refuse).load() if self._is_pickle else self._serializer.loads(data)

    def look(self, data: bytes) -> Any:
        """Return a stored value for showing it; what cannot be read is an `Unreadable`.

        Args:
            data: its bytes.
        """
        if len(data) > self._max_value:
            return Unreadable(f'{len(data)} bytes, too large to be shown')
        try:
            return _Unpickler(data, _opaque).load() if self._is_pickle else self._serializer.loads(data)
        except Exception as error:
            return Unreadable(f'{len(data)} bytes that cannot be read: {type(error).__name__}: {error}')


@dataclass(frozen=True)
class Unreadable:
    """A stored value that is not shown.

    Args:
        reason: why.
    """

    reason: str

    def __repr__(self) -> str:
        return f'<{self.reason}>'


@dataclass(frozen=True)
class Shown:
    """A value as JSON can have it: itself, or its text.

    Args:
        value: the value, None where it is no JSON.
        repr: how Python writes it, None where it is JSON.
    """

    value: Any
    repr: str | None


def show(value: Any) -> Shown:
    """Return how a value is shown in JSON.

    Args:
        value: any object.
    """
    try:
        return Shown(_plain(value), None)
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        text = repr(value)
    except Exception as error:
        text = f'<no text: {type(error).__name__}>'
    return Shown(None, text if len(text) <= _LONGEST_REPR else f'{text[:_LONGEST_REPR]}…')


def _plain(value: Any) -> Any:
    """Return the value with tuples as lists; raises TypeError or ValueError where it is no JSON."""
    if value is None or value is True or value is False:
        return value
    if type(value) is int:
        # Python refuses to write longer ones in decimal: sys.int_info.default_max_str_digits.
        if value.bit_length() > _LONGEST_INTEGER:
            raise ValueError('too long')
        return value
    if type(value) is str:
        value.encode()
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise ValueError('not finite')
        return value
    if type(value) in (list, tuple):
        return [_plain(item) for item in value]
    if type(value) is dict:
        if not all(type(key) is str for key in value):
            raise TypeError('a key that is no string')
        return {key: _plain(item) for key, item in value.items()}
    raise TypeError(type(value).__name__)
