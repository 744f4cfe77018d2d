"""Whether the worker of a name lives, as far as it can be known without waiting for any time-out.

Who can be asked, in this order:

=====================================  ===============================================================================
on a store, a lock on its name         the kernel knows: held, it lives; not held, it is dead (`name_lock`)
on a store, another boot               dead: there is one machine, and it was started again since
same boot and set of process ids       whether exactly that process runs
=====================================  ===============================================================================

On a Redis server nothing else is sure: another boot may be another host. There a worker that is not on this machine
is watched: it counts its beats in its hash, and it is subscribed to its channel for as long as it has a connection,
stopped or not. `Watcher` calls it dead when it has done neither for a while of the watcher's own time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from redis import Redis
from redis.exceptions import ResponseError
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from rq_leveldb.process import Identity, boot_id, is_alive
from rq_leveldb.records import BEAT_FIELD, LOCK_FIELD, WORKER_KEY_TEMPLATE

from .found import read_many
from .name_lock import NameLocks

__all__ = [
    'IDENTITY_FIELDS',
    'Life',
    'Watcher',
    'identity_fields',
    'is_here',
    'is_surely_dead',
    'judge',
    'process_namespace',
    'subscribed',
]

IDENTITY_FIELDS = ('pid', 'started', 'boot_id', 'pid_namespace', LOCK_FIELD, BEAT_FIELD)
"""Fields of a worker's hash that `judge` and `Watcher` look at."""

# Seconds without a beat and without a connection. Our workers beat every five.
_SILENCE = 20.0
# After a host loses power, Redis may keep its connections forever.
_LONGEST_SILENCE = 600.0
# The most that one pause between two looks counts: the watcher itself may have been stopped meanwhile.
_LONGEST_LOOK = 2.0


class Life(Enum):
    """What is known of a worker."""

    ALIVE = 'alive'
    DEAD = 'dead'
    UNKNOWN = 'unknown'


def process_namespace() -> str:
    """Return which set of process ids this process sees; '' where there is only one."""
    try:
        return os.readlink('/proc/self/ns/pid')
    except OSError:
        return ''


def identity_fields(identity: Identity, *, locked: bool = False) -> dict[str, str]:
    """Return the fields of a worker's hash by which others can tell whether it lives.

    Args:
        identity: its process.
        locked: whether it holds the lock on its name.
    """
    fields = {'started': identity.started, 'boot_id': identity.boot_id, 'pid_namespace': process_namespace()}
    if locked:
        fields[LOCK_FIELD] = '1'
    return fields


def is_here(fields: Mapping[str, str]) -> bool:
    """Say whether a worker's process ids are those that this process sees: only then a pid means anything."""
    return fields.get('boot_id') == boot_id() and fields.get('pid_namespace', '') == process_namespace()


def judge(name: str, fields: Mapping[str, str], locks: NameLocks | None) -> Life:
    """Say what can be known of a worker at once.

    Args:
        name: its name.
        fields: what its hash holds of `IDENTITY_FIELDS`; empty where it has expired. Of RQ's own workers only `pid`.
        locks: the locks on names, on a store; None on a Redis server.
    """
    if locks is not None:
        held = locks.is_held(name)
        if held:
            return Life.ALIVE
        if held is not None and (fields.get(LOCK_FIELD) or not any(fields.values())):
            return Life.DEAD
    pid, started = fields.get('pid', ''), fields.get('started')
    if not fields.get('boot_id') or not started or not (pid.isascii() and pid.isdigit()):
        return Life.UNKNOWN
    if locks is not None and fields['boot_id'] != boot_id():
        return Life.DEAD
    if not is_here(fields):
        return Life.UNKNOWN
    return Life.ALIVE if is_alive(Identity(int(pid), started, boot_id())) else Life.DEAD


def is_surely_dead(connection: Redis, name: str, fields: Mapping[str, str]) -> bool:
    """Say whether a worker is certainly dead. False: it lives, or that cannot be told at once.

    Args:
        connection: the store or server that it is registered in.
        name: its name.
        fields: as for `judge`.
    """
    return judge(name, fields, NameLocks.of(connection)) is Life.DEAD


def subscribed(connection: Redis, names: Sequence[str]) -> set[str]:
    """Return the workers whose channel has a subscriber, as it has while the worker has a connection.

    Args:
        connection: the server.
        names: which workers.
    """
    if not names:
        return set()
    try:
        numbers = connection.pubsub_numsub(*(PUBSUB_CHANNEL_TEMPLATE % name for name in names))
    except ResponseError:
        # The command is not permitted there, so only the beats count.
        return set()
    return {name for name, (_, number) in zip(names, numbers, strict=True) if number}


@dataclass
class _Seen:
    beat: str | None
    looked: float
    silent: float = 0.0
    absent: float = 0.0


class Watcher:
    """Counts how long workers have been silent that cannot be asked, in its own time.

    Args:
        connection: the server.
        clock: the watcher's time, in seconds, which nobody sets.
    """

    def __init__(self, connection: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def look(self, names: Sequence[str]) -> dict[str, Life]:
        """Look once more.

        Args:
            names: at which workers; the others are forgotten.

        Returns:
            For each ALIVE if it has given a sign since the last look or is connected, DEAD if it has been silent for
            too long.
        """
        keys = [WORKER_KEY_TEMPLATE.format(name) for name in names]
        beats = [fields.get(BEAT_FIELD) for fields in read_many(self._connection, keys, [BEAT_FIELD])]
        connected = subscribed(self._connection, names)
        clock = self._clock()
        self._seen = {name: self._seen.get(name) or _Seen(beat, clock) for name, beat in zip(names, beats, strict=True)}
        return {
            name: self._judge(self._seen[name], beat, name in connected, clock)
            for name, beat in zip(names, beats, strict=True)
        }

    @staticmethod
    def _judge(seen: _Seen, beat: str | None, connected: bool, clock: float) -> Life:
        passed = min(clock - seen.looked, _LONGEST_LOOK)
        seen.looked = clock
        seen.silent += passed
        seen.absent += passed
        if beat is not None and beat != seen.beat:
            seen.beat, seen.silent, seen.absent = beat, 0.0, 0.0
            return Life.ALIVE
        if connected:
            # After a server restarts, its workers come back one after the other.
            seen.absent = 0.0
            return Life.DEAD if seen.silent >= _LONGEST_SILENCE else Life.ALIVE
        return Life.DEAD if seen.absent >= _SILENCE else Life.UNKNOWN
