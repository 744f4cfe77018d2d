"""Read a pickle without running the code that it names, in bounded time and memory.

Python's own unpickler calls whatever the pickle names. Even with a list of harmless classes that is too much:
Fraction('1e200000000') and bytes(10**10) exhaust the machine, and so does the hash of a small tuple that holds itself
many times over. Here the operations are read one by one, and only values that are known to be small are created.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID

__all__ = ['Name', 'Opaque', 'read']

_MOST_OPERATIONS = 300_000
_MOST_OPAQUE = 20_000
_LARGEST_KEY = 1000
# Many keys with the same hash take very long. The hash of text is salted, and small integers are their own hash.
_MOST_UNSURE_KEYS = 5000
_SURE_BITS = 61
_LONGEST_INTEGER = 8192
_LONGEST_TEXT = 1000
_FRACTION = re.compile(r'-?\d{1,1000}(/\d{1,1000})?')


class Name:
    """A function or class that was not imported.

    Args:
        module: its module.
        name: its qualified name.
    """

    __slots__ = ('text',)

    def __init__(self, module: str, name: str) -> None:
        self.text = f'{module}.{name}'


class Opaque:
    """Represents an object of a class that was not imported, with what the pickle holds of it.

    Args:
        made_by: the class or function that makes it.
        args: positional arguments for that.
        kwargs: keyword arguments.
    """

    __slots__ = ('args', 'items', 'kwargs', 'made_by', 'state')

    def __init__(self, made_by: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> None:
        self.made_by = made_by
        self.args = args
        self.kwargs = kwargs
        self.state: Any = None
        self.items: list[Any] = []

    @property
    def class_name(self) -> str:
        """The dotted name of its class."""
        return name_of(self.made_by)


def name_of(value: Any) -> str:
    """Return the dotted name of a class or function that a pickle names.

    Args:
        value: a `Name`, or a class of the standard library.
    """
    return value.text if isinstance(value, Name) else f'{value.__module__}.{value.__qualname__}'


def read(data: bytes, exactly: bool = False) -> Any:
    """Return what a pickle holds.

    Args:
        data: the pickle.
        exactly: refuse what would have to be shown as an `Opaque` or a `Name`.

    Raises:
        Exception: it cannot be read, is too large, or cannot be read exactly.
    """
    return _Machine(exactly).run(data)


# -- what is made of the standard library's classes: small things from small arguments, and else nothing


def _small(*values: Any) -> bool:
    for value in values:
        if type(value) is int:
            if value.bit_length() > _LONGEST_INTEGER:
                return False
        elif type(value) in (str, bytes):
            if len(value) > _LONGEST_TEXT:
                return False
        elif value is not None and type(value) not in (float, bool, timedelta, timezone):
            return False
    return True


def _made_of_small(kind: Callable[..., Any]) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        if not _small(*args):
            raise ValueError('large arguments')
        return kind(*args)

    return make


def _fraction(*args: Any) -> Fraction:
    if len(args) == 1 and type(args[0]) is str and _FRACTION.fullmatch(args[0]):
        return Fraction(args[0])
    if not all(type(arg) is int for arg in args) or not _small(*args):
        raise ValueError('not in the form that is pickled')
    return Fraction(*args)


def _bytes(text: Any, encoding: Any) -> bytes:
    if type(text) is not str or encoding not in ('latin1', 'latin-1'):
        raise ValueError('not in the form that is pickled')
    return text.encode('latin-1')


def _bytearray(content: Any = b'', *encoding: Any) -> bytearray:
    if type(content) is bytes and not encoding:
        return bytearray(content)
    return bytearray(_bytes(content, *encoding))


def _members(content: Any = ()) -> Any:
    if type(content) not in (list, tuple) or len(content) > _MOST_UNSURE_KEYS:
        raise ValueError('not in the form that is pickled')
    for member in content:
        check_key(member)
    return content


def _deque(content: Any = (), most: Any = None) -> deque[Any]:
    if type(content) not in (list, tuple) or type(most) not in (int, type(None)):
        raise ValueError('not in the form that is pickled')
    return deque(content, most)


def _counter(content: Any = None) -> Counter[Any]:
    # Not Counter(content), which would count.
    made: Counter[Any] = Counter()
    if content is not None:
        if type(content) is not dict:
            raise ValueError('not in the form that is pickled')
        dict.update(made, content)
    return made


def _uuid() -> UUID:
    return UUID(int=0)


_CLASSES: dict[tuple[str, str], Any] = {
    (kind.__module__, kind.__qualname__): kind
    for kind in (
        *(bool, bytearray, bytes, complex, dict, float, frozenset, int, list, range, set, slice, str, tuple),
        *(OrderedDict, deque, Counter, date, datetime, time, timedelta, timezone, Decimal, Fraction, UUID),
    )
}
_CLASSES.update({('pathlib', kind.__name__): kind for kind in (PosixPath, PurePosixPath, PureWindowsPath)})
_CLASSES[('_codecs', 'encode')] = _bytes
# As Python 2 and the lower protocols call them.
_CLASSES.update({('builtins', 'xrange'): range, ('builtins', 'long'): int})

_MAKERS: dict[Any, Callable[..., Any]] = {
    **{
        kind: _made_of_small(kind)
        for kind in (
            *(complex, range, slice, date, datetime, time, timedelta, timezone, Decimal),
            *(PosixPath, PurePosixPath, PureWindowsPath),
        )
    },
    _bytes: _bytes,
    bytes: lambda: b'',
    bytearray: _bytearray,
    set: lambda *args: set(_members(*args)),
    frozenset: lambda *args: frozenset(_members(*args)),
    OrderedDict: lambda: OrderedDict(),
    deque: _deque,
    Counter: _counter,
    Fraction: _fraction,
    UUID: _uuid,
}


def check_key(value: Any) -> None:
    """Check that a value can be hashed quickly.

    Args:
        value: a key of a dict or a member of a set.

    Raises:
        UnpicklingError: it is too large.
        TypeError: it has no hash.
    """
    if type(value) in (tuple, frozenset):
        left = [value]
        seen = 0
        while left:
            item = left.pop()
            if type(item) in (tuple, frozenset):
                seen += 1 + len(item)
                if seen > _LARGEST_KEY:
                    raise pickle.UnpicklingError('a key is too large')
                left.extend(item)
    hash(value)


# -- the operations


class _Machine:
    def __init__(self, exactly: bool) -> None:
        self._exactly = exactly
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._opaque = 0
        self._unsure_keys = 0

    def run(self, data: bytes) -> Any:
        operations = _OPERATIONS
        for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
            if count > _MOST_OPERATIONS:
                raise pickle.UnpicklingError('it has too many parts')
            name = operation.name
            if name in _LITERALS:
                self._stack.append(argument)
            elif name == 'STOP':
                break
            else:
                operations[name](self, argument)
        return self._stack.pop()

    def _mark(self, argument: Any) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        found = self._stack
        self._stack = self._marked.pop()
        return found

    def _pop(self, argument: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _put(self, argument: Any) -> None:
        self._memo[int(argument)] = self._stack[-1]

    def _memoize(self, argument: Any) -> None:
        self._put(len(self._memo))

    def _tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise pickle.UnpicklingError('a part is missing')
        found = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._stack.append(found)

    def _add(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, (set, frozenset)):
            self._check_keys(items)
            if not isinstance(target, set):
                raise pickle.UnpicklingError('it adds to what does not change')
            target.update(items)
        elif isinstance(target, (list, deque)):
            target.extend(items)
        elif isinstance(target, Opaque):
            target.items.extend(items)
        else:
            raise pickle.UnpicklingError('it adds to what is no list')

    def _check_keys(self, keys: Sequence[Any]) -> None:
        for key in keys:
            if type(key) in (str, bytes) or (type(key) is int and key.bit_length() < _SURE_BITS):
                continue
            self._unsure_keys += 1
            if self._unsure_keys > _MOST_UNSURE_KEYS:
                raise pickle.UnpicklingError('it has too many keys')
            check_key(key)

    def _set_item(self, argument: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(target, dict):
                self._check_keys((key,))
                target[key] = value
            elif isinstance(target, Opaque):
                target.items.append((key, value))
            else:
                raise pickle.UnpicklingError('it sets items of what is no dict')

    def _dict(self, argument: Any) -> None:
        items = self._since_mark()
        self._stack.append({})
        self._set(items)

    def _frozen_set(self, argument: Any) -> None:
        items = self._since_mark()
        self._check_keys(items)
        self._push(frozenset(items))

    def _stack_global(self, argument: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(self._find(module, name))

    def _find(self, module: Any, name: Any) -> Any:
        if type(module) is not str or type(name) is not str:
            raise pickle.UnpicklingError('a name is no text')
        known = _CLASSES.get(('builtins' if module == '__builtin__' else module, name))
        if known is not None:
            return known
        if self._exactly:
            raise pickle.UnpicklingError(f'{module}.{name} is not imported here')
        return Name(module, name)

    def _reduce(self, argument: Any) -> None:
        args, made_by = self._stack.pop(), self._stack.pop()
        self._stack.append(self._make(made_by, args, {}))

    def _new_object(self, argument: Any) -> None:
        kwargs, args, made_by = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._stack.append(self._make(made_by, args, kwargs))

    def _instance(self, argument: Any) -> None:
        args = tuple(self._since_mark())
        module, _, name = argument.partition(' ')
        self._stack.append(self._make(self._find(module, name), args, {}))

    def _object(self, argument: Any) -> None:
        made_by, *args = self._since_mark()
        self._stack.append(self._make(made_by, tuple(args), {}))

    def _make(self, made_by: Any, args: Any, kwargs: Any) -> Any:
        if type(args) is not tuple or type(kwargs) is not dict:
            raise pickle.UnpicklingError('its arguments are none')
        maker = _MAKERS.get(made_by) if isinstance(made_by, type) or made_by is _bytes else None
        if maker is not None and not kwargs:
            try:
                return maker(*args)
            except Exception:
                if self._exactly:
                    raise
        if self._exactly or not (isinstance(made_by, (type, Name)) or made_by is _bytes):
            raise pickle.UnpicklingError('it makes what is not made here')
        self._opaque += 1
        if self._opaque > _MOST_OPAQUE:
            raise pickle.UnpicklingError('it has too many objects')
        return Opaque(made_by, args, kwargs)

    def _build(self, argument: Any) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Opaque):
            target.state = state
        elif type(target) is UUID and type(state) is dict and type(state.get('int')) is int:
            object.__setattr__(target, 'int', state['int'] % (1 << 128))
        elif self._exactly:
            raise pickle.UnpicklingError('it changes what is not changed here')

    def _refuse(self, argument: Any) -> None:
        raise pickle.UnpicklingError('it refers to objects outside of itself')


_LITERALS = frozenset(
    operation.name
    for operation in pickletools.opcodes
    if operation.arg is not None
    and operation.stack_after
    and not operation.stack_before
    and operation.name
    not in ('GET', 'BINGET', 'LONG_BINGET', 'GLOBAL', 'INST', 'PERSID', 'EXT1', 'EXT2', 'EXT4', 'NEXT_BUFFER')
)


def _pushes(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine._push(make())


def _tuples(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine._tuple_of(count)


_OPERATIONS: dict[str, Callable[[_Machine, Any], object]] = {
    'MARK': _Machine._mark,
    'POP': _Machine._pop,
    'POP_MARK': lambda machine, argument: machine._since_mark(),
    'DUP': lambda machine, argument: machine._push(machine._stack[-1]),
    **dict.fromkeys(
        ('GET', 'BINGET', 'LONG_BINGET'), lambda machine, argument: machine._push(machine._memo[int(argument)])
    ),
    **dict.fromkeys(('PUT', 'BINPUT', 'LONG_BINPUT'), _Machine._put),
    'MEMOIZE': _Machine._memoize,
    'NONE': _pushes(lambda: None),
    'NEWTRUE': _pushes(lambda: True),
    'NEWFALSE': _pushes(lambda: False),
    'EMPTY_LIST': _pushes(list),
    'EMPTY_TUPLE': _pushes(tuple),
    'EMPTY_DICT': _pushes(dict),
    'EMPTY_SET': _pushes(set),
    'TUPLE1': _tuples(1),
    'TUPLE2': _tuples(2),
    'TUPLE3': _tuples(3),
    'TUPLE': lambda machine, argument: machine._push(tuple(machine._since_mark())),
    'LIST': lambda machine, argument: machine._push(machine._since_mark()),
    'DICT': _Machine._dict,
    'FROZENSET': _Machine._frozen_set,
    'APPEND': lambda machine, argument: machine._add([machine._stack.pop()]),
    **dict.fromkeys(('APPENDS', 'ADDITEMS'), lambda machine, argument: machine._add(machine._since_mark())),
    'SETITEM': _Machine._set_item,
    'SETITEMS': lambda machine, argument: machine._set(machine._since_mark()),
    'GLOBAL': lambda machine, argument: machine._push(machine._find(*argument.split(' ', 1))),
    'STACK_GLOBAL': _Machine._stack_global,
    # NEWOBJ calls __new__ and REDUCE what it is given; here nothing is called.
    **dict.fromkeys(('REDUCE', 'NEWOBJ'), _Machine._reduce),
    'NEWOBJ_EX': _Machine._new_object,
    'INST': _Machine._instance,
    'OBJ': _Machine._object,
    'BUILD': _Machine._build,
    **dict.fromkeys(('PROTO', 'FRAME', 'READONLY_BUFFER'), lambda machine, argument: None),
    **dict.fromkeys(('PERSID', 'BINPERSID', 'EXT1', 'EXT2', 'EXT4', 'NEXT_BUFFER'), _Machine._refuse),
}
