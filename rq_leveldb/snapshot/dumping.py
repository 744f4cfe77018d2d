"""From a place into a file.

A store is read at one moment (``DEBUG SNAPSHOT``). Redis has no such thing for its clients. There, short keys are read
in transactions, many in one; a long key is read in slices while it is watched, and if it was changed meanwhile, read
once more from a copy that lasts for as long as that takes. Lists and registries that name jobs come first, in the order
in which a job passes through them, so that a job that moves on meanwhile is seen at least once; jobs come after them.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from rq.queue import Queue

from rq_leveldb.errors import StoreError, mask_password
from rq_leveldb.migrate import Notes, Progress
from rq_leveldb.migrate.moment import Moment, read_at_one_moment
from rq_leveldb.migrate.plan import about, too_old
from rq_leveldb.migrate.scope import RQ, Batches, Key, Scope
from rq_leveldb.migrate.value import Slice, Value, read_slices
from rq_leveldb.migrate.wire import Command, Connected, Refused, RefusedPlace, Wire
from rq_leveldb.snapshot.contents import Header, KeyWriter
from rq_leveldb.version import __version__

__all__ = ['Dumped', 'Dumper']

_QUEUE = Queue.redis_queue_namespace_prefix.encode()
_INTERMEDIATE = b':intermediate'
_STATIONS = (
    *(RQ + name for name in (b'deferred:', b'scheduled:', b'ready:')),
    *(_QUEUE, _QUEUE),
    *(RQ + name for name in (b'wip:', b'finished:', b'failed:', b'canceled:')),
)
"""What the names of lists and registries begin with, in the order in which a job passes through them."""


@dataclass
class Dumped:
    """What was written.

    Args:
        keys: how many.
        kinds: how many of each type.
        bytes: of the file.
        is_one_moment: whether all are of the same moment.
        refused: keys that cannot be written, and why.
    """

    keys: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    is_one_moment: bool = True
    refused: Notes = field(default_factory=Notes)


class _Transactions(Wire):
    """A connection on which what is sent together is executed together."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._replies: deque[Any] = deque()

    def send(self, commands: Iterable[Command]) -> None:
        super().send([(b'MULTI',), *commands, (b'EXEC',)])

    def receive(self) -> Any:
        if not self._replies:
            self.checked(super().receive(), 'MULTI')
            reply = super().receive()
            while reply == b'QUEUED':
                reply = super().receive()
            self._replies.extend(self.checked(reply, 'a transaction that reads'))
        return self._replies.popleft()


class Dumper(Connected):
    """Writes a dump.

    Args:
        url: the place.
        everything: all keys, and not only RQ's and ours.
        progress: is told how far it is.

    Raises:
        BadAddress, RefusedPlace, CutConnection: as `wire.Wire`; `dump` may raise the last two.
        StoreError: this server's keys cannot be dumped.
    """

    def __init__(
        self, url: str, *, everything: bool = False, progress: Progress = lambda what, done, size: None
    ) -> None:
        self._scope = Scope(everything)
        self._progress = progress
        self._outcome = Dumped()
        super().__init__(url)
        (self._wire,) = self._wires
        server = about(self._wire)
        is_store = 'rq_leveldb_version' in server
        for problem in too_old(self._wire, server):
            raise StoreError(url, title=problem.removesuffix('.'), advice='Upgrade it first.')
        self._values = self._wire if is_store else self._stack.enter_context(_Transactions(url))
        self._outcome.is_one_moment = is_store
        name, version = (
            ('rq-leveldb', server['rq_leveldb_version'])
            if is_store
            else (server.get('server_name', 'redis'), server.get('redis_version', ''))
        )
        self._server = f'{name} {version}'
        self._size = 0

    def dump(self, out: BinaryIO) -> Dumped:
        """Do it.

        Args:
            out: a file or a pipe.

        Returns:
            What was written.
        """
        wire, outcome = self._wire, self._outcome
        if outcome.is_one_moment:
            self._stop_time()
        self._size = max(1, wire.call(b'DBSIZE'))
        header = Header(
            id=secrets.token_hex(8),
            made=int(time.time() * 1000),
            by=f'rq-leveldb {__version__}',
            place=mask_password(wire.url),
            server=self._server,
            is_one_moment=outcome.is_one_moment,
            everything=self._scope.everything,
            keys=self._size,
        )
        writer = KeyWriter(out, header)
        for names in self._names():
            batches = Batches(wire, names, outcome.refused)
            for groups in batches.passes():
                self._pass(groups, batches, writer)
        writer.end()
        outcome.keys, outcome.kinds, outcome.bytes = writer.kinds.total(), writer.kinds, writer.size
        return outcome

    def _stop_time(self) -> None:
        (reply,) = self._wire.ask([(b'DEBUG', b'SNAPSHOT', b'ON')])
        if isinstance(reply, Refused) and 'unknown subcommand' in str(reply):
            raise RefusedPlace(
                self._wire.url,
                title=f'The store makes no snapshot ({reply})',
                advice='It may be of an older version that still runs: rq-leveldb stop, and run this command again.',
            )
        self._wire.checked(reply, 'a snapshot')

    def _names(self) -> Iterator[Iterable[bytes]]:
        """Return groups of names; all of one are written before the next is begun."""
        names = self._scope.names(self._wire)
        if self._outcome.is_one_moment:
            yield names
            return
        stations: list[list[bytes]] = [[] for _ in _STATIONS]
        for name in names:
            station = _station(name)
            if station is not None:
                stations[station].append(name)
        yield from stations
        yield (name for name in self._scope.names(self._wire) if _station(name) is None)

    def _pass(self, groups: Iterable[list[Key]], batches: Batches, writer: KeyWriter) -> None:
        found: list[Value] = []
        for batch in groups:
            if batch[0].large:
                self._write(writer, found)
                found = []
                self._write_long(writer, batch[0])
                continue
            batches.request(self._values, batch)
            # While the server is at work.
            self._write(writer, found)
            found = [read for read in batches.receive(self._values, batch) if read is not None and read.parts]
        self._write(writer, found)

    def _write(self, writer: KeyWriter, found: list[Value]) -> None:
        for value in found:
            writer.add(value)
        self._show(writer)

    def _show(self, writer: KeyWriter) -> None:
        done = writer.kinds.total()
        self._progress('Writing', done, max(done, self._size))

    def _write_long(self, writer: KeyWriter, key: Key) -> None:
        def write(moment: Moment) -> bool:
            value = Value(key.name, moment.kind, moment.expires, [])
            return writer.add_long(value, self._parts(writer, moment), moment.is_whole)

        if self._outcome.is_one_moment:
            write(Moment(key.name, key.kind, self._wire.call(b'PEXPIRETIME', key.name), lambda: True))
        elif problem := read_at_one_moment(self._wire, key.name, write):
            self._outcome.refused.add(key.name, problem)
        self._show(writer)

    def _parts(self, writer: KeyWriter, moment: Moment) -> Iterator[Slice]:
        for part in read_slices(self._wire, moment.name, moment.kind):
            self._show(writer)
            yield part


def _station(name: bytes) -> int | None:
    """Return the place in `_STATIONS` of a list or a registry that names jobs; None for another key."""
    found = next((at for at, prefix in enumerate(_STATIONS) if name.startswith(prefix)), None)
    return found if found is None or not name.startswith(_QUEUE) else found + name.endswith(_INTERMEDIATE)
