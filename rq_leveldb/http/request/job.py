"""The request for one job: its fields, and the arguments for RQ that they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from rq import Callback, Retry
from rq.job import Dependency, JobStatus
from rq.repeat import Repeat
from rq.utils import now

from rq_leveldb.http.access.allow import AllowList
from rq_leveldb.http.problems import FieldError
from rq_leveldb.http.request import fields
from rq_leveldb.http.request.fields import Field, Record, Rule

__all__ = ['JOB_REQUEST', 'JobRequest']

_MOST_INTERVALS = 100
_MOST_DEPENDENCIES = 1000
_MOST_TRIES = 10_000
# Names of queues that can stand in a URL and in RQ's comma-separated lists.
_QUEUE = r'^[A-Za-z0-9_][A-Za-z0-9_.:@+~-]{0,127}$'
_UNITS = 'Seconds, or digits with one of the units s, m, h, d.'

_function = fields.text(500, fields.NAME, 'must be the dotted name of a function, as module.function').described(
    'Dotted name of an allowed function.'
)
_interval = fields.seconds().described(f'Time until the next. {_UNITS}')
_intervals = fields.either(
    {object: _interval.then(lambda interval: [interval]), list: fields.array(_interval, _MOST_INTERVALS)}
)
_callback = fields.either(
    {
        str: _function.then(Callback),
        object: Record(
            {
                'function': _function.required(),
                'timeout': fields.seconds(least=1).described(f'Its time limit. {_UNITS}'),
            }
        ).then(lambda read: Callback(read['function'], read.get('timeout'))),
    }
).described('An allowed function that the worker calls.')
_identifiers = fields.array(fields.identifier, _MOST_DEPENDENCIES, 'must be an array of job ids')
_depends_on = fields.either(
    {
        str: fields.identifier.then(lambda job_id: Dependency([job_id])),
        list: _identifiers.then(Dependency),
        object: Record(
            {'jobs': _identifiers.required(), 'allow_failure': fields.boolean, 'at_front': fields.boolean}
        ).then(lambda read: Dependency(read['jobs'], read.get('allow_failure', False), read.get('at_front', False))),
    }
).described('Jobs that must finish first: ids of stored jobs, or of jobs earlier in the same batch.')
_retry = Record(
    {
        'max': fields.integer(1, _MOST_TRIES).described('Most retries.').required(),
        'intervals': _intervals,
        'at_front': fields.boolean,
    },
    description='How often the job is retried when it fails.',
).then(lambda read: Retry(read['max'], read.get('intervals', 0), enqueue_at_front=read.get('at_front', False)))
_repeat = Record(
    {
        'times': fields.integer(1, _MOST_TRIES).described('Number of further runs.').required(),
        'intervals': _intervals,
    },
    description='How often the job is run again after it has finished.',
).then(lambda read: Repeat(read['times'], read.get('intervals', 0)))

_FIELDS: Mapping[str, Field] = {
    'function': _function.required(),
    'args': fields.array().described('Positional arguments.'),
    'kwargs': fields.mapping.described('Keyword arguments.'),
    'queue': fields.text(128, _QUEUE, 'must begin with a letter, digit or underscore; then also . : @ + ~ -').described(
        "Its queue; 'default' by default."
    ),
    'job_id': fields.identifier.described('Its id; a new UUID by default.'),
    'unique': fields.boolean.described('Refuse the job (409) if a job with this job_id is stored.'),
    'timeout': fields.seconds(-1, least=1).described(f'Time limit; -1 for none. {_UNITS}'),
    'ttl': fields.seconds(least=1).described(f'How long it may wait in its queue. {_UNITS}'),
    'result_ttl': fields.seconds(-1).described(f'How long its result is kept; -1 forever, 0 not at all. {_UNITS}'),
    'failure_ttl': fields.seconds(-1).described(f'How long it is kept after it failed; -1 forever. {_UNITS}'),
    'depends_on': _depends_on,
    'at_front': fields.boolean.described('Put it at the front of its queue.'),
    'retry': _retry,
    'repeat': _repeat,
    'description': fields.text(2000),
    'meta': fields.mapping.described('Data of your own that is kept with the job.'),
    'enqueue_at': fields.moment.described('When to put it on its queue: RFC 3339 with an offset.'),
    'enqueue_in': fields.seconds().described(f'How long to wait before it is put on its queue. {_UNITS}'),
    'on_success': _callback,
    'on_failure': _callback,
    'on_stopped': _callback,
}
_WITH_TIME = 'cannot be given together with a time'
_CALLBACKS = ('on_success', 'on_failure', 'on_stopped')
# The fields that do not go to RQ's Queue.create_job under the same name.
_OWN = {'function', 'queue', 'job_id', 'unique', 'at_front', 'enqueue_at', 'enqueue_in'}

JOB_REQUEST = Record(
    _FIELDS,
    'JobRequest',
    rules=(
        Rule('enqueue_in', 'cannot be given together with enqueue_at', given=('enqueue_at', 'enqueue_in')),
        # RQ's scheduler enqueues without a look at dependencies, and its unique jobs cannot have any.
        Rule('depends_on', _WITH_TIME, given=('enqueue_at', 'depends_on')),
        Rule('depends_on', _WITH_TIME, given=('enqueue_in', 'depends_on')),
        Rule('depends_on', 'cannot be given together with unique', given=('depends_on',), flags=('unique',)),
        Rule('unique', 'needs a job_id', missing=('job_id',), flags=('unique',)),
    ),
    description='A job to enqueue. Only `function` is required.',
    examples=({'function': 'tasks.add', 'args': [2, 3]},),
)
"""The body that asks for a job."""


@dataclass
class JobRequest:
    """A job to enqueue, checked.

    Args:
        function: dotted name, allowed.
        queue: name of the queue.
        job_id: the id that it will have.
        options: further arguments of `Queue.create_job`.
        at_front: put it at the front of the queue.
        unique: refuse it if a job with this id exists.
        due: when it is to be enqueued; None for now.
    """

    function: str
    queue: str
    job_id: str
    options: dict[str, Any]
    at_front: bool
    unique: bool
    due: datetime | None

    @classmethod
    def make(cls, values: Mapping[str, Any], allow: AllowList) -> JobRequest:
        """Return the request that fields make.

        Args:
            values: the fields, read by `JOB_REQUEST`.
            allow: the functions that may be enqueued, and called back.

        Raises:
            FunctionNotAllowed: the function or a callback is not allowed.
        """
        for name in ('function', *_CALLBACKS):
            value = values.get(name)
            if value is not None:
                function = value.name if isinstance(value, Callback) else value
                if not allow.allows(function):
                    raise allow.refusal(function, [FieldError('is not allowed', pointer=f'/{name}')])
        due = values.get('enqueue_at')
        if 'enqueue_in' in values:
            due = now() + timedelta(seconds=values['enqueue_in'])
        return cls(
            function=values['function'],
            queue=values.get('queue', 'default'),
            job_id=values.get('job_id') or str(uuid4()),
            options={'args': (), 'kwargs': {}, **{name: values[name] for name in values.keys() - _OWN}},
            at_front=values.get('at_front', False),
            unique=values.get('unique', False),
            due=due,
        )

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
