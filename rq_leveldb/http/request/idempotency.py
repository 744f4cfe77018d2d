"""Idempotency-Key: a repeated request has no further effect (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import falcon
from redis.client import Pipeline

from rq_leveldb.http.problems import BadHeader, FieldError, IdempotencyKeyReused, UnreadableRecord
from rq_leveldb.http.request.fields import Field, Invalid, text

__all__ = ['HEADERS', 'KEPT', 'Once', 'once_for']

KEPT = 86400
"""How long a key is remembered, seconds."""

_HEADER = 'Idempotency-Key'
_PREFIX = 'rq-leveldb:http:idempotency:'
_EXPECTED = 'must have 1 to 255 visible ASCII characters'

HEADERS: Mapping[str, Field] = {
    _HEADER: text(255, '^[!-~]{1,255}$', _EXPECTED).described(
        'A request that is repeated with the same key and body has no further effect, for a day.'
    )
}
"""The header, as a route declares it."""


@dataclass(frozen=True)
class Once:
    """A request that has an effect once: the transaction that enqueues its jobs also writes a record of it.

    So whenever a process is killed, there are both the jobs and the record, or neither. The record is watched, so that
    only one of two equal requests succeeds.

    Args:
        name: the record's key in the store.
        fingerprint: a hash of the request.
    """

    name: str
    fingerprint: str

    def job_ids(self, pipe: Pipeline) -> list[str] | None:
        """Return the ids of the jobs that the request enqueued; None if it has not been made before.

        Args:
            pipe: a pipeline that watches the record.

        Raises:
            UnreadableRecord: the record cannot be read.
            IdempotencyKeyReused: the key was used for another request.
        """
        stored = pipe.get(self.name)
        if stored is None:
            return None
        try:
            known, job_ids = json.loads(stored)
        except (ValueError, TypeError, RecursionError):
            raise UnreadableRecord(
                f'The key {self.name}, the record of this Idempotency-Key, cannot be read.',
                hint='Use a new key, if the first request is known not to have arrived.',
            ) from None
        if known != self.fingerprint:
            raise IdempotencyKeyReused(
                'The body or the path differs from the first request with this key.',
                errors=[FieldError('was used for another request', parameter=_HEADER)],
            )
        return list(job_ids)

    def write(self, pipe: Pipeline, job_ids: list[str]) -> None:
        """Add the record to a transaction.

        Args:
            pipe: the transaction, which enqueues the jobs.
            job_ids: their ids.
        """
        pipe.set(self.name, json.dumps([self.fingerprint, job_ids]), ex=KEPT)


def once_for(request: falcon.Request, document: Any) -> Once | None:
    """Return the record that a request's key stands for; None if it has no key.

    Args:
        request: the request.
        document: its JSON.

    Raises:
        BadHeader: the key is malformed.
    """
    key = request.get_header(_HEADER)
    if key is None:
        return None
    try:
        HEADERS[_HEADER].read(key)
    except Invalid:
        raise BadHeader(errors=[FieldError(_EXPECTED, parameter=_HEADER)]) from None
    content = json.dumps([request.path, document], sort_keys=True, separators=(',', ':'))
    return Once(_PREFIX + hashlib.sha256(key.encode()).hexdigest(), hashlib.sha256(content.encode()).hexdigest())
