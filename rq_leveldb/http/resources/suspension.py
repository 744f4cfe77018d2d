"""Suspending all workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from rq.suspension import WORKERS_SUSPENDED, is_suspended
from rq.suspension import resume as resume_workers
from rq.suspension import suspend as suspend_workers

from rq_leveldb.http.request import fields
from rq_leveldb.http.request.fields import Record
from rq_leveldb.http.routing.route import Call, Route

__all__ = ['routes']

_SUSPEND = Record({'ttl': fields.seconds(least=1).described('How long; until resumed by default.')}, 'SuspendOptions')


class SuspensionDocument(TypedDict):
    """Whether all workers are suspended."""

    is_suspended: bool
    seconds_left: int | None


def show_suspension(call: Call) -> SuspensionDocument:
    """Say whether all workers are suspended, and for how long."""
    left = call.backend.connection.ttl(WORKERS_SUSPENDED)
    return {
        'is_suspended': bool(is_suspended(call.backend.connection)),
        'seconds_left': left if isinstance(left, int) and left >= 0 else None,
    }


def suspend(call: Call) -> SuspensionDocument:
    """Suspend all workers, for some time or until resumed."""
    suspend_workers(call.backend.connection, call.values.get('ttl'))
    return show_suspension(call)


def resume(call: Call) -> None:
    """Resume all workers."""
    resume_workers(call.backend.connection)


def routes() -> Sequence[Route]:
    """Return the routes."""
    path = '/v1/suspension'
    return (
        Route('GET', path, show_suspension),
        Route('PUT', path, suspend, body=_SUSPEND),
        Route('DELETE', path, resume, status=204),
    )
