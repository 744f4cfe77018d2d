"""Going through a job a few times before the first fork, without the store.

What Python does once (a lazy import, a compiled pattern, a parsed format, a function that it specialises after eight
calls) is else done again in every child, and every page that it writes to is copied there: parsing one date for the
first time cost a child 4 ms, and a child that finds everything warm copies half as many pages.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from rq.job import Job, JobStatus
from rq.serializers import DefaultSerializer
from rq.timeouts import BaseDeathPenalty

from .assignment import Task, state_of
from .claim import Claim, raw_fields
from .job_process import become
from .mailbox import Mailbox, Slot
from .performing import PerformingWorker
from .worker_log import WorkerLog

__all__ = ['rehearse']

# CPython 3.11 rewrites a function's code after eight calls.
_TIMES = 12


class _NoPenalty(BaseDeathPenalty):
    """A time limit that leaves the application's alarm clock alone."""

    def setup_death_penalty(self) -> None:
        """Do nothing."""

    def cancel_death_penalty(self) -> None:
        """Do nothing."""


def rehearse(worker: PerformingWorker) -> None:
    """Do what a child does with a job, but for the store.

    Only where nothing is subclassed or replaced (`Site.touched`): what somebody else wrote must not be called for a
    job that nobody enqueued.

    Args:
        worker: whose classes are used; it is not changed.
    """
    name = worker.queues[0].name if worker.queues else 'default'
    job = Job.create(
        os.getpid, connection=worker.connection, serializer=DefaultSerializer, timeout=60, result_ttl=60, origin=name
    )
    job.started_at = job.ended_at = job.enqueued_at = job.last_heartbeat = datetime.now(timezone.utc)
    job._status = JobStatus.QUEUED
    raw = raw_fields(job)
    queue_key = worker.queue_class.redis_queue_namespace_prefix + name
    actor: Any = copy.copy(worker)
    actor.log = logging.Logger('rehearsal', logging.CRITICAL)
    actor.serializer = DefaultSerializer
    actor.death_penalty_class = _NoPenalty
    log = WorkerLog(actor.log, actor.name)
    site = replace(worker.site, log=log, serializer=DefaultSerializer, death_penalty_class=_NoPenalty)
    actor.settle_in(site, dry=True)
    environment = dict(os.environ)
    mailbox = Mailbox()
    slot = Slot(os.dup(mailbox.descriptor))
    for _ in range(_TIMES):
        claim = Claim(queue_key, job.id, '0' * 32, raw)
        state = state_of(claim.sealed_job(site))
        task: Task = pickle.loads(pickle.dumps(Task(claim, '0' * 32, True, state)))
        job, queue, record = become(actor, task, slot)
        actor.perform_job(job, queue, record.execution)
        record.finish()
    mailbox.close()
    os.environ.clear()
    os.environ.update(environment)
