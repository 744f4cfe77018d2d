"""Jobs: enqueue one or many, list, show, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from rq_leveldb.http import problems
from rq_leveldb.http.documents.job import JobDocument, JobId, JobSummaryDocument, full, job_url, summary
from rq_leveldb.http.documents.values import Page
from rq_leveldb.http.problems import BatchTooLarge, DuplicateJob, FieldError, InvalidField, Problem
from rq_leveldb.http.queueing.backend import Backend, acting, no_such_job
from rq_leveldb.http.queueing.enqueue import Outcome, enqueue_all
from rq_leveldb.http.queueing.filters import CURSOR, FILTERS
from rq_leveldb.http.request import fields, idempotency, query
from rq_leveldb.http.request.fields import Field, Invalid, Record
from rq_leveldb.http.request.job import JOB_REQUEST, JobRequest
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.jobs.deletion import delete
from rq_leveldb.jobs.listing import listed, most_scanned, write_cursor
from rq_leveldb.jobs.states import STATES
from rq_leveldb.lookup import find_queues

__all__ = ['routes']

_LIST: Mapping[str, Field] = {
    'status': fields.choice(*STATES)
    .described('The state; `stopped` jobs are listed apart from `failed` ones.')
    .required(),
    **FILTERS,
    'limit': query.limit(50),
    'cursor': CURSOR.described('Where the page begins: `next` of the page before.'),
}


class EnqueuedDocument(TypedDict):
    """An enqueued job. Its status is null if it was to be unique and a job with its id existed."""

    id: str
    url: str
    status: str | None
    queue: str
    is_duplicate: bool


class BatchEnqueuedDocument(TypedDict):
    """The enqueued jobs, in the order of the request."""

    jobs: list[EnqueuedDocument]


def enqueue(call: Call) -> EnqueuedDocument:
    """Enqueue a job."""
    request = JobRequest.make(call.values, call.backend.allow)
    (outcome,), is_replay = enqueue_all(call.backend, [request], idempotency.once_for(call.request, call.document))
    location = job_url(request.job_id)
    if outcome.status is None:
        raise DuplicateJob(
            f'{request.job_id} is stored already, and must be unique.',
            errors=[FieldError('is taken', pointer='/job_id')],
            headers={'Location': location},
        )
    call.response.set_header('Location', location)
    _tell_replay(call, is_replay)
    return _outcome_document(outcome)


def enqueue_batch(call: Call) -> BatchEnqueuedDocument:
    """Enqueue jobs: all of them, or none.

    Raises:
        BatchTooLarge: there are too many.
        DuplicateJob: two of them have the same id.
        FunctionNotAllowed: naming the first job whose function is not allowed.
        InvalidField: naming the fields that are not accepted.
    """
    requests: list[JobRequest] = []
    errors: list[FieldError] = []
    ids: set[str] = set()
    for index, item in enumerate(call.values['jobs']):
        values, found = JOB_REQUEST.read(item)
        if found:
            errors += [_below(index, error) for error in found]
            continue
        try:
            request = JobRequest.make(values, call.backend.allow)
        except Problem as problem:
            problem.errors = tuple(_below(index, error) for error in problem.errors)
            raise
        if request.job_id in ids:
            raise DuplicateJob(errors=[FieldError('is in this batch twice', pointer=f'/jobs/{index}/job_id')])
        ids.add(request.job_id)
        requests.append(request)
    if errors:
        raise InvalidField(errors=errors[:100])
    outcomes, is_replay = enqueue_all(call.backend, requests, idempotency.once_for(call.request, call.document))
    _tell_replay(call, is_replay)
    return {'jobs': [_outcome_document(outcome) for outcome in outcomes]}


def list_jobs(call: Call) -> Page[JobSummaryDocument]:
    """List the jobs of a state, newest first; queued and scheduled ones in the order in which they will run."""
    backend, wanted = call.backend, call.query
    state, limit = wanted['status'], wanted['limit']
    queues = find_queues(backend.connection)
    strange = list(queues.strange)
    items: list[JobSummaryDocument] = []
    cursor: str | None = None
    most = most_scanned(wanted)
    found = listed(backend.connection, backend.reader, state, queues.names, wanted, strange, with_errors=True)
    for scanned, entry in enumerate(found, 1):
        if entry.seen is not None:
            due = entry.position.score if state == 'scheduled' else None
            items.append(summary(backend, entry.seen, entry.error, due))
        if len(items) >= limit or scanned >= most:
            cursor = write_cursor(entry)
            break
    return Page(items, cursor, strange)


def show_job(call: Call, job_id: JobId) -> JobDocument:
    """Show everything about a job."""
    return full(call.backend, call.backend.seen(job_id))


def delete_job(call: Call, job_id: JobId) -> None:
    """Delete a job, whatever its state."""
    with_dependents = call.query.get('dependents', False)
    seen = call.backend.seen(job_id)
    if with_dependents:
        call.backend.check_dependents(seen.job)
    with acting(f'job {job_id}'):
        is_deleted = delete(seen, with_dependents)
    if not is_deleted:
        raise no_such_job(job_id)


def _batch_request(most: int) -> Record:
    def read(value: Any) -> list[Any]:
        if type(value) is not list or not value:
            raise Invalid('must be an array with at least one job')
        if len(value) > most:
            raise BatchTooLarge(errors=[FieldError(f'must have at most {most} jobs', pointer='/jobs')])
        return value

    # Its items are read one by one, so that each error names its job.
    jobs = Field(read, {'type': 'array', 'items': fields.ref(JOB_REQUEST.name), 'minItems': 1, 'maxItems': most})
    return Record({'jobs': jobs.required()}, 'BatchRequest', description='Jobs to enqueue: all of them, or none.')


def _below(index: int, error: FieldError) -> FieldError:
    return FieldError(error.detail, pointer=f'/jobs/{index}{error.pointer or ""}')


def _outcome_document(outcome: Outcome) -> EnqueuedDocument:
    job_id = outcome.request.job_id
    return {
        'id': job_id,
        'url': job_url(job_id),
        'status': outcome.status,
        'queue': outcome.request.queue,
        'is_duplicate': outcome.status is None,
    }


def _tell_replay(call: Call, is_replay: bool) -> None:
    if is_replay:
        call.response.set_header('Idempotency-Replayed', 'true')


def routes(backend: Backend) -> Sequence[Route]:
    """Return the routes.

    Args:
        backend: the store, for the limits.
    """
    jobs, job, once = '/v1/jobs', '/v1/jobs/{job_id}', idempotency.HEADERS
    missing = (problems.NoSuchJob,)
    broken = (problems.UnreadableJob, problems.UnreadableRecord)
    refused = (problems.FunctionNotAllowed, DuplicateJob, problems.NoSuchDependency, problems.IdempotencyKeyReused)
    enqueuing = (*refused, *broken, problems.BusyDependencies)
    batch = _batch_request(backend.settings.max_batch)
    location = {'Location': 'Path of the job.'}
    dependents = {'dependents': query.flag.described('Also delete the jobs that depend on it.')}
    return (
        Route('GET', jobs, list_jobs, query=_LIST),
        Route('POST', jobs, enqueue, enqueuing, body=JOB_REQUEST, status=201, headers=once, gives=location),
        Route('POST', '/v1/batch', enqueue_batch, (*enqueuing, BatchTooLarge), body=batch, status=201, headers=once),
        Route('GET', job, show_job, missing),
        Route('DELETE', job, delete_job, (*missing, *broken), query=dependents, status=204),
    )
