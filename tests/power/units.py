"""What the clients of a load send, and what a store holds after any number of it, told without a store.

Every unit (docs/internals.rst) leaves its number in all that it changes, counts itself in ``order``, and stands in
``history``: so the units that a store has, and their order, can be read from it, and all the rest follows. `Contents`
is a plain reading of the commands' documentation at https://redis.io/commands, for those that are used here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

Command = tuple[str | int | bytes, ...]

FAR = 4_000_000_000_000
"""Unix time in ms of an expiry that no test lives to see."""

LARGE = 500_000
KEPT = 30


@dataclass(frozen=True, slots=True)
class Unit:
    """What one client has done at once.

    Args:
        client: its number.
        number: 1, 2, 3, ... for each client.
        as_script: whether it is a script, else a transaction.
    """

    client: int
    number: int
    as_script: bool
    commands: tuple[Command, ...]

    @property
    def name(self) -> str:
        """As it stands in ``history``."""
        return f'{self.client}:{self.number}'

    @property
    def tag(self) -> bytes:
        """What its reply contains: once that has left, the unit is acknowledged."""
        return b'<%d:%d>' % (self.client, self.number)


SCRIPT = """
local at = 1
while at <= #ARGV do
    local count = tonumber(ARGV[at])
    redis.call(unpack(ARGV, at + 1, at + count))
    at = at + 1 + count
end
return KEYS[1]
"""
"""Executes commands, each with its number of arguments before it, and returns its first key: the unit's tag."""

SHOW = """
local number = redis.call('GET', 'count:' .. KEYS[1])
return number and '<' .. KEYS[1] .. ':' .. number .. '>'
"""
"""Shows how far another client has come; whoever was shown it relies on it as on an acknowledgement."""

_KINDS = ('small', 'queue', 'queue', 'queue', 'expiry', 'removal', 'large', 'flush')


def unit(seed: int, client: int, number: int) -> Unit:
    """Return the client's unit of that number, always the same for a seed."""
    chance = Random(f'{seed}:{client}:{number}')
    commands: list[Command] = [
        ('INCR', 'order'),
        ('INCR', f'count:{client}'),
        ('RPUSH', 'history', f'{client}:{number}'),
    ]
    kind = _KINDS[client % len(_KINDS)]
    commands += _MAKERS[kind](client, number, chance)
    return Unit(client, number, chance.random() < 0.3 and kind != 'large', tuple(commands))


def payload(client: int, number: int, size: int) -> bytes:
    """Return bytes that cannot be compressed and are the same each time."""
    return hashlib.shake_128(b'%d:%d' % (client, number)).digest(size)


def _small(client: int, number: int, chance: Random) -> list[Command]:
    place = f'small:{client}'
    return [
        ('SET', f'{place}:string', number),
        ('HSET', f'{place}:hash', 'number', number, f'field:{number % KEPT}', number),
        ('SADD', f'{place}:set', number),
        ('SREM', f'{place}:set', number - KEPT),
        ('ZADD', f'{place}:zset', number, f'member:{number}'),
        ('ZREMRANGEBYSCORE', f'{place}:zset', '-inf', number - KEPT),
        ('XADD', f'{place}:stream', f'{number}-1', 'number', number),
        ('XTRIM', f'{place}:stream', 'MAXLEN', KEPT),
        ('LPUSH', f'{place}:list', number),
        ('LTRIM', f'{place}:list', 0, KEPT - 1),
        ('HSET', f'{place}:{number % KEPT}', 'number', number, 'payload', payload(client, number, 200)),
    ]


def _queue(client: int, number: int, chance: Random) -> list[Command]:
    """A job's life, in four units: enqueued, taken, finished, gone some jobs later."""
    job, step = divmod(number, 4)
    queue, taken, finished = f'queue:{client}', f'taken:{client}', f'finished:{client}'
    if step == 0:
        return [
            ('SADD', 'queues', queue),
            ('HSET', f'job:{client}:{job}', 'status', 'queued', 'data', payload(client, job, 400), 'unit', number),
            ('RPUSH', queue, job),
        ]
    name = f'job:{client}:{job}'
    if step == 1:
        return [
            ('LMOVE', queue, taken, 'LEFT', 'RIGHT'),
            ('ZADD', f'started:{client}', number, job),
            ('HSET', name, 'status', 'started', 'unit', number),
        ]
    if step == 2:
        return [
            ('LREM', taken, 1, job),
            ('ZREM', f'started:{client}', job),
            ('ZADD', finished, number, job),
            ('HSET', name, 'status', 'finished', 'unit', number),
            ('PEXPIREAT', name, FAR + number),
            ('XADD', f'results:{client}', f'{number}-1', 'job', job),
        ]
    return [
        ('ZREMRANGEBYSCORE', finished, '-inf', number - 4 * KEPT),
        ('DEL', f'job:{client}:{job - KEPT}'),
        ('XTRIM', f'results:{client}', 'MAXLEN', KEPT),
    ]


def _expiry(client: int, number: int, chance: Random) -> list[Command]:
    """Keys whose time has come long before anybody looks, keys that are put off, keys that stay."""
    return [
        ('SET', f'brief:{client}:{number}', number, 'PX', chance.randrange(1, 200)),
        ('SET', f'late:{client}:{number % KEPT}', number, 'PX', chance.randrange(1, 50)),
        ('SET', f'late:{client}:{number % KEPT}', number),
        ('PEXPIREAT', f'late:{client}:{number % KEPT}', FAR + number),
        ('RPUSH', f'brief list:{client}:{number}', *range(number, number + 40)),
        ('PEXPIRE', f'brief list:{client}:{number}', chance.randrange(1, 200)),
        ('PERSIST', f'late:{client}:{number % 7}'),
    ]


def _removal(client: int, number: int, chance: Random) -> list[Command]:
    """Large values that go away as a whole, for the sweeper to remove in slices."""
    place, step = f'big:{client}:{number // 5 % 3}', number % 5
    members = [f'{number}:{index}' for index in range(400)]
    if step == 0:
        return [('DEL', place), ('SADD', place, *members)]
    if step == 1:
        return [('DEL', place), ('ZADD', place, *(part for member in members for part in (number, member)))]
    if step == 2:
        return [('DEL', place), ('RPUSH', place, *members)]
    if step == 3:
        return [('SET', f'{place}:small', number), ('RENAME', f'{place}:small', place)]
    return [('DEL', place), ('HSET', place, *(part for member in members for part in (member, number)))]


def _large(client: int, number: int, chance: Random) -> list[Command]:
    """Enough bytes for LevelDB to turn to another log, to write tables and to compact them."""
    return [('SET', f'large:{client}:{number % 6}', payload(client, number, chance.randrange(LARGE // 4, LARGE)))]


def _flush(client: int, number: int, chance: Random) -> list[Command]:
    """A database of its own, emptied now and then."""
    if number % 12 == 0:
        return [('SELECT', 1), ('FLUSHDB',), ('SELECT', 0)]
    return [
        ('SELECT', 1),
        ('SET', f'other:{number % 12}', number),
        ('SADD', 'other', *range(number, number + 20)),
        ('SELECT', 0),
    ]


_MAKERS = {
    'small': _small,
    'queue': _queue,
    'expiry': _expiry,
    'removal': _removal,
    'large': _large,
    'flush': _flush,
}

_STEP = 100
Place = tuple[int, str]
Value = Any
"""Bytes, a list, a set, a dict of bytes (a hash), of floats (a sorted set), or of tuples (a stream)."""


TAG = re.compile(rb'<(\d+):(\d+)>')
"""A unit's tag in what a store sends."""


@dataclass
class Contents:
    """What a store holds.

    Attributes:
        values: by database and key.
        expiries: Unix time in ms of those that expire.
    """

    values: dict[Place, Value] = field(default_factory=dict)
    expiries: dict[Place, int] = field(default_factory=dict)

    def copy(self) -> Contents:
        values = {place: value if isinstance(value, bytes) else value.copy() for place, value in self.values.items()}
        return Contents(values, self.expiries.copy())

    def execute(self, one: Unit) -> None:
        db = 0
        for command in one.commands:
            if command[0] == 'SELECT':
                db = int(command[1])
            elif command[0] == 'FLUSHDB':
                for place in [place for place in self.values if place[0] == db]:
                    self._remove(place)
            else:
                self._execute(db, command)

    def _remove(self, place: Place) -> None:
        self.values.pop(place, None)
        self.expiries.pop(place, None)

    def _execute(self, db: int, command: Command) -> None:
        name, key = str(command[0]), str(command[1])
        place = db, key
        rest = [_bytes(part) for part in command[2:]]
        values = self.values
        value: Any = values.get(place)
        if name == 'SET':
            values[place] = rest[0]
            self.expiries.pop(place, None)
            if len(rest) > 1:
                self.expiries[place] = int(rest[2])  # long over when anybody looks
        elif name == 'INCR':
            values[place] = b'%d' % (int(value or 0) + 1)
        elif name == 'DEL':
            self._remove(place)
        elif name == 'RENAME':
            values[db, rest[0].decode()] = values.pop(place)
            self.expiries.pop((db, rest[0].decode()), None)
        elif name in ('PEXPIREAT', 'PEXPIRE'):
            if value is not None:
                self.expiries[place] = int(rest[0])
        elif name == 'PERSIST':
            self.expiries.pop(place, None)
        elif name == 'RPUSH':
            values.setdefault(place, []).extend(rest)
        elif name == 'LPUSH':
            values[place] = [*reversed(rest), *(value or [])]
        elif name == 'LTRIM':
            values[place] = value[: int(rest[1]) + 1]
        elif name == 'LMOVE':
            if value:
                values.setdefault((db, rest[0].decode()), []).append(value.pop(0))
        elif name == 'LREM':
            if value and rest[1] in value:
                value.remove(rest[1])
        elif name == 'SADD':
            values.setdefault(place, set()).update(rest)
        elif name == 'SREM':
            (value or set()).difference_update(rest)
        elif name == 'HSET':
            values.setdefault(place, {}).update(zip(rest[::2], rest[1::2], strict=True))
        elif name == 'ZADD':
            values.setdefault(place, {}).update(zip(rest[1::2], map(float, rest[::2]), strict=True))
        elif name == 'ZREM':
            (value or {}).pop(rest[0], None)
        elif name == 'ZREMRANGEBYSCORE':
            for member in [member for member, score in (value or {}).items() if score <= float(rest[1])]:
                del value[member]
        elif name == 'XADD':
            values.setdefault(place, {})[rest[0]] = tuple(rest[1:])
        elif name == 'XTRIM':
            for entry in list(value or {})[: -int(rest[1])]:
                del value[entry]
        else:
            raise AssertionError(name)
        if values.get(place) in ([], set(), {}) and name != 'XTRIM':
            self._remove(place)


def _bytes(part: str | int | bytes) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


class History:
    """Units in the order in which a store did them.

    Args:
        seed: of the load.
        names: of the units, as they stand in ``history``.
    """

    def __init__(self, seed: int, names: Sequence[str]) -> None:
        self.names = list(names)
        self.position = {name: index for index, name in enumerate(names)}
        self._units = [unit(seed, *map(int, name.split(':'))) for name in names]
        self._copies = [Contents()]  # after 0, _STEP, 2 * _STEP, ... units

    def contents(self, count: int) -> Contents:
        """Return what a store holds after so many units, and no more."""
        contents = Contents()
        while len(self._copies) <= count // _STEP:
            contents = self._copies[-1].copy()
            first = (len(self._copies) - 1) * _STEP
            for one in self._units[first : first + _STEP]:
                contents.execute(one)
            self._copies.append(contents)
        contents = self._copies[count // _STEP].copy()
        for one in self._units[count // _STEP * _STEP : count]:
            contents.execute(one)
        return contents
