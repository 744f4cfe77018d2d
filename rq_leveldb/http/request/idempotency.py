"""Idempotency-Key: a request that is sent again does nothing again (draft-ietf-httpapi-idempotency-key-header)."""

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
    """A request that is done once: the record that it was is written in the transaction that does it.

    So there is no record of what is not there, and nothing of what has no record, whenever a process is killed. Whoever
    does it watches the record, so that of two only one can.

    Args:
        name: the record's key in the store.
        fingerprint: what tells this request from another.
    """

    name: str
    fingerprint: str

    def job_ids(self, pipe: Pipeline) -> list[str] | None:
        """Return the ids of the jobs that were enqueued; None where it was not done.

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
    """Return what makes sure that a request is done once; None where it has no key.

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
