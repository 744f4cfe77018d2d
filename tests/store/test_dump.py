"""DUMP and RESTORE: a value comes back whole, whoever serialized it, and broken bytes are refused in words."""

from __future__ import annotations

import tracemalloc

import pytest

from rq_leveldb.store.rdb import values
from rq_leveldb.store.rdb.fault import BadPayload
from tests.store.direct import Direct
from tests.store.payloads import BROKEN, NODE, OLD, ONE_ID, PAYLOADS, TIME, VALUES, Command, Contents, sealed

WRONG_PAYLOAD = 'ERR DUMP payload version or checksum are wrong'
BAD_FORMAT = 'ERR Bad data format'

READERS: dict[bytes, Command] = {
    b'string': ('GET',),
    b'list': ('LRANGE', 0, -1),
    b'set': ('SMEMBERS',),
    b'hash': ('HGETALL',),
    b'zset': ('ZRANGE', 0, -1, 'WITHSCORES'),
    b'stream': ('XINFO STREAM FULL',),
}


def contents(direct: Direct, key: str) -> Contents:
    """Return a key's type and all that it holds, in an order that does not depend on how it is stored."""
    kind = direct.call('TYPE', key)
    if kind == b'stream':
        return kind, direct.call('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0)
    name, *arguments = READERS[kind]
    reply = direct.call(name, key, *arguments)
    if kind == b'hash':
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    return kind, set(reply) if kind == b'set' else reply


@pytest.mark.parametrize('commands', VALUES.values(), ids=VALUES)
def test_a_restored_value_is_the_same(direct: Direct, commands: list[Command]) -> None:
    for command in commands:
        direct.run(*command)
    payload = direct.call('DUMP', 'k')
    assert payload[-10:-8] == b'\x0b\x00'
    assert direct.call('RESTORE', 'copy', 0, payload) == b'OK'
    direct.reopen()
    assert contents(direct, 'copy') == contents(direct, 'k')
    assert direct.call('DUMP', 'copy') == payload or direct.call('TYPE', 'k') in (b'set', b'hash')


@pytest.mark.parametrize(('payload', 'expected'), PAYLOADS.values(), ids=PAYLOADS)
def test_what_redis_wrote_is_read(direct: Direct, payload: str, expected: Contents) -> None:
    assert direct.call('RESTORE', 'k', 0, bytes.fromhex(payload)) == b'OK'
    assert contents(direct, 'k') == expected


@pytest.mark.parametrize(('body', 'expected'), OLD.values(), ids=OLD)
def test_what_older_versions_wrote_is_read(direct: Direct, body: str, expected: Contents) -> None:
    assert direct.call('RESTORE', 'k', 0, sealed(bytes.fromhex(body), 9)) == b'OK'
    assert contents(direct, 'k') == expected


@pytest.mark.parametrize('version', [1, 2, 3])
def test_streams_of_three_versions_are_read(direct: Direct, version: int) -> None:
    body = {1: '0f', 2: '13', 3: '15'}[version] + '01' + NODE + '02' + '0301'
    if version > 1:
        body += '0101' + '0201' + '03'
    body += '01' + '0167' + '0101' + ('01' if version > 1 else '')
    body += '01' + ONE_ID + TIME + '01' + '01' + '0163' + TIME + (TIME if version > 2 else '') + '01' + ONE_ID
    assert direct.call('RESTORE', 'k', 0, sealed(bytes.fromhex(body))) == b'OK'
    assert direct.call('XRANGE', 'k', '-', '+') == [[b'1-1', [b'a', b'1']], [b'3-1', [b'a', b'3']]]
    assert direct.call('XPENDING', 'k', 'g') == [1, b'1-1', b'1-1', [[b'c', b'1']]]
    info = direct.call('XINFO', 'STREAM', 'k')
    facts = dict(zip(info[::2], info[1::2], strict=True))
    assert facts[b'last-generated-id'] == b'3-1'
    assert facts[b'entries-added'] == (3 if version > 1 else 2)
    assert facts[b'max-deleted-entry-id'] == (b'2-1' if version > 1 else b'0-0')
    group = direct.call('XINFO', 'GROUPS', 'k')[0]
    assert group[group.index(b'entries-read') + 1] == 1


def test_times_of_a_restored_key(direct: Direct) -> None:
    direct.run('SET', 'k', 'v', 'EX', 1000)
    payload = direct.call('DUMP', 'k')
    assert direct.call('RESTORE', 'without', 0, payload) == b'OK'
    assert direct.call('TTL', 'without') == -1
    assert direct.call('RESTORE', 'from now', 50_000, payload) == b'OK'
    assert direct.call('TTL', 'from now') == 50
    assert direct.call('RESTORE', 'at', 4102444800123, payload, 'ABSTTL', 'IDLETIME', 5) == b'OK'
    assert direct.call('PEXPIRETIME', 'at') == 4102444800123
    assert direct.call('RESTORE', 'past', 1, payload, 'ABSTTL', 'FREQ', 5) == b'OK'
    assert direct.call('EXISTS', 'past') == 0


def test_a_key_that_exists_is_replaced_only_on_request(direct: Direct) -> None:
    direct.run('RPUSH', 'l', 1, 2)
    direct.run('SET', 'k', 'old', 'EX', 100)
    payload = direct.call('DUMP', 'l')
    assert direct.error('RESTORE', 'k', 0, payload) == 'BUSYKEY Target key name already exists.'
    assert direct.call('GET', 'k') == b'old'
    assert direct.call('RESTORE', 'k', 0, payload, 'REPLACE') == b'OK'
    assert direct.call('LRANGE', 'k', 0, -1) == [b'1', b'2']
    assert direct.call('TTL', 'k') == -1
    assert direct.call('RESTORE', 'k', 1, payload, 'REPLACE', 'ABSTTL') == b'OK'
    assert direct.call('EXISTS', 'k') == 0


@pytest.mark.parametrize(
    'payload', [b'', b'x' * 9, b'x' * 10, sealed(b'\x00\x01a', 13), sealed(b'\x00\x01a')[:-1] + b'x']
)
def test_a_payload_that_is_none_is_refused(direct: Direct, payload: bytes) -> None:
    assert direct.error('RESTORE', 'k', 0, payload) == WRONG_PAYLOAD


def test_a_hash_with_fields_that_expire_is_refused_in_words(direct: Direct) -> None:
    payload = '1886ec2e2ca2010000020001620374776f010161c0010c00528eff99929c54a1'
    error = direct.error('RESTORE', 'k', 0, bytes.fromhex(payload))
    assert error == 'ERR Bad data format: fields of the hash expire, which this store does not support'


@pytest.mark.parametrize('body', BROKEN.values(), ids=BROKEN)
def test_a_broken_value_is_refused(direct: Direct, body: bytes) -> None:
    direct.run('SET', 'k', 'old')
    assert direct.error('RESTORE', 'k', 0, sealed(body), 'REPLACE') == BAD_FORMAT
    assert direct.call('GET', 'k') == b'old'


def test_reading_needs_no_more_memory_than_it_may() -> None:
    room = 4 << 20
    for name, body in BROKEN.items():
        tracemalloc.start()
        try:
            with pytest.raises(BadPayload):
                values.read(body, room)
            # What is unpacked is there twice for a moment, beside the payload's own parts.
            assert tracemalloc.get_traced_memory()[1] < 2 * room + len(body), name
        finally:
            tracemalloc.stop()


def test_what_follows_a_value_is_ignored(direct: Direct) -> None:
    assert direct.call('RESTORE', 'k', 0, sealed(b'\x00\x01abc')) == b'OK'
    assert direct.call('GET', 'k') == b'a'
