"""From a request to jobs on queues: dependencies, Idempotency-Key, and what is answered."""

from __future__ import annotations

from typing import Any

import falcon

from rq_leveldb.http.backend import Backend
from rq_leveldb.http.enqueue import Outcome, check_dependencies, enqueue
from rq_leveldb.http.idempotency import VARIABLE, reserve
from rq_leveldb.http.job_request import JobRequest
from rq_leveldb.http.problems import Problem

__all__ = ['submit']


def submit(
    backend: Backend, request: falcon.Request, document: Any, requests: list[JobRequest]
) -> tuple[list[Outcome], bool]:
    """Enqueue what a request asks for; once, where it has an Idempotency-Key.

    Args:
        backend: the store.
        request: for its header.
        document: its JSON.
        requests: the jobs, in order.

    Returns:
        One outcome for each job, and whether they had been enqueued before.

    Raises:
        Problem: a dependency is missing, or the key is malformed, in use, or was used for something else.
    """
    if VARIABLE not in request.env:
        check_dependencies(backend, requests)
        return enqueue(backend, requests), False
    reservation = reserve(backend.connection, request, document, [item.given_id for item in requests])
    assert reservation is not None
    for item, job_id in zip(requests, reservation.job_ids, strict=True):
        item.job_id = job_id
    if reservation.is_done:
        return _as_they_are(backend, requests), True
    try:
        check_dependencies(backend, requests)
    except Problem:
        reservation.drop(backend.connection)
        raise
    there: list[JobRequest] = []
    if reservation.is_again:
        found = backend.jobs([item.job_id for item in requests])
        there = [item for item, job in zip(requests, found, strict=True) if job is not None]
    missing = [item for item in requests if item not in there]
    outcomes = {
        item.request.job_id: item
        for item in [*_as_they_are(backend, there), *enqueue(backend, missing, reservation.finish)]
    }
    return [outcomes[item.job_id] for item in requests], False


def _as_they_are(backend: Backend, requests: list[JobRequest]) -> list[Outcome]:
    found = backend.jobs([item.job_id for item in requests])
    return [Outcome(item, job.status if job is not None else 'gone') for item, job in zip(requests, found, strict=True)]
