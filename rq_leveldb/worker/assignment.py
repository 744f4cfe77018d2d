"""One job in one child: what was taken off a queue, under which execution, and what the child is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .bookkeeping import Claim

if TYPE_CHECKING:
    from rq.executions import Execution
    from rq.job import Job
    from rq.queue import Queue

    from .ending import Ending

__all__ = ['Assignment', 'Task']


@dataclass
class Task:
    """What a child is told to do.

    Args:
        claim: the job, as it was taken off its queue.
        execution_id: the execution that was written for it.
        prepared: whether the store says already that the job has started.
        state: the attributes of RQ's object for the job, as far as they are simple; None to read them from the claim.
        ending: how the job's process ended, for a child that is to handle that end; None for one that runs the job.
    """

    claim: Claim
    execution_id: str
    prepared: bool
    state: dict[str, Any] | None = None
    ending: Ending | None = None


@dataclass
class Assignment:
    """One job in one child.

    Args:
        claim: the job, as it was taken off its queue.
        queue: where it was taken from.
        execution: under which execution it runs.
        job: RQ's object for it, sealed: the supervisor opens nothing that the application wrote.
        task: what the child is told.
    """

    claim: Claim
    queue: Queue
    execution: Execution
    job: Job
    task: Task

    @property
    def job_id(self) -> str:
        """Which job."""
        return self.claim.job_id

    @property
    def composite_key(self) -> str:
        """Job and execution, as RQ's registries have them."""
        key: str = self.execution.composite_key
        return key
