"""With fsync always, nothing is shown before it is durable, and nobody waits for what does not concern them."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rq_leveldb.location import DataDirectory
from rq_leveldb.store.claim import Claim
from rq_leveldb.store.durability import QUICK
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.info import StoreSettings
from rq_leveldb.store.server import Server
from rq_leveldb.store.session import Session


class HeldDisk(Engine):
    """LevelDB on a disk that is slow, and whose syncs end when the test says so."""

    def __init__(self, directory: Path) -> None:
        self.may_end = threading.Event()
        self.may_end.set()
        self.begun = threading.Event()
        self.fails = False
        self.has_room = True
        super().__init__(directory)

    def sync(self) -> None:
        self.begun.set()
        time.sleep(2 * QUICK)  # the store leaves the syncs of a slow disk to its thread
        assert self.may_end.wait(30)
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync()

    def can_grow(self) -> bool:
        return self.has_room and super().can_grow()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, lines: str) -> asyncio.Future[bytes]:
        """Send commands; the result is the first line of the first reply."""
        self.writer.write(lines.encode())
        return asyncio.ensure_future(self.reader.readline())

    async def ask(self, lines: str) -> bytes:
        return await asyncio.wait_for(self.send(lines), 20)


@asynccontextmanager
async def serving(path: Path, fsync: str = 'always') -> AsyncIterator[tuple[HeldDisk, list[Client]]]:
    directory = DataDirectory(path)
    directory.create()
    engine = HeldDisk(directory.database)
    loop = asyncio.get_running_loop()
    claim = Claim(directory)
    server = Server(StoreSettings(directory, fsync, 0.0, 0), engine, claim, loop)
    listener = await loop.create_unix_server(lambda: Session(server), str(path / 'socket'))
    clients = [Client(*await asyncio.open_unix_connection(str(path / 'socket'))) for _ in range(4)]
    try:
        yield engine, clients
    finally:
        engine.may_end.set()
        for client in clients:
            client.writer.close()
        listener.close()
        await server.finish()
        claim.close()


async def held_write(disk: HeldDisk, writer: Client, lines: str) -> asyncio.Future[bytes]:
    """Send commands that write; return when their sync has begun, which does not end before the disk may."""
    disk.begun.clear()
    disk.may_end.clear()
    written = writer.send(lines)
    assert await asyncio.to_thread(disk.begun.wait, 20)
    return written


@pytest.mark.parametrize(
    'looks',
    [
        'GET changed\r\n',
        'EXISTS other changed\r\n',
        'GET removed\r\n',
        'DBSIZE\r\n',
        'KEYS *\r\n',
        'SCAN 0\r\n',
        'RANDOMKEY\r\n',
        'EVAL "return redis.call(\'GET\', KEYS[1])" 1 changed\r\n',
        'MULTI\r\nGET changed\r\nEXEC\r\n',
    ],
)
def test_who_looks_at_a_change_waits_for_its_sync_and_who_does_not_goes_on(tmp_path: Path, looks: str) -> None:
    async def scene() -> None:
        async with serving(tmp_path / 'data') as (disk, (writer, concerned, other, _)):
            assert await writer.ask('MSET changed 1 removed 1 other 1\r\n') == b'+OK\r\n'
            written = await held_write(disk, writer, 'MULTI\r\nSET changed 2\r\nDEL removed\r\nEXEC\r\n')
            seen = concerned.send(looks)
            assert await other.ask('GET other\r\n') == b'$1\r\n'
            assert await other.reader.readline() == b'1\r\n'
            assert not seen.done()
            disk.may_end.set()
            await asyncio.wait_for(seen, 20)
            await asyncio.wait_for(written, 20)

    asyncio.run(scene())


def test_databases_that_were_exchanged_concern_everybody(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path / 'data') as (disk, (writer, client, other, _)):
            await writer.ask('MSET changed 1 other 1\r\n')
            assert await client.ask('SELECT 1\r\n') == b'+OK\r\n'
            written = await held_write(disk, writer, 'SWAPDB 0 1\r\n')
            seen = client.send('GET other\r\n')
            assert await other.ask('PING\r\n') == b'+PONG\r\n'
            assert not seen.done()
            disk.may_end.set()
            assert await asyncio.wait_for(seen, 20) == b'$1\r\n'
            await asyncio.wait_for(written, 20)

    asyncio.run(scene())


def test_no_reply_overtakes_another_of_its_client(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path / 'data') as (disk, (writer, client, other, _)):
            await writer.ask('MSET changed 1 other 1\r\n')
            written = await held_write(disk, writer, 'SET changed 2\r\n')
            first = client.send('STRLEN changed\r\n')
            assert await other.ask('PING\r\n') == b'+PONG\r\n'
            client.writer.write(b'STRLEN missing\r\n')
            assert await other.ask('PING\r\n') == b'+PONG\r\n'
            assert not first.done()
            disk.may_end.set()
            assert await asyncio.wait_for(first, 20) == b':1\r\n'
            assert await asyncio.wait_for(client.reader.readline(), 20) == b':0\r\n'
            assert await asyncio.wait_for(written, 20) == b'+OK\r\n'

    asyncio.run(scene())


def test_that_a_transaction_was_spoiled_shows_the_change_that_did_it(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path / 'data') as (disk, (writer, client, other, _)):
            await writer.ask('MSET changed 1 other 1\r\n')
            assert await client.ask('WATCH changed\r\n') == b'+OK\r\n'
            written = await held_write(disk, writer, 'SET changed 2\r\n')
            answer = client.send('MULTI\r\nGET other\r\nEXEC\r\n')
            assert await other.ask('PING\r\n') == b'+PONG\r\n'
            assert not answer.done()
            disk.may_end.set()
            assert await asyncio.wait_for(answer, 20) == b'+OK\r\n'
            assert await asyncio.wait_for(client.reader.readline(), 20) == b'+QUEUED\r\n'
            assert await asyncio.wait_for(client.reader.readline(), 20) == b'*-1\r\n'
            await asyncio.wait_for(written, 20)

    asyncio.run(scene())


def test_a_failed_sync_that_can_be_made_good_is_not_noticed(tmp_path: Path) -> None:
    """What the log holds is written anew and synced, so those who waited may be told."""

    async def scene() -> None:
        async with serving(tmp_path / 'data') as (disk, (writer, other, *_)):
            await writer.ask('SET before 1\r\n')
            disk.fails = True
            assert await writer.ask('SET changed 1\r\n') == b'+OK\r\n'
            disk.fails = False
            assert await other.ask('INCR changed\r\n') == b':2\r\n'
            disk.reopen()
            assert await other.ask('INCR changed\r\n') == b':3\r\n'

    asyncio.run(scene())


@pytest.mark.parametrize('fsync', ['always', 'everysec'])
def test_while_nothing_can_be_written_reads_are_answered(tmp_path: Path, fsync: str) -> None:
    async def scene() -> None:
        async with serving(tmp_path / 'data', fsync) as (disk, (writer, reader, other, late)):
            assert await writer.ask('SET changed 1\r\n') == b'+OK\r\n'
            assert await late.ask('SET old 1 PX 700\r\n') == b'+OK\r\n'
            disk.fails, disk.has_room = True, False
            disk.begun.clear()
            unsure = writer.send('SET changed 2\r\n')
            assert await asyncio.to_thread(disk.begun.wait, 20)
            # Neither told that it is written, nor that it is not: that is not known.
            assert await asyncio.wait_for(unsure, 20) == (b'' if fsync == 'always' else b'+OK\r\n')
            while not (answer := await other.ask('SET more 1\r\n')).startswith(b'-MISCONF'):
                assert fsync == 'everysec', answer
            for _ in range(3):
                assert await reader.ask('GET changed\r\n') == b'$1\r\n'
                assert await reader.reader.readline() == b'2\r\n'
                while await reader.ask('GET old\r\n') != b'$-1\r\n':
                    await reader.reader.readline()
                assert await reader.ask('PING\r\n') == b'+PONG\r\n'
                assert (await other.ask('DEL changed\r\n')).startswith(b'-MISCONF')
                assert (await other.ask('EVAL "return 1" 0\r\n')).startswith(b'-MISCONF')
            disk.fails, disk.has_room = False, True
            while (answer := await other.ask('INCR changed\r\n')).startswith(b'-MISCONF'):
                await asyncio.sleep(0.05)
            assert answer == b':3\r\n'

    asyncio.run(scene())
