"""DUMP and RESTORE between the store and Redis: in both directions a value arrives whole, and errors are the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from compat_tests.comparison.contents import contents
from compat_tests.comparison.contest import Server
from compat_tests.comparison.wire import Reply, Wire
from compat_tests.real_redis import RealRedis
from tests.store.payloads import BROKEN, OLD, PAYLOADS, VALUES, Command, sealed

_PATIENCE = 60
_VERSION = (7, 2)
"""Of the Redis that can read what the store writes."""

_NUMBERS = range(30_000)
_BYTES = random.Random(1).randbytes(10 << 20)
LARGE: dict[str, list[Command]] = {
    'string': [('SET', 'k', _BYTES)],
    'text': [('SET', 'k', b'the same line over and over\n' * (len(_BYTES) // 28))],
    'list': [('RPUSH', 'k', *_NUMBERS)],
    'set': [('SADD', 'k', *_NUMBERS)],
    'hash': [('HSET', 'k', *(part for number in _NUMBERS for part in (f'f{number}', number)))],
    'sorted set': [('ZADD', 'k', *(part for number in _NUMBERS for part in (number / 3, f'm{number}')))],
    'stream': [
        (
            'EVAL',
            "for i = 1, 20000 do redis.call('XADD', KEYS[1], i .. '-1', 'field', i, 'other', 'x') end return 1",
            1,
            'k',
        ),
        ('XGROUP', 'CREATE', 'k', 'g', 0),
        ('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 500, 'STREAMS', 'k', '>'),
    ],
}


@pytest.fixture
def wires(redis_server: RealRedis, store: Server) -> Iterator[tuple[Wire, Wire]]:
    """Connections to Redis, which checks what it restores to the last byte, and to the store, both empty."""
    if redis_server.version < _VERSION:
        pytest.skip(f'Redis {redis_server.version} cannot read what the store writes')
    theirs, ours = Wire(redis_server.socket_path, patience=_PATIENCE), Wire(store.socket_path, patience=_PATIENCE)
    theirs.call('CONFIG', 'SET', 'sanitize-dump-payload', 'yes')
    for wire in (theirs, ours):
        wire.call('FLUSHALL')
    yield theirs, ours
    theirs.call('CONFIG', 'SET', 'sanitize-dump-payload', 'no')
    for wire in (theirs, ours):
        wire.call('FLUSHALL')
        wire.close()


def _all_of(wire: Wire, server: Server) -> Any:
    """Return the contents of the server, and of streams also what their groups hold."""
    held: dict[Any, Any] = dict(contents(server.socket_path))
    for (number, key), (kind, _, _) in list(held.items()):
        if kind == b'stream':
            info = wire.call('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0).value
            pairs = zip(info[::2], info[1::2], strict=True)
            held[number, key, 'more'] = [pair for pair in pairs if not pair[0].value.startswith(b'radix')]
    return held


@pytest.mark.parametrize('back', [False, True], ids=['to-redis', 'to-the-store'])
@pytest.mark.parametrize('commands', [*VALUES.values(), *LARGE.values()], ids=[*VALUES, *(f'large {n}' for n in LARGE)])
def test_a_value_arrives_whole(
    commands: list[Command], back: bool, wires: tuple[Wire, Wire], redis_server: RealRedis, store: Server
) -> None:
    theirs, ours = wires
    source, target = (theirs, ours) if back else (ours, theirs)
    for command in commands:
        assert source.call(*command).kind != '-'
    payload = source.call('DUMP', 'k').value
    assert target.call('RESTORE', 'k', 0, payload) == Reply('+', b'OK')
    assert _all_of(theirs, redis_server) == _all_of(ours, store)
    # Redis would keep it in the same form, had it got the commands.
    for command in commands:
        theirs.call(*('made' if word == 'k' else word for word in command))
    digests = theirs.call('DEBUG', 'DIGEST-VALUE', 'k', 'made').value
    assert digests[0] == digests[1]
    assert theirs.call('OBJECT', 'ENCODING', 'k') == theirs.call('OBJECT', 'ENCODING', 'made')


@pytest.mark.parametrize('payload', [*PAYLOADS, *OLD])
def test_both_read_what_redis_wrote(
    payload: str, wires: tuple[Wire, Wire], redis_server: RealRedis, store: Server
) -> None:
    data = bytes.fromhex(PAYLOADS[payload][0]) if payload in PAYLOADS else sealed(bytes.fromhex(OLD[payload][0]), 9)
    for wire in wires:
        assert wire.call('RESTORE', 'k', 0, data) == Reply('+', b'OK')
    assert _all_of(wires[0], redis_server) == _all_of(wires[1], store)


LENIENT = {
    'string beyond the end': 'Redis goes on reading in the version and the checksum',
    'integer without bytes': 'Redis goes on reading in the version and the checksum',
    'text of a megabyte that is no score': 'Redis takes the digits for the score',
    'stream of another length': 'Redis believes the length',
    'stream that ends before its last entry': 'Redis believes the last id',
    'zeros that become millions of elements': 'Redis refuses it too, after many seconds',
}
"""What Redis does not refuse, or not soon."""


@pytest.mark.parametrize('name', BROKEN)
def test_both_refuse_what_is_broken(name: str, wires: tuple[Wire, Wire]) -> None:
    if name in LENIENT:
        pytest.skip(LENIENT[name])
    theirs, ours = (wire.call('RESTORE', 'k', 0, sealed(BROKEN[name])) for wire in wires)
    assert theirs == ours == Reply('-', b'ERR Bad data format')


def test_fields_that_expire_do_not_arrive(wires: tuple[Wire, Wire]) -> None:
    theirs, ours = wires
    theirs.call('HSET', 'k', 'a', 1, 'b', 2)
    if theirs.call('HPEXPIRE', 'k', 100_000, 'FIELDS', 1, 'a').kind == '-':
        pytest.skip('fields do not expire in this Redis')
    refused = ours.call('RESTORE', 'k', 0, theirs.call('DUMP', 'k').value)
    assert refused.value == b'ERR Bad data format: fields of the hash expire, which this store does not support'
    theirs.call('HPERSIST', 'k', 'FIELDS', 1, 'a')
    assert ours.call('RESTORE', 'k', 0, theirs.call('DUMP', 'k').value) == Reply('+', b'OK')
    assert ours.call('HGET', 'k', 'a').value == b'1'
