"""Whether a disk that is left holds a beginning of what its store did, as long as was promised, and nothing else."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rq_leveldb.location import DATABASES
from tests.power.server import Left, Server
from tests.power.units import History, Place, Value

FAULTS = {
    'lost': 'units are missing that had to be there',
    'unopenable': 'the database cannot be opened, or not a second time',
    'holes': 'units are there that came later than one that is missing',
    'halves': 'some of a unit is there, and some not',
    'mismatched': 'counts are unlike what is counted',
    'forgotten': 'what is written after the first opening is gone at the second',
}
OTHER_BOOT = '00000000-0000-0000-0000-000000000000'


@dataclass
class Judgement:
    """What was found.

    Attributes:
        there: how many units; None if nothing could be read.
        faults: kinds of faults and for each an example in words.
    """

    there: int | None = None
    faults: dict[str, str] = field(default_factory=dict)


def started_anew(data: Path, machine: bool) -> None:
    """Let it be as after the start of a machine: what the store noted of the last one is of another.

    Args:
        data: the store's data directory.
        machine: whether it was started anew, and not only the store.
    """
    boot = data / 'boot'
    if machine and boot.exists():
        boot.write_text(OTHER_BOOT)


def units(data: Path, server: Server) -> int:
    """Return how many units a database holds."""
    left = server.open(data)
    try:
        count: int = left.call('LLEN', 'history')
        return count
    finally:
        left.close()


def judge(data: Path, history: History, due: int, server: Server) -> Judgement:
    """Open what is left and compare.

    Args:
        data: the data directory, which is changed.
        history: what the store did.
        due: how many units of it must be there at least.
        server: what can open it.
    """
    judgement = Judgement()
    faults = judgement.faults
    try:
        left = server.open(data)
    except Exception as error:
        faults['unopenable'] = told(error)
        return judgement
    try:
        found = _Left(left, faults)
        found.read()
        _compare(found, history, due, faults)
        before = left.call('LLEN', 'history')
        judgement.there = before
        reply = left.call('SET', 'afterwards', due)
        if reply != b'OK':
            faults['mismatched'] = f'a write is answered by {reply}'
    except Exception as error:
        faults.setdefault('mismatched', told(error))
        return judgement
    finally:
        left.close()
    try:
        left = server.open(data)
        count = left.call('LLEN', 'history')
        if count != before:
            faults.setdefault('lost', f'{before} units were there, {count} at the second opening')
        value = left.call('GET', 'afterwards')
        if value != b'%d' % due:
            faults['forgotten'] = f'{due} was written after {before} units, {value} is there at the second opening'
        left.close()
    except Exception as error:
        faults.setdefault('unopenable', f'at the second time: {told(error)}')
    return judgement


def told(error: Exception) -> str:
    """Return an error and where it came from, in a line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f'{type(error).__name__}: {str(error)[:200]} ({Path(last.filename).name}, line {last.lineno})'


def _compare(found: _Left, history: History, due: int, faults: dict[str, str]) -> None:
    there = len(found.names)
    if found.names != history.names[:there]:
        at = next(index for index, name in enumerate(found.names) if history.names[index : index + 1] != [name])
        faults['holes'] = f'of {there} units the one at {at} is {found.names[at]}, not {history.names[at : at + 1]}'
    missing = set(history.names[:due]).difference(found.names)
    if missing:
        first = min(missing, key=history.names.index)
        faults['lost'] = f'{there} units are there, {due} are due; the first that is missing is {first}'
    if 'holes' in faults:
        return
    expected = history.contents(there)
    now = time.time() * 1000
    living = {
        place: (value, expected.expiries.get(place))
        for place, value in expected.values.items()
        if expected.expiries.get(place, now) >= now
    }
    unlike = [place for place in living.keys() | found.values.keys() if living.get(place) != found.values.get(place)]
    if unlike:
        place = min(unlike)
        faults['halves'] = (
            f'after {there} units {len(unlike)} keys differ; {place} is {_short(found.values.get(place))}, '
            f'not {_short(living.get(place))}'
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f'{text[:80]}...'


class _Left:
    """What is read from a database.

    Args:
        faults: where counts that are wrong are told.

    Attributes:
        values: by database and key, what it holds and when it expires (Unix time in ms, None for never).
        names: those of the units in its history.
    """

    def __init__(self, left: Left, faults: dict[str, str]) -> None:
        self._left = left
        self.values: dict[Place, tuple[Value, int | None]] = {}
        self.names: list[str] = []
        self.faults = faults

    def read(self) -> None:
        left = self._left
        for db in range(DATABASES):
            left.select(db)
            keys = left.keys()
            self._count('DBSIZE', left.call('DBSIZE'), len(keys), f'database {db}')
            for key, kind in keys:
                value = self._value(key, kind)
                expires = left.call('PEXPIRETIME', key)
                if expires == -2:
                    continue  # it came due meanwhile
                self.values[db, key.decode()] = value, None if expires == -1 else expires
        left.select(0)
        history = self.values.get((0, 'history'), ([], None))[0]
        assert isinstance(history, list)
        self.names = [name.decode() for name in history]
        order = self.values.get((0, 'order'), (b'0', None))[0]
        if order != b'%d' % len(self.names):
            self.faults['halves'] = f'order is {order!r}, history has {len(self.names)} units'

    def _value(self, key: bytes, kind: str) -> Value:
        call = self._left.call
        value: Value
        if kind == 'string':
            value = call('GET', key)
            return value
        if kind == 'list':
            length = call('LLEN', key)
            value = call('LRANGE', key, 0, -1)
            if value is False:  # not as long as it says that it is
                value = [one for one in (call('LINDEX', key, index) for index in range(length)) if one is not None]
            self._count('LLEN', length, len(value), key)
        elif kind == 'set':
            value = set(call('SMEMBERS', key))
            self._count('SCARD', call('SCARD', key), len(value), key)
        elif kind == 'hash':
            flat = call('HGETALL', key)
            value = dict(zip(flat[::2], flat[1::2], strict=True))
            self._count('HLEN', call('HLEN', key), len(value), key)
        elif kind == 'zset':
            flat = call('ZRANGE', key, 0, -1, 'WITHSCORES')
            value = dict(zip(flat[::2], map(float, flat[1::2]), strict=True))
            self._count('ZCARD', call('ZCARD', key), len(value), key)
            scores = call('ZMSCORE', key, *value) if value else []
            if [None if score is None else float(score) for score in scores] != list(value.values()):
                self.faults['mismatched'] = f'ZMSCORE and ZRANGE tell other scores for {key!r}'
        else:
            assert kind == 'stream', kind
            value = {entry: tuple(fields) for entry, fields in call('XRANGE', key, '-', '+')}
            self._count('XLEN', call('XLEN', key), len(value), key)
        return value

    def _count(self, command: str, count: int, counted: int, what: object) -> None:
        if count != counted:
            self.faults['mismatched'] = f'{command} is {count}, {counted} are there ({what!r})'
