"""Resque's shape for jobs: a class with a queue and a `perform`, and hooks that are found by their names.

The hooks are those of Resque's docs/HOOKS.md, in the order of its lib/resque/job.rb.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol

from rq.callbacks import Callback
from rq.utils import get_call_string, import_attribute

from rq_leveldb.call import enqueue as enqueue_call
from rq_leveldb.call import import_name

if TYPE_CHECKING:
    import rq
    from rq.job import Job

__all__ = ['DontPerform', 'JobClass', 'enqueue', 'enqueue_at', 'enqueue_in', 'enqueue_to', 'failed', 'perform']

P = ParamSpec('P')

_IN_WORKER = ('before_perform', 'around_perform', 'after_perform', 'on_failure')
_HOOKS = ('before_enqueue', 'after_enqueue', *_IN_WORKER)


class DontPerform(Exception):
    """Raised by a `before_perform` or `around_perform` hook: the job is not performed, and does not fail."""


class JobClass(Protocol[P]):
    """A class whose `perform` is a job: a static method or a class method.

    It also has `queue`, a queue or the name of one in the default place, and may have `enqueue_options`, a dict of
    options of rq.Queue.create_job for each of its jobs.
    """

    def perform(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Do the work."""


def enqueue(job_class: JobClass[P], /, *args: P.args, **kwargs: P.kwargs) -> Job | None:
    """Enqueue a job in its class's queue; return None if a `before_enqueue` hook returned False.

    Args:
        job_class: a class with `queue` and `perform`.
        args: positional arguments of `perform` and of all hooks.
        kwargs: keyword arguments of the same.

    Raises:
        TypeError: the class is no job class, or a hook has the wrong form.
        ValueError: it has no queue, or workers cannot import it.
    """
    return _enqueue(job_class, None, None, args, kwargs)


def enqueue_to(queue: rq.Queue | str, job_class: JobClass[P], /, *args: P.args, **kwargs: P.kwargs) -> Job | None:
    """Enqueue a job in another queue than its class's; else as `enqueue`."""
    return _enqueue(job_class, queue, None, args, kwargs)


def enqueue_at(when: datetime, job_class: JobClass[P], /, *args: P.args, **kwargs: P.kwargs) -> Job | None:
    """Enqueue a job at a time, which is local time if it has no time zone; else as `enqueue`."""
    return _enqueue(job_class, None, when, args, kwargs)


def enqueue_in(delay: timedelta | float, job_class: JobClass[P], /, *args: P.args, **kwargs: P.kwargs) -> Job | None:
    """Enqueue a job after a delay, in seconds if it is a number; else as `enqueue`."""
    after = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
    return _enqueue(job_class, None, after, args, kwargs)


def perform(name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Run a job with its hooks. This is the function that jobs of a class with hooks name.

    Args:
        name: the class's dotted name.
        args: positional arguments of `perform` and of all hooks.
        kwargs: keyword arguments of the same.

    Returns:
        What the class's `perform` returned; None if it was not called.
    """
    job_class: Any = import_attribute(name)
    result = None
    with ExitStack() as around:
        try:
            for hook in _hooks(job_class, 'before_perform'):
                hook(*args, **kwargs)
            for hook in _hooks(job_class, 'around_perform'):
                around.enter_context(contextmanager(hook)(*args, **kwargs))
        except DontPerform:
            return None
        returned = job_class.perform(*args, **kwargs)
        # RQ would run a coroutine only after the hooks.
        result = asyncio.run(returned) if asyncio.iscoroutine(returned) else returned
    for hook in _hooks(job_class, 'after_perform'):
        hook(*args, **kwargs)
    return result


def failed(job: Job, connection: Any, kind: Any, error: BaseException, traceback: Any) -> None:
    """Call the `on_failure` hooks of a job's class. This is an on_failure callback of RQ."""
    name, *args = job.args
    for hook in _hooks(import_attribute(name), 'on_failure'):
        hook(error, *args, **job.kwargs)


def _enqueue(
    job_class: Any,
    queue: rq.Queue | str | None,
    run_at: datetime | timedelta | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Job | None:
    name = _checked_name(job_class)
    queue = getattr(job_class, 'queue', None) if queue is None else queue
    if queue is None:
        raise ValueError(f"{name} has no queue. Add one to the class, as in queue = 'mail'.")
    # All of them are called, whatever the first ones return.
    answers = [hook(*args, **kwargs) for hook in _hooks(job_class, 'before_enqueue')]
    if any(answer is False for answer in answers):
        return None
    function, arguments, options = f'{name}.perform', args, dict(getattr(job_class, 'enqueue_options', {}))
    if any(_hooks(job_class, prefix) for prefix in _IN_WORKER):
        options.setdefault('description', get_call_string(function, args, kwargs, max_length=75))
        function, arguments = f'{__name__}.perform', (name, *args)
    if _hooks(job_class, 'on_failure'):
        if 'on_failure' in options:
            raise ValueError(f'{name} has on_failure hooks as well as an on_failure callback. Use one of the two.')
        options['on_failure'] = Callback(failed)
    job = enqueue_call(queue, function, arguments, kwargs, run_at=run_at, **options)
    for hook in _hooks(job_class, 'after_enqueue'):
        hook(*args, **kwargs)
    return job


def _hooks(job_class: Any, prefix: str) -> list[Callable[..., Any]]:
    # dir() sorts by name: Resque's order.
    attributes = [getattr(job_class, name) for name in dir(job_class) if name.startswith(prefix)]
    return [attribute for attribute in attributes if callable(attribute)]


def _checked_name(job_class: Any) -> str:
    """Return a job class's dotted name, once everything about it is found to be right."""
    if not inspect.isclass(job_class) or not callable(getattr(job_class, 'perform', None)):
        raise TypeError(f'{job_class!r} is not a class with a perform method, which is what Resque calls a job.')
    name = import_name(job_class, 'perform').removesuffix('.perform')
    for method in dir(job_class):
        if method != 'perform' and not method.startswith(_HOOKS):
            continue
        if inspect.isfunction(inspect.getattr_static(job_class, method)):
            raise TypeError(
                f'{name}.{method} is called on the class, not on an instance. '
                'Decorate it with @classmethod or @staticmethod.'
            )
        hook = getattr(job_class, method)
        if inspect.iscoroutinefunction(hook) and method != 'perform':
            raise TypeError(f'{name}.{method} is async, and hooks are not awaited. Make it a plain method.')
        if method.startswith('around_perform') and not inspect.isgeneratorfunction(hook):
            raise TypeError(f'{name}.{method} does not yield. A hook around the job yields where the job is to run.')
    return name
