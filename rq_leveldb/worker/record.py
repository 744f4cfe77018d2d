"""What a child writes down about its own job, and what it leaves to the supervisor.

A plain success is left to the supervisor, whose pages are its own: a forked child pays for each page that it is the
first to touch. All else the child writes through RQ's methods. Where that does not succeed (the store is away, the job
changed its process so that it cannot be reached) the supervisor learns how the job ended, and writes it later.
"""

from __future__ import annotations

import operator
import os
import resource
import time
from collections.abc import Callable
from typing import Any

from rq.defaults import UNSERIALIZABLE_RETURN_VALUE_PAYLOAD
from rq.executions import Execution
from rq.job import Job, Retry

from rq_leveldb.unreadable import is_wrong_type

from .assignment import Task
from .executions import is_left_to_others
from .history import function_of
from .mailbox import Report, Slot
from .site import Site
from .trouble import NotWritten, is_about_the_store
from .untouched import on_the_way_out
from .usage import RSS_UNIT

__all__ = ['Record']

# A child writes a larger success itself, so that the supervisor does not carry the result.
_LARGEST_LEFT = 60 * 1024


class Record:
    """The record of one job, kept by its child.

    Args:
        site: what this process' copy of the worker shares.
        worker_class: the worker's class.
        task: what the child was told.
        slot: where the supervisor will look.
        execution: the execution.
        job: the job, as it was before it began.
        memory_limit: bytes of memory that it may have; None for no limit.
        spent: seconds of processor time, as user and in the kernel, that its process used for former jobs.

    Attributes:
        last: whether the job ended in a way after which its process is not used again.
    """

    def __init__(
        self,
        site: Site,
        worker_class: type[Any],
        task: Task,
        slot: Slot,
        execution: Execution,
        job: Job,
        memory_limit: int | None,
        spent: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.task = task
        self.execution = execution
        self.memory_limit = memory_limit
        self._site = site
        self._worker_class = worker_class
        self._slot = slot
        self._loaded = _saved_attributes(job) if type(job) is Job else None
        self._pid = os.getpid()
        # Compared when the job is done: importing its module may have loaded an agent that replaces them.
        self._methods = on_the_way_out(worker_class)
        self._began = time.monotonic()
        self._base: dict[str, Any] = {'execution': execution.id, 'worker': site.name, 'started': time.time()}
        self._module = ''
        self._left: Report | None = None
        self._spent = sum(spent)
        self.last = False

    def end_if_copied(self) -> None:
        """End at once where the job has forked and its copy comes back here: only the child itself has a say."""
        if os.getpid() != self._pid:
            os._exit(0)

    def began(self, job: Job) -> None:
        """Note where the job's function is, for a supervisor that has such modules imported beforehand."""
        if self._site.settings.preload:
            try:
                self._module = (job.func_name or '').rpartition('.')[0]
            except Exception:
                # Its arguments cannot be read; running the job will report that.
                self._module = ''

    def usage(self) -> dict[str, Any]:
        """Return what the job has used so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **self._base,
            'wall': round(time.monotonic() - self._began, 6),
            'cpu': round(used.ru_utime + used.ru_stime - self._spent, 6),
            'memory': used.ru_maxrss * RSS_UNIT,
            'exit': 0,
        }

    # The ways in which a job ends

    def leaves_success(self, job: Job) -> bool:
        """Leave a simple success to the supervisor where that can write it as RQ does; returns whether it does."""
        if (
            self._site.touched is not None
            or not self.task.claim.whole
            or job.webhooks
            or self._loaded is None
            or _saved_attributes(job) != self._loaded
            or on_the_way_out(self._worker_class) != self._methods
        ):
            return False
        report = self._success(job, unsure=False)
        if report.result is not None and len(report.result) > _LARGEST_LEFT:
            return False
        self._left = report
        return True

    def success(self, job: Job, write: Callable[[], None]) -> None:
        """Write a success down, or leave it to the supervisor; `write` looks whether others have decided."""
        self._write(write, lambda: self._success(job, unsure=True))

    def retry(self, job: Job, retry: Retry, write: Callable[[], None]) -> None:
        """Write down that the job returned a Retry, or leave it to the supervisor."""

        def report() -> Report:
            wanted = {'max': retry.max, 'interval': retry.intervals, 'enqueue_at_front': retry.enqueue_at_front}
            return self._report('retry', job, retry=wanted, unsure=True)

        def checked() -> None:
            if not is_left_to_others(self._site, job, self.execution):
                write()

        self._write(checked, report)

    def raised(self, job: Job | None, text: str) -> None:
        """Note that the job raised, before anything is done about it that may go wrong too."""
        self._slot.say(self._report('tried', job, text=text, unsure=True))

    def failure(self, job: Job, text: str, write: Callable[[], None]) -> None:
        """Write a failure down, or leave it to the supervisor."""

        def checked() -> None:
            if is_left_to_others(self._site, job, self.execution):
                return
            write()
            # If the transaction fails, RQ logs that and continues.
            if self._site.connection.exists(self.execution.key):
                raise NotWritten('the store did not accept it')

        self._write(checked, lambda: self._report('failure', job, text=text, unsure=True))

    def finish(self) -> bool:
        """Write the final report; returns whether the end of the job is known."""
        if self._left is not None:
            return self._slot.say(self._left)
        return self._slot.say(Report('written', module=self._module))

    def _write(self, write: Callable[[], None], report: Callable[[], Report]) -> None:
        try:
            write()
        except Exception as error:
            known = is_about_the_store(error) or is_wrong_type(error)
            if not known and self._reachable():
                raise
            self._left = report()
            self._site.log.warning('leaving the end of job %s to the supervisor: %s', self.task.claim.job_id, error)

    def _reachable(self) -> bool:
        try:
            self._site.connection.ping()
        except Exception:
            return False
        return True

    def _success(self, job: Job, *, unsure: bool) -> Report:
        result = None
        if job._result is not None:
            try:
                result = job.serializer.dumps(job._result)
            except Exception:
                result = job.serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)
            if isinstance(result, str):
                result = result.encode()
        return self._report('success', job, result=result, unsure=unsure)

    def _report(self, kind: str, job: Job | None, **fields: Any) -> Report:
        started = job.started_at if job is not None else None
        ended = job.ended_at if job is not None else None
        return Report(
            kind,
            started.timestamp() if started is not None else self._base['started'],
            ended.timestamp() if ended is not None else time.time(),
            usage=self.usage(),
            module=self._module,
            function=function_of(job, None) if job is not None else '',
            **fields,
        )


# The attributes that RQ writes again when a job succeeds: a job may have changed its own, and that must be kept.
_saved_attributes = operator.attrgetter(
    'created_at',
    '_data',
    '_success_callback_name',
    '_failure_callback_name',
    '_stopped_callback_name',
    '_success_callback_timeout',
    '_failure_callback_timeout',
    '_stopped_callback_timeout',
    'group_id',
    'number_of_retries',
    'retries_left',
    'retry_intervals',
    'enqueue_at_front_on_retry',
    'origin',
    'description',
    'enqueued_at',
    'repeats_left',
    'repeat_intervals',
    'rate_limit_key',
    'rate_limit_concurrency',
    '_exc_info',
    'timeout',
    'webhooks',
    'result_ttl',
    'failure_ttl',
    '_dependency_ids',
    'ttl',
    'allow_dependency_failures',
    'enqueue_at_front',
)
