"""The service's own description (OpenAPI 3.1): every path, what it takes and what it answers."""

from __future__ import annotations

from typing import Any

import falcon

from rq_leveldb.http.problems import MEDIA_TYPE
from rq_leveldb.http.queueing.listing import CURSOR, TIMES
from rq_leveldb.http.queueing.states import STATES
from rq_leveldb.http.request import body, query
from rq_leveldb.http.routing.schemas import ref, schemas
from rq_leveldb.http.settings import Settings
from rq_leveldb.version import __version__

__all__ = ['OpenApi', 'document']

Node = dict[str, Any]

_REASONS = {
    400: 'The request, a header or a query parameter cannot be understood.',
    401: 'A token is needed.',
    403: 'The Host header, the site or the function is not allowed.',
    404: 'There is no such thing.',
    409: 'It is not in a state for this, or exists already.',
    413: 'The body or the batch is too large.',
    414: 'The URI is too long.',
    415: 'The body is not JSON by its Content-Type.',
    422: 'A field has a value that is not accepted.',
    429: 'Too many wrong tokens came from this address; Retry-After says how long to wait.',
    503: 'The store did not answer, or too many clients are waiting.',
}


class OpenApi:
    """The document.

    Args:
        settings: for the limits that it states.
    """

    def __init__(self, settings: Settings) -> None:
        self._document = document(settings)

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Show the document."""
        query.read_query(request, {})
        body.answer(response, self._document)


def document(settings: Settings) -> Node:
    """Return the document.

    Args:
        settings: for the limits that it states.
    """
    return {
        'openapi': '3.1.0',
        'info': {
            'title': 'rq-leveldb',
            'version': __version__,
            'description': 'Jobs over HTTP. Every error is a problem document (RFC 9457).',
            'license': {'name': 'BSD-2-Clause', 'identifier': 'BSD-2-Clause'},
        },
        'security': [{'token': []}],
        'paths': _paths(settings),
        'components': {
            'securitySchemes': {
                'token': {'type': 'http', 'scheme': 'bearer', 'description': 'Printed by `rq-leveldb token`.'}
            },
            'schemas': schemas(settings),
        },
    }


def _problems(*codes: int) -> Node:
    content = {MEDIA_TYPE: {'schema': ref('Problem')}}
    return {str(code): {'description': _REASONS[code], 'content': content} for code in codes}


def _operation(
    name: str,
    summary: str,
    answer: tuple[int, str | None],
    *codes: int,
    parameters: tuple[Node, ...] = (),
    takes: str | None = None,
    must_take: bool = False,
    is_open: bool = False,
    media_type: str = body.JSON,
    headers: Node | None = None,
) -> Node:
    """Return one operation.

    Args:
        name: its operationId.
        summary: one sentence.
        answer: status and schema of the answer.
        codes: further statuses that it answers with a problem.
        parameters: its parameters.
        takes: schema of its body.
        must_take: whether there must be a body.
        is_open: whether it needs no token.
        media_type: of the answer.
        headers: of the answer.
    """
    status, schema = answer
    good: Node = {'description': summary}
    if schema is not None:
        good['content'] = {media_type: {'schema': ref(schema) if media_type == body.JSON else {'type': 'string'}}}
    if headers:
        good['headers'] = headers
    common = [400, 403, 414, 503] if is_open else [400, 401, 403, 414, 503]
    if takes is not None:
        common += [413, 415, 422]
    node: Node = {
        'operationId': name,
        'summary': summary,
        'responses': {str(status): good, **_problems(*sorted({*common, *codes}))},
    }
    if parameters:
        node['parameters'] = list(parameters)
    if takes is not None:
        node['requestBody'] = {'required': must_take, 'content': {body.JSON: {'schema': ref(takes)}}}
    if is_open:
        node['security'] = []
    return node


def _in_query(name: str, described: str, schema: Node, required: bool = False) -> Node:
    return {'name': name, 'in': 'query', 'required': required, 'description': described, 'schema': schema}


def _in_path(name: str, described: str) -> Node:
    return {'name': name, 'in': 'path', 'required': True, 'description': described, 'schema': {'type': 'string'}}


def _paging(default: int, cursor: Node) -> tuple[Node, ...]:
    limit = {'type': 'integer', 'minimum': 1, 'maximum': query.MOST_LIMIT, 'default': default}
    return (
        _in_query('limit', 'Most items on a page.', limit),
        _in_query('cursor', 'Where the page begins: `next` of the one before.', cursor),
    )


_LONG_TEXT: Node = {'type': 'string', 'minLength': 1, 'maxLength': 2000}
_NAMES = _paging(query.MOST_LIMIT, _LONG_TEXT)
_NAME_TEXT: Node = {'type': 'string', 'minLength': 1, 'maxLength': 500}
_TIME: Node = {'type': 'string', 'format': 'date-time'}
_LOCATION: Node = {'Location': {'description': 'Path of the job.', 'schema': {'type': 'string'}}}
_IDEMPOTENCY: Node = {
    'name': 'Idempotency-Key',
    'in': 'header',
    'required': False,
    'description': 'A request that is sent again with the same key and body does nothing again, for a day.',
    'schema': {'type': 'string', 'pattern': '^[!-~]{1,255}$'},
}
_JOB = (_in_path('job_id', 'Id of a job.'),)
_QUEUE = (_in_path('name', 'Name of a queue.'),)
_WORKER = (_in_path('name', 'Name of a worker.'),)


def _paths(settings: Settings) -> Node:
    listing = (
        _in_query(
            'status', 'The state; `stopped` jobs are listed apart from `failed` ones.', {'enum': list(STATES)}, True
        ),
        _in_query('queue', 'Only of this queue.', _NAME_TEXT),
        _in_query('function', 'Only of this function.', _NAME_TEXT),
        _in_query('since', 'Only from this time on.', _TIME),
        _in_query('until', 'Only before this time.', _TIME),
        _in_query('time', 'Which time `since` and `until` mean; by default that of the state.', {'enum': list(TIMES)}),
        *_paging(query.DEFAULT_LIMIT, {'type': 'string', 'pattern': CURSOR}),
    )
    wait = _in_query(
        'wait',
        'Answer when the job has ended, or after so many seconds.',
        {'type': 'integer', 'minimum': 0, 'maximum': settings.max_wait},
    )
    dependents = _in_query('dependents', 'Also those that depend on it.', {'type': 'boolean'})
    most_events = _in_query('limit', 'End after so many events.', {'type': 'integer', 'minimum': 1, 'maximum': 100_000})
    get, post, put, patch, delete = 'get', 'post', 'put', 'patch', 'delete'
    return {
        '/': {get: _operation('page', 'The page for people.', (200, 'Page'), is_open=True, media_type='text/html')},
        '/page/{name}': {
            get: _operation(
                'pageFile',
                'A file of the page.',
                (200, 'Page'),
                404,
                parameters=(_in_path('name', 'Name of the file.'),),
                is_open=True,
                media_type='*/*',
            )
        },
        '/openapi.json': {
            get: {
                **_operation('describe', 'This document.', (200, None), is_open=True),
                'responses': {
                    '200': {'description': 'This document.', 'content': {body.JSON: {'schema': {'type': 'object'}}}},
                    **_problems(400, 403, 414),
                },
            }
        },
        '/healthz': {get: _health('health', 'Whether it can serve.')},
        '/healthz/live': {get: _health('live', 'That the process answers.')},
        '/healthz/ready': {get: _health('ready', 'Whether the store answers.')},
        '/metrics': {
            get: _operation('metrics', "Numbers in Prometheus' text format.", (200, 'Text'), media_type='text/plain')
        },
        '/v1/session': {
            get: _operation('session', 'Whether this browser is logged in.', (200, 'Session'), is_open=True),
            post: _operation(
                'login',
                'Log in with the token.',
                (204, None),
                429,
                takes='Login',
                must_take=True,
                is_open=True,
            ),
            delete: _operation('logout', 'Log out.', (204, None), is_open=True),
        },
        '/v1/functions': {get: _operation('listFunctions', 'What may be enqueued.', (200, 'Functions'))},
        '/v1/jobs': {
            get: _operation('listJobs', 'The jobs of a state.', (200, 'JobSummaryPage'), parameters=listing),
            post: _operation(
                'enqueue',
                'Enqueue a job.',
                (201, 'Enqueued'),
                409,
                parameters=(_IDEMPOTENCY,),
                takes='JobRequest',
                must_take=True,
                headers=_LOCATION,
            ),
        },
        '/v1/batch': {
            post: _operation(
                'enqueueBatch',
                'Enqueue jobs.',
                (201, 'BatchEnqueued'),
                409,
                parameters=(_IDEMPOTENCY,),
                takes='BatchRequest',
                must_take=True,
            )
        },
        '/v1/requeue-failed': {
            post: _operation(
                'requeueFailed',
                'Requeue jobs that failed.',
                (200, 'Requeued'),
                takes='RequeueFailedOptions',
            )
        },
        '/v1/jobs/{job_id}': {
            get: _operation('showJob', 'Everything about a job.', (200, 'Job'), 404, parameters=_JOB),
            delete: _operation('deleteJob', 'Delete a job.', (204, None), 404, parameters=(*_JOB, dependents)),
        },
        '/v1/jobs/{job_id}/result': {
            get: _operation('showResult', "A job's result.", (200, 'JobResult'), 404, parameters=(*_JOB, wait))
        },
        '/v1/jobs/{job_id}/log': {
            get: _operation('showLog', 'What a job printed.', (200, 'JobLog'), 404, parameters=_JOB)
        },
        '/v1/jobs/{job_id}/cancel': {
            post: _operation(
                'cancelJob', 'Cancel a job.', (200, 'JobState'), 404, 409, parameters=_JOB, takes='CancelOptions'
            )
        },
        '/v1/jobs/{job_id}/stop': {
            post: _operation(
                'stopJob', 'Stop a running job.', (202, 'JobState'), 404, 409, parameters=_JOB, takes='Nothing'
            )
        },
        '/v1/jobs/{job_id}/requeue': {
            post: _operation(
                'requeueJob', 'Put a job back.', (200, 'JobState'), 404, 409, parameters=_JOB, takes='RequeueOptions'
            )
        },
        '/v1/queues': {get: _operation('listQueues', 'All queues.', (200, 'QueuePage'), parameters=_NAMES)},
        '/v1/queues/{name}': {
            get: _operation('showQueue', 'One queue.', (200, 'Queue'), 404, parameters=_QUEUE),
            delete: _operation('deleteQueue', 'Delete a queue and its jobs.', (204, None), 404, parameters=_QUEUE),
        },
        '/v1/queues/{name}/empty': {
            post: _operation(
                'emptyQueue', "Delete a queue's jobs.", (200, 'Emptied'), 404, parameters=_QUEUE, takes='Nothing'
            )
        },
        '/v1/suspension': {
            get: _operation('showSuspension', 'Whether workers take jobs.', (200, 'Suspension')),
            put: _operation('suspend', 'Suspend all workers.', (200, 'Suspension'), takes='SuspendOptions'),
            delete: _operation('resume', 'Resume all workers.', (204, None)),
        },
        '/v1/workers': {get: _operation('listWorkers', 'All workers.', (200, 'WorkerPage'), parameters=_NAMES)},
        '/v1/workers/{name}': {
            get: _operation('showWorker', 'One worker.', (200, 'Worker'), 404, parameters=_WORKER),
            patch: _operation(
                'changeWorker',
                'Change how many children it may have.',
                (202, 'Worker'),
                404,
                409,
                parameters=_WORKER,
                takes='WorkerChange',
                must_take=True,
            ),
        },
        '/v1/workers/{name}/shutdown': {
            post: _operation(
                'shutDownWorker', 'Let it finish and end.', (202, 'Worker'), 404, parameters=_WORKER, takes='Nothing'
            )
        },
        '/v1/schedules': {
            get: _operation('listSchedules', 'What is scheduled.', (200, 'SchedulePage'), parameters=_NAMES)
        },
        '/v1/cron': {get: _operation('listCron', "Cron's entries.", (200, 'CronEntryPage'))},
        '/v1/unreadable': {
            get: _operation(
                'listUnreadable', 'What was set aside, since it cannot be read.', (200, 'AsidePage'), parameters=_NAMES
            )
        },
        '/v1/events': {
            get: _operation(
                'events',
                'A live stream of events (server-sent events).',
                (200, 'Text'),
                parameters=(most_events,),
                media_type='text/event-stream',
            )
        },
    }


def _health(name: str, summary: str) -> Node:
    content = {body.JSON: {'schema': ref('Health')}}
    return {
        'operationId': name,
        'summary': summary,
        'security': [],
        'responses': {
            '200': {'description': 'Yes.', 'content': content},
            '503': {'description': 'No.', 'content': content},
            **_problems(400, 403, 414),
        },
    }
