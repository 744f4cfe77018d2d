"""A store that may be killed at any moment, clients that note what they were told, and a check of what is there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PATIENCE = 60.0


class Store:
    """`python -m rq_leveldb store` as a process.

    Args:
        directory: its data directory.
        fsync: everysec or always.
    """

    def __init__(self, directory: Path, fsync: str) -> None:
        self.directory = directory
        self.fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start it, and do not wait."""
        own = [sys.executable, '-m', 'rq_leveldb', 'store', '--dir', str(self.directory), '--fsync', self.fsync]
        with open(self.directory.with_suffix('.out'), 'ab') as out:
            self._process = subprocess.Popen(own, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                client.ping()
                return
            assert self._process.poll() is None, self.directory.with_suffix('.out').read_text()
            assert time.monotonic() < deadline, 'the store does not answer'
            time.sleep(0.01)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ended(self) -> int:
        """Wait until it has ended by itself.

        Returns:
            Its exit code.
        """
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def client(self) -> redis.Redis:
        """A client that sends nothing twice."""
        return redis.Redis(unix_socket_path=str(self.directory / 'store.sock'), retry=Retry(NoBackoff(), 0))


class Writer(threading.Thread):
    """Writes numbers 1, 2, 3, ... , each in one transaction over several types, and knows the last acknowledged one.

    Args:
        store: where it writes.
        name: what its keys begin with.
        payload: how many bytes go with every number.
    """

    def __init__(self, store: Store, name: str, payload: int = 100) -> None:
        super().__init__(daemon=True)
        self.store = store
        self.prefix = name
        self.payload = os.urandom(payload // 2).hex()
        self.acknowledged = 0
        self.refusals: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        client = self.store.client()
        while not self.stopping.is_set():
            try:
                self.write(client, self.acknowledged + 1)
            except redis.ConnectionError:
                return
            except redis.ResponseError as error:
                self.refusals.append(str(error))
                if self.stopping.wait(0.05):
                    return
                continue
            self.acknowledged += 1

    def write(self, client: redis.Redis, number: int) -> None:
        name = self.prefix
        with client.pipeline() as pipe:
            pipe.incr(f'{name}:count')
            pipe.rpush(f'{name}:list', number)
            pipe.zadd(f'{name}:zset', {str(number): number})
            pipe.sadd(f'{name}:set', number)
            pipe.xadd(f'{name}:stream', {'number': number}, id=f'{number}-1')
            pipe.hset(f'{name}:hash:{number}', mapping={'number': number, 'payload': self.payload})
            pipe.expire(f'{name}:hash:{number}', 10_000)
            pipe.rpush(f'{name}:queue', number)
            pipe.lmove(f'{name}:queue', f'{name}:taken')
            pipe.lrem(f'{name}:taken', 1, str(number))
            pipe.execute()

    def check(self, client: Any, at_least: int, at_most: int) -> int:
        """See that every number up to some last one is there, in everything, and nothing of a later one.

        Returns:
            The last number.
        """
        name = self.prefix
        last = int(client.get(f'{name}:count') or 0)
        assert at_least <= last <= at_most, f'{name}: {last} is there, {at_least} to {at_most} are due'
        numbers = list(range(1, last + 1))
        assert [int(one) for one in client.lrange(f'{name}:list', 0, -1)] == numbers
        assert [int(one) for one in client.zrange(f'{name}:zset', 0, -1)] == numbers
        assert sorted(int(one) for one in client.smembers(f'{name}:set')) == numbers
        assert [int(entry[1][b'number']) for entry in client.xrange(f'{name}:stream')] == numbers
        assert client.exists(f'{name}:queue', f'{name}:taken', f'{name}:hash:{last + 1}') == 0
        with client.pipeline(transaction=False) as pipe:
            for number in numbers:
                pipe.hmget(f'{name}:hash:{number}', 'number', 'payload')
            for number, (found, payload) in zip(numbers, pipe.execute(), strict=True):
                assert (int(found), payload.decode()) == (number, self.payload)
        return last


def wait_for(writers: Sequence[Writer], total: int) -> None:
    """Wait until so many more writes were acknowledged, or all writers have ended."""
    goal = total + sum(writer.acknowledged for writer in writers)
    deadline = time.monotonic() + PATIENCE
    while sum(writer.acknowledged for writer in writers) < goal and any(writer.is_alive() for writer in writers):
        assert time.monotonic() < deadline, 'nothing is written any more'
        time.sleep(0.001)
