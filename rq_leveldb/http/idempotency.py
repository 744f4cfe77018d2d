"""Idempotency-Key: a request that is sent again does nothing again (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import falcon
from redis import Redis
from redis.client import Pipeline

from rq_leveldb.http.problems import FieldError, Problem

__all__ = ['HEADER', 'KEPT', 'VARIABLE', 'Reservation', 'reserve']

HEADER = 'Idempotency-Key'
VARIABLE = 'HTTP_IDEMPOTENCY_KEY'
"""The header's name in a WSGI environment."""
KEPT = 86400
"""How long a key is remembered, seconds."""

_PREFIX = 'rq-leveldb:http:idempotency:'
_KEY = re.compile(r'[\x21-\x7e]{1,255}')
# A request that reserved a key and did not finish within this time was cut off, seconds.
_UNFINISHED = 30


@dataclass(frozen=True)
class Reservation:
    """A key that is this request's, or was another's that did the same.

    Args:
        name: the store's key.
        fingerprint: what tells this request from another.
        job_ids: the ids of the jobs, the same each time the request comes.
        is_done: the jobs were enqueued before.
        is_again: an earlier request with this key was cut off, and some of its jobs may exist.
    """

    name: str
    fingerprint: str
    job_ids: list[str]
    is_done: bool = False
    is_again: bool = False

    def finish(self, pipe: Pipeline) -> None:
        """Add to a transaction that the jobs were enqueued.

        Args:
            pipe: the transaction.
        """
        pipe.set(self.name, self._record(True), ex=KEPT)

    def drop(self, connection: Redis) -> None:
        """Forget the key: the request did nothing, and may be corrected and sent again.

        Args:
            connection: the store.
        """
        connection.delete(self.name)

    def _record(self, is_done: bool) -> str:
        return json.dumps([self.fingerprint, self.job_ids, is_done, time.time()])


def reserve(connection: Redis, request: falcon.Request, document: Any, job_ids: list[str | None]) -> Reservation | None:
    """Reserve the key that a request names.

    Args:
        connection: the store.
        request: the request.
        document: its JSON.
        job_ids: the id that each job asks for, or None.

    Returns:
        The reservation; None where the request has no key.

    Raises:
        Problem: 400 the key is malformed, 409 the first request with it is still running, 422 it was used for another.
    """
    key = request.get_header(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise Problem(
            400,
            'bad-header',
            'A header cannot be understood',
            f'{HEADER} must have 1 to 255 visible ASCII characters.',
            errors=[FieldError('must have 1 to 255 visible ASCII characters', parameter=HEADER)],
        )
    name = _PREFIX + hashlib.sha256(key.encode()).hexdigest()
    content = json.dumps([request.path, document], sort_keys=True, separators=(',', ':'))
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    fresh = Reservation(name, fingerprint, [job_id or str(uuid4()) for job_id in job_ids])
    if connection.set(name, fresh._record(False), nx=True, ex=KEPT):
        return fresh
    stored = connection.get(name)
    if stored is None:
        raise _running()
    try:
        known, ids, is_done, at = json.loads(stored)
        age = time.time() - float(at)
    except (ValueError, TypeError, RecursionError):
        raise Problem(
            409,
            'unreadable-record',
            'What is kept of this Idempotency-Key cannot be read',
            f'The key {name} in the store holds something else.',
            hint='Use a new key, if the first request is known not to have arrived.',
        ) from None
    if known != fingerprint:
        raise Problem(
            422,
            'idempotency-key-reused',
            'This Idempotency-Key was used for another request',
            'The body or the path differs from the first request with this key.',
            hint='Use a new key for a new request.',
            errors=[FieldError('was used for another request', parameter=HEADER)],
        )
    if is_done:
        return Reservation(name, fingerprint, ids, is_done=True)
    if age < _UNFINISHED or not connection.set(f'{name}:again', 1, nx=True, ex=_UNFINISHED):
        raise _running()
    return Reservation(name, fingerprint, ids, is_again=True)


def _running() -> Problem:
    return Problem(
        409,
        'request-running',
        'The first request with this Idempotency-Key is still running',
        hint='Send it again in a moment.',
        headers={'Retry-After': '1'},
    )
