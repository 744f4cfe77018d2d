"""Pausing one queue: workers take nothing from it, and everything else goes on."""

from __future__ import annotations

import contextlib

from redis.exceptions import ResponseError
from rq import Queue
from rq.command import send_command
from rq.worker import BaseWorker
from rq.worker_registration import get_keys

from rq_leveldb.records import LOOK_COMMAND, PAUSED_KEY

__all__ = ['is_paused', 'pause', 'resume']


def pause(queue: Queue) -> bool:
    """Let workers take nothing from a queue until it is resumed; return False if it was paused already.

    Args:
        queue: the queue; listed from now on, also if it never had a job.
    """
    with queue.connection.pipeline() as pipe:
        pipe.sadd(PAUSED_KEY, queue.key)
        pipe.sadd(queue.redis_queues_keys, queue.key)
        is_new, _ = pipe.execute()
    return bool(is_new)


def resume(queue: Queue) -> bool:
    """Let workers take jobs from a queue again; return False if it was not paused.

    Args:
        queue: the queue.
    """
    if not queue.connection.srem(PAUSED_KEY, queue.key):
        return False
    # They look once a second anyway, also where RQ's list of them holds another type of value.
    with contextlib.suppress(ResponseError):
        for key in get_keys(queue):
            send_command(queue.connection, key.removeprefix(BaseWorker.redis_worker_namespace_prefix), LOOK_COMMAND)
    return True


def is_paused(queue: Queue) -> bool:
    """Return whether workers take nothing from a queue.

    Args:
        queue: the queue.
    """
    return bool(queue.connection.sismember(PAUSED_KEY, queue.key))
