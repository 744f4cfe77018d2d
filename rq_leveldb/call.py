"""A call becomes a job: what workers can import, in which queue and when."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import rq
from rq.job import Job, JobStatus
from rq.types import FunctionReferenceType
from rq.utils import now

__all__ = ['check_importable', 'enqueue', 'import_name']


def check_importable(thing: Any) -> None:
    """Refuse what a worker cannot import, as far as its name tells.

    Args:
        thing: a function or a class.

    Raises:
        ValueError: it is in `__main__`, or local to a function.
    """
    if thing.__module__ == '__main__':
        raise ValueError(
            f'{thing.__qualname__} is defined in the script that was started, which workers cannot import. '
            'Move it to a module of its own.'
        )
    if '<' in thing.__qualname__:
        raise ValueError(
            f'{thing.__qualname__} is a lambda or is defined inside a function, where workers cannot import it. '
            'Define it at the top level of a module.'
        )


def import_name(thing: Any, attribute: str = '') -> str:
    """Return the name under which rq.utils.import_attribute finds something in a worker.

    Args:
        thing: a function or a class.
        attribute: what is meant of a class, if it is not the class itself.

    Raises:
        ValueError: it cannot be found.
    """
    check_importable(thing)
    path = f'{thing.__qualname__}.{attribute}' if attribute else thing.__qualname__
    if path.count('.') > 1:
        raise ValueError(
            f'{path} is nested in more than one class, where RQ does not find it. '
            f'Move it to a class at the top level of {thing.__module__}.'
        )
    try:
        found = attrgetter(thing.__qualname__)(sys.modules[thing.__module__])
    except (AttributeError, KeyError):
        found = None
    if found is not thing:
        raise ValueError(
            f'Workers look for {thing.__module__}.{thing.__qualname__}, and find nothing or something else there. '
            'Define it at the top level of a module, and give it no other name.'
        )
    return f'{thing.__module__}.{path}'


def enqueue(
    queue: rq.Queue | str,
    function: FunctionReferenceType,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    run_at: datetime | timedelta | None = None,
    at_front: bool = False,
    **options: Any,
) -> Job:
    """Enqueue a call, now or at a time, and return its job.

    Args:
        queue: a queue, or the name of one in the default place.
        function: as for rq.Queue.enqueue.
        args: the call's positional arguments.
        kwargs: the call's keyword arguments.
        run_at: when, or how long from now; at once if None. Without a time zone it is local time, as in RQ.
        at_front: whether it comes before what is in the queue.
        options: as rq.Queue.create_job.

    Raises:
        TypeError: there is no such option.
    """
    if isinstance(queue, str):
        # Jobs import this module as well, and most of them need no client.
        from rq_leveldb.api import Queue

        queue = Queue(queue)
    if run_at is None:
        return queue.enqueue_job(queue.create_job(function, args, kwargs, **options), at_front=at_front)
    job = queue.create_job(function, args, kwargs, status=JobStatus.SCHEDULED, **options)
    if at_front:
        job.enqueue_at_front = True
    return queue.schedule_job(job, now() + run_at if isinstance(run_at, timedelta) else run_at)
