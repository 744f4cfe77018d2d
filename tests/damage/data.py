"""A database that holds everything there is, and what clients see of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from rq_leveldb.location import DataDirectory
from rq_leveldb.store.commands.table import all_commands
from rq_leveldb.store.engine import ReadFailed
from rq_leveldb.store.opening import note_good_order, open_database
from rq_leveldb.store.replies import ReplyError
from rq_leveldb.store.sweeper import Sweeper
from tests.store.direct import Direct

FAR = 4_000_000_000_000
"""Unix time in ms at which keys expire that do."""
_PARTS = (3, 3, 1, 1)
"""How much is written before the database is opened again, which makes a table of it; LevelDB merges these."""
_LATER = 3
"""How often a little is written after that: tables over the others, and a log."""
DAMAGED = 'damaged'
"""What a client reads where the store says that it cannot be read."""

State = dict[tuple[int, bytes], Any]
"""Database and key -> type, time of expiry, contents."""


def opened(directory: DataDirectory) -> Direct:
    """Return the commands on what a store would open."""
    return Direct(directory.database, all_commands(), open_database(directory))


def fill(directory: DataDirectory, seed: int, size: int) -> None:
    """Make a database that a store closed in good order, with tables and a log.

    Args:
        directory: where the database goes.
        seed: decides what it holds.
        size: about how many keys there will be.
    """
    chance = random.Random(seed)
    directory.create()
    direct = opened(directory)
    run = direct.run
    for part, share in enumerate(_PARTS):
        for number in range(size * share // 20):
            name = f'{part}:{number}'
            run('HSET', f'rq:job:{name}', 'status', 'queued', 'data', chance.randbytes(chance.randrange(10, 400)))
            run('PEXPIREAT', f'rq:job:{name}', FAR + chance.randrange(1000))
            if chance.random() < 0.3:
                run('PEXPIREAT', f'rq:job:{name}', FAR + 5000)
            run('SET', f'string:{name}', chance.randbytes(chance.randrange(200)))
            run('RPUSH', f'queue:{number % 7}', name, chance.choice(['twice', name + 'x']))
            run('ZADD', f'scheduled:{number % 3}', chance.randrange(-50, 50), name)
            run('SADD', f'set:{number % 5}', name)
            run('HSET', f'hash:{number % 3}', f'field {name}', chance.randbytes(30))
            run('XADD', f'stream:{number % 4}', f'{part * size + number + 1}-1', 'f', name)
            if number % 5 == 0:
                run('LREM', f'queue:{number % 7}', chance.choice([0, 1, -1]), 'twice')
                run('LPOP', f'queue:{number % 7}')
                run('ZPOPMIN', f'scheduled:{number % 3}')
                run('LINSERT', f'queue:{number % 7}', 'BEFORE', name, 'between')
                run('XADD', f'small:{name}', '1-1', 'a', 'b')
                run('DEL', f'string:{part}:{chance.randrange(number + 1)}')
        for stream in range(2):
            if part == 0:
                run('XGROUP', 'CREATE', f'stream:{stream}', 'group', '0')
                run('XGROUP', 'CREATE', f'stream:{stream}', 'idle', '$')
            for consumer in ('one', 'two'):
                run('XREADGROUP', 'GROUP', 'group', consumer, 'COUNT', '9', 'STREAMS', f'stream:{stream}', '>')
            run('XACK', f'stream:{stream}', 'group', *(f'{part * size + number + 1}-1' for number in range(0, 20, 3)))
        run('COPY', 'hash:0', f'copy:{part}', 'REPLACE')
        run('RENAME', f'copy:{part}', f'moved:{part}')
        run('COPY', 'queue:0', f'other:{part}', 'DB', '3')
        run('RPUSH', 'gone', *map(str, range(300)))
        run('DEL', 'gone')
        if part == 1:
            direct.keys.swap(3, 4)
            direct.keys.flush(4)
            direct.keys.commit()
        sweeper = Sweeper(direct.keys)
        sweeper.sweep(200)
        direct.keys.commit()
        direct.reopen()
    for part in range(_LATER):
        if part:
            direct.reopen()
        for number in range(12):
            name = f'0:{number * 3 + part}'
            run('HSET', f'rq:job:{name}', 'status', f'later {part}')
            run('RPUSH', f'queue:{number % 7}', f'later {part}:{number}')
            run('LPOP', f'queue:{number % 7}')
            run('DEL', f'string:{name}')
            run('SET', f'string:1:{number}', chance.randbytes(500))
            run('ZADD', 'scheduled:1', number, f'later {part}:{number}')
    # What came last is in the log alone: opening it once more would make a table of it.
    direct.engine.close()
    note_good_order(directory)


def _contents(direct: Direct, kind: str, key: bytes) -> Any:
    call = direct.call
    if kind == 'string':
        return call('GET', key)
    if kind == 'list':
        elements = call('LRANGE', key, 0, -1)
        # By index and by element as well: other records know of them.
        for index in range(0, len(elements), 17):
            place = call('LPOS', key, elements[index])
            if call('LINDEX', key, index) != elements[index] or place != elements.index(elements[index]):
                return 'it contradicts itself'
        return elements if call('LLEN', key) == len(elements) else 'another length'
    if kind == 'set':
        return sorted(call('SMEMBERS', key)), call('SCARD', key)
    if kind == 'hash':
        found = call('HGETALL', key)
        return dict(zip(found[::2], found[1::2], strict=True)), call('HLEN', key)
    if kind == 'zset':
        found = call('ZRANGE', key, 0, -1, 'WITHSCORES')
        backwards = call('ZREVRANGE', key, 0, -1)
        return found, call('ZCARD', key), call('ZMSCORE', key, *found[::2]), backwards
    if kind == 'stream':
        groups = call('XINFO', 'GROUPS', key)
        return (
            call('XRANGE', key, '-', '+'),
            call('XREVRANGE', key, '+', '-'),
            call('XLEN', key),
            groups,
            # Without the time that has passed since.
            [(one[:2], one[3]) for group in groups for one in call('XPENDING', key, group[1], '-', '+', 10000)],
        )
    raise AssertionError(kind)


def seen(direct: Direct, known: State) -> State:
    """Return what clients see of these keys, and of others that can be listed."""
    found: State = {}
    keys = set(known)
    for db in (0, 3, 4):
        keys |= {(db, key) for key in _listed(direct, db)}
    for db, key in keys:
        direct.ctx.db = db
        try:
            value = _value(direct, key)
        except ReadFailed:
            value = DAMAGED
            # As the store does after it.
            direct.keys.rollback()
        if value is not None:
            found[db, key] = value
    return found


def _listed(direct: Direct, db: int) -> Iterator[bytes]:
    try:
        yield from direct.keys.keys(db)
    except ReadFailed:
        return


def _value(direct: Direct, key: bytes) -> Any:
    kind = direct.call('TYPE', key)
    if kind == b'none':
        return None
    try:
        contents = _contents(direct, kind.decode(), key)
    except ReplyError as error:
        contents = error.text
    return kind, direct.call('PEXPIRETIME', key), contents
