"""What is stored is shown whatever it is, and looking at it runs nothing and takes little."""

from __future__ import annotations

import os
import pickle
import resource
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rq_leveldb.pickled import Opaque, read
from rq_leveldb.reading import Reader, Unreadable, call_text, read_call, show

KEPT = [
    ('tasks.add', None, (1, 2), {'a': [1, 2.5, 'x', b'y', None, True]}),
    {1, 2, frozenset([3, 'x'])},
    datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2), 'here')),
    timedelta(1, 2, 3),
    date(2026, 1, 2),
    clock(1, 2),
    Decimal('1.50'),
    Fraction(-1, 3),
    Path('/a/b'),
    PureWindowsPath('c:/x'),
    OrderedDict(a=1, b=[2]),
    deque([1, 2], 3),
    Counter('aab'),
    range(3, 9, 2),
    slice(1, 2, 3),
    complex(1, -2),
    bytearray(b'abc'),
    b'\x00\xff',
    int,
    10**100,
    {(1, (2, 3)): 4},
    -5,
    'ä' * 300,
]


@pytest.mark.parametrize('protocol', range(2, 6))
def test_harmless_values_are_read_exactly(protocol: int) -> None:
    for value in KEPT:
        if value is int and protocol < 3:
            continue
        found = read(pickle.dumps(value, protocol), exactly=True)
        assert (found, type(found)) == (value, type(value))
        assert read(pickle.dumps(value, protocol)) == value
    identity = UUID('12345678123456781234567812345678')
    assert read(pickle.dumps(identity, protocol), exactly=True) == identity


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(value=plain, protocol=st.integers(0, 5))
def test_whatever_pickle_writes_is_read(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol), exactly=True) == value


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60) | plain.map(pickle.dumps), at=st.integers(0, 200), byte=st.integers(0, 255))
def test_no_bytes_break_it(data: bytes, at: int, byte: int) -> None:
    found = Reader().look(data[:at] + bytes([byte]) + data[at + 1 :])
    show(found)


class Spy:
    """Would make a file if it were unpickled as usual."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Thing:
    """An object of the application."""

    def __init__(self) -> None:
        self.size = 3


class Items(list):  # type: ignore[type-arg]
    """A list of the application."""


def test_nothing_is_run_or_imported(tmp_path: Path) -> None:
    data = pickle.dumps(Spy(tmp_path / 'made'))
    shown = show(Reader().look(data))
    assert shown.value is None
    assert shown.repr == f"posix.mkdir('{tmp_path}/made')"
    with pytest.raises(pickle.UnpicklingError):
        Reader().loads(data)
    assert not (tmp_path / 'made').exists()


def test_objects_of_the_application_are_shown_by_what_they_hold() -> None:
    module = Thing.__module__
    assert show(read(pickle.dumps(Thing()))).repr == f'{module}.Thing(size=3)'
    assert show(read(pickle.dumps([Thing]))).repr == f'[<{module}.Thing>]'
    assert show(read(pickle.dumps(Items([1, 'a'])))).repr == f"{module}.Items(1, 'a')"
    assert isinstance(read(pickle.dumps(Thing())), Opaque)
    name, args, kwargs = read_call(Reader(), pickle.dumps(('run', Thing(), (1, 'a'), {'b': {1}})))
    assert name == f'{module}.Thing.run'
    assert call_text(name, args, kwargs) == f"{module}.Thing.run(1, 'a', b={{1}})"
    assert show((1, {2: 'x'}, {3}, deque([4]))).repr == "(1, {2: 'x'}, {3}, deque([4]))"


def shared_lists() -> bytes:
    """Return a small list that is 340 MB and more when it is written."""
    value: Any = ['x' * 100]
    for _ in range(60):
        value = [value] * 4
    return pickle.dumps(value)


def shared_tuples() -> bytes:
    """Return a dict with a key whose hash takes longer than anybody lives."""
    return b'\x80\x04}' + b')' + b'2\x86' * 100 + b'K\x01s.'


def deep_key() -> bytes:
    """Return a dict with a key whose hash ends the process."""
    return b'\x80\x04})' + b'\x85' * 500_000 + b'K\x01s.'


def cycle() -> bytes:
    """Return a list that holds itself, and a dict that does."""
    value: list[Any] = []
    value.append({'again': [value, value]})
    return pickle.dumps(value)


def called(module: str, name: str, *args: Any) -> bytes:
    """Return a pickle that calls something."""
    return b'\x80\x02c' + f'{module}\n{name}\n'.encode() + pickle.dumps(args, 2)[2:-1] + b'R.'


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Let this process take half a gigabyte more than it has, at most."""
    with open('/proc/self/statm', encoding='ascii') as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures('little_memory')
@pytest.mark.parametrize(
    'data',
    [
        called('fractions', 'Fraction', '1e200000000'),
        called('builtins', 'bytes', 10**11),
        called('builtins', 'bytearray', 10**11),
        called('builtins', 'list', range(10**9)),
        called('collections', 'deque', range(10**9)),
        called('collections', 'Counter', {'a': 10**9}),
        called('builtins', 'set', [Fraction(1, 3), (1, 2)]),
        called('decimal', 'Decimal', '1e999999999'),
        called('builtins', 'int', '9' * 900_000),
        pickle.dumps(1 << 8_000_000),
        shared_lists(),
        shared_tuples(),
        deep_key(),
        cycle(),
        b'\x80\x04' + b'(' * 900_000 + b'.',
        b'\x80\x04' + b']' * 900_000 + b'a' * 899_999 + b'.',
        b'\x80\x04]' + b'c' + b'a\nb\n' * 1 + b'0' + b'ca\nb\n)\x81' * 100_000 + b'.',
        b'\x80\x04}(' + b''.join(pickle.dumps(n * ((1 << 61) - 1), 4)[2:-1][-15:] for n in range(2)) + b'u.',
        b'\x80\x04X\xff\xff\xff\x7fabc.',
    ],
    ids=lambda data: repr(data[:24]),
)
def test_bombs_are_shown_quickly(data: bytes) -> None:
    reader = Reader()
    started = time.monotonic()
    shown = show(reader.look(data))
    if shown.repr is not None:
        assert len(shown.repr) < 30_000
    try:
        reader.loads(data)
    except Exception:
        pass
    name, args, kwargs = read_call(reader, data)
    assert call_text(name or '', args, kwargs)
    assert time.monotonic() - started < 20


def test_many_keys_of_one_hash_are_refused() -> None:
    data = pickle.dumps({n * ((1 << 61) - 1): 0 for n in range(1, 6000)})
    assert isinstance(Reader().look(data), Unreadable)


def test_json_is_what_json_has() -> None:
    for value in (None, 1, 'a', [1, [2, {'a': None}]], {'a': 1.5}):
        assert show(value).value == value
    assert show((1, 2)).value == [1, 2]
    assert show(float('nan')).repr == 'nan'
    assert show('\ud800').repr == "'\\ud800'"
    assert show({1: 2}).repr == '{1: 2}'
    assert show('x' * 100_000).value == 'x' * 100_000
    long = show([{'x' * 100_000}]).repr
    assert long is not None
    assert long.endswith('…')
