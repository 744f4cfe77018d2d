"""Whether the methods that run a job are RQ's and ours as they were shipped, so that short cuts past them are allowed.

Sentry, ddtrace and other agents replace methods of RQ's classes; applications subclass them. Whatever was replaced has
to be called as RQ calls it, at the time at which RQ calls it, and never for a job that nobody enqueued.
"""

from __future__ import annotations

import functools
import os
from types import FunctionType
from typing import Any

import rq
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.registry import BaseRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.worker.base import BaseWorker
from rq.worker.worker_classes import Worker

__all__ = ['first_touched', 'is_shipped', 'methods_of', 'on_the_way_out', 'starts_as_shipped']

_SHIPPED = (
    *(os.path.dirname(os.path.abspath(file)) + os.sep for file in (str(rq.__file__), os.path.dirname(__file__))),
    # RQ's classes are ordered by functools.total_ordering, which adds methods of its own.
    functools.__file__,
)
# If a subclass, a test or an agent replaces one of these, jobs start in RQ's own way, in which all of them are called.
_STARTING = ('execute_job', 'perform_job', 'prepare_execution', 'prepare_job_execution', 'get_heartbeat_ttl')
_CLASSES = (Execution, Result, BaseRegistry, FinishedJobRegistry, StartedJobRegistry)


def is_shipped(cls: type, name: str) -> bool:
    """Say whether a method, and those that it may call by `super()`, are what RQ's or this package's source has.

    Args:
        cls: a class.
        name: of one of its methods.
    """
    found = [base.__dict__[name] for base in cls.__mro__ if base is not object and name in base.__dict__]
    return bool(found) and all(map(_is_ours, found))


def _is_ours(attribute: Any) -> bool:
    if isinstance(attribute, property):
        return all(_is_ours(part) for part in (attribute.fget, attribute.fset) if part is not None)
    if isinstance(attribute, staticmethod | classmethod):
        attribute = attribute.__func__
    return type(attribute) is FunctionType and attribute.__code__.co_filename.startswith(_SHIPPED)


def methods_of(cls: type) -> list[str]:
    """Return the names of the methods and properties that a class defines itself."""
    kinds = (FunctionType, property, staticmethod, classmethod)
    return [name for name, value in cls.__dict__.items() if isinstance(value, kinds)]


# Collected at import, so that methods are still checked which somebody replaces later.
_METHODS = {cls: methods_of(cls) for cls in (*_CLASSES, Job, Queue, BaseWorker, Worker)}


def first_touched(worker: Any) -> str | None:
    """Return the first method that is not as shipped; None if all are.

    Args:
        worker: a worker, with its job and queue classes.
    """
    if worker.job_class is not Job:
        return f'the job class {_name(worker.job_class)}'
    if not issubclass(worker.queue_class, Queue):
        return f'the queue class {_name(worker.queue_class)}'
    names = {*_METHODS[BaseWorker], *_METHODS[Worker]}
    for name in names:
        if name in worker.__dict__ or not is_shipped(type(worker), name):
            return f'{_name(type(worker))}.{name}'
    for cls in (Job, worker.queue_class, *_CLASSES):
        for name in _METHODS.get(cls, _METHODS[Queue]):
            if not is_shipped(cls, name):
                return f'{_name(cls)}.{name}'
    return None


def starts_as_shipped(worker: Any) -> bool:
    """Say whether jobs start in the shipped way, so that it can be done in one step.

    Args:
        worker: the worker.
    """
    return all(is_shipped(type(worker), name) and name not in worker.__dict__ for name in _STARTING)


def on_the_way_out(worker_class: type[Any]) -> tuple[Any, ...]:
    """Return the methods that a successful job goes through. Comparing them is cheaper than checking them again.

    Args:
        worker_class: the worker's class.
    """
    return (
        Job.perform,
        worker_class.perform_job,
        worker_class._finalize_success,
        worker_class.handle_job_success,
        BaseWorker.handle_job_success,
        BaseWorker.increment_successful_job_count,
    )


def _name(cls: type) -> str:
    return f'{cls.__module__}.{cls.__qualname__}'
