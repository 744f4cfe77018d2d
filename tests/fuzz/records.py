"""Arbitrary and corrupted bytes in place of records: reading them gives a value, or an error that says what to do.

LevelDB's checksums ensure that what is read was written. This covers what a bug, another program or a person wrote.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from rq_leveldb import errors
from rq_leveldb.store import encoding
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.keyspace import Keyspace
from tests.fuzz.store import Client, Store, errors_in, request
from tests.fuzz.target import HANG, Hang, Report, limited, mutated

_OTHERS = 'GET other; HGETALL otherhash; LPUSH otherlist a; LPOP otherlist'

_LARGE = ' '.join(f'{number} {"v" * 600}' for number in range(8))
_BIG_MEMBERS = ' '.join(f'm{number:03}{"m" * 500}' for number in range(12))
_MEMBERS = ' '.join(f'm{number:03}' for number in range(20))
# One of each kind of value. Of a large list some are gone from the middle, so that there are records of holes.
_CONTENTS = f"""
SET string hello
SET expiring soon PX 1
RPUSH list a b c a d e
RPUSH holes {_MEMBERS}
LREM holes 0 m010
LREM holes 0 m011
LREM holes 0 m015
SADD set a b c
SADD largeset {_BIG_MEMBERS}
ZADD zset 1 a 2 b 2 c 3 d
HSET hash a 1 b 2 c 3
HSET largehash {_LARGE}
XADD stream 1-1 a 1
XADD stream 1-2 b 2
XADD largestream 1-1 a 1
XADD largestream 2-1 a 1
XADD largestream 3-1 a 1
XGROUP CREATE largestream group 0
XREADGROUP GROUP group consumer COUNT 2 STREAMS largestream >
SET other x
HSET otherhash a 1
SADD gone {_BIG_MEMBERS}
DEL gone
SELECT 1
SET string one
SELECT 0
"""

_EVERY = """
TYPE k; TTL k; EXISTS k; OBJECT ENCODING k; MEMORY USAGE k; COPY k copied REPLACE; SORT k ALPHA; RENAME k moved;
RENAME moved k; EXPIRE k 10000; PERSIST k; KEYS *; SCAN 0 COUNT 1000; RANDOMKEY; DBSIZE; INFO keyspace; TOUCH k;
EVAL {script} 1 k;
"""
_READERS = {
    'string': """
        GET k; STRLEN k; GETRANGE k 0 -1; APPEND k x; INCR k; MGET k other; LCS k other; SETRANGE k 2 x; GETEX k;
        GETSET k y
    """,
    'list': """
        LRANGE k 0 -1; LLEN k; LINDEX k 0; LINDEX k -1; LPOS k a RANK -1 COUNT 0; LINSERT k BEFORE m012 new; LSET k 1 x;
        LREM k 1 m017; LPOP k; RPOP k 3; LMOVE k k LEFT RIGHT; LTRIM k 1 -2; LPUSH k new; RPUSH k a;
        LMPOP 1 k LEFT COUNT 20;        LREM k 0 a; LRANGE k 3 8; RPOP k 1000; BLPOP k 0.001
    """,
    'set': """
        SMEMBERS k; SCARD k; SISMEMBER k m001; SRANDMEMBER k 5; SRANDMEMBER k -5; SSCAN k 0 COUNT 1000; SINTER k set;
        SUNIONSTORE copied k set; SDIFF k set; SADD k new; SREM k m001; SPOP k 3; SMOVE k moved m005
    """,
    'zset': """
        ZRANGE k 0 -1 WITHSCORES; ZCARD k; ZSCORE k a; ZRANK k b; ZREVRANK k c; ZCOUNT k -inf +inf; ZCOUNT k 2 3;
        ZRANGEBYSCORE k 2 3; ZREVRANGE k 0 1; ZLEXCOUNT k - +; ZSCAN k 0; ZRANDMEMBER k 2; ZUNION 2 k zset;
        ZADD k 5 new; ZINCRBY k 1 a; ZREM k b; ZPOPMIN k; ZPOPMAX k; ZREMRANGEBYSCORE k 1 2; ZREMRANGEBYRANK k 0 -1
    """,
    'hash': """
        HGETALL k; HLEN k; HGET k a; HMGET k a 5; HKEYS k; HVALS k; HEXISTS k 7; HSCAN k 0 COUNT 1000; HRANDFIELD k 5;
        HRANDFIELD k -5 WITHVALUES; HINCRBY k a 1; HSET k new 1; HDEL k a 5; HSTRLEN k b
    """,
    'stream': """
        XRANGE k - +; XREVRANGE k + -; XLEN k; XINFO STREAM k FULL; XINFO GROUPS k; XINFO CONSUMERS k group;
        XPENDING k group; XPENDING k group - + 10; XREAD STREAMS k 0; XREADGROUP GROUP group consumer STREAMS k 0;
        XREADGROUP GROUP group other STREAMS k >; XCLAIM k group other 0 1-1; XAUTOCLAIM k group other 0 0;
        XACK k group 1-1; XADD k * a 1; XDEL k 1-1; XTRIM k MAXLEN 1; XGROUP DELCONSUMER k group consumer;
        XGROUP DESTROY k group;
        XSETID k 9-9
    """,
}
_SCRIPT = b"return redis.pcall('TYPE', KEYS[1])"
_CLOSING = 'DEL k; FLUSHDB; SET after x; GET after'


def _commands(text: str, key: bytes) -> list[list[bytes]]:
    return [
        [{b'k': key, b'{script}': _SCRIPT}.get(word, word) for word in line.encode().split()]
        for line in text.split(';')
        if line.strip()
    ]


class _Run:
    def __init__(self, place: Path, seed: int) -> None:
        self._seed = seed
        self._place = place
        self.report = Report('records')
        self._store = Store(place)
        client = self._store.client()
        for line in _CONTENTS.strip().splitlines():
            client.send(request(line.encode().split()))
        client.replies()
        client.close()
        engine = self._store.server.engine
        self._contents = {key: value for key, value in engine.scan(b'', b'\xff' * 32) if key != encoding.BATCHES_KEY}
        # A record of each kind is as likely as of any other, however many there are.
        kinds: dict[bytes, list[bytes]] = {}
        for key in self._contents:
            tag = key[:1] + key[9:10] if key[:1] == encoding.MEMBER_PREFIX else key[:1]
            record = self._contents[key]
            kinds.setdefault(tag + (record[:1] if tag == encoding.META_PREFIX else b''), []).append(key)
        self._kinds = list(kinds.values())
        self._owners = {
            encoding.meta_version(record): key
            for key, record in self._contents.items()
            if key[:1] == encoding.META_PREFIX and encoding.meta_version(record)
        }

    def go(self, inputs: int, progress: Callable[[int], None]) -> None:
        for number in range(inputs):
            chance = random.Random(f'{self._seed}:records:{number}')
            key = chance.choice(chance.choice(self._kinds))
            changes = self._spoiled(chance, key)
            what = f'input {number}: ' + ', '.join(
                f'{name!r} holds {value if value is None else value[:100]!r}' for name, value in changes.items()
            )
            try:
                with limited():
                    if key[:1] == encoding.OWN_PREFIX:
                        # The store looks at what it says of itself when it is opened, and then knows it.
                        self._open_with(changes, what)
                    else:
                        self._read_with(key, changes, what)
            except Hang:
                self._find(f'{what}: more than {HANG:g} s')
                self._restore()
            except Exception as error:
                self._find(f'{what}: {type(error).__name__}: {error}')
                self._restore()
            self.report.inputs += 1
            if number % 100 == 0:
                progress(number)
        self._store.close()

    def _find(self, text: str) -> None:
        self.report.findings.append(text)

    def _spoiled(self, chance: random.Random, key: bytes) -> dict[bytes, bytes | None]:
        """Return what is written in place of a record."""
        value = self._contents[key]
        how = chance.random()
        if how < 0.15:
            return {key: chance.randbytes(chance.choice((0, 1, 8, 16, 17, 33, 49, 100)))}
        if how < 0.2:
            return {key: None}
        if how < 0.3:
            return {key: self._contents[chance.choice(list(self._contents))]}
        if how < 0.45:
            return {key: None, key[:1] + mutated(chance, key[1:]): value}
        return {key: mutated(chance, value)}

    def _restore(self) -> None:
        engine = self._store.server.engine
        now = dict(engine.scan(b'', b'\xff' * 32))
        changes: dict[bytes, bytes | None] = {
            key: value for key, value in self._contents.items() if now.get(key) != value
        }
        changes.update(dict.fromkeys(now.keys() - self._contents.keys() - {encoding.BATCHES_KEY}))
        engine.write(changes)
        self._store.server.keyspace.rollback()
        self._store.faults.take()

    def _read_with(self, key: bytes, changes: dict[bytes, bytes | None], what: str) -> None:
        """Read a record in every possible way."""
        self._restore()
        self._store.server.engine.write(changes)
        self._store.server.keyspace.rollback()
        sound = self._store.survey().is_sound()
        meta_key = self._owner(key)
        name = meta_key[encoding.META_PREFIX_SIZE :]
        kind = name.decode().removeprefix('large').replace('holes', 'list').replace('expiring', 'string')
        client = self._store.client()
        damaged = False
        for argv in _commands(_EVERY + _READERS.get(kind, '') + ';' + _OTHERS + ';' + _CLOSING, name):
            client.send(request(argv))
            if client.session.client.blocked:
                client.close()
                client = self._store.client()
                continue
            damaged |= self._judge(client, argv, what)
            if not client.usable:
                client = self._store.client()
        self._store.turn()
        self._store.server.upkeep.sweep()
        self._store.server.upkeep.expire()
        client.close()
        for fault in self._store.faults.take():
            if not fault.startswith(
                ("damaged data in '", 'damaged data in the reply', 'cannot go on sending a reply: ')
            ):
                self._find(f'{what}: {fault}')
        if damaged and sound:
            self._find(f'{what}: a client is told of damage, and the check finds none')
        self.report.outcomes['errors' if damaged else 'values'] += 1

    def _judge(self, client: Client, argv: list[bytes], what: str) -> bool:
        """Check the replies; return whether the damage was reported."""
        told = False
        for reply in client.replies():
            for text in errors_in(reply):
                if 'internal error' in text:
                    self._find(f'{what}: {b" ".join(argv)!r}: {text}')
                told |= text.startswith('MISCONF') and 'rq-leveldb check' in text
        return told

    def _owner(self, key: bytes) -> bytes:
        if key[:1] == encoding.MEMBER_PREFIX:
            key = self._owners.get(encoding.split_member_key(key)[0], key)
        if key[:1] == encoding.EXPIRY_PREFIX:
            return encoding.split_expiry_key(key)[1]
        return key if key[:1] == encoding.META_PREFIX else encoding.META_PREFIX + encoding.u32(0) + b'string'

    def _open_with(self, changes: dict[bytes, bytes | None], what: str) -> None:
        """Open a database that has the record."""
        self._restore()
        path = self._place / 'opened'
        engine = Engine(path)
        engine.write({**self._contents, **changes})
        engine.close()
        try:
            engine = Engine(path)
        except errors.StoreError as error:
            self.report.outcomes['refused at the start'] += 1
            if not error.advice:
                self._find(f'{what}: {error} says not what to do')
        else:
            Keyspace(engine).count(0)
            engine.close()
            self.report.outcomes['opened'] += 1
        for file in path.iterdir():
            file.unlink()
        path.rmdir()


def run(place: Path, inputs: int, seed: int, progress: Callable[[int], None]) -> Report:
    """Corrupt a number of records.

    Args:
        place: where the store is created.
        inputs: how many records.
        seed: decides which, and how.
        progress: gets the number tried so far.
    """
    started = _Run(place, seed)
    started.go(inputs, progress)
    progress(inputs)
    return started.report
