"""The schemas of the OpenAPI document: what goes in and comes out (JSON Schema 2020-12)."""

from __future__ import annotations

from typing import Any

from rq_leveldb.http.access.allow import NAME
from rq_leveldb.http.queueing.states import COUNTED
from rq_leveldb.http.request import fields
from rq_leveldb.http.request.job import MOST_DEPENDENCIES, MOST_INTERVALS, MOST_TRIES
from rq_leveldb.http.resources.workers import MOST_CHILDREN
from rq_leveldb.http.settings import Settings

__all__ = ['ref', 'schemas']

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """Return a reference to a schema.

    Args:
        name: its name.
    """
    return {'$ref': f'#/components/schemas/{name}'}


def _object(described: str, /, *required: str, **properties: Schema) -> Schema:
    """Return the schema of an object without other fields; all are required where it names none."""
    return {
        'type': 'object',
        'description': described,
        'properties': properties,
        'required': list(required or properties),
        'additionalProperties': False,
    }


def _options(**properties: Schema) -> Schema:
    """Return the schema of an object all of whose fields may be left out."""
    return {'type': 'object', 'properties': properties, 'additionalProperties': False}


def _maybe(schema: Schema) -> Schema:
    return {**schema, 'type': [schema['type'], 'null']} if 'type' in schema else {'anyOf': [schema, {'type': 'null'}]}


def _array(items: Schema, **more: Any) -> Schema:
    return {'type': 'array', 'items': items, **more}


_TEXT: Schema = {'type': 'string'}
_FLAG: Schema = {'type': 'boolean'}
_WHOLE: Schema = {'type': 'integer'}
_NUMBER: Schema = {'type': 'number'}
_TIME: Schema = {'type': 'string', 'format': 'date-time'}
_ANY: Schema = {}
_JOB_ID: Schema = {'type': 'string', 'pattern': fields.IDENTIFIER}
_FUNCTION: Schema = {
    'type': 'string',
    'pattern': NAME,
    'maxLength': 500,
    'description': 'Dotted name of a function that is allowed.',
}


def _seconds(described: str, *also: int, least: int = 0) -> Schema:
    """Return the schema of a duration, as `fields.seconds` reads it."""
    whole: Schema = {'type': 'integer', 'minimum': least, 'maximum': fields.LONGEST}
    choices = [whole, {'type': 'string', 'pattern': fields.POSITIVE_DURATION if least else fields.DURATION}]
    if also:
        choices.append({'enum': list(also)})
    return {'anyOf': choices, 'description': f'{described} Seconds, or digits with one of the units s, m, h, d.'}


def _optional(schema: Schema) -> Schema:
    """Return the schema of a request's field, for which null means that it is not given."""
    described = schema.get('description')
    inner = {name: value for name, value in schema.items() if name != 'description'}
    wide: Schema = {'anyOf': [inner, {'type': 'null'}]}
    return {**wide, 'description': described} if described else wide


_UNIQUE: Schema = {'properties': {'unique': {'const': True}}, 'required': ['unique']}


def _given(*names: str) -> Schema:
    """Return the schema of objects that have these fields, and not as null."""
    return {'properties': {name: {'not': {'type': 'null'}} for name in names}, 'required': list(names)}


def _intervals() -> Schema:
    one = _seconds('Time until the next.')
    return {'anyOf': [one, _array(one, minItems=1, maxItems=MOST_INTERVALS)]}


def _tries(described: str) -> Schema:
    return {'type': 'integer', 'minimum': 1, 'maximum': MOST_TRIES, 'description': described}


def _job_request() -> Schema:
    callback = {
        'anyOf': [
            _FUNCTION,
            _object('', 'function', function=_FUNCTION, timeout=_optional(_seconds('Its time limit.', least=1))),
        ],
        'description': 'A function that is allowed, called by the worker.',
    }
    ids = _array(_JOB_ID, minItems=1, maxItems=MOST_DEPENDENCIES)
    depends = {
        'anyOf': [
            _JOB_ID,
            ids,
            _object('', 'jobs', jobs=ids, allow_failure=_optional(_FLAG), at_front=_optional(_FLAG)),
        ],
        'description': 'Jobs that must have finished before; ids, or jobs before this one in the same batch.',
    }
    retry = _object(
        'How often a job that fails is tried again.',
        'max',
        max=_tries('At most so many times.'),
        intervals=_optional(_intervals()),
        at_front=_optional(_FLAG),
    )
    repeat = _object(
        'How often a job that finished is run again.',
        'times',
        times=_tries('So many times.'),
        intervals=_optional(_intervals()),
    )
    properties: dict[str, Schema] = {
        'args': {'type': 'array', 'description': 'Positional arguments.'},
        'kwargs': {'type': 'object', 'description': 'Keyword arguments.'},
        'queue': {'type': 'string', 'pattern': fields.QUEUE, 'description': "Its queue; 'default' by default."},
        'job_id': {**_JOB_ID, 'description': 'The id it gets; by default a new UUID.'},
        'unique': {**_FLAG, 'description': 'Refuse it (409) where a job of this job_id is stored.'},
        'timeout': _seconds('Time limit; -1 for none.', -1, least=1),
        'ttl': _seconds('How long it may wait in its queue.', least=1),
        'result_ttl': _seconds('How long its result is kept; -1 for ever, 0 not at all.', -1),
        'failure_ttl': _seconds('How long it is kept when it failed; -1 for ever.', -1),
        'depends_on': depends,
        'at_front': {**_FLAG, 'description': 'Put it at the front of its queue.'},
        'retry': retry,
        'repeat': repeat,
        'description': {'type': 'string', 'minLength': 1, 'maxLength': 2000},
        'meta': {'type': 'object', 'description': 'Whatever is to be kept with the job.'},
        'enqueue_at': {**_TIME, 'description': 'When it is put on its queue; RFC 3339 with an offset.'},
        'enqueue_in': _seconds('After what time it is put on its queue.'),
        'on_success': callback,
        'on_failure': callback,
        'on_stopped': callback,
    }
    optional = {name: _optional(schema) for name, schema in properties.items()}
    return {
        # What job_request refuses as a contradiction.
        'not': {
            'anyOf': [
                _given('enqueue_at', 'enqueue_in'),
                _given('enqueue_at', 'depends_on'),
                _given('enqueue_in', 'depends_on'),
                {'allOf': [_given('depends_on'), _UNIQUE]},
                {'allOf': [{'not': _given('job_id')}, _UNIQUE]},
            ]
        },
        **_object('A job to enqueue. Only `function` is required.', 'function', function=_FUNCTION, **optional),
        'examples': [{'function': 'tasks.add', 'args': [2, 3]}],
    }


def _job_fields() -> dict[str, Schema]:
    return {
        'id': _TEXT,
        'url': _TEXT,
        'status': _TEXT,
        'queue': _TEXT,
        'function': _maybe(_TEXT),
        'description': _maybe(_TEXT),
        'args': _ANY,
        'args_repr': _maybe(_TEXT),
        'kwargs': _ANY,
        'kwargs_repr': _maybe(_TEXT),
        'meta': _ANY,
        'meta_repr': _maybe(_TEXT),
        'created_at': _maybe(_TIME),
        'enqueued_at': _maybe(_TIME),
        'started_at': _maybe(_TIME),
        'ended_at': _maybe(_TIME),
        'wait_seconds': _maybe(_NUMBER),
        'duration_seconds': _maybe(_NUMBER),
        'worker': _maybe(_TEXT),
        'timeout': _maybe(_NUMBER),
        'ttl': _maybe(_WHOLE),
        'result_ttl': _maybe(_WHOLE),
        'failure_ttl': _maybe(_WHOLE),
        'retries_left': _maybe(_WHOLE),
        'retry_intervals': _maybe(_array(_WHOLE)),
        'repeats_left': _maybe(_WHOLE),
        'repeat_intervals': _maybe(_array(_WHOLE)),
        'group': _maybe(_TEXT),
        'depends_on': _array(_TEXT),
        'on_success': _maybe(_TEXT),
        'on_failure': _maybe(_TEXT),
        'on_stopped': _maybe(_TEXT),
        'faults': _FAULTS,
    }


_FAULTS: Schema = {
    **_array(ref('Fault')),
    'description': 'What of it cannot be read; empty for nearly everything.',
}


def _page_of(name: str) -> Schema:
    return _object(
        'A page of a list.',
        items=_array(ref(name)),
        next={
            'type': ['string', 'null'],
            'description': 'The `cursor` of the next page; null when this was the last. A page may have fewer items '
            'than asked for, or none, and a next one: then more is left to look through.',
        },
        unreadable={
            **_array(ref('Strange')),
            'description': 'What stands in the place of such records and is none.',
        },
    )


def schemas(settings: Settings) -> dict[str, Schema]:
    """Return the schemas by name.

    Args:
        settings: for the limits.
    """
    execution = _object(
        'A run that goes on.', id=_TEXT, worker=_maybe(_TEXT), started_at=_maybe(_TIME), last_heartbeat=_maybe(_TIME)
    )
    value_note = 'Where it is JSON, else null and its text in the field with _repr.'
    return {
        'Problem': {
            'type': 'object',
            'description': 'What went wrong (RFC 9457).',
            'properties': {
                'type': {'type': 'string', 'description': 'The kind of problem, stable over versions.'},
                'title': _TEXT,
                'status': _WHOLE,
                'detail': _TEXT,
                'hint': {'type': 'string', 'description': 'What to do about it.'},
                'errors': _array(
                    {
                        'type': 'object',
                        'properties': {
                            'detail': _TEXT,
                            'pointer': {'type': 'string', 'description': 'JSON pointer into the body.'},
                            'parameter': {'type': 'string', 'description': 'Query parameter or header.'},
                        },
                        'required': ['detail'],
                    }
                ),
            },
            'required': ['type', 'title', 'status'],
        },
        'Fault': _object(
            'A part of a record that cannot be read.',
            field={'type': 'string', 'description': 'Which part; empty for all of it.'},
            value={'type': 'string', 'description': 'What stands there, as Python writes bytes.'},
            error=_TEXT,
        ),
        'Strange': _object('Something in the place of a record that is none.', key=_TEXT, reason=_TEXT),
        'Aside': _object(
            'A key that was set aside, since it could be neither read nor failed.',
            key=_TEXT,
            reason=_TEXT,
            at={'type': ['string', 'null'], 'description': 'When it was first met.'},
        ),
        'JobRequest': _job_request(),
        'BatchRequest': _object(
            'Jobs to enqueue: all are in order, or none is enqueued.',
            jobs=_array(ref('JobRequest'), minItems=1, maxItems=settings.max_batch),
        ),
        'Enqueued': _object(
            'What became of a request.',
            id=_TEXT,
            url=_TEXT,
            status={**_maybe(_TEXT), 'description': 'Null where a job of this id existed, and it was to be unique.'},
            queue=_TEXT,
            is_duplicate=_FLAG,
        ),
        'BatchEnqueued': _object('One answer for each job, in their order.', jobs=_array(ref('Enqueued'))),
        'JobSummary': _object('A job in a list.', **_job_fields()),
        'Result': _object(
            'How a run ended.',
            type={'enum': ['successful', 'failed', 'stopped', 'retried', 'max_retries_exceeded']},
            at=_maybe(_TIME),
            value={'description': f'What the function returned. {value_note}'},
            value_repr=_maybe(_TEXT),
            exception={**_maybe(_TEXT), 'description': 'The traceback.'},
            worker=_maybe(_TEXT),
            execution=_maybe(_TEXT),
            started_at=_maybe(_TIME),
            ended_at=_maybe(_TIME),
            duration_seconds=_maybe(_NUMBER),
        ),
        'Job': _object(
            'Everything about a job.',
            **_job_fields(),
            position={**_maybe(_WHOLE), 'description': 'Jobs before it in its queue.'},
            scheduled_at=_maybe(_TIME),
            dependents=_array(_TEXT),
            result={'description': f'The latest result. {value_note}'},
            result_repr=_maybe(_TEXT),
            exception=_maybe(_TEXT),
            results=_array(ref('Result')),
            executions=_array(execution),
            usage={'type': 'array', 'description': 'CPU time, memory and exit of each run, where the worker keeps it.'},
            has_log=_FLAG,
        ),
        'JobResult': _object(
            'Status and latest result.',
            id=_TEXT,
            status=_TEXT,
            is_final={**_FLAG, 'description': 'Whether it has ended.'},
            result=_maybe(ref('Result')),
            faults=_FAULTS,
        ),
        'JobLog': _object('What a job printed, where the worker keeps it.', id=_TEXT, log=_maybe(_TEXT)),
        'JobState': _object('A job and its status.', id=_TEXT, url=_TEXT, status=_TEXT),
        'Requeued': _object(
            'What was requeued.',
            requeued=_array(_TEXT),
            count=_WHOLE,
            is_complete={**_FLAG, 'description': 'Whether none is left; else do it again.'},
        ),
        'Queue': _object(
            'A queue.',
            name=_TEXT,
            url=_TEXT,
            counts=_object(
                'Jobs by state, null where they cannot be counted; stopped ones count as failed.',
                **dict.fromkeys(COUNTED, _maybe(_WHOLE)),
            ),
            oldest_waiting_seconds=_maybe(_NUMBER),
            workers=_maybe(_WHOLE),
            faults=_FAULTS,
        ),
        'Emptied': _object('What was removed.', name=_TEXT, removed=_WHOLE),
        'Suspension': _object('Whether workers take jobs.', is_suspended=_FLAG, seconds_left=_maybe(_WHOLE)),
        'Worker': _object(
            'A worker.',
            name=_TEXT,
            url=_TEXT,
            state=_TEXT,
            queues=_array(_TEXT),
            pid=_maybe(_WHOLE),
            host=_maybe(_TEXT),
            rq_version=_maybe(_TEXT),
            python_version=_maybe(_TEXT),
            started_at=_maybe(_TIME),
            last_heartbeat=_maybe(_TIME),
            finished=_WHOLE,
            failed=_WHOLE,
            working_seconds=_NUMBER,
            max_children={**_maybe(_WHOLE), 'description': "Null for RQ's own worker."},
            children=_array(
                _object(
                    'A running child.',
                    job=_TEXT,
                    job_url=_TEXT,
                    execution=_TEXT,
                    pid=_maybe(_WHOLE),
                    started_at=_maybe(_TIME),
                    age_seconds=_maybe(_NUMBER),
                    memory_bytes=_maybe(_WHOLE),
                )
            ),
            faults=_FAULTS,
        ),
        'WorkerChange': _object(
            'What to change.', max_children={'type': 'integer', 'minimum': 0, 'maximum': MOST_CHILDREN}
        ),
        'Schedule': _object(
            'The scheduled jobs of a queue.',
            queue=_TEXT,
            count=_WHOLE,
            next_job=_TEXT,
            next_job_url=_TEXT,
            next_at=_maybe(_TIME),
        ),
        'CronEntry': _object(
            "One of cron's entries.",
            name=_TEXT,
            function=_TEXT,
            queue=_TEXT,
            cron=_maybe(_TEXT),
            interval_seconds=_maybe(_WHOLE),
            last_at=_maybe(_TIME),
            next_at=_maybe(_TIME),
            scheduler=_TEXT,
            config_file=_maybe(_TEXT),
            recent_jobs=_array(_TEXT),
        ),
        'Functions': _object('What may be enqueued.', functions=_array(_TEXT), patterns=_array(_TEXT)),
        'Health': {
            'type': 'object',
            'properties': {'status': _TEXT, 'version': _TEXT, 'store_seconds': _NUMBER},
            'required': ['status', 'version'],
        },
        'Session': _object('Whether this browser is logged in.', is_authenticated=_FLAG, needs_token=_FLAG),
        'Login': _object('The token.', token={'type': 'string', 'minLength': 1, 'maxLength': 1000}),
        'CancelOptions': _options(enqueue_dependents=_optional(_FLAG)),
        'RequeueOptions': _options(at_front=_optional(_FLAG)),
        'SuspendOptions': _options(ttl=_optional(_seconds('For how long.', least=1))),
        'RequeueFailedOptions': _options(
            queue=_optional({'type': 'string', 'minLength': 1, 'maxLength': 500}),
            function=_optional({'type': 'string', 'minLength': 1, 'maxLength': 500}),
            at_front=_optional(_FLAG),
        ),
        'Nothing': _options(),
        **{
            f'{name}Page': _page_of(name)
            for name in ('JobSummary', 'Queue', 'Worker', 'Schedule', 'CronEntry', 'Aside')
        },
    }
