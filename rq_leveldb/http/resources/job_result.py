"""A job's result, and waiting for it; what it printed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from redis.exceptions import ConnectionError as StoreConnectionError
from rq.results import Result

from rq_leveldb.http.documents.job import JobId, ResultDocument, output, result_document
from rq_leveldb.http.documents.values import Faults, fault_documents
from rq_leveldb.http.problems import NoSuchJob
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.request import query
from rq_leveldb.http.resources.slots import Slots
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.lookup import UNREADABLE, Seen, is_refused, replies, see_results
from rq_leveldb.reading import Looking

__all__ = ['routes']

_FINAL = ('finished', 'failed', 'stopped', 'canceled')
# Longest single block on the store while waiting for a result, seconds: the status is looked at in between, since
# a job that keeps no result leaves nothing to wake up on.
_WAIT_SLICE = 1.0


class JobResultDocument(TypedDict):
    """The status and the latest result of a job."""

    id: str
    status: str
    is_final: Annotated[bool, 'Whether it has ended.']
    result: ResultDocument | None
    faults: Faults


class JobLogDocument(TypedDict):
    """What a job printed, if the worker keeps it."""

    id: str
    log: str | None


def _wait(backend: Backend, seen: Seen, deadline: float) -> Seen:
    job_id = seen.job.id
    key = Result.get_key(job_id)
    (newest,) = replies(backend.connection.pipeline(transaction=False).xrevrange(key, '+', '-', count=1))
    if is_refused(newest):
        # Nothing will come from there.
        return seen
    last = newest[0][0] if newest else b'0-0'
    while True:
        # Looked at after the result's position was read, so that no end slips in between.
        seen = backend.seen(job_id)
        left = deadline - time.monotonic()
        if seen.status in (*_FINAL, UNREADABLE) or left <= 0:
            return seen
        block = max(1, int(min(left, _WAIT_SLICE) * 1000))
        try:
            entries: Any = backend.connection.xread({key: last}, block=block, count=1)
        except StoreConnectionError:
            # The store was replaced meanwhile. The next look at the job brings it back, or says that it is gone.
            continue
        if entries:
            last = _last_entry(entries)


def _last_entry(reply: Any) -> Any:
    """Return the id of the last entry in XREAD's reply for one stream: a list of pairs in RESP2, a map in RESP3."""
    entries = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    # redis-py wraps a map's entries into one list more, unless told otherwise.
    while entries and isinstance(entries[0], list):
        entries = entries[0]
    return entries[-1][0]


def show_log(call: Call, job_id: JobId) -> JobLogDocument:
    """Show what a job printed, if the worker keeps it."""
    job = call.backend.seen(job_id).job
    return {'id': job.id, 'log': output(call.backend, job)}


def routes(backend: Backend) -> Sequence[Route]:
    """Return the routes.

    Args:
        backend: the store.
    """
    slots = Slots(backend.settings.max_waiting, 'waits for results')

    def show_result(call: Call, job_id: JobId) -> JobResultDocument:
        """Show a job's status and latest result; with `wait`, once it has ended or that many seconds have passed."""
        seen = backend.seen(job_id)
        wait = call.query.get('wait', 0)
        if wait and seen.status not in _FINAL:
            with slots.hold():
                seen = _wait(backend, seen, time.monotonic() + wait)
        found, faults = see_results(backend.connection, seen.job.id, Looking(backend.reader), 1)
        return {
            'id': seen.job.id,
            'status': seen.status,
            'is_final': seen.status in _FINAL,
            'result': result_document(found[0]) if found else None,
            'faults': fault_documents((*seen.faults, *faults)),
        }

    job, missing = '/v1/jobs/{job_id}', (NoSuchJob,)
    wait = query.whole(0, backend.settings.max_wait).described('Longest time to wait until the job has ended, seconds.')
    return (
        Route('GET', f'{job}/result', show_result, missing, query={'wait': wait}),
        Route('GET', f'{job}/log', show_log, missing),
    )
