"""Jobs: enqueue one or many, list, look at one, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.results import Result

from rq_leveldb.http.documents.job import full, job_url, output_key, strange_documents, summary
from rq_leveldb.http.problems import FieldError, Problem
from rq_leveldb.http.queueing.backend import Backend, acting, no_such_job
from rq_leveldb.http.queueing.enqueue import Outcome, enqueue
from rq_leveldb.http.queueing.listing import MOST_SCANNED, TIMES, listed, matches, read_cursor, write_cursor
from rq_leveldb.http.queueing.states import STATES, Position
from rq_leveldb.http.request import body, fields, query
from rq_leveldb.http.request.fields import Invalid
from rq_leveldb.http.request.idempotency import once_for
from rq_leveldb.http.request.job import JobRequest, read_job
from rq_leveldb.lookup import REGISTRIES, find_queues, is_refused, registry_key, replies

__all__ = ['Batch', 'Jobs', 'OneJob']

_LIST_PARAMETERS: dict[str, Callable[[str], Any]] = {
    'status': fields.choice(*STATES),
    'queue': fields.text(500),
    'function': fields.text(500),
    'since': fields.moment,
    'until': fields.moment,
    'time': fields.choice(*TIMES),
    'limit': query.limit,
    'cursor': read_cursor,
}


class Jobs:
    """The jobs: POST enqueues one, GET lists by state.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Enqueue a job."""
        backend = self._backend
        document = body.read(request, backend.settings.max_body)
        job_request, errors = read_job(document, backend.allow)
        if job_request is None:
            raise fields.refuse(errors)
        outcome, is_replay = enqueue(backend, [job_request], once_for(request, document))
        _report_one(response, outcome[0], is_replay)

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the jobs of a state, newest first; queued and scheduled ones in the order in which they will run."""
        backend = self._backend
        wanted = query.read_query(request, _LIST_PARAMETERS)
        state = wanted.get('status')
        if state is None:
            raise query.bad_query([FieldError('is required', parameter='status')])
        limit = wanted.get('limit', query.DEFAULT_LIMIT)
        queues = find_queues(backend.connection)
        names = [wanted['queue']] if 'queue' in wanted else queues.names
        strange = list(queues.strange)
        after: Position | None = None
        if 'cursor' in wanted:
            start, after = wanted['cursor']
            names = [name for name in names if name >= start]
            if names[:1] != [start]:
                after = None
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        for scanned, (seen, position) in enumerate(listed(backend, state, names, after, strange), 1):
            if seen is not None and matches(backend, seen, state, wanted):
                items.append(summary(backend, seen))
            if len(items) >= limit or scanned >= MOST_SCANNED:
                cursor = write_cursor(*position)
                break
        body.answer(response, {'items': items, 'next': cursor, 'unreadable': strange_documents(strange)})


class Batch:
    """Many jobs in one request.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Enqueue jobs: all are in order, or none is enqueued."""
        backend = self._backend
        most = backend.settings.max_batch
        document = body.read_object(request, backend.settings.max_body)
        values, errors = fields.read_fields(document, {'jobs': _array(most)}, ('jobs',))
        if errors:
            if errors[0].detail.startswith('must have at most'):
                raise Problem(
                    413, 'batch-too-large', 'There are too many jobs in one request', errors[0].detail, errors=errors
                )
            raise fields.refuse(errors)
        requests: list[JobRequest] = []
        seen: set[str] = set()
        for index, item in enumerate(values['jobs']):
            try:
                job_request, found = read_job(item, backend.allow)
            except Problem as problem:
                problem.errors = tuple(_below(index, error) for error in problem.errors)
                raise
            errors += [_below(index, error) for error in found]
            if job_request is not None:
                if job_request.job_id in seen:
                    twice = FieldError('is in this batch twice', pointer=f'/jobs/{index}/job_id')
                    raise Problem(409, 'duplicate-job', 'A job of this id exists', twice.detail, errors=[twice])
                seen.add(job_request.job_id)
                requests.append(job_request)
        if errors:
            raise fields.refuse(errors[:100])
        outcomes, is_replay = enqueue(backend, requests, once_for(request, document))
        if is_replay:
            response.set_header('Idempotency-Replayed', 'true')
        body.answer(response, {'jobs': [_outcome_document(outcome) for outcome in outcomes]}, falcon.HTTP_201)


class OneJob:
    """One job.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response, job_id: str) -> None:
        """Show everything about a job."""
        query.read_query(request, {})
        backend = self._backend
        body.answer(response, full(backend, backend.seen(job_id)))

    def on_delete(self, request: falcon.Request, response: falcon.Response, job_id: str) -> None:
        """Delete a job, whatever its state."""
        wanted = query.read_query(request, {'dependents': query.flag})
        seen = self._backend.seen(job_id)
        if wanted.get('dependents'):
            self._backend.check_dependents(seen.job)
        if seen.faults:
            _remove(self._backend, seen.job)
        else:
            try:
                with acting(f'job {job_id}'):
                    seen.job.delete(delete_dependents=wanted.get('dependents', False))
            except (NoSuchJobError, InvalidJobOperation):
                raise no_such_job(job_id) from None
            except Problem:
                # An execution or a group of it that cannot be read or has expired, before anything was deleted.
                if wanted.get('dependents'):
                    raise
                _remove(self._backend, seen.job)
        response.status = falcon.HTTP_204


def _remove(backend: Backend, job: Job) -> None:
    """Delete a job that cannot be read, or something that belongs to it: RQ's method would read it."""
    pipe = backend.connection.pipeline(transaction=False)
    pipe.zrange(job.execution_registry.key, 0, -1)
    (found,) = replies(pipe)
    executions = [] if is_refused(found) else [f'{job.id}:{name.decode("utf-8", "replace")}' for name in found]
    for name in [job.origin] if job.origin else backend.queue_names():
        pipe.lrem(registry_key('queued', name), 0, job.id)
        for state in REGISTRIES:
            pipe.zrem(registry_key(state, name), job.id, *executions)
    for name in executions:
        pipe.delete(f'{RQ_KEY_PREFIX}:execution:{name}')
    pipe.delete(job.key, job.dependents_key, job.execution_registry.key, Result.get_key(job.id), output_key(job.id))
    # A registry of another type holds no job.
    replies(pipe)


def _array(most: int) -> Callable[[Any], list[Any]]:
    def read(value: Any) -> list[Any]:
        if type(value) is not list or not value:
            raise Invalid('must be an array with at least one job')
        if len(value) > most:
            raise Invalid(f'must have at most {most} jobs')
        return value

    return read


def _below(index: int, error: FieldError) -> FieldError:
    return FieldError(error.detail, pointer=f'/jobs/{index}{error.pointer or ""}')


def _outcome_document(outcome: Outcome) -> dict[str, Any]:
    job_id = outcome.request.job_id
    return {
        'id': job_id,
        'url': job_url(job_id),
        'status': outcome.status,
        'queue': outcome.request.queue,
        'is_duplicate': outcome.status is None,
    }


def _report_one(response: falcon.Response, outcome: Outcome, is_replay: bool) -> None:
    location = job_url(outcome.request.job_id)
    if outcome.status is None:
        raise Problem(
            409,
            'duplicate-job',
            'A job of this id exists',
            f'{outcome.request.job_id} is stored already, and unique was asked for.',
            errors=[FieldError('is taken', pointer='/job_id')],
            headers={'Location': location},
        )
    response.set_header('Location', location)
    if is_replay:
        response.set_header('Idempotency-Replayed', 'true')
    body.answer(response, _outcome_document(outcome), falcon.HTTP_201)
