"""Dependents whose dependencies are met: enqueued at once, whoever else writes there at the same time.

RQ moves a dependent to its queue's ready registry in one transaction and to its queue in the next. Where something
else is written to that registry in between it leaves the dependent there, and its maintenance comes by every ten
minutes. Here it is seen to at every tick of a worker.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError
from rq.job import JobStatus
from rq.queue import Queue
from rq.registry import ReadyJobRegistry

from rq_leveldb.unreadable import is_wrong_type

from .release import PAGE, Source, release, set_aside

if TYPE_CHECKING:
    from .worker import Worker

__all__ = ['enqueue_ready']

# So many of a queue at once; who calls has other things to do, and comes again.
_PAGES = 20


def enqueue_ready(worker: Worker, names: Iterable[str] | None = None) -> int:
    """Enqueue the jobs that wait in ready registries: all, or 2,000 of each queue.

    Costs one round trip where there is none, two where the queues have to be looked up.

    Args:
        worker: whose connection, classes and serializer count.
        names: of the queues; None for all that RQ knows.

    Returns:
        How many entries were there.

    Raises:
        RedisError: the store went away, or takes no writes.
    """
    if names is None:
        names = _all_names(worker)
    sources = [Source(name, ReadyJobRegistry.key_template.format(name), JobStatus.READY_TO_ENQUEUE) for name in names]
    if not sources or not worker.connection.exists(*(source.key for source in sources)):
        return 0
    return sum(_empty(worker, source) for source in sources)


def _all_names(worker: Worker) -> list[str]:
    key, prefix = Queue.redis_queues_keys, Queue.redis_queue_namespace_prefix.encode()
    try:
        members: set[bytes] = worker.connection.smembers(key)  # type: ignore[assignment]
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        set_aside(worker, key, f'{key} is no set, the queues are not known')
        return [queue.name for queue in worker.queues]
    names = []
    for member in sorted(members):
        try:
            names.append(member.removeprefix(prefix).decode())
        except UnicodeDecodeError:
            # No queue of RQ's.
            continue
    return names


def _empty(worker: Worker, source: Source) -> int:
    total = 0
    for _ in range(_PAGES):
        try:
            ids: list[bytes] = worker.connection.zrange(source.key, 0, PAGE - 1)  # type: ignore[assignment]
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            set_aside(worker, source.key, f'{source.key} is no sorted set, no dependents can be enqueued from it')
            return total
        done = release(worker, source, ids) if ids else 0
        total += done
        if not done:
            break
    return total
