"""The request for one job: its fields, and the arguments for RQ that they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from rq import Callback, Retry
from rq.job import Dependency, JobStatus
from rq.repeat import Repeat
from rq.utils import now

from rq_leveldb.http.access.allow import NAME, AllowList
from rq_leveldb.http.problems import FieldError, Problem
from rq_leveldb.http.request import fields
from rq_leveldb.http.request.fields import Invalid

__all__ = ['MOST_DEPENDENCIES', 'MOST_INTERVALS', 'MOST_TRIES', 'JobRequest', 'read_job']

MOST_INTERVALS = 100
MOST_DEPENDENCIES = 1000
MOST_TRIES = 10_000

_function = fields.text(500, NAME, 'must be the dotted name of a function, as module.function')


def _args(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Invalid('must be an array')
    return value


def _intervals(value: Any) -> list[int]:
    read = fields.seconds()
    if type(value) is not list:
        return [read(value)]
    if not 1 <= len(value) <= MOST_INTERVALS:
        raise Invalid(f'must have 1 to {MOST_INTERVALS} items')
    return _each(value, read)


def _each(value: list[Any], read: Callable[[Any], Any]) -> list[Any]:
    items = []
    for index, item in enumerate(value):
        try:
            items.append(read(item))
        except Invalid as error:
            raise Invalid(error.detail, f'/{index}{error.pointer}') from None
    return items


def _sub(value: Any, readers: Mapping[str, Callable[[Any], Any]], required: tuple[str, ...]) -> dict[str, Any]:
    values, errors = fields.read_fields(value, readers, required)
    if errors:
        raise Invalid(errors[0].detail, errors[0].pointer or '')
    return values


_RETRY = {'max': fields.integer(1, MOST_TRIES), 'intervals': _intervals, 'at_front': fields.boolean}


def _retry(value: Any) -> Retry:
    read = _sub(value, _RETRY, ('max',))
    return Retry(read['max'], read.get('intervals', 0), enqueue_at_front=read.get('at_front', False))


_REPEAT = {'times': fields.integer(1, MOST_TRIES), 'intervals': _intervals}


def _repeat(value: Any) -> Repeat:
    read = _sub(value, _REPEAT, ('times',))
    return Repeat(read['times'], read.get('intervals', 0))


_CALLBACK = {'function': _function, 'timeout': fields.seconds(least=1)}


def _callback(value: Any) -> Callback:
    if type(value) is str:
        return Callback(_function(value))
    read = _sub(value, _CALLBACK, ('function',))
    return Callback(read['function'], read.get('timeout'))


def _identifiers(value: Any) -> list[str]:
    if type(value) is not list:
        raise Invalid('must be an array of job ids')
    if not 1 <= len(value) <= MOST_DEPENDENCIES:
        raise Invalid(f'must have 1 to {MOST_DEPENDENCIES} items')
    return _each(value, fields.identifier)


_DEPENDS = {'jobs': _identifiers, 'allow_failure': fields.boolean, 'at_front': fields.boolean}


def _depends_on(value: Any) -> Dependency:
    if type(value) is str:
        return Dependency([fields.identifier(value)])
    if type(value) is list:
        return Dependency(_identifiers(value))
    read = _sub(value, _DEPENDS, ('jobs',))
    return Dependency(read['jobs'], read.get('allow_failure', False), read.get('at_front', False))


_FIELDS: dict[str, Callable[[Any], Any]] = {
    'function': _function,
    'args': _args,
    'kwargs': fields.object_,
    'queue': fields.text(128, fields.QUEUE, 'must begin with a letter, digit or underscore; then also . : @ + ~ -'),
    'job_id': fields.identifier,
    'unique': fields.boolean,
    'timeout': fields.seconds(-1, least=1),
    'ttl': fields.seconds(least=1),
    'result_ttl': fields.seconds(-1),
    'failure_ttl': fields.seconds(-1),
    'depends_on': _depends_on,
    'at_front': fields.boolean,
    'retry': _retry,
    'repeat': _repeat,
    'description': fields.text(2000),
    'meta': fields.object_,
    'enqueue_at': fields.moment,
    'enqueue_in': fields.seconds(),
    'on_success': _callback,
    'on_failure': _callback,
    'on_stopped': _callback,
}
_CALLBACKS = ('on_success', 'on_failure', 'on_stopped')
# What goes to RQ under the same name.
_OPTIONS = (
    'timeout',
    'ttl',
    'result_ttl',
    'failure_ttl',
    'depends_on',
    'retry',
    'repeat',
    'description',
    'meta',
    *_CALLBACKS,
)


@dataclass
class JobRequest:
    """A job that was asked for, and is in order.

    Args:
        function: dotted name, allowed.
        queue: name of the queue.
        job_id: the id that it will have.
        options: further arguments of `Queue.create_job`.
        at_front: put it at the front of the queue.
        unique: refuse it where a job of this id exists.
        due: when it is to be enqueued; None for now.
    """

    function: str
    queue: str
    job_id: str
    options: dict[str, Any]
    at_front: bool
    unique: bool
    due: datetime | None

    @property
    def dependencies(self) -> list[str]:
        """The ids of the jobs that it waits for."""
        dependency = self.options.get('depends_on')
        return [str(item) for item in dependency.dependencies] if dependency is not None else []

    def is_met_by(self, status: str) -> bool:
        """Say whether a job that it waits for has ended as it has to.

        Args:
            status: that job's status.
        """
        allows_failure = self.options['depends_on'].allow_failure
        return status == JobStatus.FINISHED.value or (allows_failure and status == JobStatus.FAILED.value)


def read_job(document: Any, allow: AllowList) -> tuple[JobRequest | None, list[FieldError]]:
    """Read the request for one job.

    Args:
        document: the JSON.
        allow: the functions that may be enqueued, and called back.

    Returns:
        The request, or None with what is wrong with it.

    Raises:
        Problem: 403, it is in order and its function or a callback is not allowed.
    """
    values, errors = fields.read_fields(document, _FIELDS, ('function',))
    errors += _contradictions(values)
    if errors:
        return None, errors
    for name in ('function', *_CALLBACKS):
        value = values.get(name)
        if value is not None:
            function = value.name if isinstance(value, Callback) else value
            if not allow.allows(function):
                raise _not_allowed(allow, function, name)
    due = values.get('enqueue_at')
    if 'enqueue_in' in values:
        due = now() + timedelta(seconds=values['enqueue_in'])
    options = {name: values[name] for name in _OPTIONS if name in values}
    options['args'] = values.get('args', ())
    options['kwargs'] = values.get('kwargs', {})
    return (
        JobRequest(
            function=values['function'],
            queue=values.get('queue', 'default'),
            job_id=values.get('job_id') or str(uuid4()),
            options=options,
            at_front=values.get('at_front', False),
            unique=values.get('unique', False),
            due=due,
        ),
        [],
    )


def _not_allowed(allow: AllowList, function: str, field: str) -> Problem:
    problem = allow.refusal(function)
    problem.errors = (FieldError('is not allowed', pointer=f'/{field}'),)
    return problem


def _contradictions(values: dict[str, Any]) -> list[FieldError]:
    errors = []
    if 'enqueue_at' in values and 'enqueue_in' in values:
        errors.append(FieldError('cannot be given together with enqueue_at', pointer='/enqueue_in'))
    is_scheduled = 'enqueue_at' in values or 'enqueue_in' in values
    if 'depends_on' in values:
        # RQ's scheduler enqueues without a look at dependencies, and its unique jobs cannot have any.
        if is_scheduled:
            errors.append(FieldError('cannot be given together with a time', pointer='/depends_on'))
        if values.get('unique'):
            errors.append(FieldError('cannot be given together with unique', pointer='/depends_on'))
    if values.get('unique') and 'job_id' not in values:
        errors.append(FieldError('needs a job_id', pointer='/unique'))
    return errors
